/* SPDX-License-Identifier: Apache-2.0 */
/* Batches and slots: how they open, fill, close, end, and how everything in flight is forgotten. */
#include <stdlib.h>

#include "base/hash.h"
#include "flow/pipeline-private.h"

static struct fg_flow_batch *batch_at(struct fg_list *link)
{
    return fg_container_of(link, struct fg_flow_batch, link);
}

/* In careful times each record is a commit of its own: what stands before one that ends processes is done once. */
static bool is_full(const struct fg_flow_batch *batch)
{
    if (batch->p->careful_left && batch->n_slots > 0)
        return true;
    return batch->n_slots >= batch->p->c.commit_records || batch->bytes >= batch->p->c.commit_bytes;
}

struct fg_flow_batch *fg_flow_batch_new(struct fg_pipeline *p)
{
    struct fg_flow_batch *batch = fg_calloc(1, sizeof(*batch));

    batch->p = p;
    batch->opened_ms = fg_env_now_ms(p->env);
    batch->unsent = &batch->slots;
    fg_list_init(&batch->slots);
    fg_list_init(&batch->moves);
    fg_list_init(&batch->out.texts);
    return batch;
}

static struct fg_flow_batch *batch_new(struct fg_pipeline *p, struct fg_list *before)
{
    struct fg_flow_batch *batch = fg_flow_batch_new(p);

    fg_list_append(before, &batch->link);
    batch->listed = true;
    p->n_batches++;
    return batch;
}

struct fg_flow_batch *fg_flow_batch_open(struct fg_pipeline *p)
{
    if (!fg_list_empty(&p->batches)) {
        struct fg_flow_batch *batch = batch_at(p->batches.prev);
        if (!batch->closed && !is_full(batch))
            return batch;
        batch->closed = true;
    }
    return batch_new(p, &p->batches);
}

/*
 * What a record becomes is charged over the limit when it must be, so that it can leave. So that this does not happen,
 * room for it is kept from the start.
 */
static void reserve(struct fg_slot *slot)
{
    const struct fg_pipeline_config *c = &slot->batch->p->c;

    if (c->n_transforms == 0 && !(c->sink && c->n_outputs > 0))
        return;
    slot->reserved = fg_budget_growth(c->budget, fg_record_bytes(slot->in));
    if (!fg_budget_try_charge(c->budget, slot->reserved))
        slot->reserved = 0; /* the last ones that came in: nothing more is taken in now */
}

static void unreserve(struct fg_slot *slot)
{
    fg_budget_credit(slot->batch->p->c.budget, slot->reserved);
    slot->reserved = 0;
}

static struct fg_slot *slot_new(struct fg_flow_batch *batch, struct fg_record *in)
{
    struct fg_pipeline *p = batch->p;
    struct fg_slot *slot = fg_calloc(1, sizeof(*slot));
    size_t bytes = fg_record_bytes(in);

    slot->batch = batch;
    slot->seq = p->next_seq++;
    slot->in = in;
    slot->arrived_ms = fg_env_now_ms(p->env);
    reserve(slot);
    fg_list_append(&batch->slots, &slot->link);
    if (batch->unsent == &batch->slots)
        batch->unsent = &slot->link;
    batch->n_slots++;
    batch->n_open++;
    batch->bytes += bytes;
    p->in_flight_records++;
    p->in_flight_bytes += bytes;
    p->counts.records_in++;
    p->arrived_ms = slot->arrived_ms;
    fg_metric_add(p->m.in, 1);
    return slot;
}

struct fg_slot *fg_flow_batch_add(struct fg_flow_batch *batch, struct fg_record *in)
{
    struct fg_slot *slot = slot_new(batch, in);
    struct fg_pipeline *p = batch->p;

    if (p->c.n_transforms == 0) {
        struct fg_record *same = fg_record_ref(in);
        fg_flow_slot_items(slot, &same, 1);
    } else {
        fg_list_append(&p->to_work, &slot->queue);
        p->n_to_work++;
    }
    fg_flow_kick(p);
    return slot;
}

struct fg_slot *fg_flow_batch_add_dead(struct fg_flow_batch *batch, struct fg_record *in, const struct fg_error *err)
{
    struct fg_slot *slot = slot_new(batch, in);

