/* SPDX-License-Identifier: Apache-2.0 */
/* The model's consumer: the only member of its group; reads committed records up to the last stable offset. */
#include <stdlib.h>

#include "model-private.h"

#define POLL_MAX  8u  /* records in one poll, at most */
#define REJOIN_MS 20u /* from the end of an assignment to the next */

struct position {
    struct model_topic *topic;
    int32_t partition;
    size_t next;
    bool told_end;
};

struct fg_bus_consumer {
    struct fg_list link; /* model_bus::consumers */
    struct model_bus *model;
    struct fg_bus_consumer_events events;
    void *arg;
    char group[64];
    struct model_topic **topics;
    size_t n_topics;
    bool want_end, closed, paused, member, revoking, polling, rejoining;
    struct position *positions;
    size_t n_positions;
    unsigned pending;
    fg_done_cb on_closed;
    void *closed_arg;
};

static void poll(void *arg);
static void join(void *arg);

static void maybe_free(struct fg_bus_consumer *c)
{
    if (!c->closed || c->pending)
        return;
    fg_list_remove(&c->link);
    c->model->n_consumers--;
    c->on_closed(c->closed_arg);
    free(c->positions);
    free(c->topics);
    free(c);
}

static void poll_soon(struct fg_bus_consumer *c)
{
    if (c->polling || c->closed)
        return;
    c->polling = true;
    c->pending++;
    sim_post(c->model->sim, sim_random(c->model->sim, c->model->poll_ms_max + 1), poll, c);
}

void model_data(struct model_bus *model)
{
    for (struct fg_list *l = model->consumers.next; l != &model->consumers; l = l->next)
        poll_soon(fg_container_of(l, struct fg_bus_consumer, link));
}

struct delivered {
    struct fg_bus_message message;
    struct fg_header *headers;
    char *bytes;
};

static void release(struct fg_bus_message *message)
{
    struct delivered *d = fg_container_of(message, struct delivered, message);
    model_headers_free(d->headers, d->message.n_headers);
    free(d->bytes);
    free(d);
}

static void deliver(struct fg_bus_consumer *c, const struct position *at, const struct model_record *r)
{
    struct delivered *d = fg_calloc(1, sizeof(*d));

    d->headers = model_headers_copy(r->headers, r->n_headers);
    d->bytes = fg_malloc(r->key.len + r->value.len + 1);
    memcpy(d->bytes, r->key.ptr, r->key.len);
    memcpy(d->bytes + r->key.len, r->value.ptr, r->value.len);
    d->message = (struct fg_bus_message){
        .topic = at->topic->name,
        .partition = at->partition,
        .offset = (int64_t)at->next,
        .timestamp_ms = r->timestamp_ms,
        .key = fg_slice_make(d->bytes, r->key.len),
        .value = fg_slice_make(d->bytes + r->key.len, r->value.len),
        .tombstone = r->tombstone,
        .headers = d->headers,
        .n_headers = r->n_headers,
        .release = release,
    };
    c->events.message(c->arg, &d->message);
}

/* Reads on in one partition. Returns how many were delivered. */
static size_t poll_one(struct fg_bus_consumer *c, size_t k, size_t max)
{
    size_t n = 0;

    while (n < max && k < c->n_positions && !c->paused) {
        struct position *at = &c->positions[k];
        const struct model_partition *partition = &at->topic->partitions[at->partition];
        const struct model_record *r = at->next < partition->n ? &partition->records[at->next] : NULL;

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
    struct position *at = &c->positions[k];
    const struct model_partition *partition = &at->topic->partitions[at->partition];
    bool end = at->next >= partition->n || partition->records[at->next].state == MODEL_OPEN;

    if (!end || at->told_end || !c->want_end)
        return;
    at->told_end = true;
    c->events.end(c->arg, &(struct fg_bus_position){at->topic->name, at->partition, (int64_t)at->next});
}

static void poll(void *arg)
{
    struct fg_bus_consumer *c = arg;
    size_t n = 0, from;

    c->pending--;
    c->polling = false;
    if (!c->closed && c->n_positions && !c->paused) {
        from = sim_random(c->model->sim, c->n_positions);
        for (size_t i = 0; i < c->n_positions; i++)
            n += poll_one(c, (from + i) % c->n_positions, 1 + sim_random(c->model->sim, POLL_MAX));
        for (size_t i = 0; i < c->n_positions && !c->paused; i++)
            tell_end(c, i);
        if (n)
            poll_soon(c);
    }
    maybe_free(c);
}

int model_consumer_open(struct fg_bus *bus, const struct fg_bus_consumer_config *config,
                        const struct fg_bus_consumer_events *events, void *arg, struct fg_bus_consumer **ret,
                        struct fg_error *err)
{
    struct fg_bus_consumer *c = fg_calloc(1, sizeof(*c));

    c->model = model_of(bus);
    c->events = *events;
    c->arg = arg;
    c->want_end = config->want_end;
    (void)snprintf(c->group, sizeof(c->group), "%s", config->group);
    c->topics = fg_calloc(config->n_topics, sizeof(struct model_topic *));
    for (size_t i = 0; i < config->n_topics; i++) {
        struct model_topic *topic = model_topic_find(c->model, config->topics[i]);
        if (topic)
            c->topics[c->n_topics++] = topic;
    }
    fg_list_append(&c->model->consumers, &c->link);
    c->model->n_consumers++;
    c->pending++;
    sim_post(c->model->sim, REJOIN_MS, join, c);
    *ret = c;
    return 0;
}

static size_t whole(const struct fg_bus_consumer *c, struct fg_bus_position ret[64])
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_topics; i++)
        for (int32_t p = 0; p < c->topics[i]->n_partitions && n < 64; p++)
            ret[n++] = (struct fg_bus_position){c->topics[i]->name, p, FG_BUS_UNKNOWN};
    return n;
}

