#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# unit.sh KIND - builds in a folder of its own, runs what `meson test` knows there, and says in its last line how many
# cases passed. KIND: gcc (in build), asan (gcc, address and undefined-behaviour sanitizers), clang (with the fuzzers,
# whose seeds are replayed, and clang-tidy over core, plugins and examples).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
kind=${1:?usage: unit.sh gcc|asan|clang}
timeout_factor=1
case $kind in
gcc) build=build compiler=gcc options=() ;;
asan)
    build=build-asan compiler=gcc timeout_factor=4
    # Plugins leave the sanitizer's symbols to the program, so they may be undefined at link time.
    options=(-Db_sanitize=address,undefined -Db_lundef=false)
    export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    ;;
clang) build=build-clang compiler=clang options=(-Dfuzzers=true) ;;
*) echo "unit.sh: no kind \"$kind\"" >&2; exit 64 ;;
esac

if [ ! -e "$build/build.ninja" ]; then
    CC=$compiler meson setup "$build" ${options[@]+"${options[@]}"}
fi
ninja -C "$build"
logs=$build/meson-logs
rm -f "$logs/testlog.json"
code=0
meson test -C "$build" --no-rebuild --print-errorlogs --timeout-multiplier "$timeout_factor" || code=$?
touch "$logs/testlog.json"
if [ "$kind" = clang ]; then
    python3 test/lint/tidy.py "$build" "$build/tidy.json" || code=$?
    python3 scripts/count.py meson "$logs/testlog.json" "$build/tidy.json" || code=$?
else
    python3 scripts/count.py meson "$logs/testlog.json" || code=$?
fi
exit "$code"
