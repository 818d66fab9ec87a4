/* SPDX-License-Identifier: Apache-2.0 */
/* A host in memory for unit tests of plugins: time, work, records, batches, deliveries. HTTP is in fake-http.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdlib.h>

#include "fake-private.h"

struct fg_timer {
    struct fake_host *fake;
    struct fg_timer *next;
    fg_timer_cb cb;
    void *arg;
    uint64_t at_ms;
    bool running;
};

struct fake_work {
    struct fake_work *next;
    fg_work_cb work;
    fg_done_cb done;
    void *arg;
};

struct fg_record {
    struct fake_host *fake;
    struct fg_record *parent;
    unsigned refs;
    struct fg_record_view view;
};

void *fake_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);

    if (!p)
        abort();
    return p;
}

char *fake_dup(struct fg_slice s)
{
    char *copy = fake_alloc(s.len + 1);

    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

static struct fake_host *fake_of(struct fg_host *host)
{
    return (struct fake_host *)host; /* host is its first member */
}

__attribute__((format(printf, 3, 4))) static void fake_log(struct fg_host *host, enum fg_log_level level,
                                                           const char *format, ...)
{
    static const char *const names[] = { "ERROR ", "WARN ", "INFO ", "DEBUG " };
    struct fg_buf *log = &fake_of(host)->log;
    va_list ap;

    fg_buf_add_str(log, names[level]);
    va_start(ap, format);
    fg_buf_vprintf(log, format, ap);
    va_end(ap);
    fg_buf_add_char(log, '\n');
}

static uint64_t fake_now_ms(struct fg_host *host)
{
    return fake_of(host)->now_ms;
}

static int64_t fake_wall_ms(struct fg_host *host)
{
    return fake_of(host)->wall_ms;
}

static uint64_t fake_random(struct fg_host *host)
{
    return fake_of(host)->random_next;
}

static struct fg_timer *fake_timer_new(struct fg_host *host, fg_timer_cb cb, void *arg)
{
    struct fg_timer *t = fake_alloc(sizeof(*t));

    *t = (struct fg_timer){ .fake = fake_of(host), .next = fake_of(host)->timers, .cb = cb, .arg = arg };
    t->fake->timers = t;
    return t;
}

static void fake_timer_start(struct fg_timer *timer, uint64_t after_ms)
{
    timer->at_ms = timer->fake->now_ms + after_ms;
    timer->running = true;
}

static void fake_timer_stop(struct fg_timer *timer)
{
    timer->running = false;
}

static void fake_timer_free(struct fg_timer *timer)
{
    struct fg_timer **at;

    if (!timer)
        return;
    for (at = &timer->fake->timers; *at != timer; at = &(*at)->next)
        ;
    *at = timer->next;
    free(timer);
}

static int fake_offload(struct fg_host *host, fg_work_cb work, fg_done_cb done, void *arg)
{
    struct fake_work **at = &fake_of(host)->works;

    while (*at)
        at = &(*at)->next;
    *at = fake_alloc(sizeof(**at));
    **at = (struct fake_work){ .work = work, .done = done, .arg = arg };
    return 0;
}

static struct fg_slice fake_secret_get(struct fg_host *host, const struct fg_secret *secret)
{
    return secret ? fg_slice_of(secret->text) : FG_SLICE_NULL;
}

static struct fg_metric *fake_metric(struct fg_host *host, enum fg_metric_kind kind, const char *name, const char *help)
{
    return (struct fg_metric *)host; /* never looked into */
}

static void fake_metric_ignore(struct fg_metric *metric, double value)
{
}

static struct fg_slice dup_slice(struct fg_slice s)
{
    return (struct fg_slice){ fake_dup(s), s.len };
}

static int fake_svc_record_new(struct fg_host *host, const struct fg_record_spec *spec, struct fg_record **ret,
                               struct fg_error *err)
{
    struct fake_host *fake = fake_of(host);
    const struct fg_record_view *v = &spec->view;
    struct fg_record *r;
    struct fg_header *headers;

