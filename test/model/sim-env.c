/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated processes: a heap of events, of which the next one due happens. */
#include "sim-env.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define CATCH_UP_MS 4u /* a process that goes on does what came due within so long, in any order */

struct sim_event {
    uint64_t at_ms, rank; /* rank decides among those due together */
    size_t at;            /* its place in the heap */
    struct sim_process *process;
    fg_timer_cb cb;
    void *arg;
    struct fg_env_timer *timer; /* NULL: a posted one */
    bool deferred, cancelled;   /* it waits in its process, and is not wanted any more */
    struct sim_event *next;     /* sim::spare */
};

struct fg_env_timer {
    struct sim_process *process;
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

bool sim_chance(struct sim *sim, unsigned percent)
{
    return next_random(sim) % 100 < percent;
}

/* ---- the heap ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->rank < b->rank;
}

static void place(struct sim *sim, size_t at, struct sim_event *event)
{
    sim->heap[at] = event;
    event->at = at;
}

static void sift_up(struct sim *sim, size_t at, struct sim_event *event)
{
    while (at > 0 && before(event, sim->heap[(at - 1) / 2])) {
        place(sim, at, sim->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(sim, at, event);
}

static void sift_down(struct sim *sim, size_t at, struct sim_event *event)
{
    size_t child;

    while ((child = 2 * at + 1) < sim->n_heap) {
        if (child + 1 < sim->n_heap && before(sim->heap[child + 1], sim->heap[child]))
            child++;
        if (!before(sim->heap[child], event))
            break;
        place(sim, at, sim->heap[child]);
        at = child;
    }
    place(sim, at, event);
}

static void push(struct sim *sim, struct sim_event *event)
{
    if (sim->n_heap == sim->cap_heap) {
        sim->cap_heap = sim->cap_heap ? sim->cap_heap * 2 : 256;
        sim->heap = reallocarray(sim->heap, sim->cap_heap, sizeof(struct sim_event *));
        fg_assert(sim->heap);
    }
    sift_up(sim, sim->n_heap++, event);
}

static void take_out(struct sim *sim, struct sim_event *event)
{
    size_t at = event->at;
    struct sim_event *last = sim->heap[--sim->n_heap];

    if (last == event)
        return;
    if (at > 0 && before(last, sim->heap[(at - 1) / 2]))
        sift_up(sim, at, last);
    else
        sift_down(sim, at, last);
}

static struct sim_event *event_add(struct sim_process *process, uint64_t after_ms, fg_timer_cb cb, void *arg)
{
    struct sim *sim = process->sim;
    struct sim_event *event = sim->spare;

    if (event)
        sim->spare = event->next;
    else
        event = fg_malloc(sizeof(*event));
    *event = (struct sim_event){.process = process, .cb = cb, .arg = arg};
    event->at_ms = sim->now_ms + after_ms;
    event->rank = next_random(sim);
    process->n_events++;
    push(sim, event);
    return event;
}

static void event_free(struct sim_event *event)
{
    struct sim *sim = event->process->sim;
    event->process->n_events--;
    event->next = sim->spare;
    sim->spare = event;
}

void sim_post(struct sim *sim, uint64_t after_ms, fg_timer_cb cb, void *arg)
{
    event_add(&sim->self, after_ms, cb, arg);
}

void sim_process_post(struct sim_process *process, uint64_t after_ms, fg_timer_cb cb, void *arg)
{
    event_add(process, after_ms, cb, arg);
}

/* ---- a process as the flow sees it ---- */

static struct fg_env_timer *timer_new(struct fg_env *env, fg_timer_cb cb, void *arg)
{
    struct fg_env_timer *timer = fg_calloc(1, sizeof(*timer));
    timer->process = fg_container_of(env, struct sim_process, env);
    timer->cb = cb;
    timer->arg = arg;
    return timer;
}

static void timer_stop(struct fg_env_timer *timer)
{
    struct sim_event *event = timer->event;

    timer->event = NULL;
    if (!event)
        return;
    if (event->deferred) {
        event->cancelled = true;
        return;
    }
    take_out(timer->process->sim, event);
    event_free(event);
}

static void timer_start(struct fg_env_timer *timer, uint64_t after_ms)
{
    timer_stop(timer);
    timer->event = event_add(timer->process, after_ms, timer->cb, timer->arg);
    timer->event->timer = timer;
}

static void timer_free(struct fg_env_timer *timer)
{
    if (timer)
        timer_stop(timer);
    free(timer);
}

struct work_event {
    struct sim_process *process;
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
    struct sim *sim = w->process->sim;

