/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong, at moments of chance: to processes, to Kafka, to Graph and to the service. */
#include "sim.h"

#define LONG_MS 25000u /* a process is stopped so long, at most: past the session and the transaction time-out */
#define EDGE_MS 9000u  /* a little less than sessions and transactions live */
#define DOWN_MS 15000u /* a place is empty so long, at most */

static struct place *any_place(struct world *w)
{
    struct place *place = &w->places[sim_random(&w->sim, w->n_places)];
    return place->now && !place->now->stopping ? place : NULL;
}

static void leave_empty(struct world *w, struct place *place)
{
    place->now = NULL;
    place->down_until_ms = w->sim.now_ms + 1 +
                           (sim_chance(&w->sim, 50) ? sim_random(&w->sim, 100) : sim_random(&w->sim, DOWN_MS));
}

static void kill_one(struct world *w)
{
    struct place *place = any_place(w);

    if (!place)
        return;
    w->n_kills++;
    node_kill(place->now);
    leave_empty(w, place);
}

static void stop_one(struct world *w)
{
    struct place *place = any_place(w);

    if (!place || place->now->process.frozen)
        return;
    node_stop(place->now, sim_chance(&w->sim, 30));
    leave_empty(w, place);
}

/* Short, long, or just about as long as sessions and transactions live. */
static uint64_t how_long(struct world *w)
{
    uint64_t dice = sim_random(&w->sim, 5);

    return dice == 0   ? sim_random(&w->sim, 1000)
           : dice <= 3 ? EDGE_MS + sim_random(&w->sim, EDGE_MS / 2)
                       : sim_random(&w->sim, LONG_MS);
}

static void freeze(struct node *node)
{
    uint64_t ms = how_long(node->world);

    sim_freeze(&node->process);
    node->n_freezes++;
    node->frozen_until_ms = node->world->sim.now_ms + ms;
    sim_trace(&node->process, "is frozen for %llu ms", (unsigned long long)ms);
}

static void freeze_one(struct world *w)
{
    struct place *place = any_place(w);

    if (place && !place->now->process.frozen)
        freeze(place->now);
}

static void twin_gone(void *arg)
{
    struct node *twin = arg;

    if (twin->stopping)
        return;
    twin->process.frozen = false;
    node_kill(twin);
}

/* A successor of the same name starts while the old one is frozen; then the old one goes on for a while. */
static void twin(struct world *w)
{
    struct place *place = any_place(w);
    struct node *old = place ? place->now : NULL;

    if (!old)
        return;
    sim_freeze(&old->process);
    old->n_freezes++;
    old->frozen_until_ms = w->sim.now_ms + sim_random(&w->sim, 14000);
    sim_trace(&old->process, "is frozen, and has a twin");
    node_start(w, place);
    w->n_kills++;
    sim_post(&w->sim, old->frozen_until_ms - w->sim.now_ms + sim_random(&w->sim, 5000), twin_gone, old);
}

static void isolate(struct node *node)
{
    node->client.isolated_until_ms = node->world->sim.now_ms + how_long(node->world);
    sim_trace(&node->process, "reaches no broker");
}

static void isolate_one(struct world *w)
{
    struct place *place = any_place(w);

    if (place)
        isolate(place->now);
}

static void slow_one(struct world *w)
{
    struct place *place = any_place(w);

    if (!place)
        return;
    place->now->client.slow_until_ms = w->sim.now_ms + sim_random(&w->sim, 10000);
    place->now->client.slow_ms_max = 20 + sim_random(&w->sim, 3000);
    sim_trace(&place->now->process, "has a slow way to the brokers");
}

static void clock_one(struct world *w)
{
    struct place *place = any_place(w);

    if (place)
        place->now->process.wall_skew_ms = (int64_t)sim_random(&w->sim, 7200000) - 3600000;
}

static void back(void *arg)
{
    struct world *w = arg;
    w->bus.away = false;
    sim_trace(&w->sim.self, "brokers are back");
}

