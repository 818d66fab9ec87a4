/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells when files changed on disk: their content, not their times. Loop thread only.
 *
 * The folders they stand in are watched, never the files: so the `..data` rename of a mounted ConfigMap or Secret, an
 * editor's write-and-rename, and a file or folder that vanishes and comes back are all seen. Symbolic links are
 * followed one by one, and the folder of each is watched. After an event nothing is looked at until it was quiet for
 * `settle_ms`, or five times that under events without end; then SHA-256 decides. Where the kernel has no watch left,
 * every FG_WATCH_LOOK_MS is looked instead, and the log says what to raise.
 *
 * A reload that must miss nothing calls fg_watch_seen(), reads the files, and calls fg_watch_set() with what the new
 * configuration names.
 */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "base/log.h"

#define FG_WATCH_FILE_MAX    (16 * 1024 * 1024) /* bytes; of a larger file its size and times count, not its content */
#define FG_WATCH_LOOK_MS     10000u             /* between two looks where events cannot be had */
#define FG_WATCH_SETTLES_MAX 5u                 /* times settle_ms: the longest wait after a first event */

struct fg_watch;

/* Copied; what it points to is borrowed until the watch is closed. */
struct fg_watch_config {
    uv_loop_t *loop;
    uint64_t settle_ms;
    uint64_t look_ms; /* 0: FG_WATCH_LOOK_MS */
    /*
     * Called once for each of the paths given to fg_watch_set() whose content differs from what was seen, which then
     * counts as seen. fg_watch_seen(), fg_watch_set() and fg_watch_close() may be called from inside. @path: as it was
     * given, borrowed for the call.
     */
    void (*changed)(void *arg, const char *path);
    void *arg;
    struct fg_logger logger;
};

/* Negative with err: the loop takes no more. Without inotify it looks from time to time, and warns. */
int fg_watch_new(const struct fg_watch_config *config, struct fg_watch **ret, struct fg_error *err);
/* What the watched files hold now counts as seen, what happened to them before is over. Reads them all. */
void fg_watch_seen(struct fg_watch *watch);
/*
 * The files and folders to watch from now on (copied); repeatable. Of one that was not watched before, the content of
 * this moment counts as seen; of one that was, what was seen last, so that nothing is lost in between. Of a folder the
 * names and contents of *.crt and *.pem count. One that is not there is told when it appears.
 */
void fg_watch_set(struct fg_watch *watch, const char *const *paths, size_t n);
/* From the next change on. */
void fg_watch_set_settle(struct fg_watch *watch, uint64_t settle_ms);
/* changed() is not called any more; closed() later, once the loop holds nothing of it. NULL: closed(arg) at once. */
void fg_watch_close(struct fg_watch *watch, fg_done_cb closed, void *arg);
