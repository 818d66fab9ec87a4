/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long the loop is away from its sockets: the time between two looks at them, which callbacks spent. Loop thread
 * only; costs two readings of the clock for each turn of the loop.
 */
#pragma once

#include <uv.h>

#include "base/metric.h"

#define FG_STALL_SLOTS   7u    /* of which the oldest is on its way out: the last minute, and up to ten seconds more */
#define FG_STALL_SLOT_MS 10000u

struct fg_stall {
    uv_prepare_t prepare; /* runs right before the loop looks at its sockets */
    bool open;
    uint64_t last_ns, idle_ns; /* at the last look: the time, and how long the loop had slept in all; 0: none so far */
    uint64_t slot;             /* FG_STALL_SLOT_MS since the clock's start */
    uint64_t slots[FG_STALL_SLOTS]; /* the longest stall in each, ns, as a ring by slot number */
    uint64_t longest;               /* since the start, ns */
    struct fg_metric *busy;         /* borrowed */
    fg_done_cb closed;
    void *closed_arg;
};

/* Before the loop runs. @metrics: borrowed; fragua_loop_busy_seconds. Does not keep the loop alive. */
void fg_stall_start(struct fg_stall *stall, uv_loop_t *loop, struct fg_metrics *metrics);
void fg_stall_close(struct fg_stall *stall, fg_done_cb closed, void *arg); /* not started: closed(arg) at once */
/* Notes that callbacks took so long until now. For tests; the loop does it by itself. */
void fg_stall_note(struct fg_stall *stall, uint64_t now_ns, uint64_t busy_ns);
double fg_stall_longest_minute(const struct fg_stall *stall, uint64_t now_ns); /* seconds */
double fg_stall_longest(const struct fg_stall *stall);                         /* seconds, since the start */
