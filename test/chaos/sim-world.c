/* SPDX-License-Identifier: Apache-2.0 */
/* One run: the mix that a seed asks for, the time of mishaps, the time after it, and the reckoning. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sim.h"

#define STEP_MS    200u     /* the world looks after its places and its ledger so often */
#define LIMIT_MS   1800000u /* after the last mishap, until everything must be where it should be */
#define AFTER_MS   3000u    /* then so long for what should not come any more */
#define STOP_MS    60000u
#define TRICKLE_MS 30000u /* a mail comes so often after that */

static uint64_t between(struct world *w, uint64_t from, uint64_t to)
{
    return from + sim_random(&w->sim, to - from + 1);
}

static void mix_kafka(struct world *w)
{
    struct model_bus *bus = &w->bus;

    model_topic(bus, "cursors", (int32_t)between(w, 1, 6));
    model_topic(bus, "documents", (int32_t)between(w, 1, 6));
    model_topic(bus, "parts", (int32_t)between(w, 1, 2));
    model_topic(bus, "entities", (int32_t)between(w, 1, 4))->message_bytes_max = 10000;
    model_topic(bus, "dead", (int32_t)between(w, 1, 2));
    bus->net_ms_max = between(w, 0, 5);
    /* slow brokers and a transaction for each record would take for ever, and say nothing */
    bus->marker_ms_max = w->commit_records >= 20 && sim_chance(&w->sim, 50) ? between(w, 0, 500) : between(w, 0, 10);
    bus->heartbeat_ms = between(w, 500, 3000);
    bus->join_ms = between(w, 0, 3000);
    bus->rebalance_ms = between(w, 10000, 60000);
    bus->abort_percent = sim_chance(&w->sim, 50) ? (unsigned)between(w, 0, 15) : 0;
    bus->dead_percent = sim_chance(&w->sim, 40) ? (unsigned)between(w, 0, 8) : 0;
}

static void mix_flow(struct world *w)
{
    static const size_t records[] = {1, 5, 10, 20, 50, 200};

    w->exactly_once = sim_random(&w->sim, 8) != 0;
    w->delivery = w->exactly_once ? FG_EXACTLY_ONCE : FG_AT_LEAST_ONCE;
    w->commit_records = records[between(w, 0, 5)];
    w->commit_interval_ms = (uint32_t)between(w, 20, 300);
    w->retry_cap_ms = (uint32_t)between(w, 500, 30000);
    w->stop_ms = (uint32_t)between(w, 500, 5000);
    w->budget_bytes = sim_chance(&w->sim, 40) ? between(w, 100000, 400000) : 8u << 20;
    w->n_workers = (unsigned)between(w, 1, 3);
    w->sink_limits = (struct fg_sink_limits){between(w, 1, 16), 1u << 20, between(w, 1, 8)};
    w->service_ms_max = between(w, 1, 60);
    w->page_max = between(w, 1, 40);
    w->recognise_transforms = sim_chance(&w->sim, 30);
    w->sim.work_ms_max = between(w, 0, 10);
}

static void add_place(struct world *w, const char *kind, unsigned k, bool ingest, bool recognise)
{
    struct place *place = &w->places[w->n_places++];

    *place = (struct place){.ingest = ingest, .recognise = recognise};
    (void)snprintf(place->name, sizeof(place->name), "%s%u", kind, k);
    /* not all begin at the same moment */
    place->down_until_ms = w->sim.now_ms + (sim_chance(&w->sim, 70) ? 1 : between(w, 0, 8000));
}

static void mix(struct world *w)
{
    unsigned n_ingest = (unsigned)between(w, 1, 3), n_recognise = (unsigned)between(w, 1, 3);

    w->combined = sim_chance(&w->sim, 25);
    mix_flow(w);
    mix_kafka(w);
    w->n_folders = (unsigned)between(w, 2, SIM_FOLDERS_MAX);
    w->n_early = w->options.mails ? w->options.mails : 1000;
    w->n_mails = w->n_early + w->n_folders + SIM_TRICKLE;
    w->mishaps_left = sim_chance(&w->sim, 5) ? 0 : (unsigned)between(w, 1, 14);
    w->mishap_gap_ms = between(w, 200, 8000);
    w->reload_gap_ms = sim_chance(&w->sim, 40) ? between(w, 50, 4000) : 0;
    for (unsigned i = 0; i < n_ingest; i++)
        add_place(w, w->combined ? "c" : "i", i, true, w->combined);
    for (unsigned i = 0; i < n_recognise && !w->combined; i++)
        add_place(w, "r", i, false, true);
    mails_make(w);
}

/* ---- the run ---- */

static void look_after_places(struct world *w)
{
    for (unsigned i = 0; i < w->n_places; i++) {
        struct place *place = &w->places[i];
        if (!place->now && w->sim.now_ms >= place->down_until_ms)
            node_start(w, place);
    }
    for (struct fg_list *l = w->nodes.next; l != &w->nodes; l = l->next) {
        struct node *node = fg_container_of(l, struct node, link);
        if (node->process.frozen && w->sim.now_ms >= node->frozen_until_ms) {
            sim_trace(&node->process, "goes on");
            sim_thaw(&node->process);
        }
    }
}

/* A mail now and then while there are mishaps; the late ones wait until they are over. */
static void issue(void *arg)
{
    struct world *w = arg;

    if (w->calm || w->n_issued >= w->n_early)
        return;
    for (uint64_t n = 1 + sim_random(&w->sim, 12); n > 0 && w->n_issued < w->n_early; n--)
        mail_issue(w);
    sim_post(&w->sim, sim_random(&w->sim, 250), issue, w);
}

