/* SPDX-License-Identifier: Apache-2.0 */
/* Checking the pipeline file in another process while this one runs. */
#include "cli/recheck.h"

#include <signal.h>

#define ARGS_MAX (2 * FG_PLUGIN_DIRS_MAX + 2 * FG_CLI_SETS_MAX + 4) /* program, command, options, file, NULL */

static void closed(uv_handle_t *handle)
{
    struct fg_recheck *r = handle->data;

    r->running = false;
    if (r->again && !r->stopped)
        fg_recheck_request(r);
}

static void ended(uv_process_t *process, int64_t status, int signal_number)
{
    struct fg_recheck *r = process->data;

    if (r->stopped)
        ;
    else if (status == 0 && signal_number == 0)
        fg_logf(&r->logger, FG_LOG_WARN, "SIGHUP: %s is valid; restart to apply it, this version does not reload",
                r->path);
    else
        fg_logf(&r->logger, FG_LOG_ERROR, "SIGHUP: %s is wrong, see stderr; the running configuration stays", r->path);
    uv_close((uv_handle_t *)process, closed);
}

/* uv_spawn() takes arguments that it does not write to as char *. */
static void fill_arguments(const struct fg_recheck *r, char **args)
{
    size_t n = 0;

    args[n++] = (char *)"fragua";
    args[n++] = (char *)fg_cli_validate.name;
    for (size_t i = 0; i < r->cli->n_plugin_dirs; i++) {
        args[n++] = (char *)"--plugin-dir";
        args[n++] = (char *)r->cli->plugin_dirs[i];
    }
    for (size_t i = 0; i < r->n_sets; i++) {
        args[n++] = (char *)"--set";
        args[n++] = (char *)r->sets[i];
    }
    args[n++] = (char *)r->path;
    args[n] = NULL;
}

void fg_recheck_request(struct fg_recheck *r)
{
    char *args[ARGS_MAX];
    /* what it finds goes where this process's own words go */
    uv_stdio_container_t stdio[] = {
        { .flags = UV_IGNORE },
        { .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO },
        { .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO },
    };
    uv_process_options_t options = { .file = "/proc/self/exe", .args = args, .exit_cb = ended, .stdio = stdio,
                                     .stdio_count = 3 };
    int e;

    if (!r->path) {
        fg_logf(&r->logger, FG_LOG_WARN, "SIGHUP: there is no file to look at");
        return;
    }
    r->again = r->running;
    if (r->running || r->stopped)
        return;
    fill_arguments(r, args);
    r->process.data = r;
    r->running = true;
    e = uv_spawn(r->cli->loop, &r->process, &options);
    if (e == 0)
        return;
    fg_logf(&r->logger, FG_LOG_ERROR, "SIGHUP: cannot check %s: %s", r->path, uv_strerror(e));
    uv_close((uv_handle_t *)&r->process, closed);
}

void fg_recheck_stop(struct fg_recheck *r)
{
    r->stopped = true;
    if (r->running && !uv_is_closing((uv_handle_t *)&r->process))
        (void)uv_process_kill(&r->process, SIGKILL);
}
