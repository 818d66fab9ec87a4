#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# venv.sh - makes the Python environment of test/e2e in the cache folder, once for each state of its requirements.txt
# and version of Python, and prints its folder.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/fragua
wanted=$top/test/e2e/requirements.txt
python=$(python3 -c 'import sys; print(sys.version, sys.executable)')
venv=$cache/venv-$( (cat "$wanted"; echo "$python") | sha256sum | cut -c1-12)

if [ ! -e "$venv/complete" ]; then
    mkdir -p "$cache"
    # A lock, not a rename: an environment has its own path written into its scripts.
    exec 9>"$venv.lock"
    flock 9
    if [ ! -e "$venv/complete" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" >&2
        touch "$venv/complete"
    fi
fi
echo "$venv"
