/* SPDX-License-Identifier: Apache-2.0 */
/* Reloads: a pipeline is held, its stages are swapped, it goes on; whatever hangs or is gone meanwhile. */
#include "flow/test-reload-bed.h"

/* Numbered records 0 to n are in "out" once and in order, and no version in any partition after a newer one. */
static void expect_once(unsigned n)
{
    struct model_topic *out = model_topic(&rig.bus, "out", 1);
    const struct model_record *r;

    for (unsigned i = 0; i < n; i++) {
        char key[16], value[32];
        (void)snprintf(key, sizeof(key), "k%u", i % 4);
        (void)snprintf(value, sizeof(value), "k%u-%uv", i % 4, i / 4);
        r = rig_seen(&rig, "out", key, i / 4);
        assert_non_null(r);
        assert_true(fg_slice_starts(r->value, fg_slice_of(value)));
    }
    assert_int_equal(model_count(out), n);
    assert_int_equal(rig_count(&rig, "dead"), 0);
    for (int32_t p = 0; p < out->n_partitions; p++) {
        char newest = '1';
        for (size_t i = 0; (r = model_seen(out, p, i)); i++) {
            char version = ((const char *)memchr(r->value.ptr, 'v', r->value.len))[1];
            assert_true(version >= newest);
            newest = version;
        }
    }
}

static void put_some(void *arg)
{
    unsigned *n = arg;

    rig_put_numbered(&rig, *n, *n + 4);
    *n += 4;
    if (*n < 400)
        sim_post(&rig.sim, 5, put_some, n);
}

static void under_load_nothing_is_lost_or_twice_and_no_handle_is_opened(void **state)
{
    uint64_t longest = 0;

    for (uint64_t seed = 1; seed <= 50; seed++) {
        size_t rebalances, put_out;
        unsigned n = 0;

        rig_up(seed, true, seed % 3 > 0);
        rig.config.commit_interval_ms = 5000; /* nobody waits for it */
        rig_open(&rig);
        assert_true(rig_until_state(&rig, FG_PIPELINE_RUNNING, 5000));
        rebalances = rig.bus.n_rebalances;
        put_some(&n);
        sim_run_for(&rig.sim, 200);
        begin(&v1, &v2, 5000);
        assert_true(rig_reload_until_released(&reload, 5000));
        assert_true(reload.drained);
        if (reload.held_ms - reload.asked_ms > longest)
            longest = reload.held_ms - reload.asked_ms;
        put_out = rig_count(&rig, "out");
        assert_true(rig_until_count(&rig, "out", put_out + 1, 100)); /* goes on at once */
        assert_true(rig_until_count(&rig, "out", 400, 20000));
        sim_run_for(&rig.sim, 100);
        expect_once(400);
        assert_true(v1.n_applied > 0 && v2.n_applied > 0);
        assert_int_equal(rig.bus.n_opened_producers, 1);
        assert_int_equal(rig.bus.n_rebalances, rebalances);
        assert_int_equal(rig_status(&rig).aborts, 0);
        assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
        rig_down();
    }
    print_message("# longest pause before the swap: %u ms\n", (unsigned)longest);
}

static void a_hold_without_a_swap_changes_nothing(void **state)
{
    unsigned changed;

    rig_up(2, true, true);
    rig_open(&rig);
    rig_put_numbered(&rig, 0, 40);
    assert_true(rig_until_count(&rig, "out", 40, 5000));
    changed = rig.n_changed;
    begin(&v1, NULL, 1000);
    reload.stay = true;
    assert_true(rig_reload_until_held(&reload, 100));
    rig_put_numbered(&rig, 40, 80);
    sim_run_for(&rig.sim, 3000);
    assert_int_equal(rig_count(&rig, "out"), 40);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    fg_pipeline_release(rig.pipeline);
    assert_true(rig_until_count(&rig, "out", 80, 5000));
    expect_once(80);
    assert_int_equal(rig.n_changed, changed);
    assert_int_equal(reload.n_released, 0);
    rig_down();
}

