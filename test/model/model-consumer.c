/* SPDX-License-Identifier: Apache-2.0 */
/* The model's consumer: a member of its group, as its process knows it; reads up to the last stable offset. */
#include <stdio.h>
#include <stdlib.h>

#include "model-private.h"

#define POLL_MAX   8u  /* records of one partition in one poll, at most */
#define BLOCK_MS   20u /* a poll that finds no broker looks again */
#define AGAIN_MS   5u  /* an open transaction on offsets that are asked for is looked at again */
#define TOPICS_MAX 8u
#define ASKING_MS  10000u /* for offsets on which a transaction is open */

struct position {
    struct model_topic *topic;
    int32_t partition;
    size_t next;
    bool told_end, told_gone;
};

/* What the process believes of its membership. */
enum membership { OUT, JOINING, MEMBER, REVOKING };

struct group_call {
    struct model_call call;
    struct fg_bus_consumer *consumer;
    struct model_membership who;
    enum model_verdict verdict;
};

struct fg_bus_consumer {
    struct fg_list link; /* model_bus::consumers */
    struct model_bus *model;
    struct model_client *client;
    struct fg_bus_consumer_events events;
    void *arg;
    struct model_group *group; /* NULL: none */
    struct model_topic *topics[TOPICS_MAX];
    size_t n_topics;
    bool want_end, closed, paused, polling, troubled, start_at_end;
    enum membership state;
    struct model_membership self; /* as of the last answer of the coordinator */
    unsigned round;               /* of joining */
    uint64_t heard_ms;            /* the coordinator's last word */
    struct fg_env_timer *beat;    /* owned */
    bool is_assigned;
    struct model_membership assigned_as;
    unsigned assigns;
    struct position *positions; /* owned array of n_positions */
    size_t n_positions;
    unsigned pending, users;
    fg_done_cb on_closed;
    void *closed_arg;
};

static void poll(void *arg);
static void join(struct fg_bus_consumer *c);

static void maybe_free(struct fg_bus_consumer *c)
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

static void deliver(struct fg_bus_consumer *c, const struct position *at, const struct model_record *r)
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

static void tell_gone(struct fg_bus_consumer *c, struct position *at)
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
    return !c->closed && !c->paused && (c->state != REVOKING || !c->group || !c->n_topics);
}

