/* SPDX-License-Identifier: Apache-2.0 */
/* The model's consumer: a handle that reads up to the last stable offset. */
#include <stdlib.h>

#include "model-consumer.h"

#define POLL_MAX 8u  /* records of one partition in one poll, at most */
#define BLOCK_MS 20u /* a poll that finds no broker looks again */

static void poll(void *arg);

void model_consumer_settle(struct fg_bus_consumer *c)
{
    if (!c->closed || c->pending || c->users)
        return;
    if (c->group)
        model_group_detach(c->group, c);
    fg_list_remove(&c->link);
    c->model->n_consumers--;
    c->client->n_handles--;
    c->on_closed(c->closed_arg);
    free(c->positions);
    free(c);
}

static void post(struct fg_bus_consumer *c, uint64_t ms, fg_timer_cb cb)
{
    c->pending++;
    sim_process_post(c->client->process, ms, cb, c);
}

/* ---- records ---- */

static void poll_soon(struct fg_bus_consumer *c)
{
    if (c->polling || c->closed || c->paused || !c->n_positions || c->client->cut)
        return;
    c->polling = true;
    post(c, sim_random(c->model->sim, c->model->poll_ms_max + 1), poll);
}

void model_data(struct model_bus *model)
{
    for (struct fg_list *l = model->consumers.next; l != &model->consumers; l = l->next)
        poll_soon(fg_container_of(l, struct fg_bus_consumer, link));
}

struct delivered {
    struct fg_bus_message message;
    struct fg_header *headers;
};

static void release(struct fg_bus_message *message)
{
    struct delivered *d = fg_container_of(message, struct delivered, message);
    free(d->headers);
    free(d);
}

static void deliver(struct fg_bus_consumer *c, const struct model_position *at, const struct model_record *r)
{
    struct delivered *d = fg_calloc(1, sizeof(*d));

    d->message = (struct fg_bus_message){
        .topic = at->topic->name,
        .partition = at->partition,
        .offset = (int64_t)at->next,
        .timestamp_ms = r->timestamp_ms,
        .key = r->key,
        .value = r->value,
        .tombstone = r->tombstone,
        .n_headers = r->n_headers,
        .release = release,
    };
    d->headers = model_headers_copy(r->headers, r->n_headers, &d->message.key, &d->message.value);
    d->message.headers = d->headers;
    c->events.message(c->arg, &d->message);
}

static void tell_gone(struct fg_bus_consumer *c, struct model_position *at)
{
    struct fg_error err;

    if (at->told_gone)
        return;
    at->told_gone = true;
    fg_error_set(&err, FG_E_EXPIRED, 0, "offset %zu of topic \"%s\" partition %d is gone: records were removed",
                 at->next, at->topic->name, at->partition);
    c->events.trouble(c->arg, &err);
}

static bool delivers(const struct fg_bus_consumer *c)
{
    return !c->closed && !c->paused && (c->state != MEMBER_REVOKING || !c->group || !c->n_topics);
}

/* Reads on in one partition. Returns how many were delivered. */
static size_t poll_one(struct fg_bus_consumer *c, size_t k, size_t max)
{
    size_t n = 0;

    while (n < max && k < c->n_positions && delivers(c)) {
        struct model_position *at = &c->positions[k];
        const struct model_partition *partition = &at->topic->partitions[at->partition];
        const struct model_record *r = at->next < partition->n ? &partition->records[at->next] : NULL;

        if (at->next < partition->start) {
            tell_gone(c, at);
            break;
        }
        if (!r || r->state == MODEL_OPEN)
            break;
        at->told_end = false;
        if (r->state == MODEL_COMMITTED) {
            deliver(c, at, r);
            n++;
        }
        at->next++;
    }
    return n;
}

static void tell_end(struct fg_bus_consumer *c, size_t k)
{
    struct model_position *at = &c->positions[k];
    const struct model_partition *partition = &at->topic->partitions[at->partition];
    bool end = at->next >= partition->n || partition->records[at->next].state == MODEL_OPEN;

    if (!end || at->told_end || !c->want_end || at->next < partition->start)
        return;
    at->told_end = true;
    c->events.end(c->arg, &(struct fg_bus_position){
                              .topic = at->topic->name, .partition = at->partition, .offset = (int64_t)at->next});
}

static void poll(void *arg)
{
    struct fg_bus_consumer *c = arg;
    size_t n = 0, from;

    c->pending--;
    c->polling = false;
    if (c->n_positions && delivers(c) && !c->client->cut && !model_reaches(c->client)) {
        c->polling = true;
        post(c, BLOCK_MS, poll);
    } else if (c->n_positions && delivers(c) && !c->client->cut) {
        from = sim_random(c->model->sim, c->n_positions);
        for (size_t i = 0; i < c->n_positions; i++)
            n += poll_one(c, (from + i) % c->n_positions, 1 + sim_random(c->model->sim, POLL_MAX));
        for (size_t i = 0; i < c->n_positions && delivers(c); i++)
            tell_end(c, i);
        if (n)
            poll_soon(c);
    }
    model_consumer_settle(c);
}

int model_consumer_open(struct fg_bus *bus, const struct fg_bus_consumer_config *config,
                        const struct fg_bus_consumer_events *events, void *arg, struct fg_bus_consumer **ret,
                        struct fg_error *err)
{
    struct fg_bus_consumer *c = fg_calloc(1, sizeof(*c));
    struct fg_env *env = &model_client_of(bus)->process->env;

