/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka topics as input: the cursor is the group's offsets. */
#include <stdlib.h>

#include "flow/pipeline-private.h"

static void consumer_config(struct fg_pipeline *p, struct fg_bus_consumer_config *ret)
{
    ret->topics = p->c.topics;
    ret->n_topics = p->c.n_topics;
}

static void rewind_to_restart(struct fg_pipeline *p)
{
    struct fg_bus_position *positions = fg_calloc(p->n_partitions + 1, sizeof(*positions));
    size_t n = 0;

    for (size_t i = 0; i < p->n_partitions; i++)
        if (p->partitions[i].restart >= 0) /* of the others nothing was taken yet */
            positions[n++] =
                (struct fg_bus_position){p->partitions[i].topic, p->partitions[i].partition, p->partitions[i].restart};
    p->resync = false;
    if (n)
        p->c.bus->ops->consumer_rewind(p->consumer, positions, n);
    free(positions);
}

static void begin_reading(struct fg_pipeline *p)
{
    int64_t first = p->c.start_at_end ? FG_BUS_END : FG_BUS_BEGINNING;
    struct fg_bus_position *positions = fg_calloc(p->n_partitions + 1, sizeof(*positions));

    for (size_t i = 0; i < p->n_partitions; i++) {
        const struct fg_flow_partition *partition = &p->partitions[i];
        positions[i] = (struct fg_bus_position){partition->topic, partition->partition,
                                                partition->restart >= 0 ? partition->restart : first};
    }
    p->c.bus->ops->consumer_assign(p->consumer, positions, p->n_partitions);
    free(positions);
}

static void asked(struct fg_pipeline *p)
{
    /* what is not committed yet stays where it was first seen: the policy for new groups could be another place now */
    for (size_t i = 0; i < p->n_partitions; i++)
        if (p->partitions[i].committed >= 0)
            p->partitions[i].restart = p->partitions[i].committed;
    p->assignment = FG_ASSIGN_WORKING;
    p->ever_assigned = true;
    if (p->reading)
        rewind_to_restart(p);
    else
        begin_reading(p);
    p->reading = true;
}

static void revoking(struct fg_pipeline *p)
{
    fg_flow_consumer_pause(p, true);
}

static void revoked(struct fg_pipeline *p)
{
    p->reading = p->resync = false; /* the positions go with the partitions */
}

static void message(struct fg_pipeline *p, struct fg_bus_message *m)
{
    struct fg_flow_partition *partition = fg_flow_partition_find(p, m->topic, m->partition);
    int64_t next = m->offset + 1;
    struct fg_slot *slot;

    /* seen is enough: what is dropped here while going back must be read again */
    if (partition && p->assignment == FG_ASSIGN_WORKING && partition->restart < 0)
        partition->restart = m->offset;
    if (!partition || !fg_flow_accepts(p) || p->resync) {
        p->resync = p->resync || p->hold.state == FG_HOLD_HELD; /* the others are read again in any case */
        fg_bus_message_free(m);
        return;
    }
    slot = fg_flow_batch_add(fg_flow_batch_open(p), fg_record_from_message(p->c.budget, m));
    slot->partition = partition;
    slot->next = next;
    if (!fg_flow_has_room(p))
        fg_flow_consumer_pause(p, true);
}

static void end(struct fg_pipeline *p, const struct fg_bus_position *position)
{
    /* whether the input is dry shows by what arrives, sooner than Kafka says it */
}

static void take(struct fg_pipeline *p, bool room)
{
    if (p->resync && p->hold.state == FG_HOLD_NONE && fg_flow_accepts(p))
        rewind_to_restart(p);
    fg_flow_consumer_pause(p, !room);
}

static void committed(struct fg_pipeline *p, struct fg_flow_batch *batch)
{
    /* the partitions' restart has moved already */
}

const struct fg_flow_intake fg_flow_intake_kafka = {
    .consumer_config = consumer_config,
    .asked = asked,
    .revoking = revoking,
    .revoked = revoked,
    .message = message,
    .end = end,
    .take = take,
    .rewind = rewind_to_restart,
    .ask_again = fg_flow_ask,
    .committed = committed,
};
