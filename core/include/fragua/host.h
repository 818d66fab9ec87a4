/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host lends to a plugin: log, clock, timers, workers, metrics, secrets, records, cursors, HTTP.
 *
 * Every function goes through one table of pointers, handed over in open(): a plugin links against nothing of the
 * host, and a test hands in a table of its own. All are for the loop thread only, but those marked [any thread].
 */
#pragma once

#include <fragua/error.h>
#include <fragua/option.h>
#include <fragua/record.h>
#include <fragua/slice.h>

struct fg_timer;
struct fg_metric;
struct fg_http_call;
struct fg_http_request;
struct fg_http_response;
struct fg_exchange;
struct fg_follow;
struct fg_events;
struct fg_host;

enum fg_log_level { FG_LOG_ERROR, FG_LOG_WARN, FG_LOG_INFO, FG_LOG_DEBUG };
enum fg_metric_kind { FG_METRIC_COUNTER, FG_METRIC_GAUGE };
enum fg_pipeline_action { FG_PIPELINE_START, FG_PIPELINE_STOP, FG_PIPELINE_PAUSE, FG_PIPELINE_RESUME };

/* What the host can write about itself, for control plugins. All but METRICS are JSON documents (interfaces.md). */
enum fg_report {
    FG_REPORT_STATUS,    /* GET /v1/status */
    FG_REPORT_PIPELINES, /* GET /v1/pipelines; with a name: /v1/pipelines/{name} */
    FG_REPORT_READY,     /* for each pipeline whether it is ready and why not */
    FG_REPORT_METRICS,   /* Prometheus text exposition 0.0.4 */
    FG_REPORT_OPENAPI,   /* OpenAPI 3.1 of every route that is mounted */
    FG_REPORT_CONFIG,    /* the running file as JSON, secrets redacted */
    FG_REPORT_RELOADS,   /* GET /v1/reloads; with a number as the name: the reload that made, or was to make, it */
};

typedef void (*fg_timer_cb)(void *arg);
typedef void (*fg_work_cb)(void *arg);
typedef void (*fg_done_cb)(void *arg);
typedef void (*fg_write_cb)(void *arg, struct fg_slice bytes);
typedef void (*fg_key_cb)(void *arg, struct fg_slice key);
/* @message: borrowed for the length of the call. @position: where it stood, for one that reads the topic again. */
typedef void (*fg_follow_cb)(void *arg, const struct fg_record_view *message, int32_t partition, int64_t offset);
/* @res: borrowed for the length of the call, NULL when there was no answer. @err: set exactly when res is NULL. */
typedef void (*fg_http_done_cb)(void *arg, const struct fg_http_response *res, const struct fg_error *err);
/* @code: enum fg_code; FG_E_NONE: it runs, or nothing had changed. @report: JSON, as FG_REPORT_RELOADS has it. */
typedef void (*fg_reload_cb)(void *arg, int code, struct fg_slice report);
/* @event: "reload" or "pipeline". @data: a JSON object without line ends. Both are borrowed for the call. */
typedef void (*fg_event_cb)(void *arg, const char *event, struct fg_slice data);

/* The service table. New members only at the end; `size` tells a newer plugin what an older host lacks. */
struct fg_services {
    size_t size;