    if (v->value.len > fake->value_max)
        return fg_error_set(err, FG_E_LIMIT, 0, "there is never room for it");
    if (fake->no_room || fake->records_left == 0)
        return fg_error_set(err, FG_E_NO_ROOM, FG_ERROR_RETRIABLE, "no room");
    if (fake->records_left != UINT_MAX)
        fake->records_left--;
    r = fake_alloc(sizeof(*r));
    headers = fake_alloc((v->n_headers + 1) * sizeof(*headers));
    for (size_t i = 0; i < v->n_headers; i++)
        headers[i] = (struct fg_header){ dup_slice(v->headers[i].name), dup_slice(v->headers[i].value) };
    *r = (struct fg_record){ .fake = fake, .parent = spec->parent, .refs = 1, .view = *v };
    r->view.key = dup_slice(v->key);
    r->view.value = dup_slice(v->value);
    r->view.output = dup_slice(v->output);
    r->view.headers = headers;
    if (r->parent)
        r->parent->refs++;
    fake->n_records++;
    *ret = r;
    return 0;
}

static struct fg_record *fake_record_ref(struct fg_record *record)
{
    record->refs++;
    return record;
}

static struct fg_record *record_unref(struct fg_record *record)
{
    if (!record || --record->refs)
        return NULL;
    for (size_t i = 0; i < record->view.n_headers; i++) {
        free((char *)record->view.headers[i].name.ptr);
        free((char *)record->view.headers[i].value.ptr);
    }
    free((struct fg_header *)record->view.headers);
    free((char *)record->view.key.ptr);
    free((char *)record->view.value.ptr);
    free((char *)record->view.output.ptr);
    record_unref(record->parent);
    record->fake->n_records--;
    free(record);
    return NULL;
}

static const struct fg_record_view *fake_record_view(const struct fg_record *record)
{
    return &record->view;
}

/* It was let in already: there is always room for it. */
struct fg_record *fake_record_of(struct fg_host *host, struct fg_slice value)
{
    struct fake_host *fake = fake_of(host);
    struct fg_record *r = fake_alloc(sizeof(*r));

    *r = (struct fg_record){ .fake = fake, .refs = 1, .view = { .value = dup_slice(value) } };
    fake->n_records++;
    return r;
}

struct fg_record *fake_record_new(struct fake_host *fake, const char *key, const char *value)
{
    struct fg_record_spec spec = { .view = { .key = fg_slice_of(key), .value = fg_slice_of(value) } };
    struct fg_record *record = NULL;

    assert_int_equal(fake_svc_record_new(&fake->host, &spec, &record, NULL), 0);
    return record;
}

const char *fake_record_header(const struct fg_record *record, const char *name)
{
    for (size_t i = 0; i < record->view.n_headers; i++)
        if (fg_slice_is(record->view.headers[i].name, name))
            return record->view.headers[i].value.ptr;
    return NULL;
}

static void fake_emit(struct fg_emit *emit, struct fg_record *record)
{
    assert_true(emit->n < sizeof(emit->records) / sizeof(emit->records[0]));
    emit->records[emit->n++] = record;
}

void fake_emit_clear(struct fake_host *fake, struct fg_emit *emit)
{
    while (emit->n)
        record_unref(emit->records[--emit->n]);
}

struct fg_batch *fake_batch_new(struct fake_host *fake)
{
    struct fg_batch **at = &fake->batches;

    while (*at)
        at = &(*at)->next;
    *at = fake_alloc(sizeof(**at));
    (*at)->fake = fake;
    return *at;
}

static void fake_batch_add(struct fg_batch *batch, struct fg_record *record)
{
    assert_int_equal(batch->state, FAKE_BATCH_OPEN);
    batch->records = realloc(batch->records, (batch->n_records + 1) * sizeof(struct fg_record *));
    if (!batch->records)
        abort();
    batch->records[batch->n_records++] = record;
}

static void fake_batch_dead(struct fg_batch *batch, struct fg_record *record, const struct fg_error *err)
{
    assert_int_equal(batch->state, FAKE_BATCH_OPEN);
    assert_true(err && err->code != FG_E_NONE);
    assert_true(batch->n_dead < sizeof(batch->dead) / sizeof(batch->dead[0]));
    batch->dead[batch->n_dead].record = record;
    batch->dead[batch->n_dead++].err = *err;
}

