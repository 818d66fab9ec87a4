/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the model of Kafka share. */
#pragma once

#include "model-bus.h"
#include "base/mem.h"

static inline struct model_client *model_client_of(struct fg_bus *bus)
{
    return fg_container_of(bus, struct model_client, bus);
}

/* ---- model-bus.c: topics, and the way to the brokers ---- */

struct model_topic *model_topic_find(struct model_bus *model, const char *name);
/* m NULL: a control record. Returns its offset. */
size_t model_append(struct model_partition *partition, const struct fg_bus_outgoing *m, enum model_state state);
/* One block with headers, names, values, key and value. */
struct fg_header *model_headers_copy(const struct fg_header *headers, size_t n, struct fg_slice *key,
                                     struct fg_slice *value);
void model_data(struct model_bus *model); /* something became readable */
bool model_reaches(const struct model_client *client);

/* A request: after its way to the brokers it is served there, and after the way back it is answered. Embedded. */
struct model_call {
    struct model_client *client;
    void (*serve)(struct model_call *call);  /* at the broker. It may set again_ms: served anew then */
    void (*answer)(struct model_call *call); /* in the process */
    const bool *give_up;                     /* borrowed: nobody waits any more; NULL: one waits for ever */
    uint64_t again_ms;
    bool lost; /* in answer: it was not served */
};
void model_call_send(struct model_call *call);

/* ---- model-group.c: the coordinator of groups ---- */

enum model_verdict { MODEL_OK, MODEL_UNKNOWN /* member */, MODEL_STALE /* generation */, MODEL_REBALANCING };

struct model_offset {
    struct fg_list link; /* model_group::offsets */
    struct model_topic *topic;
    int32_t partition;
    int64_t offset;
    char *metadata;     /* owned; NULL: none */
    unsigned n_pending; /* open transactions on it */
};

struct model_group {
    struct fg_list link; /* model_bus::groups */
    struct model_bus *model;
    char name[64];
    struct fg_list members, offsets;
    size_t n_members;
    int generation;
    bool preparing, ticking;
    uint64_t deadline_ms, not_before_ms; /* of the rebalance */
};

/* Who commits offsets: a member in a generation, or id 0: nobody's, which is for groups that are not joined. */
struct model_membership {
    uint64_t member;
    int generation;
};

struct model_group *model_group(struct model_bus *model, const char *name); /* made, or found */
struct model_offset *model_offset(struct model_group *group, const char *topic, int32_t partition);
void model_offset_set(struct model_offset *offset, int64_t value, const char *metadata);
enum model_verdict model_group_check(struct model_group *group, struct model_membership who);
/* id 0: a new member. Returns its id. The answer comes by model_consumer_given(). */
uint64_t model_group_join(struct model_group *group, uint64_t id, struct fg_bus_consumer *consumer);
void model_group_leave(struct model_group *group, uint64_t id);
enum model_verdict model_group_heartbeat(struct model_group *group, struct model_membership who);
void model_group_detach(struct model_group *group,
                        const struct fg_bus_consumer *consumer); /* nobody to tell any more */
void model_group_free(struct model_group *group);

/* ---- model-txn.c: the coordinator of transactions ---- */

struct model_written {
    struct model_partition *partition;
    size_t offset;
};

struct model_promised {
    struct model_offset *offset;
    int64_t value;
    char *metadata; /* owned; NULL: none */
};

struct model_txn;
struct model_marker {
    struct model_txn *txn;
    struct model_partition *partition; /* NULL: the offsets */
};

/* A transactional id, and its transaction, if one is open. */
struct model_txn {
    struct fg_list link; /* model_bus::transactions */
    struct model_bus *model;
    char id[64];
    unsigned epoch;
    uint64_t timeout_ms, deadline_ms;
    bool open, watched, committing; /* committing: it is decided so, and is being seen */
    size_t n_unmarked;              /* partitions that do not show the decision yet */
    struct model_marker *markers;   /* owned array of n_markers */
    size_t n_markers;
    struct model_written *written; /* owned array of n_written, cap_written */
    size_t n_written, cap_written;
    struct fg_list late;             /* of commits on their way that nobody waits for */
    struct model_promised *promised; /* owned array of n_promised */
    size_t n_promised;
    bool forgets;                       /* the next end is seen nowhere */
    size_t n_left_written, n_left_promised; /* the first ones of both are of ends that were forgotten */
};
enum model_txn_verdict { MODEL_TXN_OK, MODEL_TXN_FENCED, MODEL_TXN_WAIT /* for the end of the one before */ };

