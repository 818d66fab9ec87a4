/* SPDX-License-Identifier: Apache-2.0 */
/* A running fragua: made from a pipeline file in one order, taken down in the other. */
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "host/process-private.h"
#include "host/reload.h"

#define HTTP_CLOSE_MS 2000u /* answers that have begun may take so long when the process stops */

bool fg_process_runs(const struct fg_process *p, const struct fg_config_pipeline *c)
{
    return p->role == FG_ROLE_BOTH || p->role == c->role;
}

const char *fg_process_name(struct fg_process *p, const char *name)
{
    for (size_t i = 0; i < p->n_names; i++)
        if (strcmp(p->names[i], name) == 0)
            return p->names[i];
    p->names = fg_reallocarray(p->names, p->n_names + 1, sizeof(char *));
    return p->names[p->n_names++] = fg_strdup(name);
}

static int open_controls(struct fg_process *p, struct fg_error *err)
{
    p->controls = fg_calloc(p->config->n_controls + 1, sizeof(struct fg_node *));
    for (size_t i = 0; i < p->config->n_controls; i++) {
        if (fg_node_new(p, p->config, &p->config->controls[i], NULL, 1, &p->controls[i], err) < 0)
            return fg_pass(-1);
        p->n_controls++;
    }
    return 0;
}

static int open_pipeline(struct fg_process *p, struct fg_config_pipeline *c, struct fg_error *err)
{
    struct fg_lineup *lineup;

    if (fg_lineup_new(p, p->config, c, NULL, NULL, p->env->n_workers, &lineup, err) < 0 ||
        fg_process_pipeline_new(p, p->config, c, p->kafka, lineup, &p->pipelines[p->n_pipelines], err) < 0)
        return fg_pass(-1);
    p->n_pipelines++;
    return 0;
}

static int open_pipelines(struct fg_process *p, struct fg_error *err)
{
    p->pipelines = fg_calloc(p->config->n_pipelines + 1, sizeof(struct fg_process_pipeline *));
    for (size_t i = 0; i < p->config->n_pipelines; i++)
        if (fg_process_runs(p, &p->config->pipelines[i]) && open_pipeline(p, &p->config->pipelines[i], err) < 0)
            return fg_pass(-1);
    return 0;
}

static int mount_controls(struct fg_process *p, struct fg_error *err)
{
    for (size_t i = 0; p->server && i < p->n_controls; i++)
        if (fg_process_mount(p->server, p->controls[i], &p->controls[i]->mount, err) < 0)
            return fg_pass(-1);
    return 0;
}

static int start_nodes(struct fg_process *p, struct fg_error *err)
{
    for (size_t i = 0; i < p->n_controls; i++)
        if (fg_node_start(p->controls[i], err) < 0)
            return fg_pass(-1);
    for (size_t i = 0; i < p->n_pipelines; i++) {
        fg_assert(p->pipelines[i]);
        if (fg_lineup_start(p->pipelines[i]->lineup, err) < 0)
            return fg_pass(-1);
    }
    return 0;
}

static int open_shared(struct fg_process *p, struct fg_error *err)
{
    struct fg_http_client_config client = { .loop = p->loop, .budget = &p->budget };
    int r;

    client.metrics = p->metrics = fg_metrics_new();
    fg_budget_init(&p->budget, (size_t)p->config->limits.memory - fg_process_kafka_bytes(p, p->config));
    fg_stall_start(&p->stall, p->loop, p->metrics);
    r = fg_env_uv_new(p->loop, &fg_clock_system, (unsigned)p->config->limits.workers, &p->env, err);
    if (r == 0)
        r = fg_http_client_new(&client, &p->client, err);
    if (r == 0)
        r = fg_kafka_new(p, p->config, &p->kafka, err);
    return fg_pass(r);
}

