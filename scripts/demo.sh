#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# demo.sh BUILD [ARGUMENTS] - runs `fragua demo ARGUMENTS` from a build folder, uninstalled.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/devenv.sh
. "$top/scripts/devenv.sh" "${1:?usage: demo.sh BUILD [ARGUMENTS]}"
shift
export FRAGUA_DEMO_DIR=${FRAGUA_DEMO_DIR:-$top/plugins/sim-graph/mails}
exec "$FRAGUA_BIN" demo "$@"
