#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# e2e.sh [--newlib] [BUILD] [pytest arguments] - the end-to-end tests with a real Kafka, against the program in BUILD
# (default: build). --newlib runs those that use both fragua and Kafka on the current librdkafka from the
# confluent-kafka wheel instead of the system's. The last line says how many passed.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name=e2e
selection=()
newlib=
if [ "${1:-}" = --newlib ]; then
    shift
    newlib=$("$top/scripts/newlib.sh")
    name=e2e-newlib
    selection=(-m real_kafka)
fi
build=$top/build
if [ -d "${1:-}" ] && [ -e "$1/build.ninja" ]; then
    build=$(cd "$1" && pwd)
    shift
fi
venv=$("$top/scripts/venv.sh")
if [ -e "$build/build.ninja" ]; then
    # shellcheck source=scripts/devenv.sh
    . "$top/scripts/devenv.sh" "$build"
fi
if [ -n "$newlib" ]; then
    loaded=$(LD_LIBRARY_PATH=$newlib ldd "$FRAGUA_BIN" | awk '/librdkafka/ { print $3 }')
    if [ "${loaded#"$newlib"}" = "$loaded" ]; then
        echo "e2e.sh: $FRAGUA_BIN would load librdkafka from \"$loaded\", not from $newlib" >&2
        exit 1
    fi
    export FRAGUA_LIBRARY_PATH=$newlib
fi

results=$(mktemp -d "${TMPDIR:-/tmp}/fragua-$name.XXXXXX")
trap 'rm -rf "$results"' EXIT
code=0
"$top/test/kafka/run.sh" -- "$venv/bin/python" -m pytest -p no:cacheprovider --color=no -q --durations=5 \
    --junitxml="$results/junit.xml" ${selection[@]+"${selection[@]}"} "$top/test/e2e" "$@" || code=$?
# 5: nothing was selected, which is no failure of the second run before tests of that kind exist.
if [ $code = 5 ]; then
    code=0
fi
python3 "$top/scripts/count.py" junit "$results/junit.xml" || code=$((code > 0 ? code : 1))
exit $code
