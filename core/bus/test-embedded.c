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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_publish_and_consume, setup, teardown),
    };

    return cmocka_run_group_tests_name("bus embedded", tests, NULL, NULL);
}
