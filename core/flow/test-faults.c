/* SPDX-License-Identifier: Apache-2.0 */
/* What a pipeline does when Kafka or a plugin breaks, or it is stopped: aborts, dead handles. On simulated Kafka. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "../../test/model/flow-rig.h"

static void an_abort_gives_the_same_output_once(void **state)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rig rig;

        rig_init(&rig, seed);
        rig_use_sink(&rig);
        rig_use_transform(&rig);
        rig.config.commit_records = 10;
        model_fault(&rig.bus, seed % 3 ? MODEL_FAULT_NONE : MODEL_FAULT_ABORT);
        model_fault(&rig.bus, MODEL_FAULT_ABORT);
        rig_put_numbered(&rig, 0, 100);
        rig_open(&rig);
        assert_true(rig_until_count(&rig, "out", 100, 60000));
        sim_run_for(&rig.sim, 500);
        rig_expect_numbered(&rig, 100, 0);
        assert_int_equal(rig_status(&rig).aborts, seed % 3 ? 1 : 2);
        rig_deinit(&rig);
    }
}

static void a_dead_producer_is_opened_anew(void **state)
{
    struct rig rig;

    rig_init(&rig, 3);
    rig_use_sink(&rig);
    rig.config.commit_records = 10;
    model_fault(&rig.bus, MODEL_FAULT_NONE);
    model_fault(&rig.bus, MODEL_FAULT_DEAD);
    rig_put_numbered(&rig, 0, 100);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 100, 60000));
    sim_run_for(&rig.sim, 500);
    rig_expect_numbered(&rig, 100, 0);
    assert_int_equal(rig.bus.n_opened_producers, 2);
    assert_int_equal(rig_status(&rig).handles_recreated, 1);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    rig_deinit(&rig);
}

/* Whether a commit counted in which the producer died, only Kafka knows. */
static void a_commit_of_unknown_outcome_is_neither_lost_nor_doubled(void **state)
{
    static const enum model_fault faults[] = {MODEL_FAULT_DEAD, MODEL_FAULT_COMMITTED, MODEL_FAULT_LATE};

    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig rig;

        rig_init(&rig, seed);
        rig_use_sink(&rig);
        rig.config.commit_records = 10;
        for (uint64_t i = 0; i < seed % 4; i++)
            model_fault(&rig.bus, MODEL_FAULT_NONE);
        model_fault(&rig.bus, faults[seed % 3]);
        model_fault(&rig.bus, MODEL_FAULT_NONE);
        model_fault(&rig.bus, faults[seed / 3 % 3]);
        rig_put_numbered(&rig, 0, 100);
        rig_open(&rig);
        assert_true(rig_until_count(&rig, "out", 100, 120000));
        sim_run_for(&rig.sim, 500);
        rig_expect_numbered(&rig, 100, 0);
        assert_int_equal(rig_status(&rig).handles_recreated, 2);
        rig_deinit(&rig);
    }
}

/*
 * Kafka 4.3.1 may decide on a commit and forget to show it. Its offsets are told to nobody then, not even to a new
 * process, until the same producer ends another transaction over them.
 */
static void a_commit_that_the_brokers_forgot_to_show_holds_nobody_for_ever(void **state)
{
    static const enum model_fault then[] = {MODEL_FAULT_BROKEN, MODEL_FAULT_TIMED_OUT, MODEL_FAULT_DEAD,
                                            MODEL_FAULT_COMMITTED, MODEL_FAULT_NONE};

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rig rig;

        rig_init(&rig, seed);
        rig_use_sink(&rig);
        rig.config.commit_records = 20;
        for (uint64_t i = 0; i < seed % 3; i++)
            model_fault(&rig.bus, MODEL_FAULT_NONE);
        model_fault(&rig.bus, MODEL_FAULT_FORGOTTEN);
        model_fault(&rig.bus, then[seed % 5]);
        rig_put_numbered(&rig, 0, 100);
        rig_open(&rig);
        assert_true(rig_until_count(&rig, "out", 100, 60000));
        sim_run_for(&rig.sim, 500);
        rig_expect_numbered(&rig, 100, 0);
        rig_deinit(&rig);
    }
}