static void a_sink_that_hangs_is_left_at_the_deadline(void **state)
{
    rig_up(3, false, true);
    v1.hangs = true;
    rig_open(&rig);
    rig_put_numbered(&rig, 0, 40);
    sim_run_for(&rig.sim, 2000);
    assert_true(v1.n_asked > 0);
    begin(&v1, &v2, 300);
    assert_true(rig_reload_until_released(&reload, 1000));
    assert_false(reload.drained);
    assert_int_equal(reload.held_ms, reload.asked_ms + 300);
    assert_int_equal(v1.n_asked, 0);
    assert_true(v1.n_cancelled > 0);
    assert_true(rig_until_count(&rig, "out", 40, 5000));
    expect_once(40);
    assert_int_equal(v2.n_delivered, 40);
    rig_down();
}

static void at_once_gives_up_what_is_in_flight(void **state)
{
    rig_up(4, true, true);
    v1.hangs = true;
    rig_open(&rig);
    rig_put_numbered(&rig, 0, 40);
    sim_run_for(&rig.sim, 2000);
    begin(&v1, &v2, 0);
    assert_true(rig_reload_until_released(&reload, 10));
    assert_false(reload.drained);
    assert_int_equal(reload.held_ms, reload.asked_ms);
    assert_true(rig_until_count(&rig, "out", 40, 1000)); /* no back-off */
    expect_once(40);
    rig_down();
}

/* A service that answers in 20 ms, and a thousand records before it. */
static void records_that_wait_are_not_waited_for(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        rig_up(seed, seed % 2, true);
        rig.config.commit_records = 500;
        rig.limits = (struct fg_sink_limits){1, 1u << 20, 8};
        v1.answer_ms = v2.answer_ms = 20;
        rig_open(&rig);
        rig_put_numbered(&rig, 0, 1200);
        sim_run_for(&rig.sim, 1000 + seed * 37);
        assert_true(rig_status(&rig).in_flight_records > 500);
        begin(&v1, &v2, 5000);
        assert_true(rig_reload_until_released(&reload, 1000));
        assert_true(reload.drained);
        assert_in_range(reload.held_ms - reload.asked_ms, 1, 50);
        assert_int_equal(v1.n_cancelled, 0);
        print_message("# held after %u ms", (unsigned)(reload.held_ms - reload.asked_ms));
        while (!v2.n_delivered && rig.sim.now_ms < reload.asked_ms + 1000)
            sim_run_for(&rig.sim, 1);
        print_message(", the next answer after %u ms\n", (unsigned)(rig.sim.now_ms - reload.asked_ms));
        assert_true(rig_until_count(&rig, "out", 1200, 20000));
        sim_run_for(&rig.sim, 1000);
        expect_once(1200);
        assert_int_equal(v1.n_delivered + v2.n_delivered, 1200); /* nobody was asked twice */
        rig_down();
    }
}

/* Its stages are used until it comes back, by it alone. */
static void a_worker_that_hangs_keeps_the_old_stages_and_nothing_else(void **state)
{
    bool sink = !*state; /* then what a worker has is not begun with, and not waited for */
    struct rig_workers workers;
    unsigned applied;

    rig_up(5, true, sink);
    rig_workers_init(&workers, &rig);
    workers.hang = true;
    rig_open(&rig);
    rig_put_numbered(&rig, 0, 4);
    sim_run_for(&rig.sim, 2000);
    assert_false(fg_list_empty(&workers.hung));
    workers.hang = false;
    begin(&v1, &v2, 50);
    assert_true(rig_reload_until_held(&reload, 1000));
    assert_int_equal(reload.held_ms, reload.asked_ms + (sink ? 0 : 50));
    assert_int_equal(reload.drained, sink);
    assert_true(rig_until_count(&rig, "out", 4, 5000));
    rig_put_numbered(&rig, 4, 40);
    assert_true(rig_until_count(&rig, "out", 40, 5000));
    assert_int_equal(reload.n_released, 0);
    assert_int_equal(v1.n_applied, 0);
    applied = v2.n_applied;
    rig_workers_let_go(&workers);
    assert_true(rig_reload_until_released(&reload, 1000));
    assert_int_equal(v1.n_applied, 0); /* what nobody wants is not done */
    assert_int_equal(v2.n_applied, applied);
    sim_run_for(&rig.sim, 1000);
    expect_once(40); /* and what it brought home does not count */
    rig_down();
}

