/* SPDX-License-Identifier: Apache-2.0 */
/* The run of a reload: what was asked for becomes one run, and a run goes through its phases. */
#include "host/reload.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "host/reload-private.h"

#define DRY_RUNS_MAX     16u   /* that wait */
#define CHECK_BESIDES_MS 2000u /* reload.check is for the plugins, so that a hang is named; this for the rest */

static void begin_next(void *arg);

static double ms_since(uint64_t ns)
{
    return (double)(uv_hrtime() - ns) / 1e6;
}

void fg_reload_phase(struct fg_reload_run *run, enum fg_reload_phase phase)
{
    run->phase_ms[run->phase] = ms_since(run->phase_ns);
    run->phase = phase;
    run->phase_ns = uv_hrtime();
}

static struct fg_reload_run *run_new(struct fg_reload *reload)
{
    struct fg_reload_run *run = fg_calloc(1, sizeof(*run));

    run->reload = reload;
    run->text = (struct fg_buf)FG_BUF_INIT(FG_CONF_BYTES_MAX);
    run->faults = FG_CONF_FAULTS_NULL;
    fg_list_init(&run->waiters);
    for (size_t i = 0; i < _FG_RELOAD_PHASE_N; i++)
        run->phase_ms[i] = -1;
    fg_list_append(&reload->queue, &run->link);
    return run;
}

static void run_free(struct fg_reload_run *run)
{
    fg_diff_deinit(&run->diff);
    fg_config_unref(run->next);
    fg_config_unref(run->old);
    fg_conf_faults_deinit(&run->faults);
    fg_buf_deinit(&run->text);
    free(run->hashes);
    free(run);
}

