/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests on a real Kafka share (test/kafka/run.sh gives one); without FRAGUA_KAFKA_PLAIN none of them runs. */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <unistd.h>

#include "bus/test-bus.h"

static inline void open_bus(struct world *w, const struct fg_bus_rdkafka_config *config)
{
    struct fg_bus_rdkafka_config c = *config;
    struct fg_error err;

    world_init(w);
    c.loop = &w->loop;
    if (fg_bus_rdkafka_new(&c, &w->bus, &err) < 0)
        fail_msg("%s", err.text);
}

static inline void begin(struct world *w)
{
    const struct fg_bus_rdkafka_config config = { .bootstrap_servers = getenv("FRAGUA_KAFKA_PLAIN") };

    open_bus(w, &config);
}

struct made {
    bool come;
    struct fg_error err;
};

static inline void on_made(void *arg, const struct fg_bus_topic *topics, size_t n, const struct fg_error *err)
{
    struct made *m = arg;

    (void)topics, (void)n;
    m->come = true;
    m->err = err ? *err : FG_ERROR_NULL;
}

/* A name of its own for each test and run. */
static inline void name_topic(const char *what, char ret[64])
{
    snprintf(ret, 64, "bus-%s-%d-%llx", what, (int)getpid(), (unsigned long long)uv_hrtime());
}

static inline void make_topic(struct world *w, const char *what, int32_t partitions, char ret[64])
{
    struct made m = { 0 };
    struct fg_bus_topic topic = { .name = ret, .partitions = partitions, .replication = -1 };

    name_topic(what, ret);
    w->bus->ops->create(w->bus, &topic, 1, on_made, &m);
    until(w, m.come);
    if (m.err.code)
        fail_msg("%s", m.err.text);
}

static inline void publish_one(struct writer *p, const char *topic, struct fg_bus_consumer *consumer,
                        const struct fg_bus_position *at, const char *cursors, enum fg_bus_outcome expected)
{
    const struct fg_bus_outgoing m = { .topic = topic, .key = FG_SLICE("k"), .value = FG_SLICE("v"), .partition = -1 };
    const struct fg_bus_publish publish = { .messages = &m, .n_messages = 1, .consumer = consumer, .offsets = at,
                                            .n_offsets = at ? 1 : 0, .cursors_topic = cursors };

    writer_publish(p, &publish);
    until(p->w, p->done);
    if (p->outcome != expected)
        fail_msg("outcome %d: %s", p->outcome, p->err.text);
}

/* One setting of a topic that exists, by librdkafka itself: the bus has no need of it. */
static inline void set_topic(const char *topic, const char *name, const char *value)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    const rd_kafka_ConfigResource_t **results;
    rd_kafka_event_t *event;
    rd_kafka_queue_t *queue;
    rd_kafka_t *rk;
    size_t n = 0;

    rd_kafka_conf_set(conf, "bootstrap.servers", getenv("FRAGUA_KAFKA_PLAIN"), NULL, 0);
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    assert_non_null(rk);
    queue = rd_kafka_queue_new(rk);
    rd_kafka_ConfigResource_set_config(resource, name, value);
    rd_kafka_AlterConfigs(rk, &resource, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, PATIENCE_MS);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR);
    results = rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &n);
    assert_int_equal(n, 1);
    assert_int_equal(rd_kafka_ConfigResource_error(results[0]), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_destroy(rk);
}

static inline bool is_post(const struct fg_bus_message *m)
{
    return fg_slice_is(m->key, "post");
}

static inline bool has_post(const struct reader *r, const char *name)
{
    for (size_t i = r->n; i > 0; i--)
        if (is_post(r->messages[i - 1]) && fg_slice_is(r->messages[i - 1]->value, name))
            return true;
    return false;
}

/*
 * Records that a read_committed reader finds in partition 0 of a topic. One of our own is written behind them: what is
 * before it has been decided when it is seen, though a broker says so before it has written it down everywhere.
 */
static inline size_t count_records(struct world *w, const char *topic)
{
    char name[64];
    struct fg_bus_outgoing post = { .topic = topic, .key = FG_SLICE("post") };
    struct fg_bus_publish publish = { .messages = &post, .n_messages = 1 };
    struct fg_bus_position at = { .topic = topic, .offset = FG_BUS_BEGINNING };
    struct reader r = { 0 };
    struct writer p;
    size_t n = 0;

    name_topic("post", name);
    post.value = fg_slice_of(name);
    writer_open(&p, w, NULL, topic);
    writer_publish(&p, &publish);
    until(w, p.done);
    assert_int_equal(p.outcome, FG_BUS_DONE);
    writer_close(&p);
    reader_open(&r, w, NULL, topic);
    w->bus->ops->consumer_assign(r.consumer, &at, 1);
    until(w, has_post(&r, name));
    for (size_t i = 0; i < r.n; i++)
        n += !is_post(r.messages[i]);
    reader_close(&r);
    return n;
}

struct answer {
    bool come;
    int64_t offset;
    char metadata[256]; /* "": none */
    struct fg_error err;
};

static inline void on_positions(void *arg, const struct fg_bus_position *positions, size_t n,
                                const struct fg_error *err)
{
    struct answer *a = arg;

    a->come = true;
    a->err = err ? *err : FG_ERROR_NULL;
    a->offset = n ? positions[0].offset : -1;
    snprintf(a->metadata, sizeof(a->metadata), "%s", n && positions[0].metadata ? positions[0].metadata : "");
}

/* What the reader's group has committed for partition 0 of a topic. */
static inline struct answer ask_committed(struct reader *r, const char *topic)
{
    struct fg_bus_position at = { .topic = topic };
    struct answer a = { 0 };

    r->w->bus->ops->consumer_committed(r->consumer, &at, 1, on_positions, &a);
    until(r->w, a.come);
    if (a.err.code)
        fail_msg("%s", a.err.text);
    return a;
}

/*
 * FRAGUA_TEST_FILTER: only tests whose name it matches ("*outage*"). cmocka 1.1.5 writes a skipped test as "not ok",
 * which is a failure to whoever reads TAP, so a missing broker is said without it.
 */
#define run_on_kafka(name, tests)                                                                                      \
    (cmocka_set_test_filter(getenv("FRAGUA_TEST_FILTER")),                                                             \
     getenv("FRAGUA_KAFKA_PLAIN")                                                                                      \
         ? cmocka_run_group_tests_name((name), (tests), NULL, NULL)                                                    \
         : (puts("1..0 # SKIP FRAGUA_KAFKA_PLAIN is not set, see test/kafka/run.sh"), 0))
