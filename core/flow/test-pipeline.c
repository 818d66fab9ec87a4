/* SPDX-License-Identifier: Apache-2.0 */
/* A pipeline from a Kafka topic, on simulated Kafka, time and workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "../../test/model/flow-rig.h"

/* n records "<key>-<i>" for each of keys k0, k1, ... */
static void put_many(struct rig *rig, unsigned n_keys, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < n_keys; k++) {
            char key[16], value[32];
            (void)snprintf(key, sizeof(key), "k%u", k);
            (void)snprintf(value, sizeof(value), "k%u-%u", k, i);
            rig_put(rig, key, value);
        }
    }
}

/* Every key's records are there once and in order, each value followed by `suffix`; nothing else is in the topic. */
static void expect_all_in_order(struct rig *rig, const char *topic, unsigned n_keys, unsigned n, const char *suffix)
{
    for (unsigned k = 0; k < n_keys; k++) {
        char key[16], value[48];
        (void)snprintf(key, sizeof(key), "k%u", k);
        for (unsigned i = 0; i < n; i++) {
            const struct model_record *r = rig_seen(rig, topic, key, i);
            (void)snprintf(value, sizeof(value), "k%u-%u%s", k, i, suffix);
            assert_non_null(r);
            assert_true(fg_slice_is(r->value, value));
        }
    }
    assert_int_equal(rig_count(rig, topic), (size_t)n_keys * n);
}

static int64_t committed_in_all(struct rig *rig)
{
    int64_t sum = 0;
    for (int32_t p = 0; p < 3; p++) {
        int64_t offset = model_committed(&rig->bus, "g", "in", p);
        sum += offset > 0 ? offset : 0;
    }
    return sum;
}

static void records_go_from_topic_to_topic(void **state)
{
    struct rig rig;

    rig_init(&rig, 1);
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_RUNNING, 1000));
    put_many(&rig, 3, 10);
    assert_true(rig_until_count(&rig, "out", 30, 2000));
    sim_run_for(&rig.sim, 200);
    expect_all_in_order(&rig, "out", 3, 10, "");
    assert_int_equal(rig_status(&rig).records_in, 30);
    assert_int_equal(rig_status(&rig).records_out, 30);
    assert_true(rig_status(&rig).ready);
    assert_int_equal(rig_status(&rig).in_flight_records, 0);
    assert_int_equal(committed_in_all(&rig), 30);
    rig_stop(&rig, false);
    rig_deinit(&rig);
}

static void a_single_record_does_not_wait_for_the_interval(void **state)
{
    struct rig rig;
    uint64_t began;

    rig_init(&rig, 2);
    rig.config.commit_interval_ms = 10000;
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_RUNNING, 1000));
    sim_run_for(&rig.sim, 500);
    began = rig.sim.now_ms;
    rig_put(&rig, "k", "alone");
    assert_true(rig_until_count(&rig, "out", 1, 2000));
    assert_true(rig.sim.now_ms - began < 20);
    rig_deinit(&rig);
}

static void trace_headers_and_key_are_carried_and_the_time_is_now(void **state)
{
    const struct model_record *in, *out;
    struct rig rig;

    rig_init(&rig, 3);
    rig_use_sink(&rig);
    rig_open(&rig);
    rig_put(&rig, "key", "mail");
    assert_true(rig_until_count(&rig, "out", 1, 2000));
    in = rig_seen(&rig, "in", "key", 0);
    out = rig_seen(&rig, "out", "key", 0);
    assert_non_null(out);
    assert_true(fg_slice_is(out->value, "mail!"));
    assert_true(out->timestamp_ms > in->timestamp_ms);
    assert_true(fg_slice_eq(rig_header(out, "traceparent"), rig_header(in, "traceparent")));
    assert_int_equal(out->n_headers, 1);
    rig_deinit(&rig);
}

static void order_holds_whatever_runs_in_parallel(void **state)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rig rig;

        rig_init(&rig, seed);
        rig_use_transform(&rig);
        rig_use_sink(&rig);
        rig.sim.work_ms_max = seed % 20;
        rig.sink_ms_max = seed % 7 * 10;
        put_many(&rig, 5, 20);
        rig_open(&rig);
        assert_true(rig_until_count(&rig, "out", 100, 20000));
        expect_all_in_order(&rig, "out", 5, 20, "!");
        assert_true(rig.max_in_flight <= rig.limits.in_flight_max);
        rig_stop(&rig, seed % 2);
        rig_deinit(&rig);
    }
}

