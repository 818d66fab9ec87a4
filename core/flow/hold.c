/* SPDX-License-Identifier: Apache-2.0 */
/* A reload: the pipeline is held where a batch ends, its stages are swapped, and it goes on with its handles open. */
#include <stdlib.h>

#include "base/mutant.h"
#include "flow/pipeline-private.h"

/* ---- stages ---- */

static bool same_instance(const struct fg_stage *a, const struct fg_stage *b)
{
    return a && b && a->ops == b->ops && a->selves[0] == b->selves[0];
}

static void read_sink_limits(struct fg_pipeline *p)
{
    p->sink_limits = (struct fg_sink_limits){1, SIZE_MAX, 1};
    if (p->c.sink && p->c.sink->ops->sink->limits)
        p->c.sink->ops->sink->limits(p->c.sink->selves[0], &p->sink_limits);
    if (!p->sink_limits.records_max)
        p->sink_limits.records_max = 1;
    if (!p->sink_limits.in_flight_max)
        p->sink_limits.in_flight_max = 1;
}

void fg_flow_stages_take(struct fg_pipeline *p, const struct fg_pipeline_stages *stages)
{
    struct fg_pipeline_config *c = &p->c;

    c->source = stages->source;
    c->transforms = stages->transforms;
    c->n_transforms = stages->n_transforms;
    c->sink = stages->sink;
    c->attempts = stages->attempts ? stages->attempts : 1;
    c->commit_records = stages->commit_records ? stages->commit_records : 1;
    c->commit_bytes = stages->commit_bytes ? stages->commit_bytes : 1;
    c->commit_interval_ms = stages->commit_interval_ms;
    c->stop_ms = stages->stop_ms;
    p->marks = c->bus->traits.durable && (c->n_transforms || c->sink);
    read_sink_limits(p);
    p->set = fg_calloc(1, sizeof(*p->set));
    p->set->transforms = c->transforms;
    p->set->n_transforms = c->n_transforms;
    fg_flow_metrics_stages(p);
}

/* The sink is gone, and what was known of how it is with it. */
static void leave_sink(struct fg_pipeline *p)
{
    p->outage = p->probing = false;
    p->outage_attempt = 0;
    p->outage_until_ms = 0;
    fg_flow_trouble(p, FG_TROUBLE_SINK, "", NULL, 0, 0);
}

static void leave_source(struct fg_pipeline *p)
{
    if (p->assignment == FG_ASSIGN_WORKING)
        p->intake->revoking(p);
    fg_flow_fill_abandon(p);
    p->resync = false; /* the next one is assigned what it has anyway */
    p->pull_ms = p->rescan_ms = 0;
    fg_flow_trouble(p, FG_TROUBLE_SOURCE, "", NULL, 0, 0);
}

/* What a stage failed of may be over: no back-off is kept for it. */
static void forgive(struct fg_pipeline *p)
{
    const struct fg_flow_blame *failed = &p->troubles[FG_TROUBLE_FAILED];

    if (failed->err.code == FG_E_NONE || strcmp(failed->node, "kafka") == 0)
        return;
    p->failures = 0;
    p->retry_ms = 0;
    if (!p->fail) /* else it was not looked at yet: the session must begin again, so that nothing is missed */
        fg_flow_trouble(p, FG_TROUBLE_FAILED, "", NULL, 0, 0);
}

/* ---- holding ---- */

/* It would be a pity to do it once more: the sink has answered, or without a sink, a worker has it or had it. */
static bool is_begun(const struct fg_pipeline *p, const struct fg_slot *slot)
{
    if (!p->c.sink)
        return slot->job || slot->state != FG_SLOT_WORK;
    for (size_t i = 0; i < slot->n_items; i++)
        if (slot->items[i].answered)
            return true;
    return false;
}

