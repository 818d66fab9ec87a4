/* SPDX-License-Identifier: Apache-2.0 */
/* Has a descriptor that is too small to hold what every ABI has. */
#include "minimal.h"

extern __attribute__((visibility("default"))) const struct fg_plugin fragua_plugin;
const struct fg_plugin fragua_plugin = { .magic = FG_PLUGIN_MAGIC, .abi = FG_ABI, .size = 24, .name = "bad-size",
                                         .open = minimal_open, MINIMAL };
