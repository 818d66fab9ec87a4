/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of metrics, and Prometheus' text exposition format 0.0.4. */
#include "base/metric.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

#define SERIES_MAX 10000
#define LABELS_MAX 8
/* All labels of one series, written out. More is not shown. */
#define LABELS_BYTES_MAX 8192
/* One series, written out: a histogram repeats its labels on each line. */
#define TEXT_BYTES_MAX (32 * (LABELS_BYTES_MAX + 512))

struct bucket {
    double limit; /* seconds, inclusive */
    const char *text;
};

static const struct bucket buckets[] = {
    { 0.001, "0.001" }, { 0.0025, "0.0025" }, { 0.005, "0.005" }, { 0.01, "0.01" }, { 0.025, "0.025" },
    { 0.05, "0.05" },   { 0.1, "0.1" },       { 0.25, "0.25" },   { 0.5, "0.5" },   { 1, "1" },
    { 2.5, "2.5" },     { 5, "5" },           { 10, "10" },       { 25, "25" },     { 50, "50" },
    { 100, "100" },
};

#define BUCKETS (sizeof(buckets) / sizeof(buckets[0]))

struct fg_metric {
    enum fg_metric_type type;
    struct family *family;   /* borrowed; NULL: it cannot be shown */
    bool kept;               /* as long as the registry */
    size_t n_scopes;         /* that hold it */
    char *labels;            /* owned: `a="b",c="d"`, "" without any */
    _Atomic uint64_t value;  /* a double's bits; histograms: the sum */
    _Atomic uint64_t *counts; /* histograms: owned, BUCKETS + 1 of them, the last one for what is larger; else NULL */
};

struct family {
    char *name, *help; /* owned */
    enum fg_metric_type type;
    struct fg_metric **series; /* owned, sorted by labels */
    size_t len, cap;
};

struct fg_metric_scope {
    struct fg_metrics *metrics; /* borrowed */
    struct fg_metric **series;  /* owned array of len borrowed ones, each once */
    size_t len, cap;
};

struct fg_metrics {
    pthread_mutex_t lock; /* guards all below but the values; no other lock is taken under it */
    struct family **families; /* owned, sorted by name */
    size_t len, cap;
    size_t n_series;
    struct fg_metric *unseen[FG_METRIC_TYPE_HISTOGRAM + 1]; /* owned; by type, for what cannot be shown */
};

static uint64_t to_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static double from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static struct fg_metric *metric_free(struct fg_metric *metric)
{
    if (!metric)
        return NULL;
    free(metric->labels);
    free(metric->counts);
    free(metric);
    return NULL;
}

/* Takes over labels. */
static struct fg_metric *metric_new(enum fg_metric_type type, char *labels)
{
    struct fg_metric *metric = fg_calloc(1, sizeof(*metric));

    metric->type = type;
    metric->labels = labels;
    if (type == FG_METRIC_TYPE_HISTOGRAM)
        metric->counts = fg_calloc(BUCKETS + 1, sizeof(*metric->counts));
    return metric;
}

static struct family *family_free(struct family *family)
{
    for (size_t i = 0; i < family->len; i++)
        metric_free(family->series[i]);
    free(family->series);
    free(family->name);
    free(family->help);
    free(family);
    return NULL;
}

struct fg_metrics *fg_metrics_new(void)
{
    struct fg_metrics *metrics = fg_calloc(1, sizeof(*metrics));
    int r = pthread_mutex_init(&metrics->lock, NULL);

    fg_assert(r == 0);
    for (int type = 0; type <= FG_METRIC_TYPE_HISTOGRAM; type++)
        metrics->unseen[type] = metric_new((enum fg_metric_type)type, fg_strdup(""));
    return metrics;
}

struct fg_metrics *fg_metrics_free(struct fg_metrics *metrics)
{
    if (!metrics)
        return NULL;
    for (size_t i = 0; i < metrics->len; i++)
        family_free(metrics->families[i]);
    free(metrics->families);
    for (int type = 0; type <= FG_METRIC_TYPE_HISTOGRAM; type++)
        metric_free(metrics->unseen[type]);
    (void)pthread_mutex_destroy(&metrics->lock);
    free(metrics);
    return NULL;
}

/* Makes room for one more pointer at `at` of a sorted array. */
static void **open_gap(void **items, size_t len, size_t *cap, size_t at)
{
    if (len == *cap) {
        *cap = *cap ? *cap * 2 : 8;
        items = realloc(items, *cap * sizeof(*items));
        fg_assert(items);
    }
    memmove(items + at + 1, items + at, (len - at) * sizeof(*items));
    return items;
}

