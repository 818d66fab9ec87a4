/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What librdkafka has for a consumer, taken out on the loop. A queue wakes the loop only when it was empty before, so a
 * turn that ends with its budget asks for the next one itself.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "bus/rdkafka/rdkafka-private.h"

/* ---- statistics and probes, on the lane ---- */

struct stats_job {
    struct fg_lane_job job;
    struct fg_bus_consumer *c;
    rd_kafka_event_t *event;  /* owned */
    struct fg_rd_part *parts; /* owned array of n with owned topics: positions at the time */
    size_t n;
};

static void run_stats(struct fg_lane_job *base)
{
    struct stats_job *job = fg_container_of(base, struct stats_job, job);

    fg_rd_stats(job->c->bus->metrics, job->c->name, fg_slice_of(rd_kafka_event_stats(job->event)), job->parts, job->n,
                &job->c->stats);
    rd_kafka_event_destroy(job->event);
}

static void stats_done(struct fg_lane_job *base)
{
    struct stats_job *job = fg_container_of(base, struct stats_job, job);

    for (size_t i = 0; i < job->n; i++)
        free(job->parts[i].topic);
    free(job->parts);
    free(job);
}

static void on_stats(struct fg_bus_consumer *c, rd_kafka_event_t *event)
{
    struct stats_job *job = fg_calloc(1, sizeof(*job));

    job->job.run = run_stats;
    job->job.done = stats_done;
    job->c = c;
    job->event = event;
    job->n = c->n_parts;
    job->parts = fg_calloc(c->n_parts + 1, sizeof(*job->parts));
    for (size_t i = 0; i < c->n_parts; i++) {
        job->parts[i] = c->parts[i];
        job->parts[i].topic = fg_strdup(c->parts[i].topic);
    }
    fg_lane_post(&c->lane, &job->job);
}

struct probe_job {
    struct fg_lane_job job;
    struct fg_bus_consumer *c;
};

static void run_probe(struct fg_lane_job *base)
{
    struct fg_bus_consumer *c = fg_container_of(base, struct probe_job, job)->c;

    if (!atomic_load(&c->shutting))
        fg_trouble_probe(&c->trouble, c->rk, FG_RD_PROBE_TIMEOUT_MS);
}

static void probe_done(struct fg_lane_job *base)
{
    struct probe_job *job = fg_container_of(base, struct probe_job, job);

    job->c->probing = false;
    free(job);
}

void fg_rd_consumer_probe(struct fg_bus_consumer *c)
{
    struct probe_job *job;

    if (c->probing || c->closing || !fg_trouble_suspect(&c->trouble))
        return;
    c->probing = true;
    job = fg_calloc(1, sizeof(*job));
    job->job.run = run_probe;
    job->job.done = probe_done;
    job->c = c;
    fg_lane_post(&c->lane, &job->job);
}

/* ---- the group ---- */

void fg_rd_consumer_assigned(struct fg_bus_consumer *c, const rd_kafka_topic_partition_list_t *list)
{
    struct fg_bus_position *positions = fg_rd_positions(list);

    c->revoking = false;
    fg_trouble_state(&c->trouble, NULL);
    c->events.assigned(c->arg, positions, (size_t)list->cnt);
    free(positions);
}

static void on_rebalance(struct fg_bus_consumer *c, rd_kafka_event_t *event)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    struct fg_bus_position *positions;

    if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        fg_rd_consumer_assigned(c, list);
        return;
    }
    /* Nothing that is still queued belongs to us for long: hold it back until the next assignment. */
    c->revoking = true;
    positions = fg_rd_positions(list);
    c->events.revoked(c->arg, positions, (size_t)list->cnt, rd_kafka_assignment_lost(c->rk));
    free(positions);
}

/* ---- errors ---- */

static bool is_link_error(rd_kafka_resp_err_t rd)
{
    return rd == RD_KAFKA_RESP_ERR__TRANSPORT || rd == RD_KAFKA_RESP_ERR__SSL || rd == RD_KAFKA_RESP_ERR__RESOLVE ||
           rd == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || rd == RD_KAFKA_RESP_ERR__AUTHENTICATION;
}

