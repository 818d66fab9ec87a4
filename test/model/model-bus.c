/* SPDX-License-Identifier: Apache-2.0 */
/* The model of Kafka: topics, the way to the brokers, and its table of operations. */
#include "model-private.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"

#define WAIT_MS 20u /* a call that cannot reach a broker looks again */

/* ---- records and topics ---- */

static struct fg_slice put(char **at, struct fg_slice s)
{
    char *copy = *at;
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    *at += s.len;
    return fg_slice_make(copy, s.len);
}

struct fg_header *model_headers_copy(const struct fg_header *headers, size_t n, struct fg_slice *key,
                                     struct fg_slice *value)
{
    size_t size = n * sizeof(*headers) + key->len + value->len + 1;
    struct fg_header *copy;
    char *at;

    for (size_t i = 0; i < n; i++)
        size += headers[i].name.len + headers[i].value.len;
    copy = fg_malloc(size);
    at = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        copy[i].name = put(&at, headers[i].name);
        copy[i].value = put(&at, headers[i].value);
    }
    *key = put(&at, *key);
    *value = put(&at, *value);
    return copy;
}

struct model_topic *model_topic_find(struct model_bus *model, const char *name)
{
    for (struct fg_list *l = model->topics.next; l != &model->topics; l = l->next) {
        struct model_topic *topic = fg_container_of(l, struct model_topic, link);
        if (strcmp(topic->name, name) == 0)
            return topic;
    }
    return NULL;
}

struct model_topic *model_topic(struct model_bus *model, const char *name, int32_t n_partitions)
{
    struct model_topic *topic = model_topic_find(model, name);
    if (topic)
        return topic;
    topic = fg_calloc(1, sizeof(*topic));
    (void)snprintf(topic->name, sizeof(topic->name), "%s", name);
    topic->n_partitions = n_partitions;
    topic->partitions = fg_calloc((size_t)n_partitions, sizeof(*topic->partitions));
    fg_list_append(&model->topics, &topic->link);
    return topic;
}

size_t model_append(struct model_partition *partition, const struct fg_bus_outgoing *m, enum model_state state)
{
    struct model_record *r;

    if (partition->n == partition->cap) {
        partition->cap = partition->cap ? partition->cap * 2 : 16;
        partition->records = reallocarray(partition->records, partition->cap, sizeof(*partition->records));
        fg_assert(partition->records);
    }
    r = &partition->records[partition->n];
    *r = (struct model_record){.state = state};
    if (m) {
        r->key = m->key;
        r->value = m->value;
        r->tombstone = m->tombstone;
        r->headers = model_headers_copy(m->headers, m->n_headers, &r->key, &r->value);
        r->n_headers = m->n_headers;
        r->timestamp_ms = m->timestamp_ms;
    }
    return partition->n++;
}

void model_write(struct model_bus *model, const char *topic, int32_t partition, struct fg_slice key,
                 struct fg_slice value, const struct fg_header *headers, size_t n_headers)
{
    struct model_topic *t = model_topic_find(model, topic);
    struct fg_bus_outgoing m = {
        .key = key,
        .value = value,
        .headers = headers,
        .n_headers = n_headers,
        .timestamp_ms = fg_clock_wall_ms(&model->sim->clock),
    };
    fg_assert(t);
    if (partition < 0)
        partition = fg_murmur2_partition(key, t->n_partitions);
    model_append(&t->partitions[partition], &m, MODEL_COMMITTED);
    model_data(model);
}

const struct model_record *model_seen(const struct model_topic *topic, int32_t partition, size_t k)
{
    const struct model_partition *p = &topic->partitions[partition];
    for (size_t i = 0; i < p->n; i++)
        if (p->records[i].state == MODEL_COMMITTED && k-- == 0)
            return &p->records[i];
    return NULL;
}

size_t model_count(const struct model_topic *topic)
{
    size_t n = 0;
    for (int32_t p = 0; p < topic->n_partitions; p++)
        for (size_t i = 0; i < topic->partitions[p].n; i++)
            n += topic->partitions[p].records[i].state == MODEL_COMMITTED;
    return n;
}

void model_retain(struct model_topic *topic, int32_t partition, size_t start)
{
    struct model_partition *p = &topic->partitions[partition];
    if (start > p->start && start <= p->n)
        p->start = start;
}

void model_compact(struct model_topic *topic)
{
    for (int32_t k = 0; k < topic->n_partitions; k++) {
        struct model_partition *p = &topic->partitions[k];
        size_t stable = 0;
        while (stable < p->n && p->records[stable].state != MODEL_OPEN)
            stable++;
        for (size_t i = 0; i < stable; i++)
            for (size_t later = i + 1; p->records[i].state == MODEL_COMMITTED && later < stable; later++)
                if (p->records[later].state == MODEL_COMMITTED && fg_slice_eq(p->records[later].key, p->records[i].key))
                    p->records[i].state = MODEL_REMOVED;
    }
}

void model_fault(struct model_bus *model, enum model_fault fault)
{
    fg_assert(model->n_script < sizeof(model->script) / sizeof(model->script[0]));
    model->script[model->n_script++] = fault;
}

/* ---- the way ---- */

bool model_reaches(const struct model_client *client)
{
    return !client->model->away && client->model->sim->now_ms >= client->isolated_until_ms;
}

static uint64_t way(struct model_client *client)
{
    struct sim *sim = client->model->sim;
    uint64_t ms = sim_random(sim, client->model->net_ms_max + 1);

    if (sim->now_ms < client->slow_until_ms)
        ms += sim_random(sim, client->slow_ms_max + 1);
    return ms;
}

static void answered(void *arg)
{
    struct model_call *call = arg;
    call->answer(call);
}