static void tell_waiters(struct fg_reload_run *run)
{
    struct fg_buf buf = FG_BUF_INIT(FG_RELOAD_REPORT_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    bool well = run->result != FG_RELOAD_REFUSED && run->result != FG_RELOAD_ROLLED_BACK;
    struct fg_list *l;

    fg_reload_report_write(&w, run);
    if (buf.data && !buf.failed)
        fg_log_redact(run->reload->process->log, buf.data);
    while ((l = fg_list_pop(&run->waiters))) {
        struct fg_reload_waiter *waiter = fg_container_of(l, struct fg_reload_waiter, link);
        if (waiter->done)
            waiter->done(waiter->arg, well ? FG_E_NONE : run->err.code ? run->err.code : FG_E_CONFIG,
                         buf.failed || !buf.data ? fg_slice_of("{}") : fg_slice_of(buf.data));
        free(waiter);
    }
    if (!run->dry && buf.data && !buf.failed)
        fg_events_tell(run->reload->process, "reload", fg_slice_of(buf.data));
    fg_buf_deinit(&buf);
}

/* Once nothing of it is left, neither a run nor the watch. */
static void tell_stopped(struct fg_reload *reload)
{
    fg_done_cb stopped = reload->stopped;

    if (!stopped || reload->run || reload->watch_closing)
        return;
    reload->stopped = NULL;
    stopped(reload->stopped_arg);
}

/* It is told first: the report names what is let go then. */
static void run_end(struct fg_reload_run *run)
{
    tell_waiters(run);
    fg_reload_drop(run);
    run_free(run);
}

void fg_reload_end(struct fg_reload_run *run, enum fg_reload_result result)
{
    struct fg_reload *reload = run->reload;

    run->phase_ms[run->phase] = ms_since(run->phase_ns);
    run->duration_ms = ms_since(run->began_ns);
    run->result = result;
    if (!run->dry) {
        fg_reload_log(run);
        fg_reload_metrics(run);
        fg_reload_report_keep(reload, run);
        fg_reload_watch(reload, run->next ? run->next : reload->process->config);
    }
    reload->run = NULL;
    run_end(run);
    if (!fg_list_empty(&reload->queue) && !reload->stopping)
        reload->process->env->ops->timer_start(reload->kick, 0);
    tell_stopped(reload);
}

static void refuse(struct fg_reload_run *run, const struct fg_error *err)
{
    if (err)
        run->err = *err;
    else if (!run->err.code && run->faults.len)
        fg_error_set(&run->err, FG_E_CONFIG, 0, "%s:%u:%u: %s", run->faults.items[0].file, run->faults.items[0].line,
                     run->faults.items[0].column, run->faults.items[0].text);
    fg_reload_end(run, FG_RELOAD_REFUSED);
}

static void hide_secret(void *log, struct fg_slice secret)
{
    fg_log_add_secret(log, secret);
}

/* What was tried in the other process is what was loaded here: else the file was written to in between. */
static bool same_files(struct fg_reload_run *run, const struct fg_config_node *node)
{
    for (size_t i = 0; node->file && run->hashes && run->hashes[i][0][0]; i++)
        if (strcmp(run->hashes[i][0], node->file->plugin.name) == 0)
            return strcmp(run->hashes[i][1], node->file->sha256) == 0;
    return true;
}

static bool all_same_files(struct fg_reload_run *run)
{
    const struct fg_config *c = run->next;
    bool same = true;

    for (size_t i = 0; i < c->n_controls; i++)
        same = same && same_files(run, &c->controls[i]);
    for (size_t i = 0; i < c->n_pipelines; i++) {
        const struct fg_config_pipeline *p = &c->pipelines[i];
        same = same && same_files(run, &p->source) && same_files(run, &p->sink);
        for (size_t k = 0; k < p->n_transforms; k++)
            same = same && same_files(run, &p->transforms[k]);
    }
    return same;
}

static bool has_work(const struct fg_process *p, const struct fg_config *c)
{
    bool any = c->n_controls > 0;

    for (size_t i = 0; i < c->n_pipelines; i++)
        any = any || fg_process_runs(p, &c->pipelines[i]);
    return any;
}

/* Until the swap nothing that runs is touched; from there on there is no way back but another reload. */
static void go_live(struct fg_reload_run *run)
{
    struct fg_error err = FG_ERROR_NULL;

    fg_reload_phase(run, FG_RELOAD_BUILD);
    if (fg_reload_build(run, &err) < 0)
        refuse(run, &err);
    else
        fg_reload_swap(run);
}

static void compare(struct fg_reload_run *run)
{
    struct fg_process *p = run->reload->process;
    struct fg_error err = FG_ERROR_NULL;

    fg_reload_phase(run, FG_RELOAD_DIFF);
    fg_config_secrets(run->next, hide_secret, p->log);
    run->old = fg_config_ref(p->config);
    fg_diff_make(run->old, run->next, p->role, &run->diff);
    if (fg_diff_empty(&run->diff)) {
        fg_reload_end(run, FG_RELOAD_UNCHANGED);
        return;
    }
    if (!has_work(p, run->next)) {
        fg_error_set(&err, FG_E_CONFIG, 0, "the file has no pipeline of this role");
        refuse(run, &err);
        return;
    }
    if (run->dry)
        fg_reload_end(run, FG_RELOAD_WOULD_DO);
    else
        go_live(run);
}

static void load(struct fg_reload_run *run)
{
    const struct fg_process_origin *o = run->reload->origin;
    struct fg_slice text = run->dry ? fg_buf_slice(&run->text) : FG_SLICE_NULL;
    struct fg_error err = FG_ERROR_NULL;

    fg_reload_phase(run, FG_RELOAD_LOAD);
    if (fg_config_load(o->path, text, o->sets, o->n_sets, o->plugins, &run->next, &run->faults) < 0) {
        refuse(run, NULL);
        return;
    }
    if (!all_same_files(run)) {
        fg_error_set(&err, FG_E_CONFIG, 0, "a plugin file was written to while it was being tried: reload again");
        refuse(run, &err);
        return;
    }
    compare(run);
}

static void take_hashes(struct fg_reload_run *run, const struct fg_check_result *result)
{
    run->hashes = fg_calloc(result->n_plugins + 1, sizeof(*run->hashes));
    for (size_t i = 0; i < result->n_plugins; i++) {
        (void)snprintf(run->hashes[i][0], sizeof(run->hashes[i][0]), "%s", result->plugins[i].name);
        (void)snprintf(run->hashes[i][1], sizeof(run->hashes[i][1]), "%s", result->plugins[i].sha256);
    }
}

static void checked(void *arg, const struct fg_check_result *result)
{
    struct fg_reload_run *run = arg;

    run->check = NULL;
    for (size_t i = 0; i < result->faults.len; i++)
        fg_conf_fault_add(&run->faults, result->faults.items[i].file, result->faults.items[i].line,
                          result->faults.items[i].column, "%s", result->faults.items[i].text);
    if (result->code != 0 || run->faults.len) {
        refuse(run, result->err.code ? &result->err : NULL);
        return;
    }
    take_hashes(run, result);
    load(run);
}

static void check(struct fg_reload_run *run)
{
    const struct fg_process_origin *o = run->reload->origin;
    const uint32_t plugins_ms = (uint32_t)run->reload->process->config->reload.check;
    const char *argv[FG_RELOAD_ARGS_MAX];
    struct fg_check_config config = {
        .loop = run->reload->process->loop,
        .argv = argv,
        .text = run->dry ? fg_buf_slice(&run->text) : FG_SLICE_NULL,
        .timeout_ms = plugins_ms + CHECK_BESIDES_MS,
    };
    struct fg_error err = FG_ERROR_NULL;
    char timeout[32];
    size_t n = 0;

    while (o->check[n] && n + 6 < FG_RELOAD_ARGS_MAX) {
        argv[n] = o->check[n];
        n++;
    }
    (void)snprintf(timeout, sizeof(timeout), "%ums", plugins_ms);
    argv[n++] = "--timeout";
    argv[n++] = timeout;
    if (run->dry) {
        argv[n++] = "--as";
        argv[n++] = o->path;
    }
    argv[n++] = run->dry ? "-" : o->path;
    argv[n] = NULL;
    if (fg_check_start(&config, checked, run, &run->check, &err) < 0)
        refuse(run, &err);
}

static void begin_next(void *arg)
{
    struct fg_reload *reload = arg;
    struct fg_process *p = reload->process;
    struct fg_reload_run *run;

    if (reload->run || reload->stopping || fg_list_empty(&reload->queue))
        return;
    run = fg_container_of(fg_list_pop(&reload->queue), struct fg_reload_run, link);
    reload->run = run;
    run->began_ms = fg_clock_wall_ms(&fg_clock_system);
    run->began_ns = run->phase_ns = uv_hrtime();
    run->generation = p->generation + 1;
    if (run->back) {
        run->phase = FG_RELOAD_DIFF;
        compare(run);
        return;
    }
    if (!run->dry && reload->watch)
        fg_watch_seen(reload->watch);
    run->phase = FG_RELOAD_CHECK;
    check(run);
}

static void wait_for(struct fg_reload_run *run, fg_reload_cb done, void *arg)
{
    struct fg_reload_waiter *waiter;

    if (!done)
        return;
    waiter = fg_calloc(1, sizeof(*waiter));
    waiter->done = done;
    waiter->arg = arg;
    fg_list_append(&run->waiters, &waiter->link);
}

static int can_reload(const struct fg_process *p, struct fg_error *err)
{
    if (p->stopping)
        return fg_raise(fg_error_set(err, FG_E_UNAVAILABLE, 0, "the process is stopping"));
    if (!p->reload || !p->reload->origin->path)
        return fg_raise(fg_error_set(err, FG_E_UNAVAILABLE, 0,
                                     "this configuration is of no file that could be read again"));
    return 0;
}

/* The run that waits for the file's turn; NULL: none. */
static struct fg_reload_run *queued(const struct fg_reload *reload)
{
    for (struct fg_list *l = reload->queue.next; l != &reload->queue; l = l->next) {
        struct fg_reload_run *run = fg_container_of(l, struct fg_reload_run, link);
        if (!run->dry && !run->back)
            return run;
    }
    return NULL;
}

int fg_process_reload(struct fg_process *p, enum fg_reload_trigger who, fg_reload_cb done, void *arg,
                      struct fg_error *err)
{
    struct fg_reload_run *run;

    if (can_reload(p, err) < 0)
        return fg_pass(-1);
    run = queued(p->reload);
    if (!run)
        run = run_new(p->reload);
    run->asked++;
    run->asked_by |= 1u << who;
    wait_for(run, done, arg);
    if (!p->reload->run)
        p->env->ops->timer_start(p->reload->kick, 0);
    return 0;
}

int fg_process_dry_run(struct fg_process *p, struct fg_slice text, fg_reload_cb done, void *arg, struct fg_error *err)
{
    struct fg_reload_run *run;
    size_t n = 0;

    if (can_reload(p, err) < 0)
        return fg_pass(-1);
    for (struct fg_list *l = p->reload->queue.next; l != &p->reload->queue; l = l->next)
        n++;
    if (text.len == 0 || text.len > FG_CONF_BYTES_MAX || n >= DRY_RUNS_MAX)
        return fg_raise(fg_error_set(err, n >= DRY_RUNS_MAX ? FG_E_UNAVAILABLE : FG_E_CONFIG, 0,
                                     n >= DRY_RUNS_MAX ? "too many wait for their turn: ask again later"
                                                       : "the text is empty, or larger than 1 MiB"));
    if (fg_reload_dry_check(p->reload, text, err) < 0)
        return fg_pass(-1);
    run = run_new(p->reload);
    run->dry = true;
    run->asked = 1;
    run->asked_by = 1u << FG_RELOAD_API;
    fg_buf_add_slice(&run->text, text);
    wait_for(run, done, arg);
    if (!p->reload->run)
        p->env->ops->timer_start(p->reload->kick, 0);
    return 0;
}

static void forget(struct fg_reload_run *run, const void *arg)
{
    for (struct fg_list *l = run->waiters.next; l != &run->waiters; l = l->next) {
        struct fg_reload_waiter *waiter = fg_container_of(l, struct fg_reload_waiter, link);
        if (waiter->arg == arg)
            waiter->done = NULL;
    }
}

void fg_process_reload_forget(struct fg_process *p, void *arg)
{
    if (!p->reload)
        return;
    if (p->reload->run)
        forget(p->reload->run, arg);
    for (struct fg_list *l = p->reload->queue.next; l != &p->reload->queue; l = l->next)
        forget(fg_container_of(l, struct fg_reload_run, link), arg);
}

void fg_reload_back(struct fg_reload *reload, struct fg_config *before, struct fg_kafka *kafka)
{
    struct fg_reload_run *run = run_new(reload);

    fg_list_remove(&run->link);
    fg_list_append(reload->queue.next, &run->link); /* before all that waits */
    run->back = true;
    run->next = before;
    run->kafka = kafka;
    run->asked = 1;
    run->asked_by = 1u << FG_RELOAD_PROBATION;
    reload->process->env->ops->timer_start(reload->kick, 0);
}

static void file_changed(void *arg, const char *path)
{
    struct fg_reload *reload = arg;
    struct fg_error err = FG_ERROR_NULL;

    fg_logf(&reload->process->logger, FG_LOG_INFO, "reload: \"%s\" changed", path);
    if (fg_process_reload(reload->process, FG_RELOAD_FILES, NULL, NULL, &err) < 0)
        fg_log_error(&reload->process->logger, FG_LOG_DEBUG, "reload", &err);
}

static void watch_closed(void *arg)
{
    struct fg_reload *reload = arg;

    reload->watch_closing = false;
    tell_stopped(reload);
}

void fg_reload_watch(struct fg_reload *reload, const struct fg_config *config)
{
    struct fg_process *p = reload->process;
    const struct fg_watch_config made = {
        .loop = p->loop,
        .settle_ms = (uint64_t)p->config->reload.settle,
        .changed = file_changed,
        .arg = reload,
        .logger = { .log = p->log },
    };
    bool wanted = p->config->reload.watch && reload->origin->path && !reload->stopping;
    struct fg_error err = FG_ERROR_NULL;
    const char *const *files;
    size_t n;

    if (reload->watch && !wanted) {
        reload->watch_closing = true;
        fg_watch_close(reload->watch, watch_closed, reload);
        reload->watch = NULL;
    }
    if (!wanted || reload->watch_closing)
        return;
    if (!reload->watch && fg_watch_new(&made, &reload->watch, &err) < 0) {
        fg_log_error(&p->logger, FG_LOG_WARN, "cannot watch the pipeline file: reload by SIGHUP", &err);
        return;
    }
    fg_watch_set_settle(reload->watch, (uint64_t)p->config->reload.settle);
    n = fg_config_files(config, &files);
    fg_watch_set(reload->watch, files, n);
}

struct fg_reload *fg_reload_new(struct fg_process *process, const struct fg_process_origin *origin)
{
    struct fg_reload *reload = fg_calloc(1, sizeof(*reload));

    reload->process = process;
    reload->origin = origin;
    fg_list_init(&reload->queue);
    reload->kick = process->env->ops->timer_new(process->env, begin_next, reload);
    reload->probation_timer = process->env->ops->timer_new(process->env, fg_reload_probation_look, reload);
    fg_reload_watch(reload, process->config);
    return reload;
}

static void give_up(struct fg_reload_run *run)
{
    fg_error_set(&run->err, FG_E_CANCELLED, 0, "the process is stopping");
    fg_reload_end(run, FG_RELOAD_REFUSED);
}

static void check_gone(void *arg)
{
    struct fg_reload_run *run = arg;

    run->check = NULL;
    give_up(run);
}

static void drop_queue(struct fg_reload *reload)
{
    struct fg_list *l;

    while ((l = fg_list_pop(&reload->queue))) {
        struct fg_reload_run *run = fg_container_of(l, struct fg_reload_run, link);
        fg_error_set(&run->err, FG_E_CANCELLED, 0, "the process is stopping");
        run->result = FG_RELOAD_REFUSED;
        run_end(run);
    }
}

void fg_reload_stop(struct fg_reload *reload, fg_done_cb done, void *arg)
{
    struct fg_env *env = reload->process->env;

    fg_assert(!reload->stopping);
    reload->stopping = true;
    reload->stopped = done;
    reload->stopped_arg = arg;
    fg_reload_probation_end(reload);
    env->ops->timer_free(reload->kick);
    env->ops->timer_free(reload->probation_timer);
    reload->kick = reload->probation_timer = NULL;
    fg_reload_watch(reload, reload->process->config);
    drop_queue(reload);
    if (reload->run && reload->run->check)
        fg_check_cancel(reload->run->check, check_gone, reload->run);
    tell_stopped(reload); /* else the end of the run or of the watch comes to it */
}

struct fg_reload *fg_reload_free(struct fg_reload *reload)
{
    if (!reload)
        return NULL;
    fg_assert(!reload->run);
    for (size_t i = 0; i < reload->n_reports; i++)
        fg_reload_report_deinit(&reload->reports[i]);
    free(reload);
    return NULL;
}
