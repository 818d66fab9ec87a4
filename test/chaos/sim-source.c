/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated Graph and the source that reads it, and the transforms. Graph gives a folder's mails in pages after a
 * link; it throttles, fails, cuts answers, repeats items and lets links expire. The source drops what it has handed on
 * before: its cursor says where it stands and how far it has been.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "sim.h"

#define LOOK_MS     40u  /* until the next look when no folder may be asked */
#define EMPTY_MS    300u /* a folder without news rests so long, at least */
#define FAILED_MS   200u
#define THROTTLE_MS 3000u

static struct reading *reading_of(struct version *v, struct fg_slice key)
{
    for (unsigned f = 0; f < v->world->n_folders; f++)
        if (fg_slice_is(key, v->world->folders[f].key))
            return &v->readings[f];
    fg_assert(false); /* a cursor of nobody's */
}

static void look_in(struct version *v, uint64_t ms)
{
    v->node->process.env.ops->timer_start(v->timer, ms);
}

/* "<epoch>:<at>:<high>"; empty: from the start */
static void go_on_from(struct version *v, const struct fg_cursor *cursor)
{
    struct reading *r = reading_of(v, cursor->key);
    unsigned long epoch = 0, at = 0, high = 0;
    char text[64];

    fg_assert(!v->gone[STAGE_SOURCE]);
    if (cursor->value.len) {
        (void)snprintf(text, sizeof(text), "%.*s", FG_SLICE_ARG(cursor->value));
        fg_assert(sscanf(text, "%lu:%lu:%lu", &epoch, &at, &high) == 3);
    }
    *r = (struct reading){.mine = true, .epoch = (uint32_t)epoch, .at = at, .high = high};
    if (v->fetching < SIM_FOLDERS_MAX && &v->readings[v->fetching] == r)
        v->fetching = SIM_FOLDERS_MAX; /* its answer is out of date */
}

static void give_back(struct version *v)
{
    struct fg_batch *fill = v->fill;

    v->fill = NULL;
    v->filled = false;
    v->fetching = SIM_FOLDERS_MAX;
    if (fill)
        fg_batch_cancel(fill, NULL);
}

static void source_assign(void *self, const struct fg_cursor *cursors, size_t n)
{
    for (size_t i = 0; i < n; i++)
        go_on_from(self, &cursors[i]);
}

static void source_rewind(void *self, const struct fg_cursor *cursors, size_t n)
{
    struct version *v = self;

    for (size_t i = 0; i < n; i++)
        go_on_from(v, &cursors[i]);
    if (!v->stubborn || sim_chance(&v->world->sim, 50))
        give_back(v);
}

static void source_revoke(void *self, const struct fg_slice *owners, size_t n)
{
    struct version *v = self;

    for (size_t i = 0; i < n; i++)
        for (unsigned f = 0; f < v->world->n_folders; f++)
            if (fg_slice_is(owners[i], v->world->folders[f].box))
                v->readings[f].mine = false;
    give_back(v);
}

static void source_keys(void *self, fg_key_cb cb, void *arg)
{
    struct version *v = self;

    fg_assert(!v->gone[STAGE_SOURCE]);
    for (unsigned f = 0; f < v->world->n_folders; f++)
        cb(arg, fg_slice_of(v->world->folders[f].key));
}

static void source_pull(void *self, struct fg_batch *batch)
{
    struct version *v = self;

    fg_assert(!v->gone[STAGE_SOURCE]);
    fg_assert(!v->fill); /* one at a time */
    v->fill = batch;
    v->fetching = SIM_FOLDERS_MAX;
    look_in(v, sim_random(&v->world->sim, 3));
}

/* A record of one mail; NULL: there is no room. */
static struct fg_record *make(struct version *v, uint32_t i)
{
    struct fg_record_spec spec = {.view.timestamp_ms = fg_clock_wall_ms(&v->node->process.clock)};
    struct fg_record *record = NULL;
    struct fg_error err;
    char text[SIM_TEXT_MAX], key[16];

    mail_key(v->world, i, key);
    spec.view.key = fg_slice_of(key);
    spec.view.value = fg_slice_make(text, mail_text(v->world, i, 'M', text));
    if (fg_record_new(&v->node->budget, &spec, false, &record, &err) < 0)
        return NULL;
    return record;
}

