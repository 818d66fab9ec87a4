/* SPDX-License-Identifier: Apache-2.0 */
/* Never returns from open, and does not let itself be woken by an alarm. */
#include <signal.h>
#include <unistd.h>

#include "minimal.h"

static int open_it(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    (void)signal(SIGALRM, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    while (pause() < 0)
        ;
    return 0;
}

FG_PLUGIN(.name = "bad-hang", .open = open_it, MINIMAL);