static void join(void *arg)
{
    struct fg_bus_consumer *c = arg;
    struct fg_bus_position all[64];

    c->pending--;
    c->rejoining = false;
    if (!c->closed) {
        c->member = true;
        c->events.assigned(c->arg, all, whole(c, all));
    }
    maybe_free(c);
}

static size_t start_of(struct fg_bus_consumer *c, const struct fg_bus_position *at)
{
    int64_t offset = at->offset;
    if (offset == FG_BUS_COMMITTED)
        offset = model_committed(c->model, c->group, at->topic, at->partition);
    return offset < 0 ? 0 : (size_t)offset;
}

void model_consumer_assign(struct fg_bus_consumer *c, const struct fg_bus_position *positions, size_t n)
{
    free(c->positions);
    c->positions = fg_calloc(n + 1, sizeof(*c->positions));
    c->n_positions = n;
    for (size_t i = 0; i < n; i++)
        c->positions[i] = (struct position){
            .topic = model_topic_find(c->model, positions[i].topic),
            .partition = positions[i].partition,
            .next = start_of(c, &positions[i]),
        };
    poll_soon(c);
}

void model_consumer_unassign(struct fg_bus_consumer *c)
{
    c->n_positions = 0;
    if (c->rejoining || c->closed || !c->revoking)
        return;
    c->member = c->revoking = false;
    c->rejoining = true;
    c->pending++;
    sim_post(c->model->sim, REJOIN_MS, join, c);
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
        for (size_t k = 0; k < c->n_positions; k++)
            if (c->positions[k].partition == positions[i].partition &&
                strcmp(c->positions[k].topic->name, positions[i].topic) == 0)
                c->positions[k].next = start_of(c, &positions[i]);
    poll_soon(c);
}

struct asked {
    struct fg_bus_consumer *consumer;
    struct fg_bus_position *positions;
    size_t n;
    bool commit;
    fg_bus_positions_cb done;
    void *arg;
};

bool model_consumer_is_member(const struct fg_bus_consumer *c)
{
    return c->member && !c->closed;
}

bool model_consumer_offset(struct fg_bus_consumer *c, const char *topic, int32_t partition, int64_t offset)
{
    if (!model_consumer_is_member(c))
        return false;
    model_group(c->model, c->group, topic, partition)->offset = offset;
    return true;
}

static void answer(void *arg)
{
    struct asked *a = arg;
    struct fg_bus_consumer *c = a->consumer;
    struct fg_error err;
    bool ok = true;

    c->pending--;
    for (size_t i = 0; i < a->n; i++) {
        struct fg_bus_position *at = &a->positions[i];
        if (a->commit)
            ok = model_consumer_offset(c, at->topic, at->partition, at->offset) && ok;
        else
            at->offset = model_committed(c->model, c->group, at->topic, at->partition);
    }
    fg_error_set(&err, FG_E_FENCED, FG_ERROR_RETRIABLE, "not a member of the group any more");
    a->done(a->arg, a->positions, a->n, ok ? NULL : &err);
    free(a->positions);
    free(a);
    maybe_free(c);
}

static void ask(struct fg_bus_consumer *c, const struct fg_bus_position *positions, size_t n, bool commit,
                fg_bus_positions_cb done, void *arg)
{
    struct asked *a = fg_calloc(1, sizeof(*a));
    *a = (struct asked){.consumer = c, .n = n, .commit = commit, .done = done, .arg = arg};
    a->positions = fg_calloc(n + 1, sizeof(*a->positions));
    memcpy(a->positions, positions, n * sizeof(*positions));
    for (size_t i = 0; i < n; i++)
        a->positions[i].topic = model_topic_find(c->model, positions[i].topic)->name;
    c->pending++;
    sim_post(c->model->sim, 1 + sim_random(c->model->sim, 3), answer, a);
}

void model_consumer_committed(struct fg_bus_consumer *c, const struct fg_bus_position *partitions, size_t n,
                              fg_bus_positions_cb done, void *arg)
{
    ask(c, partitions, n, false, done, arg);
}

void model_consumer_commit(struct fg_bus_consumer *c, const struct fg_bus_position *positions, size_t n,
                           fg_bus_positions_cb done, void *arg)
{
    ask(c, positions, n, true, done, arg);
}

static void gone(void *arg)
{
    struct fg_bus_consumer *c = arg;
    c->pending--;
    maybe_free(c);
}

void model_consumer_close(struct fg_bus_consumer *c, fg_done_cb closed, void *arg)
{
    c->closed = true;
    c->member = false;
    c->n_positions = 0;
    c->on_closed = closed;
    c->closed_arg = arg;
    c->pending++;
    sim_post(c->model->sim, 1, gone, c);
}

void model_rebalance(struct model_bus *model, bool lost)
{
    for (struct fg_list *l = model->consumers.next; l != &model->consumers; l = l->next) {
        struct fg_bus_consumer *c = fg_container_of(l, struct fg_bus_consumer, link);
        struct fg_bus_position all[64];
        if (c->closed || !c->member || c->revoking)
            continue;
        c->revoking = true;
        c->member = !lost;
        c->events.revoked(c->arg, all, whole(c, all), lost);
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
