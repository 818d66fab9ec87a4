/* SPDX-License-Identifier: Apache-2.0 */
/* Trying a configuration in another process: starting it, listening to it, and what to make of its end. */
#include "host/check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define PARENT_ENV "FRAGUA_CHECKED_BY" /* the process to end with */
#define READ_BYTES 16384

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif

struct fg_check {
    uv_process_t process;
    uv_pipe_t out;
    uv_timer_t timer;
    unsigned open;        /* handles that are not closed yet */
    struct fg_buf output;
    char chunk[READ_BYTES];
    uint32_t timeout_ms;
    int64_t status;       /* exit code */
    int ended_by;         /* signal; 0: none */
    bool running;
    bool cancelled;
    struct fg_error err;  /* why it was killed; code 0: it was not */
    void (*done)(void *arg, const struct fg_check_result *result); /* NULL: nobody asks */
    void *arg;
    fg_done_cb gone;
    void *gone_arg;
};

static void kill_it(struct fg_check *c)
{
    /* with what it has started itself: it leads a group of its own until it is reaped */
    if (c->running)
        (void)kill(-c->process.pid, SIGKILL);
}

/* The start of something that is no report, fit for a message. */
static void show(struct fg_slice bytes, char *ret, size_t size)
{
    size_t n = bytes.len < size - 1 ? bytes.len : size - 1;

    for (size_t i = 0; i < n; i++)
        ret[i] = bytes.ptr[i] >= ' ' && bytes.ptr[i] <= '~' ? bytes.ptr[i] : '.';
    ret[n] = '\0';
}

#define FAIL(code, ...) (void)fg_raise(fg_error_set(&result->err, (code), 0, __VA_ARGS__))

static void judge(const struct fg_check *c, struct fg_check_result *result)
{
    struct fg_slice said = fg_buf_slice(&c->output);
    char start[41];
    bool wrong;

    if (c->err.code) {
        result->err = c->err;
    } else if (c->ended_by) {
        FAIL(FG_E_CONFIG, "the process that tries the configuration was ended by signal %d (%s)%s", c->ended_by,
             strsignal(c->ended_by), c->ended_by == SIGKILL ? ": is there too little memory for a second one?" : "");
    } else if (said.len == 0) {
        FAIL(FG_E_CONFIG, "the process that tries the configuration ended early, with code %d and without a report",
             (int)c->status);
    } else if (fg_check_read(said, result) < 0) {
        show(said, start, sizeof(start));
        FAIL(FG_E_PROTOCOL, "the process that tries the configuration ended with code %d and reported nonsense: \"%s\"",
             (int)c->status, start);
    } else {
        wrong = result->faults.len > 0;
        if (wrong != (c->status != 0))
            FAIL(FG_E_PROTOCOL, "the process that tries the configuration reported %zu faults, but ended with code %d",
                 result->faults.len, (int)c->status);
        result->code = (int)c->status;
    }
    if (result->err.code)
        result->code = -result->err.code;
}

static void free_it(struct fg_check *c)
{
    fg_buf_deinit(&c->output);
    free(c);
}

static void finish(struct fg_check *c)
{
    struct fg_check_result result = { .faults = FG_CONF_FAULTS_NULL };

    if (c->cancelled) {
        if (c->gone)
            c->gone(c->gone_arg);
    } else if (c->done) {
        judge(c, &result);
        c->done(c->arg, &result);
        fg_conf_faults_deinit(&result.faults);
        free(result.plugins);
    }
    free_it(c);
}

static void closed(uv_handle_t *handle)
{
    struct fg_check *c = handle->data;

    if (--c->open == 0)
        finish(c);
}

static void close_all(struct fg_check *c)
{
    uv_close((uv_handle_t *)&c->process, closed);
    uv_close((uv_handle_t *)&c->out, closed);
    uv_close((uv_handle_t *)&c->timer, closed);
}

static void take(struct fg_check *c, const char *bytes, size_t n)
{
    if (c->err.code)
        return;
    fg_buf_add(&c->output, bytes, n);
    if (!c->output.failed)
        return;
    fg_error_set(&c->err, FG_E_LIMIT, 0, "the process that tries the configuration says more than %zu bytes",
                 FG_CHECK_OUTPUT_MAX);
    kill_it(c);
}

static void give_chunk(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct fg_check *c = handle->data;

    *ret = uv_buf_init(c->chunk, sizeof(c->chunk));
}

static void has_said(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n > 0)
        take(stream->data, buf->base, (size_t)n);
    else if (n < 0)
        (void)uv_read_stop(stream); /* what counts is its end */
}

