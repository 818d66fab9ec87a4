/* SPDX-License-Identifier: Apache-2.0 */
/* What a reload says of itself: the API's report, the log's lines. */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/reload-private.h"

static const char *const phase_names[_FG_RELOAD_PHASE_N] = {
    [FG_RELOAD_CHECK] = "check", [FG_RELOAD_LOAD] = "load", [FG_RELOAD_DIFF] = "diff",
    [FG_RELOAD_BUILD] = "build", [FG_RELOAD_SWAP] = "swap", [FG_RELOAD_PROBE] = "probation",
};

static const char *const result_names[_FG_RELOAD_RESULT_N] = {
    [FG_RELOAD_RUNNING] = "running",   [FG_RELOAD_DONE] = "done",
    [FG_RELOAD_UNCHANGED] = "unchanged", [FG_RELOAD_REFUSED] = "refused",
    [FG_RELOAD_ROLLED_BACK] = "rolled-back", [FG_RELOAD_WOULD_DO] = "would-do",
};

static const char *const trigger_names[_FG_RELOAD_TRIGGER_N] = {
    [FG_RELOAD_SIGNAL] = "signal", [FG_RELOAD_API] = "api", [FG_RELOAD_FILES] = "files",
    [FG_RELOAD_PROBATION] = "probation",
};

const char *fg_reload_phase_name(enum fg_reload_phase phase)
{
    return phase_names[phase];
}

const char *fg_reload_result_name(enum fg_reload_result result)
{
    return result_names[result];
}

static void write_ms(struct fg_json_writer *w, const char *key, double ms)
{
    fg_json_key(w, key);
    fg_json_double(w, (double)(int64_t)(ms * 1000) / 1000);
}

static void write_phases(struct fg_json_writer *w, const struct fg_reload_run *run)
{
    fg_json_key(w, "phases");
    fg_json_array(w);
    for (size_t i = 0; i < _FG_RELOAD_PHASE_N; i++) {
        if (run->phase_ms[i] < 0)
            continue;
        fg_json_object(w);
        fg_json_kv_cstr(w, "phase", phase_names[i]);
        write_ms(w, "ms", run->phase_ms[i]);
        fg_json_object_end(w);
    }
    fg_json_array_end(w);
}

static void write_pipelines(struct fg_json_writer *w, const struct fg_reload_run *run)
{
    fg_json_key(w, "pipelines");
    fg_json_array(w);
    for (size_t i = 0; i < run->diff.n_pipelines; i++) {
        const struct fg_diff_pipeline *d = &run->diff.pipelines[i];
        const struct fg_reload_pipeline *rp = run->phase >= FG_RELOAD_SWAP ? &run->pipelines[i] : NULL;
        fg_json_object(w);
        fg_json_kv_cstr(w, "name", d->name);
        fg_json_kv_cstr(w, "how", fg_pipeline_how_name(d->how));
        if (rp && d->how != FG_PIPELINE_SAME) {
            fg_json_kv_cstr(w, "outcome", !rp->is_done                        ? "running"
                                          : run->result == FG_RELOAD_ROLLED_BACK ? "rolled-back"
                                                                                 : "done");
            write_ms(w, "pause_ms", rp->pause_ms);
            fg_json_kv_bool(w, "drained", rp->drained);
        }
        fg_json_object_end(w);
    }
    fg_json_array_end(w);
}

/* All members but what may change later: generation, result, error. */
static void write_rest(struct fg_json_writer *w, const struct fg_reload_run *run)
{
    char time[FG_RFC3339_MAX];

    fg_json_key(w, "asked_by");
    fg_json_array(w);
    for (size_t i = 0; i < _FG_RELOAD_TRIGGER_N; i++)
        if (run->asked_by & (1u << i))
            fg_json_cstr(w, trigger_names[i]);
    fg_json_array_end(w);
    fg_json_kv_int(w, "asked", run->asked);
    fg_rfc3339(run->began_ms, time);
    fg_json_kv_cstr(w, "began_at", time);
    write_ms(w, "duration_ms", run->duration_ms);
    write_phases(w, run);
    fg_diff_write(w, &run->diff);
    write_pipelines(w, run);
    if (run->faults.len) {
        fg_json_key(w, "faults");
        fg_conf_faults_write(w, &run->faults);
    }
}

static void write_head(struct fg_json_writer *w, bool dry, unsigned generation, enum fg_reload_result result,
                       const char *error)
{
    if (!dry)
        fg_json_kv_int(w, "generation", generation);
    fg_json_kv_cstr(w, "result", result_names[result]);
    if (error)
        fg_json_kv_cstr(w, "error", error);
}

void fg_reload_report_write(struct fg_json_writer *w, const struct fg_reload_run *run)
{
    fg_json_object(w);
    write_head(w, run->dry, run->generation, run->result, run->err.code ? run->err.text : NULL);
    write_rest(w, run);
    fg_json_object_end(w);
}

void fg_reload_report_deinit(struct fg_reload_report *report)
{
    free(report->error);
    free(report->rest);
}

