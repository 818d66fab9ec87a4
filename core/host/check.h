/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trying a configuration in another process while this one serves: `fragua validate --format json --plugins` is run,
 * and its report read. What a new plugin does to the process that loads it, it does to that one. Loop thread only.
 */
#pragma once

#include <uv.h>

#include "conf/tree.h"
#include "fragua/host.h"
#include "host/loader.h"

#define FG_CHECK_OUTPUT_MAX ((size_t)1 << 20) /* bytes of report that are read */

struct fg_check; /* one try */

struct fg_check_config {
    uv_loop_t *loop;         /* borrowed until the try has ended */
    const char *const *argv; /* NULL-ended, argv[0] first; copied. What runs is this very program */
    struct fg_slice text;    /* its standard input, copied; ptr NULL: none */
    uint32_t timeout_ms;     /* then it is killed */
};

struct fg_check_plugin {
    char name[64];
    char sha256[FG_SHA256_HEX_SIZE];
};

/* What came out; all of it is gone after done(). */
struct fg_check_result {
    int code;            /* 0: fine; positive: faults were found; negative: see err */
    struct fg_error err; /* it could not be tried: hung, crashed, ended early, said nonsense */
    struct fg_conf_faults faults;
    struct fg_check_plugin *plugins; /* array of n_plugins: the files that were loaded there */
    size_t n_plugins;
};

/*
 * fg_check_start() - begin a try
 * @done: called once from the loop, when the other process and all handles are gone; the try ends itself then.
 *        Not called when this function fails, nor after fg_check_cancel()
 *
 * The other process gets none of this one's descriptors and signal settings, is in a session of its own, writes to the
 * same stderr, and ends with this one if it calls fg_check_bind(), as `fragua validate` does.
 *
 * Return: 0 and *ret, borrowed until done() or gone(); negative when no process could be started.
 */
int fg_check_start(const struct fg_check_config *config, void (*done)(void *arg, const struct fg_check_result *result),
                   void *arg, struct fg_check **ret, struct fg_error *err);
/* Kills it, before done() was called. gone(arg) from the loop, once nothing of it is left; gone NULL: nobody asks. */
void fg_check_cancel(struct fg_check *check, fg_done_cb gone, void *arg);

/* In the other process, first of all: from now on it is killed when the one that tries it ends. Else does nothing. */
void fg_check_bind(void);

/* A report of a try in JSON, read into what it says; negative: it is none. Adds to ret->faults and ret->plugins. */
int fg_check_read(struct fg_slice report, struct fg_check_result *ret);
