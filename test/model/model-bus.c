/* SPDX-License-Identifier: Apache-2.0 */
/* The model of Kafka: topics, and its table of operations. Consumers and producers stand in files of their own. */
#include "model-private.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"

static struct fg_slice copy_of(struct fg_slice s)
{
    char *copy = fg_malloc(s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return fg_slice_make(copy, s.len);
}

struct fg_header *model_headers_copy(const struct fg_header *headers, size_t n)
{
    struct fg_header *copy = fg_calloc(n + 1, sizeof(*copy));
    for (size_t i = 0; i < n; i++)
        copy[i] = (struct fg_header){copy_of(headers[i].name), copy_of(headers[i].value)};
    return copy;
}

void model_headers_free(struct fg_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free((char *)headers[i].name.ptr);
        free((char *)headers[i].value.ptr);
    }
    free(headers);
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
        r->key = copy_of(m->key);
        r->value = copy_of(m->value);
        r->tombstone = m->tombstone;
        r->headers = model_headers_copy(m->headers, m->n_headers);
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

struct model_group *model_group(struct model_bus *model, const char *name, const char *topic, int32_t partition)
{
    struct model_group *g;
    for (struct fg_list *l = model->groups.next; l != &model->groups; l = l->next) {
        g = fg_container_of(l, struct model_group, link);
        if (strcmp(g->name, name) == 0 && strcmp(g->topic, topic) == 0 && g->partition == partition)
            return g;
    }
    g = fg_calloc(1, sizeof(*g));
    (void)snprintf(g->name, sizeof(g->name), "%s", name);
    (void)snprintf(g->topic, sizeof(g->topic), "%s", topic);
    g->partition = partition;
    g->offset = FG_BUS_UNKNOWN;
    fg_list_append(&model->groups, &g->link);
    return g;
}

int64_t model_committed(struct model_bus *model, const char *group, const char *topic, int32_t partition)
{
    return model_group(model, group, topic, partition)->offset;
}

void model_fault(struct model_bus *model, enum model_fault fault)
{
    fg_assert(model->n_script < sizeof(model->script) / sizeof(model->script[0]));
    model->script[model->n_script++] = fault;
}

struct described {
    struct model_bus *model;
    const char *names[32];
    size_t n;
    fg_bus_topics_cb done;
    fg_bus_inspected_cb inspected; /* instead */
    void *arg;
};

static void answer(const struct described *d, const struct fg_bus_topic *topics, size_t n, const struct fg_error *err)
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

    if (d->model->away) {
        fg_error_set(&err, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "no broker answers");
        answer(d, NULL, 0, &err);
        free(d);
        return;
    }
    for (size_t i = 0; i < d->n; i++) {
        const struct model_topic *topic = model_topic_find(d->model, d->names[i]);
        topics[i] = (struct fg_bus_topic){.name = d->names[i], .partitions = topic ? topic->n_partitions : 0};
    }
    answer(d, topics, d->n, NULL);
    free(d);
}

static struct described *ask(struct fg_bus *bus, const char *const *names, size_t n, void *arg)
{
    struct described *d = fg_calloc(1, sizeof(*d));
    d->model = model_of(bus);
    fg_assert(n <= 32);
    memcpy(d->names, names, n * sizeof(names[0]));
    d->n = n;
    d->arg = arg;
    sim_post(d->model->sim, 1, described, d);
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
        model_topic(model_of(bus), topics[i].name, topics[i].partitions);
    }
    describe(bus, names, n, done, arg);
}

static void bus_close(struct fg_bus *bus, fg_done_cb closed, void *arg)
{
    sim_post(model_of(bus)->sim, 0, closed, arg);
}

void model_init(struct model_bus *model, struct sim *sim, bool transactional)
{
    static const struct fg_bus_ops ops = {
        MODEL_CONSUMER_OPS, MODEL_PRODUCER_OPS, .describe = describe, .create = create, .inspect = inspect,
        .close = bus_close,
    };

    *model = (struct model_bus){
        .bus = {.ops = &ops, .traits = {.kind = "model", .transactional = transactional, .durable = true}},
        .sim = sim,
        .publish_ms_max = 4,
        .poll_ms_max = 2,
        .ready_ms = 5,
    };
    fg_list_init(&model->topics);
    fg_list_init(&model->consumers);
    fg_list_init(&model->producers);
    fg_list_init(&model->groups);
}

void model_deinit(struct model_bus *model)
{
    struct fg_list *l;

    fg_assert(model->n_consumers == 0);
    fg_assert(model->n_producers == 0);
    while ((l = fg_list_pop(&model->groups)))
        free(fg_container_of(l, struct model_group, link));
    while ((l = fg_list_pop(&model->topics))) {
        struct model_topic *topic = fg_container_of(l, struct model_topic, link);
        for (int32_t p = 0; p < topic->n_partitions; p++) {
            struct model_partition *partition = &topic->partitions[p];
            for (size_t i = 0; i < partition->n; i++) {
                free((char *)partition->records[i].key.ptr);
                free((char *)partition->records[i].value.ptr);
                model_headers_free(partition->records[i].headers, partition->records[i].n_headers);
            }
            free(partition->records);
        }
        free(topic->partitions);
        free(topic);
    }
}