/* The second swap takes out the transform that works of before the first one still use. */
static void swaps_are_released_in_their_order(void **state)
{
    struct rig_workers workers;
    struct rig_reload first;

    rig_up(6, true, true);
    rig_workers_init(&workers, &rig);
    workers.hang = true;
    rig_open(&rig);
    rig_put_numbered(&rig, 0, 4);
    sim_run_for(&rig.sim, 2000);
    workers.hang = false;
    begin(&v3, &v2, 0);
    reload.stay = true;
    assert_true(rig_reload_until_held(&reload, 100));
    first = reload;
    v3.stages = *rig_version_stages(&v2);
    v3.stages.transforms = &v1.transform; /* stays, the sink does not */
    fg_pipeline_swap(rig.pipeline, &v3.stages, rig_reload_released, &first);
    reload.old = &v1;
    rig_reload_swap(&reload);
    fg_pipeline_release(rig.pipeline);
    assert_true(rig_until_count(&rig, "out", 4, 5000));
    assert_int_equal(first.n_released + reload.n_released, 0);
    rig_workers_let_go(&workers);
    assert_true(rig_reload_until_released(&reload, 1000));
    assert_int_equal(first.n_released, 1);
    expect_once(4);
    rig_down();
}

static void brokers_that_are_away_hold_nothing_up(void **state)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        rig_up(seed, true, true);
        rig_open(&rig);
        rig_put_numbered(&rig, 0, 200);
        assert_true(rig_until_count(&rig, "out", 20 + seed, 5000));
        rig.bus.away = true;
        sim_run_for(&rig.sim, seed * 3);
        begin(&v1, &v2, 100);
        assert_true(rig_reload_until_held(&reload, 1000));
        assert_true(reload.held_ms <= reload.asked_ms + 100);
        sim_run_for(&rig.sim, seed % 2 ? 300 : 20000);
        rig.bus.away = false;
        assert_true(rig_until_count(&rig, "out", 200, 60000));
        sim_run_for(&rig.sim, 1000);
        expect_once(200);
        assert_int_equal(reload.n_released, 1);
        rig_down();
    }
}

static bool is_committing(void *arg)
{
    return rig.bus.n_publishes > *(size_t *)arg;
}

/* The commit under way is forgotten, and may count all the same, whatever becomes of its producer. */
static void a_commit_under_way_at_the_deadline_is_asked_for(void **state)
{
    static const enum model_fault faults[] = {MODEL_FAULT_NONE, MODEL_FAULT_ABORT, MODEL_FAULT_DEAD,
                                              MODEL_FAULT_COMMITTED, MODEL_FAULT_LATE};

    for (uint64_t seed = 1; seed <= 100; seed++) {
        size_t before;

        rig_up(seed, true, seed % 2);
        rig.config.delivery = FG_EXACTLY_ONCE;
        rig_open(&rig);
        rig_put_numbered(&rig, 0, 20);
        assert_true(rig_until_count(&rig, "out", 20, 5000));
        sim_run_for(&rig.sim, 200);
        rig_put_numbered(&rig, 20, 60);
        rig.bus.self.slow_until_ms = rig.sim.now_ms + 4000;
        rig.bus.self.slow_ms_max = 200;
        before = rig.bus.n_publishes;
        model_fault(&rig.bus, faults[seed % 5]);
        assert_true(sim_run_until(&rig.sim, 5000, is_committing, &before));
        sim_run_for(&rig.sim, seed * 7 % 300);
        begin(&v1, &v2, (uint32_t)(seed % 20));
        assert_true(rig_reload_until_held(&reload, 1000));
        assert_true(reload.held_ms <= reload.asked_ms + seed % 20);
        assert_true(rig_until_count(&rig, "out", 60, 60000));
        sim_run_for(&rig.sim, 5000);
        expect_once(60);
        rig_down();
    }
}

