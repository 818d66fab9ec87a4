/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands between a handle and its cluster, in words. librdkafka tells errors and never that they are over: a
 * suspicion is proved or dropped by asking the brokers for metadata, so that a connection that was only renewed is no
 * trouble.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdbool.h>

#include "fragua/error.h"

/* enum fg_code of librdkafka's error, with its two bits as enum fg_error_flags. */
int fg_rd_code(rd_kafka_resp_err_t err, unsigned *ret_flags);
/* Fills *err as fg_error_set() does: "WHAT: TEXT", TEXT NULL: librdkafka's words for the error. */
int fg_rd_error(struct fg_error *err, rd_kafka_resp_err_t rd, const char *what, const char *text);

/* [any thread] but where said; embed by value. */
struct fg_trouble {
    pthread_mutex_t lock;
    struct fg_error reason; /* the best word so far for why the brokers don't answer; code NONE: no suspicion */
    int weight;             /* of reason: how much it explains, from 0 to 4 */
    struct fg_error link;   /* the brokers don't answer: proved */
    struct fg_error state;  /* they answer, but: no such topic, offset gone ... */
    struct fg_error told;
    bool suspect;
};

void fg_trouble_init(struct fg_trouble *t);
void fg_trouble_deinit(struct fg_trouble *t);
/* An error that librdkafka told about its connections. @sure: brokers have just not answered, no need to prove it. */
void fg_trouble_hint(struct fg_trouble *t, rd_kafka_resp_err_t rd, const char *text, bool sure);
void fg_trouble_state(struct fg_trouble *t, const struct fg_error *err); /* NULL: gone */
bool fg_trouble_suspect(struct fg_trouble *t);
/* The brokers answered (true), or not in time (false). */
void fg_trouble_proved(struct fg_trouble *t, bool answered);
/* Asks the brokers, waits at most timeout_ms, and notes the answer. Blocks. */
void fg_trouble_probe(struct fg_trouble *t, rd_kafka_t *rk, int timeout_ms);
/* The best word so far for why the brokers do not answer; code FG_E_NONE: none. */
void fg_trouble_why(struct fg_trouble *t, struct fg_error *ret);
/* Loop thread: true when something is to be told: *ret has code FG_E_NONE when all is well again. */
bool fg_trouble_news(struct fg_trouble *t, struct fg_error *ret);
