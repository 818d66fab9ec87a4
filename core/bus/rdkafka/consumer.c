/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer's life: opened, subscribed, looked after each second, closed off the loop. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/clock.h"
#include "bus/rdkafka/rdkafka-private.h"

struct consumer_job {
    struct fg_lane_job job;
    struct fg_bus_consumer *c;
    rd_kafka_topic_partition_list_t *list; /* owned: what was found */
};

/* [any thread] librdkafka's, under its queue's lock: nothing of it may be called from here. */
static void on_queue(rd_kafka_t *rk, void *opaque)
{
    struct fg_bus_consumer *c = opaque;

    (void)rk;
    fg_lane_nudge_loop(&c->lane);
}

static struct consumer_job *job_new(struct fg_bus_consumer *c, void (*run)(struct fg_lane_job *),
                                    void (*done)(struct fg_lane_job *))
{
    struct consumer_job *job = fg_calloc(1, sizeof(*job));

    job->job.run = run;
    job->job.done = done;
    job->c = c;
    return job;
}

static void run_subscribe(struct fg_lane_job *base)
{
    struct consumer_job *job = fg_container_of(base, struct consumer_job, job);
    struct fg_bus_consumer *c = job->c;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->n_topics);
    rd_kafka_resp_err_t rd;
    struct fg_error err;

    for (size_t i = 0; i < c->n_topics; i++)
        rd_kafka_topic_partition_list_add(list, c->topics[i], RD_KAFKA_PARTITION_UA);
    if ((rd = rd_kafka_subscribe(c->rk, list))) {
        fg_rd_error(&err, rd, "cannot subscribe", NULL);
        fg_trouble_state(&c->trouble, &err);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* Adds all partitions of a topic; false: not known now. */
static bool add_partitions(struct fg_bus_consumer *c, const char *topic, rd_kafka_topic_partition_list_t *list)
{
    struct fg_rd_topic found = {0};
    rd_kafka_resp_err_t rd = fg_rd_look_up(c->bus, c->rk, topic, FG_RD_PROBE_TIMEOUT_MS, &found);
    struct fg_error err;

    if (rd) {
        fg_trouble_hint(&c->trouble, rd, NULL, true);
        return false;
    }
    fg_trouble_proved(&c->trouble, true);
    for (int i = 0; i < found.partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i);
    if (found.partitions == 0) {
        fg_error_set(&err, FG_E_NOT_FOUND, FG_ERROR_RETRIABLE, "Kafka: there is no topic \"%s\"", topic);
        fg_trouble_state(&c->trouble, &err);
    }
    return found.partitions > 0;
}

/* The only replica by construction: all partitions are its own, as soon as they are known. */
static void run_find_all(struct fg_lane_job *base)
{
    struct consumer_job *job = fg_container_of(base, struct consumer_job, job);
    struct fg_bus_consumer *c = job->c;
    struct timespec wait = {.tv_nsec = 100 * 1000 * 1000};

    job->list = rd_kafka_topic_partition_list_new(8);
    for (size_t i = 0; i < c->n_topics && !atomic_load(&c->shutting);)
        if (add_partitions(c, c->topics[i], job->list)) {
            i++;
        } else {
            fg_lane_nudge_loop(&c->lane);
            (void)nanosleep(&wait, NULL);
        }
}

static void opened(struct fg_lane_job *base)
{
    struct consumer_job *job = fg_container_of(base, struct consumer_job, job);

    if (job->list) {
        if (!job->c->closing)
            fg_rd_consumer_assigned(job->c, job->list);
        rd_kafka_topic_partition_list_destroy(job->list);
    }
    free(job);
}

static void run_forward(struct fg_lane_job *base)
{
    struct consumer_job *job = fg_container_of(base, struct consumer_job, job);

    fg_rd_forward(job->c, job->list);
}

static void forwarded(struct fg_lane_job *base)
{
    struct consumer_job *job = fg_container_of(base, struct consumer_job, job);

    rd_kafka_topic_partition_list_destroy(job->list);
    free(job);
}

static void forward_again(struct fg_bus_consumer *c)
{
    struct consumer_job *job;

    if (c->forward_ticks == 0 || c->n_parts == 0 || c->pending)
        return;
    c->forward_ticks--;
    job = job_new(c, run_forward, forwarded);
    job->list = rd_kafka_topic_partition_list_new((int)c->n_parts);
    for (size_t i = 0; i < c->n_parts; i++)
        rd_kafka_topic_partition_list_add(job->list, c->parts[i].topic, c->parts[i].partition);
    fg_lane_post(&c->lane, &job->job);
}

static void on_tick(uv_timer_t *timer)
{
    struct fg_bus_consumer *c = timer->data;

    if (c->closing) {
        fg_logf(&c->bus->logger, FG_LOG_WARN, "the consumer \"%s\" is still closing after %d ms", c->name,
                FG_RD_CLOSE_SLOW_MS);
        return;
    }
    /* A queue that nobody reads for max.poll.interval.ms makes librdkafka leave the group, even when nothing comes. */
    fg_rd_consumer_drain(c);
    if (c->closing)
        return;
    forward_again(c);
    fg_rd_consumer_probe(c);
}

void fg_rd_consumer_tell(struct fg_bus_consumer *c)
{
    struct fg_error err;

    if (!c->closing && c->events.trouble && fg_trouble_news(&c->trouble, &err))
        c->events.trouble(c->arg, err.code == FG_E_NONE ? NULL : &err);
}

static void take_config(struct fg_bus_consumer *c, const struct fg_bus_consumer_config *config)
{
    c->name = fg_strdup(config->group ? config->group : "reader");
    c->grouped = config->group != NULL;
    c->solo = c->grouped && c->bus->base.traits.solo;
    c->passing = config->passing;
    c->stats.kept = config->metrics;
    c->n_topics = c->grouped ? config->n_topics : 0;
    c->topics = fg_calloc(c->n_topics + 1, sizeof(*c->topics));
    for (size_t i = 0; i < c->n_topics; i++)
        c->topics[i] = fg_strdup(config->topics[i]);
}

static void consumer_free(struct fg_bus_consumer *c)
{
    fg_assert(c->users == 0);
    fg_assert(c->pending == 0);
    fg_assert(!c->probing);
    for (size_t i = 0; i < c->n_topics; i++)
        free(c->topics[i]);
    free(c->topics);
    free(c->name);
    fg_rd_parts_free(c);
    fg_metric_scope_free(c->stats.shown);
    fg_rd_membership_unref(c->membership);
    pthread_mutex_destroy(&c->membership_lock);
    fg_trouble_deinit(&c->trouble);
    free(c);
}

static int start_lane(struct fg_bus_consumer *c, struct fg_error *err)
{
    const struct fg_lane_hooks hooks = {.woken = fg_rd_consumer_drain, .arg = c};
    int r = fg_lane_open(&c->lane, "fg:consumer", c->bus->loop, &hooks);

    if (r < 0)
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "kafka: cannot start a thread: %s", uv_strerror(r)));
    (void)uv_timer_init(c->bus->loop, &c->timer);
    c->timer.data = c;
    (void)uv_timer_start(&c->timer, on_tick, FG_RD_TICK_MS, FG_RD_TICK_MS);
    return 0;
}

