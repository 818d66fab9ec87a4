/* SPDX-License-Identifier: Apache-2.0 */
/* The flow's environment on libuv timers and a pool of worker threads. */
#include "host/env-uv.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

struct fg_env_timer {
    uv_timer_t uv;
    fg_timer_cb cb;
    void *arg;
};

struct env_uv;

struct worker {
    struct env_uv *env;
    pthread_t thread;
    unsigned number;
};

struct env_uv {
    struct fg_env env; /* first */
    uv_loop_t *loop;
    uv_async_t wake;
    pthread_mutex_t lock; /* guards queued, finished, stopping, limit, n_left */
    pthread_cond_t more;
    struct fg_list queued;   /* of fg_work::link */
    struct fg_list finished; /* of fg_work::link */
    bool stopping;
    unsigned limit;  /* workers with this number or a higher one end */
    unsigned n_left; /* so many of them have */
    size_t pending;  /* loop thread: submitted, not yet done() */
    struct worker workers[FG_WORKERS_MAX];
    bool resizing;
    fg_done_cb resized;
    void *resized_arg;
    fg_done_cb closed;
    void *closed_arg;
};

static void timer_fired(uv_timer_t *uv)
{
    struct fg_env_timer *timer = uv->data;

    timer->cb(timer->arg);
}

static struct fg_env_timer *timer_new(struct fg_env *env, fg_timer_cb cb, void *arg)
{
    struct env_uv *e = fg_container_of(env, struct env_uv, env);
    struct fg_env_timer *timer = fg_calloc(1, sizeof(*timer));
    int r = uv_timer_init(e->loop, &timer->uv);

    fg_assert(r == 0);
    timer->uv.data = timer;
    timer->cb = cb;
    timer->arg = arg;
    return timer;
}

static void timer_start(struct fg_env_timer *timer, uint64_t after_ms)
{
    /* the loop's notion of now may be old after a long callback */
    uv_update_time(timer->uv.loop);
    (void)uv_timer_start(&timer->uv, timer_fired, after_ms, 0);
}

static void timer_stop(struct fg_env_timer *timer)
{
    (void)uv_timer_stop(&timer->uv);
}

static void timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void timer_free(struct fg_env_timer *timer)
{
    if (timer)
        uv_close((uv_handle_t *)&timer->uv, timer_closed);
}

static void submit(struct fg_env *env, struct fg_work *work)
{
    struct env_uv *e = fg_container_of(env, struct env_uv, env);

    e->pending++;
    pthread_mutex_lock(&e->lock);
    fg_assert(!e->stopping);
    fg_list_append(&e->queued, &work->link);
    pthread_cond_signal(&e->more);
    pthread_mutex_unlock(&e->lock);
}

