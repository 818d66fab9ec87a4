/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline at work: input -> transforms on workers -> sink -> output, committed batch by batch. Loop thread only.
 *
 * Glossary:
 *   slot    one record that came in, and what became of it; slots keep the order, whatever finishes first
 *   batch   slots in order, and the movement of the input that accounts for all of them: the unit of commit
 *   intake  what takes records in: a source plugin (cursors) or Kafka topics (offsets)
 *   outage  the outside is in trouble: the batch waits as long as it takes, attempts are not counted
 *
 * A batch is open (takes slots), closed (waits for its slots), or committing; batches commit one at a time in the order
 * in which they opened, while later ones are being worked on. After an abort everything in flight is forgotten and the
 * input goes back to its last committed position.
 *
 * A reload holds the pipeline where a batch ends, swaps its stages and lets it go on: consumer and producer stay open.
 */
#pragma once

#include "base/budget.h"
#include "base/log.h"
#include "base/metric.h"
#include "bus/bus.h"
#include "flow/env.h"
#include "fragua/plugin.h"

struct fg_buf;
struct fg_pipeline;

enum fg_delivery_mode { FG_EXACTLY_ONCE, FG_AT_LEAST_ONCE };

enum fg_pipeline_state {
    FG_PIPELINE_STOPPED,
    FG_PIPELINE_STARTING, /* waits for Kafka, its topics, its assignment */
    FG_PIPELINE_RUNNING,
    FG_PIPELINE_PAUSED,   /* by an operator: what is in flight ends, nothing is taken in */
    FG_PIPELINE_TROUBLED, /* an outage: trying by itself, the reason is in `trouble` */
    FG_PIPELINE_STOPPING,
    FG_PIPELINE_FAILED, /* cannot go on as things are; tried again with back-off, the reason is in `trouble` */
    _FG_PIPELINE_STATE_N,
};
const char *fg_pipeline_state_name(enum fg_pipeline_state state); /* "stopped" ... */

/* A plugin's instance as the flow uses it. Everything borrowed until it is released, or the pipeline is freed. */
struct fg_stage {
    const char *node;   /* "source", "transforms.0", "sink": for logs and metrics. Outlives the pipeline in any case */
    const char *plugin; /* its name */
    const struct fg_plugin *ops;
    void *const *selves; /* array: transforms one a worker (env->n_workers), others one */
};

struct fg_output {
    const char *name; /* "" is the default output */
    const char *topic;
};

struct fg_pipeline_config {
    const char *name;
    struct fg_env *env;
    struct fg_bus *bus;
    struct fg_budget *budget;
    struct fg_metrics *metrics;
    struct fg_logger logger;        /* copied */
    enum fg_delivery_mode delivery; /* a bus that is not transactional makes it at-least-once, and the state says so */
    size_t commit_records;          /* a batch closes at so many slots, */
    size_t commit_bytes;            /* so many bytes, */
    uint32_t commit_interval_ms;    /* or so old */
    uint32_t stop_ms;               /* limits.stop: drain at most so long */
    size_t consumer_queue_bytes;    /* what Kafka's client fetches ahead, 0: its default; */
    size_t producer_queue_bytes;    /* and what it has to send. Neither is charged to the budget */
    const char *instance;           /* for transactional.id "fragua-<name>-<instance>" */
    const struct fg_stage *source;  /* NULL: topics */
    const char *cursors_topic;      /* with a source */
    const char *const *topics;      /* array of n_topics, without a source */
    size_t n_topics;
    bool start_at_end;             /* a group without offsets starts at the end of its topics, not at their beginning */
    const char *group;                 /* consumer group; with a source too: who owns which mailbox. Never NULL */
    const struct fg_stage *transforms; /* array of n_transforms, in order */
    size_t n_transforms;
    const struct fg_stage *sink;     /* NULL: none */
    const struct fg_output *outputs; /* array of n_outputs; 0: results end here */
    size_t n_outputs;
    const char *dead_topic; /* NULL: no dead letters: a record that cannot be handled fails the pipeline */
    unsigned attempts;      /* for one record at one stage, >= 1 */
    uint32_t retry_base_ms, retry_cap_ms; /* full jitter; 0: 200 ms, 30 s */
    /*
     * Tells that state or trouble changed, for the log, the API and readiness. Optional. From within the flow's own
     * turn: the pipeline may be looked at and switched there, not freed.
     */
    void (*changed)(void *arg, struct fg_pipeline *pipeline);
    void *arg;
};

/* @config is copied; what it points to is borrowed until fg_pipeline_free(); stages only until they are released. */
int fg_pipeline_new(const struct fg_pipeline_config *config, struct fg_pipeline **ret, struct fg_error *err);
/* All are idempotent. start() opens consumer and producer, checks topics; what fails shows in the state and is tried
 * again. */
void fg_pipeline_start(struct fg_pipeline *pipeline);
void fg_pipeline_pause(struct fg_pipeline *pipeline);
void fg_pipeline_resume(struct fg_pipeline *pipeline);
/*
 * Takes in nothing more, finishes and commits what is in flight within stop_ms (0 in @now: at once), aborts the rest,
 * closes its handles; stopped(arg) once. The plugins' own stop() is the caller's, after this.
 */
