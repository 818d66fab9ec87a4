/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source plugin as input: its cursors live in the cursors topic, and who is assigned a partition of that topic works
 * for the owners (mailboxes) that hash to it.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/str.h"
#include "flow/pipeline-private.h"

static const struct fg_source_ops *source(const struct fg_pipeline *p)
{
    return p->c.source->ops->source;
}

static void *self(const struct fg_pipeline *p)
{
    return p->c.source->selves[0];
}

bool fg_flow_owns(const struct fg_pipeline *p, int32_t partition)
{
    for (size_t i = 0; i < p->n_partitions; i++)
        if (p->partitions[i].partition == partition)
            return true;
    return false;
}

static void consumer_config(struct fg_pipeline *p, struct fg_bus_consumer_config *ret)
{
    ret->topics = &p->c.cursors_topic;
    ret->n_topics = 1;
    ret->want_end = true;
}

/*
 * The committed offsets say how far to read at least; asking for them waited for transactions of the one before us. The
 * cursors themselves are read from the beginning: the topic is compacted.
 */
static void asked(struct fg_pipeline *p)
{
    struct fg_bus_position *from = fg_calloc(p->n_partitions + 1, sizeof(*from));

    for (size_t i = 0; i < p->n_partitions; i++) {
        p->partitions[i].at_end = false;
        from[i] = (struct fg_bus_position){p->partitions[i].topic, p->partitions[i].partition, FG_BUS_BEGINNING};
    }
    p->assignment = FG_ASSIGN_READING;
    fg_flow_consumer_pause(p, false);
    p->c.bus->ops->consumer_assign(p->consumer, from, p->n_partitions);
    free(from);
}

static void misplaced(struct fg_pipeline *p, struct fg_slice key, int32_t partition)
{
    struct fg_error err;
    fg_error_set(
        &err, FG_E_CONFIG, 0,
        "cursor \"%.*s\" stands in partition %d of \"%s\" and belongs elsewhere: the partition count was changed",
        (int)(key.len < 100 ? key.len : 100), key.ptr, partition, p->c.cursors_topic);
    fg_flow_fail(p, "kafka", &err);
}

/* One record of the cursors topic: the last one for a key counts, a tombstone ends it. */
static void read_cursor(struct fg_pipeline *p, const struct fg_bus_message *m)
{
    size_t name = strlen(p->c.name);
    struct fg_buf link = FG_BUF_INIT(FG_CURSOR_VALUE_MAX);
    struct fg_cursor_entry *entry;
    struct fg_slice key, owner;
    int64_t generation = 0;

    if (m->key.len <= name + 1 || memcmp(m->key.ptr, p->c.name, name) != 0 || m->key.ptr[name] != '/')
        return;
    key = fg_slice_sub(m->key, name + 1, m->key.len);
    owner = fg_cursor_owner(key);
    if (!owner.len || key.len > FG_CURSOR_KEY_MAX)
        return; /* no key of ours looks like this */
    if (fg_cursor_partition(p->c.name, owner, p->cursors_partitions) != m->partition) {
        if (!m->tombstone)
            misplaced(p, key, m->partition);
        return;
    }
    entry = fg_cursor_map_add(&p->cursors, key, m->partition);
    if (m->tombstone) {
        fg_cursor_entry_set(entry, FG_SLICE_NULL, 0);
        return;
    }
    (void)fg_parse_int(fg_json_find(m->value, "/generation").raw, &generation);
    if (!fg_json_decode_string(fg_json_find(m->value, "/link").raw, &link)) {
        struct fg_error err;
        fg_error_set(
            &err, FG_E_DATA, 0, "cursor \"%.*s\" in \"%s\" at %d/%lld is not one: write it anew, or a tombstone",
            (int)(key.len < 100 ? key.len : 100), key.ptr, p->c.cursors_topic, m->partition, (long long)m->offset);
        fg_flow_fail(p, "kafka", &err);
    }
    fg_cursor_entry_set(entry, fg_buf_slice(&link), generation);
    fg_buf_deinit(&link);
}

static void message(struct fg_pipeline *p, struct fg_bus_message *m)
{
    struct fg_flow_partition *partition = fg_flow_partition_find(p, m->topic, m->partition);

    /* once at work, what arrives is what we wrote */
    if (partition && p->assignment == FG_ASSIGN_READING) {
        read_cursor(p, m);
        partition->read = m->offset + 1;
        partition->at_end = false;
        fg_flow_kick(p);
    }
    fg_bus_message_free(m);
}

static void end(struct fg_pipeline *p, const struct fg_bus_position *position)
{
    struct fg_flow_partition *partition = fg_flow_partition_find(p, position->topic, position->partition);

    if (!partition || p->assignment != FG_ASSIGN_READING)
        return;
    partition->at_end = true;
    if (position->offset > partition->read)
        partition->read = position->offset;
    fg_flow_kick(p);
}

struct scan {
    struct fg_pipeline *p;
    bool bad;
};

static void key_named(void *arg, struct fg_slice key)
{
    struct scan *scan = arg;
    struct fg_pipeline *p = scan->p;
    struct fg_slice owner = fg_cursor_owner(key);
    int32_t partition;

    if (!owner.len || key.len > FG_CURSOR_KEY_MAX) {
        scan->bad = true;
        return;
    }
    partition = fg_cursor_partition(p->c.name, owner, p->cursors_partitions);
    if (fg_flow_owns(p, partition))
        fg_cursor_map_add(&p->cursors, key, partition);
}

