/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts that outlive the process: a record that crashes a stage must not be tried for ever.
 *
 * Whoever begins to work on an assignment first leaves a mark beside the group's committed offsets: how many have begun
 * there since the last commit. Each commit leaves a mark of one. So a mark that grows tells of processes that ended
 * again and again without getting anything done. From the sixth on the pipeline is careful: one record at a time is in
 * hand, and its name is in the mark before a stage sees it. A record whose name was found there too often becomes a
 * dead letter without being handled. In an outage no name is left behind: a restart meanwhile is not its fault.
 *
 * Marks are commits like any other, in turn with those of batches, so they can neither overtake one nor come from a
 * replica that lost the partition.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "flow/pipeline-private.h"

#define MARK_FORMAT "fragua starts=%u hits=%u record=%s"
#define NAME_BYTES  8u /* of SHA-256: enough to know a record again among those near an offset */

/* ---- what others left ---- */

void fg_flow_mark_read(struct fg_flow_partition *partition, const char *metadata)
{
    struct fg_flow_mark mark = {0};

    /* what is not ours says nothing: tools that reset offsets write what they like */
    if (metadata && sscanf(metadata, "fragua starts=%u hits=%u record=%39s", &mark.starts, &mark.hits, mark.name) >= 1)
        partition->found = mark;
    else
        partition->found = (struct fg_flow_mark){0};
}

static struct fg_flow_own_mark *own_mark(struct fg_pipeline *p, const struct fg_flow_partition *partition)
{
    for (size_t i = 0; i < p->n_own_marks; i++)
        if (p->own_marks[i].partition == partition->partition &&
            strcmp(p->own_marks[i].topic, partition->topic) == 0)
            return &p->own_marks[i];
    return NULL;
}

static void keep_own(struct fg_pipeline *p, const struct fg_flow_partition *partition, unsigned starts, unsigned hits,
                     const char name[FG_FLOW_NAME_MAX], bool in_hand)
{
    struct fg_flow_own_mark *own = own_mark(p, partition);

    if (!own) {
        p->own_marks = fg_reallocarray(p->own_marks, p->n_own_marks + 1, sizeof(*p->own_marks));
        own = &p->own_marks[p->n_own_marks++];
        own->topic = fg_strdup(partition->topic);
        own->partition = partition->partition;
    }
    own->in_hand = in_hand;
    own->mark.starts = starts;
    own->mark.hits = hits;
    memcpy(own->mark.name, name, FG_FLOW_NAME_MAX);
}

void fg_flow_marks_deinit(struct fg_pipeline *p)
{
    for (size_t i = 0; i < p->n_own_marks; i++)
        free(p->own_marks[i].topic);
    free(p->own_marks);
}

/*
 * A pipeline that failed, or lost the partition and got it back, finds what it wrote itself: this process has not
 * ended, so it does not count.
 */
void fg_flow_mark_found(struct fg_pipeline *p, struct fg_flow_partition *partition, const char *metadata)
{
    const struct fg_flow_own_mark *own = own_mark(p, partition);
    struct fg_flow_mark *found = &partition->found;

    fg_flow_mark_read(partition, metadata);
    if (!own || found->starts != own->mark.starts || found->hits != own->mark.hits ||
        strcmp(found->name, own->mark.name) != 0)
        return;
    found->starts--;
    found->hits -= own->in_hand;
}

/* The cursors topic's partition count that was known to who wrote this; 0: it does not say. */
int32_t fg_flow_mark_partitions(const char *metadata)
{
    const char *at = metadata ? strstr(metadata, " partitions=") : NULL;
    int partitions = 0;

    return at && sscanf(at, " partitions=%d", &partitions) == 1 && partitions > 0 ? partitions : 0;
}

void fg_flow_marks_begin(struct fg_pipeline *p)
{
    p->starts = 0;
    p->careful_left = 0;
    p->named = 0;
    for (size_t i = 0; i < p->n_partitions; i++)
        p->partitions[i].wants_mark = p->partitions[i].marked = p->partitions[i].has_name = false;
}

static bool needs_mark(const struct fg_flow_partition *partition)
{
    return !partition->marked && !partition->moved;
}

/*
 * Work is about to begin on a partition. Not before: one without work has no commit either that would set its mark
 * back, and would count every restart.
 */