    w->work->run(w->work, (unsigned)sim_random(sim, w->process->env.n_workers));
    event_add(w->process, sim_random(sim, 2), work_done, w->work);
    free(w);
}

static void submit(struct fg_env *env, struct fg_work *work)
{
    struct work_event *w = fg_calloc(1, sizeof(*w));
    struct sim *sim;

    w->process = fg_container_of(env, struct sim_process, env);
    w->work = work;
    sim = w->process->sim;
    event_add(w->process, sim_random(sim, sim->work_ms_max + 1), work_run, w);
}

static uint64_t env_random(struct fg_env *env)
{
    return next_random(fg_container_of(env, struct sim_process, env)->sim);
}

static uint64_t mono_ns(void *arg)
{
    return ((struct sim_process *)arg)->sim->now_ms * 1000000u;
}

static int64_t wall_ms(void *arg)
{
    struct sim_process *process = arg;
    return process->sim->wall_start_ms + (int64_t)process->sim->now_ms + process->wall_skew_ms;
}

void sim_process_init(struct sim *sim, struct sim_process *process, const char *name, unsigned n_workers)
{
    static const struct fg_env_ops ops = {
        .timer_new = timer_new,
        .timer_start = timer_start,
        .timer_stop = timer_stop,
        .timer_free = timer_free,
        .submit = submit,
        .random = env_random,
    };

    *process = (struct sim_process){.sim = sim, .name = name};
    process->clock = (struct fg_clock){mono_ns, wall_ms, process};
    process->env = (struct fg_env){&ops, &process->clock, n_workers};
}

void sim_process_deinit(struct sim_process *process)
{
    fg_assert(process->n_events == 0);
    free(process->deferred);
    process->deferred = NULL;
}

void sim_freeze(struct sim_process *process)
{
    process->frozen = true;
}

static void defer(struct sim_event *event)
{
    struct sim_process *process = event->process;

    if (process->n_deferred == process->cap_deferred) {
        process->cap_deferred = process->cap_deferred ? process->cap_deferred * 2 : 16;
        process->deferred = reallocarray(process->deferred, process->cap_deferred, sizeof(struct sim_event *));
        fg_assert(process->deferred);
    }
    event->deferred = true;
    process->deferred[process->n_deferred++] = event;
}

void sim_thaw(struct sim_process *process)
{
    struct sim *sim = process->sim;

    process->frozen = false;
    for (size_t i = 0; i < process->n_deferred; i++) {
        struct sim_event *event = process->deferred[i];
        if (event->cancelled) {
            event_free(event);
            continue;
        }
        event->deferred = false;
        event->at_ms = sim->now_ms + next_random(sim) % CATCH_UP_MS;
        event->rank = next_random(sim);
        push(sim, event);
    }
    process->n_deferred = 0;
}

/* ---- the run ---- */

void sim_init(struct sim *sim, uint64_t seed, unsigned n_workers)
{
    *sim = (struct sim){.state = seed, .wall_start_ms = 1764000000000, .now_ms = 1000, .work_ms_max = 3};
    sim_process_init(sim, &sim->self, "", n_workers);
}

void sim_deinit(struct sim *sim)
{
    struct sim_event *event;

    sim_thaw(&sim->self);
    while (sim->n_heap > 0) {
        event = sim->heap[0];
        take_out(sim, event);
        if (event->timer)
            event->timer->event = NULL;
        event_free(event);
    }
    while ((event = sim->spare)) {
        sim->spare = event->next;
        free(event);
    }
    free(sim->heap);
    sim->heap = NULL;
    sim_process_deinit(&sim->self);
}

static void step(struct sim *sim)
{
    struct sim_event *event = sim->heap[0];
    fg_timer_cb cb = event->cb;
    void *arg = event->arg;

    take_out(sim, event);
    sim->now_ms = event->at_ms;
    if (event->process->frozen) {
        defer(event);
        return;
    }
    sim->n_steps++;
    if (event->timer)
        event->timer->event = NULL;
    event_free(event);
    cb(arg);
}

bool sim_run_until(struct sim *sim, uint64_t limit_ms, bool (*holds)(void *arg), void *arg)
{
    uint64_t end_ms = sim->now_ms + limit_ms;

    while (!holds(arg)) {
        if (!sim->n_heap || sim->heap[0]->at_ms > end_ms) {
            sim->now_ms = end_ms;
            return false;
        }
        step(sim);
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

void sim_trace_line(const struct sim_process *process, const char *format, ...)
{
    struct sim *sim = process->sim;
    char line[320];
    va_list ap;
    int n;

    n = snprintf(line, sizeof(line), "%9.3f %-6s ", (double)sim->now_ms / 1000, process->name);
    va_start(ap, format);
    (void)vsnprintf(line + n, sizeof(line) - (size_t)n, format, ap);
    va_end(ap);
    sim->trace(sim->trace_arg, line);
}
