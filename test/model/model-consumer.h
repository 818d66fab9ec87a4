/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the model's consumer share: it reads (model-consumer.c), is a member, knows offsets. */
#pragma once

#include "model-private.h"

#define MODEL_TOPICS_MAX 8u

struct model_position {
    struct model_topic *topic;
    int32_t partition;
    size_t next;
    bool told_end, told_gone;
};

/* What the process believes of its membership. */
enum model_member { MEMBER_OUT, MEMBER_JOINING, MEMBER_IN, MEMBER_REVOKING };

struct fg_bus_consumer {
    struct fg_list link; /* model_bus::consumers */
    struct model_bus *model;
    struct model_client *client;
    struct fg_bus_consumer_events events;
    void *arg;
    struct model_group *group; /* NULL: none */
    struct model_topic *topics[MODEL_TOPICS_MAX];
    size_t n_topics;
    bool want_end, closed, paused, polling, troubled;
    enum model_member state;
    struct model_membership self; /* as of the last answer of the coordinator */
    unsigned round;               /* of joining */
    uint64_t heard_ms;            /* the coordinator's last word */
    struct fg_env_timer *beat;    /* owned */
    bool is_assigned;
    struct model_membership assigned_as;
    unsigned assigns;
    struct model_position *positions; /* owned array of n_positions */
    size_t n_positions;
    unsigned pending, users;
    fg_done_cb on_closed;
    void *closed_arg;
};

/* model-consumer.c */
void model_consumer_settle(struct fg_bus_consumer *c); /* something pending is over: free if it was the last */

/* model-member.c. The first three are callbacks; arg: the consumer. */
void model_member_beat(void *arg);
void model_member_join_again(void *arg);
void model_member_leave(void *arg);
void model_member_join(struct fg_bus_consumer *c);
