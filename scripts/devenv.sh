# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# . devenv.sh BUILD - to be sourced: lets this shell use the program and the plugins of a build folder uninstalled.
# FRAGUA_BIN is the program, FRAGUA_PLUGIN_PATH the folders of all plugins that BUILD holds.
_build=$(cd "$1" && pwd) || return 1
if [ -x "$_build/fragua" ]; then
    FRAGUA_BIN=$_build/fragua
else
    FRAGUA_BIN=$_build/core/fragua
fi
FRAGUA_PLUGIN_PATH=$(find "$_build/plugins" -mindepth 2 -maxdepth 2 -name '*.so' -printf '%h\n' | sort -u | paste -sd:)
export FRAGUA_BIN FRAGUA_PLUGIN_PATH
unset _build
