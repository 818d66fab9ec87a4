/* SPDX-License-Identifier: Apache-2.0 */
/* A pipeline from a source plugin, with its cursors in a topic, on simulated Kafka. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../../test/model/flow-rig.h"
#include "base/json.h"
#include "flow/cursors.h"

/* Every owner's mails are in "out" once and in order, and nothing else. */
static void expect_mails(struct rig *rig, unsigned mails)
{
    for (size_t o = 0; o < rig->n_owners; o++) {
        for (unsigned i = 0; i < mails; i++) {
            const struct model_record *r = rig_seen(rig, "out", rig->owners[o].name, i);
            char want[64];
            (void)snprintf(want, sizeof(want), "%s#%u", rig->owners[o].name, i);
            assert_non_null(r);
            assert_true(strncmp(r->value.ptr, want, strlen(want)) == 0);
        }
    }
    assert_int_equal(rig_count(rig, "out"), rig->n_owners * mails);
}

static void mails_arrive_once_and_in_order(void **state)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rig rig;

        rig_init(&rig, seed);
        rig_use_source(&rig, 7, 30);
        rig_use_transform(&rig);
        rig_open(&rig);
        assert_true(rig_until_count(&rig, "out", 210, 20000));
        sim_run_for(&rig.sim, 200);
        expect_mails(&rig, 30);
        rig_stop(&rig, seed % 2);
        rig_deinit(&rig);
    }
}

static void slow_down(void *arg, struct model_client *client, unsigned k)
{
    struct rig *rig = arg;

    client->slow_until_ms = rig->sim.now_ms + 1; /* this request, and what leaves at the same time */
    client->slow_ms_max = 100;
}

/* Else batches of one interval each would wait in a row, and the source fall behind for ever. */
static void slow_commits_take_more_along(void **state)
{
    struct rig rig;

    rig_init(&rig, 3);
    rig_use_source(&rig, 3, 200);
    rig.per_pull = 2;
    rig.config.commit_interval_ms = 20;
    rig.config.commit_records = 10000;
    rig.bus.before_step = slow_down;
    rig.bus.before_step_arg = &rig;
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 600, 100000));
    assert_true(rig.bus.n_publishes <= 8); /* 20 and more, if each took 20 ms' mails only */
    rig_deinit(&rig);
}

static void cursors_are_written_where_they_belong(void **state)
{
    struct rig rig;
    size_t found = 0;

    rig_init(&rig, 1);
    rig_use_source(&rig, 12, 3);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 36, 5000));
    sim_run_for(&rig.sim, 200);
    for (int32_t p = 0; p < 4; p++) {
        const struct model_record *r;
        for (size_t i = 0; (r = model_seen(model_topic(&rig.bus, "cursors", 4), p, i)); i++) {
            struct fg_slice key = fg_slice_make(r->key.ptr + 2, r->key.len - 2);
            assert_memory_equal(r->key.ptr, "p/box", 5);
            assert_int_equal(fg_cursor_partition("p", fg_cursor_owner(key), 4), p);
            assert_true(fg_json_valid(r->value));
            assert_true(fg_json_string_is(fg_json_find(r->value, "/link").raw, "3"));
            assert_true(fg_slice_is(fg_json_find(r->value, "/generation").raw, "1"));
            assert_true(fg_json_string_is(fg_json_find(r->value, "/state").raw, "ok"));
            assert_int_equal(fg_json_find(r->value, "/updated_at").kind, FG_JSON_STRING);
            found++;
        }
    }
    assert_int_equal(found, 12);
    rig_deinit(&rig);
}

static void a_restart_reads_the_cursors_back(void **state)
{
    struct rig rig;

    rig_init(&rig, 2);
    rig_use_source(&rig, 5, 10);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 50, 5000));
    sim_run_for(&rig.sim, 200);
    rig_stop(&rig, false);
    assert_true(rig.n_revokes > 0);
    for (size_t i = 0; i < rig.n_owners; i++) {
        assert_false(rig.owners[i].mine);
        rig.owners[i].total = 15;
    }
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 75, 5000));
    sim_run_for(&rig.sim, 200);
    for (size_t i = 0; i < rig.n_owners; i++)
        assert_int_equal(rig.owners[i].told, 10);
    expect_mails(&rig, 15);
    rig_deinit(&rig);
}

