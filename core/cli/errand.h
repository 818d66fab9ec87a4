/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that work on the topics of a pipeline file themselves, and then end: what `topics`, `replay` and `tail`
 * share. The file is loaded, Kafka is opened, a signal interrupts, the exit code is kept until all is closed.
 */
#pragma once

#include "cli/cli.h"
#include "host/process.h"

/* -c FILE, --set PATH=VALUE: the first options of each such command, in this order. */
enum { FG_ERRAND_CONFIG, FG_ERRAND_SET, FG_ERRAND_OPTIONS };
#define FG_ERRAND_OPTION_ROWS                                                                                          \
    [FG_ERRAND_CONFIG] = { "config", 'c', "FILE", "the pipeline file" },                                               \
    [FG_ERRAND_SET] = { "set", 0, "PATH=VALUE", "override one value of the file; may be repeated" }

struct fg_errand_words {
    const char *file; /* NULL: not given */
    struct fg_cli_sets sets;
};
/* For take(): @option is one of the two above. */
bool fg_errand_take(struct fg_errand_words *words, size_t option, const char *value);
/* "--NAME is text or json": false with a word on stderr. */
bool fg_errand_take_format(const char *value, const char *other, bool *ret_json);
bool fg_errand_take_number(const char *name, const char *value, int64_t min, int64_t max, int64_t *ret);

struct fg_errand {
    struct fg_cli *cli;
    const struct fg_errand_words *words;
    bool transforms; /* open those of pipelines with a source */
    void (*begin)(struct fg_errand *errand);
    void (*interrupt)(struct fg_errand *errand); /* SIGINT, SIGTERM: end soon; the second one does not come here */

    /* from here on its own */
    struct fg_config *config;
    struct fg_log *log;
    struct fg_process *process;
    struct fg_bus *bus;
    struct fg_env *env;
    uv_signal_t signals[2];
    bool ending, interrupted;
    int code;
};

/* Runs it to its end; returns the exit code. Embed it in a struct of the command's own. */
int fg_errand_run(struct fg_errand *errand);
/* All that begin() opened is closed: fg_errand_run() returns this code. */
void fg_errand_end(struct fg_errand *errand, int code);

/* Outside bytes for a terminal: what is no text, control characters and all that turns lines round is replaced. */
void fg_errand_plain(struct fg_slice text, size_t max, struct fg_buf *out);