static bool gives_up(const struct model_call *call)
{
    return call->give_up && *call->give_up;
}

static void arrived(void *arg)
{
    struct model_call *call = arg;
    struct model_client *client = call->client;
    struct sim *sim = client->model->sim;

    /* what was under way when its process was killed may arrive all the same */
    call->lost = client->cut && !sim_chance(sim, 50);
    if (!call->lost && !model_reaches(client)) {
        call->lost = client->cut || gives_up(call);
        if (!call->lost) {
            sim_post(sim, 1 + sim_random(sim, WAIT_MS), arrived, call);
            return;
        }
    }
    call->again_ms = 0;
    if (!call->lost)
        call->serve(call);
    if (call->again_ms && !client->cut && !gives_up(call)) {
        sim_post(sim, call->again_ms, arrived, call);
        return;
    }
    call->lost = call->lost || call->again_ms;
    sim_process_post(client->process, call->lost ? 0 : way(client), answered, call);
}

void model_call_send(struct model_call *call)
{
    struct model_client *client = call->client;

    call->lost = client->cut;
    if (client->cut)
        sim_process_post(client->process, 0, answered, call);
    else
        sim_post(client->model->sim, way(client), arrived, call);
}

/* ---- questions about topics ---- */

struct described {
    struct model_client *client;
    const char *names[32];
    size_t n;
    fg_bus_topics_cb done;
    fg_bus_inspected_cb inspected; /* instead */
    void *arg;
};

static void tell(const struct described *d, const struct fg_bus_topic *topics, size_t n, const struct fg_error *err)
{
    const struct fg_bus_cluster cluster = {.brokers = 1};

    if (d->inspected)
        d->inspected(d->arg, &cluster, topics, n, err);
    else
        d->done(d->arg, topics, n, err);
}

static void described(void *arg)
{
    struct described *d = arg;
    struct fg_bus_topic topics[32];
    struct fg_error err;

    if (!model_reaches(d->client) || d->client->cut) {
        fg_error_set(&err, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "no broker answers");
        tell(d, NULL, 0, &err);
        free(d);
        return;
    }
    for (size_t i = 0; i < d->n; i++) {
        const struct model_topic *topic = model_topic_find(d->client->model, d->names[i]);
        topics[i] = (struct fg_bus_topic){.name = d->names[i], .partitions = topic ? topic->n_partitions : 0};
    }
    tell(d, topics, d->n, NULL);
    free(d);
}

static struct described *ask(struct fg_bus *bus, const char *const *names, size_t n, void *arg)
{
    struct described *d = fg_calloc(1, sizeof(*d));
    d->client = model_client_of(bus);
    fg_assert(n <= 32);
    memcpy(d->names, names, n * sizeof(names[0]));
    d->n = n;
    d->arg = arg;
    sim_process_post(d->client->process, 1, described, d);
    return d;
}

static void describe(struct fg_bus *bus, const char *const *names, size_t n, fg_bus_topics_cb done, void *arg)
{
    ask(bus, names, n, arg)->done = done;
}

static void inspect(struct fg_bus *bus, const char *const *names, size_t n, fg_bus_inspected_cb done, void *arg)
{
    ask(bus, names, n, arg)->inspected = done;
}

static void create(struct fg_bus *bus, const struct fg_bus_topic *topics, size_t n, fg_bus_topics_cb done, void *arg)
{
    const char *names[32];
    fg_assert(n <= 32);
    for (size_t i = 0; i < n; i++) {
        names[i] = topics[i].name;
        model_topic(model_client_of(bus)->model, topics[i].name, topics[i].partitions);
    }
    describe(bus, names, n, done, arg);
}

static void bus_close(struct fg_bus *bus, fg_done_cb closed, void *arg)
{
    sim_process_post(model_client_of(bus)->process, 0, closed, arg);
}

/* ---- life ---- */

void model_client_init(struct model_bus *model, struct model_client *client, struct sim_process *process)
{
    *client = (struct model_client){.bus = model->bus, .model = model, .process = process};
}

void model_init(struct model_bus *model, struct sim *sim, bool transactional)
{
    static const struct fg_bus_ops ops = {
        MODEL_CONSUMER_OPS, MODEL_PRODUCER_OPS, .describe = describe,
        .create = create,   .inspect = inspect, .close = bus_close,
    };

    *model = (struct model_bus){
        .bus = {.ops = &ops, .traits = {.kind = "model", .transactional = transactional, .durable = true}},
        .sim = sim,
        .net_ms_max = 1,
        .poll_ms_max = 2,
        .heartbeat_ms = 3000,
        .session_ms = 10000,
        .rebalance_ms = 60000,
        .join_ms = 10,
    };
    model->self.model = model;
    model->self.process = &sim->self;
    fg_list_init(&model->topics);
    fg_list_init(&model->consumers);
    fg_list_init(&model->producers);
    fg_list_init(&model->groups);
    fg_list_init(&model->transactions);
}

void model_deinit(struct model_bus *model)
{
    struct fg_list *l;

    fg_assert(model->n_consumers == 0);
    fg_assert(model->n_producers == 0);
    while ((l = fg_list_pop(&model->transactions)))
        model_txn_free(fg_container_of(l, struct model_txn, link));
    while ((l = fg_list_pop(&model->groups)))
        model_group_free(fg_container_of(l, struct model_group, link));
    while ((l = fg_list_pop(&model->topics))) {
        struct model_topic *topic = fg_container_of(l, struct model_topic, link);
        for (int32_t p = 0; p < topic->n_partitions; p++) {
            struct model_partition *partition = &topic->partitions[p];
            for (size_t i = 0; i < partition->n; i++)
                free(partition->records[i].headers);
            free(partition->records);
        }
        free(topic->partitions);
        free(topic);
    }
}
