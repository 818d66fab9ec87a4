/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts that outlive a process: a record that ends processes is found by the marks that they left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "../../test/model/flow-rig.h"
#include "flow/pipeline-private.h"

#define GOOD 20u

/* A process that ends while the record is in hand, as far as Kafka can tell: nothing is committed for it. */
static void live_once(struct rig *rig)
{
    rig_open(rig);
    sim_run_for(&rig->sim, 3000);
    if (rig_count(rig, "dead") == 0)
        rig_stop(rig, true);
}

static void a_record_that_ends_processes_becomes_a_dead_letter(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        const struct model_record *dead;
        struct rig rig;
        unsigned lives = 0;

        rig_init(&rig, seed);
        rig_use_sink(&rig);
        if (seed % 2)
            rig_use_transform(&rig);
        rig_put_numbered(&rig, 0, GOOD / 2);
        rig_put(&rig, "k0", "hang");
        rig_put_numbered(&rig, GOOD / 2, GOOD);
        while (rig_count(&rig, "dead") == 0 && lives++ < 20)
            live_once(&rig);
        /* five get nothing done, three have it in hand by name, then it is known; a commit begins anew */
        assert_in_range(lives, 8, 15);
        assert_true(rig_until_count(&rig, "out", GOOD, 60000));
        sim_run_for(&rig.sim, 3000);
        rig_expect_numbered(&rig, GOOD, 1);
        dead = rig_seen(&rig, "dead", "k0", 0);
        assert_true(fg_slice_is(dead->value, "hang"));
        assert_true(fg_slice_is(rig_header(dead, "fragua_stage"), "process"));
        assert_true(fg_slice_is(rig_header(dead, "fragua_attempts"), "3"));
        assert_true(fg_slice_is(rig_header(dead, "fragua_code"), "internal"));
        rig_deinit(&rig);
    }
}

static bool is_asked(void *arg)
{
    return ((struct rig *)arg)->n_in_flight > 0;
}

/* Each in a partition of its own, and each ends a process at once: what is known of one is safe before the next. */
static void three_records_that_end_processes_become_dead_letters(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig rig;
        unsigned lives = 0;

        rig_init(&rig, seed);
        rig_use_sink(&rig);
        rig.limits.records_max = 1;
        for (int32_t partition = 0; partition < 3; partition++)
            model_write(&rig.bus, "in", partition, fg_slice_of("k"), fg_slice_of("hang"), NULL, 0);
        while (rig_count(&rig, "dead") < 3 && lives++ < 40) {
            rig_open(&rig);
            sim_run_until(&rig.sim, 3000, is_asked, &rig);
            rig_stop(&rig, true);
        }
        assert_int_equal(rig_count(&rig, "dead"), 3);
        assert_in_range(lives, 8, 30);
        rig_deinit(&rig);
    }
}

static void a_restart_in_an_outage_is_not_the_records_fault(void **state)
{
    struct rig rig;

    rig_init(&rig, 1);
    rig_use_sink(&rig);
    rig_put_numbered(&rig, 0, GOOD);
    rig.outage_until_ms = 200000;
    for (unsigned lives = 0; lives < 20; lives++)
        live_once(&rig);
    assert_true(rig.sim.now_ms < rig.outage_until_ms);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", GOOD, 600000));
    rig_expect_numbered(&rig, GOOD, 0);
    rig_deinit(&rig);
}

/* A sink whose login was taken away: the process has not ended, so it is nobody's fault, however often it begins. */
static void a_pipeline_that_fails_again_and_again_blames_no_record(void **state)
{
    struct rig rig;

    rig_init(&rig, 6);
    rig_use_sink(&rig);
    rig_put(&rig, "k0", "fatal");
    rig_put_numbered(&rig, 0, GOOD);
    rig_open(&rig);
    sim_run_for(&rig.sim, 600000);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_FAILED);
    assert_true(rig_status(&rig).attempt > 20);
    assert_int_equal(rig_count(&rig, "dead"), 0);
    for (int32_t partition = 0; partition < 3; partition++) {
        const char *text = model_metadata(&rig.bus, "g", "in", partition);
        assert_true(!text || strcmp(text, "fragua starts=1") == 0);
    }
    rig_deinit(&rig);
}

