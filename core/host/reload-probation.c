/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probation: a changed pipeline that cannot do its work takes the reload back, as long as it has committed nothing.
 *
 * FAILED by a node of its own does so at once; trouble that lasts to the end of the probation does it then. What Kafka
 * is in trouble with counts only where the reload changed what Kafka is told. A pipeline that did not work before is
 * not on probation, nor is an added one: there is nothing better to go back to.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "host/reload-private.h"

static bool is_blamed(const struct fg_reload_watched *w, const struct fg_pipeline_status *s)
{
    return s->trouble.code != FG_E_NONE && (w->kafka || strcmp(s->trouble_node, "kafka") != 0);
}

static struct fg_reload_watched *find(struct fg_reload_probation *probation, const char *name)
{
    for (size_t i = 0; i < probation->n; i++)
        if (strcmp(probation->pipelines[i].name, name) == 0)
            return &probation->pipelines[i];
    return NULL;
}

static void passed(struct fg_reload_probation *probation, struct fg_reload_watched *w)
{
    free(w->name);
    *w = probation->pipelines[--probation->n];
}

void fg_reload_probation_end(struct fg_reload *reload)
{
    struct fg_reload_probation *probation = &reload->probation;

    if (!probation->on)
        return;
    reload->process->env->ops->timer_stop(reload->probation_timer);
    while (probation->n)
        passed(probation, &probation->pipelines[0]);
    free(probation->pipelines);
    fg_config_unref(probation->before);
    fg_kafka_unref(probation->kafka);
    *probation = (struct fg_reload_probation){ .on = false };
    reload->failed = false;
}

static void take_back(struct fg_reload *reload, const char *name, const struct fg_pipeline_status *s)
{
    struct fg_reload_probation *probation = &reload->probation;
    struct fg_config *before = fg_config_ref(probation->before);
    struct fg_kafka *kafka = fg_kafka_ref(probation->kafka);
    double ms = (double)(uv_hrtime() - probation->began_ns) / 1e6;
    struct fg_error why;

    fg_error_set(&why, s->trouble.code, 0, "%s.%s: %s", name, s->trouble_node, s->trouble.text);
    fg_logf(&reload->process->logger, FG_LOG_ERROR, "reload: generation %u is taken back: %s", probation->generation,
            why.text);
    fg_reload_report_take_back(reload, probation->generation, &why, ms);
    fg_reload_probation_end(reload);
    fg_reload_back(reload, before, kafka);
}

static void status_of(const struct fg_reload *reload, const struct fg_reload_watched *w, struct fg_pipeline_status *ret)
{
    const struct fg_process_pipeline *pp = fg_process_pipeline_find(reload->process, w->name);

    *ret = (struct fg_pipeline_status){ .state = FG_PIPELINE_STOPPED };
    if (pp && pp->flow)
        fg_pipeline_status(pp->flow, ret);
}

static void pass_those_through(struct fg_reload *reload)
{
    struct fg_reload_probation *probation = &reload->probation;
    struct fg_pipeline_status s;

    for (size_t i = probation->n; i-- > 0;) {
        status_of(reload, &probation->pipelines[i], &s);
        if (s.commits > probation->pipelines[i].commits || s.state == FG_PIPELINE_STOPPED)
            passed(probation, &probation->pipelines[i]);
    }
}

void fg_reload_probation_pass(struct fg_reload *reload)
{
    if (!reload->probation.on)
        return;
    pass_those_through(reload);
    if (reload->probation.n == 0)
        fg_reload_probation_end(reload);
}

/* Looks at each that is still on probation. @last: the time is up. true: the reload is taken back. */
static bool look(struct fg_reload *reload, bool last)
{
    struct fg_reload_probation *probation = &reload->probation;
    struct fg_pipeline_status s;

    pass_those_through(reload);
    for (size_t i = 0; i < probation->n; i++) {
        const struct fg_reload_watched *w = &probation->pipelines[i];
        status_of(reload, w, &s);
        if (is_blamed(w, &s) && (last || s.state == FG_PIPELINE_FAILED)) {
            take_back(reload, w->name, &s);
            return true;
        }
    }
    return false;
}

void fg_reload_probation_look(void *arg)
{
    struct fg_reload *reload = arg;
    struct fg_process *p = reload->process;
    uint64_t probation_ms = (uint64_t)p->config->reload.probation, passed_ms;

    if (!reload->probation.on)
        return;
    reload->failed = false;
    passed_ms = (uv_hrtime() - reload->probation.began_ns) / 1000000u;
    if (look(reload, passed_ms >= probation_ms))
        return;
    if (reload->probation.n == 0 || passed_ms >= probation_ms)
        fg_reload_probation_end(reload);
    else
        p->env->ops->timer_start(reload->probation_timer, probation_ms - passed_ms);
}

void fg_reload_pipeline_changed(struct fg_reload *reload, const struct fg_process_pipeline *pp,
                                const struct fg_pipeline_status *status)
{
    /* only noted: this is called from inside the flow */
    if (!reload->probation.on || reload->failed || status->state != FG_PIPELINE_FAILED ||
        !find(&reload->probation, pp->c->name))
        return;
    reload->failed = true;
    reload->process->env->ops->timer_start(reload->probation_timer, 0);
}

/* Room for those of this reload beside those that are on probation already. */
static void begin(struct fg_reload_run *run, struct fg_config *before, struct fg_kafka *kafka)
{
    struct fg_reload_probation *probation = &run->reload->probation;

    if (!probation->on) {
        *probation = (struct fg_reload_probation){
            .on = true, .generation = run->generation, .before = before, .kafka = kafka };
    } else {
        fg_config_unref(before);
        if (!probation->kafka && run->diff.kafka)
            probation->kafka = kafka; /* the first of them that had another */
        else
            fg_kafka_unref(kafka);
    }
    probation->pipelines = fg_reallocarray(
        probation->pipelines, probation->n + run->diff.n_pipelines + 1, sizeof(*probation->pipelines));
    probation->began_ns = uv_hrtime();
}

static void watch(struct fg_reload_probation *probation, const struct fg_reload_pipeline *rp)
{
    struct fg_reload_watched *w = find(probation, rp->d->name);

    if (!w) {
        w = &probation->pipelines[probation->n++];
        *w = (struct fg_reload_watched){ .name = fg_strdup(rp->d->name) };
    }
    w->commits = rp->commits;
    w->kafka = w->kafka || rp->d->how == FG_PIPELINE_REOPEN;
}

void fg_reload_probation_begin(struct fg_reload_run *run, struct fg_config *before, struct fg_kafka *kafka)
{
    struct fg_reload *reload = run->reload;
    struct fg_reload_probation *probation = &reload->probation;

    begin(run, before, kafka);
    for (size_t i = 0; i < run->diff.n_pipelines; i++) {
        const struct fg_reload_pipeline *rp = &run->pipelines[i];
        bool changed = rp->d->how == FG_PIPELINE_SWAP || rp->d->how == FG_PIPELINE_REOPEN;
        if (changed && (!rp->was_troubled || find(probation, rp->d->name)))
            watch(probation, rp);
    }
    if (probation->n == 0 || run->next->reload.probation == 0)
        fg_reload_probation_end(reload);
    else
        reload->process->env->ops->timer_start(reload->probation_timer, (uint64_t)run->next->reload.probation);
}
