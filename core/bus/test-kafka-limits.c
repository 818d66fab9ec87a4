/* SPDX-License-Identifier: Apache-2.0 */
/* The bus on a real Kafka: records that are too large, metadata of offsets, queues. See test-kafka.h. */
#include "base/buf.h"
#include "base/metric.h"
#include "bus/rdkafka/producer-private.h"
#include "bus/test-proxy.h"

#define MIB 1048576u

/* ---- records that are too large ---- */

static char *filled(size_t bytes)
{
    char *text = malloc(bytes + 1);

    assert_non_null(text);
    /* Not one letter all over: some would set a compression. */
    for (size_t i = 0; i < bytes; i++)
        text[i] = (char)('a' + (i * 7919 + i / 251) % 26);
    text[bytes] = '\0';
    return text;
}

/* Publishes one record of each size to the topic and waits. */
static size_t publish_sizes(struct writer *p, const char *topic, const size_t *sizes, size_t n)
{
    size_t culprit = 4711, max = 0;
    struct fg_bus_outgoing m[32];
    char *text;

    assert_true(n <= 32);
    for (size_t i = 0; i < n; i++)
        max = sizes[i] > max ? sizes[i] : max;
    text = filled(max);
    for (size_t i = 0; i < n; i++)
        m[i] = (struct fg_bus_outgoing){ .topic = topic, .key = FG_SLICE("k"), .value = { text, sizes[i] },
                                         .partition = 0 };
    const struct fg_bus_publish publish = { .messages = m, .n_messages = n, .culprit = &culprit };
    writer_publish(p, &publish);
    until(p->w, p->done);
    free(text);
    return culprit;
}

/* With transactions that may last long: one that is refused is over at once, and not when its records time out. */
static void too_large_is_blamed(const char *transactional_id)
{
    const struct fg_pair patient[] = { { "transaction.timeout.ms", "120000" } };
    const struct fg_bus_rdkafka_config config = { .bootstrap_servers = getenv("FRAGUA_KAFKA_PLAIN"),
                                                  .properties = patient, .n_properties = 1 };
    const size_t one[] = { 100, 2 * MIB, 200, 300 }, two[] = { 100, 2 * MIB, 200, 3 * MIB, 300 },
                 client_refuses[] = { 100, 33 * MIB, 200 }, good[] = { 100, 200, 300 };
    size_t culprit;
    struct writer p;
    struct world w;
    char topic[64];

    open_bus(&w, &config);
    make_topic(&w, "large", 1, topic);
    writer_open(&p, &w, transactional_id ? topic : NULL, topic);
    assert_int_equal(publish_sizes(&p, topic, good, 3), 4711);
    assert_int_equal(p.outcome, FG_BUS_DONE);
    assert_int_equal(publish_sizes(&p, topic, one, 4), 1);
    assert_int_equal(p.outcome, FG_BUS_ABORTED);
    assert_int_equal(p.err.code, FG_E_LIMIT);
    assert_false(p.err.fatal);
    assert_non_null(strstr(p.err.text, topic));
    assert_non_null(strstr(p.err.text, "max.message.bytes"));
    /* one of two: the first refusal may stop what comes after it */
    culprit = publish_sizes(&p, topic, two, 5);
    assert_int_equal(p.outcome, FG_BUS_ABORTED);
    assert_int_equal(p.err.code, FG_E_LIMIT);
    assert_true(culprit == 1 || culprit == 3);
    assert_int_equal(publish_sizes(&p, topic, client_refuses, 3), 1);
    assert_int_equal(p.outcome, FG_BUS_ABORTED);
    assert_int_equal(p.err.code, FG_E_LIMIT);
    assert_int_equal(publish_sizes(&p, topic, good, 3), 4711);
    if (p.outcome != FG_BUS_DONE)
        fail_msg("%s", p.err.text);
    if (transactional_id)
        assert_int_equal(count_records(&w, topic), 6);
    else
        assert_true(count_records(&w, topic) >= 6);
    writer_close(&p);
    world_end(&w);
}

static void test_a_record_too_large_is_blamed_and_the_producer_lives(void **state)
{
    too_large_is_blamed("transactional");
}

static void test_a_record_too_large_is_blamed_without_transactions(void **state)
{
    too_large_is_blamed(NULL);
}

