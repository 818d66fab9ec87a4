#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test.sh [STAGE...] - runs the stages named, or all, one after the other, also past failed ones. Each says in a line
# "N passed, N failed[, N skipped]" how its cases went; the last line of all is their sum. Exits 1 if anything failed.
# Their output is kept in build/test-logs.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
stages='unit lint clang asan e2e newlib chaos mutants chart image'

command_of() { # STAGE
    case $1 in
    unit) echo scripts/unit.sh gcc ;;
    lint) echo test/lint/run.py ;;
    clang) echo scripts/unit.sh clang ;;
    asan) echo scripts/unit.sh asan ;;
    e2e) echo scripts/e2e.sh ;;
    newlib) echo scripts/e2e.sh --newlib ;;
    chaos) echo scripts/chaos.sh --short ;;
    mutants) echo test/chaos/mutants.sh ;;
    chart) echo test/chart/run.sh ;;
    image) echo test/image/run.sh ;;
    *) return 1 ;;
    esac
}

logs=build/test-logs
mkdir -p "$logs"
done_logs=() report=
trap 'exit 130' INT TERM

# What checks the chart takes minutes to build, once: it does so while the first stages run. Stages that need it wait.
if [ $# = 0 ] && [ -x test/chart/tools.sh ]; then
    setsid nice test/chart/tools.sh >"$logs/tools.log" 2>&1 </dev/null &
    tools=$!
    trap 'kill -- "-$tools" 2>/dev/null' EXIT
fi
for stage in ${*:-$stages}; do
    command=$(command_of "$stage") || { echo "test.sh: no stage \"$stage\"; there are $stages" >&2; exit 64; }
    if [ ! -x "${command%% *}" ]; then
        report+=$(printf '%-8s not there: %s' "$stage" "${command%% *}")$'\n'
        continue
    fi
    printf '\n== %s: %s\n' "$stage" "$command"
    began=$SECONDS
    # shellcheck disable=SC2086 # the command is words
    $command </dev/null 2>&1 | tee "$logs/$stage.log"
    code=${PIPESTATUS[0]}
    result=$(scripts/count.py stage "$logs/$stage.log" "$code")
    echo "$result" >>"$logs/$stage.log"
    done_logs+=("$logs/$stage.log")
    report+=$(printf '%-8s %4d s  %s' "$stage" $((SECONDS - began)) "$result")$'\n'
done
printf '\n== all stages\n%s\n' "$report"
scripts/count.py total "${done_logs[@]}"
