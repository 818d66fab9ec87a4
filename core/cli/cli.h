/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one file a command, one table of commands. Results on stdout, the rest on stderr. */
#pragma once

#include <getopt.h>
#include <uv.h>

#include "base/log.h"
#include "host/config.h"

/* Exit codes, as sysexits.h numbers them. */
enum { FG_EXIT_OK = 0, FG_EXIT_FAILED = 1, FG_EXIT_USAGE = 64, FG_EXIT_CONFIG = 78 };

#define FG_CLI_SETS_MAX 64

/* What --set PATH=VALUE says, as often as it is given. */
struct fg_cli_sets {
    const char *items[FG_CLI_SETS_MAX]; /* of n */
    size_t n;
};

/* What the options common to all commands say. */
struct fg_cli {
    uv_loop_t *loop; /* borrowed from main */
    struct fg_plugin_path plugins;
    struct fg_plugin_registry registry; /* of plugins */
    enum fg_log_format log_format;
    enum fg_log_level log_level;
    bool log_level_given;
    const char *plugin_dirs[FG_PLUGIN_DIRS_MAX];
    size_t n_plugin_dirs;
    uint32_t probe_ms; /* for the plugins of a file that is checked; 0: FG_PROBE_MS */
};

struct fg_cli_option {
    const char *name;  /* long option; NULL ends the table */
    char letter;       /* short option, or 0 */
    const char *value; /* what to write for the value in the help; NULL: a switch */
    const char *help;
};

struct fg_cli_command {
    const char *name;
    const char *usage; /* what follows the name: "-c FILE [options]" */
    const char *summary;
    const struct fg_cli_option *options;
    /* Takes one option (index into its table) and its value; false: the value is bad, a word about it is on stderr. */
    bool (*take)(void *state, size_t option, const char *value);
    size_t state_size; /* of the zeroed struct that take() fills */
    int (*run)(struct fg_cli *cli, void *state, int argc, char **argv); /* argv: what is no option */
};

extern const struct fg_cli_command fg_cli_run, fg_cli_validate, fg_cli_schema, fg_cli_plugins, fg_cli_topics,
    fg_cli_replay, fg_cli_tail, fg_cli_demo;

int fg_cli_main(uv_loop_t *loop, int argc, char **argv);

/* "fragua: TEXT" on stderr; returns @code. */
int fg_cli_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For take(). Which of the words it is, NULL-ended: its index; else false, with a word on stderr that names them. */
bool fg_cli_take_word(const char *option, const char *value, const char *const *words, int *ret);
bool fg_cli_take_set(struct fg_cli_sets *sets, const char *value);
/*
 * Tries the plugins of a file in a child, then loads and checks it. "-" is standard input. @ret NULL: whether it is
 * right is all that is asked, and none of its plugins is loaded here if it is. Negative: with faults, or with none and
 * err set where a plugin does not even let itself be opened.
 */
int fg_cli_check(struct fg_cli *cli, const char *path, struct fg_slice text, const char *const *sets, size_t n_sets,
                 struct fg_config **ret, struct fg_conf_faults *faults, struct fg_error *err);
/* The same for commands that need the file; faults go to stderr. NULL: it is wrong, *ret_code says how to exit. */
struct fg_config *fg_cli_load(struct fg_cli *cli, const char *path, struct fg_slice text, const char *const *sets,
                              size_t n_sets, int *ret_code);