/* Offsets alone, outside of transactions: there is no producer to wait for. */
static void a_commit_of_offsets_alone_is_asked_for_too(void **state)
{
    size_t delivered;

    rig_up(7, false, true);
    rig.config.n_outputs = 0;
    rig.config.dead_topic = NULL;
    rig_open(&rig);
    rig_put_numbered(&rig, 0, 40);
    sim_run_for(&rig.sim, 3000);
    assert_int_equal(v1.n_delivered, 40);
    rig.bus.self.slow_until_ms = rig.sim.now_ms + 3000;
    rig.bus.self.slow_ms_max = 500;
    rig_put_numbered(&rig, 40, 60);
    sim_run_for(&rig.sim, 700);
    begin(&v1, &v2, 0);
    assert_true(rig_reload_until_released(&reload, 10));
    sim_run_for(&rig.sim, 6000);
    rig_put_numbered(&rig, 60, 80);
    sim_run_for(&rig.sim, 3000);
    delivered = v1.n_delivered + v2.n_delivered;
    assert_in_range(delivered, 80, 100); /* at least once */
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    assert_int_equal(rig_status(&rig).in_flight_records, 0);
    rig_down();
}

static void an_outage_ends_with_its_sink_and_goes_on_with_the_same_one(void **state)
{
    for (int same = 0; same < 2; same++) {
        uint64_t asked;

        rig_up(8, true, true);
        v1.retry_after_ms = 60000;
        rig_open(&rig);
        rig_put_numbered(&rig, 0, 8);
        assert_true(rig_until_state(&rig, FG_PIPELINE_TROUBLED, 5000));
        asked = v1.last_ms;
        v1.retry_after_ms = 0;
        begin(&v1, &v2, 10);
        reload.stay = true;
        assert_true(rig_reload_until_held(&reload, 1000));
        if (same) {
            v2.stages = *rig_version_stages(&v2);
            v2.stages.sink = &v1.sink;
            fg_pipeline_swap(rig.pipeline, &v2.stages, NULL, NULL);
        } else {
            rig_reload_swap(&reload);
        }
        fg_pipeline_release(rig.pipeline);
        if (!same)
            assert_true(rig_until_count(&rig, "out", 8, 1000));
        else
            assert_true(rig_until_count(&rig, "out", 8, 62000));
        if (same)
            assert_true(v1.last_ms > asked + 60000 && v2.n_delivered == 0);
        sim_run_for(&rig.sim, 100);
        assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
        expect_once(8);
        rig_down();
    }
}

static void what_failed_by_a_stage_is_tried_again_at_once(void **state)
{
    rig_up(9, true, true);
    v1.wrecked = true;
    rig.config.retry_cap_ms = 3600000;
    rig_open(&rig);
    rig_put_numbered(&rig, 0, 8);
    assert_true(rig_until_state(&rig, FG_PIPELINE_FAILED, 5000));
    sim_run_for(&rig.sim, 60000);
    begin(&v1, &v2, 1000);
    assert_true(rig_reload_until_released(&reload, 100));
    assert_true(rig_until_count(&rig, "out", 8, 6000));
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    expect_once(8);
    rig_down();
}

static void it_is_held_in_any_state(void **state)
{
    rig_up(10, true, true);
    rig.bus.away = true; /* it cannot even ask for its topics */
    rig_open(&rig);
    sim_run_for(&rig.sim, 3000);
    begin(&v1, &v2, 5000);
    assert_true(rig_reload_until_released(&reload, 100));
    assert_true(reload.drained);
    rig.bus.away = false;
    assert_true(rig_until_state(&rig, FG_PIPELINE_RUNNING, 60000));
    rig_put_numbered(&rig, 0, 8);
    assert_true(rig_until_count(&rig, "out", 8, 6000));
    fg_pipeline_pause(rig.pipeline);
    assert_true(rig_until_state(&rig, FG_PIPELINE_PAUSED, 1000));
    begin(&v2, &v3, 5000);
    assert_true(rig_reload_until_released(&reload, 100));
    rig_put_numbered(&rig, 8, 16);
    sim_run_for(&rig.sim, 1000);
    assert_int_equal(rig_count(&rig, "out"), 8);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_PAUSED);
    fg_pipeline_resume(rig.pipeline);
    assert_true(rig_until_count(&rig, "out", 16, 6000));
    expect_once(16);
    rig_down();
}