static void every_worker_has_an_instance_of_its_own(void **state)
{
    struct rig rig;

    rig_init(&rig, 4);
    rig_use_transform(&rig);
    put_many(&rig, 5, 40);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 200, 5000));
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        assert_true(rig.transforms[i].n_applied > 0);
    rig_deinit(&rig);
}

static void one_record_may_become_many_on_named_outputs(void **state)
{
    struct rig rig;

    rig_init(&rig, 5);
    rig_use_transform(&rig);
    rig_open(&rig);
    rig_put(&rig, "a", "many-x");
    rig_put(&rig, "a", "drop-y");
    rig_put(&rig, "a", "plain");
    assert_true(rig_until_count(&rig, "out", 3, 2000));
    sim_run_for(&rig.sim, 500);
    assert_true(fg_slice_is(rig_seen(&rig, "out", "a", 0)->value, "many-x/1"));
    assert_true(fg_slice_is(rig_seen(&rig, "out", "a", 1)->value, "many-x/2"));
    assert_true(fg_slice_is(rig_seen(&rig, "out", "a", 2)->value, "plain"));
    assert_true(fg_slice_is(rig_seen(&rig, "rows", "a", 0)->value, "many-x/row"));
    assert_int_equal(rig_count(&rig, "rows"), 1);
    assert_int_equal(rig_count(&rig, "dead"), 0);
    assert_int_equal(rig_status(&rig).records_dropped, 1);
    rig_deinit(&rig);
}

/* One dead letter with its reason, and the record after it still comes through. */
static void expect_dead(const char *value, bool with_transform, const char *code, const char *stage,
                        const char *attempts, const char *reason)
{
    const struct model_record *dead;
    struct rig rig;

    rig_init(&rig, 6);
    if (with_transform)
        rig_use_transform(&rig);
    rig_use_sink(&rig);
    rig_open(&rig);
    rig_put(&rig, "a", value);
    rig_put(&rig, "a", "after");
    assert_true(rig_until_count(&rig, "out", 1, 20000));
    assert_true(rig_until_count(&rig, "dead", 1, 20000));
    dead = rig_seen(&rig, "dead", "a", 0);
    assert_non_null(dead);
    assert_true(fg_slice_is(dead->value, value));
    assert_true(fg_slice_is(rig_header(dead, "ce_id"), value));
    assert_true(fg_slice_is(rig_header(dead, "fragua_reason"), reason));
    assert_true(fg_slice_is(rig_header(dead, "fragua_code"), code));
    assert_true(fg_slice_is(rig_header(dead, "fragua_stage"), stage));
    assert_true(fg_slice_is(rig_header(dead, "fragua_pipeline"), "p"));
    assert_true(fg_slice_is(rig_header(dead, "fragua_attempts"), attempts));
    assert_memory_equal(rig_header(dead, "fragua_origin").ptr, "in/", 3);
    assert_memory_equal(rig_header(dead, "fragua_origin").ptr + 4, "/0", 2);
    assert_true(fg_slice_is(rig_header(dead, "ce_type"), "fragua.dead.v1"));
    sim_run_for(&rig.sim, 500);
    assert_int_equal(rig_count(&rig, "out"), 1);
    assert_int_equal(rig_count(&rig, "dead"), 1);
    assert_int_equal(rig_status(&rig).records_dead, 1);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    rig_deinit(&rig);
}

static void a_refused_record_becomes_a_dead_letter(void **state)
{
    expect_dead("refuse-me", false, "refused", "sink", "1", "the service refuses this");
}

static void a_bad_record_becomes_a_dead_letter(void **state)
{
    expect_dead("bad-one", true, "data", "transforms.0", "1", "this one is bad");
}

static void retries_are_counted_then_it_is_a_dead_letter(void **state)
{
    expect_dead("again-and-again", true, "timeout", "transforms.0", "3", "not now");
}