static void fake_batch_move(struct fg_batch *batch, const struct fg_cursor *cursor)
{
    size_t i = 0;

    assert_int_equal(batch->state, FAKE_BATCH_OPEN);
    assert_true(cursor->value.len <= 64 * 1024);
    assert_non_null(memchr(cursor->key.ptr, '/', cursor->key.len));
    while (i < batch->n_cursors && !fg_slice_is(cursor->key, batch->cursors[i].key))
        i++;
    assert_true(i < sizeof(batch->cursors) / sizeof(batch->cursors[0]));
    if (i == batch->n_cursors)
        batch->cursors[batch->n_cursors++].key = fake_dup(cursor->key);
    free(batch->cursors[i].value);
    batch->cursors[i].value = fake_dup(cursor->value);
}

static void fake_batch_submit(struct fg_batch *batch)
{
    assert_int_equal(batch->state, FAKE_BATCH_OPEN);
    if (batch->n_records + batch->n_dead > 0)
        assert_true(batch->n_cursors > 0); /* the host refuses records that no cursor accounts for */
    batch->state = FAKE_BATCH_SUBMITTED;
}

static void fake_batch_cancel(struct fg_batch *batch, const struct fg_error *err)
{
    assert_int_equal(batch->state, FAKE_BATCH_OPEN);
    batch->state = FAKE_BATCH_CANCELLED;
    if (err)
        batch->err = *err;
}

const char *fake_batch_cursor(const struct fg_batch *batch, const char *key)
{
    for (size_t i = 0; i < batch->n_cursors; i++)
        if (strcmp(batch->cursors[i].key, key) == 0)
            return batch->cursors[i].value;
    return NULL;
}

static struct fg_batch *batch_free(struct fg_batch *batch)
{
    struct fg_batch *next = batch->next;

    for (size_t i = 0; i < batch->n_records; i++)
        record_unref(batch->records[i]);
    for (size_t i = 0; i < batch->n_dead; i++)
        record_unref(batch->dead[i].record);
    for (size_t i = 0; i < batch->n_cursors; i++) {
        free(batch->cursors[i].key);
        free(batch->cursors[i].value);
    }
    free(batch->records);
    free(batch);
    return next;
}

static void fake_trouble(struct fg_host *host, const struct fg_error *err)
{
    struct fake_host *fake = fake_of(host);

    fake->trouble = err ? *err : FG_ERROR_NULL;
    fake->n_troubles++;
}

struct fg_delivery *fake_delivery_new(struct fake_host *fake)
{
    struct fg_delivery *d = fake_alloc(sizeof(*d));

    d->fake = fake;
    return d;
}

void fake_delivery_add(struct fg_delivery *d, struct fg_record *record)
{
    assert_true(d->n < sizeof(d->items) / sizeof(d->items[0]));
    d->items[d->n++].record = record;
}

void fake_delivery_free(struct fg_delivery *d)
{
    for (size_t i = 0; d && i < d->n; i++) {
        record_unref(d->items[i].record);
        for (size_t k = 0; k < d->items[i].n_results; k++)
            record_unref(d->items[i].results[k]);
    }
    free(d);
}

static size_t fake_delivery_count(const struct fg_delivery *d)
{
    return d->n;
}

static struct fg_record *fake_delivery_record(const struct fg_delivery *d, size_t i)
{
    assert_true(i < d->n);
    return d->items[i].record;
}

static void fake_delivery_done(struct fg_delivery *d, size_t i, struct fg_record **results, size_t n_results,
                               const struct fg_error *err)
{
    assert_true(i < d->n);
    assert_false(d->items[i].done);
    assert_true(n_results <= sizeof(d->items[i].results) / sizeof(d->items[i].results[0]));
    for (size_t k = 0; k < n_results; k++)
        d->items[i].results[k] = results[k];
    d->items[i].n_results = n_results;
    d->items[i].done = true;
    if (err)
        d->items[i].err = *err;
    d->n_done++;
}

static int fake_report(struct fg_host *host, enum fg_report what, const char *name, fg_write_cb write, void *arg,
                       struct fg_error *err)
{
    return fg_error_set(err, FG_E_NOT_FOUND, 0, "the fake host reports nothing");
}

static bool fake_is_ready(struct fg_host *host)
{
    return true;
}

static int fake_pipeline_action(struct fg_host *host, const char *name, enum fg_pipeline_action action,
                                struct fg_error *err)
{
    return fg_error_set(err, FG_E_NOT_FOUND, 0, "the fake host has no pipeline \"%s\"", name);
}