static void want_mark(struct fg_pipeline *p, struct fg_flow_partition *partition)
{
    unsigned starts = partition->found.starts + 1;

    p->mark_wanted = partition->wants_mark = true;
    if (starts > p->starts)
        p->starts = starts;
    if (p->careful_left || starts < FG_FLOW_CAREFUL_STARTS)
        return;
    p->careful_left = FG_FLOW_CAREFUL_RECORDS;
    fg_logf(&p->c.logger, FG_LOG_WARN,
            "work began %u times at %s/%d without a commit: the next %zu records are handled one at a time",
            starts - 1, partition->topic, partition->partition, p->careful_left);
}

/* ---- names ---- */

static struct fg_flow_partition *partition_of(struct fg_pipeline *p, const struct fg_slot *slot)
{
    struct fg_slice owner;
    int32_t partition;

    if (slot->partition)
        return slot->partition;
    owner = fg_cursor_owner(fg_slice_of(slot->cursor_key));
    partition = fg_cursor_partition(p->c.name, owner, p->cursors_partitions);
    return fg_flow_partition_find(p, p->c.cursors_topic, partition);
}

/* A topic's record is known by its offset, a source's by what is in it. */
static void name_of(const struct fg_slot *slot, char ret[FG_FLOW_NAME_MAX])
{
    const struct fg_record_view *v = fg_record_view(slot->in);
    uint8_t digest[FG_SHA256_SIZE];

    if (slot->partition) {
        (void)snprintf(ret, FG_FLOW_NAME_MAX, "%lld", (long long)slot->next - 1);
        return;
    }
    fg_sha256(v->value.len ? v->value : v->key, digest);
    for (size_t i = 0; i < NAME_BYTES; i++)
        (void)snprintf(ret + 2 * i, FG_FLOW_NAME_MAX - 2 * i, "%02x", digest[i]);
}

/* How many processes ended with this record in hand. */
static unsigned hits_of(const struct fg_flow_partition *partition, const struct fg_slot *slot)
{
    char name[FG_FLOW_NAME_MAX];

    name_of(slot, name);
    return strcmp(name, partition->found.name) == 0 ? partition->found.hits : 0;
}

/* ---- the gate ---- */

static const struct fg_slot *oldest_open(const struct fg_pipeline *p)
{
    for (struct fg_list *b = p->batches.next; b != &p->batches; b = b->next) {
        const struct fg_flow_batch *batch = fg_container_of(b, struct fg_flow_batch, link);
        for (struct fg_list *l = batch->slots.next; l != &batch->slots && batch->n_open; l = l->next) {
            const struct fg_slot *slot = fg_container_of(l, struct fg_slot, link);
            if (fg_flow_slot_is_open(slot))
                return slot;
        }
    }
    return NULL;
}

static void give_up(struct fg_pipeline *p, struct fg_slot *slot, unsigned hits)
{
    struct fg_error err;

    fg_error_set(&err, FG_E_INTERNAL, 0, "the process ended %u times while this record was in hand", hits);
    fg_logf(&p->c.logger, FG_LOG_ERROR, "%s: it becomes a dead letter", err.text);
    if (slot->state == FG_SLOT_WORK) {
        fg_list_remove(&slot->queue);
        p->n_to_work--;
    }
    fg_flow_slot_dead(slot, "process", hits, &err);
}

/* Wants this name in the mark (NULL: none). true: it stands there. */
static bool want_name(struct fg_pipeline *p, struct fg_slot *slot)
{
    if (p->named == (slot ? slot->seq + 1 : 0))
        return true;
    p->name_wanted = slot;
    p->mark_wanted = true;
    return false;
}

bool fg_flow_may_handle(struct fg_pipeline *p, struct fg_slot *slot)
{
    struct fg_flow_partition *partition;
    unsigned hits;

    if (!p->marks)
        return true;
    partition = partition_of(p, slot);
    if (!partition)
        return true; /* it is gone, and so will be the slot */
    if (needs_mark(partition)) {
        want_mark(p, partition);
        return false;
    }
    if (!p->careful_left)
        return true;
    if (p->outage) /* anybody may ask whether it is over, else one that is never answered holds all for ever */
        return want_name(p, NULL);
    if (slot != oldest_open(p))
        return false;
    if (partition->moved)
        return want_name(p, NULL);
    hits = hits_of(partition, slot);
    if (hits < p->c.attempts)
        return want_name(p, slot);
    give_up(p, slot, hits);
    return false;
}

