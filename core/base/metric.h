/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics: families declared once (name, kind, help), series by labels, Prometheus text out.
 *
 * What comes and goes (a pipeline, a node, a partition) gets its series by a scope: they are shown until the last scope
 * that holds them is freed, and a later one of the same labels begins anew.
 *
 * Adding and setting are lock-free [any thread]; all else takes the registry's lock [any thread].
 * A process has at most 10,000 series; past that, for labels of more than 8 KiB, and for a name that is already there
 * with another type, fg_metric_get() returns a series that is counted but not shown.
 */
#pragma once

#include "fragua/host.h"

struct fg_metrics; /* the registry */
struct fg_metric_scope; /* the series of one owner */
struct fg_buf;

enum fg_metric_type { FG_METRIC_TYPE_COUNTER, FG_METRIC_TYPE_GAUGE, FG_METRIC_TYPE_HISTOGRAM };

struct fg_metric_decl {
    const char *name; /* [a-z_]+, with unit and _total as Prometheus wants; static storage or copied by fg_metric_get */
    enum fg_metric_type type;
    const char *help; /* one line */
};

struct fg_label {
    const char *name, *value;
};

struct fg_metrics *fg_metrics_new(void);
struct fg_metrics *fg_metrics_free(struct fg_metrics *metrics);
/* The series for these labels (n <= 8, copied), made at first use. Never NULL; from now on as long as the registry. */
struct fg_metric *fg_metric_get(struct fg_metrics *metrics, const struct fg_metric_decl *decl,
                                const struct fg_label *labels, size_t n);
/* Of a scope: as long as the scope, maybe longer. */
struct fg_metric *fg_metric_scope_get(struct fg_metric_scope *scope, const struct fg_metric_decl *decl,
                                      const struct fg_label *labels, size_t n);
struct fg_metric_scope *fg_metric_scope_new(struct fg_metrics *metrics); /* borrowed, must outlive it */
struct fg_metric_scope *fg_metric_scope_free(struct fg_metric_scope *scope); /* NULL allowed; nobody uses its series */
void fg_metric_add(struct fg_metric *metric, double value); /* counters ignore what is negative or not a number */
void fg_metric_set(struct fg_metric *metric, double value);
double fg_metric_value(const struct fg_metric *metric);
/* Histograms: fixed buckets of 1 2.5 5 x 10^k seconds from 1 ms to 100 s. */
void fg_metric_observe(struct fg_metric *metric, double seconds);
/* write() is called under the registry's lock: it must not come back to the registry. */
void fg_metrics_write(struct fg_metrics *metrics, fg_write_cb write, void *arg);
