/* SPDX-License-Identifier: Apache-2.0 */
/* A pipeline of the process: the flow, the lineup of its nodes, and what both were made of. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/process-private.h"
#include "host/reload.h"

#define EVENT_MAX 2048u
#define TEXTS     4u /* name, cursors topic, group, dead letters' topic: the texts that every pipeline has */

static void tell(struct fg_process_pipeline *pp, const struct fg_pipeline_status *s)
{
    struct fg_buf buf = FG_BUF_INIT(EVENT_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);

    fg_json_object(&w);
    fg_json_kv_cstr(&w, "name", pp->c->name);
    fg_json_kv_cstr(&w, "state", fg_pipeline_state_name(s->state));
    if (s->trouble.code != FG_E_NONE) {
        fg_json_kv_cstr(&w, "node", s->trouble_node ? s->trouble_node : "");
        fg_json_kv_cstr(&w, "trouble", s->trouble.text);
    }
    fg_json_object_end(&w);
    if (!buf.failed)
        fg_log_redact(pp->process->log, buf.data);
    if (!buf.failed)
        fg_events_tell(pp->process, "pipeline", fg_slice_of(buf.data));
    fg_buf_deinit(&buf);
}

/* Says each change of state or trouble once, in words. */
static void changed(void *arg, struct fg_pipeline *flow)
{
    struct fg_process_pipeline *pp = arg;
    struct fg_logger logger = { .log = pp->process->log, .pipeline = pp->c->name };
    struct fg_pipeline_status s;

    fg_pipeline_status(flow, &s);
    if (pp->process->reload)
        fg_reload_pipeline_changed(pp->process->reload, pp, &s);
    if (s.state == pp->state_seen && s.trouble.code == pp->trouble_seen)
        return;
    if (s.trouble.code != FG_E_NONE)
        fg_logf(&logger, s.state == FG_PIPELINE_FAILED ? FG_LOG_ERROR : FG_LOG_WARN, "%s: %s: %s",
                fg_pipeline_state_name(s.state), s.trouble_node ? s.trouble_node : "", s.trouble.text);
    else if (s.state != pp->state_seen)
        fg_logf(&logger, FG_LOG_INFO, "%s", fg_pipeline_state_name(s.state));
    pp->state_seen = s.state;
    pp->trouble_seen = s.trouble.code;
    if (fg_events_wanted(pp->process))
        tell(pp, &s);
}

static const char *keep(struct fg_process_pipeline *pp, const char *text)
{
    if (!text)
        return NULL;
    return pp->texts[pp->n_texts++] = fg_strdup(text);
}

static void keep_outputs(struct fg_process_pipeline *pp)
{
    const struct fg_pairs *from = &pp->c->o.output;

    pp->outputs = fg_calloc(from->len ? from->len : 1, sizeof(*pp->outputs));
    for (size_t i = 0; i < from->len; i++) {
        const struct fg_pair *pair = &from->items[i];
        pp->outputs[i].name = strcmp(pair->key, "topic") == 0 ? "" : keep(pp, pair->key);
        pp->outputs[i].topic = keep(pp, pair->value);
    }
}

static size_t keep_inputs(struct fg_process_pipeline *pp)
{
    const struct fg_config_input *in = pp->c->o.input;
    const char *const *topics;
    size_t n;

    if (!in)
        return 0;
    topics = in->topic ? &in->topic : in->topics.items;
    n = in->topic ? 1 : in->topics.len;
    pp->topics = fg_calloc(n ? n : 1, sizeof(char *));
    for (size_t i = 0; i < n; i++)
        pp->topics[i] = keep(pp, topics[i]);
    return n;
}

static const char *keep_group(struct fg_process_pipeline *pp)
{
    const char *given = pp->c->o.input ? pp->c->o.input->group : pp->c->o.group;
    char group[256];

    (void)snprintf(group, sizeof(group), "%s%s", given ? given : "fragua-", given ? "" : pp->c->name);
    return keep(pp, group);
}

static int make_flow(struct fg_process_pipeline *pp, struct fg_error *err)
{
    struct fg_process *p = pp->process;
    const struct fg_config_pipeline *c = pp->c;
    struct fg_pipeline_stages stages;
    struct fg_pipeline_config f = {
        .name = keep(pp, c->name),
        .env = p->env,
        .bus = pp->kafka->bus,
        .budget = &p->budget,
        .metrics = p->metrics,
        .delivery = c->o.delivery == 1 ? FG_AT_LEAST_ONCE : FG_EXACTLY_ONCE,
        .consumer_queue_bytes = c->source.file ? CURSORS_QUEUE_BYTES : p->consumer_queue_bytes,
        .producer_queue_bytes = p->producer_queue_bytes,
        .instance = p->instance,
        .cursors_topic = keep(pp, pp->config->kafka.cursors_topic),
        .group = keep_group(pp),
        .outputs = pp->outputs,
        .n_outputs = c->o.output.len,
        .n_topics = keep_inputs(pp),
        .start_at_end = c->o.input && c->o.input->from == 1,
        .dead_topic = keep(pp, c->o.dead ? c->o.dead->topic : NULL),
        .changed = changed,
        .arg = pp,
    };

    f.topics = pp->topics;
    f.logger = (struct fg_logger){ .log = p->log, .pipeline = f.name };
    fg_lineup_stages(pp->lineup, c, (uint32_t)pp->config->limits.stop, &stages);
    f.source = stages.source;
    f.transforms = stages.transforms;
    f.n_transforms = stages.n_transforms;
    f.sink = stages.sink;
    f.attempts = stages.attempts;
    f.commit_records = stages.commit_records;
    f.commit_bytes = stages.commit_bytes;
    f.commit_interval_ms = stages.commit_interval_ms;
    f.stop_ms = stages.stop_ms;
    return fg_pass(fg_pipeline_new(&f, &pp->flow, err));
}

