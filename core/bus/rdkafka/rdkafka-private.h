/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share. Loop thread, but for what says [lane] (the consumer's own thread, or the
 * committer) or [any thread]; what has no word and touches no struct of a handle, such as lists and messages, is for
 * any thread.
 *
 * Locks: a lane's, a trouble's and a consumer's membership_lock are each held for a few lines in which no other is
 * taken and nobody is called, with one exception: a lane's is held over its nudge(), which takes the lock of a queue of
 * librdkafka's. So what librdkafka calls under such a lock (on_queue() of consumer.c) must not take a lane's.
 *
 * Glossary:
 *   control     a consumer's queue of events about itself: group, errors, statistics
 *   data        its queue of messages; partitions are forwarded to it, so that not reading it is what "paused" means
 *   membership  the group's member and generation of one assignment, for KIP-447
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

#include "bus/rdkafka/lane.h"
#include "bus/rdkafka/rdkafka.h"
#include "bus/rdkafka/trouble.h"

#define FG_RD_ADMIN_TIMEOUT_MS 10000    /* describe, create, committed, commit */
#define FG_RD_PROBE_TIMEOUT_MS 1000     /* of one question whether brokers answer */
#define FG_RD_TICK_MS          1000     /* a consumer looks after itself so often, whatever wakes it */
#define FG_RD_DRAIN_EVENTS     256      /* messages taken from librdkafka in one turn of the loop, at most, */
#define FG_RD_DRAIN_NS         2000000u /* and nanoseconds */
#define FG_RD_CLOSE_SLOW_MS    5000     /* a close that takes longer is logged */
#define FG_RD_STATISTICS_MS    5000
#define FG_RD_FETCH_BACKOFF_MS "20"     /* after a full prefetch queue; librdkafka's own is 1 s */
#define FG_RD_PEM_BYTES_MAX    1048576u /* of all certificates of one setting together */

struct fg_rd_bus {
    struct fg_bus base;
    struct fg_rd_bus *self; /* what an opaque of librdkafka's points to where nobody else owns the handle */
    struct fg_bus_ops ops;  /* a copy: the embedded bus has some of its own */
    uv_loop_t *loop;
    struct fg_metrics *metrics;
    struct fg_logger logger;
    rd_kafka_conf_t *common; /* owned: settings that producers and consumers share */
    int chain_fd;            /* owned: certificates that librdkafka reads from a file; -1: none */
    unsigned handles;        /* open consumers and producers */
    atomic_bool committed;   /* offsets have been committed, outside of transactions */

    struct fg_lane admin; /* made at first use */
    bool admin_started;
    rd_kafka_t *admin_rk; /* owned by the lane */
    struct fg_trouble admin_trouble; /* what that handle says of its brokers; made and ended with it */
    fg_done_cb closed;
    void *closed_arg;

    /* embedded: makes a topic, ends the brokers; both on the admin lane. NULL: real brokers */
    int (*make_topic)(void *embedded, const struct fg_bus_topic *topic, struct fg_error *err);
    void (*deinit)(void *embedded);
    void *embedded;
};

#define FG_RD_STATS_CLIENT_MAX 16

/* What a handle's statistics were when they were last looked at. */
struct fg_rd_stats_memory {
    double counters[FG_RD_STATS_CLIENT_MAX];
    struct fg_metric_scope *shown; /* owned: what there was to tell; a partition that is gone is told no more */
    struct fg_metric_scope *kept;  /* borrowed: where counters outlive the handle; NULL: they do not */
};

struct fg_rd_membership {
    atomic_uint refs;
    unsigned assigns;                             /* fg_bus_consumer::assigns that it belongs to */
    rd_kafka_consumer_group_metadata_t *metadata; /* owned */
};

struct fg_rd_part {
    char *topic; /* owned */
    int32_t partition;
    int64_t next; /* where to go on; may be one of the special ones until something came */
};

/* In groups by who may touch them; what the lane is given to do comes in jobs of its own. */
struct fg_bus_consumer {
    struct fg_rd_bus *bus; /* first: librdkafka's opaque */

