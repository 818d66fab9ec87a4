/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: one thread beside the loop that runs blocking calls one after the other, and brings their ends back to the
 * loop.
 *
 * What a job may count on:
 * - every job that was posted is run, once, in order, also when a close stands behind it; there is no way to take one
 *   back, so one that waits for long looks at a flag of its owner's
 * - done() comes once for each, in the same order, from the loop and never from inside a call; it may post another,
 *   and it may close the lane
 * - woken() comes after the done() of what has ended, so also after that of the last job: it looks whether its owner
 *   is closing before it touches what that job has freed
 * - closed() comes when the thread has ended and all done() are through; the lane's memory is in use until then
 *
 * All signals are blocked on the thread. Loop thread only, which is asserted, but for fg_lane_nudge_loop() and what is
 * marked [lane].
 */
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <uv.h>

#include "base/list.h"
#include "fragua/host.h"

/*
 * Embed in a job of your own; run() and done() find it by fg_container_of(). The loop's before post and from done() on,
 * the lane's in between.
 */
struct fg_lane_job {
    struct fg_list link;
    void (*run)(struct fg_lane_job *job);  /* [lane] */
    void (*done)(struct fg_lane_job *job); /* on the loop, once, after run(); frees the job */
};

struct fg_lane_hooks {
    /* [lane] Nothing to do: waits until nudge() or a while, whichever is first. NULL: the lane waits by itself. */
    void (*idle)(void *arg);
    /* [any thread] Ends the present or the next idle(). Mandatory with idle. */
    void (*nudge)(void *arg);
    /* On the loop, each time it was woken: jobs have ended, or fg_lane_nudge_loop(). Optional. */
    void (*woken)(void *arg);
    void *arg;
};

struct fg_lane {
    struct fg_lane_hooks hooks;
    const char *name; /* of the thread */
    uv_async_t async;
    pthread_t thread, loop;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct fg_list jobs, finished; /* of fg_lane_job::link */
    bool stop, ended;
    fg_done_cb closed;
    void *closed_arg;
};

#define FG_LANE_NAME_MAX 16 /* with its end mark: what Linux has room for */

/* @name: static, what the thread is called in ps and debuggers. Return: 0, or libuv's negative. */
int fg_lane_open(struct fg_lane *lane, const char *name, uv_loop_t *loop, const struct fg_lane_hooks *hooks);
void fg_lane_post(struct fg_lane *lane, struct fg_lane_job *job); /* takes it over until done(); in order */
void fg_lane_nudge_loop(struct fg_lane *lane);                    /* [any thread] */
bool fg_lane_is_loop(const struct fg_lane *lane); /* [any thread] the caller is on the loop: it must not block here */
/*
 * The last job: after its done() the thread ends, and closed(arg) says that the memory of the lane may be freed.
 * Nothing may be posted after it. The job may free what idle() and nudge() use: they are not called any more once it
 * runs.
 */
void fg_lane_close(struct fg_lane *lane, struct fg_lane_job *job, fg_done_cb closed, void *arg);

/* Blocks all signals, so that threads made meanwhile never take one; *ret_old for fg_signals_restore(). */
void fg_signals_block(sigset_t *ret_old);
void fg_signals_restore(const sigset_t *old);
