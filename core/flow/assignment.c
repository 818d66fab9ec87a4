/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which partitions are ours, and the three ways in which what is in flight ends early: revoked, aborted, closed.
 *
 *   NONE -> GIVEN -> ASKING -> (source: READING) -> WORKING -> REVOKING -> NONE
 */
#include <stdlib.h>

#include "base/mutant.h"
#include "flow/pipeline-private.h"

static void partitions_free(struct fg_flow_partition *partitions, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(partitions[i].topic);
    free(partitions);
}

void fg_flow_given(struct fg_pipeline *p, const struct fg_bus_position *partitions, size_t n)
{
    partitions_free(p->given, p->n_given);
    p->given = fg_calloc(n + 1, sizeof(*p->given));
    p->n_given = n;
    for (size_t i = 0; i < n; i++)
        p->given[i] = (struct fg_flow_partition){
            .topic = fg_strdup(partitions[i].topic),
            .partition = partitions[i].partition,
            .restart = -1,
            .committed = -1,
        };
    p->is_given = true;
    fg_flow_kick(p);
}

void fg_flow_drop_partitions(struct fg_pipeline *p)
{
    partitions_free(p->partitions, p->n_partitions);
    partitions_free(p->given, p->n_given);
    p->partitions = p->given = NULL;
    p->n_partitions = p->n_given = 0;
    p->is_given = false;
}

struct fg_flow_partition *fg_flow_partition_find(struct fg_pipeline *p, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < p->n_partitions; i++)
        if (p->partitions[i].partition == partition && strcmp(p->partitions[i].topic, topic) == 0)
            return &p->partitions[i];
    return NULL;
}

bool fg_flow_accepts(const struct fg_pipeline *p)
{
    return p->want_run && !p->fail && p->phase == FG_PHASE_UP && p->assignment == FG_ASSIGN_WORKING &&
           !p->recovering && p->hold.state != FG_HOLD_HELD;
}

bool fg_flow_has_room(const struct fg_pipeline *p)
{
    const struct fg_flow_batch *last = fg_container_of(p->batches.prev, struct fg_flow_batch, link);
    bool open = !fg_list_empty(&p->batches) && !last->closed;

    /* what a source has read is charged already, and leaves only by a batch */
    bool must = p->c.source && p->n_batches == 0;

    return (open || p->n_batches < FG_FLOW_BATCHES_MAX) && (must || fg_budget_has_room(p->c.budget));
}

void fg_flow_step_take(struct fg_pipeline *p)
{
    bool room = fg_flow_accepts(p) && !p->paused && p->hold.state == FG_HOLD_NONE;

    fg_budget_unwait(&p->waiter);
    if (room && p->now_ms < p->take_ms) {
        fg_flow_due(p, p->take_ms);
        room = false;
    }
    if (room && !fg_flow_has_room(p)) {
        fg_budget_wait(p->c.budget, &p->waiter);
        fg_flow_due(p, p->now_ms + FG_FLOW_BUDGET_LOOK_MS);
        room = false;
    }
    if (p->phase == FG_PHASE_UP && p->consumer)
        p->intake->take(p, room);
}

/* The assignment ends here, whether or not Kafka knows it yet. */
void fg_flow_end_assignment(struct fg_pipeline *p)
{
    if (p->assignment == FG_ASSIGN_WORKING)
        p->intake->revoking(p);
    if (p->assignment != FG_ASSIGN_NONE)
        p->intake->revoked(p);
    p->assignment = FG_ASSIGN_NONE;
    p->revoke_asked = p->revoke_lost = false;
    p->unsure = false; /* the next assignment asks anyway */
}

static void ask(struct fg_pipeline *p, bool all);

/* A source's owners belong to partitions by their names: with another count each would begin again elsewhere. */
static bool count_changed(struct fg_pipeline *p, const struct fg_bus_position *position)
{
    int32_t partitions = p->c.source ? fg_flow_mark_partitions(position->metadata) : 0;
    struct fg_error err;

    if (!partitions || partitions == p->cursors_partitions)
        return false;
    fg_error_set(&err, FG_E_CONFIG, 0,
                 "topic \"%s\" has %d partitions and had %d when its cursors were written: the partition count was "
                 "changed, see \"Cursors\" in docs/operations.md",
                 p->c.cursors_topic, p->cursors_partitions, partitions);
    fg_flow_fail(p, "kafka", &err);
    return true;
}

/* A partition that nothing was ever committed for may be a new one: the others tell how many there were. */
static bool must_ask_all(const struct fg_pipeline *p, const struct fg_bus_position *positions, size_t n)
{
    bool unmarked = false;

    for (size_t i = 0; i < n; i++)
        unmarked = unmarked || !fg_flow_mark_partitions(positions[i].metadata);
    return p->c.source && unmarked && !p->again && n < (size_t)p->cursors_partitions;
}

