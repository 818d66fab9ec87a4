/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin's instance, and the service table that it reaches the world through. */
#include <stdarg.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/secret.h"
#include "flow/record.h"
#include "host/process-private.h"
#include "host/reload.h"

#define PLACE_MAX 160u /* a pipeline's name, a dot, a node's name */
#define SMALL_ANSWER_MAX ((size_t)1 << 20) /* bytes: a source's answer of at most this is no input, such as a token */

static struct fg_instance *instance_of(struct fg_host *host)
{
    return (struct fg_instance *)host; /* host is its first member */
}

static struct fg_process *process_of(struct fg_host *host)
{
    return instance_of(host)->node->process;
}

static struct fg_logger logger_of(struct fg_host *host)
{
    const struct fg_node *node = instance_of(host)->node;

    return (struct fg_logger){ .log = node->process->log, .pipeline = node->pipeline, .node = node->name };
}

__attribute__((format(printf, 3, 4))) static void svc_log(struct fg_host *host, enum fg_log_level level,
                                                          const char *format, ...)
{
    struct fg_logger logger = logger_of(host);
    va_list ap;

    va_start(ap, format);
    fg_logv(&logger, level, format, ap);
    va_end(ap);
}

static uint64_t svc_now_ms(struct fg_host *host)
{
    return fg_env_now_ms(process_of(host)->env);
}

static int64_t svc_wall_ms(struct fg_host *host)
{
    return fg_clock_wall_ms(process_of(host)->env->clock);
}

static uint64_t svc_random(struct fg_host *host)
{
    (void)host;
    return fg_random_u64();
}

/* A plugin's timer knows its environment, because the plugin hands back nothing else. */
struct fg_timer {
    struct fg_env *env;
    struct fg_env_timer *timer;
};

static struct fg_timer *svc_timer_new(struct fg_host *host, fg_timer_cb cb, void *arg)
{
    struct fg_timer *timer = fg_calloc(1, sizeof(*timer));

    timer->env = process_of(host)->env;
    timer->timer = timer->env->ops->timer_new(timer->env, cb, arg);
    return timer;
}

static void svc_timer_start(struct fg_timer *timer, uint64_t after_ms)
{
    timer->env->ops->timer_start(timer->timer, after_ms);
}

static void svc_timer_stop(struct fg_timer *timer)
{
    timer->env->ops->timer_stop(timer->timer);
}

static void svc_timer_free(struct fg_timer *timer)
{
    if (!timer)
        return;
    timer->env->ops->timer_free(timer->timer);
    free(timer);
}

struct offload {
    struct fg_work work;
    fg_work_cb run;
    fg_done_cb done;
    void *arg;
};

static void offload_run(struct fg_work *work, unsigned worker)
{
    struct offload *o = fg_container_of(work, struct offload, work);

    (void)worker;
    o->run(o->arg);
}

static void offload_done(struct fg_work *work)
{
    struct offload *o = fg_container_of(work, struct offload, work);
    fg_done_cb done = o->done;
    void *arg = o->arg;

    free(o);
    done(arg);
}

static int svc_offload(struct fg_host *host, fg_work_cb run, fg_done_cb done, void *arg)
{
    struct fg_env *env = process_of(host)->env;
    struct offload *o = fg_calloc(1, sizeof(*o));

    *o = (struct offload){ .work = { .run = offload_run, .done = offload_done }, .run = run, .done = done, .arg = arg };
    env->ops->submit(env, &o->work);
    return 0;
}

static struct fg_slice svc_secret_get(struct fg_host *host, const struct fg_secret *secret)
{
    (void)host;
    return secret ? fg_secret_text(secret) : FG_SLICE_NULL;
}

static bool metric_name_is_sane(const char *name)
{
    size_t n = strlen(name);

    return n > 0 && n <= 64 && strspn(name, "abcdefghijklmnopqrstuvwxyz_") == n;
}

/* Plugins' metrics are told apart from the server's own by their prefix. */
static struct fg_metric *svc_metric(struct fg_host *host, enum fg_metric_kind kind, const char *name, const char *help)
{
    const struct fg_node *node = instance_of(host)->node;
    struct fg_label labels[] = { { "pipeline", node->pipeline ? node->pipeline : "" }, { "node", node->name } };
    char full[96];
    struct fg_metric_decl decl = { full, kind == FG_METRIC_COUNTER ? FG_METRIC_TYPE_COUNTER : FG_METRIC_TYPE_GAUGE,
                                   help };

