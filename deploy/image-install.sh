#!/bin/sh
# In an image's build stage: installs the workspace members of the current folder and the
# distributions they require, at the locked versions and hashes, into /opt/venv.
#   usage: image-install.sh libraries   the distributions; needs the members' pyproject.toml only
#          image-install.sh members     the members themselves
# The wheels of a service that is compiled are compiled, with those it needs, unless GATEWAY_COMPILED=0.
set -eu
step=$1

# Takes out of the libraries what no program reads: their own tests (the most, beside the clusterer),
# the sources of extension modules and the types for checkers, and the debug information in extension
# modules. Shared libraries of other origin, in *.libs, are left as they are: their loader's tables
# were edited, and strip can damage them.
leave_out() {
    find /opt/venv/lib -type d -name tests -prune -exec rm -r {} +
    find /opt/venv/lib -type f -regextype posix-extended \
        -regex '.*\.(c|cc|cpp|h|hpp|f|f90|pyx|pxd|pxi|pyi|tp|a)' -delete
    find /opt/venv/lib -path '*.libs' -prune -o -type f -name '*.so' -exec strip --strip-debug {} +
}

grep -q compiled_wheel services/*/pyproject.toml || GATEWAY_COMPILED=0
export GATEWAY_COMPILED
# A certificate authority of the machine that builds, where it has one of its own.
if [ -s /run/secrets/ca ]; then
    export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca
fi
export UV_CACHE_DIR=/root/.cache/uv UV_LINK_MODE=copy VIRTUAL_ENV=/opt/venv

if [ "$step" = libraries ]; then
    awk '/^[a-z0-9]/ { wanted = /^uv==/ } wanted' requirements.lock > /tmp/uv.txt
    python -m venv /opt/build
    /opt/build/bin/pip install --quiet --disable-pip-version-check --require-hashes -r /tmp/uv.txt
    python -m venv --without-pip /opt/venv
    # Empty packages stand in for the members: their requirements count here, not their code.
    for member in libs/* services/*; do
        package=$(sed -n 's|^packages = \["src/\(.*\)"\]|\1|p' "$member/pyproject.toml")
        mkdir -p "$member/src/$package"
        touch "$member/src/$package/__init__.py"
    done
    GATEWAY_COMPILED=0 /opt/build/bin/uv pip install --quiet --no-sources \
        --constraints requirements.lock --build-constraints requirements.lock ./libs/* ./services/*
    tools=binutils
    if [ "$GATEWAY_COMPILED" != 0 ]; then
        include=$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')
        test -f "$include/Python.h" || headers=python3-dev
        tools="gcc libc6-dev ${headers:-}"
    fi
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $tools >/dev/null
    leave_out
else
    /opt/build/bin/uv pip install --quiet --no-deps --reinstall \
        --build-constraints requirements.lock ./libs/* ./services/*
fi
# The root file system will be read-only: compile now or at every start.
/opt/venv/bin/python -m compileall -q -j 0 /opt/venv/lib