static struct fg_follow *fake_follow(struct fg_host *host, const char *topic, int64_t tail, fg_follow_cb cb, void *arg,
                                     struct fg_error *err)
{
    (void)fg_error_set(err, FG_E_NOT_FOUND, 0, "the fake host has no topic \"%s\"", topic);
    return NULL;
}

static void fake_follow_stop(struct fg_follow *follow)
{
}

static const char *fake_topic_at(struct fg_host *host, size_t k, const char **ret_role, const char **ret_pipeline)
{
    return NULL;
}

static const struct fg_services fake_services = {
    .size = sizeof(struct fg_services),
    .log = fake_log,
    .now_ms = fake_now_ms,
    .wall_ms = fake_wall_ms,
    .random = fake_random,
    .timer_new = fake_timer_new,
    .timer_start = fake_timer_start,
    .timer_stop = fake_timer_stop,
    .timer_free = fake_timer_free,
    .offload = fake_offload,
    .secret_get = fake_secret_get,
    .metric = fake_metric,
    .metric_add = fake_metric_ignore,
    .metric_set = fake_metric_ignore,
    .record_new = fake_svc_record_new,
    .record_ref = fake_record_ref,
    .record_unref = record_unref,
    .record_view = fake_record_view,
    .emit = fake_emit,
    .batch_add = fake_batch_add,
    .batch_cursor = fake_batch_move,
    .batch_submit = fake_batch_submit,
    .batch_cancel = fake_batch_cancel,
    .trouble = fake_trouble,
    .delivery_count = fake_delivery_count,
    .delivery_record = fake_delivery_record,
    .delivery_done = fake_delivery_done,
    .report = fake_report,
    .is_ready = fake_is_ready,
    .pipeline_action = fake_pipeline_action,
    .follow = fake_follow,
    .follow_stop = fake_follow_stop,
    .topic_at = fake_topic_at,
    .batch_dead = fake_batch_dead,
};

struct fake_host *fake_host_new(void)
{
    struct fake_host *fake = fake_alloc(sizeof(*fake));

    fake->svc = fake_services;
    fake_http_services(&fake->svc);
    fake->host.svc = &fake->svc;
    fake->now_ms = 1000;
    fake->wall_ms = 1767225600000; /* 2026-01-01T00:00:00Z */
    fake->records_left = UINT_MAX;
    fake->value_max = SIZE_MAX;
    fake->log = FG_BUF_INIT(16u << 20);
    return fake;
}

void fake_host_free(struct fake_host *fake)
{
    while (fake->batches)
        fake->batches = batch_free(fake->batches);
    if (fake->calls)
        fail_msg("a request is still in flight: %s %s", fake->calls->method, fake->calls->url);
    if (fake->timers || fake->works)
        fail_msg("a timer or offloaded work was left behind");
    if (fake->n_records)
        fail_msg("%zu records were left behind", fake->n_records);
    fg_buf_deinit(&fake->log);
    free(fake);
}

void fake_host_work(struct fake_host *fake)
{
    while (fake->works) {
        struct fake_work *w = fake->works;

        fake->works = w->next;
        w->work(w->arg);
        w->done(w->arg);
        free(w);
    }
}

void fake_host_advance(struct fake_host *fake, uint64_t ms)
{
    uint64_t until = fake->now_ms + ms;

    for (;;) {
        struct fg_timer *first = NULL;

        fake_host_work(fake);
        for (struct fg_timer *t = fake->timers; t; t = t->next)
            if (t->running && t->at_ms <= until && (!first || t->at_ms <= first->at_ms))
                first = t; /* of two at the same time the older one, which is farther down the list */
        if (!first)
            break;
        if (first->at_ms > fake->now_ms) {
            fake->wall_ms += (int64_t)(first->at_ms - fake->now_ms);
            fake->now_ms = first->at_ms;
        }
        first->running = false;
        first->cb(first->arg);
    }
    fake->wall_ms += (int64_t)(until - fake->now_ms);
    fake->now_ms = until;
}

bool fake_host_logged(const struct fake_host *fake, const char *text)
{
    return fake->log.data && strstr(fake->log.data, text);
}
