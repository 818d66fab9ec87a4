/* SPDX-License-Identifier: Apache-2.0 */
/* The rig's plugins: a transform, a sink and a source that do what the records and the test ask for. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "flow-rig-private.h"

static bool starts(const struct fg_record *record, const char *with)
{
    return fg_slice_starts(fg_record_view(record)->value, fg_slice_of(with));
}

struct fg_record *rig_record(struct rig *rig, struct fg_record *parent, const char *output, const char *format, ...)
{
    struct fg_record_spec spec = {.view = *fg_record_view(parent), .parent = parent};
    struct fg_error err;
    struct fg_record *record = NULL;
    char value[512];
    va_list ap;
    int r;

    va_start(ap, format);
    (void)vsnprintf(value, sizeof(value), format, ap);
    va_end(ap);
    spec.view.value = fg_slice_of(value);
    spec.view.output = fg_slice_of(output);
    spec.view.headers = NULL;
    spec.view.n_headers = 0;
    r = fg_record_new(&rig->budget, &spec, true, &record, &err);
    fg_assert(r == 0);
    return record;
}

static enum fg_verdict apply(void *self, struct fg_record *in, struct fg_emit *emit, struct fg_error *err)
{
    struct rig_transform *t = self;
    struct fg_slice value = fg_record_view(in)->value;

    t->n_applied++;
    if (starts(in, "drop"))
        return FG_DROP;
    if (starts(in, "bad")) {
        fg_error_set(err, FG_E_DATA, 0, "this one is bad");
        return FG_DEAD;
    }
    if (starts(in, "again")) {
        fg_error_set(err, FG_E_TIMEOUT, FG_ERROR_RETRIABLE, "not now");
        return FG_RETRY;
    }
    if (starts(in, "wreck")) {
        fg_error_set(err, FG_E_INTERNAL, FG_ERROR_FATAL, "the transform is wrecked");
        return FG_DEAD;
    }
    if (starts(in, "nowhere"))
        fg_emit_add(emit, rig_record(t->rig, in, "nope", "x"));
    if (starts(in, "many")) {
        fg_emit_add(emit, rig_record(t->rig, in, "", "%.*s/1", FG_SLICE_ARG(value)));
        fg_emit_add(emit, rig_record(t->rig, in, "rows", "%.*s/row", FG_SLICE_ARG(value)));
        fg_emit_add(emit, rig_record(t->rig, in, "", "%.*s/2", FG_SLICE_ARG(value)));
    }
    return FG_KEEP;
}

struct sink_delivery {
    struct fg_list link; /* rig::sink_deliveries */
    struct rig *rig;
    struct fg_delivery *delivery; /* NULL: cancelled */
    size_t n_left;
    struct sink_answer *hung; /* never comes; NULL: none */
};

struct sink_answer {
    struct sink_delivery *of;
    size_t i;
};

static void sink_answer_gone(struct sink_answer *a)
{
    struct sink_delivery *of = a->of;
    if (--of->n_left == 0) {
        if (of->delivery)
            of->rig->n_in_flight--;
        fg_list_remove(&of->link);
        free(of);
    }
    free(a);
}

static void answer_well(struct rig *rig, struct fg_delivery *d, size_t i)
{
    struct fg_record *in = fg_delivery_record(d, i);
    struct fg_record *result = rig_record(rig, in, "", "%.*s!", FG_SLICE_ARG(fg_record_view(in)->value));
    bool twice = starts(in, "twice");

    rig->n_delivered++;
    if (rig->outage_until_ms && !rig->first_after_ms)
        rig->first_after_ms = rig->sim.now_ms;
    fg_delivery_done(d, i, &result, 1, NULL);
    if (twice)
        fg_delivery_done(d, i, NULL, 0, NULL);
}

