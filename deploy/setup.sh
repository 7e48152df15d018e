#!/usr/bin/env bash
# Makes the virtual environment: uv from PyPI, every distribution by hash, the workspace editable.
set -euo pipefail
venv=$1; shift
test -x "$venv/bin/python" || python3 -m venv "$venv"
test -x "$venv/bin/uv" || "$venv/bin/python" -m pip install --quiet "uv>=0.8"
export VIRTUAL_ENV="$PWD/$venv"
"$venv/bin/uv" pip sync --quiet --require-hashes requirements.lock
"$venv/bin/uv" pip install --quiet --no-deps --no-build-isolation ${@/#/-e }
