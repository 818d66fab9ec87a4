/* SPDX-License-Identifier: Apache-2.0 */
/* Ends the process in its constructor. */
#include <stdlib.h>

#include "minimal.h"

__attribute__((constructor)) static void end(void)
{
    exit(0);
}

FG_PLUGIN(.name = "bad-exit", .open = minimal_open, MINIMAL);
