/* SPDX-License-Identifier: Apache-2.0 */
/* Opens without making anything. */
#include "minimal.h"

static int open_it(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    return 0;
}

FG_PLUGIN(.name = "bad-self", .open = open_it, MINIMAL);
