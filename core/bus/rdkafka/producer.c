/* SPDX-License-Identifier: Apache-2.0 */
/* A producer as the loop sees it: opened, one publish at a time, closed. The work is the committer's. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/metric.h"
#include "bus/rdkafka/producer-private.h"

#define QUEUE_BYTES 8388608u /* more than five batches of 1 MB in flight, which is all that a broker takes at once */

struct producer_job {
    struct fg_lane_job job;
    struct fg_bus_producer *p;
};

/* [committer] */
static int on_stats(rd_kafka_t *rk, char *json, size_t len, void *opaque)
{
    struct fg_bus_producer *p = opaque;

    (void)rk;
    fg_rd_stats(p->bus->metrics, p->name, fg_slice_make(json, len), NULL, 0, &p->stats);
    return 0; /* librdkafka frees the text */
}

static void nudge(void *producer)
{
    struct fg_bus_producer *p = producer;

    rd_kafka_queue_yield(p->queue);
}

static void tell(void *producer)
{
    struct fg_bus_producer *p = producer;
    struct fg_error err;

    if (!p->closing && p->events.trouble && fg_trouble_news(&p->trouble, &err))
        p->events.trouble(p->arg, err.code == FG_E_NONE ? NULL : &err);
}

static struct producer_job *job_new(struct fg_bus_producer *p, void (*run)(struct fg_lane_job *),
                                    void (*done)(struct fg_lane_job *))
{
    struct producer_job *job = fg_calloc(1, sizeof(*job));

    job->job.run = run;
    job->job.done = done;
    job->p = p;
    return job;
}

static void run_open(struct fg_lane_job *base)
{
    fg_rd_committer_open(fg_container_of(base, struct producer_job, job)->p);
}

static void opened(struct fg_lane_job *base)
{
    struct producer_job *job = fg_container_of(base, struct producer_job, job);
    struct fg_bus_producer *p = job->p;

    free(job);
    tell(p);
    if (!p->closing && !fg_rd_committer_is_dead(p) && p->events.ready)
        p->events.ready(p->arg);
}

static void producer_free(struct fg_bus_producer *p)
{
    fg_assert(!p->publishing);
    fg_assert(!p->current);
    for (size_t i = 0; i < p->n_topics; i++)
        free(p->topics[i]);
    free(p->topics);
    free(p->handles);
    free(p->partitions);
    free(p->group);
    free(p->group_topic);
    free(p->name);
    fg_metric_scope_free(p->stats.shown);
    fg_trouble_deinit(&p->trouble);
    free(p);
}

static void take_config(struct fg_bus_producer *p, const struct fg_bus_producer_config *config)
{
    p->transactional = config->transactional_id && p->bus->base.traits.transactional;
    p->name = fg_strdup(config->transactional_id ? config->transactional_id : "producer");
    p->queue_bytes_max = config->queue_bytes_max ? config->queue_bytes_max : QUEUE_BYTES;
    p->group_bytes_max = SIZE_MAX;
    p->next_token = 1;
    p->n_topics = config->n_topics;
    p->topics = fg_calloc(p->n_topics + 1, sizeof(*p->topics));
    p->handles = fg_calloc(p->n_topics + 1, sizeof(rd_kafka_topic_t *));
    p->partitions = fg_calloc(p->n_topics + 1, sizeof(*p->partitions));
    p->after_abort = config->after_abort;
    p->stats.kept = config->metrics;
    if (config->group && config->group_topic) {
        p->group = fg_strdup(config->group);
        p->group_topic = fg_strdup(config->group_topic);
    }
    for (size_t i = 0; i < p->n_topics; i++)
        p->topics[i] = fg_strdup(config->topics[i]);
}

static int start(struct fg_bus_producer *p, rd_kafka_conf_t *conf, struct fg_error *err)
{
    const struct fg_lane_hooks hooks = {fg_rd_committer_idle, nudge, tell, p};
    int r;

    rd_kafka_conf_set_dr_msg_cb(conf, fg_rd_committer_delivered);
    rd_kafka_conf_set_error_cb(conf, fg_rd_committer_error);
    rd_kafka_conf_set_stats_cb(conf, on_stats);
    if (!(p->rk = fg_rd_new(p->bus, RD_KAFKA_PRODUCER, conf, p, err)))
        return -FG_E_CONFIG;
    p->queue = rd_kafka_queue_get_main(p->rk);
    p->transaction_timeout_ms = (uint32_t)fg_rd_conf_number(rd_kafka_conf(p->rk), "transaction.timeout.ms");
    p->batch_bytes = fg_rd_conf_number(rd_kafka_conf(p->rk), "batch.size");
    if ((r = fg_lane_open(&p->lane, "fg:committer", p->bus->loop, &hooks)) < 0) {
        rd_kafka_queue_destroy(p->queue);
        rd_kafka_destroy(p->rk);
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "kafka: cannot start a thread: %s", uv_strerror(r)));
    }
    fg_lane_post(&p->lane, &job_new(p, run_open, opened)->job);
    return 0;
}

