/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the flow needs of the process around it: time, timers, workers, chance. The host makes one on libuv and threads;
 * a simulation makes one where time is a number and workers run in turn, so one seed is one run. Loop thread only, but
 * for run().
 */
#pragma once

#include "base/clock.h"
#include "base/list.h"
#include "fragua/host.h"

struct fg_env;
struct fg_env_timer;

/* A piece of work. Embedded in its owner's struct, untouched by the owner from submit to done. */
struct fg_work {
    void (*run)(struct fg_work *work, unsigned worker); /* on worker thread number `worker`, 0..n_workers-1 */
    void (*done)(struct fg_work *work);                 /* on the loop thread */
    struct fg_list link;                                /* the environment's */
};

struct fg_env_ops {
    struct fg_env_timer *(*timer_new)(struct fg_env *env, fg_timer_cb cb, void *arg); /* the caller's; never NULL */
    void (*timer_start)(struct fg_env_timer *timer, uint64_t after_ms); /* once; anew if it runs already */
    void (*timer_stop)(struct fg_env_timer *timer);
    void (*timer_free)(struct fg_env_timer *timer);           /* NULL allowed; in its own callback too */
    void (*submit)(struct fg_env *env, struct fg_work *work); /* run and done both happen, in any order among works */
    uint64_t (*random)(struct fg_env *env);
};

struct fg_env {
    const struct fg_env_ops *ops;
    const struct fg_clock *clock;
    unsigned n_workers; /* >= 1 */
};

static inline uint64_t fg_env_now_ms(const struct fg_env *env)
{
    return fg_clock_mono_ns(env->clock) / 1000000u;
}
