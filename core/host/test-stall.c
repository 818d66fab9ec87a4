/* SPDX-License-Identifier: Apache-2.0 */
/* The loop's stalls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/stall.h"

#define MS UINT64_C(1000000)

static void a_stall_counts_for_a_minute_and_for_ever(void **state)
{
    struct fg_stall stall = { .slot = 100 };
    uint64_t now = UINT64_C(100) * FG_STALL_SLOT_MS * MS;
    struct fg_metrics *metrics = fg_metrics_new();
    const struct fg_metric_decl decl = { "busy", FG_METRIC_TYPE_HISTOGRAM, "x" };

    stall.busy = fg_metric_get(metrics, &decl, NULL, 0);
    fg_stall_note(&stall, now, 50 * MS, 50 * MS / 2);
    fg_stall_note(&stall, now, 3 * MS, 3 * MS / 2);
    assert_true(fg_stall_longest_minute(&stall, &stall.wall, now) == 0.05);
    /* also when the loop sleeps all the while */
    assert_true(fg_stall_longest_minute(&stall, &stall.wall, now + 59999 * MS) == 0.05);
    assert_true(fg_stall_longest_minute(&stall, &stall.wall, now + 70000 * MS) == 0);
    fg_stall_note(&stall, now + 30000 * MS, 20 * MS, 20 * MS / 2);
    fg_stall_note(&stall, now + 59999 * MS, 1 * MS, 1 * MS / 2);
    assert_true(fg_stall_longest_minute(&stall, &stall.wall, now + 59999 * MS) == 0.05);
    fg_stall_note(&stall, now + 71000 * MS, 1 * MS, 1 * MS / 2);
    assert_true(fg_stall_longest_minute(&stall, &stall.wall, now + 71000 * MS) == 0.02);
    fg_stall_note(&stall, now + 3600000 * MS, 1 * MS, 1 * MS / 2);
    assert_true(fg_stall_longest_minute(&stall, &stall.wall, now + 3600000 * MS) == 0.001);
    assert_true(fg_stall_longest(&stall.wall) == 0.05);
    assert_true(fg_stall_longest(&stall.cpu) == 0.025);
    fg_metrics_free(metrics);
}

static void closed(void *arg)
{
    ++*(int *)arg;
}

static void be_busy(uv_timer_t *timer)
{
    for (uint64_t until = uv_hrtime() + 30 * MS; uv_hrtime() < until;)
        continue;
    uv_close((uv_handle_t *)timer, NULL);
}

static void nap(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, NULL);
}

static void the_loop_measures_work_and_not_sleep(void **state)
{
    struct fg_metrics *metrics = fg_metrics_new();
    struct fg_stall stall = { 0 };
    uv_timer_t busy, last;
    uint64_t began = uv_hrtime();
    uv_loop_t loop;
    int n_closed = 0;

    fg_stall_close(&stall, closed, &n_closed); /* never started */
    assert_int_equal(n_closed, 1);
    assert_int_equal(uv_loop_init(&loop), 0);
    fg_stall_start(&stall, &loop, metrics);
    uv_timer_init(&loop, &busy);
    uv_timer_init(&loop, &last);
    uv_timer_start(&busy, be_busy, 20, 0);
    uv_timer_start(&last, nap, 400, 0);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0); /* it does not keep the loop alive */
    assert_true(fg_stall_longest(&stall.wall) >= 0.03);
    assert_true(fg_stall_longest(&stall.cpu) > 0);
    assert_true(fg_stall_longest(&stall.wall) <= (double)(uv_hrtime() - began - uv_metrics_idle_time(&loop)) / 1e9);
    assert_true(fg_stall_longest_minute(&stall, &stall.wall, uv_hrtime()) == fg_stall_longest(&stall.wall));
    fg_stall_close(&stall, closed, &n_closed);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(n_closed, 2);
    assert_int_equal(uv_loop_close(&loop), 0);
    fg_metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stall_counts_for_a_minute_and_for_ever),
        cmocka_unit_test(the_loop_measures_work_and_not_sleep),
    };
    return cmocka_run_group_tests_name("host stall", tests, NULL, NULL);
}
