/* SPDX-License-Identifier: Apache-2.0 */
/* The model's producer: a publish is written as an open transaction, then committed or aborted, each a while later. */
#include <stdlib.h>

#include "model-private.h"
#include "base/hash.h"

struct fg_bus_producer {
    struct fg_list link; /* model_bus::producers */
    struct model_bus *model;
    struct fg_bus_producer_events events;
    void *arg;
    bool transactional, closed, dead;
    unsigned pending;                     /* events on their way */
    const struct fg_bus_publish *publish; /* NULL: none */
    fg_bus_published_cb done;
    void *done_arg;
    size_t *offsets; /* where each message was written */
    int32_t *partitions;
    bool written;
    enum model_fault fault;
    fg_done_cb on_closed;
    void *closed_arg;
};

static void maybe_free(struct fg_bus_producer *p)
{
    if (!p->closed || p->pending)
        return;
    fg_list_remove(&p->link);
    p->model->n_producers--;
    p->on_closed(p->closed_arg);
    free(p);
}

static void post(struct fg_bus_producer *p, uint64_t ms, fg_timer_cb cb)
{
    p->pending++;
    sim_post(p->model->sim, ms, cb, p);
}

static void ready(void *arg)
{
    struct fg_bus_producer *p = arg;
    p->pending--;
    if (!p->closed)
        p->events.ready(p->arg);
    maybe_free(p);
}

int model_producer_open(struct fg_bus *bus, const struct fg_bus_producer_config *config,
                        const struct fg_bus_producer_events *events, void *arg, struct fg_bus_producer **ret,
                        struct fg_error *err)
{
    struct fg_bus_producer *p = fg_calloc(1, sizeof(*p));
    p->model = model_of(bus);
    p->events = *events;
    p->arg = arg;
    p->transactional = config->transactional_id != NULL;
    fg_list_append(&p->model->producers, &p->link);
    p->model->n_producers++;
    p->model->n_opened_producers++;
    *ret = p;
    post(p, p->model->ready_ms, ready);
    return 0;
}

static struct model_partition *partition_of(struct fg_bus_producer *p, const struct fg_bus_outgoing *m, int32_t *ret)
{
    struct model_topic *topic = model_topic_find(p->model, m->topic);
    fg_assert(topic);
    *ret = m->partition >= 0 ? m->partition
           : m->key.len      ? fg_murmur2_partition(m->key, topic->n_partitions)
                             : (int32_t)sim_random(p->model->sim, (uint64_t)topic->n_partitions);
    return &topic->partitions[*ret];
}

static void set_states(struct fg_bus_producer *p, enum model_state state)
{
    const struct fg_bus_publish *pub = p->publish;

    for (size_t i = 0; i < pub->n_messages; i++) {
        struct model_topic *topic = model_topic_find(p->model, pub->messages[i].topic);
        struct model_partition *partition = &topic->partitions[p->partitions[i]];
        bool last = true;
        partition->records[p->offsets[i]].state = state;
        for (size_t k = i + 1; k < pub->n_messages && last; k++)
            last = p->partitions[k] != p->partitions[i] || model_topic_find(p->model, pub->messages[k].topic) != topic;
        if (last && p->transactional)
            model_append(partition, NULL, MODEL_CONTROL);
    }
}

static void finish(struct fg_bus_producer *p, enum fg_bus_outcome outcome, const char *text)
{
    struct fg_error err = FG_ERROR_NULL;

    if (p->written)
        set_states(p, outcome == FG_BUS_DONE ? MODEL_COMMITTED : MODEL_ABORTED);
    p->written = false;
    p->publish = NULL;
    free(p->offsets);
    free(p->partitions);
    p->offsets = NULL;
    p->partitions = NULL;
    if (outcome != FG_BUS_DONE)
        fg_error_set(&err, outcome == FG_BUS_DEAD ? FG_E_FENCED : FG_E_UNAVAILABLE,
                     outcome == FG_BUS_DEAD ? FG_ERROR_FATAL : FG_ERROR_RETRIABLE, "%s", text);
    model_data(p->model);
    p->done(p->done_arg, outcome, outcome == FG_BUS_DONE ? NULL : &err);
}

