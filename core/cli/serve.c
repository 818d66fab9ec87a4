/* SPDX-License-Identifier: Apache-2.0 */
/* Running a configuration until a signal or its owner ends it. */
#include "cli/serve.h"

#include <signal.h>

#include "base/buf.h"

#define ARGS_MAX (2 * FG_PLUGIN_DIRS_MAX + 2 * FG_CLI_SETS_MAX + 6) /* program, command, its options, NULL */

static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
#define N_SIGNALS (sizeof(signals) / sizeof(signals[0]))

struct fg_serve {
    const struct fg_serve_config *config;
    struct fg_process *process;
    struct fg_logger logger;
    uv_signal_t handles[N_SIGNALS];
    bool ending;
    int code;
};

static void stopped(void *arg)
{
    struct fg_serve *s = arg;

    for (size_t i = 0; i < N_SIGNALS; i++)
        uv_close((uv_handle_t *)&s->handles[i], NULL);
}

static void end(struct fg_serve *s, int code, bool now)
{
    if (!s->ending)
        s->code = code;
    s->ending = true;
    fg_process_stop(s->process, now, stopped, s);
}

void fg_serve_end(struct fg_serve *serve, int code)
{
    end(serve, code, false);
}

static void log_line(void *arg, struct fg_slice bytes)
{
    struct fg_serve *s = arg;

    fg_logf(&s->logger, FG_LOG_INFO, "status %.*s", FG_SLICE_ARG(bytes));
}

static void report(struct fg_serve *s)
{
    struct fg_error err = FG_ERROR_NULL;

    if (fg_process_report(s->process, FG_REPORT_STATUS, NULL, log_line, s, &err) < 0 ||
        fg_process_report(s->process, FG_REPORT_PIPELINES, NULL, log_line, s, &err) < 0)
        fg_log_error(&s->logger, FG_LOG_WARN, "cannot report", &err);
}

static void reload(struct fg_serve *s)
{
    struct fg_error err = FG_ERROR_NULL;

    if (fg_process_reload(s->process, FG_RELOAD_SIGNAL, NULL, NULL, &err) < 0)
        fg_log_error(&s->logger, FG_LOG_WARN, "SIGHUP", &err);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct fg_serve *s = handle->data;

    if (number == SIGUSR1) {
        report(s);
    } else if (number == SIGHUP) {
        reload(s);
    } else {
        fg_logf(&s->logger, FG_LOG_INFO, "%s: %s", number == SIGTERM ? "SIGTERM" : "SIGINT",
                s->ending ? "stopping at once" : "draining, then stopping");
        end(s, FG_EXIT_OK, s->ending);
    }
}

static void start_signals(struct fg_serve *s)
{
    /* a peer that went away is an error code, not the end of the process */
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < N_SIGNALS; i++) {
        (void)uv_signal_init(s->config->cli->loop, &s->handles[i]);
        s->handles[i].data = s;
        (void)uv_signal_start(&s->handles[i], on_signal, signals[i]);
    }
}

/* How this program tries a file in another process; see struct fg_process_origin. */
static void fill_check(const struct fg_serve_config *config, const char **args)
{
    static const char *const begin[] = { "fragua", "validate", "--format", "json", "--plugins" };
    size_t n = 0;

    for (size_t i = 0; i < sizeof(begin) / sizeof(begin[0]); i++)
        args[n++] = begin[i];
    for (size_t i = 0; i < config->cli->n_plugin_dirs; i++) {
        args[n++] = "--plugin-dir";
        args[n++] = config->cli->plugin_dirs[i];
    }
    for (size_t i = 0; i < config->n_sets; i++) {
        args[n++] = "--set";
        args[n++] = config->sets[i];
    }
    args[n] = NULL;
}

int fg_serve(const struct fg_serve_config *config)
{
    const char *check[ARGS_MAX];
    struct fg_serve s = { .config = config, .logger = { .log = config->log } };
    const struct fg_process_origin origin = { .path = config->file, .sets = config->sets, .n_sets = config->n_sets,
                                              .plugins = &config->cli->plugins, .check = check };
    struct fg_process_config process = { .loop = config->cli->loop, .log = config->log, .config = config->config,
                                         .role = config->role, .instance = config->instance, .origin = &origin };
    struct fg_error err = FG_ERROR_NULL;

    fill_check(config, check);
    start_signals(&s);
    if (fg_process_start(&process, &s.process, &err) < 0) {
        int code = err.code == FG_E_CONFIG || err.code == FG_E_NOT_FOUND ? FG_EXIT_CONFIG : FG_EXIT_FAILED;
        end(&s, fg_cli_fail(code, "%s", err.text), true);
    } else {
        const char *address = fg_process_http_address(s.process);
        fg_logf(&s.logger, FG_LOG_INFO, "started, version %s%s%s", FG_VERSION, address ? ", listening on " : "",
                address ? address : "");
        if (config->started)
            config->started(config->arg, &s, s.process);
    }
    (void)uv_run(config->cli->loop, UV_RUN_DEFAULT);
    fg_process_free(s.process);
    return s.code;
}
