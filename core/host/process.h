/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running fragua: everything a pipeline file declares, in one place, on one loop. Loop thread only.
 *
 * It owns what plugins share (Kafka, HTTP both ways, workers, budget, metrics), the plugins' instances, and the
 * pipelines. start() returns with all of it begun; what the outside then does shows in the pipelines' states.
 */
#pragma once

#include <uv.h>

#include "flow/replay.h"
#include "host/config.h"

struct fg_process;

/* Where a configuration came from, so that it can be read again. All borrowed until the process is freed. */
struct fg_process_origin {
    const char *path;        /* NULL: of no file */
    const char *const *sets; /* array of n_sets "path=value" */
    size_t n_sets;
    const struct fg_plugin_path *plugins;
    /*
     * NULL-ended: the arguments of this program that make it try a file, which is put behind them, in another process,
     * and say in JSON what is wrong and which plugin files it took. "-" is its standard input.
     */
    const char *const *check;
};

struct fg_process_config {
    uv_loop_t *loop;          /* borrowed */
    struct fg_log *log;       /* borrowed */
    struct fg_config *config; /* a reference is taken */
    enum fg_role role;
    const char *instance;     /* for transactional ids; NULL: the host's name */
    const struct fg_process_origin *origin; /* NULL: no reload */
};

enum fg_reload_trigger {
    FG_RELOAD_SIGNAL,
    FG_RELOAD_API,
    FG_RELOAD_FILES,     /* the pipeline file, a secret or a certificate changed */
    FG_RELOAD_PROBATION, /* the last one is taken back */
    _FG_RELOAD_TRIGGER_N,
};

/*
 * Opens every instance, binds the HTTP port, starts the pipelines. *ret is set in any case: a process that failed to
 * start is stopped and freed like any other.
 */
int fg_process_start(const struct fg_process_config *config, struct fg_process **ret, struct fg_error *err);
/*
 * For commands that work on the file's topics themselves: opens Kafka and workers, and with @transforms the transforms
 * of pipelines with a source; no pipeline runs, no port is opened. To be stopped and freed like any other.
 */
int fg_process_prepare(const struct fg_process_config *config, bool transforms, struct fg_process **ret,
                       struct fg_error *err);
/* All borrowed, until the process is stopped. */
struct fg_bus *fg_process_bus(const struct fg_process *process); /* NULL: the file has no Kafka */
struct fg_env *fg_process_env(const struct fg_process *process);
struct fg_budget *fg_process_budget(struct fg_process *process);
/* The k-th pipeline of the file, of a process prepared with its transforms. What *ret points to is the process's. */
void fg_process_route(const struct fg_process *process, size_t k, struct fg_replay_route *ret);
/* Drains within limits.stop, or at once; a second call with @now cuts a drain short. stopped(arg) once, then free. */
void fg_process_stop(struct fg_process *process, bool now, fg_done_cb stopped, void *arg);
struct fg_process *fg_process_free(struct fg_process *process); /* stopped ones; NULL allowed; returns NULL */

/* The HTTP server's address, "127.0.0.1:41207", borrowed until a reload or the stop; NULL: there is none. */
const char *fg_process_http_address(const struct fg_process *process);
/* A report as a control plugin sees it; see enum fg_report. write() within the call. */
int fg_process_report(struct fg_process *process, enum fg_report what, const char *name, fg_write_cb write, void *arg,
                      struct fg_error *err);
int fg_process_pipeline_action(struct fg_process *process, const char *name, enum fg_pipeline_action action,
                               struct fg_error *err);
/*
 * Asks for a reload, see host/reload.h. What is asked for while one is under way becomes one more run. @done: once,
 * later; NULL: nobody waits. Negative with err: the process has no file, or is stopping.
 */
int fg_process_reload(struct fg_process *process, enum fg_reload_trigger who, fg_reload_cb done, void *arg,
                      struct fg_error *err);
/* Says what a reload with this text (copied) in place of the file's would do. */
int fg_process_dry_run(struct fg_process *process, struct fg_slice text, fg_reload_cb done, void *arg,
                       struct fg_error *err);
void fg_process_reload_forget(struct fg_process *process, void *arg); /* done() with this arg is not called any more */
bool fg_process_is_ready(const struct fg_process *process);
/* See struct fg_services::follow. *ret lives until fg_follow_stop(), or the process's own stop. */
struct fg_follow *fg_process_follow(struct fg_process *process, const char *topic, int64_t tail, fg_follow_cb cb,
                                    void *arg, struct fg_error *err);
void fg_follow_stop(struct fg_follow *follow); /* cb() is not called any more; NULL allowed */

#define FG_PROBE_MS 10000u /* for all plugins of a file together */

/*
 * fg_config_probe() - load and open every plugin of a file in a child process, and throw it away
 * @plugins: its `loading` is told of the files that the child loads
 * @timeout_ms: for all plugins together
 *
 * A plugin that crashes or hangs in its own initialisation takes the child with it, not the server.
 * Return: 0: fg_config_load() finds no fault, and every plugin opens; FG_PROBE_FAULTS: no plugin did any harm, but
 * fg_config_load() finds faults; negative with the plugin and what became of it named in err.
 */
enum { FG_PROBE_FAULTS = 1 };
int fg_config_probe(const char *path, struct fg_slice text, const char *const *sets, size_t n_sets,
                    const struct fg_plugin_path *plugins, uint32_t timeout_ms, struct fg_error *err);
/* fg_plugin_load() of a plugin that may crash or hang while it is loaded: tried in a child process first. */
int fg_plugin_probe(const struct fg_plugin_path *plugins, const char *name, struct fg_plugin_file **ret,
                    struct fg_error *err);
