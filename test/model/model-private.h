/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the model of Kafka share. */
#pragma once

#include "model-bus.h"
#include "base/mem.h"

struct model_group {
    struct fg_list link; /* model_bus::groups */
    char name[64], topic[64];
    int32_t partition;
    int64_t offset;
};

static inline struct model_bus *model_of(struct fg_bus *bus)
{
    return fg_container_of(bus, struct model_bus, bus);
}

struct model_topic *model_topic_find(struct model_bus *model, const char *name);
struct model_group *model_group(struct model_bus *model, const char *name, const char *topic, int32_t partition);
/* m NULL: a control record. Returns its offset. */
size_t model_append(struct model_partition *partition, const struct fg_bus_outgoing *m, enum model_state state);
struct fg_header *model_headers_copy(const struct fg_header *headers, size_t n);
void model_headers_free(struct fg_header *headers, size_t n);
void model_data(struct model_bus *model); /* something became readable */

/* model-consumer.c */
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
/* false: the member is not in the group any more; else the offset is the group's. */
bool model_consumer_offset(struct fg_bus_consumer *consumer, const char *topic, int32_t partition, int64_t offset);
bool model_consumer_is_member(const struct fg_bus_consumer *consumer);

#define MODEL_CONSUMER_OPS                                                                    \
    .consumer_open = model_consumer_open, .consumer_assign = model_consumer_assign,           \
    .consumer_unassign = model_consumer_unassign, .consumer_pause = model_consumer_pause,     \
    .consumer_rewind = model_consumer_rewind, .consumer_committed = model_consumer_committed, \
    .consumer_commit = model_consumer_commit, .consumer_close = model_consumer_close

/* model-producer.c */
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
