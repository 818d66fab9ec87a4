#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD [FIGURE...] - measures fragua beside peers, prints a table, writes BUILD/bench.json; see README.md.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "${1:?usage: run.sh BUILD [FIGURE...]}" && pwd)
shift
# shellcheck source=scripts/devenv.sh
. "$top/scripts/devenv.sh" "$build"
export FRAGUA_DEMO_DIR=${FRAGUA_DEMO_DIR:-$top/plugins/sim-graph/mails}
exec python3 "$top/bench/measure.py" "$build" "$@"
