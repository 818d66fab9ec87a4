/* SPDX-License-Identifier: Apache-2.0 */
/* A running fragua: made from a pipeline file in one order, taken down in the other. */
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/process-private.h"

#define HTTP_CLOSE_MS 2000u /* answers that have begun may take so long when the process stops */

static bool role_matches(enum fg_role asked, enum fg_role has)
{
    return asked == FG_ROLE_BOTH || asked == has;
}

static size_t count_instances(const struct fg_process *p)
{
    size_t n = p->config->n_controls;

    for (size_t i = 0; i < p->config->n_pipelines; i++) {
        const struct fg_config_pipeline *c = &p->config->pipelines[i];
        if (role_matches(p->config_role, c->role))
            n += (c->source.file ? 1 : 0) + c->n_transforms * p->env->n_workers + (c->sink.file ? 1 : 0);
    }
    return n;
}

/* Opens one stage: an instance for each worker of a transform, one of anything else. */
static int open_stage(struct fg_process_pipeline *pp, const struct fg_config_node *node, void ***selves,
                      struct fg_error *err)
{
    struct fg_process *p = pp->process;
    unsigned n = node->file->plugin.kind == FG_KIND_TRANSFORM ? p->env->n_workers : 1;
    struct fg_stage *stage = &pp->stages[pp->n_stages];

    *stage = (struct fg_stage){ node->node, node->file->plugin.name, &node->file->plugin, *selves };
    for (unsigned i = 0; i < n; i++) {
        struct fg_instance *instance = &p->instances[p->n_instances++];
        if (fg_instance_open(instance, p, node, pp->config->name, err) < 0)
            return fg_pass(-1);
        *(*selves)++ = instance->self;
    }
    pp->n_stages++;
    return 0;
}

static int open_stages(struct fg_process_pipeline *pp, struct fg_error *err)
{
    const struct fg_config_pipeline *c = pp->config;
    void **selves;
    int r = 0;

    pp->stages = fg_calloc(c->n_transforms + 2, sizeof(*pp->stages));
    pp->selves = fg_calloc(c->n_transforms * pp->process->env->n_workers + 2, sizeof(*pp->selves));
    selves = pp->selves;
    if (c->source.file)
        r = open_stage(pp, &c->source, &selves, err);
    for (size_t i = 0; r == 0 && i < c->n_transforms; i++)
        r = open_stage(pp, &c->transforms[i], &selves, err);
    if (r == 0 && c->sink.file)
        r = open_stage(pp, &c->sink, &selves, err);
    return fg_pass(r);
}

/* Says each change of state or trouble once, in words. */
static void pipeline_changed(void *arg, struct fg_pipeline *flow)
{
    struct fg_process_pipeline *pp = arg;
    struct fg_logger logger = { .log = pp->process->log, .pipeline = pp->config->name };
    struct fg_pipeline_status s;

    fg_pipeline_status(flow, &s);
    if (s.state == pp->state_seen && s.trouble.code == pp->trouble_seen)
        return;
    if (s.trouble.code != FG_E_NONE)
        fg_logf(&logger, s.state == FG_PIPELINE_FAILED ? FG_LOG_ERROR : FG_LOG_WARN, "%s: %s: %s",
                fg_pipeline_state_name(s.state), s.trouble_node ? s.trouble_node : "", s.trouble.text);
    else if (s.state != pp->state_seen)
        fg_logf(&logger, FG_LOG_INFO, "%s", fg_pipeline_state_name(s.state));
    pp->state_seen = s.state;
    pp->trouble_seen = s.trouble.code;
}

static struct fg_output *outputs_of(const struct fg_config_pipeline *c)
{
    struct fg_output *outputs = fg_calloc(c->o.output.len ? c->o.output.len : 1, sizeof(*outputs));

    for (size_t i = 0; i < c->o.output.len; i++) {
        const struct fg_pair *pair = &c->o.output.items[i];
        outputs[i] = (struct fg_output){ strcmp(pair->key, "topic") == 0 ? "" : pair->key, pair->value };
    }
    return outputs;
}

