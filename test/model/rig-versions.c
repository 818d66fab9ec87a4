/* SPDX-License-Identifier: Apache-2.0 */
/* Stages in versions, and workers that hang: what reloads are tested with. */
#include "rig-versions.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "flow-rig-private.h"

/* ---- transform ---- */

static enum fg_verdict apply(void *self, struct fg_record *in, struct fg_emit *emit, struct fg_error *err)
{
    struct rig_version *v = self;

    fg_assert(!v->released);
    v->n_applied++;
    if (v->wrecked) {
        fg_error_set(err, FG_E_INTERNAL, FG_ERROR_FATAL, "the transform is wrecked");
        return FG_DEAD;
    }
    fg_emit_add(emit, rig_record(v->rig, in, "", "%.*s%s", FG_SLICE_ARG(fg_record_view(in)->value), v->stamp));
    return FG_KEEP;
}

/* ---- sink ---- */

static void limits(void *self, struct fg_sink_limits *ret)
{
    const struct rig_version *v = self;
    *ret = v->rig->limits;
}

static void answer(struct rig_version *v, struct fg_delivery *d)
{
    size_t n = fg_delivery_count(d);
    struct fg_error err = FG_ERROR_NULL;

    fg_error_set(&err, FG_E_THROTTLED, FG_ERROR_RETRIABLE, "the service answered 429");
    err.retry_after_ms = v->retry_after_ms;
    for (size_t i = 0; i < n; i++) {
        struct fg_record *in = fg_delivery_record(d, i), *result;
        if (v->retry_after_ms) {
            fg_delivery_done(d, i, NULL, 0, &err);
            continue;
        }
        v->n_delivered++;
        result = rig_record(v->rig, in, "", "%.*s%s!", FG_SLICE_ARG(fg_record_view(in)->value), v->stamp);
        fg_delivery_done(d, i, &result, 1, NULL);
    }
}

/* Takes it out of those that were asked; false: it was cancelled. */
static bool take_out(struct rig_version *v, const struct fg_delivery *delivery)
{
    for (size_t i = 0; i < v->n_asked; i++) {
        if (v->asked[i] != delivery)
            continue;
        v->asked[i] = v->asked[--v->n_asked];
        return true;
    }
    return false;
}

struct late {
    struct rig_version *v;
    struct fg_delivery *delivery;
};

static void answer_late(void *arg)
{
    struct late *late = arg;

    if (take_out(late->v, late->delivery))
        answer(late->v, late->delivery);
    free(late);
}

static void deliver(void *self, struct fg_delivery *delivery)
{
    struct rig_version *v = self;

    fg_assert(!v->released);
    v->last_ms = v->rig->sim.now_ms;
    if (!v->first_ms)
        v->first_ms = v->last_ms;
    if (!v->hangs && !v->answer_ms) {
        answer(v, delivery);
        return;
    }
    fg_assert(v->n_asked < sizeof(v->asked) / sizeof(v->asked[0]));
    v->asked[v->n_asked++] = delivery;
    if (!v->hangs) {
        struct late *late = fg_calloc(1, sizeof(*late));
        *late = (struct late){v, delivery};
        sim_post(&v->rig->sim, v->answer_ms, answer_late, late);
    }
}

static void cancel(void *self, struct fg_delivery *delivery)
{
    struct rig_version *v = self;

    fg_assert(!v->released);
    fg_assert(take_out(v, delivery)); /* else it was never made */
    v->n_cancelled++;
}

/* ---- source ---- */

static void give_back(struct rig_version *v)
{
    struct fg_batch *fill = v->fill;

    v->fill = NULL;
    if (fill)
        fg_batch_cancel(fill, NULL);
}

static void go_on_from(struct rig_version *v, const struct fg_cursor *cursor)
{
    int64_t at = 0;

    fg_assert(!v->released);
    for (size_t b = 0; b < RIG_BOXES; b++) {
        if (!fg_slice_is(cursor->key, v->boxes[b].key))
            continue;
        if (cursor->value.len && !fg_parse_int(cursor->value, &at))
            fg_assert(false); /* no cursor of ours */
        v->boxes[b].mine = true;
        v->boxes[b].at = (unsigned)at;
    }
}

