/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a replay share. As in the flow, callbacks only note what happened and wake the replay; one function
 * decides, on a timer of its own.
 */
#pragma once

#include "base/list.h"
#include "flow/account.h"
#include "flow/chain.h"
#include "flow/replay.h"

enum replay_phase {
    REPLAY_CHECK,   /* which topics are there */
    REPLAY_OPEN,    /* the handles; then the committed offsets */
    REPLAY_ASK,     /* the committed offsets are on their way */
    REPLAY_END,     /* where each partition ends now */
    REPLAY_READ,    /* letters into the batch */
    REPLAY_WORK,    /* transforms, on a worker */
    REPLAY_PUBLISH, /* the batch's transaction */
    REPLAY_PAUSE,   /* before it is tried again */
    REPLAY_REOPEN,  /* the producer died: another one, then the committed offsets */
    REPLAY_CLOSE,
    REPLAY_DONE,
};

struct replay_part {
    int32_t partition;
    struct fg_account account; /* as committed */
    struct fg_account ahead;   /* with the batch */
    char *text;                /* owned: the ranges of `ahead` */
    int64_t end;               /* of the partition at the start; -1: not known yet */
    int64_t seen;              /* the last record that came, or the one before the first that may come */
    bool ended;
};

struct replay_item {
    struct fg_record *letter; /* owned */
    struct fg_letter about;
    struct replay_part *part;
    int64_t before; /* the record before it */
    const struct fg_replay_route *route; /* NULL: it goes back to `topic` */
    const char *topic;
    bool tombstone;
    enum fg_replay_fate fate;
    struct fg_error why;
    struct fg_emit out; /* what the transforms made */
    struct fg_header place; /* fragua_replayed */
    char *place_text;       /* owned */
    size_t n_records;
};

/* Letters of one transaction. */
struct replay_batch {
    struct replay_item *items; /* owned array of n */
    size_t n, cap, bytes;
    struct fg_bus_outgoing *messages; /* owned array of n_messages with owned headers */
    size_t *owners;                /* array of n_messages: the item of each */
    size_t n_messages, messages_cap;
    struct fg_bus_position *offsets; /* owned array of n_offsets */
    size_t n_offsets;
    struct fg_bus_publish publish;
};

struct fg_replay {
    struct fg_replay_config c;
    char *group; /* owned: and the transactional id */
    enum replay_phase phase;
    bool stopping, full;
    struct fg_replay_counts counts;
    uint64_t taken;
    struct fg_error err, trouble; /* why it fails; what Kafka's handles last said */

    struct fg_env_timer *turn, *watch;
    uint64_t alive_ms, due_ms; /* last sign of life; end of a pause */

    const char **topics; /* owned array of n_topics: dead letters first, then all that are written to */
    bool *there;         /* array of n_topics */
    size_t n_topics;
    struct replay_part *parts; /* owned array of n_parts */
    size_t n_parts, parts_open;

    struct fg_bus_consumer *consumer;
    struct fg_bus_producer *producer;
    bool describing, asking, ask_again, answered, working, publishing, has_outcome;
    bool producer_ready, producer_dead, from_beginning;
    unsigned closing; /* handles on their way out */
    enum fg_bus_outcome outcome;
    struct fg_error outcome_err;
    size_t culprit;
    unsigned aborts, deaths; /* in a row */
    bool was_committed, was_other; /* what the committed offsets say after a death */
    struct replay_batch batch;
    struct fg_work work;
};

/* replay.c */
void replay_wake(struct fg_replay *r); /* something happened: decide about it in a turn of its own */
/* The first one is why it ends. */
void replay_fail(struct fg_replay *r, const struct fg_error *err);
void replay_failf(struct fg_replay *r, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void replay_trouble(struct fg_replay *r, const struct fg_error *err); /* what a handle says; NULL: it is over */
void replay_closed(void *arg); /* a handle is; arg: the replay */

/* replay-read.c: the consumer. Whether it opened is seen in the phase. */
void replay_consumer_open(struct fg_replay *r);
void replay_consumer_close(struct fg_replay *r); /* no matter if there is none */
/* [ASK, REOPEN] `answered` is true when it is told; sets `was_...` in REOPEN. */
void replay_ask_committed(struct fg_replay *r);
void replay_step_ask(struct fg_replay *r);
void replay_step_end(struct fg_replay *r);
void replay_step_read(struct fg_replay *r);

/* replay-publish.c: the producer, and what a full batch goes through */
void replay_producer_open(struct fg_replay *r);
void replay_producer_close(struct fg_replay *r); /* no matter if there is none */
void replay_work_begin(struct fg_replay *r);     /* the batch's transforms; the phase is WORK then */
void replay_step_work(struct fg_replay *r);
void replay_step_publish(struct fg_replay *r);
void replay_step_pause(struct fg_replay *r);
void replay_step_reopen(struct fg_replay *r);

/* replay-batch.c */
/* Takes over a letter that is chosen; decides where it would go. */
void replay_batch_add(struct fg_replay *r, struct replay_part *part, struct fg_bus_message *message);
bool replay_batch_has_work(const struct fg_replay *r);
void replay_batch_work(struct fg_replay *r, unsigned worker); /* [worker] the transforms */
/* Makes messages and offsets; letters that cannot go become LEFT. Repeatable. */
void replay_batch_build(struct fg_replay *r);
/* One of its messages is refused for good: its letter is left. */
void replay_batch_refuse(struct fg_replay *r, size_t message, const struct fg_error *why);
/* It counts: tells, and is empty again. */
void replay_batch_settle(struct fg_replay *r);
void replay_batch_clear(struct fg_replay *r);
