/* SPDX-License-Identifier: Apache-2.0 */
/* Records into librdkafka, and their delivery reports out of it. All on the committer. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "bus/rdkafka/producer-private.h"

#define FULL_WAIT_MS   50 /* for delivery reports when the queue is full */
#define FLUSH_SLICE_MS 500

static rd_kafka_headers_t *make_headers(const struct fg_bus_outgoing *m)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(m->n_headers);

    for (size_t i = 0; i < m->n_headers; i++)
        (void)rd_kafka_header_add(headers, m->headers[i].name.ptr, (ssize_t)m->headers[i].name.len,
                                  m->headers[i].value.len ? m->headers[i].value.ptr : "",
                                  (ssize_t)m->headers[i].value.len);
    return headers;
}

/*
 * rd_kafka_producev() and not rd_kafka_produceva(), which frees the headers twice before 2.12.0 when the partition does
 * not exist (librdkafka#4628). Bytes are copied: a report can come after the publish has ended badly.
 */
static rd_kafka_resp_err_t put(struct fg_rd_job *job, const struct fg_bus_outgoing *m)
{
    rd_kafka_headers_t *headers = m->n_headers ? make_headers(m) : NULL;
    void *value = m->tombstone ? NULL : (void *)(uintptr_t)(m->value.len ? m->value.ptr : "");
    rd_kafka_resp_err_t rd;

    rd = rd_kafka_producev(job->p->rk, RD_KAFKA_V_TOPIC(m->topic), RD_KAFKA_V_PARTITION(m->partition),
                           RD_KAFKA_V_KEY(m->key.len ? m->key.ptr : NULL, m->key.len),
                           RD_KAFKA_V_VALUE(value, m->tombstone ? 0 : m->value.len),
                           RD_KAFKA_V_TIMESTAMP(m->timestamp_ms), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                           RD_KAFKA_V_OPAQUE((void *)job->p->seq), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    if (rd && headers)
        rd_kafka_headers_destroy(headers);
    return rd;
}

static int cancelled(struct fg_rd_job *job)
{
    return fg_error_set(&job->err, FG_E_CANCELLED, FG_ERROR_RETRIABLE, "Kafka: the producer is closing");
}

static int put_all(struct fg_rd_job *job)
{
    char what[160];

    for (size_t i = 0; i < job->publish.n_messages; i++) {
        const struct fg_bus_outgoing *m = &job->publish.messages[i];
        rd_kafka_resp_err_t rd;
        while ((rd = put(job, m)) == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            if (atomic_load(&job->p->shutting))
                return cancelled(job);
            (void)rd_kafka_poll(job->p->rk, FULL_WAIT_MS);
        }
        if (rd) {
            (void)snprintf(what, sizeof(what), "Kafka: cannot write to topic \"%s\" partition %d", m->topic,
                           m->partition);
            return fg_rd_error(&job->err, rd, what, NULL);
        }
        job->n_left++;
        /* Reports of what was sent before are taken meanwhile, so that they don't pile up. */
        if (i % 1000 == 999)
            (void)rd_kafka_poll(job->p->rk, 0);
    }
    return 0;
}

/* Each record's message.timeout.ms ends the wait at the latest. */
static int wait_all(struct fg_rd_job *job)
{
    char what[160];

    while (job->n_left > 0) {
        if (atomic_load(&job->p->shutting))
            return cancelled(job);
        (void)rd_kafka_flush(job->p->rk, FLUSH_SLICE_MS);
    }
    if (!job->failure)
        return 0;
    (void)snprintf(what, sizeof(what), "Kafka: topic \"%s\" did not take a record",
                   job->failed_topic ? job->failed_topic : "");
    return fg_rd_error(&job->err, job->failure, what, NULL);
}

int fg_rd_produce(struct fg_rd_job *job)
{
    int r = put_all(job);

    return r < 0 ? fg_pass(r) : wait_all(job);
}

/* The name as the job knows it: librdkafka's lives only as long as the report. */
static const char *own_name(const struct fg_rd_job *job, const char *topic)
{
    for (size_t i = 0; i < job->publish.n_messages; i++)
        if (strcmp(job->publish.messages[i].topic, topic) == 0)
            return job->publish.messages[i].topic;
    return NULL;
}

static void note_cursor(struct fg_rd_job *job, const char *topic, const rd_kafka_message_t *m)
{
    rd_kafka_topic_partition_t *tp;

    if (!job->cursors)
        job->cursors = rd_kafka_topic_partition_list_new(4);
    if (!(tp = rd_kafka_topic_partition_list_find(job->cursors, topic, m->partition))) {
        tp = rd_kafka_topic_partition_list_add(job->cursors, topic, m->partition);
        tp->offset = 0;
    }
    if (m->offset + 1 > tp->offset)
        tp->offset = m->offset + 1;
}

void fg_rd_committer_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct fg_bus_producer *p = opaque;
    struct fg_rd_job *job = p->current;
    const char *topic = rd_kafka_topic_name(m->rkt);

    (void)rk;
    if (!job || (uintptr_t)m->_private != p->seq)
        return;
    job->n_left--;
    if (m->err) {
        /* What was purged because of another failure explains nothing. */
        if (!job->failure || job->failure == RD_KAFKA_RESP_ERR__PURGE_QUEUE) {
            job->failure = m->err;
            job->failed_topic = own_name(job, topic);
        }
    } else if (job->publish.cursors_topic && strcmp(job->publish.cursors_topic, topic) == 0) {
        note_cursor(job, topic, m);
    }
}
