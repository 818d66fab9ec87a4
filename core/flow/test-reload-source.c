/* SPDX-License-Identifier: Apache-2.0 */
/* Reloads of a pipeline with a source: who has the mailboxes, and from where on. */
#include "flow/test-reload-bed.h"

static unsigned totals[RIG_BOXES];

static void source_up(uint64_t seed, unsigned mails)
{
    rig_up(seed, true, false);
    for (size_t b = 0; b < RIG_BOXES; b++)
        totals[b] = mails;
    rig_version_use_source(&v1, totals);
    v2.totals = v3.totals = totals;
}

static void more_mail(unsigned mails, struct rig_version *v)
{
    for (size_t b = 0; b < RIG_BOXES; b++)
        totals[b] += mails;
    rig_version_mail(v);
}

/* As the plugin's stop() does. */
static void source_down(struct rig_version *v)
{
    struct fg_batch *fill = v->fill;

    v->fill = NULL;
    if (fill)
        fg_batch_cancel(fill, NULL);
    rig_down();
}

static void expect_mails(unsigned mails)
{
    for (size_t b = 0; b < RIG_BOXES; b++) {
        for (unsigned i = 0; i < mails; i++) {
            const struct model_record *r = rig_seen(&rig, "out", v1.boxes[b].name, i);
            char want[32];
            (void)snprintf(want, sizeof(want), "%s#%uv", v1.boxes[b].name, i);
            assert_non_null(r);
            assert_true(fg_slice_starts(r->value, fg_slice_of(want)));
        }
    }
    assert_int_equal(rig_count(&rig, "out"), RIG_BOXES * mails);
}

static void a_new_source_goes_on_where_the_old_one_was_committed(void **state)
{
    source_up(70, 5);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 15, 5000));
    sim_run_for(&rig.sim, 500);
    assert_non_null(v1.fill); /* it waits for mail */
    begin(&v1, &v2, 1000);
    assert_true(rig_reload_until_released(&reload, 100));
    assert_int_equal(v1.n_revoked, RIG_BOXES);
    assert_null(v1.fill);
    sim_run_for(&rig.sim, 10);
    assert_int_equal(v2.n_assigned, RIG_BOXES);
    assert_int_equal(v2.n_rewound, 0);
    assert_int_equal(v2.boxes[2].at, 5);
    more_mail(3, &v2);
    assert_true(rig_until_count(&rig, "out", 24, 5000));
    expect_mails(8);
    assert_int_equal(rig.bus.n_rebalances, 1);
    source_down(&v2);
}

static void what_an_old_source_still_says_or_hands_over_does_not_count(void **state)
{
    struct fg_error fatal;
    struct fg_batch *fill;

    fg_error_set(&fatal, FG_E_AUTH, FG_ERROR_FATAL, "the login is gone");
    source_up(71, 5);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 15, 5000));
    sim_run_for(&rig.sim, 500);
    v1.keeps = true;
    fill = v1.fill;
    fg_pipeline_source_trouble(rig.pipeline, &v1, &(struct fg_error){.code = FG_E_UNAVAILABLE, .text = "away"});
    assert_true(rig_until_state(&rig, FG_PIPELINE_TROUBLED, 100));
    begin(&v1, &v2, 1000);
    reload.stay = true;
    assert_true(rig_reload_until_held(&reload, 100));
    rig_reload_swap(&reload);
    fg_pipeline_release(rig.pipeline);
    v1.fill = NULL; /* its stop() takes its time */
    assert_true(rig_reload_until_released(&reload, 100));
    totals[0]++;
    v1.boxes[0].mine = true;
    v1.fill = fill; /* void, and belongs to nobody: it may be filled and handed over all the same */
    rig_version_mail(&v1);
    fg_pipeline_source_trouble(rig.pipeline, &v1, &fatal);
    rig_version_mail(&v2);
    assert_true(rig_until_count(&rig, "out", 16, 5000));
    sim_run_for(&rig.sim, 500);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    assert_true(fg_slice_ends(rig_seen(&rig, "out", "box0", 5)->value, fg_slice_of("v2v2")));
    assert_int_equal(rig_count(&rig, "out"), 16);
    source_down(&v2);
}