/* What it said last. Its pipe may stay open for long: something that a plugin has started can hold it. */
static void drain(struct fg_check *c)
{
    uv_os_fd_t fd;
    ssize_t n;

    (void)uv_read_stop((uv_stream_t *)&c->out);
    if (uv_fileno((uv_handle_t *)&c->out, &fd) != 0)
        return;
    while (!c->err.code && (n = read(fd, c->chunk, sizeof(c->chunk))) > 0)
        take(c, c->chunk, (size_t)n);
}

static void ended(uv_process_t *process, int64_t status, int ended_by)
{
    struct fg_check *c = process->data;

    c->running = false;
    c->status = status;
    c->ended_by = ended_by;
    drain(c);
    close_all(c);
}

static void too_late(uv_timer_t *timer)
{
    struct fg_check *c = timer->data;

    if (!c->err.code)
        fg_error_set(&c->err, FG_E_TIMEOUT, 0,
                     "the process that tries the configuration did not end within %g s (`reload.check`)",
                     c->timeout_ms / 1000.0);
    kill_it(c);
}

/* A file without a name that holds the text; negative: there is none to be had. */
static int file_of(struct fg_slice text)
{
    int fd = memfd_create("configuration", MFD_CLOEXEC);

    if (fd < 0)
        fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    for (size_t done = 0; fd >= 0 && done < text.len;) {
        ssize_t n = pwrite(fd, text.ptr + done, text.len - done, (off_t)done);
        if (n <= 0) {
            (void)close(fd);
            return -1;
        }
        done += (size_t)n;
    }
    return fd;
}

/* This process's environment and whom the other one ends with; array and last string are freed by the caller. */
static char **make_env(char **ret_own)
{
    size_t n = 0;
    char **env;

    while (environ[n])
        n++;
    env = fg_calloc(n + 2, sizeof(*env));
    memcpy(env, environ, n * sizeof(*env));
    *ret_own = fg_malloc(sizeof(PARENT_ENV) + 24);
    (void)snprintf(*ret_own, sizeof(PARENT_ENV) + 24, PARENT_ENV "=%ld", (long)getpid());
    env[n] = *ret_own;
    return env;
}

static int spawn(struct fg_check *c, const struct fg_check_config *config, int text_fd)
{
    uv_stdio_container_t stdio[] = {
        { .flags = text_fd < 0 ? UV_IGNORE : UV_INHERIT_FD, .data.fd = text_fd },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&c->out },
        { .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO },
    };
    char *own;
    char **env = make_env(&own);
    /* a session of its own: an interrupt of the terminal is not its business; arguments are not written to */
    uv_process_options_t options = { .file = "/proc/self/exe", .args = (char **)config->argv, .env = env,
                                     .flags = UV_PROCESS_DETACHED, .exit_cb = ended, .stdio = stdio,
                                     .stdio_count = 3 };
    int e;

#ifdef SYS_close_range
    /* all that this process has opened is its own; older kernels must trust that every library says so itself */
    (void)syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
#endif
    e = uv_spawn(config->loop, &c->process, &options);
    free(own);
    free(env);
    return e;
}

int fg_check_start(const struct fg_check_config *config, void (*done)(void *arg, const struct fg_check_result *result),
                   void *arg, struct fg_check **ret, struct fg_error *err)
{
    int text_fd = config->text.ptr ? file_of(config->text) : -1;
    struct fg_check *c;
    int e;

    if (config->text.ptr && text_fd < 0)
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "cannot keep the configuration for the process that tries "
                                     "it: %s", fg_errno_text(errno)));
    c = fg_calloc(1, sizeof(*c));
    c->output = FG_BUF_INIT(FG_CHECK_OUTPUT_MAX);
    c->timeout_ms = config->timeout_ms;
    c->open = 3;
    c->process.data = c->out.data = c->timer.data = c;
    (void)uv_pipe_init(config->loop, &c->out, 0);
    (void)uv_timer_init(config->loop, &c->timer);
    e = spawn(c, config, text_fd);
    if (text_fd >= 0)
        (void)close(text_fd);
    if (e) {
        close_all(c); /* with no one to tell, it frees itself */
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "cannot start the process that tries the configuration: %s",
                                     uv_strerror(e)));
    }
    c->running = true;
    c->done = done;
    c->arg = arg;
    (void)uv_timer_start(&c->timer, too_late, c->timeout_ms, 0);
    (void)uv_read_start((uv_stream_t *)&c->out, give_chunk, has_said);
    *ret = c;
    return 0;
}

void fg_check_cancel(struct fg_check *c, fg_done_cb gone, void *arg)
{
    c->cancelled = true;
    c->gone = gone;
    c->gone_arg = arg;
    kill_it(c);
}

void fg_check_bind(void)
{
    const char *by = getenv(PARENT_ENV);

    if (!by)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strtol(by, NULL, 10) != (long)getppid())
        _exit(1); /* it has ended already */
    (void)unsetenv(PARENT_ENV);
}
