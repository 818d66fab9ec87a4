/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the flow needs of Kafka, and nothing of any client library's types.
 *
 * Glossary:
 *   bus        settings for one cluster; opens consumers and producers
 *   position   topic, partition and the offset of the next record to read
 *   publish    one unit of writing: messages, and the input's positions that account for them, all or nothing
 *   solo       the only replica by construction (the embedded broker): all partitions are assigned at once, without
 *              the group protocol
 *
 * All functions are for the loop thread and never block; all callbacks come on the loop thread, never from inside the
 * call that caused them. fg_bus_message_free() is for any thread.
 */
#pragma once

#include "fragua/error.h"
#include "fragua/host.h"
#include "fragua/record.h"

#define FG_BUS_BEGINNING (-2) /* offsets with a meaning of their own */
#define FG_BUS_END (-1)
#define FG_BUS_TAIL(n) ((int64_t)(-2000) - (n))  /* n records before the end; n >= 1 */
#define FG_BUS_SINCE(ms) (INT64_MIN + (ms))      /* the first record of this Unix time or later; none: the end */

struct fg_metric_scope;
struct fg_bus;
struct fg_bus_consumer;
struct fg_bus_producer;

struct fg_bus_position {
    const char *topic; /* borrowed */
    int32_t partition;
    int64_t offset; /* next to read; one of the above; or -1001 for "unknown" in answers */
    /* What the group keeps beside a committed offset; borrowed. NULL: nothing, and committing it clears what was. */
    const char *metadata;
};
#define FG_BUS_UNKNOWN      (-1001)
#define FG_BUS_METADATA_MAX 4000 /* bytes; brokers take 4096 (offset.metadata.max.bytes) */

/* A record that arrived. Its owner frees it by fg_bus_message_free(); slices live until then. */
struct fg_bus_message {
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
    struct fg_slice key, value;
    bool tombstone; /* the value is null, not empty */
    const struct fg_header *headers; /* array of n_headers, in order */
    size_t n_headers;
    void (*release)(struct fg_bus_message *message); /* the implementation's; [any thread] */
};

/* A record to be written. Everything is borrowed until the publish is done. */
struct fg_bus_outgoing {
    const char *topic;
    struct fg_slice key, value;
    bool tombstone;
    const struct fg_header *headers; /* array of n_headers */
    size_t n_headers;
    int64_t timestamp_ms;
    int32_t partition; /* -1: by key (murmur2, as Java clients; no key: any) */
};

/* Copied by open, with what it points to. */
struct fg_bus_consumer_config {
    const char *group;          /* NULL: no group; positions come by consumer_assign() alone */
    /*
     * Array of n_topics to subscribe to; unused without group. None with a group: it is not joined, positions come by
     * consumer_assign(), and only its offsets are used. Who may commit them is then up to a transactional id.
     */
    const char *const *topics;
    size_t n_topics;
    bool want_end;              /* call end() */
    bool passing;               /* messages are looked at within message() and freed there: none needs to be a copy */
    size_t queue_bytes_max;     /* fetched ahead, at most; 0: 4 MiB, or 16 where a library needs it to be quick */
    uint32_t session_timeout_ms; /* 0: 6 s, or what the user's properties say */
    struct fg_metric_scope *metrics; /* where its counters go on with the next handle, outlives it; NULL: they do not */
};

/* What the callbacks are given is borrowed for the call, but for a message. All within the bus's turn of the loop. */
struct fg_bus_consumer_events {
    /*
     * These partitions are the whole assignment now. Answer by consumer_assign(), now or later: where reading begins
     * (the group's committed offsets, by consumer_committed()) is the caller's to decide, so their offsets are unknown.
     */
    void (*assigned)(void *arg, const struct fg_bus_position *partitions, size_t n);
    /*
     * The assignment ends. Answer by consumer_unassign() after the last commit for it; until then the group waits,
     * at most its rebalance timeout. @lost: it is gone already, nothing can be committed for it any more.
     */
    void (*revoked)(void *arg, const struct fg_bus_position *partitions, size_t n, bool lost);
    void (*message)(void *arg, struct fg_bus_message *message); /* takes it over */
    void (*end)(void *arg, const struct fg_bus_position *partition); /* read up to the last stable offset; optional */
    /* What stands in the way, in words (refused certificate, unreachable, unknown topic); NULL: all is well again. */
    void (*trouble)(void *arg, const struct fg_error *err);
};

