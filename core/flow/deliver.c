/* SPDX-License-Identifier: Apache-2.0 */
/* The sink: items go to it in the order of their slots, in deliveries by its limits, and each is answered once. */
#include <stdlib.h>

#include "base/mutant.h"
#include "flow/pipeline-private.h"

#define DELIVERY_MAGIC 0x46474445u
#define DELIVER_NS     1000000u /* the sink gets records for so long in a turn of the loop, at least one */

static struct fg_item *item_at(struct fg_list *link)
{
    return fg_container_of(link, struct fg_item, link);
}

static bool item_before(const struct fg_item *a, const struct fg_item *b)
{
    return a->slot->seq != b->slot->seq ? a->slot->seq < b->slot->seq : a < b;
}

/* Into the queue at its place: what comes back is older than what waits, so the walk is short. */
static void enqueue(struct fg_pipeline *p, struct fg_item *item)
{
    struct fg_list *at = &p->to_sink;

    if (!fg_list_empty(at) && item_before(item, item_at(at->prev))) {
        at = at->next;
        while (!item_before(item, item_at(at)))
            at = at->next;
    }
    item->queued = FG_ITEM_READY;
    fg_list_append(at, &item->link); /* before `at` */
    p->n_to_sink++;
}

/* Lets slots go to the sink in their order: one that is still with the transforms holds those behind it. */
static void let_go(struct fg_pipeline *p)
{
    for (struct fg_list *b = p->batches.next; b != &p->batches; b = b->next) {
        struct fg_flow_batch *batch = fg_container_of(b, struct fg_flow_batch, link);
        while (batch->unsent != &batch->slots) {
            struct fg_slot *slot = fg_container_of(batch->unsent, struct fg_slot, link);
            if (slot->state == FG_SLOT_WORK)
                return;
            for (size_t i = 0; i < slot->n_items && slot->state == FG_SLOT_SINK; i++)
                enqueue(p, &slot->items[i]);
            batch->unsent = slot->link.next;
        }
    }
}

static void outage(struct fg_pipeline *p, bool probe, const struct fg_error *err)
{
    uint64_t until = fg_flow_outage_until(p, probe, err);

    p->outage = true;
    p->outage_until_ms = until;
    fg_flow_trouble(p, FG_TROUBLE_SINK, p->c.sink->node, err, p->outage_attempt, until);
}

static void outage_over(struct fg_pipeline *p)
{
    p->outage = p->probing = false;
    p->outage_attempt = 0;
    p->outage_until_ms = 0;
    fg_flow_trouble(p, FG_TROUBLE_SINK, "", NULL, 0, 0);
}

static void item_done(struct fg_item *item)
{
    struct fg_slot *slot = item->slot;

    item->answered = true;
    slot->n_open--;
    fg_metric_add(slot->batch->p->m.delivered, 1);
    if (slot->n_open == 0 && !slot->dead)
        fg_flow_slot_settled(slot);
    else if (slot->n_open == 0)
        fg_flow_slot_dead(slot, slot->dead->node, slot->dead->attempts, &slot->dead->err);
}

bool fg_flow_same_key(const struct fg_item *a, const struct fg_item *b)
{
    struct fg_slice key = fg_record_view(a->record)->key;

    return key.len > 0 && fg_slice_eq(key, fg_record_view(b->record)->key);
}

/* Where the sink keeps the order of a key: one before it is with the sink, or will be tried again. */
static bool is_held(const struct fg_pipeline *p, const struct fg_item *item)
{
    if (!p->sink_limits.key_order)
        return false;
    for (const struct fg_list *l = p->deliveries.next; l != &p->deliveries; l = l->next) {
        const struct fg_delivery *d = fg_container_of(l, struct fg_delivery, link);
        for (size_t i = 0; i < d->n; i++)
            if (d->entries[i].item && fg_flow_same_key(d->entries[i].item, item))
                return true;
    }
    for (const struct fg_list *l = p->sink_retries.next; l != &p->sink_retries; l = l->next)
        if (fg_flow_same_key(fg_container_of(l, struct fg_item, link), item))
            return true;
    return false;
}

/* Where the sink keeps the order of a key: one before it is in the queue. */
static bool is_behind(const struct fg_pipeline *p, const struct fg_item *item)
{
    for (struct fg_list *l = p->to_sink.next; p->sink_limits.key_order && l != &item->link; l = l->next)
        if (fg_flow_same_key(item_at(l), item))
            return true;
    return false;
}

