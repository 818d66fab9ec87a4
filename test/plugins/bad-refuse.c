/* SPDX-License-Identifier: Apache-2.0 */
/* Refuses to open, with a reason. */
#include "minimal.h"

static int open_it(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    return fg_error_set(err, FG_E_CONFIG, 0, "this plugin never opens: take another");
}

FG_PLUGIN(.name = "bad-refuse", .open = open_it, MINIMAL);
