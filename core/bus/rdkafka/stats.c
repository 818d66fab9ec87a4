/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's statistics (its STATISTICS.md) as metrics; which, is declared in the tables. */
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/str.h"
#include "bus/rdkafka/rdkafka-private.h"

#define NAME_MAX_BYTES 512

/* One number of a JSON object as one metric. */
struct number {
    const char *member; /* JSON pointer within its object */
    double scale;       /* what one unit of it is in the metric's */
    struct fg_metric_decl decl;
};

static const struct number of_client[] = {
    {"/msg_cnt",
     1,
     {"fragua_kafka_queue_messages", FG_METRIC_TYPE_GAUGE, "Records waiting to be sent or acknowledged"}},
    {"/msg_size", 1, {"fragua_kafka_queue_bytes", FG_METRIC_TYPE_GAUGE, "Bytes waiting to be sent or acknowledged"}},
    {"/replyq", 1, {"fragua_kafka_reply_queue", FG_METRIC_TYPE_GAUGE, "Events that wait to be taken from librdkafka"}},
    {"/txmsgs", 1, {"fragua_kafka_sent_records_total", FG_METRIC_TYPE_COUNTER, "Records sent to brokers"}},
    {"/rxmsgs", 1, {"fragua_kafka_received_records_total", FG_METRIC_TYPE_COUNTER, "Records received from brokers"}},
    {"/tx_bytes", 1, {"fragua_kafka_sent_bytes_total", FG_METRIC_TYPE_COUNTER, "Bytes sent to brokers"}},
    {"/rx_bytes", 1, {"fragua_kafka_received_bytes_total", FG_METRIC_TYPE_COUNTER, "Bytes received from brokers"}},
    {"/cgrp/rebalance_cnt",
     1,
     {"fragua_kafka_rebalances_total", FG_METRIC_TYPE_COUNTER,
      "Rebalances of the group that this consumer took part in"}},
    {"/cgrp/rebalance_age",
     1e-3,
     {"fragua_kafka_rebalance_age_seconds", FG_METRIC_TYPE_GAUGE, "Time since the last rebalance"}},
    {"/eos/txn_stateage",
     1e-3,
     {"fragua_kafka_transaction_state_seconds", FG_METRIC_TYPE_GAUGE, "Time in the present state of transactions"}},
};

_Static_assert(sizeof(of_client) / sizeof(*of_client) <= FG_RD_STATS_CLIENT_MAX, "room for each counter's last value");

static const struct number of_broker[] = {
    {"/rtt/avg",
     1e-6,
     {"fragua_kafka_broker_rtt_seconds", FG_METRIC_TYPE_GAUGE, "Mean time from a request to its answer"}},
    {"/rtt/p99",
     1e-6,
     {"fragua_kafka_broker_rtt_p99_seconds", FG_METRIC_TYPE_GAUGE,
      "99th percentile of the time from a request to its answer"}},
    {"/outbuf_cnt",
     1,
     {"fragua_kafka_broker_outbuf_requests", FG_METRIC_TYPE_GAUGE, "Requests that wait to be sent"}},
    {"/outbuf_msg_cnt",
     1,
     {"fragua_kafka_broker_outbuf_records", FG_METRIC_TYPE_GAUGE, "Records in requests that wait to be sent"}},
    {"/waitresp_cnt",
     1,
     {"fragua_kafka_broker_requests_in_flight", FG_METRIC_TYPE_GAUGE, "Requests without answer so far"}},
};

/* All partitions of a consumer share one queue, and each tells all of it. */
static const struct number of_fetch_queue[] = {
    {"/fetchq_cnt",
     1,
     {"fragua_kafka_fetch_queue_records", FG_METRIC_TYPE_GAUGE, "Records fetched ahead that nobody has taken"}},
    {"/fetchq_size", 1, {"fragua_kafka_fetch_queue_bytes", FG_METRIC_TYPE_GAUGE, "Bytes fetched ahead"}},
};

static const struct fg_metric_decl lag_decl = {"fragua_kafka_consumer_lag", FG_METRIC_TYPE_GAUGE,
                                               "Records between the consumer's position and the last stable offset"};
static const struct fg_metric_decl state_decl = {"fragua_kafka_transaction_state", FG_METRIC_TYPE_GAUGE,
                                                 "1 for the state that the producer's transactions are in"};
static const char *const txn_states[] = {"Init",
                                         "WaitPID",
                                         "ReadyNotAcked",
                                         "Ready",
                                         "InTransaction",
                                         "BeginCommit",
                                         "CommittingTransaction",
                                         "CommitNotAcked",
                                         "AbortingTransaction",
                                         "AbortedNotAcked",
                                         "AbortableError",
                                         "FatalError"};

/* One look at a handle's statistics. */
struct look {
    const char *client;
    struct fg_metric_scope *gauges;   /* of what there is now */
    struct fg_metric_scope *counters; /* which go on */
};

/* @last: what a counter stood at, kept by the caller; a gauge needs none. */
static void update(const struct look *look, const struct number *number, const struct fg_label *labels, size_t n,
                   struct fg_slice object, double *last)
{
    struct fg_json_value value = fg_json_find(object, number->member);
    bool gauge = number->decl.type == FG_METRIC_TYPE_GAUGE;
    struct fg_metric *metric;
    double d;

