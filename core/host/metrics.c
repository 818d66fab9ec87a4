/* SPDX-License-Identifier: Apache-2.0 */
/* Every metric of the process itself, of its loop and of its reloads, declared once. Plugins declare their own. */
#include <dirent.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "host/process-private.h"
#include "host/reload-private.h"

static const struct fg_metric_decl depth_decl = {
    "fragua_queue_depth", FG_METRIC_TYPE_GAUGE, "Things that wait or are under way in a queue of the process",
};
static const struct fg_metric_decl bytes_decl = {
    "fragua_queue_bytes", FG_METRIC_TYPE_GAUGE, "Bytes that wait or are under way in a queue of the process",
};
static const struct fg_metric_decl stall_decl = {
    "fragua_loop_stall_seconds_max", FG_METRIC_TYPE_GAUGE,
    "Longest time that callbacks kept the loop from its sockets, in the last minute and since the start",
};
static const struct fg_metric_decl cpu_decl = {
    "fragua_loop_stall_cpu_seconds_max", FG_METRIC_TYPE_GAUGE,
    "Most of the processor that one turn of the loop took, in the last minute and since the start",
};
static const struct fg_metric_decl reloads = { "fragua_reloads_total", FG_METRIC_TYPE_COUNTER,
                                               "Reloads by how they ended" };
static const struct fg_metric_decl phase_seconds = { "fragua_reload_seconds", FG_METRIC_TYPE_GAUGE,
                                                     "How long each phase of the last reload took" };
static const struct fg_metric_decl pause_seconds = { "fragua_pipeline_pause_seconds", FG_METRIC_TYPE_GAUGE,
                                                     "How long the last reload that changed a pipeline held it" };
const struct fg_metric_decl fg_stall_busy = {
    "fragua_loop_busy_seconds", FG_METRIC_TYPE_HISTOGRAM,
    "Time that callbacks took in one turn of the loop, when no socket was looked at",
};

size_t fg_process_resident_bytes(void)
{
    struct fg_buf buf = FG_BUF_INIT(4096);
    struct fg_slice pages, rest;
    int64_t n = 0;

    if (fg_read_file("/proc/self/statm", 4096, &buf, NULL) == 0) {
        (void)fg_slice_cut(fg_buf_slice(&buf), ' ', &pages, &rest); /* size, then resident */
        (void)fg_slice_cut(rest, ' ', &pages, &rest);
        (void)fg_parse_int(pages, &n);
    }
    fg_buf_deinit(&buf);
    return (size_t)n * (size_t)sysconf(_SC_PAGESIZE);
}

static double resident(const struct fg_process *p)
{
    return (double)fg_process_resident_bytes();
}

static double open_files(const struct fg_process *p)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n > 3 ? (double)(n - 3) : 0; /* ".", ".." and the folder itself */
}

static double started(const struct fg_process *p)
{
    return (double)p->started_ms / 1000.0;
}

static double generation(const struct fg_process *p)
{
    return (double)p->generation;
}

static double budget(const struct fg_process *p)
{
    return (double)fg_budget_limit(&p->budget);
}

static double in_flight(const struct fg_process *p)
{
    return (double)fg_budget_used(&p->budget);
}

/* Read when somebody asks. */
static const struct {
    struct fg_metric_decl decl;
    double (*value)(const struct fg_process *p);
} gauges[] = {
    { { "process_resident_memory_bytes", FG_METRIC_TYPE_GAUGE, "Resident memory size in bytes" }, resident },
    { { "process_open_fds", FG_METRIC_TYPE_GAUGE, "Open file descriptors" }, open_files },
    { { "process_start_time_seconds", FG_METRIC_TYPE_GAUGE, "Start time since the Unix epoch in seconds" }, started },
    { { "fragua_generation", FG_METRIC_TYPE_GAUGE, "Generation of the running configuration" }, generation },
    { { "fragua_bytes_budget", FG_METRIC_TYPE_GAUGE,
        "Byte budget: limits.memory without what Kafka's queues may hold" },
      budget },
    { { "fragua_bytes_in_flight", FG_METRIC_TYPE_GAUGE, "Bytes of the byte budget that are in use" }, in_flight },
};

static void set_one(struct fg_process *p, const struct fg_metric_decl *decl, const char *label, const char *name,
                    double value)
{
    const struct fg_label labels[] = { { label, name } };

    fg_metric_set(fg_metric_get(p->metrics, decl, labels, 1), value);
}

static void set_queues(struct fg_process *p)
{
    struct fg_http_client_depth client;
    struct fg_http_server_depth server;

    set_one(p, &depth_decl, "queue", "workers", (double)fg_env_uv_pending(p->env));
    if (p->client) {
        fg_http_client_depth(p->client, &client);
        set_one(p, &depth_decl, "queue", "http_client_waiting", (double)client.waiting);
        set_one(p, &depth_decl, "queue", "http_client_running", (double)client.running);
        set_one(p, &depth_decl, "queue", "http_client_paused", (double)client.paused);
        set_one(p, &bytes_decl, "queue", "http_client_requests", (double)client.request_bytes);
        set_one(p, &bytes_decl, "queue", "http_client_answers", (double)client.body_bytes);
    }
    if (p->server) {
        fg_http_server_depth(p->server, &server);
        set_one(p, &depth_decl, "queue", "http_server_streams", (double)server.streams);
        set_one(p, &bytes_decl, "queue", "http_server_requests", (double)server.body_bytes);
        set_one(p, &bytes_decl, "queue", "http_server_answers", (double)server.waiting_bytes);
    }
    set_one(p, &stall_decl, "window", "1m", fg_stall_longest_minute(&p->stall, &p->stall.wall, uv_hrtime()));
    set_one(p, &stall_decl, "window", "start", fg_stall_longest(&p->stall.wall));
    set_one(p, &cpu_decl, "window", "1m", fg_stall_longest_minute(&p->stall, &p->stall.cpu, uv_hrtime()));
    set_one(p, &cpu_decl, "window", "start", fg_stall_longest(&p->stall.cpu));
}

void fg_process_metrics(struct fg_process *p)
{
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
        fg_metric_set(fg_metric_get(p->metrics, &gauges[i].decl, NULL, 0), gauges[i].value(p));
    set_queues(p);
}

void fg_reload_count(const struct fg_process *p, enum fg_reload_result result)
{
    const struct fg_label label = { "result", fg_reload_result_name(result) };

    fg_metric_add(fg_metric_get(p->metrics, &reloads, &label, 1), 1);
}

void fg_reload_metrics(const struct fg_reload_run *run)
{
    const struct fg_process *process = run->reload->process;

    fg_reload_count(process, run->result);
    for (size_t i = 0; i < _FG_RELOAD_PHASE_N; i++) {
        const struct fg_label label = { "phase", fg_reload_phase_name((enum fg_reload_phase)i) };
        fg_metric_set(fg_metric_get(process->metrics, &phase_seconds, &label, 1),
                      run->phase_ms[i] < 0 ? 0 : run->phase_ms[i] / 1000);
    }
    for (size_t i = 0; run->pipelines && i < run->diff.n_pipelines; i++) {
        const struct fg_label label = { "pipeline", run->diff.pipelines[i].name };
        const struct fg_process_pipeline *pp = fg_process_pipeline_find(process, label.value);
        if (pp && run->diff.pipelines[i].how != FG_PIPELINE_SAME)
            fg_metric_set(fg_metric_scope_get(pp->metrics, &pause_seconds, &label, 1),
                          run->pipelines[i].pause_ms / 1000);
    }
}
