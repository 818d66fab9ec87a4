/* SPDX-License-Identifier: Apache-2.0 */
/* What producer.c (the loop's side) and committer.c (the thread's side) share. */
#pragma once

#include "bus/rdkafka/rdkafka-private.h"

/* Made and freed on the loop. [committer]: that thread's from open to close; no word: set before, or the loop's. */
struct fg_bus_producer {
    struct fg_rd_bus *bus; /* first: librdkafka's opaque */
    struct fg_lane lane;   /* the committer */
    struct fg_trouble trouble;
    struct fg_bus_producer_events events;
    void *arg;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue; /* the handle's own, only to interrupt waiting on it */
    char *name;              /* owned: the transactional id, or "producer"; for metrics and log */
    bool transactional;
    uint32_t transaction_timeout_ms;
    char **topics;              /* owned array of n_topics */
    rd_kafka_topic_t **handles; /* owned array of n_topics, kept so that their metadata stays known */
    int *partitions;            /* owned array of n_topics */
    bool after_abort;           /* see fg_bus_producer_config */
    char *group, *group_topic;  /* owned; NULL: none */
    size_t n_topics;

    atomic_bool shutting;      /* the committer must come to an end */
    bool busy;                 /* [committer] a call waits for brokers: their errors are no suspicion */
    struct fg_rd_job *current; /* [committer] whose delivery reports come in */
    uintptr_t next_token;      /* [committer] opaque of the next record; reports of older publishes count nothing */
    size_t batch_bytes;        /* librdkafka puts no two records into a batch that would be larger */
    size_t queue_bytes_max;    /* of records without report so far; one that is larger goes alone */
    bool sequence_gap;         /* [committer] records were refused, and no new epoch began since */
    size_t group_bytes_max;    /* [committer] a topic refused batches: so much at a time; SIZE_MAX: no such thing */

    struct fg_rd_stats_memory stats; /* [committer] */

    struct fg_rd_job *publishing; /* loop: the one under way */
    bool closing;
    fg_done_cb closed;
    void *closed_arg;
};
_Static_assert(offsetof(struct fg_bus_producer, bus) == 0, "librdkafka's opaque begins with the bus");

/* One publish. Made on the loop, worked on by the committer, ended on the loop. */
struct fg_rd_job {
    struct fg_lane_job job;
    struct fg_bus_producer *p;
    struct fg_bus_publish publish;       /* what it points to is borrowed until done */
    struct fg_rd_membership *membership; /* owned; NULL: none */
    unsigned assigns;                    /* the consumer's, as is */
    unsigned assignment;                 /* the consumer's, when the publish was asked for */
    fg_bus_published_cb done;
    void *arg;

    uintptr_t first_token;                    /* of its records' opaques */
    size_t n_left, left_bytes;                /* produced, without delivery report so far */
    size_t n_borrowed;                        /* of n_left: librdkafka has the publish's memory, not a copy */
    rd_kafka_resp_err_t failure;              /* of the first record that was not delivered */
    const char *failed_topic;                 /* borrowed from publish */
    size_t *refused;                          /* owned array of n_refused: indices of records in refused batches */
    size_t n_refused;
    bool one_by_one; /* a topic refused a batch for a record's form: each record has its own */
    size_t culprit;  /* index of the record that is never taken; SIZE_MAX: none known */
    rd_kafka_topic_partition_list_t *cursors; /* owned: one past the last cursor written, for each partition */
    enum fg_bus_outcome outcome;
    struct fg_error err;
};

/* committer.c; all on the committer, but where said */
void fg_rd_committer_open(struct fg_bus_producer *p);
bool fg_rd_committer_is_dead(struct fg_bus_producer *p); /* [any thread] */
void fg_rd_committer_run(struct fg_lane_job *job);
void fg_rd_committer_idle(void *producer);
void fg_rd_committer_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque);
void fg_rd_committer_error(rd_kafka_t *rk, int rd, const char *text, void *opaque);

/* produce.c; on the committer. Puts all records of the job in, waits for all reports. 0, or negative with job->err set.
 */
int fg_rd_produce(struct fg_rd_job *job);
/*
 * Waits until librdkafka has let go of the publish's memory; ends each try, however it went. @over: the producer is
 * dead, nothing is delivered any more.
 */
void fg_rd_produce_let_go(struct fg_rd_job *job, bool over);
/*
 * After a publish was aborted. true: publish again, which is when
 * - a topic refused a batch that is too large, and what it held may go in smaller ones,
 * - a topic refused a batch for the form of a record of it, and it is not known which,
 * - it failed only because records before it had been refused: librdkafka does not take back their sequence numbers, so
 *   the next batch for that partition is out of order, and only then a new epoch is asked for.
 * false: the abort stands. Where one record is refused for itself, job->culprit and job->err say so.
 */
bool fg_rd_produce_again(struct fg_rd_job *job);