    fg_flow_slot_dead(slot, batch->p->c.source->node, 1, err);
    return slot;
}

/* What a slot's record became: they go to the sink, or are its results. */
void fg_flow_slot_items(struct fg_slot *slot, struct fg_record **records, size_t n)
{
    slot->items = fg_calloc(n, sizeof(*slot->items));
    slot->n_items = n;
    for (size_t i = 0; i < n; i++)
        slot->items[i] = (struct fg_item){.slot = slot, .record = records[i]};
    if (slot->batch->p->c.sink) {
        slot->n_open = n;
        slot->state = FG_SLOT_SINK;
    } else {
        fg_flow_slot_settled(slot);
    }
}

static void items_free(struct fg_slot *slot)
{
    for (size_t i = 0; i < slot->n_items; i++) {
        struct fg_item *item = &slot->items[i];
        fg_list_remove(&item->link);
        for (size_t k = 0; k < item->n_results; k++)
            fg_record_unref(item->results[k]);
        free(item->results);
        fg_record_unref(item->record);
    }
    free(slot->items);
    slot->items = NULL;
    slot->n_items = 0;
}

static void slot_free(struct fg_slot *slot)
{
    fg_list_remove(&slot->link);
    fg_list_remove(&slot->queue);
    if (slot->job)
        fg_flow_job_forget(slot->job);
    items_free(slot);
    fg_record_unref(slot->in);
    unreserve(slot);
    free(slot->dead);
    free(slot);
}

static void unlist(struct fg_flow_batch *batch)
{
    if (!batch->listed)
        return;
    fg_list_remove(&batch->link);
    batch->listed = false;
    batch->p->n_batches--;
}

void fg_flow_batch_free(struct fg_flow_batch *batch)
{
    struct fg_pipeline *p = batch->p;
    struct fg_list *l;

    p->in_flight_records -= batch->n_slots;
    p->in_flight_bytes -= batch->bytes;
    while ((l = fg_list_pop(&batch->slots)))
        slot_free(fg_container_of(l, struct fg_slot, link));
    fg_flow_moves_deinit(&batch->moves);
    fg_flow_publish_deinit(&batch->out);
    free(batch->offsets);
    unlist(batch);
    free(batch);
    fg_budget_wake(p->c.budget);
}

void fg_flow_forget(struct fg_pipeline *p)
{
    struct fg_list *l, *next;

    p->epoch++;
    p->named = 0;
    p->hold.forgot = p->hold.forgot || p->n_batches > 0;
    fg_flow_deliver_forget(p);
    fg_list_for_each_safe(l, next, &p->batches)
    {
        struct fg_flow_batch *batch = batch_at(l);
        if (batch != p->publishing) {
            fg_flow_batch_free(batch);
            continue;
        }
        /* its memory is lent to the publish: it goes when that has ended */
        unlist(batch);
        batch->forgotten = true;
    }
    fg_assert(fg_list_empty(&p->to_work));
    fg_assert(fg_list_empty(&p->work_retries));
    fg_assert(fg_list_empty(&p->to_sink));
    fg_assert(fg_list_empty(&p->sink_retries));
    p->n_to_work = p->n_to_sink = 0;
}

static struct fg_slot *slot_at(struct fg_list *link)
{
    return fg_container_of(link, struct fg_slot, link);
}

static void slot_put_back(struct fg_slot *slot)
{
    struct fg_flow_batch *batch = slot->batch;
    size_t bytes = fg_record_bytes(slot->in);

    if (batch->unsent == &slot->link)
        batch->unsent = slot->link.next;
    batch->n_slots--;
    batch->n_open -= fg_flow_slot_is_open(slot);
    batch->bytes -= bytes;
    batch->p->in_flight_records--;
    batch->p->in_flight_bytes -= bytes;
    slot_free(slot);
}

static size_t count(const struct fg_list *list)
{
    size_t n = 0;
    for (const struct fg_list *l = list->next; l != list; l = l->next)
        n++;
    return n;
}

