/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the process share: its parts, which come and go while it runs. Loop thread only, but for what
 * fragua/host.h marks [any thread] in the service table.
 *
 * Who owns what: the process its pipelines, controls and server; a pipeline its flow and its lineup; a lineup
 * references to its nodes; a node its instances, and a reference to its configuration. The flow borrows a lineup's
 * stages until it says that they are released. What is dropped last ends later, in a callback: a stop of the process
 * counts parts.
 *
 * Glossary:
 *   node     a place of the file at work: a plugin's instances. It keeps the configuration it was made of
 *   lineup   the nodes of a pipeline at one time, in order; a node may stand in several, one after the other
 *   kafka    the bus of one configuration, shared by all that was opened on it
 *   part     what ends by itself some time after nobody needs it any more; a stop of the process waits for all
 */
#pragma once

#include "base/list.h"
#include "base/metric.h"
#include "bus/rdkafka/rdkafka.h"
#include "flow/pipeline.h"
#include "host/diff.h"
#include "host/env-uv.h"
#include "host/process.h"
#include "host/stall.h"
#include "net/client.h"
#include "net/server.h"

#define CURSORS_QUEUE_BYTES ((size_t)1 << 20) /* a source's consumer reads small records, once */

struct fg_reload;

/* One instance of a plugin. Its address is the plugin's struct fg_host. */
struct fg_instance {
    struct fg_host host; /* first */
    struct fg_node *node; /* borrowed */
    void *self;           /* the plugin's; NULL: not open */
    bool started;
};

struct fg_node {
    struct fg_process *process;
    const char *name;               /* "transforms.3"; as long as the process */
    struct fg_config *config;       /* a reference */
    struct fg_config_node *c;       /* in config */
    const struct fg_plugin *ops;    /* in config's plugin file */
    const char *pipeline;           /* in config; NULL: a control plugin */
    struct fg_pipeline *flow;       /* borrowed: whose source or sink it is now; NULL: none */
    struct fg_http_mount *mount;    /* control; NULL: not mounted */
    struct fg_instance *instances;  /* array of n: a transform has one for each worker */
    void **selves;                  /* of each */
    struct fg_metric_scope *metrics; /* the plugin's */
    size_t n;
    unsigned refs;
    size_t stopping; /* instances whose stop has not ended */
};

struct fg_lineup {
    struct fg_node **nodes;  /* array of n references: source, transforms, sink, in this order where present */
    struct fg_stage *stages; /* of each */
    size_t n, n_transforms;
    bool source, sink;
};

struct fg_kafka {
    struct fg_process *process;
    struct fg_bus *bus;
    struct fg_config *config; /* a reference: what the bus was made of */
    unsigned refs;
};

struct fg_process_pipeline {
    struct fg_process *process;
    struct fg_config *config;     /* a reference */
    struct fg_config_pipeline *c; /* in config */
    struct fg_kafka *kafka;       /* a reference */
    struct fg_pipeline *flow;     /* NULL: not made, or ended for good */
    struct fg_lineup *lineup;
    /* What the flow borrows: copies, so that a configuration does not stay for the sake of a name. */
    char **texts; /* owned array of n_texts owned */
    size_t n_texts;
    struct fg_output *outputs; /* owned array */
    const char **topics;       /* owned array */
    struct fg_metric_scope *metrics; /* owned: what the process measures of it; the flow has its own */
    bool is_stopped, is_paused; /* by an operator */
    bool ending;
    enum fg_pipeline_state state_seen;
    int trouble_seen;
};

enum fg_part { FG_PART_NODE, FG_PART_FOLLOW, FG_PART_SERVER, FG_PART_KAFKA, _FG_PART_N };

