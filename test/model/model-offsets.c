/* SPDX-License-Identifier: Apache-2.0 */
/* The model's consumer asks for committed offsets, and commits some. */
#include <stdlib.h>

#include "model-consumer.h"

#define AGAIN_MS  5u     /* an open transaction on offsets that are asked for is looked at again */
#define ASKING_MS 10000u /* for offsets on which a transaction is open */

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
    model_consumer_settle(c);
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