static void brokers_away(struct world *w)
{
    if (w->bus.away)
        return;
    w->bus.away = true;
    sim_trace(&w->sim.self, "brokers are away");
    sim_post(&w->sim, 1 + sim_random(&w->sim, sim_chance(&w->sim, 50) ? 500 : 14000), back, w);
}

static void rebalance(struct world *w)
{
    bool lost = sim_chance(&w->sim, 50);

    sim_trace(&w->sim.self, "groups rebalance%s", lost ? ", all lost" : "");
    model_rebalance(&w->bus, lost);
}

static void publish_fault(struct world *w)
{
    for (uint64_t n = 1 + sim_random(&w->sim, 3); n > 0 && w->bus.n_script < 60; n--)
        model_fault(&w->bus, (enum model_fault)(1 + sim_random(&w->sim, _MODEL_FAULT_N - 1)));
}

static void service_fault(struct world *w)
{
    w->service = (enum service)(1 + sim_random(&w->sim, _SERVICE_N - 1));
    w->service_until_ms = w->sim.now_ms + sim_random(&w->sim, 12000);
    w->retry_after_ms = sim_chance(&w->sim, 30) ? 0 : 1000 * (1 + (uint32_t)sim_random(&w->sim, 6));
    sim_trace(&w->sim.self, "service: %d until %llu", w->service, (unsigned long long)w->service_until_ms);
}

static void graph_fault(struct world *w)
{
    w->graph = (enum graph)(1 + sim_random(&w->sim, _GRAPH_N - 1));
    w->graph_until_ms = w->sim.now_ms + sim_random(&w->sim, 12000);
    if (sim_chance(&w->sim, 30))
        w->folders[sim_random(&w->sim, w->n_folders)].epoch++;
    sim_trace(&w->sim.self, "graph: %d until %llu", w->graph, (unsigned long long)w->graph_until_ms);
}

/* What every group has read may go; of cursors only the last of each key is needed. */
static void clean_up(struct world *w)
{
    struct model_topic *documents = w->documents.topic;

    for (int32_t p = 0; p < documents->n_partitions; p++) {
        int64_t read = model_committed(&w->bus, "fragua.recognise", "documents", p);
        if (read > 0)
            model_retain(documents, p, (size_t)sim_random(&w->sim, (uint64_t)read + 1));
    }
    model_compact(model_topic(&w->bus, "cursors", 1));
    sim_trace(&w->sim.self, "retention and compaction");
}

static void pause_one(struct world *w)
{
    struct place *place = any_place(w);

    if (!place)
        return;
    for (unsigned i = 0; i < place->now->n_lines; i++) {
        struct line *line = &place->now->lines[i];
        if (line->pipeline && sim_chance(&w->sim, 50))
            fg_pipeline_pause(line->pipeline);
        else if (line->pipeline)
            fg_pipeline_resume(line->pipeline);
    }
}

static void fail_one(struct world *w)
{
    struct place *place = any_place(w);
    struct line *line = place ? &place->now->lines[sim_random(&w->sim, place->now->n_lines)] : NULL;
    struct fg_error err;

    if (!line || !line->pipeline || place->now->process.frozen)
        return;
    if (sim_chance(&w->sim, 50)) {
        fg_error_set(&err, FG_E_FENCED, FG_ERROR_FATAL, "the consumer is dead");
        sim_trace(&place->now->process, "its consumers are dead");
        model_client_trouble(&place->now->client, &err);
        return;
    }
    sim_trace(&place->now->process, "%s fails", line->config.name);
    line->now[STAGE_SINK]->fails = !line->ingest;
    fg_error_set(&err, FG_E_CONFIG, FG_ERROR_FATAL, "the source cannot go on");
    if (line->ingest)
        fg_pipeline_source_trouble(line->pipeline, line->now[STAGE_SOURCE], &err);
}

/* A configuration that changed, for one process. */
static void reload_one(struct world *w)
{
    struct place *place = any_place(w);

    for (unsigned i = 0; place && !place->now->process.frozen && i < place->now->n_lines; i++)
        if (sim_chance(&w->sim, 80))
            line_reload(&place->now->lines[i]);
}

