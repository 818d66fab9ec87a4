/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long the loop is away from its sockets: the time between two looks at them, which callbacks spent. Loop thread
 * only; costs readings of two clocks for each turn of the loop. A machine that has no time for us shows as a stall that
 * took little of the processor.
 */
#pragma once

#include <uv.h>

#include "base/metric.h"

#define FG_STALL_SLOTS   7u    /* of which the oldest is on its way out: the last minute, and up to ten seconds more */
#define FG_STALL_SLOT_MS 10000u

/* The longest of something in the last minute, and since the start. */
struct fg_stall_peak {
    uint64_t slots[FG_STALL_SLOTS]; /* ns, as a ring by slot number */
    uint64_t longest;               /* ns */
};

struct fg_stall {
    uv_prepare_t prepare; /* runs right before the loop looks at its sockets */
    bool open;
    uint64_t last_cpu_ns;      /* the thread's, then */
    uint64_t last_ns, idle_ns; /* at the last look: the time, and how long the loop had slept in all; 0: none so far */
    uint64_t slot;             /* FG_STALL_SLOT_MS since the clock's start */
    struct fg_stall_peak wall, cpu; /* how long it took, and how much of that the thread worked */
    struct fg_metric *busy;         /* borrowed */
    fg_done_cb closed;
    void *closed_arg;
};

extern const struct fg_metric_decl fg_stall_busy; /* metrics.c: fragua_loop_busy_seconds */

/* Before the loop runs. @metrics: fragua_loop_busy_seconds. Both borrowed until closed. Keeps no loop alive. */
void fg_stall_start(struct fg_stall *stall, uv_loop_t *loop, struct fg_metrics *metrics);
void fg_stall_close(struct fg_stall *stall, fg_done_cb closed, void *arg); /* not started: closed(arg) at once */
/* Notes that callbacks took so long until now, and so much of the processor. For tests; the loop does it by itself. */
void fg_stall_note(struct fg_stall *stall, uint64_t now_ns, uint64_t busy_ns, uint64_t cpu_ns);
/* Of one of its peaks: seconds */
double fg_stall_longest_minute(const struct fg_stall *stall, const struct fg_stall_peak *peak, uint64_t now_ns);
double fg_stall_longest(const struct fg_stall_peak *peak);