static void answered(void *arg, const struct fg_bus_position *positions, size_t n, const struct fg_error *err)
{
    struct fg_pipeline *p = fg_flow_call_end(arg);

    if (!p || p->assignment != FG_ASSIGN_ASKING)
        return;
    if (err) {
        /* a transaction that should be over holds them: if it is ours, the next producer ends it */
        p->after_abort = p->after_abort || err->code == FG_E_FENCED;
        fg_flow_fail(p, "kafka", err);
        return;
    }
    if (must_ask_all(p, positions, n)) {
        ask(p, true);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct fg_flow_partition *partition = fg_flow_partition_find(p, positions[i].topic, positions[i].partition);
        if (count_changed(p, &positions[i]))
            return;
        if (partition && positions[i].offset >= 0)
            partition->committed = positions[i].offset;
        if (partition && !p->again)
            fg_flow_mark_found(p, partition, positions[i].metadata);
    }
    if (!p->again)
        fg_flow_marks_begin(p);
    p->intake->asked(p);
    fg_flow_kick(p);
}

static void ask(struct fg_pipeline *p, bool all)
{
    size_t n = all ? (size_t)p->cursors_partitions : p->n_partitions;
    struct fg_bus_position *partitions = fg_calloc(n + 1, sizeof(*partitions));

    for (size_t i = 0; i < n; i++)
        partitions[i] =
            all ? (struct fg_bus_position){p->c.cursors_topic, (int32_t)i, FG_BUS_UNKNOWN}
                : (struct fg_bus_position){p->partitions[i].topic, p->partitions[i].partition, FG_BUS_UNKNOWN};
    p->assignment = FG_ASSIGN_ASKING;
    p->c.bus->ops->consumer_committed(p->consumer, partitions, n, answered, fg_flow_call_new(p));
    free(partitions);
}

void fg_flow_ask(struct fg_pipeline *p)
{
    ask(p, false);
}

static void begin_revoke(struct fg_pipeline *p, uint64_t deadline_ms)
{
    if (p->assignment == FG_ASSIGN_WORKING)
        p->intake->revoking(p);
    if (p->assignment != FG_ASSIGN_REVOKING || deadline_ms < p->revoke_deadline_ms)
        p->revoke_deadline_ms = deadline_ms;
    p->assignment = FG_ASSIGN_REVOKING;
}

static void step_revoking(struct fg_pipeline *p)
{
    bool late = p->now_ms >= p->revoke_deadline_ms;

    if (late && p->n_batches)
        fg_flow_forget(p);
    if (p->n_batches || p->publishing) {
        if (!late)
            fg_flow_due(p, p->revoke_deadline_ms);
        return;
    }
    fg_flow_calls_forget(p);
    fg_flow_end_assignment(p);
    p->c.bus->ops->consumer_unassign(p->consumer);
    partitions_free(p->partitions, p->n_partitions);
    p->partitions = NULL;
    p->n_partitions = 0;
}

void fg_flow_step_assignment(struct fg_pipeline *p)
{
    if (p->phase != FG_PHASE_UP || !p->consumer)
        return;
    if (p->revoke_asked) {
        uint64_t limit = p->now_ms + (p->revoke_lost ? 0 : FG_FLOW_REVOKE_MS);
        p->revoke_asked = p->revoke_lost = false;
        begin_revoke(p, limit);
    }
    if (!p->want_run && p->assignment != FG_ASSIGN_NONE)
        begin_revoke(p, p->stop_deadline_ms);
    if (p->assignment == FG_ASSIGN_REVOKING)
        step_revoking(p);
    if (!p->want_run && p->assignment == FG_ASSIGN_NONE && !p->publishing)
        fg_flow_kick(p); /* drained: the session closes */
    if (p->assignment != FG_ASSIGN_NONE || !p->is_given || !p->want_run || p->publishing)
        return;
    p->partitions = p->given;
    p->n_partitions = p->n_given;
    p->given = NULL;
    p->n_given = 0;
    p->is_given = false;
    p->assignment = FG_ASSIGN_GIVEN;
    p->again = false;
    fg_flow_ask(p);
}

void fg_flow_go_back(struct fg_pipeline *p)
{
    /* a commit that is under way may count or not: Kafka knows, later */
    if (p->publishing && !fg_mutant("reload-unasked"))
        p->unsure = true;
    fg_flow_forget(p);
    p->recovering = true;
}

/* Nothing of what is in flight counts; the input goes back. In a step. */
void fg_flow_recover(struct fg_pipeline *p)
{
    fg_flow_go_back(p);
    p->take_ms = p->now_ms + fg_flow_again_ms(p, p->aborts_in_row, NULL);
    p->aborts_in_row++;
}

void fg_flow_step_recover(struct fg_pipeline *p)
{
    bool unsure = p->unsure && p->assignment == FG_ASSIGN_WORKING;

    /* unsure: not before the next producer is ready, whose start ends the transaction of the one that died */
    if (!p->recovering || p->publishing || (unsure && p->needs_producer && !fg_flow_producer_ready(p)))
        return;
    p->recovering = p->unsure = false;
    if (p->assignment != FG_ASSIGN_WORKING || !p->consumer || fg_mutant("no-rewind"))
        return;
    p->again = unsure;
    if (unsure)
        p->intake->ask_again(p);
    else
        p->intake->rewind(p);
}
