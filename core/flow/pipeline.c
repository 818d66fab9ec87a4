/* SPDX-License-Identifier: Apache-2.0 */
/* A pipeline's making, its switches, and the clockwork that runs every step in turn. */
#include "flow/pipeline.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "flow/pipeline-private.h"

void fg_flow_kick(struct fg_pipeline *p)
{
    if (p->kicked)
        return;
    p->kicked = true;
    if (!p->advancing)
        p->env->ops->timer_start(p->timer, 0);
}

void fg_flow_due(struct fg_pipeline *p, uint64_t at_ms)
{
    if (at_ms < p->due_ms)
        p->due_ms = at_ms;
}

static void tell_stopped(struct fg_list *stops)
{
    struct fg_list *l;

    while ((l = fg_list_pop(stops))) {
        struct fg_flow_stop *stop = fg_container_of(l, struct fg_flow_stop, link);
        fg_done_cb stopped = stop->stopped;
        void *arg = stop->arg;
        free(stop);
        if (stopped)
            stopped(arg);
    }
}

/* Tells those who wait, who may do what they like then: swap and release, start, free. */
static void tell_waiting(struct fg_pipeline *p)
{
    struct fg_list released, stops, *l;
    void (*held)(void *arg, bool drained) = NULL;
    void *arg = p->hold.arg;
    bool drained = !p->hold.forgot;

    fg_list_init(&released);
    fg_list_init(&stops);
    fg_flow_released(p, &released);
    if (fg_flow_is_held(p)) {
        p->hold.state = FG_HOLD_HELD;
        held = p->hold.held;
    }
    if (fg_flow_is_stopped(p)) {
        while ((l = fg_list_pop(&p->stops)))
            fg_list_append(&stops, l);
        if (p->start_again)
            fg_pipeline_start(p);
    }
    fg_flow_tell_released(&released);
    if (held)
        held(arg, drained);
    tell_stopped(&stops);
}

/* All there is to decide, in the one order that it is decided in. */
static void advance(void *arg)
{
    struct fg_pipeline *p = arg;

    p->kicked = false;
    p->advancing = true;
    p->now_ms = fg_env_now_ms(p->env);
    p->due_ms = UINT64_MAX;

    fg_flow_step_outcome(p);
    fg_flow_step_session(p);
    fg_flow_step_hold(p);
    fg_flow_step_recover(p);
    fg_flow_step_assignment(p);
    p->mark_wanted = false;
    p->name_wanted = NULL;
    fg_flow_step_work(p);
    fg_flow_step_deliver(p);
    fg_flow_step_close(p);
    fg_flow_step_commit(p);
    fg_flow_step_take(p);
    fg_flow_tell(p);

    p->advancing = false;
    if (p->kicked)
        p->env->ops->timer_start(p->timer, 0);
    else if (p->due_ms != UINT64_MAX)
        p->env->ops->timer_start(p->timer, p->due_ms > p->now_ms ? p->due_ms - p->now_ms : 0);
    else
        p->env->ops->timer_stop(p->timer);
    tell_waiting(p);
}

static void room_again(struct fg_budget_waiter *waiter)
{
    fg_flow_kick(fg_container_of(waiter, struct fg_pipeline, waiter));
}

static int check_config(const struct fg_pipeline_config *c, struct fg_error *err)
{
    if (c->source && !c->cursors_topic)
        return fg_raise(
            fg_error_set(err, FG_E_CONFIG, 0, "pipeline \"%s\" has a source but no cursors topic", c->name));
    if (!c->source && c->n_topics == 0)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "pipeline \"%s\" has no input", c->name));
    if (!c->group)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "pipeline \"%s\" has no consumer group", c->name));
    if (strlen(c->name) > FG_CURSOR_KEY_MAX)
        return fg_raise(
            fg_error_set(err, FG_E_CONFIG, 0, "the pipeline's name is longer than %u bytes", FG_CURSOR_KEY_MAX));
    return 0;
}

static void add_topic(const char **topics, size_t *n, const char *topic)
{
    for (size_t i = 0; i < *n; i++)
        if (fg_slice_is(fg_slice_of(topics[i]), topic))
            return;
    topics[(*n)++] = topic;
}

static void collect_topics(struct fg_pipeline *p)
{
    const struct fg_pipeline_config *c = &p->c;

    p->out_topics = fg_calloc(c->n_outputs + 2, sizeof(char *));
    p->topics = fg_calloc(c->n_outputs + 2 + c->n_topics, sizeof(char *));
    for (size_t i = 0; i < c->n_outputs; i++)
        add_topic(p->out_topics, &p->n_out_topics, c->outputs[i].topic);
    if (c->dead_topic)
        add_topic(p->out_topics, &p->n_out_topics, c->dead_topic);
    if (c->source)
        add_topic(p->out_topics, &p->n_out_topics, c->cursors_topic);
    for (size_t i = 0; i < p->n_out_topics; i++)
        add_topic(p->topics, &p->n_topics, p->out_topics[i]);
    for (size_t i = 0; !c->source && i < c->n_topics; i++)
        add_topic(p->topics, &p->n_topics, c->topics[i]);
}