/* The stages' places in pp->stages follow their order in open_stages(). */
static void flow_stages(struct fg_process_pipeline *pp, struct fg_pipeline_config *f)
{
    const struct fg_config_pipeline *c = pp->config;
    size_t at = 0;

    if (c->source.file)
        f->source = &pp->stages[at++];
    f->transforms = &pp->stages[at];
    f->n_transforms = c->n_transforms;
    at += c->n_transforms;
    if (c->sink.file)
        f->sink = &pp->stages[at];
}

static void group_of(const struct fg_config_pipeline *c, char *ret, size_t size)
{
    const char *given = c->o.input ? c->o.input->group : c->o.group;

    (void)snprintf(ret, size, "%s%s", given ? given : "fragua-", given ? "" : c->name);
}

static int make_flow(struct fg_process_pipeline *pp, struct fg_error *err)
{
    struct fg_process *p = pp->process;
    const struct fg_config_pipeline *c = pp->config;
    struct fg_pipeline_config f = {
        .name = c->name,
        .env = p->env,
        .bus = p->bus,
        .budget = &p->budget,
        .metrics = p->metrics,
        .logger = { .log = p->log, .pipeline = c->name },
        .delivery = c->o.delivery == 1 ? FG_AT_LEAST_ONCE : FG_EXACTLY_ONCE,
        .commit_records = (size_t)c->o.commit->records,
        .commit_bytes = (size_t)c->o.commit->bytes,
        .commit_interval_ms = (uint32_t)c->o.commit->interval,
        .stop_ms = (uint32_t)p->config->limits.stop,
        .consumer_queue_bytes = c->source.file ? CURSORS_QUEUE_BYTES : p->consumer_queue_bytes,
        .producer_queue_bytes = p->producer_queue_bytes,
        .instance = p->instance,
        .cursors_topic = p->config->kafka.cursors_topic,
        .group = pp->group,
        .outputs = pp->outputs,
        .n_outputs = c->o.output.len,
        .dead_topic = c->o.dead ? c->o.dead->topic : NULL,
        .attempts = c->o.dead ? (unsigned)c->o.dead->attempts : 5,
        .changed = pipeline_changed,
        .arg = pp,
    };

    if (c->o.input) {
        f.topics = c->o.input->topic ? &c->o.input->topic : c->o.input->topics.items;
        f.n_topics = c->o.input->topic ? 1 : c->o.input->topics.len;
        f.start_at_end = c->o.input->from == 1;
    }
    flow_stages(pp, &f);
    return fg_pass(fg_pipeline_new(&f, &pp->flow, err));
}

static int open_controls(struct fg_process *p, struct fg_error *err)
{
    for (size_t i = 0; i < p->config->n_controls; i++)
        if (fg_instance_open(&p->instances[p->n_instances++], p, &p->config->controls[i], NULL, err) < 0)
            return fg_pass(-1);
    return 0;
}

static int open_pipelines(struct fg_process *p, struct fg_error *err)
{
    p->pipelines = fg_calloc(p->config->n_pipelines ? p->config->n_pipelines : 1, sizeof(*p->pipelines));
    for (size_t i = 0; i < p->config->n_pipelines; i++) {
        const struct fg_config_pipeline *c = &p->config->pipelines[i];
        struct fg_process_pipeline *pp = &p->pipelines[p->n_pipelines];
        size_t first = p->n_instances;

        if (!role_matches(p->config_role, c->role))
            continue;
        *pp = (struct fg_process_pipeline){ .process = p, .config = c };
        p->n_pipelines++;
        group_of(c, pp->group, sizeof(pp->group));
        pp->outputs = outputs_of(c);
        if (open_stages(pp, err) < 0 || make_flow(pp, err) < 0)
            return fg_pass(-1);
        for (size_t k = first; k < p->n_instances; k++)
            p->instances[k].flow = pp->flow;
    }
    return 0;
}

static enum fg_scope scope_of(const struct fg_config_token *t)
{
    for (size_t i = 0; i < t->scopes.len; i++)
        if (strcmp(t->scopes.items[i], "control") == 0)
            return FG_SCOPE_CONTROL;
    return FG_SCOPE_READ;
}