struct fg_process {
    uv_loop_t *loop;
    struct fg_log *log;
    struct fg_logger logger;
    struct fg_config *config; /* a reference: what runs */
    unsigned generation;      /* of it; the first is 1 */
    enum fg_role role;        /* which pipelines run */
    char *instance; /* owned */
    struct fg_metrics *metrics;
    struct fg_budget budget;     /* limits.memory without what Kafka's clients may hold */
    size_t consumer_queue_bytes; /* of each consumer and producer that is opened from now on */
    size_t producer_queue_bytes;
    struct fg_env *env;
    struct fg_stall stall;
    struct fg_kafka *kafka; /* NULL: no Kafka in the file */
    struct fg_http_client *client;
    struct fg_http_server *server; /* NULL: none */
    struct fg_node **controls;     /* array of n_controls references */
    size_t n_controls;
    struct fg_process_pipeline **pipelines; /* owned array of n_pipelines owned, in the order of the file */
    size_t n_pipelines;
    struct fg_reload *reload; /* NULL: this process does not reload */
    struct fg_list follows;   /* of fg_follow::link */
    struct fg_list events;    /* of fg_events::link */
    char **names; /* owned array of n_names: nodes' names */
    size_t n_names;
    int64_t started_ms; /* Unix time */
    uint64_t started_mono_ms;
    /* stopping */
    size_t parts[_FG_PART_N]; /* made and not yet gone */
    int awaited;              /* the part that the step waits for; -1: none */
    bool stopping, stop_now;
    size_t waiting; /* things whose end is awaited in this step */
    unsigned step;  /* index into the stop's steps */
    fg_done_cb stopped;
    void *stopped_arg;
};

/* instance.c: four calls of the plugin, for node.c alone */
int fg_instance_open(struct fg_instance *instance, struct fg_node *node, struct fg_error *err);
int fg_instance_start(struct fg_instance *instance, struct fg_error *err);
/* done() once, within the call where there is nothing to stop; then close. */
void fg_instance_stop(struct fg_instance *instance, fg_done_cb done, void *arg);
void fg_instance_close(struct fg_instance *instance); /* repeatable */

/* node.c */
/* Opens all instances. *ret is one reference. @pipeline: NULL for a control plugin. */
int fg_node_new(struct fg_process *process, struct fg_config *config, struct fg_config_node *c,
                const struct fg_config_pipeline *pipeline, unsigned n, struct fg_node **ret, struct fg_error *err);
int fg_node_start(struct fg_node *node, struct fg_error *err); /* repeatable */
struct fg_node *fg_node_ref(struct fg_node *node);
/* The last one stops the instances, then closes and frees them, maybe later. Returns NULL; NULL allowed. */
struct fg_node *fg_node_unref(struct fg_node *node);

/*
 * From now on it belongs to @config, where @c says the same as what it was made of: the values that the plugin holds go
 * over to that, and the configuration before can go.
 */
void fg_node_rebase(struct fg_node *node, struct fg_config *config, struct fg_config_node *c,
                    const struct fg_config_pipeline *pipeline);

/* lineup.c */
/*
 * Makes the nodes of a pipeline, none of them started. @old, @d: which of the old ones stay; NULL: all are new.
 * @workers: instances of each transform.
 */
int fg_lineup_new(struct fg_process *process, struct fg_config *config, struct fg_config_pipeline *c,
                  const struct fg_lineup *old, const struct fg_diff_pipeline *d, unsigned workers,
                  struct fg_lineup **ret, struct fg_error *err);
/* Of its transforms only, or (@wanted false) of nothing. */
int fg_lineup_of_transforms(struct fg_process *process, struct fg_config *config, struct fg_config_pipeline *c,
                            bool wanted, unsigned workers, struct fg_lineup **ret, struct fg_error *err);
int fg_lineup_start(struct fg_lineup *lineup, struct fg_error *err); /* those that are not started yet */
/* *ret borrows the lineup's stages. */
void fg_lineup_stages(const struct fg_lineup *lineup, const struct fg_config_pipeline *c, uint32_t stop_ms,
                      struct fg_pipeline_stages *ret);
/* This flow is the one that its source and sink speak to. NULL: none any more. */
void fg_lineup_bind(struct fg_lineup *lineup, struct fg_pipeline *flow);
void fg_lineup_rebase(struct fg_lineup *lineup, struct fg_config *config, struct fg_config_pipeline *c);
struct fg_lineup *fg_lineup_free(struct fg_lineup *lineup); /* drops the nodes, in order; NULL allowed */