static void a_record_too_large_for_its_topic_is_a_dead_letter(void **state)
{
    static char big[4096];
    const struct model_record *dead;
    struct rig rig;

    rig_init(&rig, 13);
    model_topic(&rig.bus, "out", 2)->message_bytes_max = 2000;
    memset(big, 'x', sizeof(big) - 1);
    rig_put_numbered(&rig, 0, 20);
    rig_put(&rig, "big", big);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "dead", 1, 10000));
    assert_true(rig_until_count(&rig, "out", 20, 10000));
    dead = rig_seen(&rig, "dead", "big", 0);
    assert_non_null(dead);
    assert_true(fg_slice_is(dead->value, big));
    assert_true(fg_slice_is(rig_header(dead, "fragua_code"), "limit"));
    assert_true(fg_slice_is(rig_header(dead, "fragua_stage"), "output"));
    assert_int_equal(rig_header(dead, "fragua_value_bytes").len, 0);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    rig_deinit(&rig);
}

static void a_dead_letter_too_large_goes_without_its_value(void **state)
{
    static char big[4096];
    const struct model_record *dead;
    struct rig rig;

    rig_init(&rig, 14);
    model_topic(&rig.bus, "out", 2)->message_bytes_max = 2000;
    model_topic(&rig.bus, "dead", 1)->message_bytes_max = 1000;
    memset(big, 'x', sizeof(big) - 1);
    model_write(&rig.bus, "in", -1, fg_slice_of("big"), fg_slice_of(big), NULL, 0);
    rig_put_numbered(&rig, 0, 20);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "dead", 1, 10000));
    assert_true(rig_until_count(&rig, "out", 20, 10000));
    dead = rig_seen(&rig, "dead", "big", 0);
    assert_non_null(dead);
    assert_int_equal(dead->value.len, 0);
    assert_true(fg_slice_is(rig_header(dead, "fragua_value_bytes"), "4095"));
    assert_true(rig_header(dead, "fragua_origin").len > 0);
    rig_deinit(&rig);
}

static void whatever_breaks_the_output_is_exact(void **state)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rig rig;

        rig_init(&rig, seed);
        rig_use_sink(&rig);
        rig_use_transform(&rig);
        rig.config.commit_records = 5 + seed % 20;
        rig.config.retry_cap_ms = 1000;
        rig.bus.abort_percent = 15;
        rig.bus.dead_percent = 5;
        rig.sink_ms_max = seed % 30;
        rig_put_numbered(&rig, 0, 120);
        rig_open(&rig);
        for (int i = 0; i < 8; i++) {
            sim_run_for(&rig.sim, sim_random(&rig.sim, 300));
            if (sim_random(&rig.sim, 3) == 0)
                model_rebalance(&rig.bus, sim_random(&rig.sim, 2));
            if (sim_random(&rig.sim, 5) == 0) {
                rig_stop(&rig, sim_random(&rig.sim, 2));
                rig_open(&rig);
            }
        }
        assert_true(rig_until_count(&rig, "out", 120, 300000));
        sim_run_for(&rig.sim, 2000);
        rig_expect_numbered(&rig, 120, 0);
        rig_stop(&rig, sim_random(&rig.sim, 2));
        rig_deinit(&rig);
    }
}

static void a_missing_topic_fails_until_it_is_there(void **state)
{
    struct rig rig;

    rig_init(&rig, 4);
    rig.outputs[1].topic = "later";
    rig_put_numbered(&rig, 0, 4);
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_FAILED, 1000));
    assert_non_null(strstr(rig_status(&rig).trouble.text, "topic \"later\" does not exist: create it"));
    assert_false(rig_status(&rig).ready);
    sim_run_for(&rig.sim, 10000);
    model_topic(&rig.bus, "later", 1);
    assert_true(rig_until_count(&rig, "out", 4, 60000));
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    rig_deinit(&rig);
}

static void kafka_away_at_start_is_trouble_not_failure(void **state)
{
    struct rig rig;

    rig_init(&rig, 5);
    rig.bus.away = true;
    rig_put_numbered(&rig, 0, 4);
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_TROUBLED, 1000));
    assert_string_equal(rig_status(&rig).trouble_node, "kafka");
    sim_run_for(&rig.sim, 5000);
    rig.bus.away = false;
    assert_true(rig_until_count(&rig, "out", 4, 60000));
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    rig_deinit(&rig);
}

static void trouble_with_kafka_shows_and_clears(void **state)
{
    struct fg_error err;
    struct rig rig;
    unsigned changed;

    rig_init(&rig, 6);
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_RUNNING, 1000));
    changed = rig.n_changed;
    fg_error_set(&err, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "all brokers are down");
    model_trouble(&rig.bus, &err);
    sim_run_for(&rig.sim, 10);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_TROUBLED);
    assert_string_equal(rig_status(&rig).trouble.text, "all brokers are down");
    model_trouble(&rig.bus, NULL);
    sim_run_for(&rig.sim, 10);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    assert_int_equal(rig.n_changed, changed + 2);
    rig_deinit(&rig);
}