    /* Set by open, only read from then on: [any thread]. The queues and the handle go with the lane's last job. */
    struct fg_bus_consumer_events events;
    void *arg;
    rd_kafka_t *rk;
    rd_kafka_queue_t *control, *data;
    char *name; /* owned: the group, or "reader"; for metrics and log */
    bool grouped, solo, passing;
    char **topics; /* owned array of n_topics */
    size_t n_topics;

    /* [any thread] Each looks after itself. */
    struct fg_lane lane;
    struct fg_trouble trouble;
    atomic_uint epoch;      /* of the last change of the assignment; older ones that still wait are not done at all */
    atomic_bool shutting;   /* the lane must not begin anything long */
    atomic_uint assignment; /* counts assignments, so that a publish can tell that its own is over */
    atomic_uint assigns;    /* counts calls of consumer_assign() */
    pthread_mutex_t membership_lock;
    struct fg_rd_membership *membership; /* under the lock: of the assignment; NULL: none yet */

    /* [lane] */
    struct fg_rd_stats_memory stats;

    /* The loop's. */
    uv_timer_t timer;
    bool paused, revoking, closing, probing;
    unsigned forward_ticks;
    unsigned pending;          /* changes of the assignment that the lane has not done yet: nothing is delivered */
    struct fg_rd_part *parts;  /* owned array of n_parts */
    size_t n_parts, last_part; /* where the last message belonged */
    unsigned users;            /* publishes that move this group's offsets */
    uint64_t close_began_ns;
    fg_done_cb closed;
    void *closed_arg;
};
_Static_assert(offsetof(struct fg_bus_consumer, bus) == 0, "librdkafka's opaque begins with the bus");

/* conf.c */
/* @ret_fd: what the settings name by a path, to be kept open as long as handles are made of them; also on failure */
rd_kafka_conf_t *fg_rd_conf_common(const struct fg_bus_rdkafka_config *config, int *ret_fd, struct fg_error *err);
rd_kafka_conf_t *fg_rd_conf_consumer(const struct fg_rd_bus *bus, const struct fg_bus_consumer_config *config,
                                     struct fg_error *err);
rd_kafka_conf_t *fg_rd_conf_producer(const struct fg_rd_bus *bus, const struct fg_bus_producer_config *config,
                                     struct fg_error *err);
int fg_rd_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct fg_error *err);
size_t fg_rd_conf_number(const rd_kafka_conf_t *conf, const char *name); /* 0: no such property, or no number */
/* properties.c: null when the user may set it, else why not */
const char *fg_rd_property_refused(const char *name);
/* tls.c. @password: of the key, NULL: none. @ret_fd: as above */
int fg_rd_conf_tls(rd_kafka_conf_t *conf, const struct fg_tls *tls, const char *password, int *ret_fd,
                   struct fg_error *err);
/*
 * bus.c: makes a handle with signals blocked; takes conf over even if it fails.
 * @opaque: begins with a pointer to the bus, by which its log finds the way
 */
rd_kafka_t *fg_rd_new(struct fg_rd_bus *bus, rd_kafka_type_t type, rd_kafka_conf_t *conf, void *opaque,
                      struct fg_error *err);

/*
 * message.c: a copy of librdkafka's, in one piece of memory; NULL: no memory. @passing: key and value are not copied,
 * but librdkafka's own.
 */
struct fg_bus_message *fg_rd_message_copy(const rd_kafka_message_t *m, bool passing);

/* consumer.c */
int fg_rd_consumer_open(struct fg_bus *bus, const struct fg_bus_consumer_config *config,
                        const struct fg_bus_consumer_events *events, void *arg, struct fg_bus_consumer **ret,
                        struct fg_error *err);
void fg_rd_consumer_pause(struct fg_bus_consumer *c, bool paused);
void fg_rd_consumer_close(struct fg_bus_consumer *c, fg_done_cb closed, void *arg);
void fg_rd_consumer_use(struct fg_bus_consumer *c); /* it stays open until the last use is dropped */
void fg_rd_consumer_drop(struct fg_bus_consumer *c);
void fg_rd_consumer_tell(struct fg_bus_consumer *c); /* trouble() if there is news */

/* events.c: what librdkafka has for the loop */
void fg_rd_consumer_drain(void *consumer);
void fg_rd_consumer_probe(struct fg_bus_consumer *c); /* proves or drops a suspicion, if there is one */
void fg_rd_consumer_assigned(struct fg_bus_consumer *c, const rd_kafka_topic_partition_list_t *list);