static int open_all(struct fg_process *p, struct fg_error *err)
{
    if (open_shared(p, err) < 0 || open_controls(p, err) < 0 || open_pipelines(p, err) < 0)
        return fg_pass(-1);
    if (p->n_pipelines == 0 && p->n_controls == 0)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "the file has no pipeline of this role"));
    if (fg_process_open_server(p, p->config, &p->server, err) < 0 || mount_controls(p, err) < 0)
        return fg_pass(-1);
    return start_nodes(p, err);
}

static char *host_name(void)
{
    char name[65] = "";

    if (gethostname(name, sizeof(name) - 1) != 0 || !name[0])
        (void)snprintf(name, sizeof(name), "localhost");
    return fg_strdup(name);
}

static struct fg_process *process_new(const struct fg_process_config *config)
{
    struct fg_process *p = fg_calloc(1, sizeof(*p));

    p->loop = config->loop;
    p->log = config->log;
    p->logger = (struct fg_logger){ .log = config->log };
    p->config = fg_config_ref(config->config);
    p->generation = 1;
    p->role = config->role;
    p->instance = config->instance ? fg_strdup(config->instance) : host_name();
    p->started_ms = fg_clock_wall_ms(&fg_clock_system);
    p->started_mono_ms = fg_clock_mono_ns(&fg_clock_system) / 1000000u;
    p->awaited = -1;
    fg_list_init(&p->follows);
    fg_list_init(&p->events);
    return p;
}

int fg_process_start(const struct fg_process_config *config, struct fg_process **ret, struct fg_error *err)
{
    struct fg_process *p = process_new(config);

    *ret = p;
    if (open_all(p, err) < 0)
        return fg_pass(-1);
    if (config->origin)
        p->reload = fg_reload_new(p, config->origin);
    for (size_t i = 0; i < p->n_pipelines; i++)
        fg_process_pipeline_start(p->pipelines[i]);
    return 0;
}

/* The transforms of pipelines with a source, begun: nothing else of a pipeline is opened. */
static int open_transforms(struct fg_process *p, struct fg_error *err)
{
    p->pipelines = fg_calloc(p->config->n_pipelines + 1, sizeof(struct fg_process_pipeline *));
    for (size_t i = 0; i < p->config->n_pipelines; i++) {
        struct fg_config_pipeline *c = &p->config->pipelines[i];
        struct fg_lineup *lineup;
        if (fg_lineup_of_transforms(p, p->config, c, c->source.file != NULL, p->env->n_workers, &lineup, err) < 0 ||
            fg_process_pipeline_new(p, p->config, c, NULL, lineup, &p->pipelines[i], err) < 0)
            return fg_pass(-1);
        p->n_pipelines++;
    }
    return start_nodes(p, err);
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
    return p->kafka ? p->kafka->bus : NULL;
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
    const struct fg_process_pipeline *pp = p->pipelines[k];
    const struct fg_config_pipeline *c = pp->c;

    *ret = (struct fg_replay_route){
        .pipeline = c->name,
        .source = c->source.file != NULL,
        .sink = c->sink.file != NULL,
        .transforms = pp->lineup->stages,
        .n_transforms = pp->lineup->n,
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
        struct fg_pipeline_status s = { .state = FG_PIPELINE_STOPPED };
        if (p->pipelines[i]->flow)
            fg_pipeline_status(p->pipelines[i]->flow, &s);
        if (!s.ready && s.state != FG_PIPELINE_STOPPED)
            return false;
    }
    return true;
}

static void action_done(void *arg)
{
    (void)arg;
}

/* What an operator wants outlives a reload: the flow may be made anew by it. */
int fg_process_pipeline_action(struct fg_process *p, const char *name, enum fg_pipeline_action action,
                               struct fg_error *err)
{
    struct fg_process_pipeline *pp = fg_process_pipeline_find(p, name);

