/* SPDX-License-Identifier: Apache-2.0 */
/* The swap: what is shared goes over at once, each changed pipeline at the end of a batch of its own. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "host/reload-private.h"

#define ANSWERS_MS 10000u /* requests that old control plugins and an old server have begun may take so long */

static void pipelines_done(struct fg_reload_run *run);

static void one_done(struct fg_reload_pipeline *rp)
{
    struct fg_reload_run *run = rp->run;

    fg_assert(!rp->is_done);
    rp->is_done = true;
    if (--run->open == 0)
        pipelines_done(run);
}

static double pause_of(const struct fg_reload_pipeline *rp)
{
    return (double)(uv_hrtime() - rp->began_ns) / 1e6;
}

/* The first thing that a reload cannot do although it was built: it is taken back when the pipelines are through. */
static void failed_late(struct fg_reload_run *run, const struct fg_error *err)
{
    if (!run->err.code)
        run->err = *err;
}

static void unref_node(void *arg)
{
    fg_node_unref(arg);
}

/* Its routes are free at once; who is being served is served to the end. */
static void retire_control(struct fg_node *node)
{
    struct fg_http_mount *mount = node->mount;

    node->mount = NULL;
    if (mount)
        fg_http_server_retire(mount, ANSWERS_MS, unref_node, fg_node_ref(node));
}

static bool is_kept(const struct fg_reload_run *run, const struct fg_node *node)
{
    for (size_t i = 0; i < run->next->n_controls; i++)
        if (run->controls[i] == node)
            return true;
    return false;
}

/* New instances begin after the process has the new configuration: they ask for its topics. */
static void begin_controls(struct fg_reload_run *run)
{
    struct fg_process *p = run->reload->process;
    struct fg_error err = FG_ERROR_NULL;

    for (size_t i = 0; i < p->n_controls; i++) {
        struct fg_node *node = p->controls[i];
        fg_node_rebase(node, run->next, &run->next->controls[i], NULL);
        if (run->mounts[i])
            node->mount = run->mounts[i];
        else if (p->server && !node->mount && fg_process_mount(p->server, node, &node->mount, &err) < 0)
            failed_late(run, &err);
        run->mounts[i] = NULL;
        if (fg_node_start(node, &err) < 0)
            failed_late(run, &err);
    }
}

static void swap_http(struct fg_reload_run *run)
{
    struct fg_process *p = run->reload->process;
    struct fg_node **old = p->controls;
    size_t n_old = p->n_controls;

    for (size_t i = 0; i < n_old; i++)
        if (run->diff.http_listen || !is_kept(run, old[i]))
            retire_control(old[i]);
    if (run->diff.http_listen) {
        fg_process_close_server(p, p->server, ANSWERS_MS);
        p->server = run->server;
        run->server = NULL;
    }
    if (run->change)
        fg_http_server_apply(p->server, run->change);
    run->change = NULL;
    p->controls = run->controls;
    p->n_controls = run->next->n_controls;
    run->controls = NULL;
    begin_controls(run);
    for (size_t i = 0; i < n_old; i++)
        fg_node_unref(old[i]);
    free(old);
}

static void swap_limits(struct fg_reload_run *run)
{
    struct fg_process *p = run->reload->process;

    fg_budget_set_limit(&p->budget, (size_t)run->next->limits.memory - fg_process_kafka_bytes(p, run->next));
    for (size_t i = 0; i < p->n_pipelines; i++)
        fg_pipeline_set_stop(p->pipelines[i]->flow, (uint32_t)run->next->limits.stop);
}

/* The pipelines in the new file's order; those that end stand behind them until they have ended. */
static void order_pipelines(struct fg_reload_run *run)
{
    struct fg_process *p = run->reload->process;
    size_t n = 0, n_old = p->n_pipelines;
    struct fg_process_pipeline **old = p->pipelines;

    p->pipelines = fg_calloc(n_old + run->diff.n_pipelines + 1, sizeof(struct fg_process_pipeline *));
    for (size_t i = 0; i < run->next->n_pipelines; i++)
        for (size_t k = 0; k < run->diff.n_pipelines; k++) {
            struct fg_reload_pipeline *rp = &run->pipelines[k];
            if (rp->d->new_index != i || rp->d->how == FG_PIPELINE_REMOVED)
                continue;
            if (rp->d->how == FG_PIPELINE_ADDED) {
                rp->live = rp->made;
                rp->made = NULL;
            }
            p->pipelines[n++] = rp->live;
        }
    for (size_t k = 0; k < run->diff.n_pipelines; k++)
        if (run->pipelines[k].d->how == FG_PIPELINE_REMOVED)
            p->pipelines[n++] = run->pipelines[k].live;
    p->n_pipelines = n;
    free(old);
}

/* @to: NULL: it is gone */
static void replace(struct fg_process *p, const struct fg_process_pipeline *from, struct fg_process_pipeline *to)
{
    size_t i = 0;

    while (i < p->n_pipelines && p->pipelines[i] != from)
        i++;
    fg_assert(i < p->n_pipelines);
    p->pipelines[i] = to;
    if (to)
        return;
    p->n_pipelines--;
    memmove(&p->pipelines[i], &p->pipelines[i + 1], (p->n_pipelines - i) * sizeof(p->pipelines[0]));
}