/* @out: it is the sink's trouble, not this record's. */
static void item_failed(struct fg_item *item, bool probe, bool out, const struct fg_error *err)
{
    struct fg_slot *slot = item->slot;
    struct fg_pipeline *p = slot->batch->p;

    if (out) {
        outage(p, probe, err);
        item->silences++;
    } else {
        item->attempts += fg_mutant("retry-counted-twice") ? 2 : 1;
    }
    if (!slot->dead && out) {
        fg_metric_add(p->m.redelivered, 1);
        enqueue(p, item);
    } else if (!slot->dead && err->retriable && fg_flow_may_retry(p, item->attempts)) {
        item->due_ms = fg_flow_retry_at(p, item->attempts, err);
        item->queued = FG_ITEM_RETRY;
        fg_list_append(&p->sink_retries, &item->link);
        fg_metric_add(p->m.redelivered, 1);
    } else {
        item->answered = true;
        slot->n_open--;
        fg_metric_add(p->m.refused, 1);
        fg_flow_slot_dead(slot, p->c.sink->node, item->attempts, err);
    }
}

size_t fg_delivery_count(const struct fg_delivery *delivery)
{
    fg_assert(delivery->magic == DELIVERY_MAGIC);
    return delivery->n;
}

struct fg_record *fg_delivery_record(const struct fg_delivery *delivery, size_t i)
{
    fg_assert(delivery->magic == DELIVERY_MAGIC);
    return i < delivery->n ? delivery->entries[i].record : NULL;
}

static void bad_answer(struct fg_pipeline *p, size_t i, const char *what)
{
    struct fg_error err;
    fg_error_set(&err, FG_E_INTERNAL, FG_ERROR_FATAL,
                 "plugin \"%s\" answered record %zu of a delivery %s: a mistake in it", p->c.sink->plugin, i, what);
    fg_flow_fail(p, p->c.sink->node, &err);
}

void fg_delivery_done(struct fg_delivery *delivery, size_t i, struct fg_record **results, size_t n_results,
                      const struct fg_error *err)
{
    struct fg_pipeline *p;
    struct fg_item *item;
    bool ok = !err || err->code == FG_E_NONE, out;

    fg_assert(delivery->magic == DELIVERY_MAGIC);
    p = delivery->p;
    item = i < delivery->n ? delivery->entries[i].item : NULL;
    if (!item || !ok || n_results == 0) {
        for (size_t k = 0; k < n_results; k++)
            fg_record_unref(results[k]);
        n_results = 0;
    }
    if (!item) {
        bad_answer(p, i, i < delivery->n ? "twice" : "that it does not hold");
        return;
    }
    delivery->entries[i].item = NULL;
    if (--delivery->n_open == 0) {
        fg_list_remove(&delivery->link);
        fg_list_append(&p->answered, &delivery->link);
        p->n_deliveries--;
        if (delivery->probe)
            p->probing = false;
    }
    fg_flow_kick(p);
    out = !ok && fg_flow_is_outage(p, item, err);
    if (!out) {
        if (delivery->probe)
            outage_over(p);
        if (ok || err->code != FG_E_TIMEOUT)
            p->sink_answers++;
    }
    if (ok) {
        if (n_results) {
            item->results = fg_calloc(n_results, sizeof(struct fg_record *));
            memcpy(item->results, results, n_results * sizeof(struct fg_record *));
        }
        item->n_results = n_results;
        item_done(item);
    } else if (err->fatal) {
        enqueue(p, item);
        fg_flow_fail(p, p->c.sink->node, err);
    } else {
        item_failed(item, delivery->probe, out, err);
    }
}

static void delivery_free(struct fg_delivery *d)
{
    for (size_t i = 0; i < d->n; i++)
        fg_record_unref(d->entries[i].record);
    fg_list_remove(&d->link);
    d->magic = 0;
    free(d);
}

static void answered_free(struct fg_pipeline *p)
{
    struct fg_list *l;
    while ((l = fg_list_pop(&p->answered)))
        delivery_free(fg_container_of(l, struct fg_delivery, link));
}

