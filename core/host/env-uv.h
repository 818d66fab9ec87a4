/* SPDX-License-Identifier: Apache-2.0 */
/* The flow's environment (flow/env.h) on libuv timers and a pool of worker threads. */
#pragma once

#include <uv.h>

#include "flow/env.h"

#define FG_WORKERS_MAX 64u

/* @workers: threads, 1..FG_WORKERS_MAX; 0: as many as the process may use cores. All signals are blocked in them. */
int fg_env_uv_new(uv_loop_t *loop, const struct fg_clock *clock, unsigned workers, struct fg_env **ret,
                  struct fg_error *err);
/* After the last work is done and all timers are freed: ends the threads; closed(arg) when the handles are gone. */
void fg_env_uv_close(struct fg_env *env, fg_done_cb closed, void *arg);
/* Works waiting for or on a worker. */
size_t fg_env_uv_pending(const struct fg_env *env);