static int open_server(struct fg_process *p, struct fg_error *err)
{
    const struct fg_config_http *h = &p->config->http;
    const struct fg_config_token *from = h->tokens.items;
    struct fg_http_token *tokens;
    struct fg_http_server_config config = {
        .loop = p->loop,
        .listen = h->listen,
        .metrics = p->metrics,
        .budget = &p->budget,
        .logger = { .log = p->log, .node = "http" },
        .n_tokens = h->tokens.len,
        .auth_required = h->tokens.len > 0 || (h->tls && h->tls->client_ca),
    };
    int r;

    if (!h->listen)
        return 0;
    tokens = fg_calloc(h->tokens.len ? h->tokens.len : 1, sizeof(*tokens));
    for (size_t i = 0; i < h->tokens.len; i++) {
        tokens[i].name = from[i].name;
        tokens[i].scope = scope_of(&from[i]);
        for (size_t k = 0; k < sizeof(tokens[i].sha256); k++) {
            const char *hex = &from[i].sha256[2 * k];
            tokens[i].sha256[k] = (uint8_t)(fg_hex_digit(hex[0]) * 16 + fg_hex_digit(hex[1]));
        }
    }
    config.tokens = tokens;
    if (h->tls) {
        config.tls_certificate = h->tls->certificate;
        config.tls_key = h->tls->key;
        config.tls_client_ca = h->tls->client_ca;
    }
    r = fg_http_server_new(&config, &p->server, err);
    free(tokens);
    return fg_pass(r);
}

static int mount_controls(struct fg_process *p, struct fg_error *err)
{
    for (size_t i = 0; p->server && i < p->config->n_controls; i++) {
        struct fg_instance *c = &p->instances[i];
        const struct fg_control_ops *ops = c->ops->control;
        if (fg_http_server_mount(p->server, ops->routes, ops->n_routes, c->self, &c->mount, err) < 0)
            return fg_pass(-1);
    }
    return 0;
}

static int start_instances(struct fg_process *p, struct fg_error *err)
{
    for (size_t i = 0; i < p->n_instances; i++)
        if (fg_instance_start(&p->instances[i], err) < 0)
            return fg_pass(-1);
    return 0;
}

static int open_shared(struct fg_process *p, struct fg_error *err)
{
    struct fg_http_client_config client = { .loop = p->loop, .budget = &p->budget };
    int r;

    client.metrics = p->metrics = fg_metrics_new();
    fg_budget_init(&p->budget, (size_t)p->config->limits.memory - fg_process_kafka_bytes(p));
    fg_stall_start(&p->stall, p->loop, p->metrics);
    r = fg_env_uv_new(p->loop, &fg_clock_system, (unsigned)p->config->limits.workers, &p->env, err);
    if (r == 0)
        r = fg_http_client_new(&client, &p->client, err);
    if (r == 0)
        r = fg_process_open_bus(p, err);
    return fg_pass(r);
}

static int open_all(struct fg_process *p, struct fg_error *err)
{
    if (open_shared(p, err) < 0)
        return fg_pass(-1);
    p->instances = fg_calloc(count_instances(p) + 1, sizeof(*p->instances));
    if (open_controls(p, err) < 0 || open_pipelines(p, err) < 0)
        return fg_pass(-1);
    if (p->n_pipelines == 0 && p->config->n_controls == 0)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "the file has no pipeline of this role"));
    if (open_server(p, err) < 0 || mount_controls(p, err) < 0)
        return fg_pass(-1);
    return start_instances(p, err);
}

static char *host_name(void)
{
    char name[65] = "";

    if (gethostname(name, sizeof(name) - 1) != 0 || !name[0])
        (void)snprintf(name, sizeof(name), "localhost");
    return strdup(name);
}

static struct fg_process *process_new(const struct fg_process_config *config)
{
    struct fg_process *p = fg_calloc(1, sizeof(*p));

    p->loop = config->loop;
    p->log = config->log;
    p->logger = (struct fg_logger){ .log = config->log };
    p->config = config->config;
    p->config_role = config->role;
    p->instance = config->instance ? strdup(config->instance) : host_name();
    p->started_ms = fg_clock_wall_ms(&fg_clock_system);
    p->started_mono_ms = fg_clock_mono_ns(&fg_clock_system) / 1000000u;
    fg_list_init(&p->follows);
    return p;
}

int fg_process_start(const struct fg_process_config *config, struct fg_process **ret, struct fg_error *err)
{
    struct fg_process *p = process_new(config);

    *ret = p;
    if (open_all(p, err) < 0)
        return fg_pass(-1);
    for (size_t i = 0; i < p->n_pipelines; i++)
        fg_pipeline_start(p->pipelines[i].flow);
    return 0;
}

