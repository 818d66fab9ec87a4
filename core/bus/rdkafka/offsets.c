/* SPDX-License-Identifier: Apache-2.0 */
/* The group's committed offsets: asked for, and committed outside of transactions. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "bus/rdkafka/rdkafka-private.h"

#define HELD_TIMEOUT_MS 2000 /* to find out why committed offsets were not told */

struct offsets_job {
    struct fg_lane_job job;
    struct fg_bus_consumer *c;
    rd_kafka_topic_partition_list_t *list; /* owned */
    fg_bus_positions_cb done;
    void *arg;
    int r;
    struct fg_error err;
};

void fg_rd_set_metadata(rd_kafka_topic_partition_t *tp, const char *metadata)
{
    if (!metadata)
        return;
    tp->metadata_size = strlen(metadata);
    fg_assert(tp->metadata_size <= FG_BUS_METADATA_MAX);
    tp->metadata = fg_strdup(metadata); /* librdkafka frees it with the list */
}

rd_kafka_topic_partition_list_t *fg_rd_list(const struct fg_bus_position *positions, size_t n)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n + 1);

    for (size_t i = 0; i < n; i++) {
        rd_kafka_topic_partition_t *tp =
            rd_kafka_topic_partition_list_add(list, positions[i].topic, positions[i].partition);
        tp->offset = positions[i].offset;
        fg_rd_set_metadata(tp, positions[i].metadata);
    }
    return list;
}

/* librdkafka's metadata has no end mark after all of its ways, and a broker that keeps none says "". */
struct fg_bus_position *fg_rd_positions(const rd_kafka_topic_partition_list_t *list)
{
    size_t n = (size_t)list->cnt, bytes = 0;
    struct fg_bus_position *positions;
    char *at;

    for (size_t i = 0; i < n; i++)
        bytes += list->elems[i].metadata_size + 1;
    positions = fg_calloc(1, (n + 1) * sizeof(*positions) + bytes);
    at = (char *)(positions + n + 1);
    for (size_t i = 0; i < n; i++) {
        const rd_kafka_topic_partition_t *tp = &list->elems[i];
        positions[i] = (struct fg_bus_position){.topic = tp->topic, .partition = tp->partition, .offset = tp->offset};
        if (!tp->metadata || !tp->metadata_size || *(const char *)tp->metadata == '\0')
            continue;
        memcpy(at, tp->metadata, tp->metadata_size);
        positions[i].metadata = at;
        at += tp->metadata_size + 1;
    }
    return positions;
}

/* The first error among the partitions of an answer. */
static rd_kafka_resp_err_t first_error(const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; list && i < list->cnt; i++)
        if (list->elems[i].err)
            return list->elems[i].err;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

int fg_rd_commit_now(struct fg_bus_consumer *c, const rd_kafka_topic_partition_list_t *list, struct fg_error *err)
{
    rd_kafka_t *rk = c->rk;
    /* rd_kafka_commit() has no time limit of its own and waits for a coordinator as long as there is none. */
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_resp_err_t rd = rd_kafka_commit_queue(rk, list, queue, NULL, NULL);
    rd_kafka_event_t *event = NULL;
    int r = 0;

    fg_assert(!fg_lane_is_loop(&c->lane));
    atomic_store(&c->bus->committed, true);
    if (!rd) {
        event = rd_kafka_queue_poll(queue, FG_RD_ADMIN_TIMEOUT_MS);
        rd = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
        if (event && !rd)
            rd = first_error(rd_kafka_event_topic_partition_list(event));
    }
    if (rd)
        r = fg_rd_error(err, rd, "Kafka did not take the offsets", NULL);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    return r;
}

