/* SPDX-License-Identifier: Apache-2.0 */
/* The bus on a real Kafka: records that are too large, metadata of offsets. See test-kafka.h. */
#include "bus/test-kafka.h"

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

static void too_large_is_blamed(const char *transactional_id)
{
    const size_t one[] = { 100, 2 * MIB, 200, 300 }, two[] = { 100, 2 * MIB, 200, 3 * MIB, 300 },
                 client_refuses[] = { 100, 33 * MIB, 200 }, good[] = { 100, 200, 300 };
    size_t culprit;
    struct writer p;
    struct world w;
    char topic[64];

    if (!begin(&w))
        skip();
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
    (void)state;
    too_large_is_blamed("transactional");
}

static void test_a_record_too_large_is_blamed_without_transactions(void **state)
{
    (void)state;
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

    (void)state;
    if (!config.bootstrap_servers)
        skip();
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

    (void)state;
    if (!begin(&w))
        skip();
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

    if (!begin(&w))
        skip();
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
    (void)state;
    keep_metadata("transactional");
}

static void test_metadata_of_offsets_without_transactions(void **state)
{
    (void)state;
    keep_metadata(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_record_too_large_is_blamed_and_the_producer_lives),
        cmocka_unit_test(test_a_record_too_large_is_blamed_without_transactions),
        cmocka_unit_test(test_a_batch_too_large_is_written_in_smaller_ones),
        cmocka_unit_test(test_a_record_of_25_mb_where_the_topic_allows_it),
        cmocka_unit_test(test_metadata_of_offsets_in_transactions),
        cmocka_unit_test(test_metadata_of_offsets_without_transactions),
    };

    return run_on_kafka("bus kafka limits", tests);
}
