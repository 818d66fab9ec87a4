/* SPDX-License-Identifier: Apache-2.0 */
/* What a source fills: from pull() to submit or cancel. */
#include <stdlib.h>

#include "base/utf8.h"
#include "flow/pipeline-private.h"

static void fill_free(struct fg_batch *fill)
{
    for (size_t i = 0; i < fill->n; i++) {
        fg_record_unref(fill->records[i].record);
        free(fill->records[i].dead);
    }
    free(fill->records);
    fg_flow_moves_deinit(&fill->moves);
    fill->magic = 0;
    free(fill);
}

void fg_flow_fill_abandon(struct fg_pipeline *p)
{
    if (p->fill)
        p->fill->p = NULL; /* the source still holds it and gives it back, to nobody */
    p->fill = NULL;
}

static void mistake(struct fg_pipeline *p, const char *what)
{
    struct fg_error err;
    fg_error_set(&err, FG_E_INTERNAL, FG_ERROR_FATAL, "plugin \"%s\" %s", p->c.source->plugin, what);
    fg_flow_fail(p, p->c.source->node, &err);
}

static void add(struct fg_batch *batch, struct fg_record *record, struct fg_error *dead)
{
    fg_assert(batch->magic == FG_BATCH_MAGIC);
    if (batch->n == batch->cap) {
        batch->cap = batch->cap ? batch->cap * 2 : 16;
        batch->records = fg_reallocarray(batch->records, batch->cap, sizeof(batch->records[0]));
    }
    batch->records[batch->n++] = (struct fg_fill_record){record, dead};
}

void fg_batch_add(struct fg_batch *batch, struct fg_record *record)
{
    add(batch, record, NULL);
}

void fg_batch_dead(struct fg_batch *batch, struct fg_record *record, const struct fg_error *err)
{
    struct fg_error *dead = fg_calloc(1, sizeof(*dead));

    *dead = *err;
    add(batch, record, dead);
}

void fg_batch_cursor(struct fg_batch *batch, const struct fg_cursor *cursor)
{
    struct fg_slice owner = fg_cursor_owner(cursor->key);

    fg_assert(batch->magic == FG_BATCH_MAGIC);
    if (!batch->p || batch->voided)
        return;
    if (!owner.len || cursor->key.len > FG_CURSOR_KEY_MAX || memchr(cursor->key.ptr, '\0', cursor->key.len))
        mistake(batch->p, "moved a cursor whose key is not \"owner/rest\" of at most 1024 bytes");
    else if (cursor->value.len > FG_CURSOR_VALUE_MAX)
        mistake(batch->p, "moved a cursor to a value of more than 64 KiB");
    else if (!fg_utf8_valid(cursor->value) || !fg_utf8_valid(cursor->key))
        mistake(batch->p, "moved a cursor whose key or value is not UTF-8");
    else if (!fg_cursor_map_get(&batch->p->cursors, cursor->key) &&
             !fg_flow_owns(batch->p, fg_cursor_partition(batch->p->c.name, owner, batch->p->cursors_partitions)))
        mistake(batch->p, "moved a cursor of an owner that it does not have");
    else
        fg_flow_move_set(&batch->moves, cursor->key, cursor->value);
}

/* The batch goes back; the source is asked again, not before `gap_ms` has passed. */
static void given_back(struct fg_pipeline *p, uint64_t gap_ms)
{
    p->fill = NULL;
    p->pull_ms = fg_env_now_ms(p->env) + gap_ms;
    fg_flow_kick(p);
}

/* Records and cursors of one fill stay together: they go into one batch, whole. */
static void take_over(struct fg_pipeline *p, struct fg_batch *fill)
{
    struct fg_flow_batch *batch = fg_flow_batch_open(p);
    const char *origin = NULL;

    for (struct fg_list *l = fill->moves.next; l != &fill->moves; l = l->next) {
        const struct fg_flow_move *move = fg_container_of(l, struct fg_flow_move, link);
        const struct fg_flow_move *set = fg_flow_move_set(&batch->moves, fg_slice_of(move->key), move->value);
        struct fg_slice owner = fg_cursor_owner(fg_slice_of(move->key));
        struct fg_cursor_entry *entry = fg_cursor_map_add(&p->cursors, fg_slice_of(move->key),
                                                          fg_cursor_partition(p->c.name, owner, p->cursors_partitions));
        entry->assigned = true; /* a key that the source found by itself, such as a new folder */
        if (!origin)
            origin = set->key;
    }
    for (size_t i = 0; i < fill->n; i++) {
        const struct fg_fill_record *r = &fill->records[i];
        struct fg_slot *slot =
            r->dead ? fg_flow_batch_add_dead(batch, r->record, r->dead) : fg_flow_batch_add(batch, r->record);
        slot->cursor_key = origin;
        free(r->dead);
    }
    fill->n = 0;
    p->arrived_ms = fg_env_now_ms(p->env);
}

void fg_batch_submit(struct fg_batch *batch)
{
    struct fg_pipeline *p;
    bool empty;

    fg_assert(batch->magic == FG_BATCH_MAGIC);
    p = batch->p;
    empty = batch->n == 0 && fg_list_empty(&batch->moves);
    if (p) {
        if (batch->voided || !fg_flow_accepts(p))
            p->resync = true; /* it believes that this counts: say again where to go on */
        else if (batch->n > 0 && fg_list_empty(&batch->moves))
            mistake(p, "submitted records without the cursor that accounts for them");
        else if (!empty)
            take_over(p, batch);
        given_back(p, empty ? FG_FLOW_PULL_GAP_MS : 0);
    }
    fill_free(batch);
}

static void source_trouble(struct fg_pipeline *p, const struct fg_error *err)
{
    const struct fg_flow_blame *blame = &p->troubles[FG_TROUBLE_SOURCE];

    if (err && err->fatal)
        fg_flow_fail(p, p->c.source->node, err);
    else
        fg_flow_trouble(p, FG_TROUBLE_SOURCE, p->c.source->node, err, blame->attempt + 1,
                        err && err->retry_after_ms ? fg_env_now_ms(p->env) + err->retry_after_ms : 0);
}

void fg_batch_cancel(struct fg_batch *batch, const struct fg_error *err)
{
    struct fg_pipeline *p;

    fg_assert(batch->magic == FG_BATCH_MAGIC);
    p = batch->p;
    if (p) {
        if (err)
            source_trouble(p, err);
        given_back(p, batch->voided ? 0 : FG_FLOW_PULL_GAP_MS);
    }
    fill_free(batch);
}

void fg_pipeline_source_trouble(struct fg_pipeline *pipeline, const void *self, const struct fg_error *err)
{
    if (pipeline->c.source && pipeline->c.source->selves[0] == self)
        source_trouble(pipeline, err);
}
