/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated service, and the sink that asks it. It throttles, is down, silent, slow, or talks nonsense for a while.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sim.h"

#define TIMEOUT_MS 2000u /* the sink waits so long for an answer */
#define HUGE_BYTES 20000u

struct asked {
    struct fg_list link; /* version::deliveries */
    struct version *version;
    struct fg_delivery *delivery; /* NULL: cancelled */
    size_t n_left;
};

struct answer {
    struct asked *of;
    size_t i;
    uint32_t mail;
    bool silent; /* none came in time */
};

static enum service service_now(const struct world *w)
{
    return w->sim.now_ms < w->service_until_ms ? w->service : SERVICE_OK;
}

static struct fg_record *result(struct version *v, struct fg_record *in, uint32_t i)
{
    struct fg_record_spec spec = {.view = *fg_record_view(in), .parent = in};
    struct fg_record *record = NULL;
    struct fg_error err;
    static const char huge[HUGE_BYTES];
    struct fg_header headers[8];
    char text[SIM_TEXT_MAX], stamp[SIM_STAMP_MAX];
    int r;

    spec.view.value = fg_slice_make(text, mail_text(v->world, i, 'E', text));
    if (v->world->mails[i].kind == KIND_HUGE)
        spec.view.value = fg_slice_make(huge, sizeof(huge));
    spec.view.n_headers = version_stamp(v, "sink", fg_record_view(in), headers, stamp);
    spec.view.headers = headers;
    r = fg_record_new(&v->node->budget, &spec, true, &record, &err);
    fg_assert(r == 0);
    return record;
}

/* A failure that counts as an attempt: a mail that is to be delivered has only so many of them. */
static bool may_fail(struct mail *m)
{
    if (m->kind == KIND_REFUSED || m->kind == KIND_NONSENSE || m->kind == KIND_MUTE || m->kind == KIND_HUGE)
        return true;
    if (m->fails_left == 0)
        return false;
    m->fails_left--;
    return true;
}

static void throttle(struct version *v, struct fg_error *err)
{
    struct world *w = v->world;

    fg_error_set(err, FG_E_THROTTLED, FG_ERROR_RETRIABLE, "the service answered 429");
    err->retry_after_ms = w->retry_after_ms;
    if (v->not_before_ms < w->sim.now_ms + w->retry_after_ms)
        v->not_before_ms = w->sim.now_ms + w->retry_after_ms;
}

/* What the service says about this mail; code NONE: it is well. */
static void judge(struct version *v, const struct answer *a, struct fg_error *err)
{
    struct world *w = v->world;
    struct mail *m = &w->mails[a->mail];
    enum service service = service_now(w);

    if (v->fails)
        fg_error_set(err, FG_E_CONFIG, FG_ERROR_FATAL, "the sink cannot go on");
    else if (m->kind == KIND_MUTE || m->kind == KIND_WRECK)
        fg_error_set(err, FG_E_TIMEOUT, FG_ERROR_RETRIABLE, "no answer in time");
    else if (a->silent && may_fail(m))
        fg_error_set(err, FG_E_TIMEOUT, FG_ERROR_RETRIABLE, "no answer in time");
    else if (service == SERVICE_THROTTLES)
        throttle(v, err);
    else if (service == SERVICE_DOWN || a->silent)
        fg_error_set(err, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "the service answered 503");
    else if (m->kind == KIND_REFUSED)
        fg_error_set(err, FG_E_REFUSED, 0, "the service refuses this");
    else if (m->kind == KIND_NONSENSE)
        fg_error_set(err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "the service's answer is no JSON");
    else if ((m->kind == KIND_FLAKY || (service == SERVICE_NONSENSE && sim_chance(&w->sim, 30))) && may_fail(m))
        fg_error_set(err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "the service's answer is no JSON");
}

static void answer(void *arg)
{
    struct answer *a = arg;
    struct asked *of = a->of;
    struct version *v = of->version;
    struct fg_delivery *d = of->delivery;
    struct fg_error err = FG_ERROR_NULL;
    struct fg_record *entity;

    if (--of->n_left == 0)
        fg_list_remove(&of->link);
    if (d) {
        judge(v, a, &err);
        v->fails = false;
        entity = err.code ? NULL : result(v, fg_delivery_record(d, a->i), a->mail);
        node_note_budget(v->node);
        if (err.code)
            sim_trace(&v->node->process, "mail %u: %s", a->mail, err.text);
        if (err.code)
            fg_delivery_done(d, a->i, NULL, 0, &err);
        else
            fg_delivery_done(d, a->i, &entity, 1, NULL);
    }
    if (of->n_left == 0)
        free(of);
    free(a);
}

static uint64_t answer_ms(struct world *w)
{
    uint64_t ms = 1 + sim_random(&w->sim, w->service_ms_max);
    return service_now(w) == SERVICE_SLOW ? ms + sim_random(&w->sim, TIMEOUT_MS - 200) : ms;
}

void line_check_origin(struct world *w, const struct fg_record *record)
{
    const struct fg_bus_position *origin = fg_record_origin(record);

    if (origin &&
        w->documents.topic->partitions[origin->partition].records[origin->offset].state != MODEL_COMMITTED)
        w->ledger.aborted_seen++;
}

static void deliver(void *self, struct fg_delivery *delivery)
{
    struct version *v = self;
    struct world *w = v->world;
    struct asked *of = fg_calloc(1, sizeof(*of));
    size_t n = fg_delivery_count(delivery);
    bool silent = service_now(w) == SERVICE_SILENT;

    fg_assert(!v->node->ghost); /* the dead ask nothing */
    fg_assert(!v->gone[STAGE_SINK]);
    if (w->sim.now_ms < v->not_before_ms) {
        w->ledger.early_calls++;
        sim_trace(&v->node->process, "asked %llu ms before Retry-After was over",
                  (unsigned long long)(v->not_before_ms - w->sim.now_ms));
    }
    *of = (struct asked){.version = v, .delivery = delivery, .n_left = n};
    fg_list_append(&v->deliveries, &of->link);
    for (size_t i = 0; i < n; i++) {
        struct answer *a = fg_calloc(1, sizeof(*a));
        struct fg_record *record = fg_delivery_record(delivery, i);
        char stage = 0;
        bool ok = mail_of(w, fg_record_view(record)->value, &stage, &a->mail);

        fg_assert(ok);
        line_check_origin(w, record);
        a->of = of;
        a->i = i;
        a->silent = silent || w->mails[a->mail].kind == KIND_MUTE || w->mails[a->mail].kind == KIND_WRECK;
        if (w->mails[a->mail].kind == KIND_WRECK)
            mishap_wreck(v->node);
        sim_process_post(&v->node->process, a->silent ? TIMEOUT_MS : answer_ms(w), answer, a);
    }
}

static void cancel(void *self, struct fg_delivery *delivery)
{
    struct version *v = self;

    fg_assert(!v->gone[STAGE_SINK]);
    for (struct fg_list *l = v->deliveries.next; l != &v->deliveries; l = l->next) {
        struct asked *of = fg_container_of(l, struct asked, link);
        if (of->delivery == delivery) {
            of->delivery = NULL;
            return;
        }
    }
    fg_assert(false); /* a delivery is cancelled that was never made */
}

static void limits(void *self, struct fg_sink_limits *ret)
{
    *ret = ((struct version *)self)->world->sink_limits;
}

static const struct fg_sink_ops sink_ops = {.deliver = deliver, .cancel = cancel, .limits = limits};
const struct fg_plugin sim_sink_plugin = {.kind = FG_KIND_SINK, .name = "sink-sim", .sink = &sink_ops};
