/* SPDX-License-Identifier: Apache-2.0 */
/* Records into librdkafka, and their delivery reports out of it. All on the committer. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "bus/rdkafka/producer-private.h"

#define FULL_WAIT_MS   50 /* for delivery reports when the queue is full */
#define FLUSH_SLICE_MS 500
#define ANSWERS_MS     100 /* for answers to what a failed transaction has sent, as long as one comes in this time */
#define RECORD_BYTES   256 /* of a record in librdkafka, beside key, value and headers */
#define HEADER_BYTES   10
/*
 * Larger values are not copied: librdkafka sends such from where they are (message.copy.max.bytes), so that one of
 * 25 MB is held once and not twice.
 */
#define BORROWED_MIN 65536u

static rd_kafka_headers_t *make_headers(const struct fg_bus_outgoing *m)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(m->n_headers);

    for (size_t i = 0; i < m->n_headers; i++)
        (void)rd_kafka_header_add(headers, m->headers[i].name.ptr, (ssize_t)m->headers[i].name.len,
                                  m->headers[i].value.len ? m->headers[i].value.ptr : "",
                                  (ssize_t)m->headers[i].value.len);
    return headers;
}

static bool is_borrowed(const struct fg_bus_outgoing *m)
{
    return !m->tombstone && m->value.len >= BORROWED_MIN;
}

/*
 * rd_kafka_producev() and not rd_kafka_produceva(), which frees the headers twice before 2.12.0 when the partition does
 * not exist (librdkafka#4628). Small values are copied: their reports may come after the publish has ended badly.
 */
