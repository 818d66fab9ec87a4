/* SPDX-License-Identifier: Apache-2.0 */
/* The model's consumer as a member of its group: joins, beats, is given partitions, loses them, leaves. */
#include <stdlib.h>

#include "model-consumer.h"

struct group_call {
    struct model_call call;
    struct fg_bus_consumer *consumer;
    struct model_membership who;
    enum model_verdict verdict;
};

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
    c->state = MEMBER_REVOKING;
    c->events.revoked(c->arg, all, everything(c, all), lost);
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

/* ---- heartbeats ---- */

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
        if (h->verdict == MODEL_UNKNOWN && c->state == MEMBER_JOINING)
            model_member_join(c);
        else if (h->verdict != MODEL_OK && c->state == MEMBER_IN)
            revoke(c, h->verdict != MODEL_REBALANCING);
    }
    free(h);
    model_consumer_settle(c);
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

void model_member_beat(void *arg)
{
    struct fg_bus_consumer *c = arg;
    bool lost = c->model->sim->now_ms >= c->heard_ms + c->model->session_ms;

    if (c->client->cut)
        return;
    /* who hears nothing for so long knows that it is out; who was stopped meanwhile may ask before it looks */
    if (c->state == MEMBER_IN && lost && sim_chance(c->model->sim, 70)) {
        c->self.member = 0;
        revoke(c, true);
    } else if (c->self.member) {
        model_call_send(&group_call(c, heartbeat_served, heartbeat_answered)->call);
    }
    tell_reach(c);
    c->client->process->env.ops->timer_start(c->beat, c->model->heartbeat_ms);
}

/* ---- joining ---- */

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
        if (c->state == MEMBER_JOINING)
            c->self.member = j->who.member;
        c->heard_ms = c->model->sim->now_ms;
    }
    free(j);
    model_consumer_settle(c);
}

void model_member_join(struct fg_bus_consumer *c)
{
    c->state = MEMBER_JOINING;
    c->round++;
    model_call_send(&group_call(c, join_served, join_answered)->call);
}

void model_member_join_again(void *arg)
{
    struct fg_bus_consumer *c = arg;

    c->pending--;
    if (!c->closed && c->state == MEMBER_JOINING)
        model_member_join(c);
    model_consumer_settle(c);
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
    if (!c->closed && !call->lost && c->state == MEMBER_JOINING && given->round == c->round) {
        sim_trace(c->client->process, "%s: given %zu partitions, member %llu generation %d", c->group->name, given->n,
                  (unsigned long long)given->as.member, given->as.generation);
        c->state = MEMBER_IN;
        c->self = given->as;
        c->heard_ms = c->model->sim->now_ms;
        c->events.assigned(c->arg, given->positions, given->n);
    }
    free(given);
    model_consumer_settle(c);
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

/* ---- the end ---- */

void model_consumer_hurry(struct fg_bus_consumer *c, bool lost)
{
    if (c->closed || c->client->cut || c->state != MEMBER_IN)
        return;
    if (lost)
        c->self.member = 0;
    revoke(c, lost);
}

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
    model_consumer_settle(c);
}

void model_member_leave(void *arg)
{
    struct fg_bus_consumer *c = arg;

    c->pending--;
    if (c->group && c->self.member && model_reaches(c->client)) {
        struct group_call *call = group_call(c, leave_served, leave_answered);
        call->call.give_up = NULL;
        model_call_send(&call->call);
    }
    model_consumer_settle(c);
}