/* Records that the topic takes one by one, in batches that it does not take: nobody is to blame. */
static void test_a_batch_too_large_is_written_in_smaller_ones(void **state)
{
    const struct fg_pair batches[] = { { "batch.size", "16000000" }, { "linger.ms", "100" } };
    const struct fg_bus_rdkafka_config config = { .bootstrap_servers = getenv("FRAGUA_KAFKA_PLAIN"),
                                                  .properties = batches, .n_properties = 2 };
    const size_t good[] = { 300000, 400000, 500000, 300000, 400000, 500000, 300000, 100, 100, 900000 },
                 bad[] = { 300000, 400000, 500000, 2 * MIB, 400000 };
    struct writer p;
    struct world w;
    char topic[64];

    open_bus(&w, &config);
    make_topic(&w, "batches", 1, topic);
    writer_open(&p, &w, topic, topic);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(publish_sizes(&p, topic, good, 10), 4711);
        if (p.outcome != FG_BUS_DONE)
            fail_msg("%s", p.err.text);
    }
    assert_int_equal(publish_sizes(&p, topic, bad, 5), 3);
    assert_int_equal(p.outcome, FG_BUS_ABORTED);
    writer_close(&p);
    writer_open(&p, &w, topic, topic);
    assert_int_equal(publish_sizes(&p, topic, bad, 5), 3); /* without what the first one had learnt */
    assert_int_equal(p.outcome, FG_BUS_ABORTED);
    writer_close(&p);
    assert_int_equal(count_records(&w, topic), 20);
    world_end(&w);
}