static void a_commit_wipes_the_slate(void **state)
{
    struct rig rig;

    rig_init(&rig, 2);
    rig_use_sink(&rig);
    for (unsigned i = 0; i < 12; i++) {
        rig_open(&rig);
        rig_put_numbered(&rig, i, i + 1);
        assert_true(rig_until_count(&rig, "out", i + 1, 10000));
        rig_stop(&rig, true);
    }
    rig_expect_numbered(&rig, 12, 0);
    rig_deinit(&rig);
}

static void restarts_without_work_leave_no_mark(void **state)
{
    struct rig rig;

    rig_init(&rig, 3);
    rig_use_sink(&rig);
    for (unsigned i = 0; i < 12; i++) {
        rig_open(&rig);
        assert_true(rig_until_state(&rig, FG_PIPELINE_RUNNING, 10000));
        sim_run_for(&rig.sim, 1000);
        rig_stop(&rig, false);
    }
    for (int32_t partition = 0; partition < 3; partition++)
        assert_null(model_metadata(&rig.bus, "g", "in", partition));
    rig_deinit(&rig);
}

/* A partition without work has no commit either that would set it back. */
static void partitions_without_work_do_not_count(void **state)
{
    struct rig rig;
    unsigned marked = 0;

    rig_init(&rig, 5);
    rig_use_sink(&rig);
    for (unsigned i = 0; i < 12; i++) {
        rig_open(&rig);
        rig_put(&rig, "k0", "good");
        assert_true(rig_until_count(&rig, "out", i + 1, 10000));
        rig_stop(&rig, true);
    }
    for (int32_t partition = 0; partition < 3; partition++) {
        const char *text = model_metadata(&rig.bus, "g", "in", partition);
        assert_true(!text || strcmp(text, "fragua starts=1") == 0);
        marked += text != NULL;
    }
    assert_int_equal(marked, 1);
    rig_deinit(&rig);
}

static void what_others_wrote_there_says_nothing(void **state)
{
    static const char *const others[] = {"", "by hand", "fragua starts=", "fragua starts=-1 hits=x record="};

    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        struct fg_flow_partition partition = {0};
        fg_flow_mark_read(&partition, others[i]);
        assert_true(partition.found.starts == 0 || partition.found.starts > 1000000);
        assert_int_equal(partition.found.hits, 0);
    }
}

static void a_source_is_marked_too(void **state)
{
    struct rig rig;
    int most = 0;

    rig_init(&rig, 4);
    rig_use_source(&rig, 4, 5);
    rig_use_sink(&rig);
    rig.outage_until_ms = 100000;
    for (unsigned lives = 0; lives < 3; lives++)
        live_once(&rig);
    for (size_t i = 0; i < rig.n_owners; i++) {
        int32_t partition = fg_cursor_partition("p", fg_slice_of(rig.owners[i].name), 4);
        const char *text = model_metadata(&rig.bus, "g", "cursors", partition);
        most = text && strcmp(text, "fragua starts=3 partitions=4") == 0 ? 3 : most;
        assert_true(!text || strstr(text, " partitions=4"));
    }
    assert_int_equal(most, 3); /* of the others nothing was ever in hand */
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 20, 600000));
    sim_run_for(&rig.sim, 1000);
    assert_int_equal(rig_count(&rig, "out"), 20);
    assert_int_equal(rig_count(&rig, "dead"), 0);
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_that_ends_processes_becomes_a_dead_letter),
        cmocka_unit_test(three_records_that_end_processes_become_dead_letters),
        cmocka_unit_test(a_restart_in_an_outage_is_not_the_records_fault),
        cmocka_unit_test(a_pipeline_that_fails_again_and_again_blames_no_record),
        cmocka_unit_test(a_commit_wipes_the_slate),
        cmocka_unit_test(restarts_without_work_leave_no_mark),
        cmocka_unit_test(partitions_without_work_do_not_count),
        cmocka_unit_test(what_others_wrote_there_says_nothing),
        cmocka_unit_test(a_source_is_marked_too),
    };

    return cmocka_run_group_tests_name("flow marks", tests, NULL, NULL);
}
