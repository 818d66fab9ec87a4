/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The committer: the thread on which a producer's transactions are begun, filled, committed and aborted. Delivery
 * reports, errors and statistics are callbacks on it too, so that no other thread has to serve a queue while it waits.
 */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "bus/rdkafka/producer-private.h"

#define LEFTOVER_TRIES     3
#define INIT_SLICE_MS      1000 /* of init_transactions(), which goes on where it was when called again */
#define END_SLICE_MS       2000 /* of commit and abort, which go on in the same way (since 2.0.0) */
#define OFFSETS_SLICE_MS   5000 /* of sending offsets, which begins anew, with the same effect */
#define RETRY_WAIT_MS      100
#define MEMBERSHIP_WAIT_MS 10
#define MEMBERSHIP_TRIES   100
#define POLL_MS            1000 /* idle: errors and statistics are looked at, at least */
#define CLOSE_FLUSH_MS     2000 /* for what is on its way when the producer closes */

/*
 * What to do after an error of a transactional call: exactly these four, see librdkafka's INTRODUCTION.md. What follows
 * in a transaction:
 *
 *   step      GOOD       AGAIN      ABORT    DEAD    while closing, instead of AGAIN
 *   begin     records    begin      dead     dead    dead
 *   records   offsets               abort            abort
 *   offsets   commit     offsets    abort    dead    abort
 *   commit    done       commit     abort    dead    dead: nobody knows
 *   abort     aborted    abort      dead     dead    dead
 *
 * "aborted" is begin once more where fg_rd_produce_again() says so. What is not done while closing is told as dead.
 */
enum verdict { GOOD, AGAIN, ABORT, DEAD };

static enum verdict judge(struct fg_rd_job *job, rd_kafka_error_t *error, const char *what)
{
    rd_kafka_resp_err_t rd = rd_kafka_error_code(error);
    enum verdict verdict = DEAD;
    unsigned flags;
    int code;

    if (!error)
        return GOOD;
    if (!rd_kafka_error_is_fatal(error)) {
        if (rd_kafka_error_is_retriable(error))
            verdict = AGAIN;
        else if (rd_kafka_error_txn_requires_abort(error))
            verdict = ABORT;
    }
    code = fg_rd_code(rd, &flags);
    if (verdict == DEAD && code == FG_E_FENCED)
        fg_error_set(&job->err, FG_E_FENCED, FG_ERROR_FATAL,
                     "Kafka: %s: fenced: another producer has the transactional id \"%s\" now, or a transaction lasted "
                     "longer than its %u ms (%s)",
                     what, job->p->name, job->p->transaction_timeout_ms, rd_kafka_error_string(error));
    else
        fg_error_set(&job->err, code, verdict == DEAD ? FG_ERROR_FATAL : FG_ERROR_RETRIABLE, "Kafka: %s: %s", what,
                     rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return verdict;
}

static bool shutting(const struct fg_bus_producer *p)
{
    return atomic_load(&p->shutting);
}

/* What stands in the way from now on, for the loop to tell. */
static void tell(struct fg_bus_producer *p, const struct fg_error *err)
{
    fg_trouble_state(&p->trouble, err);
    fg_lane_nudge_loop(&p->lane);
}

static void wait_a_little(struct fg_bus_producer *p)
{
    (void)rd_kafka_poll(p->rk, RETRY_WAIT_MS);
}

/* ---- transactions ---- */

static rd_kafka_topic_partition_list_t *all_offsets(struct fg_rd_job *job)
{
    rd_kafka_topic_partition_list_t *list = fg_rd_list(job->publish.offsets, job->publish.n_offsets);

    for (int i = 0; job->cursors && i < job->cursors->cnt; i++) {
        const rd_kafka_topic_partition_t *tp = &job->cursors->elems[i];
        rd_kafka_topic_partition_t *own = rd_kafka_topic_partition_list_find(list, tp->topic, tp->partition);
        if (!own)
            own = rd_kafka_topic_partition_list_add(list, tp->topic, tp->partition);
        own->offset = tp->offset;
        if (!own->metadata)
            fg_rd_set_metadata(own, job->publish.cursors_metadata);
    }
    return list;
}

/* A publish right after consumer_assign() comes before its lane has learned the membership. */
static void await_membership(struct fg_rd_job *job)
{
    struct fg_bus_consumer *c = job->publish.consumer;

    for (int i = 0; i < MEMBERSHIP_TRIES && !shutting(job->p); i++) {
        if ((job->membership && job->membership->assigns == job->assigns) || atomic_load(&c->assigns) != job->assigns)
            return;
        (void)rd_kafka_poll(job->p->rk, MEMBERSHIP_WAIT_MS);
        fg_rd_membership_unref(job->membership);
        job->membership = fg_rd_membership_get(c);
    }
}

static enum verdict send_offsets(struct fg_rd_job *job)
{
    rd_kafka_topic_partition_list_t *list;
    enum verdict verdict = GOOD;

