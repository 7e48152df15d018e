#!/bin/sh
# In an image's build stage: installs workspace members and what they need, at the locked versions
# and hashes, into /opt/venv.   usage: image-install.sh MEMBER...
set -eu
# A certificate authority of the machine that builds, where it has one of its own.
if [ -s /run/secrets/ca ]; then
    export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca
fi
awk '/^[a-z0-9]/ { wanted = /^uv==/ } wanted' requirements.lock > /tmp/uv.txt
python -m venv /opt/build
/opt/build/bin/pip install --quiet --disable-pip-version-check --require-hashes -r /tmp/uv.txt
python -m venv --without-pip /opt/venv
export UV_CACHE_DIR=/root/.cache/uv UV_LINK_MODE=copy VIRTUAL_ENV=/opt/venv
/opt/build/bin/uv pip install --quiet --compile-bytecode --no-sources \
    --constraints requirements.lock --build-constraints requirements.lock "$@"