/* process-pipeline.c */
/* Takes over @lineup, also when it fails; takes references to the others. Nothing runs yet. @kafka: NULL: no flow. */
int fg_process_pipeline_new(struct fg_process *process, struct fg_config *config, struct fg_config_pipeline *c,
                            struct fg_kafka *kafka, struct fg_lineup *lineup, struct fg_process_pipeline **ret,
                            struct fg_error *err);
/* Another lineup for the same flow, which is held. Takes it over; the old one ends when nothing uses it any more. */
void fg_process_pipeline_swap(struct fg_process_pipeline *pp, struct fg_config *config, struct fg_config_pipeline *c,
                              struct fg_lineup *lineup);
/* It belongs to another configuration that says the same of it. */
void fg_process_pipeline_rebase(struct fg_process_pipeline *pp, struct fg_config *config,
                                struct fg_config_pipeline *c);
void fg_process_pipeline_start(struct fg_process_pipeline *pp); /* unless an operator has stopped it */
/* Ends the flow and lets go of its nodes; done(arg) once, at once where there is no flow. Then free. */
void fg_process_pipeline_end(struct fg_process_pipeline *pp, bool now, fg_done_cb done, void *arg);
struct fg_process_pipeline *fg_process_pipeline_free(struct fg_process_pipeline *pp); /* ended ones; NULL allowed */
/* Borrowed; NULL: none of that name. */
struct fg_process_pipeline *fg_process_pipeline_find(const struct fg_process *process, const char *name);

/* kafka.c */
/* Divides limits.memory: sets the queues' sizes, and returns what they come to. */
size_t fg_process_kafka_bytes(struct fg_process *process, const struct fg_config *config);
/* *ret is one reference; NULL where the file has no Kafka. */
int fg_kafka_new(struct fg_process *process, struct fg_config *config, struct fg_kafka **ret, struct fg_error *err);
struct fg_kafka *fg_kafka_ref(struct fg_kafka *kafka);     /* NULL allowed */
struct fg_kafka *fg_kafka_unref(struct fg_kafka *kafka);   /* the last one closes the bus; NULL allowed */
/* What this configuration names and the embedded broker does not have yet. Nothing for a real Kafka. */
void fg_kafka_make_topics(struct fg_process *process, const struct fg_config *config);

/* server.c */
/* *ret is the caller's, ended by fg_process_close_server(); NULL where the file has no `http`. */
int fg_process_open_server(struct fg_process *process, const struct fg_config *config, struct fg_http_server **ret,
                           struct fg_error *err);
/* For the server that there is; *ret is applied or freed by the caller. */
int fg_process_prepare_server(struct fg_process *process, const struct fg_config *config,
                              struct fg_http_server_change **ret, struct fg_error *err);
/* The caller unmounts or retires *ret before it lets go of the node. */
int fg_process_mount(struct fg_http_server *server, struct fg_node *control, struct fg_http_mount **ret,
                     struct fg_error *err);
/* Takes it over; NULL allowed. */
void fg_process_close_server(struct fg_process *process, struct fg_http_server *server, uint64_t within_ms);

/* process.c */
const char *fg_process_name(struct fg_process *process, const char *name); /* the same text, as long as the process */
void fg_process_part_gone(struct fg_process *process, enum fg_part part); /* a stop may go on from inside: be done */
bool fg_process_runs(const struct fg_process *process, const struct fg_config_pipeline *c); /* it is of our role */

/* follow.c */
void fg_follow_stop_all(struct fg_process *process);
void fg_follow_move_all(struct fg_process *process); /* the process has another kafka */

/* metrics.c */
void fg_process_metrics(struct fg_process *process); /* sets the gauges that are only looked at when asked for */
size_t fg_process_resident_bytes(void);

/* events.c */
bool fg_events_wanted(const struct fg_process *process);
/* Calls all who listen, within the call; they may stop listening there. */
void fg_events_tell(struct fg_process *process, const char *event, struct fg_slice data);
struct fg_events *fg_process_events(struct fg_process *process, fg_event_cb cb, void *arg);
void fg_events_stop(struct fg_events *events); /* ends what fg_process_events() gave; NULL allowed */
