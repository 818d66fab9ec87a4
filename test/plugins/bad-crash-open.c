/* SPDX-License-Identifier: Apache-2.0 */
/* Crashes in open. */
#include <stdlib.h>

#include "minimal.h"

static int open_it(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    abort();
}

FG_PLUGIN(.name = "bad-crash-open", .open = open_it, MINIMAL);
