/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of a line's stages, and its reloads: hold, swap, release, with other things going wrong in between. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sim.h"

struct version *version_new(struct line *line)
{
    struct version *v = fg_calloc(1, sizeof(*v));

    v->older = line->versions;
    line->versions = v;
    v->line = line;
    v->node = line->node;
    v->world = line->world;
    v->number = ++line->world->n_versions;
    fg_list_init(&v->deliveries);
    for (size_t i = 0; i < sizeof(v->selves) / sizeof(v->selves[0]); i++)
        v->selves[i] = v;
    v->stages[STAGE_SOURCE] = (struct fg_stage){"source", "source-sim", &sim_source_plugin, v->selves};
    v->stages[STAGE_TRANSFORM] =
        line->ingest ? (struct fg_stage){"transforms.0", "transform-forge", &sim_forge_plugin, v->selves}
                     : (struct fg_stage){"transforms.0", "transform-pass", &sim_pass_plugin, v->selves};
    v->stages[STAGE_SINK] = (struct fg_stage){"sink", "sink-sim", &sim_sink_plugin, v->selves};
    if (line->ingest)
        version_source_init(v);
    return v;
}

void versions_free(struct line *line)
{
    while (line->versions) {
        struct version *v = line->versions;
        line->versions = v->older;
        free(v);
    }
}

size_t version_stamp(const struct version *v, const char *name, const struct fg_record_view *in, struct fg_header *ret,
                     char text[SIM_STAMP_MAX])
{
    size_t n = in->n_headers;

    fg_assert(n < 8);
    if (n)
        memcpy(ret, in->headers, n * sizeof(*ret));
    (void)snprintf(text, SIM_STAMP_MAX, "%u.%u", v->line->number, v->number);
    ret[n] = (struct fg_header){fg_slice_of(name), fg_slice_of(text)};
    return n + 1;
}

/* What one swap took out of use. */
struct swapped {
    struct line *line;
    struct version *old[_STAGE_N]; /* NULL: it stays */
};

static void released(void *arg)
{
    struct swapped *swapped = arg;

    swapped->line->n_unreleased--;
    for (int s = 0; s < _STAGE_N; s++)
        if (swapped->old[s])
            swapped->old[s]->gone[s] = true;
    if (swapped->old[STAGE_SOURCE] && swapped->line->ingest)
        version_source_stop(swapped->old[STAGE_SOURCE]);
    free(swapped);
}

static void swap(struct line *line)
{
    struct world *w = line->world;
    struct swapped *swapped = fg_calloc(1, sizeof(*swapped));
    struct version *v = version_new(line);
    struct fg_pipeline_status status;

    fg_pipeline_status(line->pipeline, &status);
    fg_assert(status.batches == 0);
    swapped->line = line;
    for (int s = 0; s < _STAGE_N; s++) {
        if (sim_chance(&w->sim, 40))
            continue;
        swapped->old[s] = line->now[s];
        line->now[s] = v;
    }
    if (line->ingest && line->now[STAGE_SOURCE] != v)
        version_source_stop(v); /* it was never at work */
    sim_trace(&line->node->process, "%s: version %u for%s%s%s", line->config.name, v->number,
              swapped->old[STAGE_SOURCE] ? " source" : "", swapped->old[STAGE_TRANSFORM] ? " transform" : "",
              swapped->old[STAGE_SINK] ? " sink" : "");
    line->n_unreleased++;
    fg_pipeline_swap(line->pipeline,
                     &(struct fg_pipeline_stages){
                         .source = line->ingest ? &line->now[STAGE_SOURCE]->stages[STAGE_SOURCE] : NULL,
                         .transforms = &line->now[STAGE_TRANSFORM]->stages[STAGE_TRANSFORM],
                         .n_transforms = line->ingest || sim_chance(&w->sim, 50),
                         .sink = line->ingest ? NULL : &line->now[STAGE_SINK]->stages[STAGE_SINK],
                         .attempts = SIM_ATTEMPTS,
                         .commit_records = w->commit_records + sim_random(&w->sim, 30),
                         .commit_bytes = 1u << 20,
                         .commit_interval_ms = line->config.commit_interval_ms,
                         .stop_ms = line->config.stop_ms,
                     },
                     released, swapped);
}

static void release(void *arg)
{
    struct line *line = arg;

    if (!line->pipeline)
        return;
    line->reloading = line->is_held = false;
    sim_trace(&line->node->process, "%s is released", line->config.name);
    fg_pipeline_release(line->pipeline);
}

static void go_on(void *arg)
{
    struct line *line = arg;
    struct world *w = line->world;

    if (!line->pipeline)
        return;
    for (unsigned n = sim_chance(&w->sim, 90) ? 1 + sim_chance(&w->sim, 10) : 0; n > 0; n--)
        swap(line);
    if (sim_chance(&w->sim, 75))
        release(line);
    else
        sim_process_post(&line->node->process, sim_random(&w->sim, 3000), release, line);
}

static void held(void *arg, bool drained)
{
    struct line *line = arg;
    struct world *w = line->world;
    uint64_t took_ms = w->sim.now_ms - line->asked_ms;

    fg_assert(line->reloading && !line->is_held); /* once */
    line->is_held = true;
    w->ledger.reloads++;
    w->ledger.drained += drained;
    sim_trace(&line->node->process, "%s is held after %llu ms%s", line->config.name, (unsigned long long)took_ms,
              drained ? "" : ", and forgot what was in flight");
    if (took_ms > line->drain_ms && line->node->n_freezes == line->freezes)
        w->ledger.late_holds++;
    if (sim_chance(&w->sim, 60))
        go_on(line);
    else
        sim_process_post(&line->node->process, sim_random(&w->sim, sim_chance(&w->sim, 50) ? 50 : 6000), go_on, line);
}

void line_reload(struct line *line)
{
    struct world *w = line->world;
    uint64_t dice = sim_random(&w->sim, 4);

    if (!line->pipeline || line->reloading)
        return;
    line->reloading = true;
    line->asked_ms = w->sim.now_ms;
    line->freezes = line->node->n_freezes;
    line->drain_ms = dice == 0   ? 0
                     : dice == 1 ? sim_random(&w->sim, 30)
                     : dice == 2 ? sim_random(&w->sim, 2000)
                                 : 10000;
    sim_trace(&line->node->process, "%s reloads, within %llu ms", line->config.name,
              (unsigned long long)line->drain_ms);
    fg_pipeline_hold(line->pipeline, (uint32_t)line->drain_ms, held, line);
}
