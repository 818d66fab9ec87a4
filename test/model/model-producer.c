/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model's producer: a publish is one request after the other, as the committer thread makes them: writes, offsets,
 * commit or abort. Each can fail, be refused, be slow, or have its answer lost.
 */
#include <stdio.h>
#include <stdlib.h>

#include "model-private.h"
#include "base/hash.h"

#define CHUNK_MAX      200u /* messages in one request, at most */
#define AGAIN_MS       3u   /* the transaction before is not over yet */
#define TRANSACTION_MS 10000u
#define LATE_MS        3000u /* a commit that its producer does not wait for arrives within this */

enum step { WRITE, OFFSETS, COMMIT, ABORT };

struct fg_bus_producer {
    struct model_call call; /* one at a time */
    struct fg_list link;    /* model_bus::producers */
    struct model_bus *model;
    struct model_client *client;
    struct fg_bus_producer_events events;
    void *arg;
    struct model_txn *txn; /* NULL: not transactional */
    unsigned epoch;
    uint64_t timeout_ms;
    bool closed, closing, dead, is_ready, after_abort;
    unsigned pending;
    /* the publish under way; pub NULL: none */
    const struct fg_bus_publish *pub;
    fg_bus_published_cb done;
    void *done_arg;
    bool member;
    struct model_membership membership;
    unsigned assigns;
    enum step step;
    size_t n_sent, chunk; /* messages written, and in the request under way */
    size_t *offsets;      /* owned array: where each cursor was written */
    int32_t *partitions;  /* owned array */
    enum model_fault fault;
    unsigned fault_step, n_steps; /* the fault happens at this step of so many */
    bool fault_after;             /* once it is served */
    enum fg_bus_outcome outcome;  /* of the step under way: DONE, or why it failed */
    struct fg_error err;
    fg_done_cb on_closed;
    void *closed_arg;
};

static void next_step(struct fg_bus_producer *p);

static void maybe_free(struct fg_bus_producer *p)
{
    if (!p->closed || p->pending)
        return;
    fg_list_remove(&p->link);
    p->model->n_producers--;
    p->client->n_handles--;
    p->on_closed(p->closed_arg);
    free(p);
}

static void send(struct fg_bus_producer *p, void (*serve)(struct model_call *), void (*answer)(struct model_call *))
{
    p->pending++;
    p->call = (struct model_call){.client = p->client, .serve = serve, .answer = answer, .give_up = &p->closing};
    if (p->pub && p->step == ABORT && model_reaches(p->client))
        p->call.give_up = NULL;
    model_call_send(&p->call);
}

/* ---- opening ---- */

static void init_served(struct model_call *call)
{
    struct fg_bus_producer *p = fg_container_of(call, struct fg_bus_producer, call);

    if (p->txn && model_txn_begin_session(p->txn, p->timeout_ms, &p->epoch) == MODEL_TXN_WAIT)
        call->again_ms = AGAIN_MS;
    else if (p->txn && p->after_abort)
        model_txn_abort_left(p->txn);
}

static void init_answered(struct model_call *call)
{
    struct fg_bus_producer *p = fg_container_of(call, struct fg_bus_producer, call);

    p->pending--;
    if (!p->closing && !call->lost) {
        p->is_ready = true;
        sim_trace(p->client->process, "%s: ready, epoch %u", p->txn ? p->txn->id : "producer", p->epoch);
        p->events.ready(p->arg);
    }
    maybe_free(p);
}

int model_producer_open(struct fg_bus *bus, const struct fg_bus_producer_config *config,
                        const struct fg_bus_producer_events *events, void *arg, struct fg_bus_producer **ret,
                        struct fg_error *err)
{
    struct fg_bus_producer *p = fg_calloc(1, sizeof(*p));

    p->client = model_client_of(bus);
    p->model = p->client->model;
    p->events = *events;
    p->arg = arg;
    p->txn = config->transactional_id ? model_txn(p->model, config->transactional_id) : NULL;
    p->after_abort = config->after_abort;
    p->timeout_ms = config->transaction_timeout_ms ? config->transaction_timeout_ms : TRANSACTION_MS;
    fg_list_append(&p->model->producers, &p->link);
    p->model->n_producers++;
    p->model->n_opened_producers++;
    p->client->n_handles++;
    *ret = p;
    send(p, init_served, init_answered);
    return 0;
}

/* ---- the steps, at the broker ---- */

static void fail(struct fg_bus_producer *p, enum fg_bus_outcome outcome, int code, const char *text)
{
    p->outcome = outcome;
    fg_error_set(&p->err, code, outcome == FG_BUS_DEAD ? FG_ERROR_FATAL : FG_ERROR_RETRIABLE, "%s", text);
}