static struct family *find_family(struct fg_metrics *metrics, const struct fg_metric_decl *decl)
{
    size_t low = 0, high = metrics->len;
    struct family *family;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(decl->name, metrics->families[middle]->name);
        if (order == 0)
            return metrics->families[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    family = fg_calloc(1, sizeof(*family));
    family->name = fg_strdup(decl->name);
    family->help = fg_strdup(decl->help ? decl->help : "");
    family->type = decl->type;
    metrics->families = (struct family **)open_gap((void **)metrics->families, metrics->len, &metrics->cap, low);
    metrics->families[low] = family;
    metrics->len++;
    return family;
}

/* Where the series is, or belongs. */
static size_t place_of(const struct family *family, const char *labels)
{
    size_t low = 0, high = family->len;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(labels, family->series[middle]->labels) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Takes over labels. NULL: there is room for no more. */
static struct fg_metric *find_series(struct fg_metrics *metrics, struct family *family, char *labels)
{
    struct fg_metric *metric;
    size_t at = place_of(family, labels);

    if (at < family->len && strcmp(labels, family->series[at]->labels) == 0) {
        free(labels);
        return family->series[at];
    }
    if (metrics->n_series >= SERIES_MAX) {
        free(labels);
        return NULL;
    }
    metric = metric_new(family->type, labels);
    metric->family = family;
    family->series = (struct fg_metric **)open_gap((void **)family->series, family->len, &family->cap, at);
    family->series[at] = metric;
    family->len++;
    metrics->n_series++;
    return metric;
}

/* HELP texts and label values escape backslash and newline; label values the quote too. */
static void write_escaped(struct fg_buf *out, const char *text, bool quote)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            fg_buf_add_str(out, "\\n");
        else if (*text == '\\' || (*text == '"' && quote))
            fg_buf_printf(out, "\\%c", *text);
        else
            fg_buf_add_char(out, *text);
    }
}

/* NULL: too long. */
static char *write_labels(const struct fg_label *labels, size_t n)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf out = FG_BUF_INIT(LABELS_BYTES_MAX);

    for (size_t i = 0; i < n; i++) {
        FG_CLEANUP(fg_buf_deinit) struct fg_buf value = FG_BUF_INIT(LABELS_BYTES_MAX);
        fg_utf8_repair(fg_slice_of(labels[i].value), &value);
        fg_buf_printf(&out, "%s%s=\"", i ? "," : "", labels[i].name);
        write_escaped(&out, value.len ? value.data : "", true);
        fg_buf_add_char(&out, '"');
        out.failed = out.failed || value.failed;
    }
    if (out.failed)
        return NULL;
    return out.len ? fg_buf_steal(&out, NULL) : fg_strdup("");
}

static void hold(struct fg_metric_scope *scope, struct fg_metric *metric)
{
    for (size_t i = 0; i < scope->len; i++)
        if (scope->series[i] == metric)
            return;
    scope->series = (struct fg_metric **)open_gap((void **)scope->series, scope->len, &scope->cap, scope->len);
    scope->series[scope->len++] = metric;
    metric->n_scopes++;
}

/* @scope: NULL: kept */
static struct fg_metric *get(struct fg_metrics *metrics, struct fg_metric_scope *scope,
                             const struct fg_metric_decl *decl, const struct fg_label *labels, size_t n)
{
    struct fg_metric *metric = NULL;
    struct family *family;
    char *text;

    fg_assert(n <= LABELS_MAX);
    text = write_labels(labels, n);
    if (!text)
        return metrics->unseen[decl->type];
    (void)pthread_mutex_lock(&metrics->lock);
    family = find_family(metrics, decl);
    if (family->type == decl->type)
        metric = find_series(metrics, family, text);
    else
        free(text);
    if (metric && scope)
        hold(scope, metric);
    else if (metric)
        metric->kept = true;
    (void)pthread_mutex_unlock(&metrics->lock);
    return metric ? metric : metrics->unseen[decl->type];
}

struct fg_metric *fg_metric_get(struct fg_metrics *metrics, const struct fg_metric_decl *decl,
                                const struct fg_label *labels, size_t n)
{
    return get(metrics, NULL, decl, labels, n);
}

struct fg_metric *fg_metric_scope_get(struct fg_metric_scope *scope, const struct fg_metric_decl *decl,
                                      const struct fg_label *labels, size_t n)
{
    return get(scope->metrics, scope, decl, labels, n);
}

struct fg_metric_scope *fg_metric_scope_new(struct fg_metrics *metrics)
{
    struct fg_metric_scope *scope = fg_calloc(1, sizeof(*scope));

    scope->metrics = metrics;
    return scope;
}