static void take_config(struct fg_pipeline *p, const struct fg_pipeline_config *config)
{
    struct fg_pipeline_config *c = &p->c;
    int len;

    *c = *config;
    p->env = c->env;
    if (!c->retry_base_ms)
        c->retry_base_ms = FG_FLOW_RETRY_BASE_MS;
    if (!c->retry_cap_ms)
        c->retry_cap_ms = FG_FLOW_RETRY_CAP_MS;
    p->exactly_once = c->delivery == FG_EXACTLY_ONCE && c->bus->traits.transactional;
    p->counts.delivery = p->exactly_once ? FG_EXACTLY_ONCE : FG_AT_LEAST_ONCE;
    p->intake = c->source ? &fg_flow_intake_source : &fg_flow_intake_kafka;
    p->needs_producer = c->source || c->n_outputs || c->dead_topic;
    len = asprintf(&p->transactional_id, "fragua-%s-%s", c->name, c->instance ? c->instance : "");
    fg_assert(len > 0);
    fg_flow_stages_take(p, &(struct fg_pipeline_stages){
                               .source = c->source,
                               .transforms = c->transforms,
                               .n_transforms = c->n_transforms,
                               .sink = c->sink,
                               .attempts = c->attempts,
                               .commit_records = c->commit_records,
                               .commit_bytes = c->commit_bytes,
                               .commit_interval_ms = c->commit_interval_ms,
                               .stop_ms = c->stop_ms,
                           });
    collect_topics(p);
}

int fg_pipeline_new(const struct fg_pipeline_config *config, struct fg_pipeline **ret, struct fg_error *err)
{
    struct fg_pipeline *p;
    int r = check_config(config, err);

    if (r < 0)
        return fg_pass(r);
    p = fg_calloc(1, sizeof(*p));
    take_config(p, config);
    fg_list_init(&p->stops);
    fg_list_init(&p->old_sets);
    fg_list_init(&p->calls);
    fg_list_init(&p->batches);
    fg_list_init(&p->to_work);
    fg_list_init(&p->work_retries);
    fg_list_init(&p->to_sink);
    fg_list_init(&p->sink_retries);
    fg_list_init(&p->deliveries);
    fg_list_init(&p->answered);
    p->waiter.cb = room_again;
    p->now_ms = fg_env_now_ms(p->env);
    p->timer = p->env->ops->timer_new(p->env, advance, p);
    fg_flow_metrics_init(p);
    fg_flow_metrics_gauges(p, FG_PIPELINE_STOPPED);
    if (config->delivery == FG_EXACTLY_ONCE && !p->exactly_once)
        fg_logf(&p->c.logger, FG_LOG_WARN, "the %s bus has no transactions: delivery is at-least-once",
                p->c.bus->traits.kind);
    *ret = p;
    return 0;
}

struct fg_pipeline *fg_pipeline_free(struct fg_pipeline *p)
{
    struct fg_list released;

    if (!p)
        return NULL;
    fg_list_init(&released);
    fg_flow_released(p, &released);
    fg_assert(p->phase == FG_PHASE_DOWN);
    fg_assert(!p->want_run);
    fg_assert(fg_list_empty(&p->batches));
    fg_assert(p->hold.state != FG_HOLD_DRAINING);
    fg_flow_fill_abandon(p);
    fg_flow_deliver_forget(p);
    fg_flow_calls_forget(p);
    fg_budget_unwait(&p->waiter);
    p->env->ops->timer_free(p->timer);
    fg_flow_metrics_deinit(p);
    fg_flow_marks_deinit(p);
    fg_cursor_map_clear(&p->cursors);
    free(p->set);
    free(p->transactional_id);
    free(p->topics);
    free(p->out_topics);
    free(p);
    fg_flow_tell_released(&released);
    return NULL;
}

void fg_pipeline_start(struct fg_pipeline *p)
{
    if (!p->want_run && !fg_list_empty(&p->stops)) {
        p->start_again = true; /* someone still waits for the stop */
        return;
    }
    p->start_again = false;
    if (p->want_run)
        return;
    p->want_run = true;
    p->stop_now = false;
    p->retry_ms = 0;
    p->failures = 0;
    fg_flow_kick(p);
}

void fg_pipeline_pause(struct fg_pipeline *p)
{
    p->paused = true;
    fg_flow_kick(p);
}

void fg_pipeline_resume(struct fg_pipeline *p)
{
    p->paused = false;
    fg_flow_kick(p);
}

void fg_pipeline_stop(struct fg_pipeline *p, bool now, fg_done_cb stopped, void *arg)
{
    struct fg_flow_stop *stop = fg_calloc(1, sizeof(*stop));

    stop->stopped = stopped;
    stop->arg = arg;
    fg_list_append(&p->stops, &stop->link);
    if (p->want_run)
        p->stop_deadline_ms = fg_env_now_ms(p->env) + p->c.stop_ms;
    p->want_run = false;
    p->start_again = false;
    p->stop_now = p->stop_now || now;
    fg_flow_kick(p);
}

void fg_pipeline_set_stop(struct fg_pipeline *p, uint32_t stop_ms)
{
    p->c.stop_ms = stop_ms;
}
