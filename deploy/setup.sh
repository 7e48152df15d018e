#!/usr/bin/env bash
# Makes the virtual environment: uv, every distribution by hash, the workspace editable. What the
# machine lacks is installed with apt as root on Debian or Ubuntu, and named everywhere else.
# usage: [PYTHON=python3] setup.sh VENV MEMBER...
set -euo pipefail
venv=$1; shift

python=$(command -v "${PYTHON:-python3}" || true)
new_enough() { [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; }
missing=()
new_enough || missing+=(python3)
new_enough && { "$python" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv); }
javac -version 2>&1 | grep -qE 'javac (1[7-9]|[2-9][0-9])' || missing+=(openjdk-17-jdk-headless)
command -v mvn >/dev/null || missing+=(maven)

if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing ${missing[*]}"
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 install -y \
            --no-install-recommends "${missing[@]}" >/dev/null
        python=$(command -v python3)
    else
        echo "setup: please install ${missing[*]} (Debian's names), then run this again" >&2
        echo "setup: needed are Python 3.11 or newer with venv, a JDK 17 or newer, Maven" >&2
        exit 1
    fi
fi
new_enough || { echo "setup: Python 3.11 or newer is needed, $python is older" >&2; exit 1; }

if ! test -x "$venv/bin/python"; then
    echo "setup: making $venv"
    "$python" -m venv "$venv"
fi
# Where an index is behind a certificate authority of one's own, the system knows this authority; pip
# and uv bring lists of theirs along. An older pip only reads a file or folder that it is told.
if [ -z "${PIP_CERT:-}" ]; then
    PIP_CERT=$("$python" -c 'import ssl; p = ssl.get_default_verify_paths(); print(p.cafile or p.capath or "")')
    if [ -n "$PIP_CERT" ]; then export PIP_CERT; else unset PIP_CERT; fi
fi
export UV_SYSTEM_CERTS=true
# The first uv only has to read the lock; the lock then decides which one stays.
test -x "$venv/bin/uv" || "$venv/bin/python" -m pip install --quiet "uv>=0.8"
echo "setup: installing what requirements.lock pins"
export VIRTUAL_ENV="$PWD/$venv"
"$venv/bin/uv" pip sync --quiet --require-hashes requirements.lock
"$venv/bin/uv" pip install --quiet --no-deps --no-build-isolation "${@/#/-e}"
