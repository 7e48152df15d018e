#!/usr/bin/env bash
# Installs wrk from Debian, and an environment for each peer in .local/serving, from its pinned
# requirements. Does nothing if all of them are there.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v wrk > /dev/null; then
  if [[ $(id -u) == 0 ]] && command -v apt-get > /dev/null; then
    apt-get install -y -qq --no-install-recommends wrk > /dev/null
  else
    echo "install wrk first" >&2
    exit 1
  fi
fi
for requirements in benchmarks/serving/requirements/*.txt; do
  name=$(basename "$requirements" .txt)
  home=.local/serving/$name
  if ! cmp -s "$requirements" "$home/requirements.txt"; then
    echo "making $home"
    .venv/bin/uv venv --quiet --clear --python .venv/bin/python "$home"
    .venv/bin/uv pip sync --quiet --python "$home/bin/python" "$requirements"
    cp "$requirements" "$home/requirements.txt"
  fi
done