static void source_assign(void *self, const struct fg_cursor *cursors, size_t n)
{
    struct rig_version *v = self;

    v->n_assigned += (unsigned)n;
    for (size_t i = 0; i < n; i++)
        go_on_from(v, &cursors[i]);
}

static void source_rewind(void *self, const struct fg_cursor *cursors, size_t n)
{
    struct rig_version *v = self;

    v->n_rewound += (unsigned)n;
    for (size_t i = 0; i < n; i++)
        go_on_from(v, &cursors[i]);
    if (!v->keeps)
        give_back(v);
}

static void source_revoke(void *self, const struct fg_slice *owners, size_t n)
{
    struct rig_version *v = self;

    fg_assert(!v->released);
    v->n_revoked += (unsigned)n;
    for (size_t i = 0; i < n; i++)
        for (size_t b = 0; b < RIG_BOXES; b++)
            if (fg_slice_is(owners[i], v->boxes[b].name))
                v->boxes[b].mine = false;
    if (!v->keeps)
        give_back(v);
}

void rig_version_mail(struct rig_version *v)
{
    for (size_t b = 0; b < RIG_BOXES && v->fill; b++) {
        struct fg_record_spec spec = {.view.key = fg_slice_of(v->boxes[b].name)};
        struct fg_record *record = NULL;
        struct fg_error err;
        char value[64], at[16];

        if (!v->boxes[b].mine || v->boxes[b].at >= v->totals[b])
            continue;
        (void)snprintf(value, sizeof(value), "%s#%u%s", v->boxes[b].name, v->boxes[b].at, v->stamp);
        (void)snprintf(at, sizeof(at), "%u", ++v->boxes[b].at);
        spec.view.value = fg_slice_of(value);
        if (fg_record_new(&v->rig->budget, &spec, false, &record, &err) < 0)
            fg_assert(false); /* there is room enough */
        fg_batch_add(v->fill, record);
        fg_batch_cursor(v->fill, &(struct fg_cursor){fg_slice_of(v->boxes[b].key), fg_slice_of(at)});
        struct fg_batch *fill = v->fill;
        v->fill = NULL;
        fg_batch_submit(fill);
    }
}

static void source_pull(void *self, struct fg_batch *batch)
{
    struct rig_version *v = self;

    fg_assert(!v->released);
    fg_assert(!v->fill); /* one at a time */
    v->fill = batch;
    if (!v->keeps)
        rig_version_mail(v);
}

static void source_keys(void *self, fg_key_cb cb, void *arg)
{
    struct rig_version *v = self;

    fg_assert(!v->released);
    for (size_t b = 0; b < RIG_BOXES; b++)
        cb(arg, fg_slice_of(v->boxes[b].key));
}

static const struct fg_transform_ops transform_ops = {.apply = apply};
static const struct fg_sink_ops sink_ops = {.deliver = deliver, .cancel = cancel, .limits = limits};
static const struct fg_source_ops source_ops = {
    .assign = source_assign,
    .revoke = source_revoke,
    .pull = source_pull,
    .rewind = source_rewind,
    .keys = source_keys,
};
static const struct fg_plugin transform_plugin = {
    .kind = FG_KIND_TRANSFORM, .name = "transform-stamp", .transform = &transform_ops};
static const struct fg_plugin sink_plugin = {.kind = FG_KIND_SINK, .name = "sink-stamp", .sink = &sink_ops};
static const struct fg_plugin source_plugin = {.kind = FG_KIND_SOURCE, .name = "source-stamp", .source = &source_ops};

/* ---- in the rig ---- */

void rig_version_init(struct rig_version *v, struct rig *rig, const char *stamp)
{
    *v = (struct rig_version){.rig = rig, .stamp = stamp};
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        v->selves[i] = v;
    v->source = (struct fg_stage){"source", "source-stamp", &source_plugin, v->selves};
    v->transform = (struct fg_stage){"transforms.0", "transform-stamp", &transform_plugin, v->selves};
    v->sink = (struct fg_stage){"sink", "sink-stamp", &sink_plugin, v->selves};
    for (size_t b = 0; b < RIG_BOXES; b++) {
        (void)snprintf(v->boxes[b].name, sizeof(v->boxes[b].name), "box%zu", b);
        (void)snprintf(v->boxes[b].key, sizeof(v->boxes[b].key), "box%zu/inbox", b);
    }
}