/* Its flow has ended: the one made for it begins, if any. */
static void ended(void *arg)
{
    struct fg_reload_pipeline *rp = arg;
    struct fg_process *p = rp->run->reload->process;
    struct fg_process_pipeline *made = rp->made;

    rp->made = NULL;
    if (p->stopping)
        made = fg_process_pipeline_free(made); /* the stop does not know it */
    replace(p, rp->live, made);
    fg_process_pipeline_free(rp->live);
    rp->live = made;
    if (made)
        fg_process_pipeline_start(made);
    rp->pause_ms = pause_of(rp);
    one_done(rp);
}

static void note_commits(struct fg_reload_pipeline *rp)
{
    struct fg_pipeline_status s;

    fg_pipeline_status(rp->live->flow, &s);
    rp->commits = s.commits;
}

static void swap_stages(struct fg_reload_pipeline *rp)
{
    const struct fg_config *next = rp->run->next;
    struct fg_lineup *lineup = rp->lineup;

    rp->lineup = NULL;
    fg_process_pipeline_swap(rp->live, rp->run->next, &next->pipelines[rp->d->new_index], lineup);
    note_commits(rp);
    fg_pipeline_release(rp->live->flow);
    rp->pause_ms = pause_of(rp);
}

static void held(void *arg, bool drained)
{
    struct fg_reload_pipeline *rp = arg;

    rp->drained = drained;
    if (rp->run->reload->process->stopping) {
        one_done(rp); /* the stop ends it as it is */
        return;
    }
    if (rp->d->how == FG_PIPELINE_SWAP) {
        swap_stages(rp);
        one_done(rp);
        return;
    }
    fg_process_pipeline_end(rp->live, true, ended, rp);
}

static void begin_pipeline(struct fg_reload_pipeline *rp)
{
    struct fg_reload_run *run = rp->run;
    uint32_t drain_ms = (uint32_t)run->next->limits.drain;
    struct fg_pipeline_status s;

    rp->began_ns = uv_hrtime();
    switch (rp->d->how) {
    case FG_PIPELINE_SAME:
        fg_process_pipeline_rebase(rp->live, run->next, &run->next->pipelines[rp->d->new_index]);
        one_done(rp);
        break;
    case FG_PIPELINE_ADDED:
        fg_process_pipeline_start(rp->live);
        rp->drained = true;
        one_done(rp);
        break;
    default:
        fg_pipeline_status(rp->live->flow, &s);
        rp->was_troubled = s.trouble.code != FG_E_NONE;
        fg_pipeline_hold(rp->live->flow, drain_ms, held, rp);
        break;
    }
}

static void begin_pipelines(struct fg_reload_run *run)
{
    run->open = run->diff.n_pipelines + 1; /* so that it does not end under this loop */
    for (size_t i = 0; i < run->diff.n_pipelines; i++)
        begin_pipeline(&run->pipelines[i]);
    if (--run->open == 0)
        pipelines_done(run);
}

static unsigned workers_wanted(const struct fg_process *p)
{
    return fg_env_uv_workers((unsigned)p->config->limits.workers);
}

static void resize_workers(struct fg_process *p);

/* What was asked for while others still left, which takes as long as the work that they have. */
static void workers_resized(void *arg)
{
    struct fg_process *p = arg;

    if (!p->stopping && p->env->n_workers != workers_wanted(p))
        resize_workers(p);
}

/* After the swap: every transform has instances for the workers there were and for those there will be. */
static void resize_workers(struct fg_process *p)
{
    struct fg_error err = FG_ERROR_NULL;

    if (fg_env_uv_resize(p->env, workers_wanted(p), workers_resized, p, &err) < 0 && err.code != FG_E_UNAVAILABLE)
        fg_log_error(&p->logger, FG_LOG_WARN, "reload: the number of workers stays as it is", &err);
}

static void pipelines_done(struct fg_reload_run *run)
{
    struct fg_reload *reload = run->reload;
    struct fg_process *p = reload->process;
    struct fg_kafka *kafka = run->kafka_before;

    run->kafka_before = NULL;
    /* also to the number there is: it may be about to become another, by the reload before */
    if (!p->stopping)
        resize_workers(p);
    if (run->err.code && !run->back && !p->stopping) {
        fg_reload_back(reload, fg_config_ref(run->old), kafka);
        fg_reload_end(run, FG_RELOAD_ROLLED_BACK);
        return;
    }
    if (run->back || p->stopping)
        fg_kafka_unref(kafka);
    else
        fg_reload_probation_begin(run, fg_config_ref(run->old), kafka);
    fg_reload_end(run, FG_RELOAD_DONE);
}

void fg_reload_swap(struct fg_reload_run *run)
{
    struct fg_process *p = run->reload->process;

    fg_reload_probation_pass(run->reload);
    fg_reload_phase(run, FG_RELOAD_SWAP);
    fg_assert(p->config == run->old);
    p->config = fg_config_ref(run->next);
    fg_config_unref(run->old); /* the process's reference: the run has one of its own */
    p->generation = run->generation;
    if (run->diff.kafka) {
        run->kafka_before = p->kafka;
        p->kafka = run->kafka;
        run->kafka = NULL;
        fg_follow_move_all(p);
    }
    fg_kafka_make_topics(p, p->config);
    fg_http_client_refresh(p->client);
    order_pipelines(run);
    swap_http(run);
    swap_limits(run);
    begin_pipelines(run);
}
