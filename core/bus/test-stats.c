/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's statistics as metrics: what is gone is told no more, counters go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/metric.h"
#include "bus/rdkafka/rdkafka-private.h"

#define PARTITIONS "\"topics\":{\"t\":{\"partitions\":{\"0\":{\"ls_offset\":50},\"1\":{\"ls_offset\":70}}}}"
#define BROKER(id, name)                                                                                               \
    "\"" name ":9092/" id "\":{\"nodeid\":" id ",\"outbuf_cnt\":3,\"rtt\":{\"avg\":2000}}"

static bool shows(struct fg_metrics *metrics, const char *line)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf out = FG_BUF_INIT(1 << 20);

    fg_metrics_write(metrics, fg_buf_write_cb, &out);
    return out.data && strstr(out.data, line);
}

static void tell(struct fg_metrics *metrics, const char *json, const struct fg_rd_part *parts, size_t n,
                 struct fg_rd_stats_memory *memory)
{
    fg_rd_stats(metrics, "g", fg_slice_of(json), parts, n, memory);
}

static void a_partition_or_broker_that_is_gone_is_told_no_more(void **state)
{
    static char topic[] = "t";
    const struct fg_rd_part parts[] = { { topic, 0, 10 }, { topic, 1, 20 } };
    struct fg_metrics *metrics = fg_metrics_new();
    struct fg_rd_stats_memory memory = { .shown = NULL };

    tell(metrics, "{\"brokers\":{" BROKER("1", "a") "," BROKER("2", "b") "}," PARTITIONS "}", parts, 2, &memory);
    assert_true(shows(metrics, "\nfragua_kafka_consumer_lag{client=\"g\",topic=\"t\",partition=\"0\"} 40\n"));
    assert_true(shows(metrics, "\nfragua_kafka_consumer_lag{client=\"g\",topic=\"t\",partition=\"1\"} 50\n"));
    assert_true(shows(metrics, "\nfragua_kafka_broker_rtt_seconds{client=\"g\",broker=\"2\"} 0.002\n"));
    tell(metrics, "{\"brokers\":{" BROKER("1", "a") "}," PARTITIONS "}", &parts[1], 1, &memory);
    assert_false(shows(metrics, "partition=\"0\""));
    assert_true(shows(metrics, "\nfragua_kafka_consumer_lag{client=\"g\",topic=\"t\",partition=\"1\"} 50\n"));
    assert_true(shows(metrics, "broker=\"1\""));
    assert_false(shows(metrics, "broker=\"2\""));
    fg_metric_scope_free(memory.shown);
    assert_false(shows(metrics, "client=\"g\""));
    fg_metrics_free(metrics);
}

static void counters_go_on_with_the_next_handle(void **state)
{
    struct fg_metrics *metrics = fg_metrics_new();
    struct fg_metric_scope *pipeline = fg_metric_scope_new(metrics);
    struct fg_rd_stats_memory first = { .kept = pipeline }, second = { .kept = pipeline };

    tell(metrics, "{\"txmsgs\":5,\"msg_cnt\":2}", NULL, 0, &first);
    tell(metrics, "{\"txmsgs\":8,\"msg_cnt\":1}", NULL, 0, &first);
    fg_metric_scope_free(first.shown);
    assert_true(shows(metrics, "\nfragua_kafka_sent_records_total{client=\"g\"} 8\n"));
    assert_false(shows(metrics, "fragua_kafka_queue_messages"));
    tell(metrics, "{\"txmsgs\":4,\"msg_cnt\":0}", NULL, 0, &second);
    assert_true(shows(metrics, "\nfragua_kafka_sent_records_total{client=\"g\"} 12\n"));
    assert_true(shows(metrics, "\nfragua_kafka_queue_messages{client=\"g\"} 0\n"));
    fg_metric_scope_free(second.shown);
    fg_metric_scope_free(pipeline);
    assert_false(shows(metrics, "client=\"g\""));
    fg_metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_partition_or_broker_that_is_gone_is_told_no_more),
        cmocka_unit_test(counters_go_on_with_the_next_handle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