static void sink_answer(void *arg)
{
    struct sink_answer *a = arg;
    struct rig *rig = a->of->rig;
    struct fg_delivery *d = a->of->delivery;
    struct fg_error err = FG_ERROR_NULL;

    if (d && rig->sim.now_ms < rig->outage_until_ms) {
        if (rig->n_outage_calls < 256)
            rig->outage_calls[rig->n_outage_calls++] = rig->sim.now_ms;
        fg_error_set(&err, FG_E_THROTTLED, FG_ERROR_RETRIABLE, "the service answered 429");
        err.retry_after_ms = rig->retry_after_ms;
    } else if (d && (rig->sim.now_ms < rig->silent_until_ms || starts(fg_delivery_record(d, a->i), "mute"))) {
        fg_error_set(&err, FG_E_TIMEOUT, FG_ERROR_RETRIABLE, "no answer in time");
    } else if (d && starts(fg_delivery_record(d, a->i), "refuse")) {
        fg_error_set(&err, FG_E_REFUSED, 0, "the service refuses this");
    } else if (d && starts(fg_delivery_record(d, a->i), "fatal")) {
        fg_error_set(&err, FG_E_CONFIG, FG_ERROR_FATAL, "the sink cannot go on");
    } else if (d && starts(fg_delivery_record(d, a->i), "flaky") && rig->n_flaky++ < 2) {
        fg_error_set(&err, FG_E_TIMEOUT, FG_ERROR_RETRIABLE, "no answer in time");
    }
    if (d && err.code)
        fg_delivery_done(d, a->i, NULL, 0, &err);
    else if (d)
        answer_well(rig, d, a->i);
    sink_answer_gone(a);
}

static void deliver(void *self, struct fg_delivery *delivery)
{
    struct rig *rig = self;
    struct sink_delivery *of = fg_calloc(1, sizeof(*of));
    size_t n = fg_delivery_count(delivery);

    fg_assert(n >= 1);
    fg_assert(n <= rig->limits.records_max);
    of->rig = rig;
    of->delivery = delivery;
    of->n_left = n;
    fg_list_append(&rig->sink_deliveries, &of->link);
    if (++rig->n_in_flight > rig->max_in_flight)
        rig->max_in_flight = rig->n_in_flight;
    for (size_t i = 0; i < n; i++) {
        struct sink_answer *a = fg_calloc(1, sizeof(*a));
        bool hang = starts(fg_delivery_record(delivery, i), "hang");
        a->of = of;
        a->i = i;
        if (hang)
            of->hung = a;
        else
            sim_post(&rig->sim, sim_random(&rig->sim, rig->sink_ms_max + 1), sink_answer, a);
    }
}

static void cancel(void *self, struct fg_delivery *delivery)
{
    struct rig *rig = self;
    for (struct fg_list *l = rig->sink_deliveries.next; l != &rig->sink_deliveries; l = l->next) {
        struct sink_delivery *of = fg_container_of(l, struct sink_delivery, link);
        if (of->delivery == delivery) {
            of->delivery = NULL;
            rig->n_in_flight--;
            rig->n_cancelled++;
            if (of->hung)
                sink_answer_gone(of->hung);
            return;
        }
    }
    fg_assert(false); /* a delivery is cancelled that was never made */
}

static void limits(void *self, struct fg_sink_limits *ret)
{
    *ret = ((struct rig *)self)->limits;
}

static struct rig_source_owner *owner_of(struct rig *rig, struct fg_slice name, bool key)
{
    for (size_t i = 0; i < rig->n_owners; i++)
        if (fg_slice_is(name, key ? rig->owners[i].key : rig->owners[i].name))
            return &rig->owners[i];
    return NULL;
}

static void go_on_from(struct rig *rig, const struct fg_cursor *cursor)
{
    struct rig_source_owner *owner = owner_of(rig, cursor->key, true);
    int64_t at = 0;

    fg_assert(owner);
    if (cursor->value.len) {
        bool number = fg_parse_int(cursor->value, &at);
        fg_assert(number);
    }
    owner->mine = true;
    owner->at = (unsigned)at;
    owner->told = at;
}

static void source_assign(void *self, const struct fg_cursor *cursors, size_t n)
{
    for (size_t i = 0; i < n; i++)
        go_on_from(self, &cursors[i]);
}

static void give_back(struct rig *rig)
{
    struct fg_batch *fill = rig->fill;
    rig->fill = NULL;
    if (fill)
        fg_batch_cancel(fill, NULL);
}