static void wreck(void *arg)
{
    struct node *node = arg;
    struct world *w = node->world;

    if (node->ghost)
        return;
    w->n_kills++;
    node_kill(node);
    for (unsigned i = 0; i < w->n_places; i++)
        if (w->places[i].now == node)
            leave_empty(w, &w->places[i]);
}

void mishap_wreck(struct node *node)
{
    sim_post(&node->world->sim, 0, wreck, node);
}

enum strike { STRIKE_KILL, STRIKE_FREEZE, STRIKE_ISOLATE, _STRIKE_N };

/* Before a request of a publish leaves its process. */
static void strike_now(void *arg, struct model_client *client, unsigned k)
{
    struct world *w = arg;
    struct node *node = w->struck;

    if (!node || client != &node->client || (w->strike_first && k != 1) || w->strike_steps-- > 0)
        return;
    w->struck = NULL;
    if (node->stopping || node->process.frozen)
        return;
    if (w->strike == STRIKE_FREEZE)
        freeze(node);
    else if (w->strike == STRIKE_ISOLATE)
        isolate(node);
    else
        wreck(node);
}

/* Something befalls a process in the middle of a publish. */
static void strike_one(struct world *w)
{
    struct place *place = any_place(w);

    if (!place)
        return;
    w->struck = place->now;
    w->strike = sim_chance(&w->sim, 50) ? STRIKE_FREEZE : (unsigned)sim_random(&w->sim, _STRIKE_N);
    w->strike_steps = (unsigned)sim_random(&w->sim, 8);
    w->strike_first = sim_chance(&w->sim, 50); /* then nothing is open at the broker that would time out */
    w->bus.before_step = strike_now;
    w->bus.before_step_arg = w;
}

static void (*const mishaps[])(struct world *w) = {
    strike_one,    strike_one,    strike_one,    strike_one,    kill_one,    kill_one,     stop_one,  freeze_one,
    freeze_one,    twin,          isolate_one,   slow_one,      clock_one,   brokers_away, rebalance, rebalance,
    publish_fault, publish_fault, service_fault, service_fault, graph_fault, clean_up,     pause_one, fail_one,
    reload_one,    reload_one,
};

static void next_mishap(void *arg)
{
    struct world *w = arg;

    if (w->calm || w->mishaps_left == 0)
        return;
    w->mishaps_left--;
    mishaps[sim_random(&w->sim, sizeof(mishaps) / sizeof(mishaps[0]))](w);
    sim_post(&w->sim, 1 + sim_random(&w->sim, w->mishap_gap_ms), next_mishap, w);
}

/* Somebody changes the configuration again and again, whatever else happens. */
static void next_reload(void *arg)
{
    struct world *w = arg;

    if (w->calm)
        return;
    reload_one(w);
    sim_post(&w->sim, 1 + sim_random(&w->sim, w->reload_gap_ms), next_reload, w);
}

void mishaps_begin(struct world *w)
{
    if (w->reload_gap_ms)
        sim_post(&w->sim, sim_random(&w->sim, w->reload_gap_ms), next_reload, w);
    sim_post(&w->sim, sim_random(&w->sim, w->mishap_gap_ms), next_mishap, w);
}

void mishaps_end(struct world *w)
{
    w->calm = true;
    w->calm_ms = w->sim.now_ms;
    w->bus.away = false;
    w->bus.abort_percent = w->bus.dead_percent = 0;
    w->bus.n_script = 0;
    w->bus.before_step = NULL;
    w->service_until_ms = w->graph_until_ms = 0;
    for (struct fg_list *l = w->nodes.next; l != &w->nodes; l = l->next) {
        struct node *node = fg_container_of(l, struct node, link);
        node->client.isolated_until_ms = node->client.slow_until_ms = 0;
        if (node->process.frozen)
            sim_thaw(&node->process);
        for (unsigned i = 0; i < node->n_lines; i++)
            if (node->lines[i].pipeline)
                fg_pipeline_resume(node->lines[i].pipeline);
    }
    for (unsigned i = 0; i < w->n_places; i++)
        if (!w->places[i].now)
            node_start(w, &w->places[i]);
    sim_trace(&w->sim.self, "all is well again");
}