/* Behind the last record that was begun with, by its number. */
static uint64_t end_of_begun(const struct fg_pipeline *p)
{
    uint64_t end = 0;

    for (const struct fg_list *l = p->deliveries.next; l != &p->deliveries; l = l->next) {
        const struct fg_delivery *d = fg_container_of(l, struct fg_delivery, link);
        for (size_t i = 0; i < d->n; i++)
            if (d->entries[i].item && d->entries[i].item->slot->seq >= end)
                end = d->entries[i].item->slot->seq + 1;
    }
    for (const struct fg_list *b = p->batches.next; b != &p->batches; b = b->next) {
        const struct fg_flow_batch *batch = fg_container_of(b, struct fg_flow_batch, link);
        for (const struct fg_list *l = batch->slots.next; l != &batch->slots; l = l->next) {
            const struct fg_slot *slot = fg_container_of(l, struct fg_slot, link);
            if (slot->seq >= end && (batch == p->publishing || is_begun(p, slot)))
                end = slot->seq + 1;
        }
    }
    return end;
}

/*
 * Thousands of records may wait for a sink that answers a few at a time: a reload does not wait for them too. What is
 * behind those that were begun with is put back and read again afterwards. A source without a sink is not asked once
 * more for what the transforms soon have done.
 */
static void put_back(struct fg_pipeline *p)
{
    if ((p->c.source && !p->c.sink) || !fg_flow_put_back(p, end_of_begun(p)))
        return;
    p->resync = true;
    if (p->fill)
        p->fill->voided = true; /* it goes on behind what is put back */
}

void fg_pipeline_hold(struct fg_pipeline *p, uint32_t drain_ms, void (*held)(void *arg, bool drained), void *arg)
{
    fg_assert(p->hold.state == FG_HOLD_NONE);
    p->hold.state = FG_HOLD_DRAINING;
    p->hold.deadline_ms = fg_env_now_ms(p->env) + drain_ms;
    p->hold.is_new = true;
    p->hold.forgot = false;
    p->hold.held = held;
    p->hold.arg = arg;
    fg_flow_kick(p);
}

void fg_pipeline_swap(struct fg_pipeline *p, const struct fg_pipeline_stages *stages, fg_done_cb released, void *arg)
{
    struct fg_flow_stages *old = p->set;

    fg_assert(p->hold.state == FG_HOLD_HELD);
    fg_assert(!p->c.source == !stages->source);
    if (p->c.source && !same_instance(p->c.source, stages->source))
        leave_source(p);
    if (p->c.sink && !same_instance(p->c.sink, stages->sink))
        leave_sink(p);
    forgive(p);
    atomic_store_explicit(&old->is_over, true, memory_order_relaxed); /* held: no record of theirs is there */
    old->released = released;
    old->arg = arg;
    fg_list_append(&p->old_sets, &old->link);
    fg_flow_stages_take(p, stages);
    fg_flow_kick(p);
}

void fg_pipeline_release(struct fg_pipeline *p)
{
    fg_assert(p->hold.state == FG_HOLD_HELD);
    p->hold.state = FG_HOLD_NONE;
    fg_flow_kick(p);
}

void fg_flow_step_hold(struct fg_pipeline *p)
{
    if (p->hold.state != FG_HOLD_DRAINING || !p->n_batches)
        return;
    if (p->hold.is_new && p->assignment == FG_ASSIGN_WORKING)
        put_back(p);
    p->hold.is_new = false;
    if (!p->n_batches)
        return;
    if (p->now_ms < p->hold.deadline_ms) {
        fg_flow_due(p, p->hold.deadline_ms);
        return;
    }
    fg_logf(&p->c.logger, FG_LOG_WARN,
            "%zu records could not be finished in time for a reload: they are read again after it",
            p->in_flight_records);
    fg_flow_go_back(p);
}

bool fg_flow_is_held(const struct fg_pipeline *p)
{
    if (p->hold.state != FG_HOLD_DRAINING)
        return false;
    return !p->n_batches || fg_mutant("swap-under-way");
}

void fg_flow_released(struct fg_pipeline *p, struct fg_list *ret)
{
    struct fg_list *l, *next;

    fg_list_for_each_safe(l, next, &p->old_sets)
    {
        if (fg_container_of(l, struct fg_flow_stages, link)->works_out)
            break; /* those after it may have instances of this one */
        fg_list_remove(l);
        fg_list_append(ret, l);
    }
}

void fg_flow_tell_released(struct fg_list *sets)
{
    struct fg_list *l;

    while ((l = fg_list_pop(sets))) {
        struct fg_flow_stages *set = fg_container_of(l, struct fg_flow_stages, link);
        fg_done_cb released = set->released;
        void *arg = set->arg;
        free(set);
        if (released)
            released(arg);
    }
}