static void on_error(struct fg_bus_consumer *c, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t rd = rd_kafka_event_error(event);
    const char *text = rd_kafka_event_error_string(event);
    char fatal[256] = "";
    struct fg_error err;

    if (rd == RD_KAFKA_RESP_ERR__FATAL)
        rd = rd_kafka_fatal_error(c->rk, fatal, sizeof(fatal));
    if (is_link_error(rd)) {
        fg_trouble_hint(&c->trouble, rd, text, false);
        fg_rd_consumer_probe(c);
        return;
    }
    /* One that has no group of its own asks for none: what the broker thinks of it does not matter. */
    if (!c->grouped && rd == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        return;
    fg_rd_error(&err, rd, "Kafka", *fatal ? fatal : text);
    err.fatal = *fatal != '\0';
    if (err.fatal || err.code == FG_E_NOT_FOUND || err.code == FG_E_AUTH)
        fg_trouble_state(&c->trouble, &err);
    fg_logf(&c->bus->logger, FG_LOG_DEBUG, "consumer \"%s\": %s", c->name, err.text);
}

/* An error of one partition, in the queue of messages. */
static void on_partition_error(struct fg_bus_consumer *c, rd_kafka_event_t *event)
{
    rd_kafka_topic_partition_t *tp = rd_kafka_event_topic_partition(event);
    rd_kafka_resp_err_t rd = rd_kafka_event_error(event);
    struct fg_rd_part *part = tp ? fg_rd_part_find(c, tp->topic, tp->partition) : NULL;
    struct fg_bus_position position;
    struct fg_error err;

    if (!part) {
        if (!tp)
            on_error(c, event);
    } else if (rd == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        part->next = tp->offset;
        position = (struct fg_bus_position){
            .topic = part->topic, .partition = part->partition, .offset = tp->offset};
        if (c->events.end)
            c->events.end(c->arg, &position);
    } else {
        if (rd == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
            fg_error_set(&err, FG_E_EXPIRED, 0,
                         "Kafka: offset %lld of topic \"%s\" partition %d is gone: records were removed (retention, or "
                         "the topic was made anew) before they were read; set the group's offset to go on",
                         (long long)part->next, part->topic, part->partition);
        else
            fg_rd_error(&err, rd, part->topic, rd_kafka_event_error_string(event));
        fg_trouble_state(&c->trouble, &err);
    }
    if (tp)
        rd_kafka_topic_partition_destroy(tp);
}

/* ---- the queues ---- */

static void on_control(struct fg_bus_consumer *c, rd_kafka_event_t *event)
{
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_STATS: on_stats(c, event); return;
    case RD_KAFKA_EVENT_REBALANCE: on_rebalance(c, event); break;
    case RD_KAFKA_EVENT_ERROR: on_error(c, event); break;
    default: break;
    }
    rd_kafka_event_destroy(event);
}

static void on_message(struct fg_bus_consumer *c, const rd_kafka_message_t *m)
{
    const char *topic = rd_kafka_topic_name(m->rkt);
    struct fg_rd_part *part = fg_rd_part_find(c, topic, m->partition);
    struct fg_bus_message *message;

    if (!part)
        return; /* of an assignment that is over */
    message = fg_rd_message_copy(m, c->passing);
    fg_assert(message);
    part->next = m->offset + 1;
    c->events.message(c->arg, message);
}

static void on_data(struct fg_bus_consumer *c, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *m;

    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_FETCH)
        while ((m = rd_kafka_event_message_next(event)))
            on_message(c, m);
    else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
        on_partition_error(c, event);
    rd_kafka_event_destroy(event);
}

static bool may_deliver(const struct fg_bus_consumer *c)
{
    return !c->closing && !c->paused && !c->revoking && c->pending == 0 && c->n_parts > 0;
}

void fg_rd_consumer_drain(void *consumer)
{
    struct fg_bus_consumer *c = consumer;
    uint64_t end = fg_clock_mono_ns(&fg_clock_system) + FG_RD_DRAIN_NS;
    rd_kafka_event_t *event = NULL;
    unsigned n = 0, messages = 0;

    while (!c->closing && n++ < FG_RD_DRAIN_EVENTS && (event = rd_kafka_queue_poll(c->control, 0)))
        on_control(c, event);
    while (may_deliver(c) && messages < FG_RD_DRAIN_EVENTS && fg_clock_mono_ns(&fg_clock_system) < end) {
        if (!(event = rd_kafka_queue_poll(c->data, 0)))
            break;
        on_data(c, event);
        messages++;
    }
    if (c->closing)
        return;
    fg_rd_consumer_tell(c);
    if (event && !c->closing && !fg_mutant("stop-rearming"))
        fg_lane_nudge_loop(&c->lane);
}