static void a_commit_that_nobody_answers_shows_and_clears(void **state)
{
    struct rig rig;

    rig_init(&rig, 6);
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_RUNNING, 1000));
    model_fault(&rig.bus, MODEL_FAULT_SILENT);
    rig_put_numbered(&rig, 0, 1);
    sim_run_for(&rig.sim, 29000);
    assert_int_equal(rig.bus.n_publishes, 1);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    sim_run_for(&rig.sim, 2000);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_TROUBLED);
    assert_string_equal(rig_status(&rig).trouble.text, "a commit is not answered for 30 s; still waiting for Kafka");
    assert_string_equal(rig_status(&rig).trouble_node, "kafka");
    assert_true(rig_until_count(&rig, "out", 1, MODEL_SILENT_MS));
    assert_true(rig_until_state(&rig, FG_PIPELINE_RUNNING, 1000));
    assert_int_equal(rig.bus.n_publishes, 1);
    rig_deinit(&rig);
}

static void without_a_dead_topic_a_bad_record_fails_the_pipeline(void **state)
{
    struct rig rig;

    rig_init(&rig, 7);
    rig_use_sink(&rig);
    rig.config.dead_topic = NULL;
    rig_put(&rig, "k0", "refuse");
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_FAILED, 5000));
    assert_string_equal(rig_status(&rig).trouble_node, "sink");
    assert_non_null(strstr(rig_status(&rig).trouble.text, "the service refuses this"));
    sim_run_for(&rig.sim, 20000);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_FAILED);
    assert_int_equal(rig_status(&rig).commits, 0);
    assert_true(model_committed(&rig.bus, "g", "in", 0) <= 0);
    rig_deinit(&rig);
}

static void a_fatal_plugin_fails_the_pipeline_and_is_started_again(void **state)
{
    struct rig rig;

    rig_init(&rig, 8);
    rig_use_sink(&rig);
    rig_put(&rig, "k0", "fatal");
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_FAILED, 5000));
    assert_string_equal(rig_status(&rig).trouble.text, "the sink cannot go on");
    sim_run_for(&rig.sim, 30000);
    assert_true(rig.bus.n_opened_producers >= 3);
    rig_deinit(&rig);
}

static void a_double_answer_names_the_plugin(void **state)
{
    struct rig rig;

    rig_init(&rig, 9);
    rig_use_sink(&rig);
    rig_put(&rig, "k0", "twice");
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_FAILED, 5000));
    assert_non_null(strstr(rig_status(&rig).trouble.text, "plugin \"sink-rig\" answered record 0 of a delivery twice"));
    rig_deinit(&rig);
}

static void a_pause_takes_nothing_in(void **state)
{
    struct rig rig;
    size_t before;

    rig_init(&rig, 10);
    rig_use_sink(&rig);
    rig_open(&rig);
    rig_put_numbered(&rig, 0, 20);
    assert_true(rig_until_count(&rig, "out", 20, 5000));
    fg_pipeline_pause(rig.pipeline);
    fg_pipeline_pause(rig.pipeline);
    assert_true(rig_until_state(&rig, FG_PIPELINE_PAUSED, 1000));
    sim_run_for(&rig.sim, 100);
    before = rig_status(&rig).records_in;
    rig_put_numbered(&rig, 20, 60);
    sim_run_for(&rig.sim, 5000);
    assert_int_equal(rig_status(&rig).records_in, before);
    assert_int_equal(rig_status(&rig).in_flight_records, 0);
    fg_pipeline_resume(rig.pipeline);
    assert_true(rig_until_count(&rig, "out", 60, 5000));
    rig_expect_numbered(&rig, 60, 0);
    rig_deinit(&rig);
}

static void the_budget_pauses_the_topic(void **state)
{
    static char big[2048];
    struct rig rig;
    size_t most = 0;

    rig_init(&rig, 11);
    fg_budget_init(&rig.budget, 64u << 10);
    rig_use_sink(&rig);
    rig.config.commit_records = 10;
    rig.outage_until_ms = 60000;
    memset(big, 'x', sizeof(big) - 1);
    for (int i = 0; i < 200; i++)
        rig_put(&rig, "k", big);
    rig_open(&rig);
    for (int i = 0; i < 10000; i++) {
        sim_run_for(&rig.sim, 5);
        if (atomic_load(&rig.budget.used) > most)
            most = atomic_load(&rig.budget.used);
    }
    assert_true(most > 40u << 10);
    assert_true(most < 80u << 10);
    assert_true(rig_until_count(&rig, "out", 200, 120000));
    rig_deinit(&rig);
}