    if (!job->publish.consumer)
        return GOOD;
    await_membership(job);
    if (!job->membership) {
        fg_error_set(&job->err, FG_E_FENCED, FG_ERROR_RETRIABLE,
                     "Kafka: offsets cannot be committed: the consumer has no assignment");
        return ABORT;
    }
    list = all_offsets(job);
    while (list->cnt > 0 && !shutting(job->p)) {
        verdict = judge(job, rd_kafka_send_offsets_to_transaction(job->p->rk, list, job->membership->metadata,
                                                                    OFFSETS_SLICE_MS),
                        "the offsets were not taken");
        if (verdict != AGAIN)
            break;
        wait_a_little(job->p);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return shutting(job->p) && verdict != DEAD ? ABORT : verdict;
}

static enum verdict commit(struct fg_rd_job *job)
{
    enum verdict verdict;

    /* Not -1, which is to be the rest of the transaction's timeout, and is for ever while no broker answers (2.0.2). */
    while ((verdict = judge(job, rd_kafka_commit_transaction(job->p->rk, END_SLICE_MS), "the commit failed")) ==
           AGAIN) {
        if (shutting(job->p))
            return DEAD;
        wait_a_little(job->p);
    }
    return verdict;
}

/*
 * With a flush before: an abort that overtakes the registration of partitions at the coordinator ends the handle
 * (INVALID_TXN_STATE, seen in a third of aborts soon after produce). Not where a record has failed: what can be
 * answered has been waited for then, the rest is never sent.
 */
static enum verdict abort_transaction(struct fg_rd_job *job)
{
    struct fg_error why = job->err;
    enum verdict verdict;

    if (!job->failure)
        (void)rd_kafka_flush(job->p->rk, shutting(job->p) ? CLOSE_FLUSH_MS : (int)job->p->transaction_timeout_ms);
    while ((verdict = judge(job, rd_kafka_abort_transaction(job->p->rk, END_SLICE_MS), "the abort failed")) == AGAIN) {
        if (shutting(job->p))
            return DEAD;
        wait_a_little(job->p);
    }
    if (verdict != GOOD)
        return DEAD;
    job->err = why;
    return GOOD;
}

static enum verdict begin(struct fg_rd_job *job)
{
    enum verdict verdict;

    while ((verdict = judge(job, rd_kafka_begin_transaction(job->p->rk), "a transaction cannot begin")) == AGAIN &&
           !shutting(job->p))
        wait_a_little(job->p);
    return verdict == GOOD ? GOOD : DEAD;
}

static enum verdict transaction(struct fg_rd_job *job)
{
    enum verdict verdict = begin(job);

    if (verdict != GOOD)
        return DEAD;
    verdict = fg_rd_produce(job) < 0 ? ABORT : send_offsets(job);
    if (verdict == GOOD)
        verdict = commit(job);
    if (verdict == ABORT)
        return abort_transaction(job) == GOOD ? ABORT : DEAD;
    return verdict;
}

/* ---- at least once ---- */

static enum verdict plainly(struct fg_rd_job *job)
{
    rd_kafka_topic_partition_list_t *list;
    int r = 0;