/* Copied by open, with what it points to. */
struct fg_bus_producer_config {
    const char *transactional_id;   /* NULL: idempotent only */
    uint32_t transaction_timeout_ms; /* 0: 10 s, or what the user's properties say */
    size_t queue_bytes_max;         /* records copied and not acknowledged; a larger one goes alone. 0: 8 MiB */
    const char *const *topics;      /* array of n_topics: metadata is fetched at start, else the first record is late */
    size_t n_topics;
    /*
     * The producer before this one was fenced in a publish, so that was aborted; or its group's offsets are not told,
     * because a transaction that should be over holds them. Brokers have been seen to forget the end of a transaction
     * in a partition that was without a leader for a moment; what was written there would count with the next commit,
     * and offsets there are told to nobody any more. Before it is ready, this one writes a record without value to
     * every partition of its topics, and an offset, and aborts. Never merely after a commit of unknown outcome: where
     * the offsets count already, what the same brokers forgot in other partitions must count too.
     */
    bool after_abort;
    const char *group;        /* whose offsets move with its publishes; NULL: none do. For after_abort */
    const char *group_topic;  /* one that the group reads */
    struct fg_metric_scope *metrics; /* as for consumers */
};

struct fg_bus_producer_events {
    void (*ready)(void *arg); /* once: transactions are initialised (an older owner is fenced), topics are known */
    /* As for consumers. With err->fatal the handle is dead: close it and open another. */
    void (*trouble)(void *arg, const struct fg_error *err);
};

/* One unit of writing. Everything is borrowed until done. */
struct fg_bus_publish {
    const struct fg_bus_outgoing *messages; /* array of n_messages; order is kept for each key */
    size_t n_messages;
    struct fg_bus_consumer *consumer; /* its group's offsets move with the messages; NULL: none do */
    const struct fg_bus_position *offsets; /* array of n_offsets: next to read */
    size_t n_offsets;
    /*
     * Messages to this topic are cursors: once delivered, for each partition one past the last offset written is
     * committed for the consumer's group in the same transaction, so that the broker refuses a replica that lost the
     * partition (KIP-447). NULL: none.
     */
    const char *cursors_topic;
    const char *cursors_metadata; /* beside those offsets; NULL: none */
    /*
     * Where to say which message Kafka will never take: its index, when the outcome is FG_BUS_ABORTED with code
     * FG_E_LIMIT, being too large for Kafka or for its topic, or FG_E_REFUSED, being of a form that its topic does not
     * allow (without key where it is compacted). Untouched otherwise. NULL: nobody wants to know.
     */
    size_t *culprit;
};

enum fg_bus_outcome {
    FG_BUS_DONE,    /* all of it counts */
    FG_BUS_ABORTED, /* none of it counts; the producer is usable; rewind the input */
    /*
     * The producer is dead: close it, open another. Whether it counts is not known before the next producer with this
     * transactional id is ready: then ask for the committed positions, and rewind the input to them.
     */
    FG_BUS_DEAD,
};
/* Once for each publish. What it is given is borrowed for the call; so are the answers below. */
typedef void (*fg_bus_published_cb)(void *arg, enum fg_bus_outcome outcome, const struct fg_error *err);
typedef void (*fg_bus_positions_cb)(void *arg, const struct fg_bus_position *positions, size_t n,
                                    const struct fg_error *err);

struct fg_bus_topic {
    const char *name;
    int32_t partitions;  /* 0: there is no such topic */
    int32_t replication; /* of partition 0; 0: unknown. For create: -1: the broker's default */
    bool compacted;      /* for create and inspect only */
    /* Answers of inspect; 0: not known. */
    bool deletes;              /* records are removed by age or size; a compacted topic may do both */
    int32_t min_insync;        /* min.insync.replicas */
    int64_t retention_ms;      /* retention.ms; -1: for ever */
    int64_t message_bytes_max; /* max.message.bytes */
};
typedef void (*fg_bus_topics_cb)(void *arg, const struct fg_bus_topic *topics, size_t n, const struct fg_error *err);

/* What inspect tells of the brokers. */
struct fg_bus_cluster {
    int32_t brokers;              /* 0: not known */
    int64_t offsets_retention_ms; /* how long the offsets of a group without members are kept; 0: not known */
    struct fg_error settings;     /* why settings of topics or brokers are not known; code FG_E_NONE: they are */
};
typedef void (*fg_bus_inspected_cb)(void *arg, const struct fg_bus_cluster *cluster, const struct fg_bus_topic *topics,
                                    size_t n, const struct fg_error *err);

struct fg_bus_traits {
    const char *kind;   /* "kafka", "embedded", "model" */
    bool durable;       /* survives the process */
    bool transactional; /* aborted and open transactions stay unseen, offsets in them count */
    bool solo;
};