/* true: go on. */
static bool accept(struct fg_bus_producer *p, enum model_txn_verdict verdict)
{
    if (verdict == MODEL_TXN_WAIT)
        p->call.again_ms = AGAIN_MS;
    if (verdict == MODEL_TXN_FENCED) {
        p->model->n_fenced++;
        fail(p, FG_BUS_DEAD, FG_E_FENCED, "fenced: another producer has the transactional id, or it was too late");
    }
    return verdict == MODEL_TXN_OK;
}

static bool too_large(struct fg_bus_producer *p, const struct model_topic *topic, size_t i)
{
    const struct fg_bus_outgoing *m = &p->pub->messages[i];
    size_t size = m->key.len + m->value.len;

    for (size_t k = 0; k < m->n_headers; k++)
        size += m->headers[k].name.len + m->headers[k].value.len;
    if (!topic->message_bytes_max || size <= topic->message_bytes_max)
        return false;
    fail(p, FG_BUS_ABORTED, FG_E_LIMIT, "the message is too large for its topic");
    if (p->pub->culprit)
        *p->pub->culprit = i;
    return true;
}

static bool write_one(struct fg_bus_producer *p, size_t i)
{
    const struct fg_bus_outgoing *m = &p->pub->messages[i];
    struct model_topic *topic = model_topic_find(p->model, m->topic);
    int32_t at = m->partition;

    fg_assert(topic);
    if (too_large(p, topic, i))
        return false;
    if (at < 0)
        at = m->key.len ? fg_murmur2_partition(m->key, topic->n_partitions)
                        : (int32_t)sim_random(p->model->sim, (uint64_t)topic->n_partitions);
    p->partitions[i] = at;
    if (p->txn)
        return accept(p, model_txn_write(p->txn, p->epoch, &topic->partitions[at], m, &p->offsets[i]));
    p->offsets[i] = model_append(&topic->partitions[at], m, MODEL_COMMITTED);
    return true;
}

static void serve_write(struct fg_bus_producer *p)
{
    size_t end = p->n_sent + p->chunk;

    while (p->n_sent < end && write_one(p, p->n_sent))
        p->n_sent++;
    p->chunk = end - p->n_sent;
    if (!p->txn)
        model_data(p->model);
}

static bool promise(struct fg_bus_producer *p, const char *topic, int32_t partition, int64_t value,
                    const char *metadata)
{
    struct model_offset *offset = model_offset(model_consumer_group(p->pub->consumer), topic, partition);

    if (p->txn)
        return accept(p, model_txn_offset(p->txn, p->epoch, offset, value, metadata));
    model_offset_set(offset, value, metadata);
    return true;
}

/* For each partition of the cursors topic: one past the last that was written there. */
static void promise_cursors(struct fg_bus_producer *p)
{
    const struct fg_bus_publish *pub = p->pub;

    for (size_t i = 0; i < pub->n_messages; i++) {
        bool last = strcmp(pub->messages[i].topic, pub->cursors_topic) == 0;
        for (size_t k = i + 1; k < pub->n_messages && last; k++)
            last = p->partitions[k] != p->partitions[i] || strcmp(pub->messages[k].topic, pub->cursors_topic) != 0;
        if (last &&
            !promise(p, pub->cursors_topic, p->partitions[i], (int64_t)p->offsets[i] + 1, pub->cursors_metadata))
            return;
    }
}

static void serve_offsets(struct fg_bus_producer *p)
{
    const struct fg_bus_publish *pub = p->pub;
    bool member = p->member;

    if (!p->txn && p->assigns != model_consumer_assigns(pub->consumer))
        member = false;
    if (!member || model_group_check(model_consumer_group(pub->consumer), p->membership) != MODEL_OK) {
        p->model->n_refused++;
        sim_trace(p->client->process, "offsets refused: member %llu generation %d",
                  (unsigned long long)p->membership.member, p->membership.generation);
        fail(p, FG_BUS_ABORTED, FG_E_FENCED, "the offsets were not taken: unknown member or illegal generation");
        return;
    }
    for (size_t i = 0; i < pub->n_offsets; i++)
        if (!promise(p, pub->offsets[i].topic, pub->offsets[i].partition, pub->offsets[i].offset,
                     pub->offsets[i].metadata))
            return;
    if (pub->cursors_topic)
        promise_cursors(p);
}

static void serve_step(struct model_call *call)
{
    struct fg_bus_producer *p = fg_container_of(call, struct fg_bus_producer, call);

    switch (p->step) {
    case WRITE: serve_write(p); break;
    case OFFSETS: serve_offsets(p); break;
    case COMMIT: accept(p, model_txn_end(p->txn, p->epoch, true)); break;
    case ABORT:
    default: accept(p, model_txn_end(p->txn, p->epoch, false)); break;
    }
}