static void foreign_cursors_and_tombstones_are_no_cursors(void **state)
{
    struct rig rig;
    struct fg_slice owner = fg_slice_of("box0");
    const char *foreign = "{\"link\":\"7\",\"state\":\"ok\",\"generation\":1}";

    rig_init(&rig, 3);
    rig_use_source(&rig, 1, 4);
    model_write(&rig.bus, "cursors", fg_cursor_partition("q", owner, 4), fg_slice_of("q/box0/inbox"),
                fg_slice_of(foreign), NULL, 0);
    model_write(&rig.bus, "cursors", 0, fg_slice_of("nonsense"), fg_slice_of("nonsense"), NULL, 0);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 4, 5000));
    assert_int_equal(rig.owners[0].told, 0);
    rig_deinit(&rig);
}

static void a_changed_partition_count_is_noticed(void **state)
{
    struct rig rig;
    int32_t right = fg_cursor_partition("p", fg_slice_of("box0"), 4);

    rig_init(&rig, 4);
    rig_use_source(&rig, 1, 4);
    model_write(&rig.bus, "cursors", (right + 1) % 4, fg_slice_of("p/box0/inbox"), fg_slice_of("{\"link\":\"2\"}"),
                NULL, 0);
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_FAILED, 5000));
    assert_non_null(strstr(rig_status(&rig).trouble.text, "partition count"));
    assert_int_equal(rig_count(&rig, "out"), 0);
    rig_deinit(&rig);
}

/* A replica that has none but new partitions finds no cursor out of place: what is committed tells it. */
static void a_larger_partition_count_is_noticed_by_what_was_committed(void **state)
{
    struct model_topic *cursors;
    struct rig rig;

    rig_init(&rig, 5);
    rig_use_source(&rig, 1, 4);
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 4, 5000));
    sim_run_for(&rig.sim, 200);
    rig_stop(&rig, false);
    cursors = model_topic(&rig.bus, "cursors", 4);
    cursors->partitions = realloc(cursors->partitions, 8 * sizeof(*cursors->partitions));
    assert_non_null(cursors->partitions);
    memset(cursors->partitions + 4, 0, 4 * sizeof(*cursors->partitions));
    cursors->n_partitions = 8;
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_FAILED, 5000));
    assert_non_null(strstr(rig_status(&rig).trouble.text, "has 8 partitions and had 4"));
    assert_int_equal(rig_count(&rig, "out"), 4);
    rig_deinit(&rig);
}

static void an_abort_rewinds_the_source(void **state)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct rig rig;

        rig_init(&rig, seed);
        rig_use_source(&rig, 4, 25);
        rig.stubborn = true;
        rig.config.commit_records = 10;
        model_fault(&rig.bus, MODEL_FAULT_NONE);
        model_fault(&rig.bus, MODEL_FAULT_ABORT);
        model_fault(&rig.bus, seed % 2 ? MODEL_FAULT_DEAD : MODEL_FAULT_ABORT);
        rig_open(&rig);
        assert_true(rig_until_count(&rig, "out", 100, 60000));
        sim_run_for(&rig.sim, 500);
        /* after a dead producer the cursors are read anew, as after a rebalance */
        assert_true(rig.n_rewinds >= 2 - seed % 2);
        assert_true(rig.n_revokes >= seed % 2);
        assert_int_equal(rig_status(&rig).aborts, 2);
        assert_int_equal(rig_status(&rig).handles_recreated, seed % 2);
        assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
        expect_mails(&rig, 25);
        rig_deinit(&rig);
    }
}

