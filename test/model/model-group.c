/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coordinator of groups: members by heartbeats, generations, ranges. A rebalance begins when somebody comes or
 * goes; the others hear of it by their next heartbeat, give up what they have and join anew. It ends when all are back,
 * or when its time is over: then those who are late are members no more.
 */
#include <stdio.h>
#include <stdlib.h>

#include "model-private.h"

#define TICK_MS 250u

struct model_member {
    struct fg_list link; /* model_group::members, by id */
    uint64_t id;
    struct fg_bus_consumer *consumer; /* borrowed; NULL: its process is gone, the group does not know yet */
    bool joined;                      /* in the rebalance under way */
    uint64_t seen_ms;
};

static struct model_member *member_at(struct fg_list *link)
{
    return fg_container_of(link, struct model_member, link);
}

static struct model_member *find(struct model_group *group, uint64_t id)
{
    for (struct fg_list *l = group->members.next; l != &group->members; l = l->next)
        if (member_at(l)->id == id)
            return member_at(l);
    return NULL;
}

struct model_group *model_group(struct model_bus *model, const char *name)
{
    struct model_group *g;

    for (struct fg_list *l = model->groups.next; l != &model->groups; l = l->next) {
        g = fg_container_of(l, struct model_group, link);
        if (strcmp(g->name, name) == 0)
            return g;
    }
    g = fg_calloc(1, sizeof(*g));
    g->model = model;
    (void)snprintf(g->name, sizeof(g->name), "%s", name);
    fg_list_init(&g->members);
    fg_list_init(&g->offsets);
    fg_list_append(&model->groups, &g->link);
    return g;
}

void model_group_free(struct model_group *group)
{
    struct fg_list *l;

    while ((l = fg_list_pop(&group->members)))
        free(member_at(l));
    while ((l = fg_list_pop(&group->offsets))) {
        struct model_offset *offset = fg_container_of(l, struct model_offset, link);
        free(offset->metadata);
        free(offset);
    }
    free(group);
}

/* ---- rebalances ---- */

/* The ranges of one topic: the first members get one more where it does not come out even. */
static size_t range_of(struct model_group *group, const struct model_member *member, struct model_topic *topic,
                       struct fg_bus_position *positions)
{
    int32_t n = 0, at = 0, each, more, first, count;

    for (struct fg_list *l = group->members.next; l != &group->members; l = l->next) {
        struct model_member *m = member_at(l);
        if (!m->consumer || !model_consumer_wants(m->consumer, topic))
            continue;
        at = m == member ? n : at;
        n++;
    }
    if (n == 0 || !model_consumer_wants(member->consumer, topic))
        return 0;
    each = topic->n_partitions / n;
    more = topic->n_partitions % n;
    first = at * each + (at < more ? at : more);
    count = each + (at < more);
    for (int32_t i = 0; i < count; i++)
        positions[i] = (struct fg_bus_position){.topic = topic->name, .partition = first + i, .offset = FG_BUS_UNKNOWN};
    return (size_t)count;
}

static void give_all(struct model_group *group)
{
    struct model_bus *model = group->model;

    for (struct fg_list *l = group->members.next; l != &group->members; l = l->next) {
        struct model_member *m = member_at(l);
        struct fg_bus_position positions[64];
        size_t n = 0;

        m->seen_ms = model->sim->now_ms;
        if (!m->consumer)
            continue;
        for (struct fg_list *t = model->topics.next; t != &model->topics; t = t->next) {
            struct model_topic *topic = fg_container_of(t, struct model_topic, link);
            fg_assert(n + (size_t)topic->n_partitions <= 64);
            n += range_of(group, m, topic, positions + n);
        }
        model_consumer_given(m->consumer, m->id, group->generation, positions, n);
    }
}

static void throw_out(struct model_group *group, struct model_member *member, const char *why)
{
    sim_trace(&group->model->sim->self, "group %s: member %llu goes: %s", group->name, (unsigned long long)member->id,
              why);
    fg_list_remove(&member->link);
    group->n_members--;
    free(member);
}

static void maybe_complete(struct model_group *group)
{
    uint64_t now = group->model->sim->now_ms;
    struct fg_list *l, *next;
    bool all = true;

    if (!group->preparing || now < group->not_before_ms)
        return;
    for (l = group->members.next; l != &group->members; l = l->next)
        all = all && member_at(l)->joined;
    if (!all && now < group->deadline_ms)
        return;
    fg_list_for_each_safe(l, next, &group->members) if (!member_at(l)->joined)
        throw_out(group, member_at(l), "late in the rebalance");
    group->preparing = false;
    group->generation++;
    group->model->n_rebalances++;
    sim_trace(&group->model->sim->self, "group %s: generation %d, %zu members", group->name, group->generation,
              group->n_members);
    give_all(group);
}

static void prepare(struct model_group *group)
{
    if (group->preparing)
        return;
    group->preparing = true;
    group->deadline_ms = group->model->sim->now_ms + group->model->rebalance_ms;
    for (struct fg_list *l = group->members.next; l != &group->members; l = l->next)
        member_at(l)->joined = false;
}