static void never_started_it_is_held_too(void **state)
{
    struct fg_error err;

    rig_up(11, true, true);
    rig.config.env = &rig.sim.env;
    rig.config.bus = &rig.bus.bus;
    rig.config.budget = &rig.budget;
    rig.config.metrics = rig.metrics;
    rig.config.changed = NULL;
    assert_int_equal(fg_pipeline_new(&rig.config, &rig.pipeline, &err), 0);
    begin(&v1, &v2, 5000);
    reload.stay = true;
    assert_true(rig_reload_until_held(&reload, 100));
    rig_reload_swap(&reload);
    rig.pipeline = fg_pipeline_free(rig.pipeline); /* what was swapped out is told of in any case */
    assert_int_equal(reload.n_released, 1);
    rig_deinit(&rig);
}

static void an_operator_stops_and_starts_it_meanwhile(void **state)
{
    for (unsigned round = 0; round < 4; round++) {
        bool while_held = round % 2, swapped = round / 2;

        rig_up(12 + round, true, true);
        v1.hangs = !while_held;
        rig_open(&rig);
        rig_put_numbered(&rig, 0, 8);
        sim_run_for(&rig.sim, 1000);
        begin(&v1, &v2, 60000);
        reload.stay = true;
        if (while_held)
            assert_true(rig_reload_until_held(&reload, 1000));
        if (while_held && swapped)
            rig_reload_swap(&reload);
        fg_pipeline_stop(rig.pipeline, false, NULL, NULL);
        assert_true(rig_until_state(&rig, FG_PIPELINE_STOPPED, 5000)); /* stop_ms is 3000 */
        sim_run_for(&rig.sim, 10);
        assert_int_equal(reload.n_held, 1);
        assert_int_equal(reload.n_released, while_held && swapped);
        fg_pipeline_start(rig.pipeline);
        sim_run_for(&rig.sim, 10000);
        assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
        assert_int_equal(rig_count(&rig, "out"), while_held ? 8 : 0); /* held still */
        v1.hangs = false;
        if (!reload.n_released)
            rig_reload_swap(&reload);
        fg_pipeline_release(rig.pipeline);
        rig_put_numbered(&rig, 8, 16);
        assert_true(rig_until_count(&rig, "out", 16, 6000));
        expect_once(16);
        rig_down();
    }
}

static void partitions_come_and_go_meanwhile(void **state)
{
    for (unsigned round = 0; round < 40; round++) {
        rig_up(20 + round, true, true);
        v1.hangs = round % 4 == 0;
        rig_open(&rig);
        rig_put_numbered(&rig, 0, 100);
        sim_run_for(&rig.sim, 500);
        begin(&v1, &v2, round % 4 ? 2000 : 50);
        reload.stay = true;
        if (round % 2)
            assert_true(rig_reload_until_held(&reload, 3000));
        model_rebalance(&rig.bus, round % 3 == 0);
        sim_run_for(&rig.sim, round * 100);
        assert_true(rig_reload_until_held(&reload, 3000));
        assert_true(reload.held_ms <= reload.asked_ms + 2000);
        rig_put_numbered(&rig, 100, 120);
        sim_run_for(&rig.sim, 500);
        rig_reload_swap(&reload);
        fg_pipeline_release(rig.pipeline);
        assert_true(rig_until_count(&rig, "out", 120, 30000));
        sim_run_for(&rig.sim, 1000);
        expect_once(120);
        rig_down();
    }
}