    if (!metric_name_is_sane(name))
        return NULL;
    (void)snprintf(full, sizeof(full), "fragua_plugin_%s", name);
    return fg_metric_scope_get(node->metrics, &decl, labels, 2);
}

/* What a source makes waits for room; for more than can ever be free, as with answers over HTTP, it would for ever. */
static int svc_record_new(struct fg_host *host, const struct fg_record_spec *spec, struct fg_record **ret,
                          struct fg_error *err)
{
    const struct fg_node *node = instance_of(host)->node;
    size_t limit = fg_budget_limit(&node->process->budget);

    if (node->ops->kind != FG_KIND_SOURCE)
        return fg_record_new(&node->process->budget, spec, true, ret, err);
    if (!spec->parent && spec->view.value.len > limit - limit / 4)
        return fg_raise(fg_error_set(err, FG_E_LIMIT, 0,
                                     "a record of %zu bytes is larger than three quarters of the byte "
                                     "budget: raise limits.memory",
                                     spec->view.value.len));
    return fg_record_new(&node->process->budget, spec, false, ret, err);
}

static void svc_trouble(struct fg_host *host, const struct fg_error *err)
{
    struct fg_pipeline *flow = instance_of(host)->node->flow; /* NULL: another has taken its place */

    if (flow)
        fg_pipeline_source_trouble(flow, instance_of(host)->self, err);
}

static struct fg_http_call *svc_http_send(struct fg_host *host, const struct fg_http_request *req, fg_http_done_cb done,
                                          void *arg, struct fg_error *err)
{
    struct fg_slice bearer = req->bearer ? fg_secret_text(req->bearer) : FG_SLICE_NULL;
    const struct fg_node *node = instance_of(host)->node;
    struct fg_http_call *call = fg_http_client_send(node->process->client, req, bearer, done, arg, err);

    /* what a source reads can wait for room; what others ask for makes records leave */
    if (call && (node->ops->kind != FG_KIND_SOURCE || req->body_max <= SMALL_ANSWER_MAX))
        fg_http_client_must(call);
    return call;
}

static struct fg_record *svc_http_take_body(struct fg_host *host, const struct fg_http_response *res)
{
    size_t len = 0, charged = 0;
    char *bytes = fg_http_client_take_body(res, &len, &charged);

    return bytes ? fg_record_adopt(&process_of(host)->budget, bytes, len, charged) : NULL;
}

static int svc_report(struct fg_host *host, enum fg_report what, const char *name, fg_write_cb write, void *arg,
                      struct fg_error *err)
{
    return fg_process_report(process_of(host), what, name, write, arg, err);
}

static bool svc_is_ready(struct fg_host *host)
{
    return fg_process_is_ready(process_of(host));
}

static int svc_pipeline_action(struct fg_host *host, const char *name, enum fg_pipeline_action action,
                               struct fg_error *err)
{
    return fg_process_pipeline_action(process_of(host), name, action, err);
}

static struct fg_follow *svc_follow(struct fg_host *host, const char *topic, int64_t tail, fg_follow_cb cb, void *arg,
                                    struct fg_error *err)
{
    return fg_process_follow(process_of(host), topic, tail, cb, arg, err);
}

static const char *svc_topic_at(struct fg_host *host, size_t k, const char **ret_role, const char **ret_pipeline)
{
    return fg_config_topic_at(process_of(host)->config, k, ret_role, ret_pipeline);
}

static int svc_reload(struct fg_host *host, fg_reload_cb done, void *arg, struct fg_error *err)
{
    return fg_process_reload(process_of(host), FG_RELOAD_API, done, arg, err);
}

static int svc_dry_run(struct fg_host *host, struct fg_slice text, fg_reload_cb done, void *arg, struct fg_error *err)
{
    return fg_process_dry_run(process_of(host), text, done, arg, err);
}

static void svc_reload_forget(struct fg_host *host, void *arg)
{
    fg_process_reload_forget(process_of(host), arg);
}

static struct fg_events *svc_events(struct fg_host *host, fg_event_cb cb, void *arg)
{
    return fg_process_events(process_of(host), cb, arg);
}