static void tick(void *arg)
{
    struct model_group *group = arg;
    struct model_bus *model = group->model;
    uint64_t now = model->sim->now_ms;
    struct fg_list *l, *next;

    group->ticking = false;
    fg_list_for_each_safe(l, next, &group->members)
    {
        struct model_member *m = member_at(l);
        if (model->away || (group->preparing && m->joined))
            m->seen_ms = now; /* who waits for an answer is heard; a coordinator that comes back gives everybody time */
        if (now < m->seen_ms + model->session_ms)
            continue;
        throw_out(group, m, "not heard of");
        model->n_expired++;
        prepare(group);
    }
    if (!model->away)
        maybe_complete(group);
    if (group->n_members == 0)
        return;
    group->ticking = true;
    sim_post(model->sim, TICK_MS, tick, group);
}

static void completed(void *arg)
{
    maybe_complete(arg);
}

uint64_t model_group_join(struct model_group *group, uint64_t id, struct fg_bus_consumer *consumer)
{
    struct sim *sim = group->model->sim;
    struct model_member *m = id ? find(group, id) : NULL;

    if (group->n_members == 0) {
        group->preparing = false;
        group->not_before_ms = sim->now_ms + group->model->join_ms;
        sim_post(sim, group->model->join_ms, completed, group);
    }
    prepare(group);
    if (!m) {
        struct fg_list *at = group->members.next;
        m = fg_calloc(1, sizeof(*m));
        m->id = 1 + sim_random(sim, UINT32_MAX);
        while (at != &group->members && member_at(at)->id < m->id)
            at = at->next;
        fg_list_append(at, &m->link); /* before `at` */
        group->n_members++;
    }
    m->consumer = consumer;
    m->joined = true;
    m->seen_ms = sim->now_ms;
    id = m->id;
    if (!group->ticking) {
        group->ticking = true;
        sim_post(sim, TICK_MS, tick, group);
    }
    maybe_complete(group);
    return id;
}

void model_group_leave(struct model_group *group, uint64_t id)
{
    struct model_member *m = find(group, id);

    if (!m)
        return;
    throw_out(group, m, "it leaves");
    prepare(group);
    maybe_complete(group);
}

void model_group_detach(struct model_group *group, const struct fg_bus_consumer *consumer)
{
    for (struct fg_list *l = group->members.next; l != &group->members; l = l->next)
        if (member_at(l)->consumer == consumer)
            member_at(l)->consumer = NULL;
}

enum model_verdict model_group_check(struct model_group *group, struct model_membership who)
{
    if (who.member == 0 && who.generation < 0)
        return MODEL_OK;
    if (!find(group, who.member))
        return MODEL_UNKNOWN;
    return who.generation == group->generation ? MODEL_OK : MODEL_STALE;
}

enum model_verdict model_group_heartbeat(struct model_group *group, struct model_membership who)
{
    struct model_member *m = find(group, who.member);

    if (!m)
        return MODEL_UNKNOWN;
    if (who.generation != group->generation)
        return MODEL_STALE;
    m->seen_ms = group->model->sim->now_ms;
    return group->preparing && !m->joined ? MODEL_REBALANCING : MODEL_OK;
}

void model_rebalance(struct model_bus *model, bool lost)
{
    for (struct fg_list *g = model->groups.next; g != &model->groups; g = g->next) {
        struct model_group *group = fg_container_of(g, struct model_group, link);
        struct fg_bus_consumer *consumers[64];
        struct fg_list *l, *next;
        size_t n = 0;

        fg_list_for_each_safe(l, next, &group->members)
        {
            if (member_at(l)->consumer && n < 64)
                consumers[n++] = member_at(l)->consumer;
            if (lost)
                throw_out(group, member_at(l), "the coordinator forgot it");
        }
        if (!lost && group->n_members > 0)
            prepare(group);
        for (size_t i = 0; i < n; i++)
            model_consumer_hurry(consumers[i], lost);
    }
}

/* ---- offsets ---- */

struct model_offset *model_offset(struct model_group *group, const char *topic, int32_t partition)
{
    struct model_offset *offset;

    for (struct fg_list *l = group->offsets.next; l != &group->offsets; l = l->next) {
        offset = fg_container_of(l, struct model_offset, link);
        if (offset->partition == partition && strcmp(offset->topic->name, topic) == 0)
            return offset;
    }
    offset = fg_calloc(1, sizeof(*offset));
    offset->topic = model_topic_find(group->model, topic);
    fg_assert(offset->topic);
    offset->partition = partition;
    offset->offset = FG_BUS_UNKNOWN;
    fg_list_append(&group->offsets, &offset->link);
    return offset;
}

void model_offset_set(struct model_offset *offset, int64_t value, const char *metadata)
{
    char *copy = metadata ? strdup(metadata) : NULL;
    fg_assert(!metadata || copy);
    free(offset->metadata);
    offset->offset = value;
    offset->metadata = copy;
}

int64_t model_committed(struct model_bus *model, const char *group, const char *topic, int32_t partition)
{
    return model_offset(model_group(model, group), topic, partition)->offset;
}

const char *model_metadata(struct model_bus *model, const char *group, const char *topic, int32_t partition)
{
    return model_offset(model_group(model, group), topic, partition)->metadata;
}

size_t model_members(struct model_bus *model, const char *group)
{
    return model_group(model, group)->n_members;
}
