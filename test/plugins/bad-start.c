/* SPDX-License-Identifier: Apache-2.0 */
/* Opens well and then fails to start. */
#include "minimal.h"

static int start(void *self, struct fg_error *err)
{
    return fg_error_set(err, FG_E_UNAVAILABLE, 0, "the thing it needs is not there");
}

FG_PLUGIN(.name = "bad-start", .open = minimal_open, .start = start, MINIMAL);