static int start(struct fg_bus_consumer *c, rd_kafka_conf_t *conf, struct fg_error *err)
{
    int r;

    if (!(c->rk = fg_rd_new(c->bus, RD_KAFKA_CONSUMER, conf, c, err)))
        return -FG_E_CONFIG;
    if ((r = start_lane(c, err)) < 0) {
        rd_kafka_destroy(c->rk);
        return fg_pass(r);
    }
    (void)rd_kafka_poll_set_consumer(c->rk);
    c->control = rd_kafka_queue_get_consumer(c->rk);
    c->data = rd_kafka_queue_new(c->rk);
    rd_kafka_queue_cb_event_enable(c->control, on_queue, c);
    rd_kafka_queue_cb_event_enable(c->data, on_queue, c);
    if (c->grouped && c->n_topics)
        fg_lane_post(&c->lane, &job_new(c, c->solo ? run_find_all : run_subscribe, opened)->job);
    return 0;
}

int fg_rd_consumer_open(struct fg_bus *base, const struct fg_bus_consumer_config *config,
                        const struct fg_bus_consumer_events *events, void *arg, struct fg_bus_consumer **ret,
                        struct fg_error *err)
{
    struct fg_rd_bus *bus = (struct fg_rd_bus *)base;
    rd_kafka_conf_t *conf = fg_rd_conf_consumer(bus, config, err);
    struct fg_bus_consumer *c;
    int r;