    if (fg_rd_produce(job) < 0)
        return fg_rd_committer_is_dead(job->p) || shutting(job->p) ? DEAD : ABORT;
    if (!job->publish.consumer)
        return GOOD;
    list = all_offsets(job);
    if (list->cnt > 0 && atomic_load(&job->publish.consumer->assignment) != job->assignment)
        r = fg_raise(fg_error_set(&job->err, FG_E_FENCED, FG_ERROR_RETRIABLE,
                                  "Kafka: the partitions were taken away before their offsets could be committed"));
    else if (list->cnt > 0)
        r = fg_rd_commit_now(job->publish.consumer, list, &job->err);
    rd_kafka_topic_partition_list_destroy(list);
    return r < 0 ? ABORT : GOOD;
}

/* ---- jobs ---- */

bool fg_rd_committer_is_dead(struct fg_bus_producer *p)
{
    char text[256];

    return rd_kafka_fatal_error(p->rk, text, sizeof(text)) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static enum fg_bus_outcome outcome_of(enum verdict verdict)
{
    fg_assert(verdict != AGAIN); /* each step that hears it goes on itself */
    switch (verdict) {
    case GOOD: return FG_BUS_DONE;
    case ABORT: return FG_BUS_ABORTED;
    case AGAIN:
    case DEAD: break;
    }
    return FG_BUS_DEAD;
}

void fg_rd_committer_run(struct fg_lane_job *base)
{
    struct fg_rd_job *job = fg_container_of(base, struct fg_rd_job, job);
    struct fg_bus_producer *p = job->p;
    enum verdict verdict;

    fg_assert(!fg_lane_is_loop(&p->lane));
    p->current = job;
    p->busy = true;
    do {
        if (job->publish.n_messages == 0 && job->publish.n_offsets == 0)
            verdict = GOOD;
        else
            verdict = p->transactional ? transaction(job) : plainly(job);
        fg_rd_produce_let_go(job, verdict == DEAD);
    } while (verdict == ABORT && !shutting(p) && fg_rd_produce_again(job));
    p->busy = false;
    p->current = NULL;
    if (verdict != GOOD && (shutting(p) || fg_rd_committer_is_dead(p)))
        verdict = DEAD;
    job->outcome = outcome_of(verdict);
    job->err.fatal = verdict == DEAD;
    if (verdict == GOOD && job->publish.n_messages)
        fg_trouble_proved(&p->trouble, true);
}

static void tell_waiting(struct fg_bus_producer *p, unsigned tries, rd_kafka_resp_err_t rd, const char *text)
{
    (void)rd_kafka_poll(p->rk, 0);
    if (fg_trouble_suspect(&p->trouble))
        fg_trouble_proved(&p->trouble, false);
    else if (tries >= 3)
        fg_trouble_hint(&p->trouble, rd, text, true);
    fg_lane_nudge_loop(&p->lane);
}

/* true: initialised. A retriable error is tried again for as long as it takes. */
static bool init_transactions(struct fg_bus_producer *p)
{
    struct fg_rd_job job = {.p = p};
    enum verdict verdict = GOOD;
    rd_kafka_resp_err_t rd;

    for (unsigned tries = 1; !shutting(p); tries++) {
        rd_kafka_error_t *error = rd_kafka_init_transactions(p->rk, INIT_SLICE_MS);
        rd = rd_kafka_error_code(error);
        if ((verdict = judge(&job, error, "transactions cannot be initialised")) == GOOD)
            return true;
        if (verdict == AGAIN) {
            tell_waiting(p, tries, rd, "transactions cannot be initialised: no answer so far");
            continue;
        }
        job.err.fatal = true;
        tell(p, &job.err);
        return false;
    }
    return false;
}

/* Without a topic's metadata its first record goes out up to a second late. */
static bool warm_up(struct fg_bus_producer *p, size_t i)
{
    struct fg_rd_topic found = {0};
    rd_kafka_resp_err_t rd;
    struct fg_error err;
    unsigned flags;

    if ((rd = fg_rd_look_up(p->bus, p->rk, p->topics[i], FG_RD_PROBE_TIMEOUT_MS, &found))) {
        tell_waiting(p, 3, rd, NULL);
        return false;
    }
    fg_trouble_proved(&p->trouble, true);
    if (!(rd = found.err)) {
        p->handles[i] = rd_kafka_topic_new(p->rk, p->topics[i], NULL);
        p->partitions[i] = found.partitions;
    } else {
        fg_error_set(&err, fg_rd_code(rd, &flags), FG_ERROR_RETRIABLE, "Kafka: topic \"%s\": %s", p->topics[i],
                     rd_kafka_err2str(rd));
        tell(p, &err);
        wait_a_little(p);
    }
    return !rd;
}

static size_t all_partitions(const struct fg_bus_producer *p, struct fg_bus_outgoing *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_topics; i++)
        for (int32_t partition = 0; partition < p->partitions[i]; partition++, n++)
            if (ret)
                ret[n] = (struct fg_bus_outgoing){.topic = p->topics[i],
                                                  .key = FG_SLICE("fragua"), /* compacted topics want one */
                                                  .tombstone = true,
                                                  .partition = partition};
    return n;
}

/*
 * An offset of no meaning, so that the abort gets to the group's coordinator too. Whether it is taken is all the same:
 * the coordinator of transactions has been told of the group then.
 */
static enum verdict touch_offsets(struct fg_rd_job *job)
{
    const struct fg_bus_position at = {.topic = job->p->group_topic};
    rd_kafka_consumer_group_metadata_t *group;
    rd_kafka_topic_partition_list_t *list;
    enum verdict verdict;