/* Only transforms are swapped: the source keeps what it has, and what it hands over while held is asked for again. */
static void a_source_that_stays_is_not_disturbed(void **state)
{
    for (int late = 0; late < 2; late++) {
        source_up(72, 5);
        rig_open(&rig);
        assert_true(rig_until_count(&rig, "out", 15, 5000));
        sim_run_for(&rig.sim, 500);
        begin(&v1, &v2, 1000);
        reload.stay = true;
        assert_true(rig_reload_until_held(&reload, 100));
        if (late)
            more_mail(1, &v1);
        v2.stages = *rig_version_stages(&v2);
        v2.stages.source = &v1.source;
        fg_pipeline_swap(rig.pipeline, &v2.stages, NULL, NULL);
        fg_pipeline_release(rig.pipeline);
        sim_run_for(&rig.sim, 10);
        if (!late)
            more_mail(1, &v1);
        assert_true(rig_until_count(&rig, "out", 18, 5000));
        expect_mails(6);
        assert_int_equal(v1.n_revoked, 0);
        assert_int_equal(v1.n_assigned, RIG_BOXES);
        assert_true(fg_slice_ends(rig_seen(&rig, "out", "box1", 5)->value, fg_slice_of("v1v2")));
        source_down(&v1);
    }
}

/* Brokers away in a commit: nobody knows where the boxes are before they are back. */
static void a_new_source_learns_its_cursors_when_they_are_known(void **state)
{
    for (uint64_t seed = 100; seed < 140; seed++) {
        source_up(seed, 5);
        rig_open(&rig);
        assert_true(rig_until_count(&rig, "out", 15, 5000));
        sim_run_for(&rig.sim, 500);
        more_mail(5, &v1);
        sim_run_for(&rig.sim, seed % 20);
        rig.bus.away = true;
        sim_run_for(&rig.sim, seed % 2 ? 100 : 15000);
        begin(&v1, &v2, 50);
        assert_true(rig_reload_until_released(&reload, 1000));
        assert_true(reload.held_ms <= reload.asked_ms + 50);
        sim_run_for(&rig.sim, seed % 3 ? 100 : 30000);
        rig.bus.away = false;
        assert_true(rig_until_count(&rig, "out", 30, 120000));
        sim_run_for(&rig.sim, 3000);
        expect_mails(10);
        assert_int_equal(v2.n_rewound, 0);
        source_down(&v2);
    }
}

/* Pages that wait for the sink are put back, whole, and read again by whoever has the boxes then. */
static void pages_that_wait_are_put_back(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        bool stays = seed % 2;

        source_up(seed, 40);
        rig_version_use(&v1, seed % 3 > 0, true);
        rig.config.commit_records = 1 + seed % 7;
        rig.limits = (struct fg_sink_limits){1, 1u << 20, 1 + seed % 3};
        v1.answer_ms = v2.answer_ms = 20;
        rig_open(&rig);
        sim_run_for(&rig.sim, 300 + seed * 11);
        assert_true(rig_status(&rig).in_flight_records > 0);
        begin(&v1, &v2, 5000);
        reload.stay = true;
        assert_true(rig_reload_until_held(&reload, 1000));
        assert_true(reload.drained);
        v2.stages = *rig_version_stages(&v2);
        if (stays)
            v2.stages.source = &v1.source;
        fg_pipeline_swap(rig.pipeline, &v2.stages, NULL, NULL);
        sim_run_for(&rig.sim, seed % 5);
        fg_pipeline_release(rig.pipeline);
        assert_true(rig_until_count(&rig, "out", 120, 20000));
        sim_run_for(&rig.sim, 1000);
        expect_mails(40);
        assert_int_equal(rig_status(&rig).aborts, 0);
        source_down(stays ? &v1 : &v2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_source_goes_on_where_the_old_one_was_committed),
        cmocka_unit_test(what_an_old_source_still_says_or_hands_over_does_not_count),
        cmocka_unit_test(a_source_that_stays_is_not_disturbed),
        cmocka_unit_test(a_new_source_learns_its_cursors_when_they_are_known),
        cmocka_unit_test(pages_that_wait_are_put_back),
    };
    return cmocka_run_group_tests_name("flow reload source", tests, NULL, NULL);
}