    if (!conf)
        return -FG_E_CONFIG;
    c = fg_calloc(1, sizeof(*c));
    c->bus = bus;
    c->events = *events;
    c->arg = arg;
    take_config(c, config);
    fg_trouble_init(&c->trouble);
    pthread_mutex_init(&c->membership_lock, NULL);
    if ((r = start(c, conf, err)) < 0) {
        consumer_free(c);
        return fg_pass(r);
    }
    bus->handles++;
    *ret = c;
    return 0;
}

void fg_rd_consumer_pause(struct fg_bus_consumer *c, bool paused)
{
    c->paused = paused;
    if (!paused)
        fg_lane_nudge_loop(&c->lane);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct fg_bus_consumer *c = handle->data;
    fg_done_cb closed = c->closed;
    void *arg = c->closed_arg;

    c->bus->handles--;
    consumer_free(c);
    if (closed)
        closed(arg);
}

static void on_lane_closed(void *arg)
{
    struct fg_bus_consumer *c = arg;

    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

/* Queues go before the handle, else rd_kafka_destroy() waits for them forever. */
static void run_close(struct fg_lane_job *base)
{
    struct fg_bus_consumer *c = fg_container_of(base, struct consumer_job, job)->c;

    rd_kafka_queue_cb_event_enable(c->control, NULL, NULL);
    rd_kafka_queue_cb_event_enable(c->data, NULL, NULL);
    rd_kafka_queue_destroy(c->control);
    rd_kafka_queue_destroy(c->data);
    (void)rd_kafka_consumer_close(c->rk);
    rd_kafka_destroy(c->rk);
}

static void handle_closed(struct fg_lane_job *base)
{
    struct consumer_job *job = fg_container_of(base, struct consumer_job, job);
    struct fg_bus_consumer *c = job->c;
    uint64_t ms = (fg_clock_mono_ns(&fg_clock_system) - c->close_began_ns) / 1000000;

    (void)uv_timer_stop(&c->timer);
    if (ms > FG_RD_CLOSE_SLOW_MS)
        fg_logf(&c->bus->logger, FG_LOG_WARN, "closing the consumer \"%s\" took %llu ms", c->name,
                (unsigned long long)ms);
    free(job);
}

static void begin_close(struct fg_bus_consumer *c)
{
    c->close_began_ns = fg_clock_mono_ns(&fg_clock_system);
    (void)uv_timer_start(&c->timer, on_tick, FG_RD_CLOSE_SLOW_MS, 0);
    fg_lane_close(&c->lane, &job_new(c, run_close, handle_closed)->job, on_lane_closed, c);
}

void fg_rd_consumer_close(struct fg_bus_consumer *c, fg_done_cb closed, void *arg)
{
    fg_assert(!c->closing);
    c->closing = true;
    c->closed = closed;
    c->closed_arg = arg;
    atomic_store(&c->shutting, true);
    atomic_fetch_add(&c->epoch, 1);
    (void)uv_timer_stop(&c->timer);
    if (c->users == 0)
        begin_close(c);
}

void fg_rd_consumer_use(struct fg_bus_consumer *c)
{
    c->users++;
}

void fg_rd_consumer_drop(struct fg_bus_consumer *c)
{
    fg_assert(c->users > 0);
    if (--c->users == 0 && c->closing)
        begin_close(c);
}
