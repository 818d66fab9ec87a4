#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mutants.sh [NAME...] - tests the tests: builds the program once with its deliberate bugs (mutants.md), switches on one
# at a time, and shows that a bed notices. First every bed must pass without any. The last line says how many passed.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
build=build-mutants
logs=build/test-logs/mutants
seeds=${SEEDS:-300}

# name, bed
mutants='
skip-offsets                sim
no-rewind                   sim
ack-before-commit           sim
swap-records                sim
drop-at-rebalance           sim
cursor-outside-transaction  sim
zombie-not-fenced           sim
retry-counted-twice         sim
swap-under-way              sim
reload-unasked              sim
commit-before-flush         kafka
stop-rearming               embedded
'

run_bed() { # BED
    case $1 in
    sim) "$build/test/chaos/chaos-sim" --seeds "1..$seeds" ;;
    embedded) "$build/core/test-bus-embedded" ;;
    kafka) test/kafka/run.sh -- "$build/core/test-bus-kafka" ;;
    esac
}

targets=(test/chaos/chaos-sim core/test-bus-embedded core/test-bus-kafka)
mkdir -p "$logs"
if [ ! -e "$build/build.ninja" ]; then
    meson setup "$build" -Dmutants=true -Dbench=false -Dexamples=false >"$logs/setup.log" || exit 1
fi
ninja -C "$build" "${targets[@]}" >"$logs/build.log" || { tail -n 30 "$logs/build.log"; exit 1; }

passed=0 failed=0
say() { # OK TEXT
    if [ "$1" = yes ]; then
        passed=$((passed + 1))
        echo "ok - $2"
    else
        failed=$((failed + 1))
        echo "not ok - $2"
    fi
}

# A bed that fails without a bug would "catch" them all; one that ends by a signal before it said that something is
# wrong broke, and noticed nothing.
unset FRAGUA_MUTANT
wanted=" $* "
for bed in sim embedded kafka; do
    log=$logs/none-$bed.log
    if run_bed "$bed" >"$log" 2>&1 </dev/null; then say yes "$bed passes without a mutant"; else
        say no "$bed fails without a mutant: see $log"
        tail -n 20 "$log"
    fi
done
while read -r name bed; do
    [ -n "$name" ] || continue
    if [ $# -gt 0 ] && [ "${wanted#* "$name" }" = "$wanted" ]; then continue; fi
    log=$logs/$name.log
    FRAGUA_MUTANT=$name run_bed "$bed" >"$log" 2>&1 </dev/null
    code=$?
    if [ $code = 0 ]; then
        say no "$name: $bed did not notice"
    elif [ $code -ge 128 ] && ! grep -qE '\[  (ERROR|FAILED)|^ERROR:|^not ok' "$log"; then
        say no "$name: $bed broke ($code) instead of noticing: see $log"
    else
        say yes "$name: noticed by $bed"
        grep -m 1 -E 'LINE|not ok|seed [0-9]+' "$log" | sed 's/^/#   /'
    fi
done <<<"$mutants"
printf '%d passed, %d failed\n' $passed $failed
[ $failed = 0 ]
