/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs that speak with Kafka for the figures have in common. */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* [any thread] Nanoseconds of CLOCK_MONOTONIC. */
static inline uint64_t bench_now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

__attribute__((format(printf, 1, 2), noreturn)) static inline void bench_die(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    (void)vfprintf(stderr, format, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    exit(1);
}

/* A handle with the settings `pairs` (name, value, ..., NULL) and delivery reports, if any, to `delivered`; or exit. */
static inline rd_kafka_t *bench_kafka_new(rd_kafka_type_t type, const char *const *pairs,
                                          void (*delivered)(rd_kafka_t *, const rd_kafka_message_t *, void *),
                                          void *opaque)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[512];
    rd_kafka_t *rk;

    for (; pairs[0]; pairs += 2)
        if (rd_kafka_conf_set(conf, pairs[0], pairs[1], text, sizeof(text)))
            bench_die("%s", text);
    if (delivered)
        rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, opaque);
    if (!(rk = rd_kafka_new(type, conf, text, sizeof(text))))
        bench_die("%s", text);
    return rk;
}

/*
 * How many partitions the topic has; or exit. A new topic may not be known for a moment. The handle knows it then, so
 * that its first record is not late.
 */
static inline int bench_partitions(rd_kafka_t *rk, const char *topic)
{
    uint64_t give_up = bench_now_ns() + 20000000000u;
    rd_kafka_topic_t *t = rd_kafka_topic_new(rk, topic, NULL);
    struct timespec wait = {.tv_nsec = 50 * 1000 * 1000};
    const struct rd_kafka_metadata *m;
    rd_kafka_resp_err_t rd;
    int n = 0;

    for (;;) {
        if (!(rd = rd_kafka_metadata(rk, 0, t, &m, 10000))) {
            rd = m->topic_cnt == 1 ? m->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
            n = rd ? 0 : m->topics[0].partition_cnt;
            rd_kafka_metadata_destroy(m);
        }
        if (n > 0 || bench_now_ns() > give_up)
            break;
        (void)nanosleep(&wait, NULL);
    }
    if (n == 0)
        bench_die("topic %s: %s", topic, rd_kafka_err2str(rd));
    rd_kafka_topic_destroy(t);
    return n;
}
