/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A simulated process for the flow: time is a number, timers and workers run in turn, chance comes from a seed. One
 * seed is one run. One thread.
 */
#pragma once

#include "flow/env.h"

struct sim {
    struct fg_env env; /* hand out &sim->env */
    struct fg_clock clock;
    uint64_t now_ms;
    int64_t wall_start_ms; /* Unix time at now_ms 0 */
    uint64_t state;        /* of the generator */
    struct fg_list events; /* of struct sim_event, unsorted */
    uint64_t seq;
    uint64_t work_ms_max; /* a piece of work takes up to so long */
    size_t n_steps;
};

void sim_init(struct sim *sim, uint64_t seed, unsigned n_workers);
void sim_deinit(struct sim *sim);                 /* events that are left are dropped */
uint64_t sim_random(struct sim *sim, uint64_t n); /* 0..n-1; n >= 1 */
/* Calls cb(arg) after so long, once. Those due at the same time come in an order of chance. */
void sim_post(struct sim *sim, uint64_t after_ms, fg_timer_cb cb, void *arg);
/* Runs until the condition holds (true), or so much simulated time has passed, or nothing is left to happen (false). */
bool sim_run_until(struct sim *sim, uint64_t limit_ms, bool (*holds)(void *arg), void *arg);
void sim_run_for(struct sim *sim, uint64_t ms);
