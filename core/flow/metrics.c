/* SPDX-License-Identifier: Apache-2.0 */
/* Every metric of a pipeline, declared once. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "flow/pipeline-private.h"

static const struct fg_metric_decl records = {"fragua_records_total", FG_METRIC_TYPE_COUNTER,
                                              "Records, by pipeline, node and what became of them there"};
static const struct fg_metric_decl commit_seconds = {"fragua_batch_commit_seconds", FG_METRIC_TYPE_HISTOGRAM,
                                                     "From the start of a batch's commit to its end"};
static const struct fg_metric_decl end_to_end = {"fragua_end_to_end_seconds", FG_METRIC_TYPE_HISTOGRAM,
                                                 "From a record's own time to its commit"};
static const struct fg_metric_decl state_gauge = {"fragua_pipeline_state", FG_METRIC_TYPE_GAUGE,
                                                  "1 for the state that a pipeline is in, 0 for the others"};
static const struct fg_metric_decl dead_letters = {"fragua_dead_letters_total", FG_METRIC_TYPE_COUNTER,
                                                   "Dead letters written, by reason"};
static const struct fg_metric_decl queue = {"fragua_queue_records", FG_METRIC_TYPE_GAUGE,
                                            "Records that wait in a pipeline, by queue"};
static const struct fg_metric_decl batches = {"fragua_batches", FG_METRIC_TYPE_GAUGE, "Batches in flight"};
static const struct fg_metric_decl commits = {"fragua_commits_total", FG_METRIC_TYPE_COUNTER,
                                              "Batches by the outcome of their commit"};
static const struct fg_metric_decl handles = {"fragua_kafka_handles_recreated_total", FG_METRIC_TYPE_COUNTER,
                                              "Kafka producers that died and were opened again"};

#define LABELS_MAX 2u

/* A series with the pipeline's label and up to two more; names and values alternate, NULL ends them. */
static struct fg_metric *series(struct fg_pipeline *p, struct fg_metric_scope *scope,
                                const struct fg_metric_decl *decl, const char *name, const char *value,
                                const char *name2, const char *value2)
{
    struct fg_label labels[1 + LABELS_MAX] = {{"pipeline", p->c.name}, {name, value}, {name2, value2}};
    return fg_metric_scope_get(scope, decl, labels, 1u + (name != NULL) + (name2 != NULL));
}

/* Of the pipeline. */
static struct fg_metric *own(struct fg_pipeline *p, const struct fg_metric_decl *decl, const char *name,
                             const char *value)
{
    return series(p, p->m.own, decl, name, value, NULL, NULL);
}

static struct fg_metric *stage_records(struct fg_pipeline *p, const char *node, const char *result)
{
    return series(p, p->m.of_stages, &records, "node", node, "result", result);
}

/* The new ones are got before the old ones are given up: a node that stays counts on. */
void fg_flow_metrics_stages(struct fg_pipeline *p)
{
    static const char *const stage_results[_FG_STAGE_RESULT_N] = {
        [FG_STAGE_KEPT] = "kept",
        [FG_STAGE_DROPPED] = "dropped",
        [FG_STAGE_DEAD] = "dead",
        [FG_STAGE_RETRIED] = "retried",
    };
    struct fg_flow_metrics *m = &p->m;
    struct fg_metric_scope *before = m->of_stages;

    m->of_stages = fg_metric_scope_new(p->c.metrics);
    free(m->stages);
    m->stages = fg_calloc(p->c.n_transforms + 1, sizeof(*m->stages));
    for (size_t i = 0; i < p->c.n_transforms; i++)
        for (int k = 0; k < _FG_STAGE_RESULT_N; k++)
            m->stages[i][k] = stage_records(p, p->c.transforms[i].node, stage_results[k]);
    if (p->c.sink) {
        m->delivered = stage_records(p, p->c.sink->node, "delivered");
        m->redelivered = stage_records(p, p->c.sink->node, "retried");
        m->refused = stage_records(p, p->c.sink->node, "dead");
        m->queue_sink = series(p, m->of_stages, &queue, "queue", "sink", NULL, NULL);
    } else {
        m->queue_sink = NULL;
    }
    fg_metric_scope_free(before);
}

void fg_flow_metrics_deinit(struct fg_pipeline *p)
{
    free(p->m.stages);
    p->m.stages = NULL;
    p->m.of_stages = fg_metric_scope_free(p->m.of_stages);
    p->m.own = fg_metric_scope_free(p->m.own);
}

void fg_flow_metrics_init(struct fg_pipeline *p)
{
    struct fg_flow_metrics *m = &p->m;

    m->own = fg_metric_scope_new(p->c.metrics);
    m->in = series(p, m->own, &records, "node", "input", "result", "in");
    m->out = series(p, m->own, &records, "node", "output", "result", "out");
    for (int code = FG_E_NONE + 1; p->c.dead_topic && code < _FG_CODE_N; code++)
        m->dead[code] = own(p, &dead_letters, "reason", fg_code_label(code));
    for (int s = 0; s < _FG_PIPELINE_STATE_N; s++)
        m->state[s] = own(p, &state_gauge, "state", fg_pipeline_state_name((enum fg_pipeline_state)s));
    m->commit_seconds = own(p, &commit_seconds, NULL, NULL);
    m->end_to_end_seconds = own(p, &end_to_end, NULL, NULL);
    m->queue_work = own(p, &queue, "queue", "transforms");
    m->queue_commit = own(p, &queue, "queue", "in_flight");
    m->batches = own(p, &batches, NULL, NULL);
    m->commits = own(p, &commits, "result", "done");
    m->aborts = own(p, &commits, "result", "aborted");
    m->handles = own(p, &handles, NULL, NULL);
}

void fg_flow_metrics_gauges(struct fg_pipeline *p, enum fg_pipeline_state state)
{
    struct fg_flow_metrics *m = &p->m;

    for (int s = 0; s < _FG_PIPELINE_STATE_N; s++)
        fg_metric_set(m->state[s], s == (int)state ? 1 : 0);
    fg_metric_set(m->queue_work, (double)p->n_to_work);
    if (m->queue_sink)
        fg_metric_set(m->queue_sink, (double)p->n_to_sink);
    fg_metric_set(m->queue_commit, (double)p->in_flight_records);
    fg_metric_set(m->batches, (double)p->n_batches);
}