static void at_least_once_writes_cursors_after_the_mails(void **state)
{
    struct rig rig;

    rig_init(&rig, 5);
    rig_use_source(&rig, 4, 25);
    rig.config.delivery = FG_AT_LEAST_ONCE;
    rig_open(&rig);
    assert_true(rig_until_count(&rig, "out", 100, 60000));
    sim_run_for(&rig.sim, 500);
    expect_mails(&rig, 25);
    rig_stop(&rig, false);
    rig_open(&rig);
    sim_run_for(&rig.sim, 1000);
    expect_mails(&rig, 25);
    rig_deinit(&rig);
}

static void a_rebalance_gives_the_mailboxes_back(void **state)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct rig rig;

        rig_init(&rig, seed);
        rig_use_source(&rig, 6, 40);
        rig_use_transform(&rig);
        rig_open(&rig);
        for (int i = 0; i < 4; i++) {
            assert_true(rig_until_count(&rig, "out", (size_t)(i + 1) * 40, 20000));
            model_rebalance(&rig.bus, (seed + (uint64_t)i) % 2);
        }
        assert_true(rig_until_count(&rig, "out", 240, 20000));
        sim_run_for(&rig.sim, 500);
        assert_true(rig.n_revokes >= 2); /* one that comes while cursors are read revokes nothing */
        expect_mails(&rig, 40);
        rig_deinit(&rig);
    }
}

static void the_budget_holds_the_source_back(void **state)
{
    struct rig rig;
    size_t most = 0;

    rig_init(&rig, 6);
    fg_budget_init(&rig.budget, 256u << 10);
    rig_use_source(&rig, 4, 50);
    rig_use_sink(&rig);
    rig.record_bytes = 8000;
    rig.sink_ms_max = 100;
    rig.limits = (struct fg_sink_limits){1, 1u << 20, 1};
    rig_open(&rig);
    for (int i = 0; i < 20000 && rig_count(&rig, "out") < 200; i++) {
        sim_run_for(&rig.sim, 5);
        if (atomic_load(&rig.budget.used) > most)
            most = atomic_load(&rig.budget.used);
    }
    assert_int_equal(rig_count(&rig, "out"), 200);
    assert_true(most > 128u << 10);  /* it was really needed */
    assert_true(most <= 320u << 10); /* results may pass the limit a little, what comes in may not */
    rig_deinit(&rig);
}

static void a_source_in_trouble_shows(void **state)
{
    struct fg_error err;
    struct rig rig;

    rig_init(&rig, 7);
    rig_use_source(&rig, 1, 1);
    rig_open(&rig);
    assert_true(rig_until_state(&rig, FG_PIPELINE_RUNNING, 5000));
    fg_error_set(&err, FG_E_AUTH, FG_ERROR_RETRIABLE, "the client secret was refused");
    fg_pipeline_source_trouble(rig.pipeline, &rig, &err);
    sim_run_for(&rig.sim, 10);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_TROUBLED);
    assert_string_equal(rig_status(&rig).trouble_node, "source");
    assert_string_equal(rig_status(&rig).trouble.text, "the client secret was refused");
    assert_true(rig_status(&rig).trouble_since_ms > 0);
    fg_pipeline_source_trouble(rig.pipeline, &rig, NULL);
    sim_run_for(&rig.sim, 10);
    assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mails_arrive_once_and_in_order),
        cmocka_unit_test(slow_commits_take_more_along),
        cmocka_unit_test(cursors_are_written_where_they_belong),
        cmocka_unit_test(a_restart_reads_the_cursors_back),
        cmocka_unit_test(foreign_cursors_and_tombstones_are_no_cursors),
        cmocka_unit_test(a_changed_partition_count_is_noticed),
        cmocka_unit_test(a_larger_partition_count_is_noticed_by_what_was_committed),
        cmocka_unit_test(an_abort_rewinds_the_source),
        cmocka_unit_test(at_least_once_writes_cursors_after_the_mails),
        cmocka_unit_test(a_rebalance_gives_the_mailboxes_back),
        cmocka_unit_test(the_budget_holds_the_source_back),
        cmocka_unit_test(a_source_in_trouble_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
