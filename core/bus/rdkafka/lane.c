/* SPDX-License-Identifier: Apache-2.0 */
/* A thread beside the loop for blocking calls. */
#include "bus/rdkafka/lane.h"

#include <string.h>

#include "base/assert.h"

void fg_signals_block(sigset_t *ret_old)
{
    sigset_t all;

    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, ret_old);
}

void fg_signals_restore(const sigset_t *old)
{
    (void)pthread_sigmask(SIG_SETMASK, old, NULL);
}

/* The next job; NULL: the lane ends, or (with an idle hook) there is none now. */
static struct fg_lane_job *next_job(struct fg_lane *lane, bool *ret_stop)
{
    struct fg_list *link;

    pthread_mutex_lock(&lane->lock);
    while (!(link = fg_list_pop(&lane->jobs)) && !lane->stop && !lane->hooks.idle)
        pthread_cond_wait(&lane->wake, &lane->lock);
    *ret_stop = !link && lane->stop;
    pthread_mutex_unlock(&lane->lock);
    return link ? fg_container_of(link, struct fg_lane_job, link) : NULL;
}

static void *lane_main(void *arg)
{
    struct fg_lane *lane = arg;
    struct fg_lane_job *job;
    bool stop;

    (void)pthread_setname_np(pthread_self(), lane->name);
    for (;;) {
        job = next_job(lane, &stop);
        if (stop)
            break;
        if (!job) {
            lane->hooks.idle(lane->hooks.arg);
            continue;
        }
        job->run(job);
        pthread_mutex_lock(&lane->lock);
        fg_list_append(&lane->finished, &job->link);
        pthread_mutex_unlock(&lane->lock);
        uv_async_send(&lane->async);
    }
    pthread_mutex_lock(&lane->lock);
    lane->ended = true;
    /* Inside the lock: after it the loop may join this thread and close the handle. */
    uv_async_send(&lane->async);
    pthread_mutex_unlock(&lane->lock);
    return NULL;
}

static void on_closed(uv_handle_t *handle)
{
    struct fg_lane *lane = handle->data;

    fg_assert(fg_list_empty(&lane->jobs));
    fg_assert(fg_list_empty(&lane->finished));
    pthread_mutex_destroy(&lane->lock);
    pthread_cond_destroy(&lane->wake);
    if (lane->closed)
        lane->closed(lane->closed_arg);
}

static void on_async(uv_async_t *async)
{
    struct fg_lane *lane = async->data;
    struct fg_list *link;
    bool ended;

    for (;;) {
        pthread_mutex_lock(&lane->lock);
        link = fg_list_pop(&lane->finished);
        ended = lane->ended;
        pthread_mutex_unlock(&lane->lock);
        if (!link)
            break;
        struct fg_lane_job *job = fg_container_of(link, struct fg_lane_job, link);
        job->done(job);
    }
    if (lane->hooks.woken)
        lane->hooks.woken(lane->hooks.arg);
    if (ended && !uv_is_closing((uv_handle_t *)async)) {
        (void)pthread_join(lane->thread, NULL);
        uv_close((uv_handle_t *)async, on_closed);
    }
}

int fg_lane_open(struct fg_lane *lane, const char *name, uv_loop_t *loop, const struct fg_lane_hooks *hooks)
{
    sigset_t old;
    int r;

    fg_assert(strlen(name) < FG_LANE_NAME_MAX);
    *lane = (struct fg_lane){.hooks = *hooks, .name = name, .loop = pthread_self()};
    fg_list_init(&lane->jobs);
    fg_list_init(&lane->finished);
    if ((r = uv_async_init(loop, &lane->async, on_async)) < 0)
        return r;
    lane->async.data = lane;
    pthread_mutex_init(&lane->lock, NULL);
    pthread_cond_init(&lane->wake, NULL);
    fg_signals_block(&old);
    r = pthread_create(&lane->thread, NULL, lane_main, lane);
    fg_signals_restore(&old);
    fg_assert(r == 0); /* no thread: no memory, or a limit of the system that no retry mends */
    return 0;
}

/* With the lock held, so that what nudge() uses is still there: the lane cannot have begun the job yet. */
static void append(struct fg_lane *lane, struct fg_lane_job *job)
{
    fg_assert(fg_lane_is_loop(lane));
    fg_assert(!lane->stop);
    fg_list_append(&lane->jobs, &job->link);
    pthread_cond_signal(&lane->wake);
    if (lane->hooks.nudge)
        lane->hooks.nudge(lane->hooks.arg);
}

void fg_lane_post(struct fg_lane *lane, struct fg_lane_job *job)
{
    pthread_mutex_lock(&lane->lock);
    append(lane, job);
    pthread_mutex_unlock(&lane->lock);
}

bool fg_lane_is_loop(const struct fg_lane *lane)
{
    return pthread_equal(pthread_self(), lane->loop) != 0;
}

void fg_lane_nudge_loop(struct fg_lane *lane)
{
    uv_async_send(&lane->async);
}

void fg_lane_close(struct fg_lane *lane, struct fg_lane_job *job, fg_done_cb closed, void *arg)
{
    lane->closed = closed;
    lane->closed_arg = arg;
    pthread_mutex_lock(&lane->lock);
    append(lane, job);
    lane->stop = true;
    pthread_mutex_unlock(&lane->lock);
}