/* Hands over what the source does not have yet. Those without a cursor begin at the beginning: an empty value. */
static void assign_new(struct fg_pipeline *p)
{
    struct scan scan = {.p = p};
    struct fg_cursor *cursors;
    size_t n = 0;

    source(p)->keys(self(p), key_named, &scan);
    if (scan.bad) {
        struct fg_error err;
        fg_error_set(&err, FG_E_INTERNAL, FG_ERROR_FATAL, "plugin \"%s\" named a cursor key that is not \"owner/rest\"",
                     p->c.source->plugin);
        fg_flow_fail(p, p->c.source->node, &err);
        return;
    }
    cursors = fg_calloc(p->cursors.n + 1, sizeof(*cursors));
    for (struct fg_cursor_entry *e = NULL; (e = fg_cursor_map_next(&p->cursors, e));) {
        if (e->assigned)
            continue;
        e->assigned = true;
        cursors[n++] = (struct fg_cursor){e->key, e->value};
    }
    if (n)
        source(p)->assign(self(p), cursors, n);
    free(cursors);
}

static bool all_read(const struct fg_pipeline *p)
{
    for (size_t i = 0; i < p->n_partitions; i++)
        if (!p->partitions[i].at_end || p->partitions[i].read < p->partitions[i].committed)
            return false;
    return true;
}

static void take(struct fg_pipeline *p, bool room)
{
    if (p->assignment == FG_ASSIGN_READING && !p->fail && all_read(p)) {
        p->assignment = FG_ASSIGN_WORKING;
        p->ever_assigned = true;
        p->rescan_ms = p->now_ms;
        p->resync = false;
        fg_flow_consumer_pause(p, true); /* nothing more to read; the group keeps us */
        fg_flow_kick(p);
    }
    if (!fg_flow_accepts(p))
        return;
    if (p->now_ms >= p->rescan_ms) {
        p->rescan_ms = p->now_ms + FG_FLOW_RESCAN_MS;
        assign_new(p);
    }
    fg_flow_due(p, p->rescan_ms);
    if (p->resync && p->hold.state == FG_HOLD_NONE)
        p->intake->rewind(p);
    if (!room || p->fill || p->fail)
        return;
    if (p->now_ms < p->pull_ms) {
        fg_flow_due(p, p->pull_ms);
        return;
    }
    p->fill = fg_calloc(1, sizeof(*p->fill));
    *p->fill = (struct fg_batch){.magic = FG_BATCH_MAGIC, .p = p};
    fg_list_init(&p->fill->moves);
    source(p)->pull(self(p), p->fill);
}

static void void_fill(struct fg_pipeline *p)
{
    if (p->fill)
        p->fill->voided = true;
}

static void rewind_cursors(struct fg_pipeline *p)
{
    struct fg_cursor *cursors = fg_calloc(p->cursors.n + 1, sizeof(*cursors));
    size_t n = 0;

    p->resync = false;
    void_fill(p);
    for (struct fg_cursor_entry *e = NULL; (e = fg_cursor_map_next(&p->cursors, e));)
        if (e->assigned)
            cursors[n++] = (struct fg_cursor){e->key, e->value};
    if (n)
        source(p)->rewind(self(p), cursors, n);
    free(cursors);
}

static void revoking(struct fg_pipeline *p)
{
    struct fg_cursor_map owners = {0};
    struct fg_slice *list;
    size_t n = 0;

    void_fill(p);
    for (struct fg_cursor_entry *e = NULL; (e = fg_cursor_map_next(&p->cursors, e));)
        if (e->assigned)
            fg_cursor_map_add(&owners, fg_cursor_owner(e->key), e->partition);
    list = fg_calloc(owners.n + 1, sizeof(*list));
    for (struct fg_cursor_entry *e = NULL; (e = fg_cursor_map_next(&owners, e));)
        list[n++] = e->key;
    if (n)
        source(p)->revoke(self(p), list, n);
    free(list);
    fg_cursor_map_clear(&owners);
    for (struct fg_cursor_entry *e = NULL; (e = fg_cursor_map_next(&p->cursors, e));)
        e->assigned = false;
}

static void revoked(struct fg_pipeline *p)
{
    fg_cursor_map_clear(&p->cursors);
}

/* The cursors are read once more, as after a rebalance. */
static void ask_again(struct fg_pipeline *p)
{
    revoking(p);
    revoked(p);
    fg_flow_ask(p);
}

static void committed(struct fg_pipeline *p, struct fg_flow_batch *batch)
{
    for (struct fg_list *l = batch->moves.next; l != &batch->moves; l = l->next) {
        struct fg_flow_move *move = fg_container_of(l, struct fg_flow_move, link);
        struct fg_cursor_entry *entry = fg_cursor_map_get(&p->cursors, fg_slice_of(move->key));
        struct fg_flow_partition *partition;
        if (!entry)
            continue;
        fg_cursor_entry_set(entry, move->value, entry->generation + 1);
        partition = fg_flow_partition_find(p, p->c.cursors_topic, entry->partition);
        if (partition)
            partition->moved = true;
    }
}

const struct fg_flow_intake fg_flow_intake_source = {
    .consumer_config = consumer_config,
    .asked = asked,
    .revoking = revoking,
    .revoked = revoked,
    .message = message,
    .end = end,
    .take = take,
    .rewind = rewind_cursors,
    .ask_again = ask_again,
    .committed = committed,
};