    /* [any thread] One event; the host adds time, pipeline and node. Never a secret. */
    void (*log)(struct fg_host *host, enum fg_log_level level, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
    uint64_t (*now_ms)(struct fg_host *host); /* [any thread] monotonic, from an arbitrary start */
    int64_t (*wall_ms)(struct fg_host *host); /* [any thread] Unix time */
    uint64_t (*random)(struct fg_host *host); /* [any thread] for jitter and ids; cryptographically strong */

    /* A one-shot timer; the callback may start it again. timer_free() in the callback is allowed; NULL is allowed. */
    struct fg_timer *(*timer_new)(struct fg_host *host, fg_timer_cb cb, void *arg);
    void (*timer_start)(struct fg_timer *timer, uint64_t after_ms); /* restarts a running one */
    void (*timer_stop)(struct fg_timer *timer);
    void (*timer_free)(struct fg_timer *timer);

    /* Runs work(arg) on a worker thread, then done(arg) on the loop. Both always run, also while stopping: always 0. */
    int (*offload)(struct fg_host *host, fg_work_cb work, fg_done_cb done, void *arg);

    /* [any thread] The text of a secret, lent until the calling callback returns. It follows rotation. */
    struct fg_slice (*secret_get)(struct fg_host *host, const struct fg_secret *secret);

    /* [any thread for add/set] A metric of this node, lives as long; a name gives one. NULL: a name not allowed. */
    struct fg_metric *(*metric)(struct fg_host *host, enum fg_metric_kind kind, const char *name, const char *help);
    void (*metric_add)(struct fg_metric *metric, double value);
    void (*metric_set)(struct fg_metric *metric, double value);

    /*
     * [any thread] Makes a record against the byte budget. A source may be told "no room" (-FG_E_NO_ROOM) and waits for
     * its next pull(), or "never" (-FG_E_LIMIT); other kinds always get it: what was let in must be able to leave.
     */
    int (*record_new)(struct fg_host *host, const struct fg_record_spec *spec, struct fg_record **ret,
                      struct fg_error *err);
    struct fg_record *(*record_ref)(struct fg_record *record);  /* [any thread] */
    struct fg_record *(*record_unref)(struct fg_record *record); /* [any thread] NULL allowed; returns NULL */
    const struct fg_record_view *(*record_view)(const struct fg_record *record); /* [any thread] */

    /* transform, in apply(): takes over the reference */
    void (*emit)(struct fg_emit *emit, struct fg_record *record);

    /* source: a batch may be filled over several callbacks, then submitted or cancelled, once */
    void (*batch_add)(struct fg_batch *batch, struct fg_record *record); /* takes over the reference */
    void (*batch_cursor)(struct fg_batch *batch, const struct fg_cursor *cursor); /* the last one for a key wins */
    void (*batch_submit)(struct fg_batch *batch);
    void (*batch_cancel)(struct fg_batch *batch, const struct fg_error *err); /* err NULL: nothing to tell */
    /* The source cannot work now (err), or can again (NULL): shown as the pipeline's trouble. */
    void (*trouble)(struct fg_host *host, const struct fg_error *err);

    /* sink: a delivery's records, and their answers, from deliver() too; results are taken over; err NULL: delivered */
    size_t (*delivery_count)(const struct fg_delivery *delivery);
    struct fg_record *(*delivery_record)(const struct fg_delivery *delivery, size_t i); /* borrowed */
    void (*delivery_done)(struct fg_delivery *delivery, size_t i, struct fg_record **results, size_t n_results,
                          const struct fg_error *err);

    /* HTTP client, see http.h. Returns NULL with err set when the request cannot even be tried. */
    struct fg_http_call *(*http_send)(struct fg_host *host, const struct fg_http_request *req, fg_http_done_cb done,
                                      void *arg, struct fg_error *err);
    void (*http_cancel)(struct fg_http_call *call); /* done() is not called any more */

    /* HTTP server, see http.h. Slices live as long as the exchange. */
    struct fg_slice (*exchange_method)(const struct fg_exchange *x);
    struct fg_slice (*exchange_path)(const struct fg_exchange *x);                     /* decoded, no query */
    struct fg_slice (*exchange_param)(const struct fg_exchange *x, const char *name);  /* path parameter, decoded */
    struct fg_slice (*exchange_query)(const struct fg_exchange *x, const char *name);  /* decoded; empty if absent */
    struct fg_slice (*exchange_query_raw)(const struct fg_exchange *x);                /* all after '?' */
    struct fg_slice (*exchange_header)(const struct fg_exchange *x, const char *name); /* any case */
    struct fg_slice (*exchange_body)(const struct fg_exchange *x);
    void (*exchange_set_header)(struct fg_exchange *x, const char *name, const char *value);
    /* Answers and ends the exchange; body is copied. */
    void (*exchange_reply)(struct fg_exchange *x, int status, const char *content_type, struct fg_slice body);
    /* Answers with RFC 9457 application/problem+json and ends the exchange. */
    void (*exchange_problem)(struct fg_exchange *x, int status, const char *title, const char *detail);
    /* A stream: begin, write any number of times, end. write() returns false once the client is gone or too slow. */
    void (*exchange_begin)(struct fg_exchange *x, int status, const char *content_type);
    bool (*exchange_write)(struct fg_exchange *x, struct fg_slice bytes);
    void (*exchange_end)(struct fg_exchange *x);
    /* Called once if the client goes away before the answer is whole; the exchange is dead after it. */
    void (*exchange_on_gone)(struct fg_exchange *x, fg_done_cb cb, void *arg);
    /* Cuts the connection, without an answer or in the middle of one, for simulators of faults. */
    void (*exchange_abort)(struct fg_exchange *x);

    /* control: the host about itself, and the pipelines' switches */
    int (*report)(struct fg_host *host, enum fg_report what, const char *name, fg_write_cb write, void *arg,
                  struct fg_error *err); /* -FG_E_NOT_FOUND: no such pipeline */
    bool (*is_ready)(struct fg_host *host);
    int (*pipeline_action)(struct fg_host *host, const char *name, enum fg_pipeline_action action,
                           struct fg_error *err);
    /*
     * Follows what arrives on a topic the pipelines name, committed records only, starting `tail` records before the
     * end of each partition. No group, no offsets. NULL with err set: not a topic of the file.
     */
    struct fg_follow *(*follow)(struct fg_host *host, const char *topic, int64_t tail, fg_follow_cb cb, void *arg,
                                struct fg_error *err);
    void (*follow_stop)(struct fg_follow *follow);
    /* The k-th topic that pipelines write to, with what for; NULL past the end. `role`: "output", "dead-letters". */
    const char *(*topic_at)(struct fg_host *host, size_t k, const char **ret_role, const char **ret_pipeline);

    /*
     * In http_send()'s done(): the answer's body as a record's value, without a copy; records made of its parts name it
     * as their parent. It is charged already. res->body stays valid as long as the record. NULL: the body is empty.
     */
    struct fg_record *(*http_take_body)(struct fg_host *host, const struct fg_http_response *res);

    /*
     * control: reads the pipeline file again and goes over to it; done() once, later. It may tell of a reload that was
     * asked for meanwhile: they become one. NULL in a host that cannot. Negative with err: not now.
     */
    int (*reload)(struct fg_host *host, fg_reload_cb done, void *arg, struct fg_error *err);
    /* What a reload with this text instead of the file's would do, with its faults. Changes nothing. @text: copied. */
    int (*dry_run)(struct fg_host *host, struct fg_slice text, fg_reload_cb done, void *arg, struct fg_error *err);
    void (*reload_forget)(struct fg_host *host, void *arg); /* done() with this arg is not called any more */
    /* control: what happens in the process, until events_stop(); never called from inside another call */
    struct fg_events *(*events)(struct fg_host *host, fg_event_cb cb, void *arg);
    void (*events_stop)(struct fg_events *events); /* NULL allowed */
    /* source: as batch_add(), but for one that cannot be handled: it becomes a dead letter, no stage sees it */
    void (*batch_dead)(struct fg_batch *batch, struct fg_record *record, const struct fg_error *err);
};

/* One for each instance. The host embeds it in a struct of its own. */
struct fg_host {
    const struct fg_services *svc;
};
