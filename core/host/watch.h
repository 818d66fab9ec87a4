/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells when files changed on disk: their content, not their times. Loop thread only.
 *
 * The folders they stand in are watched, never the files: so the `..data` rename of a mounted ConfigMap or Secret, an
 * editor's write-and-rename, and a file or folder that vanishes and comes back are all seen. Symbolic links are followed
 * one by one, and the folder of each is watched. After an event nothing is looked at until it was quiet for `settle_ms`,
 * or five times that under events without end; then SHA-256 decides. Where the kernel has no watch left, every
 * FG_WATCH_LOOK_MS is looked instead, and the log says what to raise.
 */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "base/log.h"

#define FG_WATCH_FILE_MAX   (16u * 1024u * 1024u) /* bytes of a file that are read; of a larger one, its size counts too */
#define FG_WATCH_PATHS_MAX  4096u                 /* paths watched at most */
#define FG_WATCH_LOOK_MS    10000u                /* between two looks where events cannot be had */
#define FG_WATCH_SETTLE_MAX 5u                    /* times settle_ms: the longest wait after a first event */

struct fg_watch;

/* Copied; what it points to is borrowed until the watch is closed. */
struct fg_watch_config {
    uv_loop_t *loop;
    uint64_t settle_ms;
    /*
     * Called once for each of the paths given to fg_watch_set() whose content differs from what was seen: then, or when
     * this was last called for it. From inside, fg_watch_set() and fg_watch_close() are allowed. @path: as it was given,
     * borrowed for the call.
     */
    void (*changed)(void *arg, const char *path);
    void *arg;
    struct fg_logger logger;
};

/* Negative with err: no memory, no file descriptor left. Without inotify it looks from time to time, with a warning. */
int fg_watch_new(const struct fg_watch_config *config, struct fg_watch **ret, struct fg_error *err);
/*
 * The files and folders to watch from now on (copied); their content of this moment is what counts as seen. Of a folder
 * the names and contents of *.crt and *.pem count. One that is not there counts as empty: it is told when it appears.
 * Repeatable: after each reload.
 */
void fg_watch_set(struct fg_watch *watch, const char *const *paths, size_t n);
/* changed() is not called any more; closed() later, once the loop holds nothing of it. NULL: closed(arg) at once. */
void fg_watch_close(struct fg_watch *watch, fg_done_cb closed, void *arg);