static void an_unknown_output_is_a_dead_letter(void **state)
{
    const struct model_record *dead;
    struct rig rig;

    rig_init(&rig, 7);
    rig_use_transform(&rig);
    rig_open(&rig);
    rig_put(&rig, "a", "nowhere");
    assert_true(rig_until_count(&rig, "dead", 1, 2000));
    dead = rig_seen(&rig, "dead", "a", 0);
    assert_true(fg_slice_is(rig_header(dead, "fragua_stage"), "output"));
    assert_true(fg_slice_is(rig_header(dead, "fragua_reason"), "the pipeline has no output named \"nope\""));
    assert_int_equal(rig_count(&rig, "out"), 0);
    rig_deinit(&rig);
}

static void a_record_that_fails_twice_is_delivered_the_third_time(void **state)
{
    struct rig rig;

    rig_init(&rig, 8);
    rig_use_sink(&rig);
    rig_open(&rig);
    rig_put(&rig, "a", "flaky");
    rig_put(&rig, "a", "next");
    assert_true(rig_until_count(&rig, "out", 2, 10000));
    assert_true(fg_slice_is(rig_seen(&rig, "out", "a", 0)->value, "flaky!"));
    assert_true(fg_slice_is(rig_seen(&rig, "out", "a", 1)->value, "next!"));
    assert_int_equal(rig_count(&rig, "dead"), 0);
    rig_deinit(&rig);
}

static void a_sink_without_output_moves_the_offsets_alone(void **state)
{
    struct rig rig;

    rig_init(&rig, 9);
    rig_use_sink(&rig);
    rig.config.n_outputs = 0;
    rig.config.dead_topic = NULL;
    put_many(&rig, 1, 30);
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_RUNNING, 1000));
    sim_run_for(&rig.sim, 2000);
    assert_int_equal(rig.n_delivered, 30);
    assert_int_equal(rig.bus.n_publishes, 0);
    assert_int_equal(committed_in_all(&rig), 30);
    assert_int_equal(rig_status(&rig).in_flight_records, 0);
    rig_stop(&rig, false);
    rig_open(&rig);
    sim_run_for(&rig.sim, 2000);
    assert_int_equal(rig.n_delivered, 30); /* not again */
    rig_deinit(&rig);
}

static void at_least_once_without_transactions(void **state)
{
    struct rig rig;

    rig_init(&rig, 10);
    rig.bus.bus.traits.transactional = false;
    rig_use_sink(&rig);
    put_many(&rig, 2, 30);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 60, 5000));
    assert_int_equal(rig_status(&rig).delivery, FG_AT_LEAST_ONCE);
    rig_stop(&rig, false);
    rig_open(&rig);
    sim_run_for(&rig.sim, 1000);
    expect_all_in_order(&rig, "out", 2, 30, "!");
    rig_deinit(&rig);
}

static void a_restart_goes_on_where_it_stopped(void **state)
{
    struct rig rig;

    rig_init(&rig, 11);
    rig_use_sink(&rig);
    put_many(&rig, 2, 100);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 40, 5000));
    rig_stop(&rig, true);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 100, 5000));
    rig_stop(&rig, false);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 200, 5000));
    sim_run_for(&rig.sim, 1000);
    expect_all_in_order(&rig, "out", 2, 100, "!");
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_go_from_topic_to_topic),
        cmocka_unit_test(a_single_record_does_not_wait_for_the_interval),
        cmocka_unit_test(trace_headers_and_key_are_carried_and_the_time_is_now),
        cmocka_unit_test(order_holds_whatever_runs_in_parallel),
        cmocka_unit_test(every_worker_has_an_instance_of_its_own),
        cmocka_unit_test(one_record_may_become_many_on_named_outputs),
        cmocka_unit_test(a_refused_record_becomes_a_dead_letter),
        cmocka_unit_test(a_bad_record_becomes_a_dead_letter),
        cmocka_unit_test(retries_are_counted_then_it_is_a_dead_letter),
        cmocka_unit_test(an_unknown_output_is_a_dead_letter),
        cmocka_unit_test(a_record_that_fails_twice_is_delivered_the_third_time),
        cmocka_unit_test(a_sink_without_output_moves_the_offsets_alone),
        cmocka_unit_test(at_least_once_without_transactions),
        cmocka_unit_test(a_restart_goes_on_where_it_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
