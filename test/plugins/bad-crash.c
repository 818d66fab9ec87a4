/* SPDX-License-Identifier: Apache-2.0 */
/* Crashes in its constructor, while it is loaded. */
#include <stdlib.h>

#include "minimal.h"

__attribute__((constructor)) static void crash(void)
{
    abort();
}

FG_PLUGIN(.name = "bad-crash", .open = minimal_open, MINIMAL);
