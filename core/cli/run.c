/* SPDX-License-Identifier: Apache-2.0 */
/* fragua run: the pipelines of a file, until told to stop. */
#include <unistd.h>

#include "cli/serve.h"

enum { OPTION_CONFIG, OPTION_ROLE, OPTION_SET, OPTION_INSTANCE };

static const struct fg_cli_option options[] = {
    [OPTION_CONFIG] = { "config", 'c', "FILE", "the pipeline file" },
    [OPTION_ROLE] = { "role", 0, "ROLE", "producer, consumer or both (default): which pipelines run" },
    [OPTION_SET] = { "set", 0, "PATH=VALUE", "override one value of the file; may be repeated" },
    [OPTION_INSTANCE] = { "instance", 0, "NAME", "this replica's name (default: the host's)" },
    { NULL, 0, NULL, NULL },
};

struct state {
    const char *config, *instance;
    int role; /* enum fg_role */
    bool role_given;
    struct fg_cli_sets sets;
};

static bool take(void *state, size_t option, const char *value)
{
    static const char *const roles[] = { [FG_ROLE_PRODUCER] = "producer", [FG_ROLE_CONSUMER] = "consumer",
                                         [FG_ROLE_BOTH] = "both", NULL };
    struct state *s = state;

    switch (option) {
    case OPTION_CONFIG:
        s->config = value;
        return true;
    case OPTION_INSTANCE:
        s->instance = value;
        return true;
    case OPTION_ROLE:
        s->role_given = true;
        return fg_cli_take_word("role", value, roles, &s->role);
    default:
        return fg_cli_take_set(&s->sets, value);
    }
}

static void hide_secret(void *log, struct fg_slice secret)
{
    fg_log_add_secret(log, secret);
}

static int run(struct fg_cli *cli, void *state, int argc, char **argv)
{
    struct state *s = state;
    struct fg_serve_config serve = { .cli = cli, .sets = s->sets.items, .n_sets = s->sets.n,
                                     .instance = s->instance };
    struct fg_config *config;
    int code;

    (void)argv;
    if (!s->config || argc > 0)
        return fg_cli_fail(FG_EXIT_USAGE, "usage: fragua run %s", fg_cli_run.usage);
    config = fg_cli_load(cli, s->config, FG_SLICE_NULL, s->sets.items, s->sets.n, &code);
    if (!config)
        return code;
    serve.log = fg_log_new(STDERR_FILENO, cli->log_format, isatty(STDERR_FILENO) == 1, cli->log_level,
                           &fg_clock_system);
    fg_config_secrets(config, hide_secret, serve.log);
    serve.config = config;
    serve.file = strcmp(s->config, "-") == 0 ? NULL : s->config; /* standard input cannot be read again */
    serve.role = s->role_given ? (enum fg_role)s->role : FG_ROLE_BOTH;
    code = fg_serve(&serve);
    fg_log_free(serve.log);
    fg_config_unref(config);
    return code;
}

const struct fg_cli_command fg_cli_run = {
    .name = "run",
    .usage = "-c FILE [--role producer|consumer|both] [--set PATH=VALUE]...",
    .summary = "run the pipelines of a file",
    .options = options,
    .take = take,
    .state_size = sizeof(struct state),
    .run = run,
};