int fg_rd_producer_open(struct fg_bus *base, const struct fg_bus_producer_config *config,
                        const struct fg_bus_producer_events *events, void *arg, struct fg_bus_producer **ret,
                        struct fg_error *err)
{
    struct fg_rd_bus *bus = (struct fg_rd_bus *)base;
    rd_kafka_conf_t *conf = fg_rd_conf_producer(bus, config, err);
    struct fg_bus_producer *p;
    int r;

    if (!conf)
        return -FG_E_CONFIG;
    p = fg_calloc(1, sizeof(*p));
    p->bus = bus;
    p->events = *events;
    p->arg = arg;
    take_config(p, config);
    fg_trouble_init(&p->trouble);
    if ((r = start(p, conf, err)) < 0) {
        producer_free(p);
        return fg_pass(r);
    }
    bus->handles++;
    *ret = p;
    return 0;
}

/* ---- closing ---- */

static void on_lane_closed(void *arg)
{
    struct fg_bus_producer *p = arg;
    fg_done_cb closed = p->closed;
    void *closed_arg = p->closed_arg;

    p->bus->handles--;
    producer_free(p);
    if (closed)
        closed(closed_arg);
}

static void run_close(struct fg_lane_job *base)
{
    struct fg_bus_producer *p = fg_container_of(base, struct producer_job, job)->p;

    /* What nobody waits for any more must not hold up the end. */
    (void)rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    for (size_t i = 0; i < p->n_topics; i++)
        if (p->handles[i])
            rd_kafka_topic_destroy(p->handles[i]);
    rd_kafka_queue_destroy(p->queue);
    rd_kafka_destroy(p->rk);
}

static void handle_closed(struct fg_lane_job *base)
{
    free(fg_container_of(base, struct producer_job, job));
}

static void begin_close(struct fg_bus_producer *p)
{
    fg_lane_close(&p->lane, &job_new(p, run_close, handle_closed)->job, on_lane_closed, p);
}

void fg_rd_producer_close(struct fg_bus_producer *p, fg_done_cb closed, void *arg)
{
    fg_assert(!p->closing);
    p->closing = true;
    p->closed = closed;
    p->closed_arg = arg;
    atomic_store(&p->shutting, true);
    if (!p->publishing)
        begin_close(p);
}

/* ---- publishing ---- */

static void published(struct fg_lane_job *base)
{
    struct fg_rd_job *job = fg_container_of(base, struct fg_rd_job, job);
    struct fg_bus_producer *p = job->p;

    bool closing = p->closing; /* done() may close it too, and that begins the close itself */

    p->publishing = NULL;
    if (job->publish.consumer)
        fg_rd_consumer_drop(job->publish.consumer);
    fg_rd_membership_unref(job->membership);
    if (job->cursors)
        rd_kafka_topic_partition_list_destroy(job->cursors);
    free(job->refused);
    if (job->publish.culprit && job->outcome == FG_BUS_ABORTED && job->culprit != SIZE_MAX)
        *job->publish.culprit = job->culprit;
    job->done(job->arg, job->outcome, job->outcome == FG_BUS_DONE ? NULL : &job->err);
    free(job);
    if (closing)
        begin_close(p);
}

void fg_rd_producer_publish(struct fg_bus_producer *p, const struct fg_bus_publish *publish, fg_bus_published_cb done,
                            void *arg)
{
    struct fg_rd_job *job = fg_calloc(1, sizeof(*job));

    fg_assert(!p->closing);
    fg_assert(!p->publishing);
    job->job.run = fg_rd_committer_run;
    job->job.done = published;
    job->p = p;
    job->publish = *publish;
    job->done = done;
    job->arg = arg;
    if (publish->consumer) {
        fg_rd_consumer_use(publish->consumer);
        job->membership = fg_rd_membership_get(publish->consumer);
        job->assigns = atomic_load(&publish->consumer->assigns);
        job->assignment = atomic_load(&publish->consumer->assignment);
    }
    p->publishing = job;
    fg_lane_post(&p->lane, &job->job);
}