/* An implementation. Every member is mandatory. See the wrappers below for what each does. */
struct fg_bus_ops {
    int (*consumer_open)(struct fg_bus *bus, const struct fg_bus_consumer_config *config,
                         const struct fg_bus_consumer_events *events, void *arg, struct fg_bus_consumer **ret,
                         struct fg_error *err);
    void (*consumer_assign)(struct fg_bus_consumer *consumer, const struct fg_bus_position *positions, size_t n);
    void (*consumer_unassign)(struct fg_bus_consumer *consumer);
    void (*consumer_pause)(struct fg_bus_consumer *consumer, bool paused);
    void (*consumer_rewind)(struct fg_bus_consumer *consumer, const struct fg_bus_position *positions, size_t n);
    void (*consumer_committed)(struct fg_bus_consumer *consumer, const struct fg_bus_position *partitions, size_t n,
                               fg_bus_positions_cb done, void *arg);
    void (*consumer_commit)(struct fg_bus_consumer *consumer, const struct fg_bus_position *positions, size_t n,
                            fg_bus_positions_cb done, void *arg);
    void (*consumer_close)(struct fg_bus_consumer *consumer, fg_done_cb closed, void *arg);
    int (*producer_open)(struct fg_bus *bus, const struct fg_bus_producer_config *config,
                         const struct fg_bus_producer_events *events, void *arg, struct fg_bus_producer **ret,
                         struct fg_error *err);
    void (*producer_publish)(struct fg_bus_producer *producer, const struct fg_bus_publish *publish,
                             fg_bus_published_cb done, void *arg);
    void (*producer_close)(struct fg_bus_producer *producer, fg_done_cb closed, void *arg);
    void (*describe)(struct fg_bus *bus, const char *const *names, size_t n, fg_bus_topics_cb done, void *arg);
    void (*create)(struct fg_bus *bus, const struct fg_bus_topic *topics, size_t n, fg_bus_topics_cb done, void *arg);
    void (*inspect)(struct fg_bus *bus, const char *const *names, size_t n, fg_bus_inspected_cb done, void *arg);
    void (*close)(struct fg_bus *bus, fg_done_cb closed, void *arg);
};

/* An implementation embeds this first. */
struct fg_bus {
    const struct fg_bus_ops *ops;
    struct fg_bus_traits traits;
};

static inline void fg_bus_message_free(struct fg_bus_message *message)
{
    if (message)
        message->release(message);
}

/* Settings that the cluster's library refuses, unreadable certificates: an error now. Reachability: trouble() later. */
static inline int fg_bus_consumer_open(struct fg_bus *bus, const struct fg_bus_consumer_config *config,
                                       const struct fg_bus_consumer_events *events, void *arg,
                                       struct fg_bus_consumer **ret, struct fg_error *err)
{
    return bus->ops->consumer_open(bus, config, events, arg, ret, err);
}

static inline int fg_bus_producer_open(struct fg_bus *bus, const struct fg_bus_producer_config *config,
                                       const struct fg_bus_producer_events *events, void *arg,
                                       struct fg_bus_producer **ret, struct fg_error *err)
{
    return bus->ops->producer_open(bus, config, events, arg, ret, err);
}

/*
 * The rest is called through the implementation that a handle came from; `bus` is the one that opened it. A handle is
 * the opener's until its close, which takes it over. Arrays of positions and names are copied; only a publish borrows.
 *
 * consumer_assign     start reading these partitions, each at its position; the whole assignment
 * consumer_unassign   stop reading; messages under way are dropped
 * consumer_pause      stop or go on delivering messages, for all partitions; what is queued stays queued
 * consumer_rewind     go on from these positions; after return no message from before it is delivered any more
 * consumer_committed  ask for the group's committed offsets; waits until transactions on them have ended, but not for
 *                     ever: then FG_E_FENCED
 * consumer_commit     commit offsets outside of transactions (at-least-once)
 * consumer_close      leave the group; no event after return; questions under way end first (FG_E_CANCELLED), and so
 *                     does a publish that moves its offsets; closed(arg) when all is freed
 * producer_publish    write one unit; one at a time; done(arg, outcome, err) once. Blocking parts run on the committer
 * producer_close      what is being published ends first, as FG_BUS_DEAD unless it got through; closed(arg) when all
 *                     is freed
 * describe            what exists of these topics
 * create              make topics, wait until the brokers know them; one that exists already is no error. The topics of
 *                     the answer are as they are now
 * inspect             describe, with settings of the topics and what is known of the cluster: for people, asks more
 * close               after all its consumers and producers are closed
 */
