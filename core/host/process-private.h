/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the process share: its parts, and a plugin's instance. */
#pragma once

#include "base/list.h"
#include "base/metric.h"
#include "bus/rdkafka/rdkafka.h"
#include "flow/pipeline.h"
#include "host/env-uv.h"
#include "host/process.h"
#include "host/stall.h"
#include "net/client.h"
#include "net/server.h"

#define CURSORS_QUEUE_BYTES ((size_t)1 << 20) /* a source's consumer reads small records, once */

/* One instance of a plugin. Its address is the plugin's struct fg_host. */
struct fg_instance {
    struct fg_host host; /* first */
    struct fg_process *process;
    const struct fg_config_node *config; /* borrowed */
    const struct fg_plugin *ops;         /* borrowed from the config's plugin file */
    const char *pipeline;                /* NULL: a control plugin */
    struct fg_pipeline *flow;            /* borrowed; NULL: none yet */
    struct fg_http_mount *mount;         /* control */
    void *self;                          /* the plugin's; NULL: not open */
    bool started;
};

/* A pipeline with the instances of its stages. */
struct fg_process_pipeline {
    struct fg_process *process;
    const struct fg_config_pipeline *config;
    struct fg_pipeline *flow;
    struct fg_stage *stages;    /* source, transforms, sink, in this order where present */
    size_t n_stages;
    void **selves;              /* storage of the stages' selves */
    struct fg_output *outputs;  /* array of config->o.output.len */
    char group[256];            /* consumer group */
    enum fg_pipeline_state state_seen;
    int trouble_seen;
};

struct fg_process {
    uv_loop_t *loop;
    struct fg_log *log;
    struct fg_logger logger;
    const struct fg_config *config;
    enum fg_role config_role; /* which pipelines run */
    char *instance; /* owned */
    struct fg_metrics *metrics;
    struct fg_budget budget;     /* limits.memory without what Kafka's clients may hold */
    size_t consumer_queue_bytes; /* of each consumer and producer */
    size_t producer_queue_bytes;
    struct fg_env *env;
    struct fg_stall stall;
    struct fg_bus *bus; /* NULL: no Kafka in the file */
    struct fg_http_client *client;
    struct fg_http_server *server; /* NULL: none */
    struct fg_instance *instances; /* array of n_instances, fixed once opened */
    size_t n_instances;
    struct fg_process_pipeline *pipelines; /* array of n_pipelines: those of the role */
    size_t n_pipelines;
    struct fg_list follows; /* of fg_follow::link */
    size_t follows_open;    /* made and not yet freed: closing takes a while */
    int64_t started_ms;     /* Unix time */
    uint64_t started_mono_ms;
    /* stopping */
    bool stopping, stop_now;
    bool follows_awaited; /* the step that waits for the follows has begun: before it, one that ends is nobody's step */
    size_t waiting; /* things whose end is awaited in this step */
    unsigned step;  /* index into the stop's steps */
    fg_done_cb stopped;
    void *stopped_arg;
};

extern const struct fg_services fg_host_services;

/* Fills in an instance and opens it. @pipeline: NULL for a control plugin. */
int fg_instance_open(struct fg_instance *instance, struct fg_process *process, const struct fg_config_node *config,
                     const char *pipeline, struct fg_error *err);
int fg_instance_start(struct fg_instance *instance, struct fg_error *err);
/* done() at once where there is nothing to stop. */
void fg_instance_stop(struct fg_instance *instance, fg_done_cb done, void *arg);
void fg_instance_close(struct fg_instance *instance); /* repeatable */

/* Divides limits.memory: sets the queues' sizes, and returns what they come to. */
size_t fg_process_kafka_bytes(struct fg_process *process);
int fg_process_open_bus(struct fg_process *process, struct fg_error *err);
void fg_follow_stop_all(struct fg_process *process);
void fg_process_follow_gone(struct fg_process *process); /* one of them is freed */