static void a_stop_drains(void **state)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rig rig;
        size_t out;

        rig_init(&rig, seed);
        rig_use_sink(&rig);
        rig_use_transform(&rig);
        rig.sink_ms_max = 50;
        rig_put_numbered(&rig, 0, 100);
        rig_open(&rig);
        assert_true(rig_until_count(&rig, "out", 1 + seed % 60, 10000));
        rig_stop(&rig, false);
        assert_int_equal(rig.n_cancelled, 0);
        out = rig_count(&rig, "out");
        assert_true(out >= 1 + seed % 60);
        rig_open(&rig);
        assert_true(rig_until_count(&rig, "out", 100, 10000));
        rig_expect_numbered(&rig, 100, 0);
        rig_deinit(&rig);
    }
}

static void a_stop_cuts_what_does_not_end(void **state)
{
    struct rig rig;
    uint64_t began;

    rig_init(&rig, 12);
    rig_use_sink(&rig);
    rig_put(&rig, "k0", "hang");
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_RUNNING, 1000));
    sim_run_for(&rig.sim, 500);
    began = rig.sim.now_ms;
    rig_stop(&rig, false);
    assert_in_range(rig.sim.now_ms - began, 3000, 3100);
    assert_int_equal(rig.n_cancelled, 1);
    rig_open(&rig);
    sim_run_for(&rig.sim, 500);
    began = rig.sim.now_ms;
    rig_stop(&rig, true);
    assert_true(rig.sim.now_ms - began < 100);
    assert_int_equal(rig.n_cancelled, 2);
    assert_true(model_committed(&rig.bus, "g", "in", 0) <= 0);
    rig_deinit(&rig);
}

static void count_up(void *arg)
{
    ++*(unsigned *)arg;
}

static void stop_may_be_called_in_any_state_and_twice(void **state)
{
    for (uint64_t at = 0; at < 120; at += 3) {
        struct rig rig;
        unsigned stopped = 0;

        rig_init(&rig, at + 1);
        rig_use_sink(&rig);
        rig_put_numbered(&rig, 0, 20);
        rig_put(&rig, "k0", "hang");
        rig_open(&rig);
        sim_run_for(&rig.sim, at);
        fg_pipeline_stop(rig.pipeline, false, count_up, &stopped);
        fg_pipeline_stop(rig.pipeline, at % 2, count_up, &stopped);
        sim_run_for(&rig.sim, 4000);
        assert_int_equal(stopped, 2);
        assert_int_equal(rig_status(&rig).state, FG_PIPELINE_STOPPED);
        fg_pipeline_stop(rig.pipeline, false, count_up, &stopped);
        fg_pipeline_start(rig.pipeline); /* in the middle of a stop: after it */
        sim_run_for(&rig.sim, 10);
        assert_int_equal(stopped, 3);
        sim_run_for(&rig.sim, 500);
        assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
        rig_deinit(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_abort_gives_the_same_output_once),
        cmocka_unit_test(a_dead_producer_is_opened_anew),
        cmocka_unit_test(a_commit_of_unknown_outcome_is_neither_lost_nor_doubled),
        cmocka_unit_test(a_commit_that_the_brokers_forgot_to_show_holds_nobody_for_ever),
        cmocka_unit_test(a_record_too_large_for_its_topic_is_a_dead_letter),
        cmocka_unit_test(a_dead_letter_too_large_goes_without_its_value),
        cmocka_unit_test(whatever_breaks_the_output_is_exact),
        cmocka_unit_test(a_missing_topic_fails_until_it_is_there),
        cmocka_unit_test(kafka_away_at_start_is_trouble_not_failure),
        cmocka_unit_test(trouble_with_kafka_shows_and_clears),
        cmocka_unit_test(a_commit_that_nobody_answers_shows_and_clears),
        cmocka_unit_test(without_a_dead_topic_a_bad_record_fails_the_pipeline),
        cmocka_unit_test(a_fatal_plugin_fails_the_pipeline_and_is_started_again),
        cmocka_unit_test(a_double_answer_names_the_plugin),
        cmocka_unit_test(a_pause_takes_nothing_in),
        cmocka_unit_test(the_budget_pauses_the_topic),
        cmocka_unit_test(a_stop_drains),
        cmocka_unit_test(a_stop_cuts_what_does_not_end),
        cmocka_unit_test(stop_may_be_called_in_any_state_and_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
