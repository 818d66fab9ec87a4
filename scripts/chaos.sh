#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# chaos.sh [--short] [BUILD] [pytest arguments] - the ledger runs: mails through the program in BUILD (default: build)
# and a real Kafka, while faults happen; each must come out once, whole, and in its place. --short: what make test runs.
# Without it also the simulated world. The table goes to BUILD/chaos.md, logs of failed runs to BUILD/chaos-logs.
# From the environment:
#   FAULTS  which: kill zombie broker storm network service graph stop reload sim (default: all; sim in the long form)
#   SEED    what random choices follow, as a failed run printed it; with FAULTS=sim: that run alone, with its trace
#   SEEDS   how many simulated runs (20000)
# The last line says how many passed.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
known='kill zombie broker storm network service graph stop reload'
form=long
if [ "${1:-}" = --short ]; then
    form=short
    shift
fi
build=$top/build
if [ -d "${1:-}" ] && [ -e "$1/build.ninja" ]; then
    build=$(cd "$1" && pwd)
    shift
fi
faults=${FAULTS:-self $known}
if [ $form = long ] && [ -z "${FAULTS:-}" ]; then
    faults="$faults sim"
fi
files=() simulate=
for fault in $faults; do
    if [ "$fault" = sim ]; then
        simulate=1
    elif [ -e "$top/test/chaos/test_$fault.py" ]; then
        files+=("$top/test/chaos/test_$fault.py")
    else
        echo "chaos.sh: no fault \"$fault\"; there are $known sim" >&2
        exit 64
    fi
done

results=$(mktemp -d "${TMPDIR:-/tmp}/fragua-chaos.XXXXXX")
trap 'rm -rf "$results"' EXIT
code=0
: >"$results/rows.jsonl"
if [ ${#files[@]} -gt 0 ]; then
    venv=$("$top/scripts/venv.sh")
    # shellcheck source=scripts/devenv.sh
    . "$top/scripts/devenv.sh" "$build"
    export FRAGUA_CHAOS=$form FRAGUA_CHAOS_LOGS=$build/chaos-logs FRAGUA_CHAOS_ROWS=$results/rows.jsonl
    export FRAGUA_CHAOS_SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
    echo "chaos: $form form, seed $FRAGUA_CHAOS_SEED"
    "$top/test/kafka/run.sh" -- "$venv/bin/python" -m pytest -p no:cacheprovider --color=no -v \
        --junitxml="$results/junit.xml" "${files[@]}" "$@" || code=$?
    python3 "$top/scripts/count.py" junit "$results/junit.xml" >"$results/beds.count" || code=$((code > 0 ? code : 1))
fi
if [ -n "$simulate" ]; then
    simulated=0 which=(--seeds "1..${SEEDS:-20000}")
    if [ -n "${SEED:-}" ] && [ ${#files[@]} = 0 ]; then
        which=(--seed "$SEED" --trace)
    fi
    env -u SEED "$build/test/chaos/chaos-sim" "${which[@]}" | tee "$results/sim.tap" || simulated=$?
    failed=$(grep -c '^not ok' "$results/sim.tap" || true)
    if [ $simulated != 0 ]; then
        code=$simulated
        failed=$((failed > 0 ? failed : 1))
    fi
    passed=$(grep -c '^ok' "$results/sim.tap" || true)
    if [ "$passed$failed" = 00 ]; then
        passed=1 # a single run is no TAP
    fi
    echo "$passed passed, $failed failed" >"$results/sim.count"
fi
table=$build/chaos.md
python3 "$top/test/chaos/table.py" "$results" >"$table"
echo "chaos: the table is in $table"
python3 "$top/scripts/count.py" total "$results"/*.count || code=$((code > 0 ? code : 1))
exit $code
