/* SPDX-License-Identifier: Apache-2.0 */
/* Was built for another ABI. */
#include "minimal.h"

extern __attribute__((visibility("default"))) const struct fg_plugin fragua_plugin;
const struct fg_plugin fragua_plugin = { .magic = FG_PLUGIN_MAGIC, .abi = FG_ABI + 1, .size = sizeof(struct fg_plugin),
                                         .name = "bad-abi", .open = minimal_open, MINIMAL };
