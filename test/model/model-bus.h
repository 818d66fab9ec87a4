/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model of Kafka in memory, on simulated time: topics with partitions, transactions with a last stable offset,
 * control records and aborted ones that stay unseen, committed offsets of groups of one member, and faults by script or
 * chance.
 */
#pragma once

#include "sim-env.h"
#include "bus/bus.h"

enum model_state { MODEL_OPEN, MODEL_COMMITTED, MODEL_ABORTED, MODEL_CONTROL };

struct model_record {
    enum model_state state;
    struct fg_slice key, value; /* owned */
    bool tombstone;
    struct fg_header *headers; /* owned array of n_headers */
    size_t n_headers;
    int64_t timestamp_ms;
};

struct model_partition {
    struct model_record *records; /* owned array of n, cap; the index is the offset */
    size_t n, cap;
};

struct model_topic {
    struct fg_list link; /* model_bus::topics */
    char name[64];
    int32_t n_partitions;
    struct model_partition *partitions;
};

enum model_fault {
    MODEL_FAULT_NONE,
    MODEL_FAULT_ABORT, /* the publish is written, then aborted */
    MODEL_FAULT_DEAD,  /* and the producer is dead too */
};

struct model_bus {
    struct fg_bus bus; /* hand out &model->bus */
    struct sim *sim;
    struct fg_list topics, consumers, producers, groups;
    size_t n_consumers, n_producers; /* open handles */
    size_t n_publishes, n_opened_producers;
    uint64_t publish_ms_max, poll_ms_max, ready_ms;
    unsigned abort_percent, dead_percent; /* of publishes, by chance */
    enum model_fault script[64];          /* of the next publishes, before chance */
    size_t n_script;
    bool away; /* describe fails */
};

void model_init(struct model_bus *model, struct sim *sim, bool transactional);
void model_deinit(struct model_bus *model); /* no handle may be open */
struct model_topic *model_topic(struct model_bus *model, const char *name, int32_t n_partitions); /* made, or found */
void model_write(struct model_bus *model, const char *topic, int32_t partition, struct fg_slice key,
                 struct fg_slice value, const struct fg_header *headers, size_t n_headers); /* committed at once */
void model_fault(struct model_bus *model, enum model_fault fault);                          /* for one publish more */
/* Takes the assignment of every consumer away; they get it again later. */
void model_rebalance(struct model_bus *model, bool lost);
void model_trouble(struct model_bus *model, const struct fg_error *err); /* to every handle */
/* Committed records of a partition, by number; NULL: no more. */
const struct model_record *model_seen(const struct model_topic *topic, int32_t partition, size_t k);
size_t model_count(const struct model_topic *topic); /* committed records in all partitions */
int64_t model_committed(struct model_bus *model, const char *group, const char *topic,
                        int32_t partition); /* -1001: none */
