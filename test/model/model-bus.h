/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model of Kafka in memory, on simulated time: topics, transactions with their coordinator, consumer groups with
 * theirs, and faults by script or chance. Each process has a client of its own.
 *
 * What it does as brokers do: a transaction is decided first and seen partition by partition after that; readers stop
 * at the first open one (last stable offset) and never see aborted records or control records; a second producer with
 * the same transactional id fences the first; a transaction over its time is aborted and its producer fenced; groups
 * rebalance eagerly by generations, assign ranges, and refuse offsets of another generation; who asks for committed
 * offsets waits for open transactions on them.
 *
 * What is not modelled: several brokers, replication, bytes on the wire.
 */
#pragma once

#include "sim-env.h"
#include "bus/bus.h"

enum model_state { MODEL_OPEN, MODEL_COMMITTED, MODEL_ABORTED, MODEL_CONTROL, MODEL_REMOVED /* by compaction */ };

struct model_record {
    enum model_state state;
    struct fg_slice key, value; /* owned, one block */
    bool tombstone;
    struct fg_header *headers; /* owned array of n_headers; names and values are in the same block */
    size_t n_headers;
    int64_t timestamp_ms;
};

struct model_partition {
    struct model_record *records; /* owned array of n, cap; the index is the offset */
    size_t n, cap;
    size_t start; /* the first offset that is still there */
};

struct model_topic {
    struct fg_list link; /* model_bus::topics */
    char name[64];
    int32_t n_partitions;
    size_t message_bytes_max; /* 0: no limit */
    struct model_partition *partitions;
};

#define MODEL_SILENT_MS 40000u

enum model_fault {
    MODEL_FAULT_NONE,
    MODEL_FAULT_ABORT,     /* some step of the publish fails, and it is aborted */
    MODEL_FAULT_DEAD,      /* the producer dies at some step; its transaction stays open */
    MODEL_FAULT_COMMITTED, /* the producer dies in the commit, which counted */
    MODEL_FAULT_LATE,      /* the producer dies in the commit, which is still under way to the broker */
    _MODEL_FAULT_N,
    /* Not by chance: the commit is decided, seen nowhere until the next end in each partition, and counts as that. */
    MODEL_FAULT_FORGOTTEN,
    MODEL_FAULT_BROKEN,    /* nor this: the producer dies before it has sent anything, and is not fenced */
    MODEL_FAULT_TIMED_OUT, /* nor this: records time out, and what was written of them is aborted */
    MODEL_FAULT_SILENT,    /* nor this: for MODEL_SILENT_MS nothing is written, nor said */
};

struct model_bus;

/* A process's connection to the brokers. */
struct model_client {
    struct fg_bus bus; /* hand out &client->bus */
    struct model_bus *model;
    struct sim_process *process;
    bool cut;                            /* its process was killed: nothing it says is heard any more */
    uint64_t isolated_until_ms;          /* no broker can be reached */
    uint64_t slow_until_ms, slow_ms_max; /* until then each way takes up to so long */
    size_t n_handles;
};

struct model_bus {
    union { /* where one process is enough, this is its client */
        struct fg_bus bus;
        struct model_client self;
    };
    struct sim *sim;
    struct fg_list topics, consumers, producers, groups, transactions;
    size_t n_consumers, n_producers; /* open handles */
    size_t n_publishes, n_opened_producers, n_rebalances, n_fenced, n_refused, n_expired;
    uint64_t net_ms_max;                  /* one way, unless the client is slow */
    uint64_t marker_ms_max;               /* from a transaction's decision to its sight in a partition */
    uint64_t poll_ms_max, heartbeat_ms;   /* a consumer looks for records, and for its group */
    uint64_t session_ms, rebalance_ms;    /* a silent member is thrown out, and one that does not come back in time */
    uint64_t join_ms;                     /* a new group waits for more members */
    unsigned abort_percent, dead_percent; /* of publishes, by chance; dead: in one of the three ways */
    bool dead_plainly;                    /* only MODEL_FAULT_DEAD of these */
    enum model_fault script[64];          /* of the next publishes, before chance */
    size_t n_script;
    bool away; /* no broker answers */
    /* Called before each request of a publish leaves its process, @k: the first is 1; NULL: nobody wants to know. */
    void (*before_step)(void *arg, struct model_client *client, unsigned k);
    void *before_step_arg;
};

void model_init(struct model_bus *model, struct sim *sim, bool transactional);
void model_deinit(struct model_bus *model); /* no handle may be open */
struct model_topic *model_topic(struct model_bus *model, const char *name, int32_t n_partitions); /* made, or found */
void model_write(struct model_bus *model, const char *topic, int32_t partition, struct fg_slice key,
                 struct fg_slice value, const struct fg_header *headers, size_t n_headers); /* committed at once */
void model_fault(struct model_bus *model, enum model_fault fault);                          /* for one publish more */
/* Every group rebalances, and its members are told at once. @lost: they are thrown out, and come back later. */
void model_rebalance(struct model_bus *model, bool lost);
void model_trouble(struct model_bus *model, const struct fg_error *err); /* to every handle */
/* Committed records of a partition, by number; NULL: no more. */
const struct model_record *model_seen(const struct model_topic *topic, int32_t partition, size_t k);
size_t model_count(const struct model_topic *topic); /* committed records in all partitions */
int64_t model_committed(struct model_bus *model, const char *group, const char *topic,
                        int32_t partition); /* -1001: none */
/* What stands beside it; NULL: nothing. Borrowed. */
const char *model_metadata(struct model_bus *model, const char *group, const char *topic, int32_t partition);
size_t model_members(struct model_bus *model, const char *group);
void model_retain(struct model_topic *topic, int32_t partition, size_t start); /* older records are gone */
void model_compact(struct model_topic *topic); /* of each key the last committed record remains */

void model_client_trouble(struct model_client *client, const struct fg_error *err); /* to its consumers */

/* One more process. A client lies still in memory. */
void model_client_init(struct model_bus *model, struct model_client *client, struct sim_process *process);
void model_client_cut(
    struct model_client *client); /* kill -9; its handles are still to be closed, and end by themselves */
