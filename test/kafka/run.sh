#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [-n NODES] -- COMMAND... - runs COMMAND with a real Kafka beside it and FRAGUA_KAFKA_* in its environment
# (kafka.sh says which), then ends the broker and removes its data, whatever happened; exits as COMMAND did.
# Where a surrounding run.sh has a broker already, COMMAND uses that one. KEEP=1 leaves the data behind and says where.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
nodes=1
while [ $# -gt 0 ]; do
    case $1 in
    -n) nodes=${2:?how many nodes}; shift 2 ;;
    --) shift; break ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || { sed -n '3,5s/^# //p' "$0" >&2; exit 64; }
if [ -n "${FRAGUA_KAFKA_PLAIN:-}" ]; then
    exec "$@"
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/fragua-kafka.XXXXXX")
child=
finish() {
    "$here/kafka.sh" stop "$dir"
    if [ -n "${KEEP:-}" ]; then
        echo "run.sh: the broker's data and log are in $dir" >&2
    else
        rm -rf "$dir"
    fi
}
trap finish EXIT
# Bash runs a trap only between commands, so COMMAND runs in the background and a signal is passed on to it.
trap 'if [ -n "$child" ]; then kill -TERM "$child" 2>/dev/null; else exit 143; fi' INT TERM HUP

begin=$(date +%s%N)
FRAGUA_KAFKA_OWNER=$$ "$here/kafka.sh" start "$dir" "$nodes" >"$dir/start.log" 2>&1 || {
    cat "$dir/start.log" >&2
    exit 1
}
printf 'Kafka: %s; ready after %d ms\n' "$(tail -n 1 "$dir/start.log")" $((($(date +%s%N) - begin) / 1000000))
set -a
# shellcheck source=/dev/null
. "$dir/env"
set +a
"$@" <&0 &
child=$!
wait "$child"
code=$?
# A trapped signal ends the first wait early: wait again for COMMAND's own end.
while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    code=$?
done
exit "$code"
