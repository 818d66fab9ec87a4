/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fragua's plugin contract: the first header to read, and the only one to include.
 *
 * A plugin is a shared object that exports one symbol, `fragua_plugin`, made by FG_PLUGIN(). It links against nothing
 * of the host: what it needs comes in open() as a struct fg_host.
 *
 * Lifecycle of an instance, all on the loop thread unless said otherwise:
 *   check(config)  pure, may run in another process
 *   open(host, config) -> self   no I/O
 *   start(self)    may begin I/O
 *   ...            the operations of its kind
 *   stop(self)     asynchronous; after done() no callback of the plugin runs, nothing of it is in flight
 *   close(self)    frees; NULL is allowed, and an instance that was never started
 *
 * The same plugin may be opened many times, in two generations at once: state only through `self`, no mutable statics,
 * no atexit, no signal handlers, no thread that outlives stop().
 */
#pragma once

#include <fragua/error.h>
#include <fragua/host.h>
#include <fragua/http.h>
#include <fragua/option.h>
#include <fragua/record.h>
#include <fragua/slice.h>

#define FG_PLUGIN_MAGIC 0x46524731u /* "FRG1" */

/*
 * The ABI's number and its change list. Services at the end of their table, found by its `size`, do not raise it.
 *   1  the first; before its first release: fg_sink_limits.key_order, batch_dead()
 */
#define FG_ABI 1u

enum fg_kind { FG_KIND_SOURCE = 1, FG_KIND_TRANSFORM, FG_KIND_SINK, FG_KIND_CONTROL, _FG_KIND_END };

struct fg_source_ops {
    /* These cursors are yours from now on: go on from there. May be called again with more. */
    void (*assign)(void *self, const struct fg_cursor *cursors, size_t n);
    /* These owners are no longer yours: stop at once; a batch that is being filled for them must be cancelled. */
    void (*revoke)(void *self, const struct fg_slice *owners, size_t n);
    /* The host has room: fill and submit the batch, now or later; its records are committed together. One at a time. */
    void (*pull)(void *self, struct fg_batch *batch);
    /* What was submitted since these cursors, and is in an open batch, does not count: cancel that, go on from here. */
    void (*rewind)(void *self, const struct fg_cursor *cursors, size_t n);
    /* Names every cursor key there is ("<owner>/<rest>"), those of other replicas too; no later. Asked every 2 s. */
    void (*keys)(void *self, fg_key_cb cb, void *arg);
};

struct fg_transform_ops {
    /*
     * On a worker thread; one instance a worker. Pure: the same record gives the same answer. `in` is borrowed. With
     * FG_DEAD and FG_RETRY, err is set.
     */
    enum fg_verdict (*apply)(void *self, struct fg_record *in, struct fg_emit *emit, struct fg_error *err);
};

/* Holds the defaults when limits() is called. Records come in the order of the input; one tried again comes later. */
struct fg_sink_limits {
    size_t records_max;    /* in one delivery; at least 1 */
    size_t bytes_max;      /* in one delivery; a single larger record still comes alone */
    size_t in_flight_max;  /* deliveries at a time; at least 1 */
    bool key_order;        /* a record comes only when all before it with the same key are delivered or given up */
};

struct fg_sink_ops {
    /* Answer each record exactly once by delivery_done(), now or later. */
    void (*deliver)(void *self, struct fg_delivery *delivery);
    /* Nobody waits for it any more: drop it; delivery_done() must not be called for it after this. Before stop(). */
    void (*cancel)(void *self, struct fg_delivery *delivery);
    void (*limits)(void *self, struct fg_sink_limits *ret); /* optional: one record, one at a time */
};

struct fg_control_ops {
    const struct fg_route *routes; /* array of n_routes */
    size_t n_routes;
};

struct fg_plugin {
    uint32_t magic; /* FG_PLUGIN_MAGIC */
    uint32_t abi;   /* FG_ABI of the plugin's build */
    uint32_t size;  /* sizeof(struct fg_plugin) of the plugin's build */
    uint32_t kind;  /* enum fg_kind */
    const char *name;    /* as in the pipeline file and the file's name: [a-z0-9-] */
    const char *version;
    const char *summary; /* one line */
    const struct fg_option *options; /* ends with FG_OPTION_END; NULL: none */
    size_t config_size;  /* of the struct that the options fill; 0 with no options */

    /* Optional. Checks what the table cannot say, such as options that exclude each other. Pure. */
    int (*check)(const void *config, struct fg_error *err);
    /* Mandatory. @config: filled and validated, valid until close(). No I/O. */
    int (*open)(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err);
    int (*start)(void *self, struct fg_error *err);            /* optional */
    void (*stop)(void *self, fg_done_cb done, void *arg);      /* optional; done(arg) exactly once, now or later */
    void (*close)(void *self);                                 /* mandatory */

    const struct fg_source_ops *source; /* the one of its kind is mandatory, the others NULL */
    const struct fg_transform_ops *transform;
    const struct fg_sink_ops *sink;
    const struct fg_control_ops *control;
};

#ifdef __cplusplus
#define FG_PLUGIN_LINKAGE extern "C"
#else
#define FG_PLUGIN_LINKAGE extern
#endif

/* Registration, last in the plugin's file: FG_PLUGIN(.kind = FG_KIND_SINK, .name = "sink-x", ...); */
#define FG_PLUGIN(...)                                                                                                 \
    FG_PLUGIN_LINKAGE __attribute__((visibility("default"))) const struct fg_plugin fragua_plugin;                     \
    const struct fg_plugin fragua_plugin = { .magic = FG_PLUGIN_MAGIC,                                                 \
                                             .abi = FG_ABI,                                                            \
                                             .size = sizeof(struct fg_plugin),                                         \
                                             __VA_ARGS__ }