rd_kafka_resp_err_t fg_rd_committed(struct fg_bus_consumer *c, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
    fg_assert(!fg_lane_is_loop(&c->lane));
    if (!c->solo || atomic_load(&c->bus->committed))
        return rd_kafka_committed(c->rk, list, timeout_ms);
    for (int i = 0; i < list->cnt; i++) {
        list->elems[i].offset = RD_KAFKA_OFFSET_INVALID;
        free(list->elems[i].metadata); /* the asker's, which is no answer */
        list->elems[i].metadata = NULL;
        list->elems[i].metadata_size = 0;
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void run_commit(struct fg_lane_job *base)
{
    struct offsets_job *job = fg_container_of(base, struct offsets_job, job);

    if (atomic_load(&job->c->shutting))
        job->r = fg_raise(fg_error_set(&job->err, FG_E_CANCELLED, 0, "the consumer is closing"));
    else
        job->r = fg_rd_commit_now(job->c, job->list, &job->err);
}

/*
 * librdkafka waits in silence where a transaction is open on the offsets. They are told at once to who does not mind
 * that; nobody here does, but then it is known what was waited for.
 */
static bool is_held(struct offsets_job *job)
{
    rd_kafka_t *rk = job->c->rk;
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    rd_kafka_ListConsumerGroupOffsets_t *request = rd_kafka_ListConsumerGroupOffsets_new(job->c->name, job->list);
    const rd_kafka_ListConsumerGroupOffsets_result_t *result;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    const rd_kafka_group_result_t **groups;
    rd_kafka_event_t *event;
    bool held = false;
    char text[128];
    size_t n = 0;

    (void)rd_kafka_AdminOptions_set_request_timeout(options, HELD_TIMEOUT_MS, text, sizeof(text));
    rd_kafka_ListConsumerGroupOffsets(rk, &request, 1, options, queue);
    event = rd_kafka_queue_poll(queue, HELD_TIMEOUT_MS);
    result = event ? rd_kafka_event_ListConsumerGroupOffsets_result(event) : NULL;
    groups = result ? rd_kafka_ListConsumerGroupOffsets_result_groups(result, &n) : NULL;
    if (n)
        held = !rd_kafka_group_result_error(groups[0]) && !first_error(rd_kafka_group_result_partitions(groups[0]));
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ListConsumerGroupOffsets_destroy(request);
    rd_kafka_AdminOptions_destroy(options);
    return held;
}

static void run_committed(struct fg_lane_job *base)
{
    struct offsets_job *job = fg_container_of(base, struct offsets_job, job);
    rd_kafka_resp_err_t rd = RD_KAFKA_RESP_ERR__TIMED_OUT;

    /* In slices, so that a close does not have to wait for a broker that is away. */
    for (int ms = 0; ms < FG_RD_ADMIN_TIMEOUT_MS && !atomic_load(&job->c->shutting); ms += 1000) {
        rd = fg_rd_committed(job->c, job->list, 1000);
        if (!rd)
            rd = first_error(job->list);
        if (rd != RD_KAFKA_RESP_ERR__TIMED_OUT)
            break;
    }
    if (atomic_load(&job->c->shutting))
        job->r = fg_raise(fg_error_set(&job->err, FG_E_CANCELLED, 0, "the consumer is closing"));
    else if (rd == RD_KAFKA_RESP_ERR__TIMED_OUT && is_held(job))
        job->r =
            fg_raise(fg_error_set(&job->err, FG_E_FENCED, FG_ERROR_RETRIABLE,
                                  "Kafka does not tell the committed offsets of group \"%s\": a transaction that moves "
                                  "them has not ended",
                                  job->c->name));
    else if (rd)
        job->r = fg_rd_error(&job->err, rd, "Kafka did not tell the committed offsets", NULL);
}

static void offsets_done(struct fg_lane_job *base)
{
    struct offsets_job *job = fg_container_of(base, struct offsets_job, job);
    struct fg_bus_position *positions = fg_rd_positions(job->list);

    if (job->done)
        job->done(job->arg, job->r < 0 ? NULL : positions, job->r < 0 ? 0 : (size_t)job->list->cnt,
                  job->r < 0 ? &job->err : NULL);
    free(positions);
    rd_kafka_topic_partition_list_destroy(job->list);
    free(job);
}

static void post(struct fg_bus_consumer *c, const struct fg_bus_position *positions, size_t n,
                 void (*run)(struct fg_lane_job *), fg_bus_positions_cb done, void *arg)
{
    struct offsets_job *job = fg_calloc(1, sizeof(*job));

    fg_assert(!c->closing);
    job->job.run = run;
    job->job.done = offsets_done;
    job->c = c;
    job->list = fg_rd_list(positions, n);
    job->done = done;
    job->arg = arg;
    fg_lane_post(&c->lane, &job->job);
}

void fg_rd_consumer_committed(struct fg_bus_consumer *c, const struct fg_bus_position *partitions, size_t n,
                              fg_bus_positions_cb done, void *arg)
{
    post(c, partitions, n, run_committed, done, arg);
}

void fg_rd_consumer_commit(struct fg_bus_consumer *c, const struct fg_bus_position *positions, size_t n,
                           fg_bus_positions_cb done, void *arg)
{
    post(c, positions, n, run_commit, done, arg);
}