    if (!job->p->group)
        return GOOD;
    group = rd_kafka_consumer_group_metadata_new(job->p->group);
    list = fg_rd_list(&at, 1);
    verdict = judge(job, rd_kafka_send_offsets_to_transaction(job->p->rk, list, group, OFFSETS_SLICE_MS),
                    "an offset was not taken");
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_group_metadata_destroy(group);
    return verdict;
}

/*
 * Kafka 4.3.1 ends a transaction without a marker in partitions that have no leader at that moment ("likely deleted
 * already"). The records there stay open until the next marker of this producer, and count if it is a commit's; offsets
 * there stay pending, and are told to nobody. So the first marker after an abort that is known of, or where offsets
 * stay pending, is another's, in every partition. One that cannot be written to, try after try, is left.
 */
static enum verdict end_leftovers(struct fg_bus_producer *p)
{
    size_t n = all_partitions(p, NULL);
    struct fg_bus_outgoing *messages = fg_calloc(n + 1, sizeof(*messages));
    struct fg_rd_job job = {.p = p, .publish = {.messages = messages, .n_messages = n}};
    enum verdict verdict = GOOD;
    int r = -1;

    (void)all_partitions(p, messages);
    p->current = &job;
    for (int tries = 0; r < 0 && tries < LEFTOVER_TRIES && verdict == GOOD && !shutting(p); tries++) {
        job.failure = RD_KAFKA_RESP_ERR_NO_ERROR;
        if ((verdict = begin(&job)) != GOOD)
            break;
        if ((r = fg_rd_produce(&job)) == 0 && touch_offsets(&job) == AGAIN)
            r = -job.err.code;
        if (r < 0)
            tell(p, &job.err);
        verdict = abort_transaction(&job);
    }
    p->current = NULL;
    free(job.refused);
    free(messages);
    if (verdict != GOOD) {
        job.err.fatal = true;
        tell(p, &job.err);
    }
    return verdict;
}

void fg_rd_committer_open(struct fg_bus_producer *p)
{
    p->busy = true;
    if (!p->transactional || init_transactions(p)) {
        if (p->transactional)
            fg_trouble_proved(&p->trouble, true);
        for (size_t i = 0; i < p->n_topics && !shutting(p);)
            i += warm_up(p, i);
        if (!p->transactional || !p->after_abort || end_leftovers(p) == GOOD)
            fg_trouble_state(&p->trouble, NULL);
    }
    p->busy = false;
}

void fg_rd_committer_idle(void *producer)
{
    struct fg_bus_producer *p = producer;

    (void)rd_kafka_poll(p->rk, POLL_MS);
    if (!fg_trouble_suspect(&p->trouble) || shutting(p))
        return;
    fg_trouble_probe(&p->trouble, p->rk, FG_RD_PROBE_TIMEOUT_MS);
    fg_lane_nudge_loop(&p->lane);
}

void fg_rd_committer_error(rd_kafka_t *rk, int code, const char *text, void *opaque)
{
    struct fg_bus_producer *p = opaque;
    rd_kafka_resp_err_t rd = (rd_kafka_resp_err_t)code;
    char fatal[256] = "";
    struct fg_error err;

    fg_assert(!fg_lane_is_loop(&p->lane));
    if (rd == RD_KAFKA_RESP_ERR__FATAL) {
        rd = rd_kafka_fatal_error(rk, fatal, sizeof(fatal));
        fg_rd_error(&err, rd, "Kafka: the producer is dead", fatal);
        err.fatal = true;
        err.retriable = false;
        fg_trouble_state(&p->trouble, &err);
    } else {
        fg_trouble_hint(&p->trouble, rd, text, p->busy && rd == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN);
    }
    fg_lane_nudge_loop(&p->lane);
}
