/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking the pipeline file while the process runs, which is what SIGHUP does: `fragua validate` in a process of its
 * own, so that neither a plugin that crashes nor one that hangs touches this one, and the loop goes on. Loop thread.
 */
#pragma once

#include "cli/cli.h"

/* Embed by value. A request during a check is one more check after it. */
struct fg_recheck {
    struct fg_cli *cli;
    struct fg_logger logger;
    const char *path;        /* of the file; NULL: there is none, a request only says so */
    const char *const *sets; /* array of n_sets */
    size_t n_sets;
    uv_process_t process;
    bool running, again, stopped;
};

void fg_recheck_request(struct fg_recheck *r);
/* Ends a check that runs; its handle closes by itself. Nothing is checked any more. */
void fg_recheck_stop(struct fg_recheck *r);
