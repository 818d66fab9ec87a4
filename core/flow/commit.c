/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commit of a batch: oldest first, one at a time, when all of its slots have ended.
 *
 *   exactly once    one publish: records, dead letters and cursors, and the offsets that account for them
 *   at least once   records and dead letters; when they are safe: cursors, or offsets
 *   nothing to write (a sink without output): offsets alone
 */
#include <stdlib.h>

#include "base/mutant.h"
#include "flow/pipeline-private.h"

/* A commit ends, or says why not, within the transaction's time-out, which is 10 s: past this something hangs. */
#define SILENCE_MS 30000u

static struct fg_flow_batch *oldest(struct fg_pipeline *p)
{
    return fg_list_empty(&p->batches) ? NULL : fg_container_of(p->batches.next, struct fg_flow_batch, link);
}

/* Notes an outcome; the next advance() looks at it. */
static void note(struct fg_pipeline *p, enum fg_bus_outcome outcome, const struct fg_error *err)
{
    p->is_outcome = true;
    p->outcome = outcome;
    p->outcome_err = err ? *err : FG_ERROR_NULL;
    fg_flow_kick(p);
}

static void published(void *arg, enum fg_bus_outcome outcome, const struct fg_error *err)
{
    struct fg_pipeline *p = arg;
    fg_assert(p->publishing);
    note(p, outcome, err);
}

static void offsets_committed(void *arg, const struct fg_bus_position *positions, size_t n, const struct fg_error *err)
{
    struct fg_pipeline *p = fg_flow_call_end(arg);
    if (p)
        note(p, err ? FG_BUS_ABORTED : FG_BUS_DONE, err);
}

static void commit_offsets(struct fg_pipeline *p, struct fg_flow_batch *batch)
{
    struct fg_flow_call *call = fg_flow_call_new(p);

    p->commit_step = FG_COMMIT_OFFSETS;
    p->asked_ms = p->now_ms;
    p->c.bus->ops->consumer_commit(p->consumer, batch->out.offsets, batch->n_offsets, offsets_committed, call);
}

static void publish(struct fg_pipeline *p, struct fg_flow_batch *batch, int step)
{
    struct fg_flow_publish *out = &batch->out;
    bool all = step == FG_COMMIT_ALL;
    size_t from = step == FG_COMMIT_CURSORS ? out->n_records : 0;
    size_t to = step == FG_COMMIT_RECORDS ? out->n_records : out->n;

    p->commit_step = step;
    p->asked_ms = p->now_ms;
    out->publish = (struct fg_bus_publish){
        .messages = out->messages + from,
        .n_messages = to - from,
        .consumer = all ? p->consumer : NULL,
        .offsets = all ? out->offsets : NULL,
        .n_offsets = all ? batch->n_offsets : 0,
        .cursors_topic = all && p->c.source ? p->c.cursors_topic : NULL,
        .cursors_metadata = out->cursors_mark,
        .culprit = &out->culprit,
    };
    out->from = from;
    out->culprit = SIZE_MAX;
    if (fg_mutant("skip-offsets"))
        out->publish.n_offsets = 0;
    if (fg_mutant("zombie-not-fenced"))
        out->publish.cursors_topic = NULL;
    p->c.bus->ops->producer_publish(p->producer, &out->publish, published, p);
}

/* A librdkafka call that never returns says nothing itself. */
static void watch(struct fg_pipeline *p)
{
    struct fg_error err;

    if (p->is_late)
        return;
    if (p->now_ms < p->asked_ms + SILENCE_MS) {
        fg_flow_due(p, p->asked_ms + SILENCE_MS);
        return;
    }
    p->is_late = true;
    fg_error_set(&err, FG_E_TIMEOUT, FG_ERROR_RETRIABLE, "a commit is not answered for %u s; still waiting for Kafka",
                 SILENCE_MS / 1000);
    fg_flow_trouble(p, FG_TROUBLE_COMMIT, "kafka", &err, 0, 0);
}

static void no_longer_late(struct fg_pipeline *p)
{
    if (p->is_late)
        fg_flow_trouble(p, FG_TROUBLE_COMMIT, "", NULL, 0, 0);
    p->is_late = false;
}

