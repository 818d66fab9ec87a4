/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics and their text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/metric.h"

static const struct fg_metric_decl sent = { "fragua_sent_total", FG_METRIC_TYPE_COUNTER, "Records sent\\out" };
static const struct fg_metric_decl lag = { "fragua_lag", FG_METRIC_TYPE_GAUGE, "Lag" };
static const struct fg_metric_decl took = { "fragua_took_seconds", FG_METRIC_TYPE_HISTOGRAM, "Time" };

static void families_are_sorted_and_labels_escaped(void **state)
{
    struct fg_metrics *metrics = fg_metrics_new();
    struct fg_label label = { "node", "a\"b\\c\nd" };
    struct fg_buf out = FG_BUF_INIT(10000);
    struct fg_metric *metric = fg_metric_get(metrics, &sent, &label, 1);

    fg_metric_add(metric, 2);
    fg_metric_add(metric, 0.5);
    fg_metric_add(metric, -1);
    assert_ptr_equal(fg_metric_get(metrics, &sent, &label, 1), metric);
    fg_metric_set(fg_metric_get(metrics, &lag, NULL, 0), -3);
    fg_metrics_write(metrics, fg_buf_write_cb, &out);
    assert_string_equal(out.data, "# HELP fragua_lag Lag\n# TYPE fragua_lag gauge\nfragua_lag -3\n"
                                  "# HELP fragua_sent_total Records sent\\\\out\n# TYPE fragua_sent_total counter\n"
                                  "fragua_sent_total{node=\"a\\\"b\\\\c\\nd\"} 2.5\n");
    fg_buf_deinit(&out);
    assert_null(fg_metrics_free(metrics));
}

static void a_histogram_counts_up_to_infinity(void **state)
{
    struct fg_metrics *metrics = fg_metrics_new();
    struct fg_label label = { "node", "n" };
    struct fg_metric *metric = fg_metric_get(metrics, &took, &label, 1);
    struct fg_buf out = FG_BUF_INIT(10000);

    fg_metric_observe(metric, 0.001);
    fg_metric_observe(metric, 3);
    fg_metric_observe(metric, 1000);
    fg_metrics_write(metrics, fg_buf_write_cb, &out);
    assert_non_null(strstr(out.data, "fragua_took_seconds_bucket{node=\"n\",le=\"0.001\"} 1\n"));
    assert_non_null(strstr(out.data, "fragua_took_seconds_bucket{node=\"n\",le=\"5\"} 2\n"));
    assert_non_null(strstr(out.data, "fragua_took_seconds_bucket{node=\"n\",le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(out.data, "fragua_took_seconds_sum{node=\"n\"} 1003.001\n"));
    assert_non_null(strstr(out.data, "fragua_took_seconds_count{node=\"n\"} 3\n"));
    fg_buf_deinit(&out);
    fg_metrics_free(metrics);
}

static void past_the_limit_series_count_unseen(void **state)
{
    struct fg_metrics *metrics = fg_metrics_new();
    struct fg_metric_decl other = { sent.name, FG_METRIC_TYPE_GAUGE, "" };
    struct fg_metric *one, *two;
    char name[16];
    struct fg_label label = { "n", name };

    for (int i = 0; i < 10000; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        (void)fg_metric_get(metrics, &sent, &label, 1);
    }
    label.value = "one more";
    one = fg_metric_get(metrics, &sent, &label, 1);
    label.value = "and one";
    two = fg_metric_get(metrics, &sent, &label, 1);
    assert_ptr_equal(one, two);
    fg_metric_observe(fg_metric_get(metrics, &took, &label, 1), 1);
    fg_metric_add(fg_metric_get(metrics, &other, &label, 1), 1);
    fg_metrics_free(metrics);
}

static bool shows(struct fg_metrics *metrics, const char *line)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf out = FG_BUF_INIT(1 << 20);

    fg_metrics_write(metrics, fg_buf_write_cb, &out);
    return out.data && strstr(out.data, line);
}

static void a_series_ends_with_its_last_scope(void **state)
{
    struct fg_metrics *metrics = fg_metrics_new();
    struct fg_label a = { "n", "a" }, b = { "n", "b" };
    struct fg_metric_scope *one = fg_metric_scope_new(metrics), *two = fg_metric_scope_new(metrics);
    struct fg_metric *metric = fg_metric_scope_get(one, &sent, &a, 1);

    fg_metric_add(metric, 7);
    fg_metric_add(fg_metric_scope_get(one, &sent, &b, 1), 1);
    assert_ptr_equal(fg_metric_scope_get(one, &sent, &a, 1), metric); /* once, however often it is got */
    assert_ptr_equal(fg_metric_scope_get(two, &sent, &a, 1), metric);
    assert_null(fg_metric_scope_free(one));
    assert_true(shows(metrics, "fragua_sent_total{n=\"a\"} 7\n"));
    assert_false(shows(metrics, "n=\"b\""));
    fg_metric_scope_free(two);
    assert_false(shows(metrics, "fragua_sent_total"));
    two = fg_metric_scope_new(metrics);
    fg_metric_add(fg_metric_scope_get(two, &sent, &a, 1), 1);
    assert_true(shows(metrics, "fragua_sent_total{n=\"a\"} 1\n"));
    (void)fg_metric_get(metrics, &sent, &a, 1); /* without a scope: for good */
    fg_metric_scope_free(two);
    assert_true(shows(metrics, "fragua_sent_total{n=\"a\"} 1\n"));
    fg_metrics_free(metrics);
}

static void what_is_gone_makes_room(void **state)
{
    struct fg_metrics *metrics = fg_metrics_new();
    char name[16];
    struct fg_label label = { "n", name };

    for (int i = 0; i < 25000; i++) {
        struct fg_metric_scope *scope = fg_metric_scope_new(metrics);
        (void)snprintf(name, sizeof(name), "%d", i);
        fg_metric_set(fg_metric_scope_get(scope, &lag, &label, 1), i);
        if (i == 24999)
            assert_true(shows(metrics, "fragua_lag{n=\"24999\"} 24999\n"));
        fg_metric_scope_free(scope);
    }
    fg_metrics_free(metrics);
}

static void *add_many(void *metric)
{
    for (int i = 0; i < 20000; i++)
        fg_metric_add(metric, 1);
    return NULL;
}

static void no_addition_is_lost_between_threads(void **state)
{
    struct fg_metrics *metrics = fg_metrics_new();
    struct fg_metric *metric = fg_metric_get(metrics, &sent, NULL, 0);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, metric), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(fg_metric_value(metric) == 80000);
    fg_metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_are_sorted_and_labels_escaped),
        cmocka_unit_test(a_histogram_counts_up_to_infinity),
        cmocka_unit_test(past_the_limit_series_count_unseen),
        cmocka_unit_test(a_series_ends_with_its_last_scope),
        cmocka_unit_test(what_is_gone_makes_room),
        cmocka_unit_test(no_addition_is_lost_between_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