static const struct fg_services services = {
    .size = sizeof(struct fg_services),
    .log = svc_log,
    .now_ms = svc_now_ms,
    .wall_ms = svc_wall_ms,
    .random = svc_random,
    .timer_new = svc_timer_new,
    .timer_start = svc_timer_start,
    .timer_stop = svc_timer_stop,
    .timer_free = svc_timer_free,
    .offload = svc_offload,
    .secret_get = svc_secret_get,
    .metric = svc_metric,
    .metric_add = fg_metric_add,
    .metric_set = fg_metric_set,
    .record_new = svc_record_new,
    .record_ref = fg_record_ref,
    .record_unref = fg_record_unref,
    .record_view = fg_record_view,
    .emit = fg_emit_add,
    .batch_add = fg_batch_add,
    .batch_cursor = fg_batch_cursor,
    .batch_submit = fg_batch_submit,
    .batch_cancel = fg_batch_cancel,
    .trouble = svc_trouble,
    .delivery_count = fg_delivery_count,
    .delivery_record = fg_delivery_record,
    .delivery_done = fg_delivery_done,
    .http_send = svc_http_send,
    .http_cancel = fg_http_client_cancel,
    .http_take_body = svc_http_take_body,
    .exchange_method = fg_exchange_method,
    .exchange_path = fg_exchange_path,
    .exchange_param = fg_exchange_param,
    .exchange_query = fg_exchange_query,
    .exchange_query_raw = fg_exchange_query_raw,
    .exchange_header = fg_exchange_header,
    .exchange_body = fg_exchange_body,
    .exchange_set_header = fg_exchange_set_header,
    .exchange_reply = fg_exchange_reply,
    .exchange_problem = fg_exchange_problem,
    .exchange_begin = fg_exchange_begin,
    .exchange_write = fg_exchange_write,
    .exchange_end = fg_exchange_end,
    .exchange_on_gone = fg_exchange_on_gone,
    .exchange_abort = fg_exchange_abort,
    .report = svc_report,
    .is_ready = svc_is_ready,
    .pipeline_action = svc_pipeline_action,
    .follow = svc_follow,
    .follow_stop = fg_follow_stop,
    .topic_at = svc_topic_at,
    .reload = svc_reload,
    .dry_run = svc_dry_run,
    .reload_forget = svc_reload_forget,
    .events = svc_events,
    .events_stop = fg_events_stop,
    .batch_dead = fg_batch_dead,
};

/* "ingest.sink", "http.plugins.1" */
static void place_of(const struct fg_node *node, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s%s%s", node->pipeline ? node->pipeline : "", node->pipeline ? "." : "", node->name);
}

int fg_instance_open(struct fg_instance *i, struct fg_node *node, struct fg_error *err)
{
    struct fg_error why = FG_ERROR_NULL;
    char place[PLACE_MAX];

    *i = (struct fg_instance){ .host = { .svc = &services }, .node = node };
    place_of(node, place, sizeof(place));
    if (node->ops->open(&i->host, node->c->values_struct, &i->self, &why) < 0)
        return fg_raise(fg_error_set(err, why.code ? why.code : FG_E_INTERNAL, 0, "%s: %s", place, why.text));
    if (!i->self)
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "%s: plugin \"%s\" opened without an instance", place,
                                     node->ops->name));
    return 0;
}

int fg_instance_start(struct fg_instance *i, struct fg_error *err)
{
    const struct fg_plugin *ops = i->node->ops;
    struct fg_error why = FG_ERROR_NULL;
    char place[PLACE_MAX];

    place_of(i->node, place, sizeof(place));
    if (ops->start && ops->start(i->self, &why) < 0)
        return fg_raise(fg_error_set(err, why.code ? why.code : FG_E_INTERNAL, 0, "%s: %s", place, why.text));
    i->started = true;
    return 0;
}

void fg_instance_stop(struct fg_instance *i, fg_done_cb done, void *arg)
{
    if (!i->self || !i->started || !i->node->ops->stop) {
        done(arg);
        return;
    }
    i->started = false;
    i->node->ops->stop(i->self, done, arg);
}

void fg_instance_close(struct fg_instance *i)
{
    if (i->self)
        i->node->ops->close(i->self);
    i->self = NULL;
}