static void test_a_record_of_25_mb_where_the_topic_allows_it(void **state)
{
    const size_t sizes[] = { 1000, 25 * MIB, 1000, 25 * MIB, 1000 };
    struct reader r = { 0 };
    struct writer p;
    struct world w;
    char topic[64];

    begin(&w);
    make_topic(&w, "huge", 1, topic);
    set_topic(topic, "max.message.bytes", "33554432");
    writer_open(&p, &w, topic, topic);
    assert_int_equal(publish_sizes(&p, topic, sizes, 5), 4711);
    if (p.outcome != FG_BUS_DONE)
        fail_msg("%s", p.err.text);
    reader_open(&r, &w, topic, topic);
    until(&w, r.n == 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(r.messages[i]->value.len, sizes[i]);
    reader_close(&r);
    writer_close(&p);
    world_end(&w);
}

/* ---- records that a topic does not allow ---- */

/* Five records, those of @keyless (bits) without key, until the topic is as it shall be. */
static size_t publish_keys(struct writer *p, const char *topic, unsigned keyless)
{
    struct fg_bus_outgoing m[5];
    size_t culprit = 4711;

    for (size_t i = 0; i < 5; i++)
        m[i] = (struct fg_bus_outgoing){ .topic = topic, .value = FG_SLICE("v"), .partition = 0,
                                         .key = keyless >> i & 1 ? FG_SLICE_NULL : (struct fg_slice)FG_SLICE("k") };
    const struct fg_bus_publish publish = { .messages = m, .n_messages = 5, .culprit = &culprit };
    for (int tries = 0; tries < 100; tries++) {
        writer_publish(p, &publish);
        until(p->w, p->done);
        if (p->outcome != FG_BUS_DONE || !keyless)
            break;
    }
    return culprit;
}

static void keyless_is_blamed(const char *transactional_id)
{
    struct writer p;
    struct world w;
    char topic[64];

    begin(&w);
    make_topic(&w, "keyless", 1, topic);
    set_topic(topic, "cleanup.policy", "compact");
    writer_open(&p, &w, transactional_id ? topic : NULL, topic);
    for (unsigned i = 0; i < 5; i += 2) {
        assert_int_equal(publish_keys(&p, topic, 1u << i), i);
        assert_int_equal(p.outcome, FG_BUS_ABORTED);
        assert_int_equal(p.err.code, FG_E_REFUSED);
        assert_false(p.err.fatal);
        assert_non_null(strstr(p.err.text, topic));
        assert_non_null(strstr(p.err.text, "without key"));
    }
    assert_int_equal(publish_keys(&p, topic, 1u << 1 | 1u << 3 | 1u << 4), 1); /* the first of several */
    assert_int_equal(p.outcome, FG_BUS_ABORTED);
    assert_int_equal(publish_keys(&p, topic, 0), 4711);
    if (p.outcome != FG_BUS_DONE)
        fail_msg("%s", p.err.text);
    writer_close(&p);
    world_end(&w);
}

static void test_a_record_without_key_for_a_compacted_topic_is_blamed(void **state)
{
    keyless_is_blamed("transactional");
}

static void test_a_record_without_key_is_blamed_without_transactions(void **state)
{
    keyless_is_blamed(NULL);
}

/* ---- metadata of offsets ---- */

static void publish_offset(struct writer *p, struct reader *r, const struct fg_bus_position *at)
{
    const struct fg_bus_publish publish = { .consumer = r->consumer, .offsets = at, .n_offsets = 1 };

    writer_publish(p, &publish);
    until(p->w, p->done);
    if (p->outcome != FG_BUS_DONE)
        fail_msg("%s", p->err.text);
}

static void keep_metadata(const char *transactional_id)
{
    struct fg_bus_position at = { .offset = 3, .metadata = "attempts: 2, \xe2\x9c\x93" };
    char long_text[FG_BUS_METADATA_MAX + 1];
    struct answer a = { 0 };
    struct reader r = { 0 };
    struct writer p;
    struct world w;
    char topic[64];

    begin(&w);
    make_topic(&w, "metadata", 1, topic);
    at.topic = topic;
    writer_open(&p, &w, transactional_id ? topic : NULL, topic);
    reader_open(&r, &w, topic, topic);
    until(&w, r.assignments == 1);
    assert_string_equal(ask_committed(&r, topic).metadata, "");
    publish_offset(&p, &r, &at);
    a = ask_committed(&r, topic);
    assert_int_equal(a.offset, 3);
    assert_string_equal(a.metadata, at.metadata);

    at.metadata = NULL; /* clears it */
    publish_offset(&p, &r, &at);
    assert_string_equal(ask_committed(&r, topic).metadata, "");

    memset(long_text, 'x', FG_BUS_METADATA_MAX);
    long_text[FG_BUS_METADATA_MAX] = '\0';
    at.metadata = long_text;
    publish_offset(&p, &r, &at);
    assert_int_equal(strlen(ask_committed(&r, topic).metadata), 255); /* all that the test keeps */

    at = (struct fg_bus_position){ .topic = topic, .offset = 2, .metadata = "once more" };
    a.come = false;
    w.bus->ops->consumer_commit(r.consumer, &at, 1, on_positions, &a);
    until(&w, a.come);
    assert_int_equal(a.err.code, FG_E_NONE);
    a = ask_committed(&r, topic);
    assert_int_equal(a.offset, 2);
    assert_string_equal(a.metadata, "once more");
    reader_close(&r);
    writer_close(&p);
    world_end(&w);
}

static void test_metadata_of_offsets_in_transactions(void **state)
{
    keep_metadata("transactional");
}

static void test_metadata_of_offsets_without_transactions(void **state)
{
    keep_metadata(NULL);
}

/* ---- queues: how deep they may be, and how deep they are ---- */

static size_t setting(rd_kafka_t *rk, const char *name)
{
    return fg_rd_conf_number(rd_kafka_conf(rk), name);
}

static void test_queues_are_bounded_by_version(void **state)
{
    struct reader r = { 0 };
    struct writer p;
    struct world w;
    bool quick;

    begin(&w);
    reader_open(&r, &w, NULL, "none");
    quick = setting(r.consumer->rk, "fetch.queue.backoff.ms") > 0;
    assert_int_equal(quick, rd_kafka_version() >= 0x020200ff);
    if (quick)
        assert_int_equal(setting(r.consumer->rk, "fetch.queue.backoff.ms"), 20);
    assert_int_equal(setting(r.consumer->rk, "queued.max.messages.kbytes"), quick ? 4096 : 16384);
    assert_int_equal(setting(r.consumer->rk, "fetch.max.bytes"), 4 * MIB);
    assert_int_equal(setting(r.consumer->rk, "queued.min.messages"), quick ? 10000 : 40000);
    writer_begin(&p, &w, "bounded", NULL);
    assert_int_equal(setting(p.producer->rk, "message.max.bytes"), 32 * MIB);
    assert_int_equal(setting(p.producer->rk, "queue.buffering.max.kbytes"), 33 * 1024);
    assert_int_equal(p.producer->queue_bytes_max, 8 * MIB);
    reader_close(&r);
    writer_close(&p);
    world_end(&w);
}

static void append(void *arg, struct fg_slice bytes)
{
    fg_buf_add_slice(arg, bytes);
}

/* The value of the first series of this name and client; -1: none. */
static double metric(struct fg_metrics *metrics, const char *name, const char *client)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(1 << 20);
    char start[200];
    const char *at;

    fg_metrics_write(metrics, append, &text);
    snprintf(start, sizeof(start), "\n%s{client=\"%s\"", name, client);
    if (!text.data || !(at = strstr(text.data, start)) || !(at = strstr(at, "} ")))
        return -1;
    return strtod(at + 2, NULL);
}