static void source_rewind(void *self, const struct fg_cursor *cursors, size_t n)
{
    struct rig *rig = self;
    rig->n_rewinds++;
    for (size_t i = 0; i < n; i++)
        go_on_from(rig, &cursors[i]);
    if (!rig->stubborn || sim_random(&rig->sim, 2))
        give_back(rig);
}

static void source_revoke(void *self, const struct fg_slice *owners, size_t n)
{
    struct rig *rig = self;
    rig->n_revokes++;
    for (size_t i = 0; i < n; i++)
        owner_of(rig, owners[i], false)->mine = false;
    give_back(rig);
}

static bool make_mail(struct rig *rig, struct rig_source_owner *owner, struct fg_batch *batch)
{
    struct fg_record_spec spec = {.view.timestamp_ms = fg_clock_wall_ms(&rig->sim.clock)};
    struct fg_error err;
    struct fg_record *record;
    size_t len = 32 + rig->record_bytes;
    char *value = fg_calloc(1, len);
    int used = snprintf(value, len, "%s#%u", owner->name, owner->at);
    int r;

    spec.view.key = fg_slice_of(owner->name);
    spec.view.value = fg_slice_make(value, rig->record_bytes ? len : (size_t)used);
    r = fg_record_new(&rig->budget, &spec, false, &record, &err);
    free(value);
    if (r < 0) {
        fg_assert(r == -FG_E_NO_ROOM);
        return false;
    }
    fg_batch_add(batch, record);
    owner->at++;
    return true;
}

static void source_submit(void *arg)
{
    struct rig *rig = arg;
    struct fg_batch *fill = rig->fill;

    rig->polling = false;
    rig->fill = NULL;
    if (fill)
        fg_batch_submit(fill);
}

/* Fills what it was given, if there is mail. */
static void source_poll(void *arg)
{
    struct rig *rig = arg;
    struct rig_source_owner *owner;
    struct fg_batch *fill = rig->fill;
    char at[16];
    unsigned n = 0;
    size_t from;

    rig->polling = false;
    if (!fill || !rig->pipeline)
        return;
    from = sim_random(&rig->sim, rig->n_owners);
    for (size_t i = 0; i < rig->n_owners && n == 0; i++) {
        owner = &rig->owners[(from + i) % rig->n_owners];
        while (owner->mine && owner->at < owner->total && n < rig->per_pull && make_mail(rig, owner, fill))
            n++;
        if (n == 0)
            continue;
        (void)snprintf(at, sizeof(at), "%u", owner->at);
        fg_batch_cursor(fill, &(struct fg_cursor){fg_slice_of(owner->key), fg_slice_of(at)});
        if (rig->stubborn) { /* what is in it may be out of date by then */
            rig->polling = true;
            sim_post(&rig->sim, sim_random(&rig->sim, 10), source_submit, rig);
        } else {
            rig->fill = NULL;
            fg_batch_submit(fill);
        }
    }
    if (rig->fill && !rig->polling) {
        rig->polling = true;
        sim_post(&rig->sim, 5, source_poll, rig);
    }
}

static void source_pull(void *self, struct fg_batch *batch)
{
    struct rig *rig = self;
    fg_assert(!rig->fill); /* one at a time */
    rig->fill = batch;
    if (!rig->polling) {
        rig->polling = true;
        sim_post(&rig->sim, sim_random(&rig->sim, 4), source_poll, rig);
    }
}

static void source_keys(void *self, fg_key_cb cb, void *arg)
{
    struct rig *rig = self;
    for (size_t i = 0; i < rig->n_owners; i++)
        cb(arg, fg_slice_of(rig->owners[i].key));
}

void rig_source_stop(struct rig *rig)
{
    give_back(rig);
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

const struct fg_plugin rig_transform_plugin = {
    .kind = FG_KIND_TRANSFORM, .name = "transform-rig", .transform = &transform_ops};
const struct fg_plugin rig_sink_plugin = {.kind = FG_KIND_SINK, .name = "sink-rig", .sink = &sink_ops};
const struct fg_plugin rig_source_plugin = {.kind = FG_KIND_SOURCE, .name = "source-rig", .source = &source_ops};