/* Reads on in one partition. Returns how many were delivered. */
static size_t poll_one(struct fg_bus_consumer *c, size_t k, size_t max)
{
    size_t n = 0;

    while (n < max && k < c->n_positions && delivers(c)) {
        struct position *at = &c->positions[k];
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
    struct position *at = &c->positions[k];
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
    maybe_free(c);
}

/* ---- the group ---- */

bool model_consumer_wants(const struct fg_bus_consumer *c, const struct model_topic *topic)
{
    for (size_t i = 0; i < c->n_topics; i++)
        if (c->topics[i] == topic)
            return true;
    return false;
}

static size_t everything(const struct fg_bus_consumer *c, struct fg_bus_position ret[64])
{
    for (size_t i = 0; i < c->n_positions && i < 64; i++)
        ret[i] = (struct fg_bus_position){
            .topic = c->positions[i].topic->name, .partition = c->positions[i].partition, .offset = FG_BUS_UNKNOWN};
    return c->n_positions < 64 ? c->n_positions : 64;
}

static void revoke(struct fg_bus_consumer *c, bool lost)
{
    struct fg_bus_position all[64];

    sim_trace(c->client->process, "%s: revoked%s, generation %d", c->group->name, lost ? " (lost)" : "",
              c->self.generation);
    c->state = REVOKING;
    c->events.revoked(c->arg, all, everything(c, all), lost);
}

static void heartbeat_served(struct model_call *call)
{
    struct group_call *h = fg_container_of(call, struct group_call, call);
    h->verdict = model_group_heartbeat(h->consumer->group, h->who);
}

static void heartbeat_answered(struct model_call *call)
{
    struct group_call *h = fg_container_of(call, struct group_call, call);
    struct fg_bus_consumer *c = h->consumer;
    bool mine = !c->closed && h->who.member == c->self.member && h->who.generation == c->self.generation;

    c->pending--;
    if (mine && !call->lost) {
        c->heard_ms = c->model->sim->now_ms;
        if (h->verdict == MODEL_UNKNOWN)
            c->self.member = 0;
        if (h->verdict == MODEL_UNKNOWN && c->state == JOINING)
            join(c);
        else if (h->verdict != MODEL_OK && c->state == MEMBER)
            revoke(c, h->verdict != MODEL_REBALANCING);
    }
    free(h);
    maybe_free(c);
}

static struct group_call *group_call(struct fg_bus_consumer *c, void (*serve)(struct model_call *),
                                     void (*answer)(struct model_call *))
{
    struct group_call *call = fg_calloc(1, sizeof(*call));
    *call = (struct group_call){
        .call = {.client = c->client, .serve = serve, .answer = answer, .give_up = &c->closed},
        .consumer = c,
        .who = c->self,
    };
    c->pending++;
    return call;
}

static void tell_reach(struct fg_bus_consumer *c)
{
    bool reaches = model_reaches(c->client);
    struct fg_error err;

    if (reaches == !c->troubled)
        return;
    c->troubled = !reaches;
    fg_error_set(&err, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "no broker answers");
    c->events.trouble(c->arg, reaches ? NULL : &err);
}

static void beat(void *arg)
{
    struct fg_bus_consumer *c = arg;
    bool lost = c->model->sim->now_ms >= c->heard_ms + c->model->session_ms;

    if (c->client->cut)
        return;
    /* who hears nothing for so long knows that it is out; who was stopped meanwhile may ask before it looks */
    if (c->state == MEMBER && lost && sim_chance(c->model->sim, 70)) {
        c->self.member = 0;
        revoke(c, true);
    } else if (c->self.member) {
        model_call_send(&group_call(c, heartbeat_served, heartbeat_answered)->call);
    }
    tell_reach(c);
    c->client->process->env.ops->timer_start(c->beat, c->model->heartbeat_ms);
}

static void join_served(struct model_call *call)
{
    struct group_call *j = fg_container_of(call, struct group_call, call);
    struct fg_bus_consumer *c = j->consumer;

    if (!c->closed)
        j->who.member = model_group_join(c->group, j->who.member, c);
}

static void join_answered(struct model_call *call)
{
    struct group_call *j = fg_container_of(call, struct group_call, call);
    struct fg_bus_consumer *c = j->consumer;

    c->pending--;
    if (!c->closed && !call->lost) {
        if (c->state == JOINING)
            c->self.member = j->who.member;
        c->heard_ms = c->model->sim->now_ms;
    }
    free(j);
    maybe_free(c);
}

static void join(struct fg_bus_consumer *c)
{
    c->state = JOINING;
    c->round++;
    model_call_send(&group_call(c, join_served, join_answered)->call);
}

static void join_again(void *arg)
{
    struct fg_bus_consumer *c = arg;

    c->pending--;
    if (!c->closed && c->state == JOINING)
        join(c);
    maybe_free(c);
}

/* The coordinator's answer to a join. */
struct given {
    struct model_call call;
    struct fg_bus_consumer *consumer;
    struct model_membership as;
    unsigned round;
    struct fg_bus_position positions[64];
    size_t n;
};

static void given_served(struct model_call *call)
{
}

static void given_answered(struct model_call *call)
{
    struct given *given = fg_container_of(call, struct given, call);
    struct fg_bus_consumer *c = given->consumer;

    c->pending--;
    if (!c->closed && !call->lost && c->state == JOINING && given->round == c->round) {
        sim_trace(c->client->process, "%s: given %zu partitions, member %llu generation %d", c->group->name, given->n,
                  (unsigned long long)given->as.member, given->as.generation);
        c->state = MEMBER;
        c->self = given->as;
        c->heard_ms = c->model->sim->now_ms;
        c->events.assigned(c->arg, given->positions, given->n);
    }
    free(given);
    maybe_free(c);
}

void model_consumer_given(struct fg_bus_consumer *c, uint64_t id, int generation,
                          const struct fg_bus_position *positions, size_t n)
{
    struct given *given = fg_calloc(1, sizeof(*given));

    *given = (struct given){
        .call = {.client = c->client, .serve = given_served, .answer = given_answered, .give_up = &c->closed},
        .consumer = c,
        .as = {id, generation},
        .round = c->round,
        .n = n,
    };
    memcpy(given->positions, positions, n * sizeof(*positions));
    c->pending++;
    model_call_send(&given->call);
}

void model_consumer_hurry(struct fg_bus_consumer *c, bool lost)
{
    if (c->closed || c->client->cut || c->state != MEMBER)
        return;
    if (lost)
        c->self.member = 0;
    revoke(c, lost);
}

int model_consumer_open(struct fg_bus *bus, const struct fg_bus_consumer_config *config,
                        const struct fg_bus_consumer_events *events, void *arg, struct fg_bus_consumer **ret,
                        struct fg_error *err)
{
    struct fg_bus_consumer *c = fg_calloc(1, sizeof(*c));
    struct fg_env *env = &model_client_of(bus)->process->env;

    c->client = model_client_of(bus);
    c->beat = env->ops->timer_new(env, beat, c);
    c->model = c->client->model;
    c->events = *events;
    c->arg = arg;
    c->want_end = config->want_end;
    c->start_at_end = config->start_at_end;
    c->group = config->group ? model_group(c->model, config->group) : NULL;
    fg_assert(config->n_topics <= TOPICS_MAX);
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
        join(c);
        env->ops->timer_start(c->beat, 1 + sim_random(c->model->sim, c->model->heartbeat_ms));
    }
    *ret = c;
    return 0;
}