/* ---- faults ---- */

static enum model_fault next_fault(struct fg_bus_producer *p)
{
    struct model_bus *model = p->model;
    uint64_t dice = sim_random(model->sim, 100);
    enum model_fault fault = MODEL_FAULT_NONE;

    if (model->n_script) {
        fault = model->script[0];
        memmove(model->script, model->script + 1, --model->n_script * sizeof(model->script[0]));
    } else if (dice < model->dead_percent) {
        fault = (enum model_fault)(MODEL_FAULT_DEAD + (model->dead_plainly ? 0 : sim_random(model->sim, 3)));
    } else if (dice < model->dead_percent + model->abort_percent) {
        fault = MODEL_FAULT_ABORT;
    }
    if (!p->txn && (fault == MODEL_FAULT_COMMITTED || fault == MODEL_FAULT_LATE || fault == MODEL_FAULT_FORGOTTEN))
        fault = MODEL_FAULT_DEAD;
    return fault;
}

/* Does the planned fault happen now? Then the step has failed. */
static bool breaks(struct fg_bus_producer *p, bool after)
{
    bool commit = p->step == COMMIT;
    bool here = p->step != ABORT && after == (p->fault_after && !commit) &&
                (p->n_steps == p->fault_step || commit || !p->txn);

    switch (p->fault) {
    case MODEL_FAULT_ABORT:
        if (!here)
            return false;
        fail(p, FG_BUS_ABORTED, FG_E_UNAVAILABLE, "the transaction was aborted");
        break;
    case MODEL_FAULT_DEAD:
        if (!here)
            return false;
        fail(p, FG_BUS_DEAD, FG_E_FENCED, "fenced by a newer instance");
        break;
    case MODEL_FAULT_COMMITTED:
        if (!commit || !after || p->outcome != FG_BUS_DONE)
            return false;
        fail(p, FG_BUS_DEAD, FG_E_TIMEOUT, "no answer to the commit");
        break;
    case MODEL_FAULT_LATE:
        if (!commit || after)
            return false;
        model_txn_end_late(p->txn, p->epoch, sim_random(p->model->sim, LATE_MS));
        fail(p, FG_BUS_DEAD, FG_E_TIMEOUT, "no answer to the commit");
        break;
    case MODEL_FAULT_FORGOTTEN:
        if (!commit || after)
            return false;
        p->txn->forgets = true;
        p->fault = MODEL_FAULT_NONE;
        return false;
    case MODEL_FAULT_BROKEN:
        if (after || p->n_steps != 1)
            return false;
        fail(p, FG_BUS_DEAD, FG_E_INTERNAL, "the brokers know of no such transaction");
        break;
    case MODEL_FAULT_TIMED_OUT:
        if (after || p->step != OFFSETS)
            return false;
        fail(p, FG_BUS_ABORTED, FG_E_TIMEOUT, "the records timed out");
        break;
    case MODEL_FAULT_SILENT:
    case MODEL_FAULT_NONE:
    case _MODEL_FAULT_N:
    default: return false;
    }
    sim_trace(p->client->process, "fault: %s at step %u", p->err.text, p->n_steps);
    p->fault = MODEL_FAULT_NONE;
    return true;
}

/* ---- the steps, in the process ---- */

static void finish(struct fg_bus_producer *p)
{
    enum fg_bus_outcome outcome = p->outcome;

    if (outcome != FG_BUS_DONE && (p->closing || p->client->cut))
        outcome = FG_BUS_DEAD;
    p->err.fatal = outcome == FG_BUS_DEAD;
    p->dead = p->dead || outcome == FG_BUS_DEAD;
    if (p->pub->consumer)
        model_consumer_drop(p->pub->consumer);
    p->pub = NULL;
    free(p->offsets);
    free(p->partitions);
    p->offsets = NULL;
    p->partitions = NULL;
    sim_trace(p->client->process, "publish ends: %s %s",
              outcome == FG_BUS_DONE   ? "done"
              : outcome == FG_BUS_DEAD ? "dead:"
                                       : "aborted:",
              outcome == FG_BUS_DONE ? "" : p->err.text);
    p->done(p->done_arg, outcome, outcome == FG_BUS_DONE ? NULL : &p->err);
    if (p->closing)
        p->closed = true;
}