static uint64_t random_u64(struct fg_env *env)
{
    (void)env;
    return fg_random_u64();
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    struct env_uv *e = worker->env;
    bool surplus;

    pthread_mutex_lock(&e->lock);
    for (;;) {
        struct fg_list *link = NULL;
        struct fg_work *work;
        bool first;

        while (!(surplus = worker->number >= e->limit) && !(link = fg_list_pop(&e->queued)) && !e->stopping)
            pthread_cond_wait(&e->more, &e->lock);
        if (!link)
            break;
        pthread_mutex_unlock(&e->lock);
        work = fg_container_of(link, struct fg_work, link);
        work->run(work, worker->number);
        pthread_mutex_lock(&e->lock);
        first = fg_list_empty(&e->finished);
        fg_list_append(&e->finished, &work->link);
        if (first)
            (void)uv_async_send(&e->wake);
    }
    if (surplus) {
        e->n_left++;
        pthread_cond_signal(&e->more); /* the signal for a new work may have woken this one */
        (void)uv_async_send(&e->wake);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

/* Once the surplus workers are at their end and their last works are done(): joins them, tells who asked. */
static void end_resize(struct env_uv *e)
{
    unsigned limit;
    bool over;

    pthread_mutex_lock(&e->lock);
    limit = e->limit;
    over = e->n_left == e->env.n_workers - limit && fg_list_empty(&e->finished);
    pthread_mutex_unlock(&e->lock);
    if (!over)
        return;
    for (unsigned i = limit; i < e->env.n_workers; i++)
        (void)pthread_join(e->workers[i].thread, NULL);
    e->env.n_workers = limit;
    e->resizing = false;
    if (e->resized)
        e->resized(e->resized_arg);
}

/* All that finished by now; what finishes meanwhile sends another wake, because the list was seen empty. */
static void finished_cb(uv_async_t *async)
{
    struct env_uv *e = async->data;
    struct fg_list batch, *link;

    fg_list_init(&batch);
    pthread_mutex_lock(&e->lock);
    while ((link = fg_list_pop(&e->finished)))
        fg_list_append(&batch, link);
    pthread_mutex_unlock(&e->lock);
    while ((link = fg_list_pop(&batch))) {
        struct fg_work *work = fg_container_of(link, struct fg_work, link);
        e->pending--;
        work->done(work);
    }
    if (e->resizing)
        end_resize(e);
}

static const struct fg_env_ops ops = {
    .timer_new = timer_new,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .timer_free = timer_free,
    .submit = submit,
    .random = random_u64,
};

static unsigned cores(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned)CPU_COUNT(&set);
    return 1;
}

static void join_workers(struct env_uv *e)
{
    pthread_mutex_lock(&e->lock);
    e->stopping = true;
    pthread_cond_broadcast(&e->more);
    pthread_mutex_unlock(&e->lock);
    for (unsigned i = 0; i < e->env.n_workers; i++)
        (void)pthread_join(e->workers[i].thread, NULL);
}

/*
 * Starts workers number `from` and up, until there are `to`; returns how many there are then. With the lock held they
 * do nothing before it is released.
 */
static unsigned start_workers(struct env_uv *e, unsigned from, unsigned to)
{
    sigset_t all, old;
    unsigned i;

    /* signals belong to the loop's thread: a worker must not catch them */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (i = from; i < to; i++) {
        e->workers[i].env = e;
        e->workers[i].number = i;
        if ((errno = pthread_create(&e->workers[i].thread, NULL, worker_main, &e->workers[i])) != 0)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return i;
}

unsigned fg_env_uv_workers(unsigned workers)
{
    workers = workers ? workers : cores();
    return workers > FG_WORKERS_MAX ? FG_WORKERS_MAX : workers;
}

static void wake_closed(uv_handle_t *handle)
{
    struct env_uv *e = handle->data;
    fg_done_cb closed = e->closed;
    void *arg = e->closed_arg;

    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->more);
    free(e);
    if (closed)
        closed(arg);
}

static int cannot_start(struct fg_error *err)
{
    return fg_raise(fg_error_set(err, FG_E_LIMIT, 0, "cannot start a worker thread: %s", fg_errno_text(errno)));
}

int fg_env_uv_new(uv_loop_t *loop, const struct fg_clock *clock, unsigned workers, struct fg_env **ret,
                  struct fg_error *err)
{
    struct env_uv *e = fg_calloc(1, sizeof(*e));
    int r;

    workers = fg_env_uv_workers(workers);
    e->env.ops = &ops;
    e->env.clock = clock;
    e->loop = loop;
    fg_list_init(&e->queued);
    fg_list_init(&e->finished);
    (void)pthread_mutex_init(&e->lock, NULL);
    (void)pthread_cond_init(&e->more, NULL);
    r = uv_async_init(loop, &e->wake, finished_cb);
    if (r != 0) {
        free(e);
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "cannot make a wake-up handle for the workers: %s",
                                     uv_strerror(r)));
    }
    e->wake.data = e;
    pthread_mutex_lock(&e->lock);
    e->limit = e->env.n_workers = start_workers(e, 0, workers);
    pthread_mutex_unlock(&e->lock);
    if (e->env.n_workers == 0) {
        uv_close((uv_handle_t *)&e->wake, wake_closed);
        return cannot_start(err);
    }
    *ret = &e->env;
    return 0;
}

void fg_env_uv_close(struct fg_env *env, fg_done_cb closed, void *arg)
{
    struct env_uv *e = fg_container_of(env, struct env_uv, env);

    fg_assert(e->pending == 0);
    join_workers(e);
    e->closed = closed;
    e->closed_arg = arg;
    uv_close((uv_handle_t *)&e->wake, wake_closed);
}

/* All of them or none: those that were started find themselves over the limit, and end without a look at the queue. */
static int grow(struct env_uv *e, unsigned workers, struct fg_error *err)
{
    unsigned before = e->env.n_workers, n;

    pthread_mutex_lock(&e->lock);
    n = start_workers(e, before, workers);
    if (n == workers)
        e->limit = workers;
    pthread_mutex_unlock(&e->lock);
    if (n == workers) {
        e->env.n_workers = workers;
        return 0;
    }
    (void)cannot_start(err);
    for (unsigned i = before; i < n; i++)
        (void)pthread_join(e->workers[i].thread, NULL);
    return -FG_E_LIMIT;
}

int fg_env_uv_resize(struct fg_env *env, unsigned workers, fg_done_cb done, void *arg, struct fg_error *err)
{
    struct env_uv *e = fg_container_of(env, struct env_uv, env);
    int r = 0;

    if (e->resizing)
        return fg_raise(fg_error_set(err, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE,
                                     "cannot change the number of workers: some still end since the last change"));
    workers = fg_env_uv_workers(workers);
    if (workers > env->n_workers)
        r = grow(e, workers, err);
    if (r < 0)
        return fg_pass(r);
    e->resizing = true;
    e->resized = done;
    e->resized_arg = arg;
    pthread_mutex_lock(&e->lock);
    e->limit = workers;
    e->n_left = 0;
    pthread_cond_broadcast(&e->more);
    pthread_mutex_unlock(&e->lock);
    (void)uv_async_send(&e->wake); /* where nobody leaves, done() still comes later */
    return 0;
}

size_t fg_env_uv_pending(const struct fg_env *env)
{
    return ((const struct env_uv *)env)->pending; /* env is its first member */
}
