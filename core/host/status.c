/* SPDX-License-Identifier: Apache-2.0 */
/* What the process says about itself: the reports of fg_process_report(). */
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/openapi.h"
#include "host/process-private.h"
#include "host/reload.h"

#define REPORT_MAX (8u * 1024u * 1024u)

static void write_time(struct fg_json_writer *w, const char *key, int64_t unix_ms)
{
    char text[FG_RFC3339_MAX];

    if (unix_ms <= 0)
        return;
    fg_rfc3339(unix_ms, text);
    fg_json_kv_cstr(w, key, text);
}

struct plugin_list {
    struct fg_json_writer *w;
    const struct fg_plugin_file **files; /* owned array of n */
    size_t n;
};

static void write_plugin(struct plugin_list *list, const struct fg_node *node)
{
    const struct fg_plugin_file *file = node->c->file;
    struct fg_json_writer *w = list->w;

    for (size_t i = 0; i < list->n; i++)
        if (list->files[i]->handle == file->handle)
            return;
    list->files[list->n++] = file;
    fg_json_object(w);
    fg_json_kv_cstr(w, "name", file->plugin.name);
    fg_json_kv_cstr(w, "kind", fg_kind_name(file->plugin.kind));
    fg_json_kv_cstr(w, "version", file->plugin.version);
    fg_json_kv_int(w, "abi", file->plugin.abi);
    fg_json_kv_cstr(w, "sha256", file->sha256);
    fg_json_object_end(w);
}

static void write_plugins(struct fg_json_writer *w, const struct fg_process *p)
{
    struct plugin_list list = { .w = w };
    size_t n = p->n_controls;

    for (size_t i = 0; i < p->n_pipelines; i++)
        n += p->pipelines[i]->lineup ? p->pipelines[i]->lineup->n : 0;
    list.files = fg_calloc(n + 1, sizeof(*list.files));
    fg_json_key(w, "plugins");
    fg_json_array(w);
    for (size_t i = 0; i < p->n_controls; i++)
        write_plugin(&list, p->controls[i]);
    for (size_t i = 0; i < p->n_pipelines; i++)
        for (size_t k = 0; p->pipelines[i]->lineup && k < p->pipelines[i]->lineup->n; k++)
            write_plugin(&list, p->pipelines[i]->lineup->nodes[k]);
    fg_json_array_end(w);
    free(list.files);
}

static void write_kafka(struct fg_json_writer *w, const struct fg_process *p)
{
    if (!p->kafka)
        return;
    fg_json_key(w, "kafka");
    fg_json_object(w);
    fg_json_kv_cstr(w, "kind", p->kafka->bus->traits.kind);
    fg_json_kv_bool(w, "durable", p->kafka->bus->traits.durable);
    fg_json_kv_bool(w, "transactional", p->kafka->bus->traits.transactional);
    fg_json_kv_cstr(w, "librdkafka", fg_bus_rdkafka_version());
    fg_json_object_end(w);
}

static void write_status(struct fg_json_writer *w, struct fg_process *p)
{
    fg_json_object(w);
    fg_json_kv_cstr(w, "version", FG_VERSION);
    fg_json_kv_int(w, "generation", p->generation);
    fg_json_kv_cstr(w, "instance", p->instance);
    write_time(w, "started_at", p->started_ms);
    fg_json_kv_int(w, "uptime_ms", (int64_t)(fg_env_now_ms(p->env) - p->started_mono_ms));
    fg_json_kv_bool(w, "ready", fg_process_is_ready(p));
    fg_json_key(w, "memory");
    fg_json_object(w);
    fg_json_kv_int(w, "budget_bytes", (int64_t)p->budget.limit);
    fg_json_kv_int(w, "in_flight_bytes", (int64_t)atomic_load(&p->budget.used));
    fg_json_kv_int(w, "resident_bytes", (int64_t)fg_process_resident_bytes());
    fg_json_object_end(w);
    fg_json_kv_int(w, "workers", p->env->n_workers);
    write_kafka(w, p);
    write_plugins(w, p);
    fg_json_object_end(w);
}

/* While the process begins or ends, a pipeline may have no flow: then it is stopped. */
static void pipeline_status(const struct fg_process_pipeline *pp, struct fg_pipeline_status *ret)
{
    *ret = (struct fg_pipeline_status){ .state = FG_PIPELINE_STOPPED };
    if (pp->flow)
        fg_pipeline_status(pp->flow, ret);
}

static void write_trouble(struct fg_json_writer *w, const struct fg_pipeline_status *s)
{
    if (s->trouble.code == FG_E_NONE)
        return;
    fg_json_key(w, "trouble");
    fg_json_object(w);
    fg_json_kv_cstr(w, "code", fg_code_name(s->trouble.code));
    fg_json_kv_cstr(w, "text", s->trouble.text);
    fg_json_kv_cstr(w, "node", s->trouble_node);
    write_time(w, "since", s->trouble_since_ms);
    fg_json_kv_int(w, "attempt", s->attempt);
    write_time(w, "next_attempt_at", s->next_attempt_ms);
    fg_json_object_end(w);
}

static void write_nodes(struct fg_json_writer *w, const struct fg_process_pipeline *pp)
{
    fg_json_key(w, "nodes");
    fg_json_array(w);
    for (size_t i = 0; pp->lineup && i < pp->lineup->n; i++) {
        const struct fg_stage *stage = &pp->lineup->stages[i];
        fg_json_object(w);
        fg_json_kv_cstr(w, "node", stage->node);
        fg_json_kv_cstr(w, "plugin", stage->plugin);
        fg_json_kv_cstr(w, "kind", fg_kind_name(stage->ops->kind));
        fg_json_object_end(w);
    }
    fg_json_array_end(w);
}

