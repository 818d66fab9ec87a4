/* SPDX-License-Identifier: Apache-2.0 */
/* Everything new that a reload needs, made beside what runs; and thrown away again where it is not used. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "host/reload-private.h"
#include "net/router.h"

/* One instance of a transform for each worker there is, and for each there will be. */
static unsigned instances_of(const struct fg_process *p, const struct fg_config *next)
{
    unsigned workers = fg_env_uv_workers((unsigned)next->limits.workers);

    return workers > p->env->n_workers ? workers : p->env->n_workers;
}

static int build_kafka(struct fg_reload_run *run, struct fg_error *err)
{
    if (!run->diff.kafka || run->kafka)
        return 0; /* run->kafka: back to one that is still there */
    return fg_pass(fg_kafka_new(run->reload->process, run->next, &run->kafka, err));
}

static int build_server(struct fg_reload_run *run, struct fg_error *err)
{
    struct fg_process *p = run->reload->process;

    if (run->diff.http_listen)
        return fg_pass(fg_process_open_server(p, run->next, &run->server, err));
    if (p->server && (run->diff.http_tls || run->diff.http_tokens))
        return fg_pass(fg_process_prepare_server(p, run->next, &run->change, err));
    return 0;
}

static int build_controls(struct fg_reload_run *run, struct fg_error *err)
{
    struct fg_process *p = run->reload->process;
    const struct fg_config *c = run->next;

    run->controls = fg_calloc(c->n_controls + 1, sizeof(struct fg_node *));
    run->mounts = fg_calloc(c->n_controls + 1, sizeof(struct fg_http_mount *));
    for (size_t i = 0; i < c->n_controls; i++) {
        size_t kept = run->diff.controls[i];
        if (kept != FG_DIFF_NEW)
            run->controls[i] = fg_node_ref(p->controls[kept]);
        else if (fg_node_new(p, run->next, &c->controls[i], NULL, 1, &run->controls[i], err) < 0)
            return fg_pass(-1);
        if (run->server && fg_process_mount(run->server, run->controls[i], &run->mounts[i], err) < 0)
            return fg_pass(-1);
    }
    return 0;
}

/* All routes at a time, before any is taken from the server. */
static int check_routes(const struct fg_reload_run *run, struct fg_error *err)
{
    struct fg_router trial = FG_ROUTER_INIT;
    int r = 0;

    for (size_t i = 0; r == 0 && run->next->http.listen && i < run->next->n_controls; i++) {
        const struct fg_node *node = run->controls[i];
        fg_assert(node);
        r = fg_router_add(&trial, node->ops->control->routes, node->ops->control->n_routes, NULL, err);
    }
    fg_router_deinit(&trial);
    return fg_pass(r);
}

/* A pipeline made anew; nodes that did not change are shared with the one that runs. */
static int build_pipeline(struct fg_reload_run *run, struct fg_reload_pipeline *rp, struct fg_error *err)
{
    struct fg_process *p = run->reload->process;
    struct fg_config_pipeline *c = &run->next->pipelines[rp->d->new_index];
    const struct fg_lineup *old = rp->live ? rp->live->lineup : NULL;
    struct fg_kafka *kafka = run->diff.kafka ? run->kafka : p->kafka;

    if (fg_lineup_new(p, run->next, c, old, rp->d, instances_of(p, run->next), &rp->lineup, err) < 0 ||
        fg_lineup_start(rp->lineup, err) < 0)
        return fg_pass(-1);
    if (rp->d->how == FG_PIPELINE_SWAP)
        return 0;
    if (fg_process_pipeline_new(p, run->next, c, kafka, rp->lineup, &rp->made, err) < 0) {
        rp->lineup = NULL; /* it took that over */
        return fg_pass(-1);
    }
    rp->lineup = NULL;
    if (rp->live) {
        rp->made->is_stopped = rp->live->is_stopped;
        rp->made->is_paused = rp->live->is_paused;
    }
    return 0;
}

static int build_pipelines(struct fg_reload_run *run, struct fg_error *err)
{
    struct fg_process *p = run->reload->process;

    run->pipelines = fg_calloc(run->diff.n_pipelines + 1, sizeof(*run->pipelines));
    for (size_t i = 0; i < run->diff.n_pipelines; i++) {
        struct fg_reload_pipeline *rp = &run->pipelines[i];
        const struct fg_diff_pipeline *d = &run->diff.pipelines[i];

        rp->run = run;
        rp->d = d;
        rp->live = d->how == FG_PIPELINE_ADDED ? NULL : fg_process_pipeline_find(p, d->name);
        if (d->how != FG_PIPELINE_SAME && d->how != FG_PIPELINE_REMOVED && build_pipeline(run, rp, err) < 0)
            return fg_pass(-1);
    }
    return 0;
}

int fg_reload_build(struct fg_reload_run *run, struct fg_error *err)
{
    struct fg_process *p = run->reload->process;

    /* what is opened from now on has the new sizes; of what is open already they stay */
    (void)fg_process_kafka_bytes(p, run->next);
    if (build_kafka(run, err) < 0 || build_server(run, err) < 0 || build_controls(run, err) < 0 ||
        check_routes(run, err) < 0 || build_pipelines(run, err) < 0) {
        (void)fg_process_kafka_bytes(p, p->config);
        return fg_pass(-1);
    }
    return 0;
}

void fg_reload_drop(struct fg_reload_run *run)
{
    struct fg_process *p = run->reload->process;

    for (size_t i = 0; run->pipelines && i < run->diff.n_pipelines; i++) {
        run->pipelines[i].made = fg_process_pipeline_free(run->pipelines[i].made);
        run->pipelines[i].lineup = fg_lineup_free(run->pipelines[i].lineup);
    }
    for (size_t i = 0; run->controls && i < run->next->n_controls; i++) {
        fg_http_server_unmount(run->mounts[i]);
        fg_node_unref(run->controls[i]);
    }
    run->change = fg_http_server_change_free(run->change);
    fg_process_close_server(p, run->server, 0);
    run->server = NULL;
    run->kafka = fg_kafka_unref(run->kafka);
    free(run->pipelines);
    free(run->controls);
    free(run->mounts);
    run->pipelines = NULL;
    run->controls = NULL;
    run->mounts = NULL;
}
