/* SPDX-License-Identifier: Apache-2.0 */
/* The bus on librdkafka's mock brokers: everything that needs no durability and no transactions. */
#include "bus/test-bus.h"

static int setup(void **state)
{
    const struct fg_bus_topic topics[] = { { .name = "things", .partitions = 4 }, { .name = "one", .partitions = 1 } };
    struct world *w = fg_calloc(1, sizeof(*w));
    struct fg_bus_rdkafka_config config = { 0 };
    struct fg_error err;

    world_init(w);
    config.loop = &w->loop;
    if (fg_bus_embedded_new(&config, topics, 2, &w->bus, &err) < 0)
        fail_msg("%s", err.text);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_end(*state);
    free(*state);
    return 0;
}

static void test_publish_and_consume(void **state)
{
    struct world *w = *state;
    struct reader r = { 0 };
    struct writer p;
    int64_t last[4] = { -1, -1, -1, -1 };
    size_t number[8] = { 0 };

    assert_true(w->bus->traits.solo);
    assert_false(w->bus->traits.transactional);
    assert_string_equal(w->bus->traits.kind, "embedded");
    writer_open(&p, w, NULL, "things");
    writer_write(&p, "things", 0, 1000, 8);
    reader_open(&r, w, "readers", "things");
    until(w, r.n == 1000);
    assert_int_equal(r.n_parts, 4);
    for (size_t i = 0; i < r.n; i++) {
        const struct fg_bus_message *m = r.messages[i];
        size_t key = strtoul(m->key.ptr + 1, NULL, 10), value = strtoul(m->value.ptr + 1, NULL, 10);
        assert_string_equal(m->topic, "things");
        assert_true(m->offset > last[m->partition]);
        last[m->partition] = m->offset;
        /* each key's records in the order in which they were written */
        assert_int_equal(value % 8, key);
        assert_true(value >= number[key]);
        number[key] = value + 8;
    }
    until(w, r.ends >= 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(r.end[i], last[i] + 1);
    reader_close(&r);
    writer_close(&p);
}

static void test_headers_tombstones_and_empty(void **state)
{
    struct world *w = *state;
    struct reader r = { 0 };
    struct writer p;
    const struct fg_header headers[] = {
        { FG_SLICE("ce_id"), FG_SLICE("1") }, { FG_SLICE("ce_id"), FG_SLICE("2") }, { FG_SLICE("none"), { NULL, 0 } },
    };
    const struct fg_bus_outgoing m[] = {
        { .topic = "one", .key = FG_SLICE("k"), .value = FG_SLICE("text"), .headers = headers, .n_headers = 3,
          .timestamp_ms = 1700000000123, .partition = -1 },
        { .topic = "one", .key = FG_SLICE("k"), .tombstone = true, .timestamp_ms = 1, .partition = 0 },
        { .topic = "one", .timestamp_ms = 1, .partition = -1 },
    };
    const struct fg_bus_publish publish = { .messages = m, .n_messages = 3 };

    writer_open(&p, w, "ignored-here", "one");
    writer_publish(&p, &publish);
    until(w, p.done);
    assert_int_equal(p.outcome, FG_BUS_DONE);
    reader_open(&r, w, "readers", "one");
    until(w, r.n == 3);
    assert_int_equal(r.messages[0]->timestamp_ms, 1700000000123);
    assert_int_equal(r.messages[0]->n_headers, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(fg_slice_eq(r.messages[0]->headers[i].name, headers[i].name));
        assert_true(fg_slice_eq(r.messages[0]->headers[i].value, headers[i].value));
    }
    assert_false(r.messages[0]->tombstone);
    assert_true(r.messages[1]->tombstone);
    assert_true(fg_slice_is(r.messages[1]->key, "k"));
    assert_false(r.messages[2]->tombstone);
    assert_int_equal(r.messages[2]->value.len, 0);
    assert_int_equal(r.messages[2]->key.len, 0);
    reader_close(&r);
    writer_close(&p);
}

static void test_rewind_delivers_again_and_nothing_stale(void **state)
{
    struct world *w = *state;
    struct fg_bus_position back = { .topic = "one", .offset = 0 };
    struct reader r = { 0 };
    struct writer p;

    writer_open(&p, w, NULL, "one");
    writer_write(&p, "one", 0, 5000, 5);
    reader_open(&r, w, "readers", "one");
    for (size_t round = 1; round <= 20; round++) {
        /* in the middle of the stream, with thousands fetched ahead */
        until(w, r.n >= round * 37 + (round == 1 ? 500 : 0));
        back.offset = (int64_t)round * 10;
        reader_forget(&r);
        w->bus->ops->consumer_rewind(r.consumer, &back, 1);
        until(w, r.n > 0);
        for (size_t i = 0; i < r.n; i++)
            assert_int_equal(r.messages[i]->offset, back.offset + (int64_t)i);
    }
    until(w, r.n == (size_t)(5000 - back.offset));
    for (size_t i = 0; i < r.n; i++)
        assert_int_equal(r.messages[i]->offset, back.offset + (int64_t)i);
    reader_close(&r);
    writer_close(&p);
}

static void test_pause_and_resume(void **state)
{
    struct world *w = *state;
    struct reader r = { .pause_at = 100 };
    struct writer p;

    writer_open(&p, w, NULL, "one");
    writer_write(&p, "one", 0, 1000, 5);
    reader_open(&r, w, "readers", "one");
    until(w, r.n == 100);
    for_ms(w, 300);
    assert_int_equal(r.n, 100); /* from within a callback, and at once */
    w->bus->ops->consumer_pause(r.consumer, false);
    until(w, r.n == 1000);
    for (size_t i = 0; i < r.n; i++)
        assert_int_equal(r.messages[i]->offset, (int64_t)i);
    reader_close(&r);
    writer_close(&p);
}

static void test_many_small_messages_do_not_stall(void **state)
{
    struct world *w = *state;
    struct reader r = { .keep_none = true };
    struct writer p;

    writer_open(&p, w, NULL, "things");
    for (size_t i = 0; i < 120; i++)
        writer_write(&p, "things", i * 1000, 1000, 1000);
    reader_open(&r, w, "readers", "things");
    until(w, r.n == 120000);
    until(w, r.ends >= 4);
    reader_close(&r);
    writer_close(&p);
}

static void test_tail_without_group(void **state)
{
    struct world *w = *state;
    struct fg_bus_position at = { .topic = "one", .offset = FG_BUS_TAIL(10) };
    struct reader r = { 0 };
    struct writer p;

    writer_open(&p, w, NULL, "one");
    writer_write(&p, "one", 0, 100, 5);
    reader_open(&r, w, NULL, "one");
    w->bus->ops->consumer_assign(r.consumer, &at, 1);
    until(w, r.ends == 1);
    assert_int_equal(r.n, 10);
    assert_int_equal(r.messages[0]->offset, 90);
    writer_write(&p, "one", 100, 1, 5);
    until(w, r.n == 11);
    w->bus->ops->consumer_unassign(r.consumer);
    writer_write(&p, "one", 101, 1, 5);
    for_ms(w, 200);
    assert_int_equal(r.n, 11);
    reader_close(&r);
    writer_close(&p);
}

struct answer {
    bool come;
    int64_t offset;
    struct fg_error err;
};

static void on_positions(void *arg, const struct fg_bus_position *positions, size_t n, const struct fg_error *err)
{
    struct answer *a = arg;

    a->come = true;
    a->err = err ? *err : FG_ERROR_NULL;
    a->offset = n ? positions[0].offset : -1;
}

static void test_offsets_move_with_a_publish(void **state)
{
    struct world *w = *state;
    struct fg_bus_position at = { .topic = "one", .offset = 7 };
    struct answer a = { 0 };
    struct reader r = { 0 };
    struct writer p;

    writer_open(&p, w, "here-without-transactions", "one");
    writer_write(&p, "one", 0, 20, 5);
    reader_open(&r, w, "readers", "one");
    until(w, r.n == 20);
    w->bus->ops->consumer_committed(r.consumer, &at, 1, on_positions, &a);
    until(w, a.come);
    assert_int_equal(a.err.code, FG_E_NONE);
    assert_int_equal(a.offset, FG_BUS_UNKNOWN);

    const struct fg_bus_outgoing m = { .topic = "things", .key = FG_SLICE("k"), .value = FG_SLICE("v"),
                                       .partition = -1 };
    const struct fg_bus_publish publish = { .messages = &m, .n_messages = 1, .consumer = r.consumer, .offsets = &at,
                                            .n_offsets = 1 };
    writer_publish(&p, &publish);
    until(w, p.done);
    assert_int_equal(p.outcome, FG_BUS_DONE);
    reader_close(&r);

    /* the next one goes on from there, and not from the policy for a first start */
    r = (struct reader){ 0 };
    reader_open(&r, w, "readers", "one");
    until(w, r.n == 13);
    assert_int_equal(r.messages[0]->offset, 7);
    at.offset = 12;
    a.come = false;
    w->bus->ops->consumer_commit(r.consumer, &at, 1, on_positions, &a);
    until(w, a.come);
    assert_int_equal(a.err.code, FG_E_NONE);
    w->bus->ops->consumer_committed(r.consumer, &at, 1, on_positions, &a);
    a.come = false;
    until(w, a.come);
    assert_int_equal(a.offset, 12);
    reader_close(&r);
    writer_close(&p);
}

static void test_messages_outlive_their_consumer(void **state)
{
    struct world *w = *state;
    struct fg_bus_message *kept;
    struct reader r = { 0 };
    struct writer p;

    writer_open(&p, w, NULL, "one");
    writer_write(&p, "one", 0, 50, 5);
    reader_open(&r, w, "readers", "one");
    until(w, r.n == 50);
    kept = r.messages[49];
    r.n--;
    reader_close(&r);
    writer_close(&p);
    bus_end(w);
    assert_true(fg_slice_is(kept->value, "v49"));
    assert_string_equal(kept->topic, "one");
    fg_bus_message_free(kept);
}

static void test_offset_lost_by_retention_is_trouble(void **state)
{
    struct world *w = *state;
    struct fg_bus_position at = { .topic = "one", .offset = 1000 };
    struct reader r = { 0 };
    struct writer p;

    writer_open(&p, w, NULL, "one");
    writer_write(&p, "one", 0, 10, 5);
    reader_open(&r, w, NULL, "one");
    w->bus->ops->consumer_assign(r.consumer, &at, 1);
    until(w, r.trouble.code == FG_E_EXPIRED);
    assert_non_null(strstr(r.trouble.text, "offset 1000 of topic \"one\" partition 0 is gone"));
    assert_int_equal(r.n, 0);
    at.offset = 5;
    w->bus->ops->consumer_rewind(r.consumer, &at, 1);
    until(w, r.n == 5 && r.trouble.code == FG_E_NONE);
    reader_close(&r);
    writer_close(&p);
}

struct topics {
    bool come;
    struct fg_bus_topic topics[3];
    struct fg_error err;
};

static void on_topics(void *arg, const struct fg_bus_topic *topics, size_t n, const struct fg_error *err)
{
    struct topics *t = arg;

    t->come = true;
    t->err = err ? *err : FG_ERROR_NULL;
    for (size_t i = 0; i < n && i < 3; i++)
        t->topics[i] = topics[i];
}

static void test_describe_and_create(void **state)
{
    struct world *w = *state;
    const char *const names[] = { "things", "new-one" };
    const struct fg_bus_topic make[] = { { .name = "new-one", .partitions = 3, .replication = -1 },
                                         { .name = "one", .partitions = 9, .replication = -1 } };
    struct topics t = { 0 };

    w->bus->ops->describe(w->bus, names, 2, on_topics, &t);
    until(w, t.come);
    assert_int_equal(t.err.code, FG_E_NONE);
    assert_int_equal(t.topics[0].partitions, 4);
    assert_int_equal(t.topics[0].replication, 1);
    assert_int_equal(t.topics[1].partitions, 0); /* and asking did not make it */
    t.come = false;
    w->bus->ops->create(w->bus, make, 2, on_topics, &t);
    until(w, t.come);
    assert_int_equal(t.err.code, FG_E_NONE);
    assert_int_equal(t.topics[0].partitions, 3);
    assert_int_equal(t.topics[1].partitions, 1); /* one that exists is no error, and stays as it is */
}

static void test_close_at_once(void **state)
{
    struct world *w = *state;
    struct reader r = { 0 };
    struct writer p;

    reader_open(&r, w, "readers", "one");
    reader_close(&r);
    writer_begin(&p, w, "x", "one");
    writer_close(&p);
    writer_begin(&p, w, NULL, "one");
    writer_close(&p);
    assert_false(p.ready);
}

static void test_unknown_topic_is_trouble(void **state)
{
    struct world *w = *state;
    struct reader r = { 0 };

    reader_open(&r, w, "readers", "missing");
    until(w, r.trouble.code == FG_E_NOT_FOUND);
    assert_non_null(strstr(r.trouble.text, "\"missing\""));
    reader_close(&r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_publish_and_consume),
        TEST(test_headers_tombstones_and_empty),
        TEST(test_rewind_delivers_again_and_nothing_stale),
        TEST(test_pause_and_resume),
        TEST(test_many_small_messages_do_not_stall),
        TEST(test_tail_without_group),
        TEST(test_offsets_move_with_a_publish),
        TEST(test_messages_outlive_their_consumer),
        TEST(test_offset_lost_by_retention_is_trouble),
        TEST(test_describe_and_create),
        TEST(test_close_at_once),
        TEST(test_unknown_topic_is_trouble),
    };

    return cmocka_run_group_tests_name("bus embedded", tests, NULL, NULL);
}
