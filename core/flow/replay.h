/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dead letters back to where they came from. Loop thread only.
 *
 * A letter whose origin is a topic goes back there as the record it was: key, value and its own headers. One whose
 * origin is a source's cursor cannot go back to the mailbox: its record goes through the transforms of its pipeline
 * here, and what comes out is written to the pipeline's outputs. Everything written carries fragua_replayed, the
 * letter's place.
 *
 * Which letters were replayed is committed in the transaction that writes them, as offsets of the group
 * "fragua-replay-<dead topic>": everything before the offset, and ranges beyond it in the metadata (account.h). So a
 * replay that is killed and begun again replays none twice. The group is never joined: the transactional id of the same
 * name decides who may commit. A second replay fences the first; each looks at the committed offsets before it goes on,
 * and ends if they are not its own.
 *
 * On a bus without transactions: records first, then offsets, so letters of the last batch may be replayed twice.
 */
#pragma once

#include "flow/letter.h"
#include "flow/pipeline.h"

struct fg_replay;

/* A pipeline of the file. Everything borrowed. */
struct fg_replay_route {
    const char *pipeline;
    bool source, sink;               /* it has one */
    const char *const *inputs;       /* array of n_inputs topics, without a source */
    size_t n_inputs;
    const struct fg_stage *transforms; /* array of n_transforms, with their instances; used with a source only */
    size_t n_transforms;
    const struct fg_output *outputs; /* array of n_outputs */
    size_t n_outputs;
};

enum fg_replay_fate {
    FG_REPLAY_SENT, /* replayed; in a dry run: it would be */
    FG_REPLAY_LEFT, /* it cannot be replayed as things are */
};

/* What became of a letter; borrowed for the length of the call. */
struct fg_replay_news {
    const struct fg_letter *letter;
    enum fg_replay_fate fate;
    const char *topic;          /* SENT: where to; NULL: the transforms dropped it, nothing was written */
    size_t n_records;           /* SENT: how many were written */
    const struct fg_error *why; /* LEFT */
};

struct fg_replay_counts {
    uint64_t sent, left;      /* letters chosen */
    uint64_t records;         /* written */
    uint64_t passed;          /* not chosen by the conditions */
    uint64_t already;         /* replayed by an earlier run */
    bool interrupted;         /* by fg_replay_stop() */
};

struct fg_replay_config {
    struct fg_env *env;
    struct fg_bus *bus;
    struct fg_budget *budget;
    struct fg_logger logger; /* copied */
    const char *dead_topic;
    const struct fg_replay_route *routes; /* array of n_routes */
    size_t n_routes;
    const struct fg_letter_condition *conditions; /* array of n_conditions */
    size_t n_conditions;
    uint64_t limit;       /* letters at most; 0: all */
    bool dry;             /* says what would become of each, writes and commits nothing */
    size_t batch_records; /* letters in one transaction; 0: 500 */
    size_t batch_bytes;   /* 0: 4 MiB */
    uint32_t patience_ms; /* without a sign of life from Kafka; 0: 30 s */
    void (*told)(void *arg, const struct fg_replay_news *news);
    /* Once, when all is closed. err NULL: it came to the end that the topic had at the start, or was stopped. */
    void (*done)(void *arg, const struct fg_replay_counts *counts, const struct fg_error *err);
    void *arg;
};

/* Begins. @config is copied, what it points to is borrowed until done(). */
struct fg_replay *fg_replay_start(const struct fg_replay_config *config);
/* Ends after the transaction under way; done() comes. Repeatable. */
void fg_replay_stop(struct fg_replay *replay);
void fg_replay_counts(const struct fg_replay *replay, struct fg_replay_counts *ret);
struct fg_replay *fg_replay_free(struct fg_replay *replay); /* in or after done(); NULL allowed */
