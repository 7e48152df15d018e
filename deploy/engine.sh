#!/usr/bin/env bash
# Installs on Debian or Ubuntu what the container tests need: a running Docker engine with Compose and
# BuildKit, and, where no image can be pulled, base images made from the machine's own packages.
# Everything comes from the package sources the machine is set up with.   usage: engine.sh (as root)
set -euo pipefail
cd "$(dirname "$0")/.."
state=.local/engine
mkdir -p "$state"
rm -f "$state/dockerd.pid"
apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 "$@" >>"$state/apt.log"; }
say() { printf 'engine: %s\n' "$*"; }

install_engine() {
    command -v dockerd >/dev/null || { say "installing the engine"; apt_get update; apt_get install -y --no-install-recommends docker.io; }
}

start_engine() {
    for _ in 1 2 3; do docker info >/dev/null 2>&1 && return; sleep 1; done
    say "starting dockerd; its log: $state/dockerd.log"
    setsid nohup dockerd >"$state/dockerd.log" 2>&1 </dev/null &
    echo $! >"$state/dockerd.pid"
    for _ in $(seq 60); do docker info >/dev/null 2>&1 && return; sleep 1; done
    tail -n 20 "$state/dockerd.log"
    say "dockerd does not answer"
    return 1
}

# Debian has packages of Compose 2 and buildx from release 13 on: an older release takes them from 13.
install_plugins() {
    docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1 && return
    say "installing Compose and buildx"
    . /etc/os-release
    apt_get update
    if [ "$ID" = debian ] && [ "${VERSION_ID%%.*}" -lt 13 ]; then
        for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
            if [ -f "$list" ] && grep -q "$VERSION_CODENAME" "$list"; then
                sed "s/$VERSION_CODENAME/trixie/g" "$list" >"/etc/apt/sources.list.d/trixie.${list##*.}"
            fi
        done
        printf 'Package: *\nPin: release n=trixie*\nPin-Priority: 50\n' >/etc/apt/preferences.d/trixie
        apt_get update
        apt_get install -y --no-install-recommends -t trixie docker-compose docker-buildx
    else
        apt_get install -y --no-install-recommends docker-compose-v2 docker-buildx \
            || apt_get install -y --no-install-recommends docker-compose docker-buildx
    fi
}

# image NAME PACKAGE...: make a minimal image of this release with these packages. It has no manual
# pages, but their folder, because Java's package links into it.
image() {
    local name=$1 && shift
    docker image inspect "$name" >/dev/null 2>&1 && return
    say "making $name"
    . /etc/os-release
    local sources=()
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        if [ -f "$list" ] && grep -q "$VERSION_CODENAME" "$list"; then sources+=("$list"); fi
    done
    mmdebstrap --quiet --variant=minbase --include="ca-certificates,$(IFS=,; echo "$*")" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --essential-hook='mkdir -p "$1/usr/share/man/man1"' \
        "$VERSION_CODENAME" "$state/${name##*/}.tar" "${sources[@]}"
    docker import --change 'ENV LANG=C.UTF-8' "$state/${name##*/}.tar" "$name" >/dev/null
    rm "$state/${name##*/}.tar"
}

make_images() {
    command -v mmdebstrap >/dev/null || apt_get install -y --no-install-recommends mmdebstrap
    image modelserve/base-python:local python3 python3-venv python3-pip python-is-python3 &
    local python=$!
    image modelserve/base-jre:local openjdk-17-jre-headless
    wait "$python"
    say "making the Nacos image"
    local jars
    jars=$(.venv/bin/python -c 'from stack.jars import fetch; print(fetch())' | tail -n 1)
    local context=$state/nacos-image
    rm -rf "$context" && mkdir -p "$context"
    cp -al "$jars" "$context/lib"
    javac -cp "$jars/*" -d "$context/launcher" deploy/nacos/Launcher.java
    cp deploy/nacos/application.properties deploy/nacos/start.sh "$context"
    docker buildx build --quiet --load -t modelserve/nacos:local -f deploy/nacos/Dockerfile \
        --build-arg JRE_IMAGE=modelserve/base-jre:local "$context" >/dev/null
}

# For the profile `observe`, Debian's Prometheus; containers run without it too.
make_prometheus_image() {
    docker image inspect modelserve/prometheus:local >/dev/null 2>&1 && return
    make --silent prometheus || { say "no Prometheus to make an image of"; return; }
    say "making the Prometheus image"
    docker buildx build --quiet --load -t modelserve/prometheus:local -f - .local/prometheus/usr/bin \
        >/dev/null <<'END'
FROM modelserve/base-python:local
COPY prometheus promtool /usr/bin/
RUN install -d -o 65534 -g 65534 /prometheus
END
}

# Compose reads the names of the images from deploy/.env; a value that stands there stays.
choose_images() {
    .venv/bin/python -c 'from stack.credentials import read_or_make; read_or_make()'
    local each
    for each in PYTHON_IMAGE=modelserve/base-python:local NACOS_IMAGE=modelserve/nacos:local \
        PROMETHEUS_IMAGE=modelserve/prometheus:local \
        CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt; do
        grep -q "^${each%%=*}=" deploy/.env || echo "$each" >>deploy/.env
    done
}

install_engine
start_engine
install_plugins
if docker pull --quiet python:3.11-slim-bookworm >/dev/null 2>&1; then
    say "images can be pulled"
else
    say "no image can be pulled; making them from packages"
    make_images
    make_prometheus_image
    choose_images
fi
docker version --format 'engine: {{.Server.Version}}'
docker compose version