    if (!pp || !pp->flow)
        return fg_raise(fg_error_set(err, FG_E_NOT_FOUND, 0, "there is no pipeline \"%s\" in this process", name));
    if (p->stopping || pp->ending)
        return fg_raise(fg_error_set(err, FG_E_UNAVAILABLE, 0, p->stopping ? "the process is stopping"
                                                                           : "a reload opens it anew: ask again"));
    switch (action) {
    case FG_PIPELINE_START:
        pp->is_stopped = false;
        fg_pipeline_start(pp->flow);
        break;
    case FG_PIPELINE_STOP:
        pp->is_stopped = true;
        fg_pipeline_stop(pp->flow, false, action_done, NULL);
        break;
    case FG_PIPELINE_PAUSE:
        pp->is_paused = true;
        fg_pipeline_pause(pp->flow);
        break;
    case FG_PIPELINE_RESUME:
        pp->is_paused = false;
        fg_pipeline_resume(pp->flow);
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

static void await(struct fg_process *p, enum fg_part part)
{
    if (p->parts[part] == 0)
        return;
    p->waiting++;
    p->awaited = (int)part;
}

void fg_process_part_gone(struct fg_process *p, enum fg_part part)
{
    fg_assert(p->parts[part] > 0);
    if (--p->parts[part] > 0 || p->awaited != (int)part)
        return;
    p->awaited = -1;
    step_done(p);
}

/* A reload under way sees that the process stops, and what it has begun comes to its end beside the pipelines. */
static void stop_pipelines(struct fg_process *p)
{
    if (p->reload) {
        p->waiting++;
        fg_reload_stop(p->reload, step_done, p);
    }
    for (size_t i = 0; i < p->n_pipelines; i++) {
        if (p->pipelines[i]->ending)
            continue; /* the reload waits for it */
        p->waiting++;
        fg_process_pipeline_end(p->pipelines[i], p->stop_now, step_done, p);
    }
}

/* All routes go before the first instance stops: none is asked for anything while it does. */
static void stop_controls(struct fg_process *p)
{
    for (size_t i = 0; i < p->n_controls; i++) {
        fg_http_server_unmount(p->controls[i]->mount);
        p->controls[i]->mount = NULL;
    }
    for (size_t i = 0; i < p->n_controls; i++)
        fg_node_unref(p->controls[i]);
    p->n_controls = 0;
}

static void await_nodes(struct fg_process *p)
{
    await(p, FG_PART_NODE);
}

static void stop_follows(struct fg_process *p)
{
    fg_follow_stop_all(p);
    await(p, FG_PART_FOLLOW);
}

static void close_server(struct fg_process *p)
{
    fg_process_close_server(p, p->server, p->stop_now ? 0 : HTTP_CLOSE_MS);
    p->server = NULL;
    await(p, FG_PART_SERVER);
}

static void close_client(struct fg_process *p)
{
    p->waiting++;
    fg_http_client_close(p->client, step_done, p);
    p->client = NULL;
}

static void close_kafka(struct fg_process *p)
{
    for (size_t i = 0; i < p->n_pipelines; i++)
        p->pipelines[i] = fg_process_pipeline_free(p->pipelines[i]);
    p->n_pipelines = 0;
    p->kafka = fg_kafka_unref(p->kafka);
    await(p, FG_PART_KAFKA);
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

static void (*const stop_steps[])(struct fg_process *p) = {
    stop_pipelines, stop_controls, close_server, await_nodes, stop_follows,
    close_client,   close_kafka,   close_env,    close_stall,
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
                if (p->pipelines[i]->flow)
                    fg_pipeline_stop(p->pipelines[i]->flow, true, action_done, NULL);
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
    fg_reload_free(p->reload);
    for (size_t i = 0; i < p->n_names; i++)
        free(p->names[i]);
    free(p->names);
    free(p->pipelines);
    free(p->controls);
    fg_config_unref(p->config);
    fg_metrics_free(p->metrics);
    free(p->instance);
    free(p);
    return NULL;
}
