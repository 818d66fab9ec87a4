/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that work on the topics of a pipeline file: from its options to an open Kafka, and back. */
#include "cli/errand.h"

#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/str.h"
#include "base/utf8.h"

bool fg_errand_take(struct fg_errand_words *words, size_t option, const char *value)
{
    if (option != FG_ERRAND_CONFIG)
        return fg_cli_take_set(&words->sets, value);
    words->file = value;
    return true;
}

bool fg_errand_take_format(const char *value, const char *other, bool *ret_json)
{
    const char *const words[] = { other, "json", NULL };
    int word;

    if (!fg_cli_take_word("format", value, words, &word))
        return false;
    *ret_json = word == 1;
    return true;
}

bool fg_errand_take_number(const char *name, const char *value, int64_t min, int64_t max, int64_t *ret)
{
    if (fg_parse_int(fg_slice_of(value), ret) && *ret >= min && *ret <= max)
        return true;
    (void)fg_cli_fail(0, "--%s is a number from %" PRId64 " to %" PRId64 ", not \"%s\"", name, min, max, value);
    return false;
}

static void stopped(void *arg)
{
    struct fg_errand *e = arg;

    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&e->signals[i], NULL);
}

void fg_errand_end(struct fg_errand *e, int code)
{
    fg_assert(!e->ending);
    e->ending = true;
    e->code = code;
    fg_process_stop(e->process, true, stopped, e);
}

/* The first signal asks for an orderly end; the second one does not wait for anything. */
static void on_signal(uv_signal_t *handle, int number)
{
    struct fg_errand *e = handle->data;

    if (e->interrupted)
        _exit(128 + number);
    e->interrupted = true;
    if (!e->ending)
        e->interrupt(e);
}

static void start_signals(struct fg_errand *e)
{
    static const int numbers[] = { SIGINT, SIGTERM };

    (void)signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < 2; i++) {
        (void)uv_signal_init(e->cli->loop, &e->signals[i]);
        e->signals[i].data = e;
        (void)uv_signal_start(&e->signals[i], on_signal, numbers[i]);
    }
}

static void hide_secret(void *log, struct fg_slice secret)
{
    fg_log_add_secret(log, secret);
}

static int run_loaded(struct fg_errand *e)
{
    const struct fg_process_config process = { .loop = e->cli->loop, .log = e->log, .config = e->config,
                                               .role = FG_ROLE_BOTH };
    struct fg_error err = FG_ERROR_NULL;

    start_signals(e);
    if (fg_process_prepare(&process, e->transforms, &e->process, &err) < 0) {
        bool config = err.code == FG_E_CONFIG || err.code == FG_E_NOT_FOUND;
        fg_errand_end(e, fg_cli_fail(config ? FG_EXIT_CONFIG : FG_EXIT_FAILED, "%s", err.text));
    } else {
        e->bus = fg_process_bus(e->process);
        e->env = fg_process_env(e->process);
        e->begin(e);
    }
    (void)uv_run(e->cli->loop, UV_RUN_DEFAULT);
    fg_process_free(e->process);
    return e->code;
}

int fg_errand_run(struct fg_errand *e)
{
    const struct fg_errand_words *w = e->words;
    int code;

    e->config = fg_cli_load(e->cli, w->file, FG_SLICE_NULL, w->sets.items, w->sets.n, &code);
    if (!e->config)
        return code;
    if (e->config->kafka.embedded) {
        code = fg_cli_fail(FG_EXIT_CONFIG,
                           "%s: with `kafka.embedded` the broker lives inside `fragua run`: nothing outside reaches it",
                           w->file);
    } else if (!e->config->kafka.bootstrap_servers) {
        code = fg_cli_fail(FG_EXIT_CONFIG, "%s: it names no Kafka (`kafka.bootstrap.servers`)", w->file);
    } else {
        /* why it fails it says itself; what librdkafka thinks meanwhile would only stand between its lines */
        e->log = fg_log_new(STDERR_FILENO, e->cli->log_format, isatty(STDERR_FILENO) == 1,
                            e->cli->log_level_given ? e->cli->log_level : FG_LOG_ERROR, &fg_clock_system);
        fg_config_secrets(e->config, hide_secret, e->log);
        code = run_loaded(e);
        fg_log_free(e->log);
    }
    fg_config_unref(e->config);
    return code;
}

/* Control characters of both sets, and those that change the direction of text or do not show. */
static bool is_tricky(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

void fg_errand_plain(struct fg_slice text, size_t max, struct fg_buf *out)
{
    size_t pos = 0;
    char bytes[4];

    for (size_t n = 0; pos < text.len && n < max; n++) {
        uint32_t c = fg_utf8_next(text, &pos);
        if (c == '\t' || c == '\n' || c == '\r')
            c = ' ';
        else if (is_tricky(c))
            c = 0xfffd;
        fg_buf_add(out, bytes, fg_utf8_encode(c, bytes));
    }
    if (pos < text.len)
        fg_buf_add_str(out, "...");
}
