/* SPDX-License-Identifier: Apache-2.0 */
/* What a pipeline does when the service of its sink is away, refuses all, or never answers. On simulated Kafka. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../test/model/flow-rig.h"

static void an_outage_obeys_retry_after_then_delivers_all(void **state)
{
    struct rig rig;
    size_t first_wave;

    rig_init(&rig, 1);
    rig_use_sink(&rig);
    rig_put_numbered(&rig, 0, 100);
    rig.outage_until_ms = 25000;
    rig.retry_after_ms = 5000;
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_TROUBLED, 5000));
    assert_string_equal(rig_status(&rig).trouble_node, "sink");
    assert_true(rig_status(&rig).ready);
    assert_true(rig_status(&rig).next_attempt_ms > 0);
    sim_run_for(&rig.sim, 1000);
    first_wave = rig.n_outage_calls;
    assert_true(first_wave <= 12); /* what was in flight when it began: 3 deliveries of 4 */
    assert_true(rig_until_count(&rig, "out", 100, 120000));
    for (size_t i = first_wave; i < rig.n_outage_calls; i++)
        assert_true(rig.outage_calls[i] - rig.outage_calls[i - 1] >= 5000); /* one probe at a time, never early */
    assert_true(rig.n_outage_calls > first_wave);
    assert_true(rig.first_after_ms - rig.outage_calls[rig.n_outage_calls - 1] >= 5000);
    rig_expect_numbered(&rig, 100, 0);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    rig_deinit(&rig);
}

static void retry_after_outlives_a_failure_of_the_pipeline(void **state)
{
    struct fg_error dead;
    struct rig rig;
    size_t before;

    fg_error_set(&dead, FG_E_FENCED, FG_ERROR_FATAL, "the consumer is dead");
    rig_init(&rig, 9);
    rig_use_sink(&rig);
    rig_put_numbered(&rig, 0, 40);
    rig.outage_until_ms = 4000;
    rig.retry_after_ms = 20000;
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_TROUBLED, 5000));
    sim_run_for(&rig.sim, 1000);
    before = rig.n_outage_calls;
    model_client_trouble(&rig.bus.self, &dead);
    sim_run_for(&rig.sim, 10000); /* it has begun anew by then */
    assert_true(rig.bus.n_opened_producers >= 2);
    assert_int_equal(rig.n_outage_calls, before);
    assert_true(rig_until_count(&rig, "out", 40, 60000));
    assert_true(rig.first_after_ms - rig.outage_calls[before - 1] >= 20000);
    rig_expect_numbered(&rig, 40, 0);
    rig_deinit(&rig);
}

static void an_outage_without_a_word_is_tried_with_back_off(void **state)
{
    struct rig rig;

    rig_init(&rig, 2);
    rig_use_sink(&rig);
    rig_put_numbered(&rig, 0, 40);
    rig.outage_until_ms = 600000;
    rig_open(&rig);
    sim_run_for(&rig.sim, 599000);
    assert_in_range(rig.n_outage_calls, 15, 150); /* 10 min at about 15 s, after a quicker start */
    assert_int_equal(rig_count(&rig, "dead"), 0);
    assert_true(rig_until_count(&rig, "out", 40, 60000));
    rig_expect_numbered(&rig, 40, 0);
    rig_deinit(&rig);
}

static void a_service_that_hangs_costs_no_record_its_attempts(void **state)
{
    struct rig rig;

    rig_init(&rig, 4);
    rig_use_sink(&rig);
    rig_put_numbered(&rig, 0, 40);
    rig.silent_until_ms = 600000;
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_TROUBLED, 5000));
    sim_run_for(&rig.sim, 590000);
    assert_int_equal(rig_count(&rig, "dead"), 0);
    assert_true(rig_until_count(&rig, "out", 40, 120000));
    rig_expect_numbered(&rig, 40, 0);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    rig_deinit(&rig);
}

static void records_that_the_service_never_answers_hold_nobody_for_ever(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        size_t n_mute = 1 + seed % 4;
        struct rig rig;

        rig_init(&rig, seed);
        rig_use_sink(&rig);
        for (size_t i = 0; i < n_mute; i++)
            rig_put(&rig, "mute", "mute");
        rig_put_numbered(&rig, 0, 40);
        rig_open(&rig);
        assert_true(rig_until_count(&rig, "dead", n_mute, 600000));
        assert_true(rig_until_count(&rig, "out", 40, 60000));
        assert_non_null(rig_seen(&rig, "dead", "mute", n_mute - 1));
        rig_deinit(&rig);
    }
}

static void a_record_that_is_never_answered_does_not_slow_a_sink_that_takes_one_at_a_time(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig rig;

        rig_init(&rig, seed);
        rig_use_sink(&rig);
        rig.limits = (struct fg_sink_limits){1, 1u << 20, 1};
        rig_put(&rig, "mute", "mute");
        rig_put_numbered(&rig, 0, 200);
        rig_open(&rig);
        assert_true(rig_until_count(&rig, "dead", 1, 5000)); /* after a few others, not after all that wait */
        assert_true(rig_until_count(&rig, "out", 200, 60000));
        rig_deinit(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_outage_obeys_retry_after_then_delivers_all),
        cmocka_unit_test(retry_after_outlives_a_failure_of_the_pipeline),
        cmocka_unit_test(an_outage_without_a_word_is_tried_with_back_off),
        cmocka_unit_test(a_service_that_hangs_costs_no_record_its_attempts),
        cmocka_unit_test(records_that_the_service_never_answers_hold_nobody_for_ever),
        cmocka_unit_test(a_record_that_is_never_answered_does_not_slow_a_sink_that_takes_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