static void write_topics(struct fg_json_writer *w, const struct fg_process_pipeline *pp)
{
    const char *topic, *role, *pipeline;

    fg_json_key(w, "topics");
    fg_json_array(w);
    for (size_t k = 0; (topic = fg_config_topic_at(pp->process->config, k, &role, &pipeline)); k++) {
        if (strcmp(pipeline, pp->c->name) != 0)
            continue;
        fg_json_object(w);
        fg_json_kv_cstr(w, "topic", topic);
        fg_json_kv_cstr(w, "role", role);
        fg_json_object_end(w);
    }
    fg_json_array_end(w);
}

static void write_pipeline(struct fg_json_writer *w, const struct fg_process_pipeline *pp)
{
    struct fg_pipeline_status s;

    pipeline_status(pp, &s);
    fg_json_object(w);
    fg_json_kv_cstr(w, "name", pp->c->name);
    fg_json_kv_cstr(w, "role", pp->c->role == FG_ROLE_PRODUCER ? "producer" : "consumer");
    fg_json_kv_cstr(w, "state", fg_pipeline_state_name(s.state));
    fg_json_kv_bool(w, "ready", s.ready);
    fg_json_kv_cstr(w, "delivery", s.delivery == FG_EXACTLY_ONCE ? "exactly-once" : "at-least-once");
    write_trouble(w, &s);
    fg_json_key(w, "records");
    fg_json_object(w);
    fg_json_kv_int(w, "in", (int64_t)s.records_in);
    fg_json_kv_int(w, "out", (int64_t)s.records_out);
    fg_json_kv_int(w, "dropped", (int64_t)s.records_dropped);
    fg_json_kv_int(w, "dead", (int64_t)s.records_dead);
    fg_json_object_end(w);
    fg_json_key(w, "in_flight");
    fg_json_object(w);
    fg_json_kv_int(w, "records", (int64_t)s.in_flight_records);
    fg_json_kv_int(w, "bytes", (int64_t)s.in_flight_bytes);
    fg_json_kv_int(w, "batches", (int64_t)s.batches);
    fg_json_object_end(w);
    fg_json_kv_int(w, "commits", (int64_t)s.commits);
    fg_json_kv_int(w, "aborts", (int64_t)s.aborts);
    fg_json_kv_int(w, "handles_recreated", (int64_t)s.handles_recreated);
    fg_json_kv_int(w, "partitions", (int64_t)s.partitions);
    write_time(w, "last_commit_at", s.last_commit_ms);
    write_nodes(w, pp);
    write_topics(w, pp);
    fg_json_object_end(w);
}

static int write_pipelines(struct fg_json_writer *w, const struct fg_process *p, const char *name, struct fg_error *err)
{
    if (name) {
        const struct fg_process_pipeline *pp = fg_process_pipeline_find(p, name);
        if (pp) {
            write_pipeline(w, pp);
            return 0;
        }
        return fg_raise(fg_error_set(err, FG_E_NOT_FOUND, 0, "there is no pipeline \"%s\" in this process", name));
    }
    fg_json_object(w);
    fg_json_key(w, "pipelines");
    fg_json_array(w);
    for (size_t i = 0; i < p->n_pipelines; i++)
        write_pipeline(w, p->pipelines[i]);
    fg_json_array_end(w);
    fg_json_object_end(w);
    return 0;
}

static void write_ready(struct fg_json_writer *w, const struct fg_process *p)
{
    fg_json_object(w);
    fg_json_kv_bool(w, "ready", fg_process_is_ready(p));
    fg_json_kv_bool(w, "stopping", p->stopping);
    fg_json_key(w, "pipelines");
    fg_json_array(w);
    for (size_t i = 0; i < p->n_pipelines; i++) {
        struct fg_pipeline_status s;
        pipeline_status(p->pipelines[i], &s);
        fg_json_object(w);
        fg_json_kv_cstr(w, "name", p->pipelines[i]->c->name);
        fg_json_kv_bool(w, "ready", s.ready);
        fg_json_kv_cstr(w, "state", fg_pipeline_state_name(s.state));
        write_trouble(w, &s);
        fg_json_object_end(w);
    }
    fg_json_array_end(w);
    fg_json_object_end(w);
}

int fg_process_report(struct fg_process *p, enum fg_report what, const char *name, fg_write_cb write, void *arg,
                      struct fg_error *err)
{
    struct fg_buf buf = FG_BUF_INIT(REPORT_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    int r = 0;

    if (!p->env)
        return fg_raise(fg_error_set(err, FG_E_UNAVAILABLE, 0, "the process has not begun, or has ended"));
    if (what == FG_REPORT_METRICS) {
        fg_process_metrics(p);
        fg_metrics_write(p->metrics, write, arg);
        return 0;
    }
    if (what == FG_REPORT_STATUS)
        write_status(&w, p);
    else if (what == FG_REPORT_PIPELINES)
        r = write_pipelines(&w, p, name, err);
    else if (what == FG_REPORT_READY)
        write_ready(&w, p);
    else if (what == FG_REPORT_CONFIG)
        fg_conf_tree_write(&w, p->config->tree);
    else if (what == FG_REPORT_RELOADS)
        r = fg_reload_write(p->reload, name, &w, err);
    else if (what == FG_REPORT_OPENAPI && p->server)
        fg_openapi_write(&w, p->server);
    if (r == 0 && (buf.failed || buf.len == 0))
        r = fg_raise(fg_error_set(err, FG_E_LIMIT, 0, "the report is larger than %u bytes, or there is none",
                                  REPORT_MAX));
    if (r == 0) {
        fg_log_redact(p->log, buf.data);
        write(arg, (struct fg_slice){ buf.data, strlen(buf.data) });
    }
    fg_buf_deinit(&buf);
    return fg_pass(r);
}