/* The transforms of pipelines with a source, begun: nothing else of a pipeline is opened. */
static int open_transforms(struct fg_process *p, struct fg_error *err)
{
    p->instances = fg_calloc(count_instances(p) + 1, sizeof(*p->instances));
    p->pipelines = fg_calloc(p->config->n_pipelines ? p->config->n_pipelines : 1, sizeof(*p->pipelines));
    for (size_t i = 0; i < p->config->n_pipelines; i++) {
        const struct fg_config_pipeline *c = &p->config->pipelines[i];
        struct fg_process_pipeline *pp = &p->pipelines[p->n_pipelines++];
        void **selves;

        *pp = (struct fg_process_pipeline){ .process = p, .config = c, .outputs = outputs_of(c) };
        pp->stages = fg_calloc(c->n_transforms + 1, sizeof(*pp->stages));
        pp->selves = selves = fg_calloc(c->n_transforms * p->env->n_workers + 1, sizeof(*pp->selves));
        for (size_t k = 0; c->source.file && k < c->n_transforms; k++)
            if (open_stage(pp, &c->transforms[k], &selves, err) < 0)
                return fg_pass(-1);
    }
    return start_instances(p, err);
}

int fg_process_prepare(const struct fg_process_config *config, bool transforms, struct fg_process **ret,
                       struct fg_error *err)
{
    struct fg_process *p = process_new(config);

    *ret = p;
    if (open_shared(p, err) < 0 || (transforms && open_transforms(p, err) < 0))
        return fg_pass(-1);
    return 0;
}

struct fg_bus *fg_process_bus(const struct fg_process *p)
{
    return p->bus;
}

struct fg_env *fg_process_env(const struct fg_process *p)
{
    return p->env;
}

struct fg_budget *fg_process_budget(struct fg_process *p)
{
    return &p->budget;
}

void fg_process_route(const struct fg_process *p, size_t k, struct fg_replay_route *ret)
{
    const struct fg_process_pipeline *pp = &p->pipelines[k];
    const struct fg_config_pipeline *c = pp->config;

    *ret = (struct fg_replay_route){
        .pipeline = c->name,
        .source = c->source.file != NULL,
        .sink = c->sink.file != NULL,
        .transforms = pp->stages,
        .n_transforms = pp->n_stages,
        .outputs = pp->outputs,
        .n_outputs = c->o.output.len,
    };
    if (c->o.input) {
        ret->inputs = c->o.input->topic ? &c->o.input->topic : c->o.input->topics.items;
        ret->n_inputs = c->o.input->topic ? 1 : c->o.input->topics.len;
    }
}

const char *fg_process_http_address(const struct fg_process *p)
{
    return p->server ? fg_http_server_address(p->server) : NULL;
}

bool fg_process_is_ready(const struct fg_process *p)
{
    if (p->stopping)
        return false;
    for (size_t i = 0; i < p->n_pipelines; i++) {
        struct fg_pipeline_status s;
        fg_pipeline_status(p->pipelines[i].flow, &s);
        if (!s.ready && s.state != FG_PIPELINE_STOPPED)
            return false;
    }
    return true;
}

static void action_done(void *arg)
{
    (void)arg;
}

int fg_process_pipeline_action(struct fg_process *p, const char *name, enum fg_pipeline_action action,
                               struct fg_error *err)
{
    struct fg_pipeline *flow = NULL;

    for (size_t i = 0; i < p->n_pipelines; i++)
        if (strcmp(p->pipelines[i].config->name, name) == 0)
            flow = p->pipelines[i].flow;
    if (!flow)
        return fg_raise(fg_error_set(err, FG_E_NOT_FOUND, 0, "there is no pipeline \"%s\" in this process", name));
    if (p->stopping)
        return fg_raise(fg_error_set(err, FG_E_UNAVAILABLE, 0, "the process is stopping"));
    switch (action) {
    case FG_PIPELINE_START:
        fg_pipeline_start(flow);
        break;
    case FG_PIPELINE_STOP:
        fg_pipeline_stop(flow, false, action_done, NULL);
        break;
    case FG_PIPELINE_PAUSE:
        fg_pipeline_pause(flow);
        break;
    case FG_PIPELINE_RESUME:
        fg_pipeline_resume(flow);
        break;
    }
    return 0;
}

