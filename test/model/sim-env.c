/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated process: a bag of events, of which the next one due happens. */
#include "sim-env.h"

#include <stdlib.h>

#include "base/mem.h"

struct sim_event {
    struct fg_list link;  /* sim::events */
    uint64_t at_ms, rank; /* rank decides among those due together */
    fg_timer_cb cb;
    void *arg;
    struct fg_env_timer *timer; /* NULL: a posted one */
};

struct fg_env_timer {
    struct sim *sim;
    fg_timer_cb cb;
    void *arg;
    struct sim_event *event; /* NULL: not running */
};

static uint64_t next_random(struct sim *sim)
{
    /* splitmix64 */
    uint64_t z = (sim->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t sim_random(struct sim *sim, uint64_t n)
{
    return next_random(sim) % n;
}

static struct sim_event *event_add(struct sim *sim, uint64_t after_ms, fg_timer_cb cb, void *arg)
{
    struct sim_event *event = fg_calloc(1, sizeof(*event));
    event->at_ms = sim->now_ms + after_ms;
    event->rank = next_random(sim);
    event->cb = cb;
    event->arg = arg;
    fg_list_append(&sim->events, &event->link);
    return event;
}

void sim_post(struct sim *sim, uint64_t after_ms, fg_timer_cb cb, void *arg)
{
    event_add(sim, after_ms, cb, arg);
}

static struct fg_env_timer *timer_new(struct fg_env *env, fg_timer_cb cb, void *arg)
{
    struct fg_env_timer *timer = fg_calloc(1, sizeof(*timer));
    timer->sim = fg_container_of(env, struct sim, env);
    timer->cb = cb;
    timer->arg = arg;
    return timer;
}

static void timer_stop(struct fg_env_timer *timer)
{
    if (!timer->event)
        return;
    fg_list_remove(&timer->event->link);
    free(timer->event);
    timer->event = NULL;
}

static void timer_start(struct fg_env_timer *timer, uint64_t after_ms)
{
    timer_stop(timer);
    timer->event = event_add(timer->sim, after_ms, timer->cb, timer->arg);
    timer->event->timer = timer;
}

static void timer_free(struct fg_env_timer *timer)
{
    if (timer)
        timer_stop(timer);
    free(timer);
}

struct work_event {
    struct sim *sim;
    struct fg_work *work;
};

static void work_done(void *arg)
{
    struct fg_work *work = arg;
    work->done(work);
}

static void work_run(void *arg)
{
    struct work_event *w = arg;
    w->work->run(w->work, (unsigned)sim_random(w->sim, w->sim->env.n_workers));
    sim_post(w->sim, sim_random(w->sim, 2), work_done, w->work);
    free(w);
}

static void submit(struct fg_env *env, struct fg_work *work)
{
    struct work_event *w = fg_calloc(1, sizeof(*w));
    w->sim = fg_container_of(env, struct sim, env);
    w->work = work;
    sim_post(w->sim, sim_random(w->sim, w->sim->work_ms_max + 1), work_run, w);
}

static uint64_t env_random(struct fg_env *env)
{
    return next_random(fg_container_of(env, struct sim, env));
}

static uint64_t mono_ns(void *arg)
{
    return ((struct sim *)arg)->now_ms * 1000000u;
}

static int64_t wall_ms(void *arg)
{
    struct sim *sim = arg;
    return sim->wall_start_ms + (int64_t)sim->now_ms;
}

void sim_init(struct sim *sim, uint64_t seed, unsigned n_workers)
{
    static const struct fg_env_ops ops = {
        .timer_new = timer_new,
        .timer_start = timer_start,
        .timer_stop = timer_stop,
        .timer_free = timer_free,
        .submit = submit,
        .random = env_random,
    };

    *sim = (struct sim){.state = seed, .wall_start_ms = 1764000000000, .now_ms = 1000, .work_ms_max = 3};
    sim->clock = (struct fg_clock){mono_ns, wall_ms, sim};
    sim->env = (struct fg_env){&ops, &sim->clock, n_workers};
    fg_list_init(&sim->events);
}

void sim_deinit(struct sim *sim)
{
    struct fg_list *l;
    while ((l = fg_list_pop(&sim->events))) {
        struct sim_event *event = fg_container_of(l, struct sim_event, link);
        if (event->timer)
            event->timer->event = NULL;
        free(event);
    }
}

static struct sim_event *next_event(struct sim *sim)
{
    struct sim_event *first = NULL;
    for (struct fg_list *l = sim->events.next; l != &sim->events; l = l->next) {
        struct sim_event *event = fg_container_of(l, struct sim_event, link);
        if (!first || event->at_ms < first->at_ms || (event->at_ms == first->at_ms && event->rank < first->rank))
            first = event;
    }
    return first;
}

bool sim_run_until(struct sim *sim, uint64_t limit_ms, bool (*holds)(void *arg), void *arg)
{
    uint64_t end_ms = sim->now_ms + limit_ms;
    struct sim_event *event;

    while (!holds(arg)) {
        fg_timer_cb cb;
        void *cb_arg;

        event = next_event(sim);
        if (!event || event->at_ms > end_ms) {
            sim->now_ms = end_ms;
            return false;
        }
        sim->now_ms = event->at_ms;
        sim->n_steps++;
        cb = event->cb;
        cb_arg = event->arg;
        if (event->timer)
            event->timer->event = NULL;
        fg_list_remove(&event->link);
        free(event);
        cb(cb_arg);
    }
    return true;
}

static bool never(void *arg)
{
    return false;
}

void sim_run_for(struct sim *sim, uint64_t ms)
{
    sim_run_until(sim, ms, never, NULL);
}
