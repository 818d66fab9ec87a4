/* SPDX-License-Identifier: Apache-2.0 */
/* A node: one simulated process with its pipelines. It is started, stopped, frozen, or killed and then taken apart. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sim.h"

static void line_config(struct line *line)
{
    struct node *node = line->node;
    struct world *w = line->world;

    line->config = (struct fg_pipeline_config){
        .name = line->ingest ? "ingest" : "recognise",
        .env = &node->process.env,
        .bus = &node->client.bus,
        .budget = &node->budget,
        .metrics = node->metrics,
        .logger = node->logger,
        .delivery = w->delivery,
        .commit_records = w->commit_records,
        .commit_bytes = 1u << 20,
        .commit_interval_ms = w->commit_interval_ms,
        .stop_ms = w->stop_ms,
        .instance = node->name,
        .group = line->ingest ? "fragua.ingest" : "fragua.recognise",
        .outputs = line->outputs,
        .dead_topic = "dead",
        .attempts = SIM_ATTEMPTS,
        .retry_cap_ms = w->retry_cap_ms,
    };
}

static void make_ingest(struct line *line)
{
    line->outputs[0] = (struct fg_output){"", "documents"};
    line->outputs[1] = (struct fg_output){"parts", "parts"};
    line->config.source = &line->versions->stages[STAGE_SOURCE];
    line->config.cursors_topic = "cursors";
    line->config.transforms = &line->versions->stages[STAGE_TRANSFORM];
    line->config.n_transforms = 1;
    line->config.n_outputs = 2;
}

static void make_recognise(struct line *line)
{
    line->topics[0] = "documents";
    line->outputs[0] = (struct fg_output){"", "entities"};
    line->config.topics = line->topics;
    line->config.n_topics = 1;
    line->config.transforms = &line->versions->stages[STAGE_TRANSFORM];
    line->config.n_transforms = line->world->recognise_transforms;
    line->config.sink = &line->versions->stages[STAGE_SINK];
    line->config.n_outputs = 1;
}

static void line_start(struct node *node, bool ingest)
{
    struct line *line = &node->lines[node->n_lines++];
    struct fg_error err = FG_ERROR_NULL;
    int r;

    line->node = node;
    line->world = node->world;
    line->ingest = ingest;
    line->number = ++line->world->n_line_numbers;
    (void)version_new(line);
    for (int s = 0; s < _STAGE_N; s++)
        line->now[s] = line->versions;
    line_config(line);
    if (ingest)
        make_ingest(line);
    else
        make_recognise(line);
    r = fg_pipeline_new(&line->config, &line->pipeline, &err);
    fg_assert(r == 0);
    node->n_open++;
    fg_pipeline_start(line->pipeline);
}

struct node *node_start(struct world *w, struct place *place)
{
    struct node *node = fg_calloc(1, sizeof(*node));

    node->world = w;
    (void)snprintf(node->name, sizeof(node->name), "%s", place->name);
    sim_process_init(&w->sim, &node->process, node->name, w->n_workers);
    model_client_init(&w->bus, &node->client, &node->process);
    fg_budget_init(&node->budget, w->budget_bytes);
    node->metrics = fg_metrics_new();
    node->logger = (struct fg_logger){.log = w->options.log, .pipeline = node->name};
    fg_list_append(&w->nodes, &node->link);
    w->n_nodes++;
    place->now = node;
    place->down_until_ms = 0;
    sim_trace(&node->process, "starts");
    if (place->ingest)
        line_start(node, true);
    if (place->recognise)
        line_start(node, false);
    return node;
}

static void line_stopped(void *arg)
{
    struct line *line = arg;
    struct node *node = line->node;
    struct fg_pipeline_status status;

    fg_assert(!line->stopped); /* once */
    fg_assert(!line->reloading || line->is_held);
    fg_assert(line->n_unreleased == 0);
    line->stopped = true;
    fg_pipeline_status(line->pipeline, &status);
    node->world->ledger.aborts += status.aborts;
    node->world->ledger.handles += status.handles_recreated;
    if (line->ingest)
        version_source_stop(line->now[STAGE_SOURCE]);
    line->pipeline = fg_pipeline_free(line->pipeline);
    node->n_open--;
    sim_trace(&node->process, "%s has stopped", line->config.name);
}

void node_stop(struct node *node, bool now)
{
    bool again = node->stopping;

    sim_trace(&node->process, "stops%s", now ? " now" : "");
    node->stopping = true;
    for (unsigned i = 0; i < node->n_lines; i++)
        if (node->lines[i].pipeline)
            fg_pipeline_stop(node->lines[i].pipeline, now, again ? NULL : line_stopped, &node->lines[i]);
}

void node_kill(struct node *node)
{
    bool again = node->stopping;

    sim_trace(&node->process, "is killed");
    model_client_cut(&node->client);
    node->ghost = node->stopping = true;
    for (unsigned i = 0; i < node->n_lines; i++)
        if (node->lines[i].pipeline)
            fg_pipeline_stop(node->lines[i].pipeline, true, again ? NULL : line_stopped, &node->lines[i]);
    sim_thaw(&node->process);
}

bool node_is_gone(const struct node *node)
{
    return node->n_open == 0 && node->client.n_handles == 0 && node->process.n_events == 0;
}

void node_note_budget(struct node *node)
{
    size_t used = fg_budget_used(&node->budget);
    if (used > node->budget_max)
        node->budget_max = used;
}

void node_free(struct node *node)
{
    fg_list_remove(&node->link);
    sim_process_deinit(&node->process);
    fg_metrics_free(node->metrics);
    for (unsigned i = 0; i < node->n_lines; i++)
        versions_free(&node->lines[i]);
    free(node);
}