/*
 * Stopping: each step begins the end of some things and waits for all of them; then the next. Pipelines drain while the
 * API still answers.
 */
static void advance(struct fg_process *p);

static void step_done(void *arg)
{
    struct fg_process *p = arg;

    fg_assert(p->waiting > 0);
    if (--p->waiting == 0)
        advance(p);
}

static void stop_pipelines(struct fg_process *p)
{
    for (size_t i = 0; i < p->n_pipelines; i++) {
        if (!p->pipelines[i].flow)
            continue;
        p->waiting++;
        fg_pipeline_stop(p->pipelines[i].flow, p->stop_now, step_done, p);
    }
}

static void stop_instances(struct fg_process *p)
{
    for (size_t i = 0; i < p->n_instances; i++) {
        if (p->instances[i].mount)
            fg_http_server_unmount(p->instances[i].mount);
        p->instances[i].mount = NULL;
    }
    for (size_t i = 0; i < p->n_instances; i++) {
        p->waiting++;
        fg_instance_stop(&p->instances[i], step_done, p);
    }
}

static void close_instances(struct fg_process *p)
{
    for (size_t i = 0; i < p->n_instances; i++)
        fg_instance_close(&p->instances[i]);
    p->follows_awaited = true;
    p->waiting += p->follows_open;
    fg_follow_stop_all(p);
}

void fg_process_follow_gone(struct fg_process *p)
{
    p->follows_open--;
    if (p->follows_awaited)
        step_done(p);
}

static void close_server(struct fg_process *p)
{
    if (!p->server)
        return;
    p->waiting++;
    fg_http_server_close(p->server, p->stop_now ? 0 : HTTP_CLOSE_MS, step_done, p);
    p->server = NULL;
}

static void close_client(struct fg_process *p)
{
    p->waiting++;
    fg_http_client_close(p->client, step_done, p);
    p->client = NULL;
}

static void close_bus(struct fg_process *p)
{
    if (!p->bus)
        return;
    p->waiting++;
    p->bus->ops->close(p->bus, step_done, p);
    p->bus = NULL;
}

static void close_env(struct fg_process *p)
{
    if (!p->env)
        return;
    p->waiting++;
    fg_env_uv_close(p->env, step_done, p);
    p->env = NULL;
}

static void close_stall(struct fg_process *p)
{
    p->waiting++;
    fg_stall_close(&p->stall, step_done, p);
}

static void free_flows(struct fg_process *p)
{
    for (size_t i = 0; i < p->n_pipelines; i++)
        p->pipelines[i].flow = fg_pipeline_free(p->pipelines[i].flow);
}

static void (*const stop_steps[])(struct fg_process *p) = {
    stop_pipelines, stop_instances, free_flows, close_instances, close_server, close_client, close_bus, close_env,
    close_stall,
};

static void advance(struct fg_process *p)
{
    while (p->step < sizeof(stop_steps) / sizeof(stop_steps[0])) {
        p->waiting = 1; /* so that ends reported at once do not advance twice */
        stop_steps[p->step++](p);
        if (--p->waiting > 0)
            return;
    }
    p->stopped(p->stopped_arg);
}

void fg_process_stop(struct fg_process *p, bool now, fg_done_cb stopped, void *arg)
{
    if (p->stopping) {
        if (now && !p->stop_now) {
            p->stop_now = true;
            for (size_t i = 0; i < p->n_pipelines; i++)
                if (p->pipelines[i].flow)
                    fg_pipeline_stop(p->pipelines[i].flow, true, action_done, NULL);
        }
        return;
    }
    p->stopping = true;
    p->stop_now = now;
    p->stopped = stopped;
    p->stopped_arg = arg;
    advance(p);
}

struct fg_process *fg_process_free(struct fg_process *p)
{
    if (!p)
        return NULL;
    for (size_t i = 0; i < p->n_pipelines; i++) {
        free(p->pipelines[i].stages);
        free(p->pipelines[i].selves);
        free(p->pipelines[i].outputs);
    }
    free(p->pipelines);
    free(p->instances);
    fg_metrics_free(p->metrics);
    free(p->instance);
    free(p);
    return NULL;
}