struct model_txn *model_txn(struct model_bus *model, const char *id); /* made, or found */
/* The new epoch, once the older's transaction has ended. */
enum model_txn_verdict model_txn_begin_session(struct model_txn *txn, uint64_t timeout_ms, unsigned *epoch);
enum model_txn_verdict model_txn_write(struct model_txn *txn, unsigned epoch, struct model_partition *partition,
                                       const struct fg_bus_outgoing *m, size_t *ret_offset);
enum model_txn_verdict model_txn_offset(struct model_txn *txn, unsigned epoch, struct model_offset *offset,
                                        int64_t value, const char *metadata);
enum model_txn_verdict model_txn_end(struct model_txn *txn, unsigned epoch, bool commit);
/* A commit that its producer does not wait for arrives after so long. */
void model_txn_end_late(struct model_txn *txn, unsigned epoch, uint64_t after_ms);
void model_txn_abort_left(struct model_txn *txn); /* everywhere, if no transaction is open */
void model_txn_free(struct model_txn *txn);

/* ---- model-consumer.c, model-member.c, model-offsets.c ---- */

int model_consumer_open(struct fg_bus *bus, const struct fg_bus_consumer_config *config,
                        const struct fg_bus_consumer_events *events, void *arg, struct fg_bus_consumer **ret,
                        struct fg_error *err);
void model_consumer_assign(struct fg_bus_consumer *consumer, const struct fg_bus_position *positions, size_t n);
void model_consumer_unassign(struct fg_bus_consumer *consumer);
void model_consumer_pause(struct fg_bus_consumer *consumer, bool paused);
void model_consumer_rewind(struct fg_bus_consumer *consumer, const struct fg_bus_position *positions, size_t n);
void model_consumer_committed(struct fg_bus_consumer *consumer, const struct fg_bus_position *partitions, size_t n,
                              fg_bus_positions_cb done, void *arg);
void model_consumer_commit(struct fg_bus_consumer *consumer, const struct fg_bus_position *positions, size_t n,
                           fg_bus_positions_cb done, void *arg);
void model_consumer_close(struct fg_bus_consumer *consumer, fg_done_cb closed, void *arg);
/* A publish moves its offsets: it ends before the consumer does. */
void model_consumer_use(struct fg_bus_consumer *consumer);
void model_consumer_drop(struct fg_bus_consumer *consumer);
/* Of the assignment that is being read; false: there is none. */
bool model_consumer_membership(const struct fg_bus_consumer *consumer, struct model_membership *ret);
struct model_group *model_consumer_group(const struct fg_bus_consumer *consumer);
/* Each consumer_assign() and _unassign() counts. */
unsigned model_consumer_assigns(const struct fg_bus_consumer *consumer);

/* For the coordinator: what a member subscribes to, and the word that goes to it. */
bool model_consumer_wants(const struct fg_bus_consumer *consumer, const struct model_topic *topic);
void model_consumer_given(struct fg_bus_consumer *consumer, uint64_t id, int generation,
                          const struct fg_bus_position *positions, size_t n);
void model_consumer_hurry(struct fg_bus_consumer *consumer, bool lost); /* as by a heartbeat, now */

#define MODEL_CONSUMER_OPS                                                                    \
    .consumer_open = model_consumer_open, .consumer_assign = model_consumer_assign,           \
    .consumer_unassign = model_consumer_unassign, .consumer_pause = model_consumer_pause,     \
    .consumer_rewind = model_consumer_rewind, .consumer_committed = model_consumer_committed, \
    .consumer_commit = model_consumer_commit, .consumer_close = model_consumer_close

/* ---- model-producer.c ---- */

int model_producer_open(struct fg_bus *bus, const struct fg_bus_producer_config *config,
                        const struct fg_bus_producer_events *events, void *arg, struct fg_bus_producer **ret,
                        struct fg_error *err);
void model_producer_publish(struct fg_bus_producer *producer, const struct fg_bus_publish *publish,
                            fg_bus_published_cb done, void *arg);
void model_producer_close(struct fg_bus_producer *producer, fg_done_cb closed, void *arg);
void model_producers_trouble(struct model_bus *model, const struct fg_error *err);

#define MODEL_PRODUCER_OPS                                                            \
    .producer_open = model_producer_open, .producer_publish = model_producer_publish, \
    .producer_close = model_producer_close
