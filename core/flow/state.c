/* SPDX-License-Identifier: Apache-2.0 */
/* What a pipeline says about itself: troubles, its state, its status. */
#include <stdio.h>

#include "flow/pipeline-private.h"

static const char *const state_names[_FG_PIPELINE_STATE_N] = {
    [FG_PIPELINE_STOPPED] = "stopped", [FG_PIPELINE_STARTING] = "starting", [FG_PIPELINE_RUNNING] = "running",
    [FG_PIPELINE_PAUSED] = "paused",   [FG_PIPELINE_TROUBLED] = "troubled", [FG_PIPELINE_STOPPING] = "stopping",
    [FG_PIPELINE_FAILED] = "failed",
};

const char *fg_pipeline_state_name(enum fg_pipeline_state state)
{
    return (unsigned)state < _FG_PIPELINE_STATE_N ? state_names[state] : "unknown";
}

void fg_flow_trouble(struct fg_pipeline *p, enum fg_flow_trouble who, const char *node, const struct fg_error *err,
                     unsigned attempt, uint64_t next_ms)
{
    struct fg_flow_blame *blame = &p->troubles[who];
    int64_t since = blame->err.code != FG_E_NONE ? blame->since_ms : fg_clock_wall_ms(p->env->clock);

    if (err && err->code != FG_E_NONE)
        *blame = (struct fg_flow_blame){
            .err = *err, .node = node, .since_ms = since, .attempt = attempt, .next_ms = next_ms};
    else
        *blame = (struct fg_flow_blame){.node = ""};
    fg_flow_kick(p);
}

void fg_flow_fail(struct fg_pipeline *p, const char *node, const struct fg_error *err)
{
    if (p->fail)
        return;
    p->fail = true;
    fg_flow_trouble(p, FG_TROUBLE_FAILED, node, err, p->failures + 1, 0);
}

static const struct fg_flow_blame *first_trouble(const struct fg_pipeline *p)
{
    for (int i = 0; i < _FG_TROUBLE_N; i++)
        if (p->troubles[i].err.code != FG_E_NONE)
            return &p->troubles[i];
    return NULL;
}

static bool is_working(const struct fg_pipeline *p)
{
    return p->phase == FG_PHASE_UP && p->ever_assigned && (!p->needs_producer || p->producer_ready);
}

static enum fg_pipeline_state state_of(const struct fg_pipeline *p)
{
    if (!p->want_run)
        return p->phase == FG_PHASE_DOWN ? FG_PIPELINE_STOPPED : FG_PIPELINE_STOPPING;
    if (p->troubles[FG_TROUBLE_FAILED].err.code != FG_E_NONE ||
        p->troubles[FG_TROUBLE_CHECK].err.code == FG_E_NOT_FOUND)
        return FG_PIPELINE_FAILED;
    if (first_trouble(p))
        return FG_PIPELINE_TROUBLED;
    if (!is_working(p))
        return FG_PIPELINE_STARTING;
    return p->paused ? FG_PIPELINE_PAUSED : FG_PIPELINE_RUNNING;
}

void fg_flow_tell(struct fg_pipeline *p)
{
    const struct fg_flow_blame *blame = first_trouble(p);
    enum fg_pipeline_state state = state_of(p);
    struct fg_error none = FG_ERROR_NULL;
    const struct fg_error *err = blame ? &blame->err : &none;
    bool same = state == p->told_state && err->code == p->told_trouble.code &&
                (err->code == FG_E_NONE || strcmp(err->text, p->told_trouble.text) == 0);

    fg_flow_metrics_gauges(p, state);
    if (same)
        return;
    p->told_state = state;
    p->told_trouble = *err;
    if (p->c.changed)
        p->c.changed(p->c.arg, p);
}

void fg_pipeline_status(const struct fg_pipeline *p, struct fg_pipeline_status *ret)
{
    const struct fg_flow_blame *blame = first_trouble(p);
    enum fg_pipeline_state state = state_of(p);

    *ret = p->counts;
    ret->state = state;
    ret->ready = is_working(p) &&
                 (state == FG_PIPELINE_RUNNING || state == FG_PIPELINE_PAUSED || state == FG_PIPELINE_TROUBLED);
    ret->trouble_node = "";
    ret->in_flight_records = p->in_flight_records;
    ret->in_flight_bytes = p->in_flight_bytes;
    ret->batches = p->n_batches;
    ret->partitions = p->assignment == FG_ASSIGN_NONE ? 0 : p->n_partitions;
    if (!blame)
        return;
    ret->trouble = blame->err;
    ret->trouble_node = blame->node;
    ret->trouble_since_ms = blame->since_ms;
    ret->attempt = blame->attempt;
    if (blame->next_ms) {
        uint64_t now = fg_env_now_ms(p->env);
        uint64_t left = blame->next_ms > now ? blame->next_ms - now : 0;
        ret->next_attempt_ms = fg_clock_wall_ms(p->env->clock) + (int64_t)left;
    }
}
