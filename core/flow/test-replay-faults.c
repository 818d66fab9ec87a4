/* SPDX-License-Identifier: Apache-2.0 */
/* Replays that are cut off, fenced, stopped or lied to: each letter goes back once. On simulated Kafka. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../test/model/replay-rig.h"

static void faults_cost_and_double_nothing(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rig_replay run;
        struct rig rig;

        rig_init(&rig, seed);
        rig_replay_init(&run, &rig);
        run.config.batch_records = 5;
        rig.bus.abort_percent = 20;
        rig.bus.dead_percent = 20;
        rig_put_letters(&rig, 40);
        rig_replay_finish(&run);
        rig_replay_expect_no_error(&run);
        assert_int_equal(run.counts.sent, 40);
        rig_expect_each_replayed_once(&rig, 40);
        rig_deinit(&rig);
    }
}

static void each_way_of_dying_is_survived(void **state)
{
    for (int fault = MODEL_FAULT_ABORT; fault < _MODEL_FAULT_N; fault++) {
        struct rig_replay run;
        struct rig rig;

        rig_init(&rig, 12);
        rig_replay_init(&run, &rig);
        rig_replay_choose(&run, "key=k1"); /* so that the ranges are looked at too */
        rig_put_letters(&rig, 10);
        model_fault(&rig.bus, (enum model_fault)fault);
        rig_replay_finish(&run);
        rig_replay_expect_no_error(&run);
        assert_int_equal(run.counts.sent, 5);
        assert_int_equal(rig_count(&rig, "in"), 5);
        rig_replay_expect_committed(&rig, 0, "1,3,5,7,9");
        rig_deinit(&rig);
    }
}

static void one_that_always_fails_ends_with_the_reason(void **state)
{
    struct rig_replay run;
    struct rig rig;

    rig_init(&rig, 13);
    rig_replay_init(&run, &rig);
    rig.bus.abort_percent = 100;
    rig_put_letters(&rig, 3);
    rig_replay_finish(&run);
    assert_int_not_equal(run.err.code, FG_E_NONE);
    assert_int_equal(run.counts.sent, 0);
    assert_int_equal(rig_count(&rig, "in"), 0);
    rig_deinit(&rig);
}

/* Killed at any moment and begun again: each letter once. */
static void kill_and_begin_again(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rig_replay first, second;
        struct rig rig;

        rig_init(&rig, seed);
        rig_replay_init_apart(&first, &rig, "first");
        rig_replay_init_apart(&second, &rig, "second");
        first.config.batch_records = second.config.batch_records = 4;
        if (seed % 3 == 0) {
            rig_replay_choose(&first, "key=k1");
            rig_replay_choose(&second, "key=k1");
        }
        rig_put_letters(&rig, 40);
        rig_replay_begin(&first);
        sim_run_for(&rig.sim, sim_random(&rig.sim, 300));
        model_client_cut(&first.client);
        rig_replay_finish(&second);
        rig_replay_expect_no_error(&second);
        if (seed % 3 == 0)
            assert_int_equal(rig_count(&rig, "in"), 20);
        else
            rig_expect_each_replayed_once(&rig, 40);
        if (first.replay)
            fg_replay_stop(first.replay);
        assert_true(sim_run_until(&rig.sim, 600000, rig_replay_is_done, &first));
        rig_replay_deinit(&first);
        rig_replay_deinit(&second);
        rig_deinit(&rig);
    }
}

static void two_at_a_time_double_nothing(void **state)
{
    unsigned n_refused = 0;

    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rig_replay first, second, rest;
        struct rig rig;

        rig_init(&rig, seed);
        rig_replay_init_apart(&first, &rig, "first");
        rig_replay_init_apart(&second, &rig, "second");
        first.config.batch_records = second.config.batch_records = 4;
        rig_put_letters(&rig, 40);
        rig_replay_begin(&first);
        sim_run_for(&rig.sim, sim_random(&rig.sim, 200));
        rig_replay_begin(&second);
        rig_replay_finish(&first);
        rig_replay_finish(&second);
        n_refused += first.err.code == FG_E_FENCED || second.err.code == FG_E_FENCED;
        assert_true(first.err.code == FG_E_NONE || first.err.code == FG_E_FENCED);
        assert_true(second.err.code == FG_E_NONE || second.err.code == FG_E_FENCED);
        rig_replay_init(&rest, &rig); /* should each have ended for the other */
        rig_replay_finish(&rest);
        rig_replay_expect_no_error(&rest);
        rig_expect_each_replayed_once(&rig, 40);
        rig_replay_deinit(&first);
        rig_replay_deinit(&second);
        rig_deinit(&rig);
    }
    assert_true(n_refused > 0);
}

static void stopped_in_between_it_goes_on_later(void **state)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rig_replay run, rest;
        struct rig rig;

        rig_init(&rig, seed);
        rig_replay_init(&run, &rig);
        run.config.batch_records = 3;
        rig_put_letters(&rig, 40);
        rig_replay_begin(&run);
        sim_run_for(&rig.sim, sim_random(&rig.sim, 300));
        if (run.replay)
            fg_replay_stop(run.replay);
        assert_true(sim_run_until(&rig.sim, 60000, rig_replay_is_done, &run));
        if (run.err.code == FG_E_NONE && run.counts.sent < 40)
            assert_true(run.counts.interrupted);
        rig_replay_init(&rest, &rig);
        rig_replay_finish(&rest);
        rig_replay_expect_no_error(&rest);
        rig_expect_each_replayed_once(&rig, 40);
        rig_deinit(&rig);
    }
}

static void letters_that_are_gone_do_not_hold_it_up(void **state)
{
    struct rig_replay first, rest;
    struct rig rig;

    rig_init(&rig, 15);
    rig_replay_init(&first, &rig);
    first.config.limit = 2;
    rig_put_letters(&rig, 20);
    rig_replay_finish(&first);
    model_retain(model_topic(&rig.bus, "dead", 1), 0, 10);
    rig_replay_init(&rest, &rig);
    rig_replay_finish(&rest);
    rig_replay_expect_no_error(&rest);
    assert_int_equal(rest.counts.sent, 10);
    rig_replay_expect_committed(&rig, 20, "");
    rig_deinit(&rig);
}

static void a_broker_that_is_away_ends_it(void **state)
{
    struct rig_replay run;
    struct rig rig;

    rig_init(&rig, 18);
    rig_replay_init(&run, &rig);
    rig.bus.away = true;
    rig_replay_finish(&run);
    assert_int_equal(run.err.code, FG_E_UNAVAILABLE);
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_cost_and_double_nothing),
        cmocka_unit_test(each_way_of_dying_is_survived),
        cmocka_unit_test(one_that_always_fails_ends_with_the_reason),
        cmocka_unit_test(kill_and_begin_again),
        cmocka_unit_test(two_at_a_time_double_nothing),
        cmocka_unit_test(stopped_in_between_it_goes_on_later),
        cmocka_unit_test(letters_that_are_gone_do_not_hold_it_up),
        cmocka_unit_test(a_broker_that_is_away_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