static size_t start_of(struct fg_bus_consumer *c, struct model_topic *topic, const struct fg_bus_position *at)
{
    const struct model_partition *partition = &topic->partitions[at->partition];
    int64_t offset = at->offset;

    if (offset == FG_BUS_COMMITTED) {
        offset = c->group ? model_committed(c->model, c->group->name, topic->name, at->partition) : FG_BUS_UNKNOWN;
        if (offset < 0)
            offset = c->start_at_end ? FG_BUS_END : FG_BUS_BEGINNING;
    }
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
        c->positions[i] = (struct position){
            .topic = topic,
            .partition = positions[i].partition,
            .next = start_of(c, topic, &positions[i]),
        };
    }
    poll_soon(c);
}

void model_consumer_unassign(struct fg_bus_consumer *c)
{
    c->n_positions = 0;
    c->assigns++;
    if (!c->closed && c->state == REVOKING) {
        c->state = JOINING;
        post(c, 0, join_again);
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
            struct position *at = &c->positions[k];
            if (at->partition != positions[i].partition || strcmp(at->topic->name, positions[i].topic) != 0)
                continue;
            *at = (struct position){
                .topic = at->topic, .partition = at->partition, .next = start_of(c, at->topic, &positions[i])};
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

/* ---- offsets ---- */

struct asked {
    struct model_call call;
    struct fg_bus_consumer *consumer;
    struct model_membership who;
    struct model_offset **offsets;     /* owned array of n */
    struct fg_bus_position *positions; /* owned array of n */
    char **metadata;                   /* owned array of n owned */
    size_t n;
    bool commit, late;
    uint64_t deadline_ms;
    enum model_verdict verdict;
    fg_bus_positions_cb done;
    void *arg;
};

static char *copy_of(const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    fg_assert(!text || copy);
    return copy;
}

static void asked_served(struct model_call *call)
{
    struct asked *a = fg_container_of(call, struct asked, call);

    for (size_t i = 0; i < a->n && !a->late; i++)
        if (a->offsets[i]->n_pending && !a->commit) {
            a->late = a->consumer->model->sim->now_ms >= a->deadline_ms;
            call->again_ms = AGAIN_MS;
            return;
        }
    if (a->late)
        return;
    a->verdict = a->commit ? model_group_check(a->consumer->group, a->who) : MODEL_OK;
    if (a->verdict != MODEL_OK)
        a->consumer->model->n_refused++;
    for (size_t i = 0; i < a->n && a->verdict == MODEL_OK; i++) {
        if (a->commit) {
            model_offset_set(a->offsets[i], a->positions[i].offset, a->metadata[i]);
            continue;
        }
        a->positions[i].offset = a->offsets[i]->offset;
        free(a->metadata[i]);
        a->metadata[i] = copy_of(a->offsets[i]->metadata);
        a->positions[i].metadata = a->metadata[i];
    }
}

static void asked_answered(struct model_call *call)
{
    struct asked *a = fg_container_of(call, struct asked, call);
    struct fg_bus_consumer *c = a->consumer;
    struct fg_error err = FG_ERROR_NULL;

    c->pending--;
    if (call->lost || c->closed)
        fg_error_set(&err, FG_E_CANCELLED, 0, "the consumer is closing");
    else if (a->late)
        fg_error_set(&err, FG_E_FENCED, FG_ERROR_RETRIABLE, "committed offsets are not told: a transaction is open");
    else if (a->verdict != MODEL_OK)
        fg_error_set(&err, FG_E_FENCED, FG_ERROR_RETRIABLE, "not a member of the group any more");
    a->done(a->arg, err.code ? NULL : a->positions, err.code ? 0 : a->n, err.code ? &err : NULL);
    for (size_t i = 0; i < a->n; i++)
        free(a->metadata[i]);
    free(a->metadata);
    free(a->positions);
    free(a->offsets);
    free(a);
    maybe_free(c);
}

static void ask(struct fg_bus_consumer *c, const struct fg_bus_position *positions, size_t n, bool commit,
                fg_bus_positions_cb done, void *arg)
{
    struct asked *a = fg_calloc(1, sizeof(*a));

    *a = (struct asked){
        .call = {.client = c->client, .serve = asked_served, .answer = asked_answered, .give_up = &c->closed},
        .consumer = c,
        .who = c->n_topics ? c->self : (struct model_membership){0, -1},
        .n = n,
        .commit = commit,
        .deadline_ms = c->model->sim->now_ms + ASKING_MS,
        .done = done,
        .arg = arg,
    };
    fg_assert(c->group);
    fg_assert(!c->closed);
    a->positions = fg_calloc(n + 1, sizeof(*a->positions));
    a->offsets = fg_calloc(n + 1, sizeof(struct model_offset *));
    a->metadata = fg_calloc(n + 1, sizeof(char *));
    for (size_t i = 0; i < n; i++) {
        a->offsets[i] = model_offset(c->group, positions[i].topic, positions[i].partition);
        a->metadata[i] = copy_of(positions[i].metadata);
        a->positions[i] = positions[i];
        a->positions[i].topic = a->offsets[i]->topic->name;
        a->positions[i].metadata = a->metadata[i];
    }
    c->pending++;
    model_call_send(&a->call);
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

/* ---- the end ---- */

static void leave_served(struct model_call *call)
{
    struct group_call *l = fg_container_of(call, struct group_call, call);
    model_group_leave(l->consumer->group, l->who.member);
}

static void leave_answered(struct model_call *call)
{
    struct group_call *l = fg_container_of(call, struct group_call, call);
    struct fg_bus_consumer *c = l->consumer;

    c->pending--;
    free(l);
    maybe_free(c);
}

static void leave(void *arg)
{
    struct fg_bus_consumer *c = arg;

    c->pending--;
    if (c->group && c->self.member && model_reaches(c->client)) {
        struct group_call *call = group_call(c, leave_served, leave_answered);
        call->call.give_up = NULL;
        model_call_send(&call->call);
    }
    maybe_free(c);
}

void model_consumer_close(struct fg_bus_consumer *c, fg_done_cb closed, void *arg)
{
    fg_assert(!c->closed);
    c->closed = true;
    c->client->process->env.ops->timer_free(c->beat);
    c->n_positions = 0;
    c->on_closed = closed;
    c->closed_arg = arg;
    if (c->users == 0)
        post(c, 1, leave);
}

void model_consumer_use(struct fg_bus_consumer *c)
{
    c->users++;
}

void model_consumer_drop(struct fg_bus_consumer *c)
{
    fg_assert(c->users > 0);
    if (--c->users == 0 && c->closed)
        post(c, 1, leave);
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
