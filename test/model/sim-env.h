/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulated processes for the flow: time is a number, timers and workers run in turn, chance comes from a seed. One
 * seed is one run. One thread.
 *
 * Glossary:
 *   world    what is no process of ours: brokers, services, the one who breaks things. Its events are never held up
 *   process  what a fragua is for its flow: timers, workers, a clock. It can be stopped and go on (SIGSTOP, SIGCONT)
 */
#pragma once

#include "flow/env.h"

struct sim;
struct sim_event;

struct sim_process {
    struct fg_env env; /* hand out &process->env */
    struct fg_clock clock;
    struct sim *sim;
    const char *name;            /* borrowed, for the trace */
    bool frozen;                 /* see sim_freeze() */
    int64_t wall_skew_ms;        /* its wall clock goes wrong by so much */
    size_t n_events;             /* that are to come */
    struct sim_event **deferred; /* owned array of n_deferred, cap_deferred: due while it was frozen */
    size_t n_deferred, cap_deferred;
};

struct sim {
    union { /* where one process is enough, it is this, and the world too */
        struct {
            struct fg_env env;
            struct fg_clock clock;
        };
        struct sim_process self;
    };
    uint64_t now_ms;
    int64_t wall_start_ms;   /* Unix time at now_ms 0 */
    uint64_t state;          /* of the generator */
    struct sim_event **heap; /* owned array of n_heap, cap_heap: the one due next is the first */
    size_t n_heap, cap_heap;
    struct sim_event *spare; /* events to use again */
    uint64_t work_ms_max;    /* a piece of work takes up to so long */
    size_t n_steps;
    void (*trace)(void *arg, const char *line); /* NULL: nobody listens */
    void *trace_arg;
};

void sim_init(struct sim *sim, uint64_t seed, unsigned n_workers);
void sim_deinit(struct sim *sim);                 /* events that are left are dropped */
uint64_t sim_random(struct sim *sim, uint64_t n); /* 0..n-1; n >= 1 */
bool sim_chance(struct sim *sim, unsigned percent);
/* Calls cb(arg) after so long, once, in the world. Those due at the same time come in an order of chance. */
void sim_post(struct sim *sim, uint64_t after_ms, fg_timer_cb cb, void *arg);
/* Runs until the condition holds (true), or so much simulated time has passed, or nothing is left to happen (false). */
bool sim_run_until(struct sim *sim, uint64_t limit_ms, bool (*holds)(void *arg), void *arg);
void sim_run_for(struct sim *sim, uint64_t ms);

/* @name: borrowed. A process lies still in memory. */
void sim_process_init(struct sim *sim, struct sim_process *process, const char *name, unsigned n_workers);
void sim_process_deinit(struct sim_process *process); /* nothing of it may be left to happen */
void sim_process_post(struct sim_process *process, uint64_t after_ms, fg_timer_cb cb, void *arg);
/* What comes due while it is frozen happens when it goes on. Both are repeatable. */
void sim_freeze(struct sim_process *process);
void sim_thaw(struct sim_process *process);

/* One line of the trace: time and process are put before it. Costs nothing where nobody listens. */
#define sim_trace(process, ...)                   \
    do {                                          \
        if ((process)->sim->trace)                \
            sim_trace_line(process, __VA_ARGS__); \
    } while (0)
void sim_trace_line(const struct sim_process *process, const char *format, ...) __attribute__((format(printf, 2, 3)));
