/* SPDX-License-Identifier: Apache-2.0 */
/* Exports something else by the right name. */
#include "minimal.h"

extern __attribute__((visibility("default"))) const struct fg_plugin fragua_plugin;
const struct fg_plugin fragua_plugin = { .magic = 0x12345678, .abi = FG_ABI, .size = sizeof(struct fg_plugin),
                                         .name = "bad-magic", .open = minimal_open, MINIMAL };