/* Its family stays, for the next one. */
static void remove_series(struct fg_metrics *metrics, struct fg_metric *metric)
{
    struct family *family = metric->family;
    size_t at = place_of(family, metric->labels);

    fg_assert(at < family->len && family->series[at] == metric);
    family->len--;
    memmove(&family->series[at], &family->series[at + 1], (family->len - at) * sizeof(*family->series));
    metrics->n_series--;
    metric_free(metric);
}

struct fg_metric_scope *fg_metric_scope_free(struct fg_metric_scope *scope)
{
    if (!scope)
        return NULL;
    (void)pthread_mutex_lock(&scope->metrics->lock);
    for (size_t i = 0; i < scope->len; i++)
        if (--scope->series[i]->n_scopes == 0 && !scope->series[i]->kept)
            remove_series(scope->metrics, scope->series[i]);
    (void)pthread_mutex_unlock(&scope->metrics->lock);
    free(scope->series);
    free(scope);
    return NULL;
}

static void add_bits(_Atomic uint64_t *place, double value)
{
    uint64_t before = atomic_load_explicit(place, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(place, &before, to_bits(from_bits(before) + value),
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
}

void fg_metric_add(struct fg_metric *metric, double value)
{
    if (metric->type == FG_METRIC_TYPE_COUNTER && !(value >= 0))
        return;
    add_bits(&metric->value, value);
}

void fg_metric_set(struct fg_metric *metric, double value)
{
    atomic_store_explicit(&metric->value, to_bits(value), memory_order_relaxed);
}

double fg_metric_value(const struct fg_metric *metric)
{
    return from_bits(atomic_load_explicit(&metric->value, memory_order_relaxed));
}

void fg_metric_observe(struct fg_metric *metric, double seconds)
{
    size_t i = 0;

    fg_assert(metric->counts);
    if (isnan(seconds))
        return;
    while (i < BUCKETS && seconds > buckets[i].limit)
        i++;
    atomic_fetch_add_explicit(&metric->counts[i], 1, memory_order_relaxed);
    add_bits(&metric->value, seconds);
}

static void write_value(struct fg_buf *out, double value)
{
    char text[FG_DOUBLE_MAX];

    if (isnan(value))
        fg_buf_add_str(out, "NaN");
    else if (isinf(value))
        fg_buf_add_str(out, value > 0 ? "+Inf" : "-Inf");
    else
        fg_buf_add(out, text, fg_format_double(value, text));
    fg_buf_add_char(out, '\n');
}

static void write_name(struct fg_buf *out, const struct family *family, const char *suffix, const char *labels)
{
    fg_buf_add_str(out, family->name);
    fg_buf_add_str(out, suffix);
    if (labels[0] != '\0')
        fg_buf_printf(out, "{%s}", labels);
    fg_buf_add_char(out, ' ');
}

/* The count is summed up here from the buckets, so that both always agree, whatever other threads do meanwhile. */
static void write_histogram(struct fg_buf *out, const struct family *family, const struct fg_metric *metric)
{
    const char *comma = metric->labels[0] ? "," : "";
    uint64_t count = 0;

    for (size_t i = 0; i <= BUCKETS; i++) {
        count += atomic_load_explicit(&metric->counts[i], memory_order_relaxed);
        fg_buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", family->name, metric->labels, comma,
                      i < BUCKETS ? buckets[i].text : "+Inf", (unsigned long long)count);
    }
    write_name(out, family, "_sum", metric->labels);
    write_value(out, fg_metric_value(metric));
    write_name(out, family, "_count", metric->labels);
    fg_buf_printf(out, "%llu\n", (unsigned long long)count);
}

static void write_family(struct fg_buf *out, const struct family *family, fg_write_cb write, void *arg)
{
    static const char *const types[] = { "counter", "gauge", "histogram" };

    fg_buf_clear(out);
    fg_buf_printf(out, "# HELP %s ", family->name);
    write_escaped(out, family->help, false);
    fg_buf_printf(out, "\n# TYPE %s %s\n", family->name, types[family->type]);
    write(arg, fg_buf_slice(out));
    for (size_t i = 0; i < family->len; i++) {
        fg_buf_clear(out);
        if (family->type == FG_METRIC_TYPE_HISTOGRAM) {
            write_histogram(out, family, family->series[i]);
        } else {
            write_name(out, family, "", family->series[i]->labels);
            write_value(out, fg_metric_value(family->series[i]));
        }
        fg_assert(!out->failed);
        write(arg, fg_buf_slice(out));
    }
}

void fg_metrics_write(struct fg_metrics *metrics, fg_write_cb write, void *arg)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf out = FG_BUF_INIT(TEXT_BYTES_MAX);

    (void)pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < metrics->len; i++)
        if (metrics->families[i]->len > 0)
            write_family(&out, metrics->families[i], write, arg);
    (void)pthread_mutex_unlock(&metrics->lock);
}