/* The offsets that a publish accounts for move with it, if the member still is one. */
static bool move_offsets(struct fg_bus_producer *p)
{
    const struct fg_bus_publish *pub = p->publish;

    if (!pub->consumer)
        return true;
    if (!model_consumer_is_member(pub->consumer))
        return false;
    for (size_t i = 0; i < pub->n_offsets; i++)
        model_consumer_offset(pub->consumer, pub->offsets[i].topic, pub->offsets[i].partition, pub->offsets[i].offset);
    for (size_t i = 0; i < pub->n_messages; i++)
        if (pub->cursors_topic && strcmp(pub->messages[i].topic, pub->cursors_topic) == 0)
            model_consumer_offset(pub->consumer, pub->cursors_topic, p->partitions[i], (int64_t)p->offsets[i] + 1);
    return true;
}

static void commit(void *arg)
{
    struct fg_bus_producer *p = arg;

    p->pending--;
    if (p->publish && p->dead)
        finish(p, FG_BUS_DEAD, "the producer was closed");
    else if (p->publish && p->fault == MODEL_FAULT_DEAD) {
        p->dead = true;
        finish(p, FG_BUS_DEAD, "fenced by a newer instance");
    } else if (p->publish && p->fault == MODEL_FAULT_ABORT)
        finish(p, FG_BUS_ABORTED, "the transaction was aborted");
    else if (p->publish && !move_offsets(p))
        finish(p, FG_BUS_ABORTED, "the group has another generation");
    else if (p->publish)
        finish(p, FG_BUS_DONE, "");
    maybe_free(p);
}

static void write_out(void *arg)
{
    struct fg_bus_producer *p = arg;
    const struct fg_bus_publish *pub = p->publish;

    p->pending--;
    if (!p->dead) {
        p->offsets = fg_calloc(pub->n_messages + 1, sizeof(size_t));
        p->partitions = fg_calloc(pub->n_messages + 1, sizeof(int32_t));
        p->written = true;
        for (size_t i = 0; i < pub->n_messages; i++) {
            struct model_partition *partition = partition_of(p, &pub->messages[i], &p->partitions[i]);
            p->offsets[i] = model_append(partition, &pub->messages[i], MODEL_OPEN);
        }
    }
    post(p, sim_random(p->model->sim, p->model->publish_ms_max + 1), commit);
}

static enum model_fault next_fault(struct model_bus *model)
{
    uint64_t dice = sim_random(model->sim, 100);
    enum model_fault fault;

    if (model->n_script) {
        fault = model->script[0];
        memmove(model->script, model->script + 1, --model->n_script * sizeof(model->script[0]));
        return fault;
    }
    if (dice < model->dead_percent)
        return MODEL_FAULT_DEAD;
    return dice < model->dead_percent + model->abort_percent ? MODEL_FAULT_ABORT : MODEL_FAULT_NONE;
}

void model_producer_publish(struct fg_bus_producer *p, const struct fg_bus_publish *publish, fg_bus_published_cb done,
                            void *arg)
{
    fg_assert(!p->publish); /* one at a time */
    fg_assert(!p->dead);
    fg_assert(!p->transactional || publish->consumer);
    p->model->n_publishes++;
    p->publish = publish;
    p->done = done;
    p->done_arg = arg;
    p->fault = next_fault(p->model);
    post(p, sim_random(p->model->sim, p->model->publish_ms_max + 1), write_out);
}

void model_producer_close(struct fg_bus_producer *p, fg_done_cb closed, void *arg)
{
    p->closed = true;
    p->dead = true;
    p->on_closed = closed;
    p->closed_arg = arg;
    post(p, 1, commit); /* ends what is being published, or only itself */
}

void model_producers_trouble(struct model_bus *model, const struct fg_error *err)
{
    for (struct fg_list *l = model->producers.next; l != &model->producers; l = l->next) {
        struct fg_bus_producer *p = fg_container_of(l, struct fg_bus_producer, link);
        if (!p->closed)
            p->events.trouble(p->arg, err);
    }
}
