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
static struct fg_metric *series(struct fg_pipeline *p, const struct fg_metric_decl *decl, const char *name,
                                const char *value, const char *name2, const char *value2)
{
    struct fg_label labels[1 + LABELS_MAX] = {{"pipeline", p->c.name}, {name, value}, {name2, value2}};
    return fg_metric_get(p->c.metrics, decl, labels, 1u + (name != NULL) + (name2 != NULL));
}

static struct fg_metric *records_of(struct fg_pipeline *p, const char *node, const char *result)
{
    return series(p, &records, "node", node, "result", result);
}

static struct fg_metric *queue_of(struct fg_pipeline *p, const char *name)
{
    return series(p, &queue, "queue", name, NULL, NULL);
}

/* The registry gives the same series for the same labels: a node that stays, or comes back, counts on. */
void fg_flow_metrics_stages(struct fg_pipeline *p)
{
    static const char *const stage_results[_FG_STAGE_RESULT_N] = {
        [FG_STAGE_KEPT] = "kept",
        [FG_STAGE_DROPPED] = "dropped",
        [FG_STAGE_DEAD] = "dead",
        [FG_STAGE_RETRIED] = "retried",
    };
    struct fg_flow_metrics *m = &p->m;

    fg_flow_metrics_deinit(p);
    if (p->c.n_transforms)
        m->stages = fg_calloc(p->c.n_transforms, sizeof(*m->stages));
    for (size_t i = 0; i < p->c.n_transforms; i++)
        for (int k = 0; k < _FG_STAGE_RESULT_N; k++)
            m->stages[i][k] = records_of(p, p->c.transforms[i].node, stage_results[k]);
    if (!p->c.sink)
        return;
    m->delivered = records_of(p, p->c.sink->node, "delivered");
    m->redelivered = records_of(p, p->c.sink->node, "retried");
    m->refused = records_of(p, p->c.sink->node, "dead");
    m->queue_sink = queue_of(p, "sink");
}

void fg_flow_metrics_deinit(struct fg_pipeline *p)
{
    free(p->m.stages);
    p->m.stages = NULL;
}

void fg_flow_metrics_init(struct fg_pipeline *p)
{
    struct fg_flow_metrics *m = &p->m;

    m->in = records_of(p, "input", "in");
    m->out = records_of(p, "output", "out");
    for (int code = FG_E_NONE + 1; p->c.dead_topic && code < _FG_CODE_N; code++)
        m->dead[code] = series(p, &dead_letters, "reason", fg_code_label(code), NULL, NULL);
    for (int s = 0; s < _FG_PIPELINE_STATE_N; s++)
        m->state[s] = series(p, &state_gauge, "state", fg_pipeline_state_name((enum fg_pipeline_state)s), NULL, NULL);
    m->commit_seconds = series(p, &commit_seconds, NULL, NULL, NULL, NULL);
    m->end_to_end_seconds = series(p, &end_to_end, NULL, NULL, NULL, NULL);
    m->queue_work = queue_of(p, "transforms");
    m->queue_commit = queue_of(p, "in_flight");
    m->batches = series(p, &batches, NULL, NULL, NULL, NULL);
    m->commits = series(p, &commits, "result", "done", NULL, NULL);
    m->aborts = series(p, &commits, "result", "aborted", NULL, NULL);
    m->handles = series(p, &handles, NULL, NULL, NULL, NULL);
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