static void test_depths_of_queues_are_metrics(void **state)
{
    struct fg_bus_rdkafka_config config = { .bootstrap_servers = getenv("FRAGUA_KAFKA_PLAIN") };
    const size_t sizes[] = { 900000, 900000, 900000, 900000, 900000, 900000, 900000, 900000, 900000, 900000 };
    struct reader r = { .pause_at = 1 };
    struct fg_bus_outgoing m[10];
    struct proxy proxy;
    struct writer p;
    struct world w;
    char topic[64], *text = filled(900000);

    config.metrics = fg_metrics_new();
    open_bus(&w, &config);
    proxy_start(&proxy);
    proxy_redirect(w.bus);
    make_topic(&w, "depths", 1, topic);
    writer_open(&p, &w, NULL, topic);
    publish_sizes(&p, topic, sizes, 10);
    assert_int_equal(p.outcome, FG_BUS_DONE);

    /* nothing is acknowledged */
    proxy_lose(&proxy, LOSE_REQUESTS, API_PRODUCE);
    for (size_t i = 0; i < 10; i++)
        m[i] = (struct fg_bus_outgoing){ .topic = topic, .value = { text, sizes[i] }, .partition = 0 };
    const struct fg_bus_publish publish = { .messages = m, .n_messages = 10 };
    writer_publish(&p, &publish);
    /* one after the other, on another thread: the next may come a moment later */
    until(&w, metric(config.metrics, "fragua_kafka_queue_messages", "producer") > 0);
    until(&w, metric(config.metrics, "fragua_kafka_queue_bytes", "producer") >= 900000);
    until(&w, metric(config.metrics, "fragua_kafka_broker_requests_in_flight", "producer") > 0);
    until(&w, metric(config.metrics, "fragua_kafka_broker_outbuf_requests", "producer") >= 0);
    proxy_lose(&proxy, PASS, 0);
    until_ms(&w, 60000, p.done);

    /* nobody takes what was fetched */
    reader_open(&r, &w, topic, topic);
    until(&w, metric(config.metrics, "fragua_kafka_fetch_queue_records", topic) > 0);
    assert_true(metric(config.metrics, "fragua_kafka_fetch_queue_bytes", topic) >= 900000);
    assert_true(metric(config.metrics, "fragua_kafka_reply_queue", topic) >= 0);
    assert_int_equal(r.n, 1);
    free(text);
    reader_close(&r);
    writer_close(&p);
    world_end(&w);
    proxy_end(&proxy);
    fg_metrics_free(config.metrics);
}

/* A service that is away for hours pauses the reading; the group must not take it for dead (max.poll.interval.ms). */
static void test_a_paused_consumer_stays_in_its_group(void **state)
{
    const struct fg_pair properties[] = { { "max.poll.interval.ms", "6000" } };
    const struct fg_bus_rdkafka_config config = { .bootstrap_servers = getenv("FRAGUA_KAFKA_PLAIN"),
                                                  .properties = properties, .n_properties = 1 };
    struct reader r = { .pause_at = 1 };
    struct writer p;
    struct world w;
    char topic[64];

    open_bus(&w, &config);
    make_topic(&w, "paused", 1, topic);
    writer_open(&p, &w, topic, topic);
    writer_write(&p, topic, 0, 10, 1);
    reader_open(&r, &w, topic, topic);
    until(&w, r.n == 1);
    for_ms(&w, 10000);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.revocations, 0);
    assert_int_equal(r.assignments, 1);
    assert_int_equal(r.trouble.code, FG_E_NONE);
    w.bus->ops->consumer_pause(r.consumer, false);
    until(&w, r.n == 10);
    publish_one(&p, topic, r.consumer, &(struct fg_bus_position){ .topic = topic, .offset = 10 }, NULL, FG_BUS_DONE);
    reader_close(&r);
    writer_close(&p);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_record_too_large_is_blamed_and_the_producer_lives),
        cmocka_unit_test(test_a_record_too_large_is_blamed_without_transactions),
        cmocka_unit_test(test_a_batch_too_large_is_written_in_smaller_ones),
        cmocka_unit_test(test_a_record_of_25_mb_where_the_topic_allows_it),
        cmocka_unit_test(test_a_record_without_key_for_a_compacted_topic_is_blamed),
        cmocka_unit_test(test_a_record_without_key_is_blamed_without_transactions),
        cmocka_unit_test(test_metadata_of_offsets_in_transactions),
        cmocka_unit_test(test_metadata_of_offsets_without_transactions),
        cmocka_unit_test(test_queues_are_bounded_by_version),
        cmocka_unit_test(test_depths_of_queues_are_metrics),
        cmocka_unit_test(test_a_paused_consumer_stays_in_its_group),
    };

    return run_on_kafka("bus kafka limits", tests);
}
