/* SPDX-License-Identifier: Apache-2.0 */
/* The flow's environment (flow/env.h) on libuv timers and a pool of worker threads. Loop thread only, but for run(). */
#pragma once

#include <uv.h>

#include "flow/env.h"

#define FG_WORKERS_MAX 64u

/* @workers: threads, 1..FG_WORKERS_MAX; 0: as many as the process may use cores. All signals are blocked in them. */
int fg_env_uv_new(uv_loop_t *loop, const struct fg_clock *clock, unsigned workers, struct fg_env **ret,
                  struct fg_error *err);
/* How many threads an option of @workers comes to. */
unsigned fg_env_uv_workers(unsigned workers);
/*
 * After the last work is done and all timers are freed: ends the threads, and waits for that; closed(arg) from the
 * loop, when the handles and the memory are gone.
 */
void fg_env_uv_close(struct fg_env *env, fg_done_cb closed, void *arg);
/*
 * fg_env_uv_resize() - another number of worker threads, while works are under way
 * @workers: as of fg_env_uv_new()
 * @done: runs once, later and from the loop, when env->n_workers is @workers and no other worker runs
 *
 * Growing: env->n_workers is the new number when this returns, and works run on the new workers from then on: what has
 * an entry for each worker must be larger before. Shrinking: the workers with the highest numbers end after the work
 * they have; env->n_workers is the old number until just before done(), so what has an entry for each may become
 * smaller in done() and not before.
 *
 * Errors, and then nothing has changed and done() is not called: FG_E_LIMIT, a thread cannot be started;
 * FG_E_UNAVAILABLE, the last resize is not done yet. Closing drops a done() that has not run.
 */
int fg_env_uv_resize(struct fg_env *env, unsigned workers, fg_done_cb done, void *arg, struct fg_error *err);
/* Works waiting for or on a worker. */
size_t fg_env_uv_pending(const struct fg_env *env);