/* The answer: a page of the folder's log after the link. false: no room for it now. */
static bool take_page(struct version *v, size_t f, size_t *ret_n)
{
    struct world *w = v->world;
    struct folder *folder = &w->folders[f];
    struct reading *r = &v->readings[f];
    size_t end = r->at + 1 + sim_random(&w->sim, w->page_max), from = r->at, n = 0;
    struct fg_record *records[128];
    char value[64];

    if (end > folder->n)
        end = folder->n;
    if (w->graph == GRAPH_REPEATS && from > 0)
        from -= 1 + sim_random(&w->sim, from < 5 ? from : 5);
    for (size_t at = from; at < end && n < 128; at++) {
        if (at < r->high)
            continue; /* a repeat */
        if (!(records[n] = make(v, folder->log[at]))) {
            while (n > 0)
                fg_record_unref(records[--n]);
            return false;
        }
        n++;
    }
    r->at = end;
    if (r->high < end)
        r->high = end;
    for (size_t i = 0; i < n; i++)
        fg_batch_add(v->fill, records[i]);
    if (n > 0) {
        (void)snprintf(value, sizeof(value), "%u:%zu:%zu", r->epoch, r->at, r->high);
        fg_batch_cursor(v->fill, &(struct fg_cursor){fg_slice_of(folder->key), fg_slice_of(value)});
    }
    *ret_n = n;
    return true;
}

static void trouble(struct version *v, int code, uint32_t retry_after_ms, const char *text)
{
    struct fg_error err;

    fg_error_set(&err, code, FG_ERROR_RETRIABLE, "%s", text);
    err.retry_after_ms = retry_after_ms;
    fg_pipeline_source_trouble(v->line->pipeline, v, &err);
}

/* true: the page may be taken. */
static bool graph_answers(struct version *v, size_t f)
{
    struct world *w = v->world;
    struct reading *r = &v->readings[f];
    enum graph graph = w->sim.now_ms < w->graph_until_ms ? w->graph : GRAPH_OK;

    if (graph == GRAPH_THROTTLES && sim_chance(&w->sim, 50)) {
        v->graph_rest_ms = w->sim.now_ms + THROTTLE_MS;
        trouble(v, FG_E_THROTTLED, THROTTLE_MS, "Graph answered 429");
        return false;
    }
    if (graph == GRAPH_DOWN || (graph == GRAPH_CUTS && sim_chance(&w->sim, 60))) {
        r->rest_until_ms = w->sim.now_ms + FAILED_MS + sim_random(&w->sim, 1000);
        trouble(v, FG_E_UNAVAILABLE, 0, graph == GRAPH_CUTS ? "Graph's answer was cut" : "Graph answered 503");
        return false;
    }
    fg_pipeline_source_trouble(v->line->pipeline, v, NULL);
    if (r->at > 0 && r->epoch != w->folders[f].epoch) {
        sim_trace(&v->node->process, "%s: the link has expired, read from the start", w->folders[f].key);
        r->at = 0;
    }
    r->epoch = w->folders[f].epoch;
    return true;
}

static void hand_over(struct version *v)
{
    struct fg_batch *fill = v->fill;

    v->fill = NULL;
    v->filled = false;
    fg_batch_submit(fill);
    node_note_budget(v->node);
}

static void fetched(struct version *v)
{
    struct world *w = v->world;
    size_t f = v->fetching, n = 0;
    struct reading *r = &v->readings[f];

    v->fetching = SIM_FOLDERS_MAX;
    if (!r->mine || !graph_answers(v, f)) {
        look_in(v, LOOK_MS);
        return;
    }
    if (!take_page(v, f, &n)) {
        give_back(v); /* no room: the host asks again when there is */
        return;
    }
    if (n == 0) {
        if (r->at >= w->folders[f].n)
            r->rest_until_ms = w->sim.now_ms + EMPTY_MS + sim_random(&w->sim, 300);
        look_in(v, 1);
        return;
    }
    node_note_budget(v->node);
    if (v->stubborn) { /* what is in it may be out of date by then */
        v->filled = true;
        look_in(v, sim_random(&w->sim, 15));
    } else {
        hand_over(v);
    }
}

static void look(void *arg)
{
    struct version *v = arg;
    struct world *w = v->world;

    if (!v->fill)
        return;
    if (v->filled) {
        hand_over(v);
        return;
    }
    if (v->fetching < SIM_FOLDERS_MAX) {
        fetched(v);
        return;
    }
    for (unsigned i = 0; i < w->n_folders && w->sim.now_ms >= v->graph_rest_ms; i++) {
        size_t f = (v->turn + i) % w->n_folders;
        if (!v->readings[f].mine || w->sim.now_ms < v->readings[f].rest_until_ms)
            continue;
        v->turn = f + 1;
        v->fetching = f;
        look_in(v, 1 + sim_random(&w->sim, 20));
        return;
    }
    look_in(v, LOOK_MS);
}