/* A topic's records one by one; a source's batches, because a cursor accounts for all that came with it. */
bool fg_flow_put_back(struct fg_pipeline *p, uint64_t end)
{
    bool any = false;

    while (!fg_list_empty(&p->batches)) {
        /* freed batches have left the list, unseen by the analyzer: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        struct fg_flow_batch *batch = batch_at(p->batches.prev);
        if (batch == p->publishing || fg_list_empty(&batch->slots) || slot_at(batch->slots.prev)->seq < end)
            break;
        if (p->c.source && slot_at(batch->slots.next)->seq < end)
            break;
        any = true;
        /* freed slots have left it, unseen by the analyzer: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        while (!fg_list_empty(&batch->slots) && slot_at(batch->slots.prev)->seq >= end)
            slot_put_back(slot_at(batch->slots.prev));
        if (batch->n_slots)
            break;
        fg_flow_batch_free(batch);
    }
    p->n_to_work = count(&p->to_work);
    p->n_to_sink = count(&p->to_sink);
    if (any)
        fg_budget_wake(p->c.budget);
    return any;
}

/*
 * Early: nothing came for a while, and committing once more is no burden. When the input is held back nothing can come:
 * then that says something only if all is done.
 */
static bool is_dry(struct fg_pipeline *p, const struct fg_flow_batch *batch)
{
    uint64_t dry_ms = p->arrived_ms + FG_FLOW_DRY_MS, gap_ms = p->committed_ms + FG_FLOW_COMMIT_GAP_MS;
    uint64_t at_ms = dry_ms > gap_ms ? dry_ms : gap_ms;

    if (batch->n_open && !fg_flow_has_room(p))
        return false;
    if (p->now_ms >= at_ms)
        return true;
    fg_flow_due(p, at_ms);
    return false;
}

static void move_slot(struct fg_slot *slot, struct fg_flow_batch *to)
{
    struct fg_flow_batch *from = slot->batch;
    size_t bytes = fg_record_bytes(slot->in);

    if (from->unsent == &slot->link)
        from->unsent = slot->link.next;
    fg_list_remove(&slot->link);
    fg_list_append(&to->slots, &slot->link);
    slot->batch = to;
    from->n_slots--;
    from->bytes -= bytes;
    to->n_slots++;
    to->bytes += bytes;
}

/*
 * What is done goes ahead in a batch of its own, and does not wait for what came after it. Only a topic's: a source's
 * cursor accounts for all that came with it.
 */
static void cut(struct fg_flow_batch *batch)
{
    struct fg_flow_batch *head;

    if (batch->p->c.source || fg_flow_slot_is_open(slot_at(batch->slots.next)))
        return;
    head = batch_new(batch->p, &batch->link);
    head->closed = true;
    while (!fg_flow_slot_is_open(slot_at(batch->slots.next)))
        move_slot(slot_at(batch->slots.next), head);
    batch->opened_ms = slot_at(batch->slots.next)->arrived_ms;
}

void fg_flow_step_close(struct fg_pipeline *p)
{
    struct fg_flow_batch *batch;
    uint64_t age_ms;

    if (fg_list_empty(&p->batches))
        return;
    batch = batch_at(p->batches.prev);
    if (batch->closed)
        return;
    age_ms = batch->opened_ms + p->c.commit_interval_ms;
    if (is_full(batch) || p->paused || p->hold.state != FG_HOLD_NONE || !fg_flow_accepts(p)) {
        batch->closed = true;
        return;
    }
    /* what could not be published yet goes on growing: the slower the commits, the more each of them takes along */
    if (p->publishing || p->batches.next != &batch->link)
        return;
    if (p->now_ms >= age_ms) {
        batch->closed = true;
        return;
    }
    fg_flow_due(p, age_ms);
    if (!is_dry(p, batch))
        return;
    if (batch->n_open)
        cut(batch);
    else
        batch->closed = true;
}

/* The last of the ways in which a slot ends. */
static void slot_end(struct fg_slot *slot, enum fg_slot_state state)
{
    fg_assert(slot->batch->n_open > 0);
    slot->state = state;
    slot->batch->n_open--;
    fg_flow_mark_ended(slot->batch->p);
    unreserve(slot);
    fg_flow_kick(slot->batch->p);
}

void fg_flow_slot_dropped(struct fg_slot *slot)
{
    slot_end(slot, FG_SLOT_DROPPED);
}

static void without_dead_topic(struct fg_pipeline *p, const struct fg_dead *dead)
{
    struct fg_error why;

    if (p->c.dead_topic)
        return;
    fg_error_set(&why, dead->err.code, 0, "a record cannot be handled and there is no dead-letters topic: %.160s",
                 dead->err.text);
    fg_flow_fail(p, dead->node, &why);
}

static void set_dead(struct fg_slot *slot, const char *node, unsigned attempts, const struct fg_error *err)
{
    slot->dead = fg_calloc(1, sizeof(*slot->dead));
    *slot->dead = (struct fg_dead){.err = *err, .node = node, .attempts = attempts};
}

void fg_flow_slot_refused(struct fg_slot *slot, const struct fg_error *err)
{
    set_dead(slot, "output", 1, err);
    slot->state = FG_SLOT_DEAD;
    without_dead_topic(slot->batch->p, slot->dead);
}

/* All or nothing: once a part of what a record became cannot go on, the record as it came in is the dead letter. */
void fg_flow_slot_dead(struct fg_slot *slot, const char *node, unsigned attempts, const struct fg_error *err)
{
    struct fg_pipeline *p = slot->batch->p;

    if (!slot->dead)
        set_dead(slot, node, attempts, err);
    /* parts that still wait are withdrawn; those that the sink holds are waited for, and count no more */
    for (size_t i = 0; i < slot->n_items; i++) {
        struct fg_item *item = &slot->items[i];
        if (item->answered || !item->queued)
            continue;
        fg_list_remove(&item->link);
        p->n_to_sink -= item->queued == FG_ITEM_READY;
        item->queued = FG_ITEM_FREE;
        item->answered = true;
        slot->n_open--;
    }
    if (slot->n_open > 0)
        return;
    slot_end(slot, FG_SLOT_DEAD);
    without_dead_topic(p, slot->dead);
}

static bool output_unknown(const struct fg_pipeline *p, const struct fg_record *record, struct fg_error *err)
{
    struct fg_slice output = fg_record_view(record)->output;

    if (p->c.n_outputs == 0 || fg_flow_output_topic(p, output))
        return false;
    fg_error_set(err, FG_E_CONFIG, 0, "the pipeline has no output named \"%.*s\"",
                 (int)(output.len < 100 ? output.len : 100), output.len ? output.ptr : "");
    return true;
}

void fg_flow_slot_settled(struct fg_slot *slot)
{
    struct fg_pipeline *p = slot->batch->p;
    struct fg_error err = FG_ERROR_NULL;

    for (size_t i = 0; i < slot->n_items && !slot->dead; i++) {
        struct fg_item *item = &slot->items[i];
        bool bad = !p->c.sink && output_unknown(p, item->record, &err);
        for (size_t k = 0; k < item->n_results && !bad; k++)
            bad = output_unknown(p, item->results[k], &err);
        if (bad)
            fg_flow_slot_dead(slot, "output", 1, &err);
    }
    if (!slot->dead)
        slot_end(slot, FG_SLOT_DONE);
}

struct fg_flow_move *fg_flow_move_set(struct fg_list *moves, struct fg_slice key, struct fg_slice value)
{
    uint32_t hash = fg_murmur2(key);
    struct fg_flow_move *move;

    for (struct fg_list *l = moves->next; l != moves; l = l->next) {
        move = fg_container_of(l, struct fg_flow_move, link);
        if (move->hash == hash && fg_slice_is(key, move->key)) {
            free((char *)move->value.ptr);
            move->value = fg_slice_make(fg_slice_dup(value), value.len);
            return move;
        }
    }
    move = fg_calloc(1, sizeof(*move));
    move->key = fg_slice_dup(key);
    move->value = fg_slice_make(fg_slice_dup(value), value.len);
    move->hash = hash;
    fg_list_append(moves, &move->link);
    return move;
}

void fg_flow_moves_deinit(struct fg_list *moves)
{
    struct fg_list *l;
    while ((l = fg_list_pop(moves))) {
        struct fg_flow_move *move = fg_container_of(l, struct fg_flow_move, link);
        free(move->key);
        free((char *)move->value.ptr);
        free(move);
    }
}