void rig_version_use(struct rig_version *v, bool transform, bool sink)
{
    v->rig->config.transforms = &v->transform;
    v->rig->config.n_transforms = transform;
    v->rig->config.sink = sink ? &v->sink : NULL;
}

void rig_version_use_source(struct rig_version *v, unsigned *totals)
{
    v->totals = totals;
    v->rig->config.source = &v->source;
    v->rig->config.cursors_topic = "cursors";
    v->rig->config.topics = NULL;
    v->rig->config.n_topics = 0;
}

const struct fg_pipeline_stages *rig_version_stages(struct rig_version *v)
{
    const struct fg_pipeline_config *c = &v->rig->config;

    v->stages = (struct fg_pipeline_stages){
        .source = c->source ? &v->source : NULL,
        .transforms = &v->transform,
        .n_transforms = c->n_transforms,
        .sink = c->sink ? &v->sink : NULL,
        .attempts = c->attempts,
        .commit_records = c->commit_records,
        .commit_bytes = c->commit_bytes,
        .commit_interval_ms = c->commit_interval_ms,
        .stop_ms = c->stop_ms,
    };
    return &v->stages;
}

/* ---- reloads ---- */

void rig_reload_released(void *arg)
{
    struct rig_reload *r = arg;

    r->n_released++;
    r->old->released = true;
    give_back(r->old); /* as its stop() does */
}

void rig_reload_swap(struct rig_reload *r)
{
    fg_assert(rig_status(r->rig).batches == 0);
    fg_pipeline_swap(r->rig->pipeline, rig_version_stages(r->new), rig_reload_released, r);
    fg_assert(r->n_released == 0); /* never from inside */
}

static void held(void *arg, bool drained)
{
    struct rig_reload *r = arg;

    r->n_held++;
    r->drained = drained;
    r->held_ms = r->rig->sim.now_ms;
    if (r->stay)
        return;
    if (r->new)
        rig_reload_swap(r);
    fg_pipeline_release(r->rig->pipeline);
}

void rig_reload_begin(struct rig_reload *r, struct rig *rig, struct rig_version *old, struct rig_version *new,
                      uint32_t drain_ms)
{
    *r = (struct rig_reload){.rig = rig, .old = old, .new = new, .asked_ms = rig->sim.now_ms};
    fg_pipeline_hold(rig->pipeline, drain_ms, held, r);
    fg_assert(r->n_held == 0); /* never from inside */
}

static bool was_held(void *arg)
{
    return ((struct rig_reload *)arg)->n_held > 0;
}

static bool was_released(void *arg)
{
    return ((struct rig_reload *)arg)->n_released > 0;
}

bool rig_reload_until_held(struct rig_reload *r, uint64_t limit_ms)
{
    return sim_run_until(&r->rig->sim, limit_ms, was_held, r);
}

bool rig_reload_until_released(struct rig_reload *r, uint64_t limit_ms)
{
    return sim_run_until(&r->rig->sim, limit_ms, was_released, r);
}

/* ---- workers ---- */

static struct rig_workers *workers_of(struct fg_env *env)
{
    return fg_container_of(env->ops, struct rig_workers, ops);
}

static void submit(struct fg_env *env, struct fg_work *work)
{
    struct rig_workers *workers = workers_of(env);

    if (workers->hang)
        fg_list_append(&workers->hung, &work->link);
    else
        workers->real->submit(env, work);
}

void rig_workers_init(struct rig_workers *workers, struct rig *rig)
{
    workers->hang = false;
    workers->env = &rig->sim.env;
    workers->real = rig->sim.env.ops;
    workers->ops = *workers->real;
    workers->ops.submit = submit;
    rig->sim.env.ops = &workers->ops;
    fg_list_init(&workers->hung);
}

void rig_workers_let_go(struct rig_workers *workers)
{
    struct fg_list *l;

    workers->hang = false;
    while ((l = fg_list_pop(&workers->hung)))
        workers->real->submit(workers->env, fg_container_of(l, struct fg_work, link));
}
