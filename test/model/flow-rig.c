/* SPDX-License-Identifier: Apache-2.0 */
/* The rig: puts a pipeline together on the simulation, and asks about what became of it. */
#include "flow-rig-private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/mem.h"

static void changed(void *arg, struct fg_pipeline *pipeline)
{
    struct rig *rig = arg;
    rig->n_changed++;
}

void rig_init(struct rig *rig, uint64_t seed)
{
    *rig = (struct rig){0};
    sim_init(&rig->sim, seed, RIG_WORKERS);
    model_init(&rig->bus, &rig->sim, true);
    fg_budget_init(&rig->budget, 16u << 20);
    rig->metrics = fg_metrics_new();
    fg_list_init(&rig->sink_deliveries);
    rig->limits = (struct fg_sink_limits){4, 1u << 20, 3};
    rig->sink_ms_max = 10;
    rig->per_pull = 5;
    rig->outputs[0] = (struct fg_output){"", "out"};
    rig->outputs[1] = (struct fg_output){"rows", "rows"};
    rig->topics[0] = "in";
    model_topic(&rig->bus, "in", 3);
    model_topic(&rig->bus, "out", 2);
    model_topic(&rig->bus, "rows", 1);
    model_topic(&rig->bus, "dead", 1);
    model_topic(&rig->bus, "cursors", 4);
    rig->config = (struct fg_pipeline_config){
        .name = "p",
        .delivery = FG_EXACTLY_ONCE,
        .commit_records = 20,
        .commit_bytes = 1u << 20,
        .commit_interval_ms = 100,
        .stop_ms = 3000,
        .instance = "a",
        .topics = rig->topics,
        .n_topics = 1,
        .group = "g",
        .outputs = rig->outputs,
        .n_outputs = 2,
        .dead_topic = "dead",
        .attempts = 3,
        .changed = changed,
    };
}

void rig_use_sink(struct rig *rig)
{
    rig->sink = (struct fg_stage){"sink", "sink-rig", &rig_sink_plugin, NULL};
    rig->sink_self[0] = rig;
    rig->sink.selves = rig->sink_self;
    rig->config.sink = &rig->sink;
}

void rig_use_transform(struct rig *rig)
{
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        rig->transforms[i].rig = rig;
        rig->transform_selves[i] = &rig->transforms[i];
    }
    rig->transform = (struct fg_stage){"transforms.0", "transform-rig", &rig_transform_plugin, rig->transform_selves};
    rig->config.transforms = &rig->transform;
    rig->config.n_transforms = 1;
}

void rig_use_source(struct rig *rig, size_t n_owners, unsigned mails)
{
    fg_assert(n_owners <= RIG_OWNERS_MAX);
    rig->n_owners = n_owners;
    for (size_t i = 0; i < n_owners; i++) {
        struct rig_source_owner *owner = &rig->owners[i];
        (void)snprintf(owner->name, sizeof(owner->name), "box%zu", i);
        (void)snprintf(owner->key, sizeof(owner->key), "box%zu/inbox", i);
        owner->total = mails;
        owner->told = -1;
    }
    rig->source_self[0] = rig;
    rig->source = (struct fg_stage){"source", "source-rig", &rig_source_plugin, rig->source_self};
    rig->config.source = &rig->source;
    rig->config.cursors_topic = "cursors";
    rig->config.topics = NULL;
    rig->config.n_topics = 0;
}

void rig_open(struct rig *rig)
{
    struct fg_error err = FG_ERROR_NULL;
    int r;

    rig->config.env = &rig->sim.env;
    rig->config.bus = &rig->bus.bus;
    rig->config.budget = &rig->budget;
    rig->config.metrics = rig->metrics;
    rig->config.arg = rig;
    r = fg_pipeline_new(&rig->config, &rig->pipeline, &err);
    fg_assert(r == 0);
    fg_pipeline_start(rig->pipeline);
}

static void stopped(void *arg)
{
    struct rig *rig = arg;
    fg_assert(!rig->stopped); /* once */
    rig->stopped = true;
}

static bool is_stopped(void *arg)
{
    return ((struct rig *)arg)->stopped;
}