void version_source_init(struct version *v)
{
    struct fg_env *env = &v->node->process.env;
    v->timer = env->ops->timer_new(env, look, v);
    v->fetching = SIM_FOLDERS_MAX;
    v->stubborn = sim_chance(&v->world->sim, 30);
}

void version_source_stop(struct version *v)
{
    give_back(v);
    v->node->process.env.ops->timer_free(v->timer);
    v->timer = NULL;
}

/* ---- transforms ---- */

static struct fg_record *become(struct version *v, struct fg_record *in, uint32_t i, char stage, const char *output)
{
    struct fg_record_spec spec = {.view = *fg_record_view(in), .parent = in};
    struct fg_header headers[8];
    struct fg_record *record = NULL;
    struct fg_error err;
    char text[SIM_TEXT_MAX], stamp[SIM_STAMP_MAX];
    int r;

    spec.view.value = fg_slice_make(text, mail_text(v->world, i, stage, text));
    spec.view.output = fg_slice_of(output);
    spec.view.n_headers = version_stamp(v, "forge", fg_record_view(in), headers, stamp);
    spec.view.headers = headers;
    r = fg_record_new(&v->node->budget, &spec, true, &record, &err);
    fg_assert(r == 0);
    return record;
}

static enum fg_verdict forge(void *self, struct fg_record *in, struct fg_emit *emit, struct fg_error *err)
{
    struct version *v = self;
    struct world *w = v->world;
    uint32_t i = 0;
    char stage = 0;
    bool ok = mail_of(w, fg_record_view(in)->value, &stage, &i);

    fg_assert(ok);
    fg_assert(!v->gone[STAGE_TRANSFORM]);
    switch ((enum kind)w->mails[i].kind) {
    case KIND_DROP: return FG_DROP;
    case KIND_BAD_FORGE: fg_error_set(err, FG_E_DATA, 0, "this one cannot be forged"); return FG_DEAD;
    case KIND_FLAKY_FORGE:
        if (w->mails[i].fails_left == 0)
            break;
        w->mails[i].fails_left--;
        fg_error_set(err, FG_E_TIMEOUT, FG_ERROR_RETRIABLE, "not now");
        return FG_RETRY;
    case KIND_PLAIN:
    case KIND_FLAKY:
    case KIND_REFUSED:
    case KIND_NONSENSE:
    case KIND_MUTE:
    case KIND_HUGE:
    case KIND_WRECK:
    case _KIND_N:
    default: break;
    }
    fg_emit_add(emit, become(v, in, i, 'D', ""));
    if (i % 5 == 0)
        fg_emit_add(emit, become(v, in, i, 'P', "parts"));
    node_note_budget(v->node);
    return FG_KEEP;
}

static enum fg_verdict pass(void *self, struct fg_record *in, struct fg_emit *emit, struct fg_error *err)
{
    struct version *v = self;
    struct fg_record_spec spec = {.view = *fg_record_view(in), .parent = in};
    struct fg_header headers[8];
    struct fg_record *record = NULL;
    char stamp[SIM_STAMP_MAX];
    int r;

    fg_assert(!v->gone[STAGE_TRANSFORM]);
    line_check_origin(v->world, in);
    spec.view.n_headers = version_stamp(v, "pass", fg_record_view(in), headers, stamp);
    spec.view.headers = headers;
    r = fg_record_new(&v->node->budget, &spec, true, &record, err);
    fg_assert(r == 0);
    fg_emit_add(emit, record);
    node_note_budget(v->node);
    return FG_KEEP;
}

static const struct fg_transform_ops forge_ops = {.apply = forge}, pass_ops = {.apply = pass};
static const struct fg_source_ops source_ops = {
    .assign = source_assign,
    .revoke = source_revoke,
    .pull = source_pull,
    .rewind = source_rewind,
    .keys = source_keys,
};
const struct fg_plugin sim_forge_plugin = {
    .kind = FG_KIND_TRANSFORM, .name = "transform-forge", .transform = &forge_ops};
const struct fg_plugin sim_pass_plugin = {.kind = FG_KIND_TRANSFORM, .name = "transform-pass", .transform = &pass_ops};
const struct fg_plugin sim_source_plugin = {.kind = FG_KIND_SOURCE, .name = "source-sim", .source = &source_ops};