void fg_flow_mark_ended(struct fg_pipeline *p)
{
    if (p->careful_left && --p->careful_left == 0)
        fg_logf(&p->c.logger, FG_LOG_INFO, "nothing more has gone wrong: records are handled side by side again");
}

/* ---- writing it ---- */

/* Where the partition stands: a mark moves nothing. < 0: not known yet. */
static int64_t position_of(const struct fg_pipeline *p, const struct fg_flow_partition *partition)
{
    if (!p->c.source)
        return partition->restart;
    return partition->read > partition->committed ? partition->read : partition->committed;
}

/* @name: "": none */
static const char *write_mark(struct fg_pipeline *p, struct fg_flow_publish *out, unsigned starts, const char *name,
                              unsigned hits)
{
    char topic[40] = "";

    if (p->c.source)
        (void)snprintf(topic, sizeof(topic), " partitions=%d", p->cursors_partitions);
    if (!name[0])
        return fg_flow_publish_text(out, "fragua starts=%u%s", starts, topic);
    return fg_flow_publish_text(out, MARK_FORMAT "%s", starts, hits, name, topic);
}

const char *fg_flow_mark_of_commit(struct fg_pipeline *p, struct fg_flow_publish *out)
{
    bool wanted = p->marks || (p->c.source && p->c.bus->traits.durable);

    return wanted ? write_mark(p, out, p->careful_left ? p->starts : 1, "", 0) : NULL;
}

static void add_mark(struct fg_pipeline *p, struct fg_flow_batch *mark, struct fg_flow_partition *partition)
{
    struct fg_slot *slot = p->name_wanted && partition_of(p, p->name_wanted) == partition ? p->name_wanted : NULL;
    unsigned starts = partition->found.starts + 1, hits = 0;
    int64_t position = position_of(p, partition);
    char name[FG_FLOW_NAME_MAX] = "";

    if (!(partition->wants_mark || partition->has_name || slot) || partition->moved || position < 0)
        return;
    partition->marking = true;
    partition->has_name = slot;
    if (slot) {
        name_of(slot, name);
        hits = hits_of(partition, slot) + 1;
    } else if (!partition->marked) {
        /* one that others named may end this process too, when its turn comes: what is known of it stays known */
        memcpy(name, partition->found.name, sizeof(name));
        hits = partition->found.hits;
    }
    keep_own(p, partition, starts, hits, name, slot != NULL);
    mark->out.offsets[mark->n_offsets++] = (struct fg_bus_position){
        partition->topic, partition->partition, position,
        write_mark(p, &mark->out, starts, name, hits)};
}

/* One mark for all that wait, not one after the other as they come to the head of the queue. */
static void want_marks(struct fg_pipeline *p)
{
    for (struct fg_list *b = p->batches.next; b != &p->batches; b = b->next) {
        const struct fg_flow_batch *batch = fg_container_of(b, struct fg_flow_batch, link);
        for (struct fg_list *l = batch->slots.next; l != &batch->slots; l = l->next) {
            const struct fg_slot *slot = fg_container_of(l, struct fg_slot, link);
            struct fg_flow_partition *partition = fg_flow_slot_is_open(slot) ? partition_of(p, slot) : NULL;
            if (partition && needs_mark(partition) && !partition->wants_mark)
                want_mark(p, partition);
        }
    }
}

struct fg_flow_batch *fg_flow_mark_build(struct fg_pipeline *p)
{
    struct fg_flow_batch *mark = fg_flow_batch_new(p);

    mark->is_mark = mark->closed = true;
    mark->epoch = p->epoch;
    mark->out.offsets = fg_calloc(p->n_partitions + 1, sizeof(*mark->out.offsets));
    want_marks(p);
    for (size_t i = 0; i < p->n_partitions; i++)
        add_mark(p, mark, &p->partitions[i]);
    p->naming = p->name_wanted ? p->name_wanted->seq + 1 : 0;
    return mark;
}

void fg_flow_mark_written(struct fg_pipeline *p)
{
    for (size_t i = 0; i < p->n_partitions; i++) {
        struct fg_flow_partition *partition = &p->partitions[i];
        partition->marked = partition->marked || partition->marking;
        partition->wants_mark = partition->wants_mark && !partition->marked;
        partition->marking = false;
    }
    p->named = p->naming;
}