int fg_process_pipeline_new(struct fg_process *process, struct fg_config *config, struct fg_config_pipeline *c,
                            struct fg_kafka *kafka, struct fg_lineup *lineup, struct fg_process_pipeline **ret,
                            struct fg_error *err)
{
    struct fg_process_pipeline *pp = fg_calloc(1, sizeof(*pp));
    size_t n_inputs = c->o.input && !c->o.input->topic ? c->o.input->topics.len : 1;

    *pp = (struct fg_process_pipeline){
        .process = process,
        .config = fg_config_ref(config),
        .c = c,
        .kafka = fg_kafka_ref(kafka),
        .lineup = lineup,
        .metrics = fg_metric_scope_new(process->metrics),
        .texts = fg_calloc(2 * c->o.output.len + n_inputs + TEXTS, sizeof(char *)),
    };
    keep_outputs(pp);
    if (kafka && make_flow(pp, err) < 0) {
        fg_process_pipeline_free(pp);
        return fg_pass(-1);
    }
    *ret = pp;
    return 0;
}

static void lineup_released(void *arg)
{
    fg_lineup_free(arg);
}

void fg_process_pipeline_rebase(struct fg_process_pipeline *pp, struct fg_config *config, struct fg_config_pipeline *c)
{
    struct fg_config *before = pp->config;

    pp->config = fg_config_ref(config);
    pp->c = c;
    fg_lineup_rebase(pp->lineup, config, c);
    fg_config_unref(before);
}

void fg_process_pipeline_swap(struct fg_process_pipeline *pp, struct fg_config *config, struct fg_config_pipeline *c,
                              struct fg_lineup *lineup)
{
    struct fg_lineup *old = pp->lineup;
    struct fg_pipeline_stages stages;

    pp->lineup = lineup;
    fg_process_pipeline_rebase(pp, config, c);
    fg_lineup_stages(lineup, c, (uint32_t)config->limits.stop, &stages);
    fg_lineup_bind(old, NULL);
    fg_lineup_bind(lineup, pp->flow);
    fg_pipeline_swap(pp->flow, &stages, lineup_released, old);
}

void fg_process_pipeline_start(struct fg_process_pipeline *pp)
{
    fg_process_pipeline_rebase(pp, pp->config, pp->c); /* nodes taken over from the one before */
    fg_lineup_bind(pp->lineup, pp->flow);
    if (pp->is_paused)
        fg_pipeline_pause(pp->flow);
    if (!pp->is_stopped)
        fg_pipeline_start(pp->flow);
}

struct ending {
    struct fg_process_pipeline *pp;
    fg_done_cb done;
    void *arg;
};

static void ended(void *arg)
{
    struct ending *e = arg;
    struct fg_process_pipeline *pp = e->pp;
    fg_done_cb done = e->done;
    void *done_arg = e->arg;

    free(e);
    fg_lineup_bind(pp->lineup, NULL);
    pp->flow = fg_pipeline_free(pp->flow);
    pp->lineup = fg_lineup_free(pp->lineup);
    done(done_arg);
}

void fg_process_pipeline_end(struct fg_process_pipeline *pp, bool now, fg_done_cb done, void *arg)
{
    struct ending *e;

    pp->ending = true;
    if (!pp->flow) {
        pp->lineup = fg_lineup_free(pp->lineup);
        done(arg);
        return;
    }
    e = fg_calloc(1, sizeof(*e));
    *e = (struct ending){ pp, done, arg };
    fg_pipeline_stop(pp->flow, now, ended, e);
}

struct fg_process_pipeline *fg_process_pipeline_free(struct fg_process_pipeline *pp)
{
    if (!pp)
        return NULL;
    if (pp->lineup)
        fg_lineup_bind(pp->lineup, NULL);
    pp->flow = fg_pipeline_free(pp->flow);
    fg_lineup_free(pp->lineup);
    fg_kafka_unref(pp->kafka);
    fg_config_unref(pp->config);
    for (size_t i = 0; i < pp->n_texts; i++)
        free(pp->texts[i]);
    free(pp->texts);
    free(pp->topics);
    free(pp->outputs);
    fg_metric_scope_free(pp->metrics);
    free(pp);
    return NULL;
}

struct fg_process_pipeline *fg_process_pipeline_find(const struct fg_process *process, const char *name)
{
    for (size_t i = 0; i < process->n_pipelines; i++)
        if (strcmp(process->pipelines[i]->c->name, name) == 0)
            return process->pipelines[i];
    return NULL;
}
