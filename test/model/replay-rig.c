/* SPDX-License-Identifier: Apache-2.0 */
/* Replays of dead letters on simulated Kafka: begun, ended, and what they should have done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "replay-rig.h"

#define LATE_MS 30000 /* by then every commit that a dead producer left under way has come, or was refused */

static void on_told(void *arg, const struct fg_replay_news *news)
{
    struct rig_replay *run = arg;

    assert_true(run->n_news < RIG_NEWS_MAX);
    run->fates[run->n_news++] = news->fate == FG_REPLAY_SENT ? 's' : 'l';
    if (news->fate == FG_REPLAY_LEFT)
        (void)snprintf(run->why, sizeof(run->why), "%s", news->why->text);
    else
        (void)snprintf(run->topic, sizeof(run->topic), "%s", news->topic ? news->topic : "-");
    if (run->told)
        run->told(run);
}

static void on_done(void *arg, const struct fg_replay_counts *counts, const struct fg_error *err)
{
    struct rig_replay *run = arg;

    assert_false(run->done);
    run->done = true;
    run->counts = *counts;
    run->err = err ? *err : FG_ERROR_NULL;
    run->replay = fg_replay_free(run->replay);
}

void rig_replay_init(struct rig_replay *run, struct rig *rig)
{
    *run = (struct rig_replay){.rig = rig};
    rig_use_transform(rig);
    run->routes[0] = (struct fg_replay_route){.pipeline = "p", .inputs = rig->topics, .n_inputs = 1};
    run->routes[1] = (struct fg_replay_route){.pipeline = "s", .source = true, .transforms = &rig->transform,
                                              .n_transforms = 1, .outputs = rig->outputs, .n_outputs = 2};
    run->config = (struct fg_replay_config){
        .env = &rig->sim.env,
        .bus = &rig->bus.bus,
        .budget = &rig->budget,
        .dead_topic = "dead",
        .routes = run->routes,
        .n_routes = 2,
        .conditions = run->conditions,
        .told = on_told,
        .done = on_done,
        .arg = run,
    };
}

void rig_replay_init_apart(struct rig_replay *run, struct rig *rig, const char *name)
{
    rig_replay_init(run, rig);
    run->own = true;
    sim_process_init(&rig->sim, &run->process, name, RIG_WORKERS);
    model_client_init(&rig->bus, &run->client, &run->process);
    run->config.env = &run->process.env;
    run->config.bus = &run->client.bus;
}

void rig_replay_deinit(struct rig_replay *run)
{
    if (!run->own)
        return;
    sim_run_for(&run->rig->sim, 1000);
    sim_process_deinit(&run->process);
}

void rig_replay_choose(struct rig_replay *run, const char *filter)
{
    struct fg_letter_condition *condition = &run->conditions[run->config.n_conditions++];
    struct fg_error err;

    assert_int_equal(fg_letter_condition_read(filter, run->rig->sim.wall_start_ms, condition, &err), 0);
}

bool rig_replay_is_done(void *arg)
{
    return ((struct rig_replay *)arg)->done;
}

void rig_replay_begin(struct rig_replay *run)
{
    run->replay = fg_replay_start(&run->config);
}

void rig_replay_finish(struct rig_replay *run)
{
    if (!run->replay && !run->done)
        rig_replay_begin(run);
    assert_true(sim_run_until(&run->rig->sim, 600000, rig_replay_is_done, run));
    sim_run_for(&run->rig->sim, LATE_MS);
}

void rig_replay_expect_no_error(const struct rig_replay *run)
{
    if (run->err.code)
        fail_msg("%s", run->err.text);
}

/* ---- letters ---- */

void rig_put_letter_of(struct rig *rig, const char *key, const char *value, const char *pipeline, const char *origin,
                       const char *reason)
{
    const struct fg_header headers[] = {
        {FG_SLICE("ce_id"), fg_slice_of(value)},
        {FG_SLICE("ce_type"), FG_SLICE("a.type")},
        {FG_SLICE("traceparent"), FG_SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")},
        {FG_SLICE("fragua_replayed"), FG_SLICE("dead/0/999")},
        {FG_SLICE("fragua_reason"), fg_slice_of(reason)},
        {FG_SLICE("fragua_code"), FG_SLICE("refused")},
        {FG_SLICE("fragua_stage"), FG_SLICE("sink")},
        {FG_SLICE("fragua_pipeline"), fg_slice_of(pipeline)},
        {FG_SLICE("fragua_attempts"), FG_SLICE("3")},
        {FG_SLICE("fragua_origin"), fg_slice_of(origin)},
    };
    model_write(&rig->bus, "dead", 0, fg_slice_of(key), fg_slice_of(value), headers, 10);
}

void rig_put_letter(struct rig *rig, const char *key, const char *value)
{
    rig_put_letter_of(rig, key, value, "p", "in/0/0", "the service refuses this");
}

void rig_put_letters(struct rig *rig, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char key[16], value[16];
        (void)snprintf(key, sizeof(key), "k%u", i % 2);
        (void)snprintf(value, sizeof(value), "v%u", i);
        rig_put_letter(rig, key, value);
    }
}

/* ---- what became of them ---- */

void rig_expect_each_replayed_once(struct rig *rig, unsigned n)
{
    assert_int_equal(rig_count(rig, "in"), n);
    for (unsigned i = 0; i < n; i++) {
        char key[16], value[16];
        const struct model_record *r;
        (void)snprintf(key, sizeof(key), "k%u", i % 2);
        (void)snprintf(value, sizeof(value), "v%u", i);
        r = rig_seen(rig, "in", key, i / 2);
        assert_non_null(r);
        assert_true(fg_slice_is(r->value, value));
    }
}

void rig_replay_expect_committed(struct rig *rig, int64_t next, const char *metadata)
{
    const char *found = model_metadata(&rig->bus, RIG_REPLAY_GROUP, "dead", 0);

    assert_int_equal(model_committed(&rig->bus, RIG_REPLAY_GROUP, "dead", 0), next);
    assert_string_equal(found ? found : "", metadata);
}