static void live(struct world *w)
{
    uint64_t quiet_ms = between(w, 0, 3000);

    for (uint64_t n = between(w, 0, w->n_early / 2); n > 0; n--)
        mail_issue(w);
    issue(w);
    mishaps_begin(w);
    while (w->mishaps_left > 0 || w->n_issued < w->n_early) {
        look_after_places(w);
        sim_run_for(&w->sim, STEP_MS);
        ledger_read(w);
    }
    sim_run_for(&w->sim, quiet_ms);
    mishaps_end(w);
}

/* Who stands still, and why: for the trace of a run that does not come to its end. */
static void say_where(struct world *w)
{
    for (struct fg_list *l = w->nodes.next; l != &w->nodes; l = l->next) {
        struct node *node = fg_container_of(l, struct node, link);
        for (unsigned i = 0; i < node->n_lines; i++) {
            struct fg_pipeline_status s;
            if (!node->lines[i].pipeline)
                continue;
            fg_pipeline_status(node->lines[i].pipeline, &s);
            sim_trace(&node->process,
                      "%s: %s, %zu partitions, %zu records in %zu batches, %zu of %zu bytes, %s: %.100s",
                      node->lines[i].config.name, fg_pipeline_state_name(s.state), s.partitions, s.in_flight_records,
                      s.batches, fg_budget_used(&node->budget), node->budget.limit, s.trouble_node, s.trouble.text);
        }
    }
}

static void recover(struct world *w)
{
    uint64_t trickle_ms = w->sim.now_ms + TRICKLE_MS;

    while (w->n_issued < w->n_early + w->n_folders)
        mail_issue(w);
    ledger_read(w);
    ledger_calm(w);
    while (w->ledger.done < w->n_issued && w->sim.now_ms < w->calm_ms + LIMIT_MS) {
        look_after_places(w);
        sim_run_for(&w->sim, STEP_MS);
        if (w->sim.now_ms >= trickle_ms) {
            mail_issue(w);
            trickle_ms = w->sim.now_ms + TRICKLE_MS;
        }
        ledger_read(w);
        if (!w->ledger.recovery_ms && ledger_has_recovered(w))
            w->ledger.recovery_ms = w->sim.now_ms - w->calm_ms;
    }
    if (w->ledger.done < w->n_issued)
        say_where(w);
    w->ledger.drained_ms = w->sim.now_ms - w->calm_ms;
    if (!w->ledger.recovery_ms)
        w->ledger.recovery_ms = w->ledger.drained_ms;
    sim_run_for(&w->sim, AFTER_MS);
}

/* ---- the reckoning ---- */

static bool all_gone(void *arg)
{
    struct world *w = arg;

    for (struct fg_list *l = w->nodes.next; l != &w->nodes; l = l->next)
        if (!node_is_gone(fg_container_of(l, struct node, link)))
            return false;
    return true;
}

/* One fill or poll may go over the limit, with the room that is kept for what becomes of it. */
static size_t most_allowed(const struct world *w)
{
    size_t record = 4700 + 3 * 300;
    size_t fill = (w->page_max + 1) * record;

    return w->budget_bytes + fill * (1 + FG_BUDGET_GROWTH) + w->sink_limits.records_max * 20600;
}

static void reckon(struct world *w)
{
    struct fg_list *l;

    for (l = w->nodes.next; l != &w->nodes; l = l->next) {
        struct node *node = fg_container_of(l, struct node, link);
        if (!node->stopping)
            node_stop(node, sim_chance(&w->sim, 50));
    }
    if (!sim_run_until(&w->sim, STOP_MS, all_gone, w)) {
        w->ledger.unclean++;
        sim_trace(&w->sim.self, "some node does not end");
    }
    while ((l = w->nodes.next) != &w->nodes) {
        struct node *node = fg_container_of(l, struct node, link);
        if (fg_budget_used(&node->budget) || !node_is_gone(node)) {
            w->ledger.unclean++;
            sim_trace(&node->process, "unclean: %zu bytes, %u lines, %zu handles, %zu events",
                      fg_budget_used(&node->budget), node->n_open, node->client.n_handles, node->process.n_events);
        }
        if (node->budget_max > most_allowed(w)) {
            w->ledger.over_budget++;
            sim_trace(&node->process, "over budget: %zu bytes of %zu, with %zu more allowed", node->budget_max,
                      w->budget_bytes, most_allowed(w) - w->budget_bytes);
        }
        node_free(node);
    }
}

void world_run(const struct options *options, struct ledger *ret)
{
    struct world *w = fg_calloc(1, sizeof(*w));

    w->options = *options;
    sim_init(&w->sim, options->seed * 0x9e3779b97f4a7c15u + 1, 1);
    w->sim.trace = options->trace;
    w->sim.trace_arg = options->trace_arg;
    w->sim.self.name = "world";
    model_init(&w->bus, &w->sim, true);
    fg_list_init(&w->nodes);
    mix(w);
    ledger_open(w);
    sim_trace(&w->sim.self, "seed %llu: %zu mails in %u folders, %s%s, %u places, commit of %zu, %u mishaps",
              (unsigned long long)options->seed, w->n_mails, w->n_folders,
              w->exactly_once ? "exactly once" : "at least once", w->combined ? ", combined" : "", w->n_places,
              w->commit_records, w->mishaps_left);
    live(w);
    recover(w);
    reckon(w);
    ledger_settle(w);
    w->ledger.sim_ms = w->sim.now_ms;
    *ret = w->ledger;
    ledger_close(w);
    mails_free(w);
    model_deinit(&w->bus);
    sim_deinit(&w->sim);
    free(w);
}