/* At least once: the next part of a commit. false: there is none. */
static bool next_part(struct fg_pipeline *p, struct fg_flow_batch *batch)
{
    if (p->commit_step != FG_COMMIT_RECORDS)
        return false;
    if (batch->out.n > batch->out.n_records) {
        publish(p, batch, FG_COMMIT_CURSORS);
        return true;
    }
    if (p->c.source)
        return false;
    commit_offsets(p, batch);
    return true;
}

/* When it happened: what the record says of itself, else Kafka's time. */
static int64_t event_ms(const struct fg_record *record)
{
    const struct fg_record_view *v = fg_record_view(record);
    const struct fg_header *time = fg_flow_header(v, "ce_time");
    int64_t ms;

    return time && fg_rfc3339_parse(time->value, &ms) ? ms : v->timestamp_ms;
}

static void count(struct fg_pipeline *p, struct fg_flow_batch *batch)
{
    int64_t wall = fg_clock_wall_ms(p->env->clock);

    for (struct fg_list *l = batch->slots.next; l != &batch->slots; l = l->next) {
        struct fg_slot *slot = fg_container_of(l, struct fg_slot, link);
        int64_t took_ms = wall - event_ms(slot->in);
        fg_metric_observe(p->m.end_to_end_seconds, took_ms > 0 ? (double)took_ms / 1000 : 0);
        if (slot->state == FG_SLOT_DROPPED)
            p->counts.records_dropped++;
        if (slot->state != FG_SLOT_DEAD)
            continue;
        p->counts.records_dead++;
        if (slot->dead->err.code > FG_E_NONE && slot->dead->err.code < _FG_CODE_N)
            fg_metric_add(p->m.dead[slot->dead->err.code], 1);
    }
    p->counts.records_out += batch->out.n_results;
    p->counts.commits++;
    p->counts.last_commit_ms = wall;
    fg_metric_add(p->m.out, (double)batch->out.n_results);
    fg_metric_add(p->m.commits, 1);
    fg_metric_observe(p->m.commit_seconds, (double)(p->now_ms - p->commit_began_ms) / 1000);
}

/* The batch counts: this is where the input goes back to from now on. */
static void remember(struct fg_pipeline *p, struct fg_flow_batch *batch)
{
    for (size_t i = 0; i < batch->n_offsets; i++)
        batch->offsets[i].partition->restart = batch->offsets[i].next;
    p->intake->committed(p, batch);
}

static void batch_committed(struct fg_pipeline *p, struct fg_flow_batch *batch)
{
    remember(p, batch);
    count(p, batch);
    p->publishing = NULL;
    fg_flow_batch_free(batch);
    p->committed_ms = p->now_ms;
    p->aborts_in_row = p->failures = 0;
    fg_flow_trouble(p, FG_TROUBLE_COMMIT, "", NULL, 0, 0);
    fg_flow_trouble(p, FG_TROUBLE_FAILED, "", NULL, 0, 0);
}

static void batch_aborted(struct fg_pipeline *p)
{
    const struct fg_error unnamed = {.code = FG_E_UNAVAILABLE, .retriable = true, .text = "the commit was aborted"};
    const struct fg_error *err = p->outcome_err.code ? &p->outcome_err : &unnamed;

    p->publishing = NULL;
    p->counts.aborts++;
    fg_metric_add(p->m.aborts, 1);
    fg_flow_recover(p);
    /* records that timed out: brokers were away, and may have forgotten the end of the transaction before */
    p->unsure = p->producer_dead || err->code == FG_E_TIMEOUT;
    fg_flow_trouble(p, FG_TROUBLE_COMMIT, "kafka", err, p->aborts_in_row, p->take_ms);
    fg_logf(&p->c.logger, FG_LOG_WARN, "commit aborted: %s; going on from the last committed position in %llu ms",
            err->text, (unsigned long long)(p->take_ms - p->now_ms));
}

/*
 * Kafka will never take one of the messages. The record that it came from becomes a dead letter; a dead letter that is
 * refused itself goes without its value. The batch is published again as it is otherwise. false: nobody is to blame.
 */