    if (value.kind != FG_JSON_NUMBER || !fg_parse_double(value.raw, &d) || d < 0)
        return;
    metric = fg_metric_scope_get(gauge ? look->gauges : look->counters, &number->decl, labels, n);
    if (gauge) {
        fg_metric_set(metric, d * number->scale);
    } else if (last && d > *last) {
        /* librdkafka counts anew with each handle, ours goes on. */
        fg_metric_add(metric, (d - *last) * number->scale);
        *last = d;
    }
}

static void on_brokers(const struct look *look, struct fg_slice json)
{
    struct fg_json_value brokers = fg_json_find(json, "/brokers"), broker;
    struct fg_slice key;
    size_t pos = 0;

    while (fg_json_each(brokers, &pos, &key, &broker)) {
        FG_CLEANUP(fg_buf_deinit) struct fg_buf name = FG_BUF_INIT(NAME_MAX_BYTES);
        struct fg_json_value id = fg_json_find(broker.raw, "/nodeid");
        /* Bootstrap addresses and the group's coordinator are connections of their own, with negative ids. */
        if (id.kind != FG_JSON_NUMBER || id.raw.ptr[0] == '-')
            continue;
        fg_buf_add_slice(&name, id.raw);
        const struct fg_label labels[] = {{"client", look->client}, {"broker", name.data}};
        for (size_t i = 0; !name.failed && i < sizeof(of_broker) / sizeof(*of_broker); i++)
            update(look, &of_broker[i], labels, 2, broker.raw, NULL);
    }
}

static double largest(struct fg_slice json, const char *member)
{
    struct fg_json_value topics = fg_json_find(json, "/topics"), topic, partitions, partition, value;
    size_t pos = 0, at;
    struct fg_slice key;
    double max = 0, d;

    while (fg_json_each(topics, &pos, &key, &topic)) {
        partitions = fg_json_find(topic.raw, "/partitions");
        for (at = 0; fg_json_each(partitions, &at, &key, &partition);) {
            value = fg_json_find(partition.raw, member);
            if (value.kind == FG_JSON_NUMBER && fg_parse_double(value.raw, &d) && d > max)
                max = d;
        }
    }
    return max;
}

static void on_fetch_queue(const struct look *look, struct fg_slice json)
{
    struct fg_json_value type = fg_json_find(json, "/type");
    const struct fg_label labels[] = {{"client", look->client}};

    if (type.kind != FG_JSON_STRING || !fg_json_string_is(type.raw, "consumer"))
        return;
    for (size_t i = 0; i < sizeof(of_fetch_queue) / sizeof(*of_fetch_queue); i++)
        fg_metric_set(fg_metric_scope_get(look->gauges, &of_fetch_queue[i].decl, labels, 1),
                      largest(json, of_fetch_queue[i].member));
}

/* librdkafka knows only offsets that it committed itself, not those of transactions: the position is the consumer's
 * own. */
static void on_lag(const struct look *look, struct fg_slice json, const struct fg_rd_part *part)
{
    struct fg_json_value topics = fg_json_find(json, "/topics"), topic, found;
    struct fg_slice key;
    char pointer[64], number[16];
    size_t pos = 0;
    int64_t end;

    (void)snprintf(pointer, sizeof(pointer), "/partitions/%d/ls_offset", part->partition);
    (void)snprintf(number, sizeof(number), "%d", part->partition);
    while (part->next >= 0 && fg_json_each(topics, &pos, &key, &topic)) {
        if (!fg_json_string_is(key, part->topic))
            continue;
        found = fg_json_find(topic.raw, pointer);
        const struct fg_label labels[] = {{"client", look->client}, {"topic", part->topic}, {"partition", number}};
        if (found.kind == FG_JSON_NUMBER && fg_parse_int(found.raw, &end) && end >= 0)
            fg_metric_set(fg_metric_scope_get(look->gauges, &lag_decl, labels, 3),
                          end > part->next ? (double)(end - part->next) : 0);
        return;
    }
}

static void on_transactions(const struct look *look, struct fg_slice json)
{
    struct fg_json_value state = fg_json_find(json, "/eos/txn_state");

    if (state.kind != FG_JSON_STRING || fg_json_string_is(state.raw, "Init"))
        return;
    for (size_t i = 0; i < sizeof(txn_states) / sizeof(*txn_states); i++) {
        const struct fg_label labels[] = {{"client", look->client}, {"state", txn_states[i]}};
        fg_metric_set(fg_metric_scope_get(look->gauges, &state_decl, labels, 2),
                      fg_json_string_is(state.raw, txn_states[i]));
    }
}

void fg_rd_stats(struct fg_metrics *metrics, const char *client, struct fg_slice json, const struct fg_rd_part *parts,
                 size_t n, struct fg_rd_stats_memory *memory)
{
    struct look look = {.client = client};
    const struct fg_label labels[] = {{"client", client}};

    if (!metrics)
        return;
    look.gauges = fg_metric_scope_new(metrics);
    look.counters = memory->kept ? memory->kept : look.gauges;
    for (size_t i = 0; i < sizeof(of_client) / sizeof(*of_client); i++)
        update(&look, &of_client[i], labels, 1, json, &memory->counters[i]);
    on_brokers(&look, json);
    on_fetch_queue(&look, json);
    for (size_t i = 0; i < n; i++)
        on_lag(&look, json, &parts[i]);
    on_transactions(&look, json);
    /* After the new ones are held: what stays is not made anew. */
    fg_metric_scope_free(memory->shown);
    memory->shown = look.gauges;
}