void rig_stop(struct rig *rig, bool now)
{
    bool in_time;

    rig->stopped = false;
    fg_pipeline_stop(rig->pipeline, now, stopped, rig);
    in_time = sim_run_until(&rig->sim, 20000, is_stopped, rig);
    fg_assert(in_time);
    rig_source_stop(rig);
    rig->pipeline = fg_pipeline_free(rig->pipeline);
}

void rig_deinit(struct rig *rig)
{
    size_t used;

    if (rig->pipeline)
        rig_stop(rig, true);
    sim_run_for(&rig->sim, 1000); /* late answers of a service, that nobody waits for */
    used = atomic_load(&rig->budget.used);
    fg_assert(used == 0);
    fg_assert(fg_list_empty(&rig->sink_deliveries));
    model_deinit(&rig->bus);
    sim_deinit(&rig->sim);
    rig->metrics = fg_metrics_free(rig->metrics);
}

void rig_put(struct rig *rig, const char *key, const char *value)
{
    const struct fg_header headers[] = {
        {FG_SLICE("ce_id"), fg_slice_of(value)},
        {FG_SLICE("traceparent"), FG_SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")},
    };
    model_write(&rig->bus, "in", -1, fg_slice_of(key), fg_slice_of(value), headers, 2);
}

void rig_put_numbered(struct rig *rig, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        char key[16], value[32];
        (void)snprintf(key, sizeof(key), "k%u", i % 4);
        (void)snprintf(value, sizeof(value), "k%u-%u", i % 4, i / 4);
        rig_put(rig, key, value);
    }
}

size_t rig_count(struct rig *rig, const char *topic)
{
    return model_count(model_topic(&rig->bus, topic, 1));
}

static void expect_numbered(struct rig *rig, unsigned i)
{
    const struct model_record *r;
    char key[16], value[32];

    (void)snprintf(key, sizeof(key), "k%u", i % 4);
    (void)snprintf(value, sizeof(value), "k%u-%u!", i % 4, i / 4);
    r = rig_seen(rig, "out", key, i / 4);
    assert_non_null(r);
    assert_true(fg_slice_is(r->value, value));
}

void rig_expect_numbered(struct rig *rig, unsigned n, size_t n_dead)
{
    for (unsigned i = 0; i < n; i++)
        expect_numbered(rig, i);
    assert_int_equal(rig_count(rig, "out"), n);
    assert_int_equal(rig_count(rig, "dead"), n_dead);
}

struct wish {
    struct rig *rig;
    struct model_topic *topic;
    size_t n;
    enum fg_pipeline_state state;
};

static bool count_reached(void *arg)
{
    struct wish *wish = arg;
    return model_count(wish->topic) >= wish->n;
}

bool rig_until_count(struct rig *rig, const char *topic, size_t n, uint64_t limit_ms)
{
    struct wish wish = {.topic = model_topic(&rig->bus, topic, 1), .n = n};
    return sim_run_until(&rig->sim, limit_ms, count_reached, &wish);
}

static bool state_reached(void *arg)
{
    struct wish *wish = arg;
    return rig_status(wish->rig).state == wish->state;
}

bool rig_until_state(struct rig *rig, enum fg_pipeline_state state, uint64_t limit_ms)
{
    struct wish wish = {.rig = rig, .state = state};
    return sim_run_until(&rig->sim, limit_ms, state_reached, &wish);
}

struct fg_pipeline_status rig_status(struct rig *rig)
{
    struct fg_pipeline_status status;
    fg_pipeline_status(rig->pipeline, &status);
    return status;
}

const struct model_record *rig_seen(struct rig *rig, const char *topic, const char *key, size_t k)
{
    struct model_topic *t = model_topic(&rig->bus, topic, 1);
    const struct model_record *r;

    for (int32_t p = 0; p < t->n_partitions; p++)
        for (size_t i = 0; (r = model_seen(t, p, i)); i++)
            if ((!key || fg_slice_is(r->key, key)) && k-- == 0)
                return r;
    return NULL;
}

struct fg_slice rig_header(const struct model_record *record, const char *name)
{
    for (size_t i = record->n_headers; i-- > 0;)
        if (fg_slice_is(record->headers[i].name, name))
            return record->headers[i].value;
    return FG_SLICE_NULL;
}