static bool blame(struct fg_pipeline *p, struct fg_flow_batch *batch)
{
    size_t i = batch->out.culprit == SIZE_MAX ? SIZE_MAX : batch->out.from + batch->out.culprit;
    struct fg_slot *slot = i < batch->out.n_records ? batch->out.slots[i] : NULL;

    if (p->outcome != FG_BUS_ABORTED || !slot || (slot->dead && slot->dead->bare))
        return false;
    p->publishing = NULL;
    p->counts.aborts++;
    fg_metric_add(p->m.aborts, 1);
    fg_logf(&p->c.logger, FG_LOG_WARN, "%s: %s", p->outcome_err.text,
            slot->dead ? "its dead letter goes without its value" : "the record becomes a dead letter");
    if (slot->dead)
        slot->dead->bare = true;
    else
        fg_flow_slot_refused(slot, &p->outcome_err);
    return true;
}

static void mark_outcome(struct fg_pipeline *p, struct fg_flow_batch *mark)
{
    p->publishing = NULL;
    if (mark->epoch == p->epoch && p->outcome == FG_BUS_DONE)
        fg_flow_mark_written(p);
    else if (mark->epoch == p->epoch)
        batch_aborted(p);
    fg_flow_batch_free(mark);
}

void fg_flow_step_outcome(struct fg_pipeline *p)
{
    struct fg_flow_batch *batch = p->publishing;

    if (!p->is_outcome)
        return;
    p->is_outcome = false;
    no_longer_late(p);
    fg_assert(batch);
    if (p->outcome == FG_BUS_DEAD) {
        p->producer_dead = true;
        p->after_abort = p->after_abort || p->outcome_err.code == FG_E_FENCED;
    }
    if (batch->is_mark) {
        mark_outcome(p, batch);
    } else if (batch->forgotten) {
        p->publishing = NULL;
        fg_flow_batch_free(batch);
    } else if (p->outcome != FG_BUS_DONE) {
        if (!blame(p, batch))
            batch_aborted(p);
    } else if (!next_part(p, batch)) {
        batch_committed(p, batch);
    }
}

void fg_flow_commit_cut(struct fg_pipeline *p)
{
    /* a publish is answered when its producer is closed; an offset commit may be answered never */
    if (!p->publishing || p->commit_step != FG_COMMIT_OFFSETS)
        return;
    fg_flow_batch_free(p->publishing);
    p->publishing = NULL;
    p->is_outcome = false;
    no_longer_late(p);
}

static bool is_ready(const struct fg_pipeline *p, const struct fg_flow_batch *batch)
{
    if (!batch || !batch->closed)
        return false;
    if (fg_mutant("drop-at-rebalance") && p->assignment == FG_ASSIGN_REVOKING && !p->works_out && !p->n_deliveries)
        return true;
    return !batch->n_open;
}

static void begin_mark(struct fg_pipeline *p)
{
    struct fg_flow_batch *mark = fg_flow_mark_build(p);

    p->publishing = mark;
    if (p->exactly_once && p->needs_producer)
        publish(p, mark, FG_COMMIT_ALL);
    else
        commit_offsets(p, mark);
}

static void begin_batch(struct fg_pipeline *p, struct fg_flow_batch *batch)
{
    fg_flow_publish_build(batch);
    p->publishing = batch;
    p->commit_began_ms = p->now_ms;
    if (fg_mutant("ack-before-commit"))
        remember(p, batch);
    if (batch->out.n == 0 && (p->c.n_outputs == 0 || !p->exactly_once))
        commit_offsets(p, batch);
    else if (p->exactly_once && !(p->c.source && fg_mutant("cursor-outside-transaction")))
        publish(p, batch, FG_COMMIT_ALL);
    else
        publish(p, batch, batch->out.n_records ? FG_COMMIT_RECORDS : FG_COMMIT_CURSORS);
}

void fg_flow_step_commit(struct fg_pipeline *p)
{
    struct fg_flow_batch *batch = oldest(p);

    if (p->publishing)
        watch(p);
    if (p->publishing || p->fail || p->recovering || p->phase != FG_PHASE_UP)
        return;
    if (p->needs_producer && !fg_flow_producer_ready(p))
        return;
    /* in careful times what has ended is committed first: the next record may end the process */
    if (p->mark_wanted && !(p->careful_left && is_ready(p, batch)))
        begin_mark(p);
    else if (is_ready(p, batch))
        begin_batch(p, batch);
}