static rd_kafka_resp_err_t put(struct fg_rd_job *job, size_t i)
{
    const struct fg_bus_outgoing *m = &job->publish.messages[i];
    uintptr_t token = job->first_token + i;
    rd_kafka_headers_t *headers = m->n_headers ? make_headers(m) : NULL;
    void *value = m->tombstone ? NULL : (void *)(uintptr_t)(m->value.len ? m->value.ptr : "");
    rd_kafka_resp_err_t rd;

    rd = rd_kafka_producev(job->p->rk, RD_KAFKA_V_TOPIC(m->topic), RD_KAFKA_V_PARTITION(m->partition),
                           RD_KAFKA_V_KEY(m->key.len ? m->key.ptr : NULL, m->key.len),
                           RD_KAFKA_V_VALUE(value, m->tombstone ? 0 : m->value.len),
                           RD_KAFKA_V_TIMESTAMP(m->timestamp_ms),
                           RD_KAFKA_V_MSGFLAGS(is_borrowed(m) ? 0 : RD_KAFKA_MSG_F_COPY),
                           RD_KAFKA_V_OPAQUE((void *)token), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    if (rd && headers)
        rd_kafka_headers_destroy(headers);
    return rd;
}

static int cancelled(struct fg_rd_job *job)
{
    return fg_raise(fg_error_set(&job->err, FG_E_CANCELLED, FG_ERROR_RETRIABLE, "Kafka: the producer is closing"));
}

static size_t record_bytes(const struct fg_bus_outgoing *m)
{
    size_t bytes = RECORD_BYTES + m->key.len + m->value.len;

    for (size_t i = 0; i < m->n_headers; i++)
        bytes += HEADER_BYTES + m->headers[i].name.len + m->headers[i].value.len;
    return bytes;
}

/* Nothing more is sent in a transaction once a record has failed, until it is aborted. */
static bool is_stuck(const struct fg_rd_job *job)
{
    return job->failure && job->p->transactional;
}

/*
 * Waits until the record fits beside those on their way. Where a topic refused batches, what is on its way is one
 * group, and the next begins when all of it has arrived.
 */
static int make_room(struct fg_rd_job *job, size_t bytes)
{
    const struct fg_bus_producer *p = job->p;
    bool wait = false;

    while (job->n_left > 0 && !is_stuck(job)) {
        if (job->one_by_one || job->left_bytes + bytes > p->group_bytes_max)
            wait = true;
        else if (!wait && job->left_bytes + bytes <= p->queue_bytes_max)
            return 0;
        if (atomic_load(&p->shutting))
            return cancelled(job);
        if (wait)
            (void)rd_kafka_flush(p->rk, FLUSH_SLICE_MS);
        else
            (void)rd_kafka_poll(p->rk, FULL_WAIT_MS);
    }
    return 0;
}

static void note_refused(struct fg_rd_job *job, size_t i)
{
    if (!job->refused)
        job->refused = fg_calloc(job->publish.n_messages, sizeof(*job->refused));
    job->refused[job->n_refused++] = i;
}

static int put_all(struct fg_rd_job *job)
{
    char what[160];

    for (size_t i = 0; i < job->publish.n_messages && !job->failure; i++) {
        const struct fg_bus_outgoing *m = &job->publish.messages[i];
        size_t bytes = record_bytes(m);
        rd_kafka_resp_err_t rd;
        int r = make_room(job, bytes);
        if (r < 0 || job->failure)
            return fg_pass(r);
        while ((rd = put(job, i)) == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            if (atomic_load(&job->p->shutting))
                return cancelled(job);
            (void)rd_kafka_poll(job->p->rk, FULL_WAIT_MS);
        }
        if (rd == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
            job->culprit = i;
        if (rd) {
            (void)snprintf(what, sizeof(what), "Kafka: cannot write to topic \"%s\" partition %d", m->topic,
                           m->partition);
            return fg_rd_error(&job->err, rd, what, NULL);
        }
        job->n_left++;
        job->left_bytes += bytes;
        job->n_borrowed += is_borrowed(m);
        /* Reports of what was sent before are taken meanwhile, so that they don't pile up. */
        if (i % 1000 == 999)
            (void)rd_kafka_poll(job->p->rk, 0);
    }
    return 0;
}

/*
 * Of a transaction that failed, what was sent is answered soon, and tells which records were refused. The others would
 * wait until they time out, as late as the transaction itself, whose abort would then come too late.
 */
static void wait_answers(struct fg_rd_job *job)
{
    for (size_t left = SIZE_MAX; job->n_left > 0 && job->n_left < left && !atomic_load(&job->p->shutting);) {
        left = job->n_left;
        (void)rd_kafka_flush(job->p->rk, ANSWERS_MS);
    }
}

/* Each record's message.timeout.ms ends the wait at the latest. */
static int wait_all(struct fg_rd_job *job)
{
    char what[160];

    while (job->n_left > 0 && !is_stuck(job)) {
        if (atomic_load(&job->p->shutting))
            return cancelled(job);
        (void)rd_kafka_flush(job->p->rk, FLUSH_SLICE_MS);
    }
    if (!job->failure)
        return 0;
    wait_answers(job);
    (void)snprintf(what, sizeof(what), "Kafka: topic \"%s\" did not take a record",
                   job->failed_topic ? job->failed_topic : "");
    return fg_rd_error(&job->err, job->failure, what, NULL);
}

int fg_rd_produce(struct fg_rd_job *job)
{
    int r;

    job->first_token = job->p->next_token;
    job->p->next_token += job->publish.n_messages;
    job->n_left = job->left_bytes = 0;
    job->n_refused = 0;
    job->culprit = SIZE_MAX;
    job->failure = RD_KAFKA_RESP_ERR_NO_ERROR;
    job->failed_topic = NULL;
    if (job->cursors)
        rd_kafka_topic_partition_list_destroy(job->cursors);
    job->cursors = NULL;
    r = put_all(job);
    if (r == 0 && !fg_mutant("commit-before-flush"))
        r = wait_all(job);
    return fg_pass(r);
}

void fg_rd_produce_let_go(struct fg_rd_job *job, bool over)
{
    struct fg_bus_producer *p = job->p;
    const int all = RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING;

    while (job->n_borrowed > 0) {
        /* Not while the producer is to go on: a purge in flight leaves a gap in the sequence numbers. */
        if (over || atomic_load(&p->shutting))
            (void)rd_kafka_purge(p->rk, all);
        (void)rd_kafka_flush(p->rk, FULL_WAIT_MS);
    }
}

static bool is_purged(rd_kafka_resp_err_t rd)
{
    return rd == RD_KAFKA_RESP_ERR__PURGE_QUEUE || rd == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
}

static bool is_too_large(rd_kafka_resp_err_t rd)
{
    return rd == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || rd == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE;
}

/* The broker names a batch; which record of it shows when each is alone. */
static bool again_one_by_one(struct fg_rd_job *job)
{
    const struct fg_bus_outgoing *m;

    if (job->n_refused > 1 && !job->one_by_one) {
        job->one_by_one = true;
        return true;
    }
    job->culprit = job->refused[0];
    m = &job->publish.messages[job->culprit];
    fg_error_set(&job->err, FG_E_REFUSED, 0, "Kafka: topic \"%s\" refuses a record %s", m->topic,
                 m->key.len ? "for its form (INVALID_RECORD)" : "without key, which a compacted topic does not take");
    return false;
}

bool fg_rd_produce_again(struct fg_rd_job *job)
{
    struct fg_bus_producer *p = job->p;
    const struct fg_bus_outgoing *m;
    size_t sum = 0, largest = 0, bytes;

    if (job->n_refused) {
        p->sequence_gap = true;
    } else if (p->sequence_gap && is_purged(job->failure)) {
        p->sequence_gap = false;
        return true;
    }
    if (job->n_refused && job->failure == RD_KAFKA_RESP_ERR_INVALID_RECORD)
        return again_one_by_one(job);
    for (size_t i = 0; i < job->n_refused; i++) {
        bytes = record_bytes(&job->publish.messages[job->refused[i]]);
        sum += bytes;
        if (bytes > largest) {
            largest = bytes;
            job->culprit = job->refused[i];
        }
    }
    /* One of this size had no other in its batch. */
    if (job->n_refused > 1 && largest < p->batch_bytes) {
        sum = sum < p->batch_bytes ? sum : p->batch_bytes;
        p->group_bytes_max = (sum < p->group_bytes_max ? sum : p->group_bytes_max) / 2;
        fg_logf(&p->bus->logger, FG_LOG_WARN,
                "topic \"%s\" refuses batches that its max.message.bytes does not allow: writing at most %zu bytes at "
                "a time; the property batch.size should be smaller than that setting",
                job->failed_topic ? job->failed_topic : "", p->group_bytes_max);
        return true;
    }
    if (job->culprit == SIZE_MAX)
        return false;
    m = &job->publish.messages[job->culprit];
    fg_error_set(&job->err, FG_E_LIMIT, 0,
                 "Kafka: a record of %zu bytes is too large for topic \"%s\": %s", m->key.len + m->value.len, m->topic,
                 job->n_refused ? "the topic's max.message.bytes is smaller" : "message.max.bytes is smaller");
    return false;
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

static bool is_refused(rd_kafka_resp_err_t rd)
{
    return is_too_large(rd) || rd == RD_KAFKA_RESP_ERR_INVALID_RECORD;
}

/* What was purged because of another failure explains nothing, and what is refused for itself explains most. */
static bool explains_more(rd_kafka_resp_err_t now, rd_kafka_resp_err_t before)
{
    return !before || is_purged(before) || (is_refused(now) && !is_refused(before));
}

void fg_rd_committer_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct fg_bus_producer *p = opaque;
    struct fg_rd_job *job = p->current;
    const char *topic = rd_kafka_topic_name(m->rkt);
    uintptr_t i = (uintptr_t)m->_private;

    (void)rk;
    fg_assert(!fg_lane_is_loop(&p->lane));
    if (!job || i - job->first_token >= job->publish.n_messages)
        return;
    i -= job->first_token;
    job->n_left--;
    job->left_bytes -= record_bytes(&job->publish.messages[i]);
    job->n_borrowed -= is_borrowed(&job->publish.messages[i]);
    if (m->err) {
        if (explains_more(m->err, job->failure)) {
            job->failure = m->err;
            job->failed_topic = own_name(job, topic);
        }
        if (is_refused(m->err) && is_too_large(m->err) == is_too_large(job->failure))
            note_refused(job, i);
    } else if (job->publish.cursors_topic && strcmp(job->publish.cursors_topic, topic) == 0) {
        note_cursor(job, topic, m);
    }
}
