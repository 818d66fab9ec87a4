/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pipeline with everything around it simulated: process, Kafka, and plugins whose behaviour the records ask for.
 *
 * What a record's value begins with decides:
 *   transform   "drop" "bad" (dead) "again" (retry, always) "many" (three: two to output "", one to "rows")
 *               "nowhere" (to an output that is not there) "wreck" (fatal)
 *   sink        "refuse" (not retriable) "flaky" (retriable, works the third time) "mute" (times out)
 *               "hang" (never answered)
 *               "twice" (answered twice) "fatal"; everything else is answered by one record "<value>!"
 */
#pragma once

#include "model-bus.h"
#include "flow/pipeline.h"
#include "flow/record.h"

#define RIG_WORKERS    3u
#define RIG_OWNERS_MAX 64u

struct rig;
struct rig_transform {
    struct rig *rig;
    unsigned n_applied;
};

struct rig_source_owner {
    char name[32], key[48];
    bool mine;
    unsigned total, at; /* mails there are, and how many were read */
    int64_t told;       /* cursor value of the last assign or rewind; -1: none */
};

struct rig {
    struct sim sim;
    struct model_bus bus;
    struct fg_budget budget;
    struct fg_metrics *metrics;
    struct fg_pipeline *pipeline;
    struct fg_pipeline_config config; /* change it before rig_open() */
    bool stopped;
    unsigned n_changed;

    void *transform_selves[RIG_WORKERS];
    struct rig_transform transforms[RIG_WORKERS];
    void *sink_self[1], *source_self[1];
    struct fg_stage transform, sink, source;
    struct fg_output outputs[2];
    const char *topics[1];

    struct fg_sink_limits limits;
    uint64_t sink_ms_max;
    uint64_t silent_until_ms;   /* the service answers nothing so long */
    uint64_t outage_until_ms;   /* the service answers 429 so long, */
    uint32_t retry_after_ms;    /* with this, */
    uint64_t outage_calls[256]; /* and when it was asked all the same */
    size_t n_outage_calls;
    uint64_t first_after_ms; /* the first call after the outage */
    struct fg_list sink_deliveries;
    size_t n_in_flight, max_in_flight, n_delivered, n_cancelled;
    unsigned n_flaky;

    struct rig_source_owner owners[RIG_OWNERS_MAX];
    size_t n_owners;
    struct fg_batch *fill;
    bool stubborn; /* keeps its batch over a rewind, now and then: allowed, and wasteful */
    unsigned per_pull, n_revokes, n_rewinds;
    bool polling;
    size_t record_bytes; /* extra, of a mail */
};

void rig_init(struct rig *rig,
              uint64_t seed); /* a Kafka input "in" with 3 partitions, outputs "out" and "rows", "dead" */
void rig_use_sink(struct rig *rig);
void rig_use_transform(struct rig *rig);
void rig_use_source(struct rig *rig, size_t n_owners, unsigned mails); /* instead of the topic */
void rig_open(struct rig *rig);                                        /* makes and starts the pipeline */
void rig_stop(struct rig *rig, bool now);                              /* until it has stopped; frees it */
void rig_deinit(struct rig *rig);                                      /* checks that nothing is left open or charged */
void rig_put(struct rig *rig, const char *key, const char *value);     /* a record into "in" */
/* Records k0-0, k1-0, k2-0, k3-0, k0-1 ... into "in": the i-th has key k<i%4> and value <key>-<i/4>. */
void rig_put_numbered(struct rig *rig, unsigned from, unsigned to);
/* "out" holds what the rig's sink made of each of the first n, once and in the order of its key, and nothing else. */
void rig_expect_numbered(struct rig *rig, unsigned n, size_t n_dead);
size_t rig_count(struct rig *rig, const char *topic); /* committed records in a topic that is there */
bool rig_until_count(struct rig *rig, const char *topic, size_t n, uint64_t limit_ms);
bool rig_until_state(struct rig *rig, enum fg_pipeline_state state, uint64_t limit_ms);
struct fg_pipeline_status rig_status(struct rig *rig);
/* The k-th committed record of the topic whose key is this; NULL: none. */
const struct model_record *rig_seen(struct rig *rig, const char *topic, const char *key, size_t k);
struct fg_slice rig_header(const struct model_record *record,
                           const char *name); /* the last of that name; empty: none */