/* assignment.c */
void fg_rd_consumer_assign(struct fg_bus_consumer *c, const struct fg_bus_position *positions, size_t n);
void fg_rd_consumer_unassign(struct fg_bus_consumer *c);
void fg_rd_consumer_rewind(struct fg_bus_consumer *c, const struct fg_bus_position *positions, size_t n);
/* [lane] Messages of these partitions go to the data queue. */
void fg_rd_forward(struct fg_bus_consumer *c, const rd_kafka_topic_partition_list_t *list);
struct fg_rd_part *fg_rd_part_find(struct fg_bus_consumer *c, const char *topic, int32_t partition);
void fg_rd_parts_free(struct fg_bus_consumer *c);
struct fg_rd_membership *fg_rd_membership_get(struct fg_bus_consumer *c); /* a new reference, or NULL */
void fg_rd_membership_unref(struct fg_rd_membership *m);                  /* [any thread] NULL allowed */

/* offsets.c */
void fg_rd_consumer_committed(struct fg_bus_consumer *c, const struct fg_bus_position *partitions, size_t n,
                              fg_bus_positions_cb done, void *arg);
void fg_rd_consumer_commit(struct fg_bus_consumer *c, const struct fg_bus_position *positions, size_t n,
                           fg_bus_positions_cb done, void *arg);
/* [lane] Commits offsets of the group outside transactions, waits at most FG_RD_ADMIN_TIMEOUT_MS. */
int fg_rd_commit_now(struct fg_bus_consumer *c, const rd_kafka_topic_partition_list_t *list, struct fg_error *err);
/*
 * [lane] The group's committed offsets. A solo consumer's brokers began with the process: until it has committed
 * something there is nothing to ask for, and a coordinator need not be found first, which takes half a second.
 */
rd_kafka_resp_err_t fg_rd_committed(struct fg_bus_consumer *c, rd_kafka_topic_partition_list_t *list, int timeout_ms);
void fg_rd_set_metadata(rd_kafka_topic_partition_t *tp, const char *metadata); /* copied; NULL: leaves it as it is */
/* The caller's, rd_kafka_topic_partition_list_destroy(). */
rd_kafka_topic_partition_list_t *fg_rd_list(const struct fg_bus_position *positions, size_t n);
/* The caller's array; borrowed topics, metadata in the same piece of memory: free the array alone. */
struct fg_bus_position *fg_rd_positions(const rd_kafka_topic_partition_list_t *list);

/* producer.c */
int fg_rd_producer_open(struct fg_bus *bus, const struct fg_bus_producer_config *config,
                        const struct fg_bus_producer_events *events, void *arg, struct fg_bus_producer **ret,
                        struct fg_error *err);
void fg_rd_producer_publish(struct fg_bus_producer *p, const struct fg_bus_publish *publish, fg_bus_published_cb done,
                            void *arg);
void fg_rd_producer_close(struct fg_bus_producer *p, fg_done_cb closed, void *arg);

/* admin.c */
struct fg_rd_topic {
    rd_kafka_resp_err_t err;     /* what the brokers say about it */
    int partitions, replication; /* 0: it is not there */
};
/* [lane] Blocks. The return value is about the question, ret->err about the topic. */
rd_kafka_resp_err_t fg_rd_look_up(struct fg_rd_bus *bus, rd_kafka_t *rk, const char *name, int timeout_ms,
                                  struct fg_rd_topic *ret);
void fg_rd_describe(struct fg_bus *bus, const char *const *names, size_t n, fg_bus_topics_cb done, void *arg);
void fg_rd_create(struct fg_bus *bus, const struct fg_bus_topic *topics, size_t n, fg_bus_topics_cb done, void *arg);
void fg_rd_inspect(struct fg_bus *bus, const char *const *names, size_t n, fg_bus_inspected_cb done, void *arg);
void fg_rd_admin_close(struct fg_rd_bus *bus, fg_done_cb closed, void *arg);

/* stats.c: [any thread] librdkafka's statistics into metrics. @client: the label. @parts: for the lag; array of n */
void fg_rd_stats(struct fg_metrics *metrics, const char *client, struct fg_slice json, const struct fg_rd_part *parts,
                 size_t n, struct fg_rd_stats_memory *memory);