void fg_pipeline_stop(struct fg_pipeline *pipeline, bool now, fg_done_cb stopped, void *arg);
/* limits.stop is another now: for stops from now on. */
void fg_pipeline_set_stop(struct fg_pipeline *pipeline, uint32_t stop_ms);
/* Stopped ones only, none that is being held and was not told so; NULL allowed. */
struct fg_pipeline *fg_pipeline_free(struct fg_pipeline *pipeline);

/* What of a pipeline can change while its handles stay open. Borrowed until released(). */
struct fg_pipeline_stages {
    const struct fg_stage *source;     /* NULL exactly where the pipeline has none */
    const struct fg_stage *transforms; /* array of n_transforms, in order */
    size_t n_transforms;
    const struct fg_stage *sink; /* NULL: none */
    unsigned attempts;           /* these and the limits as in struct fg_pipeline_config */
    size_t commit_records, commit_bytes;
    uint32_t commit_interval_ms;
    uint32_t stop_ms; /* for stops from now on */
};

/*
 * fg_pipeline_hold() - bring the pipeline to the end of a batch and keep it there
 * @drain_ms: finish and commit what a stage has in hand, at most so long; 0: give it up at once. What is not committed
 *            then is forgotten and read again later; whether a commit under way counts is asked of Kafka. Records that
 *            only wait, for the sink or a worker, are not waited for: they are read again in any case
 * @held: once, never from inside this call: no batch is there. @drained: nothing begun with was forgotten. It does not
 *        wait for anything else: not for Kafka, the sink, a worker, an assignment, the end of a back-off
 *
 * In any state of the pipeline, which shows as before; start(), stop(), pause() and resume() work as ever, and held()
 * comes before stopped(). Held, the pipeline keeps its handles and its place in the group, takes in nothing and calls
 * no stage, but for a source's revoke() and rewind(). It must not be held already.
 */
void fg_pipeline_hold(struct fg_pipeline *pipeline, uint32_t drain_ms, void (*held)(void *arg, bool drained),
                      void *arg);
/*
 * fg_pipeline_swap() - other stages from now on. Only while held, as often as wanted; not from inside a plugin's call
 * @stages: the struct itself is copied. An instance may be in the old ones and in the new ones
 * @released: once, never from inside this call, maybe much later or (a worker that hangs) never: nothing uses the old
 *            stages any more, neither a worker nor a delivery. In the order of the swaps, and before stopped(). Only
 *            then instances that are not in the new ones may be stopped, by the caller. NULL: nobody wants to know
 *
 * A source that is in the old stages alone is revoked all that it has; a batch that it still fills is void, and goes
 * back at the latest in its stop(). A new one gets its cursors by assign(), once they are known and the pipeline is
 * released. What was a failure of a stage, an outage of a sink that is gone, or trouble of a source that is gone is
 * over: it is tried at once.
 */
void fg_pipeline_swap(struct fg_pipeline *pipeline, const struct fg_pipeline_stages *stages, fg_done_cb released,
                      void *arg);
void fg_pipeline_release(struct fg_pipeline *pipeline); /* only while held: goes on */

struct fg_pipeline_status {
    enum fg_pipeline_state state;
    bool ready;                     /* running, paused or troubled with its handles open and its first assignment had */
    struct fg_error trouble;        /* code FG_E_NONE: none */
    const char *trouble_node;       /* borrowed; "" none; "kafka", "source", "sink", ... */
    int64_t trouble_since_ms;       /* Unix time; 0: none */
    unsigned attempt;               /* of what is being tried again */
    int64_t next_attempt_ms;        /* Unix time; 0: none */
    enum fg_delivery_mode delivery; /* as it really is */
    uint64_t records_in, records_out, records_dropped, records_dead, commits, aborts, handles_recreated;
    size_t in_flight_records, in_flight_bytes, batches;
    size_t partitions;      /* assigned */
    int64_t last_commit_ms; /* Unix time; 0: never */
};
void fg_pipeline_status(const struct fg_pipeline *pipeline, struct fg_pipeline_status *ret);

/*
 * The plugin-facing calls of struct fg_services, as they are; who owns what is said there (fragua/host.h). None calls a
 * plugin back from inside.
 */
void fg_emit_add(struct fg_emit *emit, struct fg_record *record); /* [the worker that applies] */
void fg_batch_add(struct fg_batch *batch, struct fg_record *record);
void fg_batch_cursor(struct fg_batch *batch, const struct fg_cursor *cursor);
void fg_batch_dead(struct fg_batch *batch, struct fg_record *record, const struct fg_error *err);
void fg_batch_submit(struct fg_batch *batch);
void fg_batch_cancel(struct fg_batch *batch, const struct fg_error *err);
size_t fg_delivery_count(const struct fg_delivery *delivery);
struct fg_record *fg_delivery_record(const struct fg_delivery *delivery, size_t i);
void fg_delivery_done(struct fg_delivery *delivery, size_t i, struct fg_record **results, size_t n_results,
                      const struct fg_error *err);
/* A source says it is in trouble, or (NULL) no more. @self: its instance; of one that is swapped out nothing shows. */
void fg_pipeline_source_trouble(struct fg_pipeline *pipeline, const void *self, const struct fg_error *err);
