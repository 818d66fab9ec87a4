/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A replay on the rig's Kafka: pipeline "p" reads "in"; pipeline "s" has a source, the rig's transform, and outputs
 * "out" and "rows"; dead letters lie in "dead".
 */
#pragma once

#include "flow-rig.h"
#include "flow/replay.h"

#define RIG_REPLAY_GROUP "fragua-replay-dead"
#define RIG_NEWS_MAX     4096

struct rig_replay {
    struct rig *rig;
    struct sim_process process; /* of its own, where it is to be killed */
    struct model_client client;
    bool own;
    struct fg_replay_config config;
    struct fg_replay_route routes[2];
    struct fg_letter_condition conditions[4];
    struct fg_replay *replay;
    bool done;
    struct fg_replay_counts counts;
    struct fg_error err;
    char fates[RIG_NEWS_MAX];    /* 's' sent, 'l' left */
    size_t n_news;
    char why[FG_ERROR_TEXT_MAX]; /* of the last one that was left */
    char topic[32];              /* of the last one that was sent */
    void (*told)(struct rig_replay *run);
};

void rig_replay_init(struct rig_replay *run, struct rig *rig);
/* In a process and with a connection of its own, so that it can be cut off. deinit() before the rig's. */
void rig_replay_init_apart(struct rig_replay *run, struct rig *rig, const char *name);
void rig_replay_deinit(struct rig_replay *run); /* of one that is not apart: nothing */
void rig_replay_choose(struct rig_replay *run, const char *filter); /* before it begins */
void rig_replay_begin(struct rig_replay *run);
/* Begins it where nobody did; until it is done and all that it left under way is over. */
void rig_replay_finish(struct rig_replay *run);
bool rig_replay_is_done(void *arg); /* for sim_run_until(); arg: the run */

void rig_put_letter_of(struct rig *rig, const char *key, const char *value, const char *pipeline, const char *origin,
                       const char *reason);
void rig_put_letter(struct rig *rig, const char *key, const char *value); /* of "p", which the service refused */
void rig_put_letters(struct rig *rig, unsigned n); /* the i-th has key k<i%2> and value v<i> */

void rig_replay_expect_no_error(const struct rig_replay *run);
/* Of rig_put_letters(): "in" holds each once, those with one key in order, and nothing else. */
void rig_expect_each_replayed_once(struct rig *rig, unsigned n);
/* What the group of replays keeps. @next: FG_BUS_UNKNOWN: nothing; @metadata: "": none. */
void rig_replay_expect_committed(struct rig *rig, int64_t next, const char *metadata);