static void answer_step(struct model_call *call)
{
    struct fg_bus_producer *p = fg_container_of(call, struct fg_bus_producer, call);

    p->pending--;
    if (call->lost)
        fail(p, p->step == ABORT || p->step == COMMIT ? FG_BUS_DEAD : FG_BUS_ABORTED, FG_E_CANCELLED,
             "the producer is closing");
    else
        (void)breaks(p, true);
    next_step(p);
    maybe_free(p);
}

static void do_step(struct fg_bus_producer *p)
{
    if (p->step == ABORT) {
        p->outcome = FG_BUS_DONE; /* of the abort; the reason stays in err */
    } else if (breaks(p, false)) {
        next_step(p);
        return;
    }
    send(p, serve_step, answer_step);
}

static void go_on(void *arg)
{
    struct fg_bus_producer *p = arg;

    p->pending--;
    do_step(p);
    maybe_free(p);
}

static void take_step(struct fg_bus_producer *p, enum step step)
{
    struct model_bus *model = p->model;

    p->step = step;
    p->n_steps++;
    if (model->before_step)
        model->before_step(model->before_step_arg, p->client, p->n_steps);
    if (p->client->process->frozen) {
        p->pending++;
        sim_process_post(p->client->process, 0, go_on, p);
        return;
    }
    do_step(p);
}

/* What comes after the step that has ended. */
static void next_step(struct fg_bus_producer *p)
{
    bool offsets = p->pub->consumer && (p->pub->n_offsets || p->pub->cursors_topic);

    if (p->step == ABORT) {
        p->outcome = p->outcome == FG_BUS_DONE ? FG_BUS_ABORTED : FG_BUS_DEAD;
        finish(p);
    } else if (p->outcome == FG_BUS_ABORTED && p->txn) {
        take_step(p, ABORT);
    } else if (p->outcome != FG_BUS_DONE) {
        finish(p);
    } else if (p->step == WRITE && p->n_sent < p->pub->n_messages) {
        size_t left = p->pub->n_messages - p->n_sent;
        p->chunk = left <= CHUNK_MAX && sim_chance(p->model->sim, 70)
                       ? left
                       : 1 + sim_random(p->model->sim, left < CHUNK_MAX ? left : CHUNK_MAX);
        take_step(p, WRITE);
    } else if (p->step == WRITE && offsets) {
        take_step(p, OFFSETS);
    } else if (p->step < COMMIT && p->txn) {
        take_step(p, COMMIT);
    } else {
        finish(p);
    }
}

static void begin(void *arg)
{
    struct fg_bus_producer *p = arg;

    p->pending--;
    next_step(p);
    maybe_free(p);
}

void model_producer_publish(struct fg_bus_producer *p, const struct fg_bus_publish *publish, fg_bus_published_cb done,
                            void *arg)
{
    fg_assert(!p->pub); /* one at a time */
    fg_assert(!p->dead);
    fg_assert(!p->closing);
    fg_assert(p->is_ready);
    p->model->n_publishes++;
    p->pub = publish;
    p->done = done;
    p->done_arg = arg;
    p->step = WRITE;
    p->n_sent = p->chunk = 0;
    p->n_steps = 0;
    p->outcome = FG_BUS_DONE;
    p->err = FG_ERROR_NULL;
    p->offsets = fg_calloc(publish->n_messages + 1, sizeof(size_t));
    p->partitions = fg_calloc(publish->n_messages + 1, sizeof(int32_t));
    if (publish->consumer) {
        model_consumer_use(publish->consumer);
        p->member = model_consumer_membership(publish->consumer, &p->membership);
        p->assigns = model_consumer_assigns(publish->consumer);
    }
    p->fault = next_fault(p);
    p->fault_step = 1 + (unsigned)sim_random(p->model->sim, 3);
    p->fault_after = sim_chance(p->model->sim, 50);
    p->pending++;
    sim_process_post(p->client->process, p->fault == MODEL_FAULT_SILENT ? MODEL_SILENT_MS : 0, begin, p);
}

/* ---- the end ---- */

static void gone(void *arg)
{
    struct fg_bus_producer *p = arg;

    p->pending--;
    if (!p->pub)
        p->closed = true;
    maybe_free(p);
}

void model_producer_close(struct fg_bus_producer *p, fg_done_cb closed, void *arg)
{
    fg_assert(!p->closing);
    p->closing = true;
    p->on_closed = closed;
    p->closed_arg = arg;
    p->pending++;
    sim_process_post(p->client->process, 1, gone, p);
}

void model_producers_trouble(struct model_bus *model, const struct fg_error *err)
{
    for (struct fg_list *l = model->producers.next; l != &model->producers; l = l->next) {
        struct fg_bus_producer *p = fg_container_of(l, struct fg_bus_producer, link);
        if (!p->closing)
            p->events.trouble(p->arg, err);
    }
}