void fg_flow_deliver_forget(struct fg_pipeline *p)
{
    const struct fg_stage *sink = p->c.sink;
    struct fg_list *l;

    while ((l = fg_list_pop(&p->deliveries))) {
        struct fg_delivery *d = fg_container_of(l, struct fg_delivery, link);
        if (sink->ops->sink->cancel)
            sink->ops->sink->cancel(sink->selves[0], d);
        delivery_free(d);
    }
    p->n_deliveries = 0;
    p->probing = false;
    answered_free(p);
}

static void retries_due(struct fg_pipeline *p)
{
    struct fg_list *l, *next;

    fg_list_for_each_safe(l, next, &p->sink_retries)
    {
        struct fg_item *item = item_at(l);
        if (p->now_ms < item->due_ms) {
            fg_flow_due(p, item->due_ms);
            continue;
        }
        fg_list_remove(l);
        enqueue(p, item);
    }
}

/* Whose turn it is; NULL: nobody's. */
static struct fg_item *next_item(struct fg_pipeline *p)
{
    for (struct fg_list *l = p->to_sink.next; l != &p->to_sink; l = l->next)
        if (!is_held(p, item_at(l)))
            return item_at(l);
    return NULL;
}

/*
 * Who asks whether an outage is over: the one that asked least, so that a record which the sink never answers does not
 * hold all others for ever.
 */
static struct fg_item *choose_probe(struct fg_pipeline *p, struct fg_item *best)
{
    for (struct fg_list *l = best->link.next; l != &p->to_sink; l = l->next)
        if (item_at(l)->silences < best->silences && !is_held(p, item_at(l)) && !is_behind(p, item_at(l)))
            best = item_at(l);
    return best;
}

/* A delivery that begins with this item. */
static void send(struct fg_pipeline *p, struct fg_item *first)
{
    size_t max = p->probing ? 1 : p->sink_limits.records_max;
    size_t n = 0, bytes = 0;
    struct fg_delivery *d;
    struct fg_list *l;

    fg_list_remove(&first->link);
    fg_list_append(p->to_sink.next, &first->link); /* before the first */
    for (l = p->to_sink.next; l != &p->to_sink && n < max; l = l->next) {
        size_t more = fg_record_bytes(item_at(l)->record);
        if (n > 0 && (is_held(p, item_at(l)) || is_behind(p, item_at(l)) || !fg_flow_may_handle(p, item_at(l)->slot)))
            break;
        if (n > 0 && (more > p->sink_limits.bytes_max || bytes > p->sink_limits.bytes_max - more))
            break;
        bytes += more;
        n++;
    }
    d = fg_calloc(1, sizeof(*d) + n * sizeof(d->entries[0]));
    d->magic = DELIVERY_MAGIC;
    d->p = p;
    d->n = d->n_open = n;
    d->probe = p->probing;
    for (size_t i = 0; i < n; i++) {
        struct fg_item *item = item_at(fg_list_pop(&p->to_sink));
        item->queued = FG_ITEM_FREE;
        if (!fg_flow_is_suspect(item))
            item->answers_first = item->answers_seen = p->sink_answers;
        item->answers_before = item->answers_seen;
        item->answers_seen = p->sink_answers;
        d->entries[i].item = item;
        d->entries[i].record = fg_record_ref(item->record);
    }
    p->n_to_sink -= n;
    fg_list_append(&p->deliveries, &d->link);
    p->n_deliveries++;
    p->c.sink->ops->sink->deliver(p->c.sink->selves[0], d);
}

void fg_flow_step_deliver(struct fg_pipeline *p)
{
    uint64_t end_ns = fg_clock_mono_ns(p->env->clock) + DELIVER_NS;
    struct fg_item *item;

    answered_free(p);
    if (!p->c.sink)
        return;
    let_go(p);
    retries_due(p);
    while (!p->fail && p->n_deliveries < p->sink_limits.in_flight_max && (item = next_item(p)) != NULL) {
        struct fg_slot *slot = item->slot;
        /* in an outage one record at a time asks whether it is over; the rest is held */
        if (p->outage && p->probing)
            return;
        if (p->outage && p->now_ms < p->outage_until_ms) {
            fg_flow_due(p, p->outage_until_ms);
            return;
        }
        if (!fg_flow_may_handle(p, slot)) {
            if (slot->state == FG_SLOT_DEAD)
                continue;
            return;
        }
        p->probing = p->outage;
        send(p, p->probing ? choose_probe(p, item) : item);
        if (fg_clock_mono_ns(p->env->clock) >= end_ns) {
            fg_flow_kick(p); /* the rest after a look at the sockets */
            return;
        }
    }
}