void fg_reload_report_keep(struct fg_reload *reload, const struct fg_reload_run *run)
{
    struct fg_buf buf = FG_BUF_INIT(FG_RELOAD_REPORT_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    struct fg_reload_report *report = &reload->reports[0];

    fg_json_object(&w);
    write_rest(&w, run);
    fg_json_object_end(&w);
    if (reload->n_reports == FG_RELOADS_KEPT)
        fg_reload_report_deinit(&reload->reports[--reload->n_reports]);
    memmove(report + 1, report, reload->n_reports * sizeof(*report));
    reload->n_reports++;
    *report = (struct fg_reload_report){
        .generation = run->generation,
        .result = run->result,
        .error = run->err.code ? fg_strdup(run->err.text) : NULL,
        .rest = buf.failed ? NULL : fg_strdup_slice(fg_slice_sub(fg_buf_slice(&buf), 1, buf.len - 1)),
        .probation_ms = -1,
    };
    fg_buf_deinit(&buf);
}

/* In what was kept of a report; the texts in it cannot look like this, because quotes in them are escaped. */
static void outcomes_taken_back(struct fg_reload_report *report)
{
    static const struct fg_slice was = FG_SLICE("\"outcome\":\"done\""), is = FG_SLICE("\"outcome\":\"rolled-back\"");
    struct fg_slice rest = fg_slice_of(report->rest);
    struct fg_buf buf = FG_BUF_INIT(2 * FG_RELOAD_REPORT_MAX);
    ptrdiff_t at;

    while ((at = fg_slice_find(rest, was)) >= 0) {
        fg_buf_add(&buf, rest.ptr, (size_t)at);
        fg_buf_add_slice(&buf, is);
        rest = fg_slice_sub(rest, (size_t)at + was.len, rest.len);
    }
    fg_buf_add_slice(&buf, rest);
    if (!buf.failed && buf.data) {
        free(report->rest);
        report->rest = fg_buf_steal(&buf, NULL);
    }
    fg_buf_deinit(&buf);
}

void fg_reload_report_take_back(struct fg_reload *reload, unsigned generation, const struct fg_error *why, double ms)
{
    fg_reload_count(reload->process, FG_RELOAD_ROLLED_BACK);
    for (size_t i = 0; i < reload->n_reports; i++) {
        struct fg_reload_report *report = &reload->reports[i];
        if (report->generation < generation || report->result != FG_RELOAD_DONE)
            continue;
        report->result = FG_RELOAD_ROLLED_BACK;
        report->probation_ms = ms;
        free(report->error);
        report->error = fg_strdup(why->text);
        if (report->rest)
            outcomes_taken_back(report);
    }
}

static void write_kept(struct fg_json_writer *w, const struct fg_reload_report *report)
{
    fg_json_object(w);
    write_head(w, false, report->generation, report->result, report->error);
    if (report->probation_ms >= 0)
        write_ms(w, "probation_ms", report->probation_ms);
    if (report->rest) {
        fg_buf_add_char(w->out, ',');
        fg_buf_add_str(w->out, report->rest);
    }
    fg_json_object_end(w);
}

static int write_one(const struct fg_reload *reload, const char *name, struct fg_json_writer *w, struct fg_error *err)
{
    int64_t generation = 0;

    if (!fg_parse_int(fg_slice_of(name), &generation))
        generation = 0;
    for (size_t i = 0; reload && i < reload->n_reports; i++)
        if ((int64_t)reload->reports[i].generation == generation) {
            write_kept(w, &reload->reports[i]);
            return 0;
        }
    return fg_raise(fg_error_set(err, FG_E_NOT_FOUND, 0, "no reload to generation \"%s\" is remembered", name));
}

int fg_reload_write(const struct fg_reload *reload, const char *name, struct fg_json_writer *w, struct fg_error *err)
{
    if (name)
        return fg_pass(write_one(reload, name, w, err));
    fg_json_object(w);
    fg_json_kv_int(w, "generation", reload ? reload->process->generation : 1);
    fg_json_key(w, "reloads");
    fg_json_array(w);
    if (reload && reload->run && !reload->run->dry)
        fg_reload_report_write(w, reload->run);
    for (size_t i = 0; reload && i < reload->n_reports; i++)
        write_kept(w, &reload->reports[i]);
    fg_json_array_end(w);
    fg_json_object_end(w);
    return 0;
}

static void log_changes(const struct fg_reload_run *run)
{
    const struct fg_logger *logger = &run->reload->process->logger;

    for (size_t i = 0; i < run->diff.n_changes; i++) {
        const struct fg_change *c = &run->diff.changes[i];
        fg_logf(logger, FG_LOG_INFO, "reload: %s: %s%s%s", c->place, fg_change_reason_name(c->reason),
                c->detail[0] ? ": " : "", c->detail);
    }
}

void fg_reload_log(const struct fg_reload_run *run)
{
    const struct fg_process *p = run->reload->process;

    log_changes(run);
    for (size_t i = 0; i < run->faults.len; i++)
        fg_logf(&p->logger, FG_LOG_ERROR, "reload: %s:%u:%u: %s", run->faults.items[i].file,
                run->faults.items[i].line, run->faults.items[i].column, run->faults.items[i].text);
    switch (run->result) {
    case FG_RELOAD_DONE:
        fg_logf(&p->logger, FG_LOG_INFO, "reload: generation %u runs, after %.1f ms", run->generation,
                run->duration_ms);
        break;
    case FG_RELOAD_UNCHANGED:
        fg_logf(&p->logger, FG_LOG_INFO, "reload: nothing has changed, generation %u goes on", p->generation);
        break;
    default:
        fg_logf(&p->logger, FG_LOG_ERROR, "reload: %s, generation %u goes on: %s", result_names[run->result],
                p->generation, run->err.text);
        break;
    }
}