    c->client = model_client_of(bus);
    c->beat = env->ops->timer_new(env, model_member_beat, c);
    c->model = c->client->model;
    c->events = *events;
    c->arg = arg;
    c->want_end = config->want_end;
    c->group = config->group ? model_group(c->model, config->group) : NULL;
    fg_assert(config->n_topics <= MODEL_TOPICS_MAX);
    for (size_t i = 0; i < config->n_topics && c->group; i++) {
        struct model_topic *topic = model_topic_find(c->model, config->topics[i]);
        if (topic)
            c->topics[c->n_topics++] = topic;
    }
    fg_list_append(&c->model->consumers, &c->link);
    c->model->n_consumers++;
    c->client->n_handles++;
    c->heard_ms = c->model->sim->now_ms;
    c->self.generation = -1;
    if (config->n_topics && c->group) {
        model_member_join(c);
        env->ops->timer_start(c->beat, 1 + sim_random(c->model->sim, c->model->heartbeat_ms));
    }
    *ret = c;
    return 0;
}

static size_t start_of(const struct model_topic *topic, const struct fg_bus_position *at)
{
    const struct model_partition *partition = &topic->partitions[at->partition];
    int64_t offset = at->offset;

    fg_assert(offset != FG_BUS_UNKNOWN);
    if (offset == FG_BUS_END)
        return partition->n;
    if (offset <= FG_BUS_TAIL(1) && offset > FG_BUS_TAIL(1) - (int64_t)partition->n)
        return partition->n - (size_t)(FG_BUS_TAIL(0) - offset);
    return offset < 0 ? partition->start : (size_t)offset;
}

void model_consumer_assign(struct fg_bus_consumer *c, const struct fg_bus_position *positions, size_t n)
{
    free(c->positions);
    c->positions = fg_calloc(n + 1, sizeof(*c->positions));
    c->n_positions = n;
    c->is_assigned = true;
    c->assigned_as = c->n_topics ? c->self : (struct model_membership){0, -1};
    c->assigns++;
    for (size_t i = 0; i < n; i++) {
        struct model_topic *topic = model_topic_find(c->model, positions[i].topic);
        fg_assert(topic);
        c->positions[i] = (struct model_position){
            .topic = topic,
            .partition = positions[i].partition,
            .next = start_of(topic, &positions[i]),
        };
    }
    poll_soon(c);
}

void model_consumer_unassign(struct fg_bus_consumer *c)
{
    c->n_positions = 0;
    c->assigns++;
    if (!c->closed && c->state == MEMBER_REVOKING) {
        c->state = MEMBER_JOINING;
        post(c, 0, model_member_join_again);
    }
}

void model_consumer_pause(struct fg_bus_consumer *c, bool paused)
{
    c->paused = paused;
    if (!paused)
        poll_soon(c);
}

void model_consumer_rewind(struct fg_bus_consumer *c, const struct fg_bus_position *positions, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < c->n_positions; k++) {
            struct model_position *at = &c->positions[k];
            if (at->partition != positions[i].partition || strcmp(at->topic->name, positions[i].topic) != 0)
                continue;
            *at = (struct model_position){
                .topic = at->topic, .partition = at->partition, .next = start_of(at->topic, &positions[i])};
        }
    poll_soon(c);
}

bool model_consumer_membership(const struct fg_bus_consumer *c, struct model_membership *ret)
{
    *ret = c->assigned_as;
    return c->is_assigned;
}

struct model_group *model_consumer_group(const struct fg_bus_consumer *c)
{
    return c->group;
}

unsigned model_consumer_assigns(const struct fg_bus_consumer *c)
{
    return c->assigns;
}

/* ---- the end ---- */

void model_consumer_close(struct fg_bus_consumer *c, fg_done_cb closed, void *arg)
{
    fg_assert(!c->closed);
    c->closed = true;
    c->client->process->env.ops->timer_free(c->beat);
    c->n_positions = 0;
    c->on_closed = closed;
    c->closed_arg = arg;
    if (c->users == 0)
        post(c, 1, model_member_leave);
}

void model_consumer_use(struct fg_bus_consumer *c)
{
    c->users++;
}

void model_consumer_drop(struct fg_bus_consumer *c)
{
    fg_assert(c->users > 0);
    if (--c->users == 0 && c->closed)
        post(c, 1, model_member_leave);
}

void model_client_cut(struct model_client *client)
{
    struct model_bus *model = client->model;

    client->cut = true;
    for (struct fg_list *l = model->consumers.next; l != &model->consumers; l = l->next) {
        struct fg_bus_consumer *c = fg_container_of(l, struct fg_bus_consumer, link);
        if (c->client == client && c->group)
            model_group_detach(c->group, c);
    }
}

void model_client_trouble(struct model_client *client, const struct fg_error *err)
{
    for (struct fg_list *l = client->model->consumers.next; l != &client->model->consumers; l = l->next) {
        struct fg_bus_consumer *c = fg_container_of(l, struct fg_bus_consumer, link);
        if (!c->closed && c->client == client)
            c->events.trouble(c->arg, err);
    }
}

void model_trouble(struct model_bus *model, const struct fg_error *err)
{
    for (struct fg_list *l = model->consumers.next; l != &model->consumers; l = l->next) {
        struct fg_bus_consumer *c = fg_container_of(l, struct fg_bus_consumer, link);
        if (!c->closed)
            c->events.trouble(c->arg, err);
    }
    model_producers_trouble(model, err);
}