static double metric_of(const char *node, const char *result)
{
    static const struct fg_metric_decl decl = {"fragua_records_total", FG_METRIC_TYPE_COUNTER, ""};
    struct fg_label labels[] = {{"pipeline", "p"}, {"node", node}, {"result", result}};
    return fg_metric_value(fg_metric_get(rig.metrics, &decl, labels, 3));
}

static void stages_are_added_and_taken_away_and_their_counters_stay(void **state)
{
    struct fg_stage two[2];

    rig_up(60, true, false);
    rig_open(&rig);
    rig_put_numbered(&rig, 0, 8);
    assert_true(rig_until_count(&rig, "out", 8, 5000));
    begin(&v1, &v2, 1000);
    reload.stay = true;
    assert_true(rig_reload_until_held(&reload, 100));
    two[0] = v2.transform;
    two[1] = v3.transform;
    two[1].node = "transforms.1";
    (void)rig_version_stages(&v2);
    v2.stages.transforms = two;
    v2.stages.n_transforms = 2;
    v2.stages.sink = &v3.sink;
    v2.stages.commit_records = 1;
    fg_pipeline_swap(rig.pipeline, &v2.stages, rig_reload_released, &reload);
    fg_pipeline_release(rig.pipeline);
    rig_put_numbered(&rig, 8, 16);
    assert_true(rig_until_count(&rig, "out", 16, 5000));
    assert_true(fg_slice_ends(rig_seen(&rig, "out", "k3", 3)->value, fg_slice_of("v2v3v3!")));
    assert_int_equal((int)metric_of("transforms.0", "kept"), 16);
    assert_int_equal((int)metric_of("transforms.1", "kept"), 8);
    assert_int_equal((int)metric_of("sink", "delivered"), 8);
    sim_run_for(&rig.sim, 100);
    assert_true(rig_status(&rig).commits >= 9); /* one each */

    begin(&v2, NULL, 1000);
    reload.stay = true;
    assert_true(rig_reload_until_held(&reload, 100));
    v1.released = false;
    v3.stages = v2.stages;
    v3.stages.sink = NULL;
    v3.stages.n_transforms = 0;
    fg_pipeline_swap(rig.pipeline, &v3.stages, rig_reload_released, &reload);
    fg_pipeline_release(rig.pipeline);
    rig_put_numbered(&rig, 16, 20);
    assert_true(rig_until_count(&rig, "out", 20, 5000));
    assert_true(fg_slice_ends(rig_seen(&rig, "out", "k3", 4)->value, fg_slice_of("k3-4")));
    assert_int_equal((int)metric_of("transforms.0", "kept"), 16);
    rig_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(under_load_nothing_is_lost_or_twice_and_no_handle_is_opened),
        cmocka_unit_test(a_hold_without_a_swap_changes_nothing),
        cmocka_unit_test(a_sink_that_hangs_is_left_at_the_deadline),
        cmocka_unit_test(at_once_gives_up_what_is_in_flight),
        cmocka_unit_test(records_that_wait_are_not_waited_for),
        cmocka_unit_test(a_worker_that_hangs_keeps_the_old_stages_and_nothing_else),
        cmocka_unit_test_prestate(a_worker_that_hangs_keeps_the_old_stages_and_nothing_else, &rig),
        cmocka_unit_test(swaps_are_released_in_their_order),
        cmocka_unit_test(brokers_that_are_away_hold_nothing_up),
        cmocka_unit_test(a_commit_under_way_at_the_deadline_is_asked_for),
        cmocka_unit_test(a_commit_of_offsets_alone_is_asked_for_too),
        cmocka_unit_test(an_outage_ends_with_its_sink_and_goes_on_with_the_same_one),
        cmocka_unit_test(what_failed_by_a_stage_is_tried_again_at_once),
        cmocka_unit_test(it_is_held_in_any_state),
        cmocka_unit_test(never_started_it_is_held_too),
        cmocka_unit_test(an_operator_stops_and_starts_it_meanwhile),
        cmocka_unit_test(partitions_come_and_go_meanwhile),
        cmocka_unit_test(stages_are_added_and_taken_away_and_their_counters_stay),
    };
    return cmocka_run_group_tests_name("flow reload", tests, NULL, NULL);
}
