/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: finding the command, its options, its help. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/process.h"

static const struct fg_cli_command *const commands[] = {
    &fg_cli_run,    &fg_cli_validate, &fg_cli_schema, &fg_cli_plugins,
    &fg_cli_topics, &fg_cli_replay,   &fg_cli_tail,   &fg_cli_demo,
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

enum { COMMON_PLUGIN_DIR, COMMON_LOG_FORMAT, COMMON_LOG_LEVEL, COMMON_HELP, COMMON_VERSION, N_COMMON };

static const struct fg_cli_option common[] = {
    [COMMON_PLUGIN_DIR] = { "plugin-dir", 0, "DIR", "look for plugins here first; may be repeated" },
    [COMMON_LOG_FORMAT] = { "log-format", 0, "logfmt|json", "how log lines are written (default: logfmt)" },
    [COMMON_LOG_LEVEL] = { "log-level", 0, "LEVEL", "error, warn, info or debug (default: info or error)" },
    [COMMON_HELP] = { "help", 'h', NULL, "show this help" },
    [COMMON_VERSION] = { "version", 0, NULL, "show the version" },
    { NULL, 0, NULL, NULL },
};

int fg_cli_fail(int code, const char *format, ...)
{
    va_list ap;

    (void)fputs("fragua: ", stderr);
    va_start(ap, format);
    (void)vfprintf(stderr, format, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    return code;
}

static void print_options(FILE *out, const struct fg_cli_option *options)
{
    for (; options->name; options++) {
        char left[64];
        (void)snprintf(left, sizeof(left), "%s%c%s--%s%s%s", options->letter ? "-" : "  ",
                       options->letter ? options->letter : ' ', options->letter ? ", " : " ", options->name,
                       options->value ? " " : "", options->value ? options->value : "");
        (void)fprintf(out, "  %-32s %s\n", left, options->help);
    }
}

static void print_usage(FILE *out)
{
    (void)fputs("fragua takes mail from mailboxes, forges it into records, and finds their entities.\n\n"
                "usage: fragua COMMAND [options]\n\ncommands:\n", out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        (void)fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    (void)fputs("\noptions of every command:\n", out);
    print_options(out, common);
    (void)fputs("\nTry `fragua demo`, or `fragua COMMAND --help`.\n", out);
}

static void print_command(FILE *out, const struct fg_cli_command *c)
{
    (void)fprintf(out, "usage: fragua %s %s\n\n%s\n", c->name, c->usage, c->summary);
    if (c->options && c->options->name) {
        (void)fputs("\noptions:\n", out);
        print_options(out, c->options);
    }
    (void)fputs("\noptions of every command:\n", out);
    print_options(out, common);
}

static const struct fg_cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (fg_edit_distance(fg_slice_of(name), fg_slice_of(commands[i]->name), 2) <= 2)
            return fg_cli_fail(FG_EXIT_USAGE, "there is no command \"%s\"; did you mean \"%s\"?", name,
                               commands[i]->name);
    return fg_cli_fail(FG_EXIT_USAGE, "there is no command \"%s\"; see `fragua --help`", name);
}

static size_t count_options(const struct fg_cli_option *options)
{
    size_t n = 0;

    while (options && options[n].name)
        n++;
    return n;
}

bool fg_cli_take_word(const char *option, const char *value, const char *const *words, int *ret)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf all = FG_BUF_INIT(256);

    for (int i = 0; words[i]; i++) {
        if (strcmp(value, words[i]) == 0) {
            *ret = i;
            return true;
        }
        fg_buf_printf(&all, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
    }
    (void)fg_cli_fail(0, "--%s is %s, not \"%s\"", option, all.data ? all.data : "", value);
    return false;
}

bool fg_cli_take_set(struct fg_cli_sets *sets, const char *value)
{
    if (sets->n == FG_CLI_SETS_MAX) {
        (void)fg_cli_fail(0, "--set \"%s\" is one too many: %d are taken", value, FG_CLI_SETS_MAX);
        return false;
    }
    sets->items[sets->n++] = value;
    return true;
}

static bool take_plugin_dir(struct fg_cli *cli, const char *value)
{
    if (cli->n_plugin_dirs == FG_PLUGIN_DIRS_MAX) {
        (void)fg_cli_fail(0, "--plugin-dir \"%s\" is one too many: %d are taken", value, FG_PLUGIN_DIRS_MAX);
        return false;
    }
    cli->plugin_dirs[cli->n_plugin_dirs++] = value;
    return true;
}

static bool take_common(struct fg_cli *cli, size_t option, const char *value)
{
    static const char *const formats[] = { [FG_LOG_LOGFMT] = "logfmt", [FG_LOG_JSON] = "json", NULL };
    static const char *const levels[] = { [FG_LOG_ERROR] = "error", [FG_LOG_WARN] = "warn", [FG_LOG_INFO] = "info",
                                          [FG_LOG_DEBUG] = "debug", NULL };
    int word;

    if (option == COMMON_PLUGIN_DIR)
        return take_plugin_dir(cli, value);
    if (!fg_cli_take_word(common[option].name, value, option == COMMON_LOG_FORMAT ? formats : levels, &word))
        return false;
    if (option == COMMON_LOG_FORMAT) {
        cli->log_format = (enum fg_log_format)word;
    } else {
        cli->log_level = (enum fg_log_level)word;
        cli->log_level_given = true;
    }
    return true;
}

static struct option *long_options(const struct fg_cli_command *c, size_t n, char *letters)
{
    struct option *options = fg_calloc(n + N_COMMON + 1, sizeof(*options));

    *letters++ = ':'; /* tell a missing value from an unknown option */
    for (size_t i = 0; i < n + N_COMMON; i++) {
        const struct fg_cli_option *o = i < n ? &c->options[i] : &common[i - n];
        options[i] = (struct option){ o->name, o->value ? required_argument : no_argument, NULL, (int)(256 + i) };
        if (o->letter) {
            *letters++ = o->letter;
            if (o->value)
                *letters++ = ':';
        }
    }
    *letters = '\0';
    return options;
}

/* The index of an option by what getopt_long answered. */
static size_t option_index(const struct fg_cli_command *c, size_t n, int answer)
{
    if (answer >= 256)
        return (size_t)answer - 256;
    for (size_t i = 0; i < n + N_COMMON; i++)
        if ((i < n ? c->options[i].letter : common[i - n].letter) == answer)
            return i;
    return SIZE_MAX;
}

static int bad_option(const struct fg_cli_command *c, int answer, const char *word)
{
    char letter[] = { '-', (char)optopt, '\0' };

    if (optopt > 0 && optopt < 256) /* a short one, perhaps in the middle of a word */
        word = letter;
    if (answer == ':')
        return fg_cli_fail(FG_EXIT_USAGE, "option \"%s\" needs a value; see `fragua %s --help`", word, c->name);
    return fg_cli_fail(FG_EXIT_USAGE, "there is no option \"%s\"; see `fragua %s --help`", word, c->name);
}

/* -1: go on and run the command; else an exit code. */
static int parse(struct fg_cli *cli, const struct fg_cli_command *c, void *state, int argc, char **argv)
{
    size_t n = count_options(c->options);
    char letters[2 * (64 + N_COMMON) + 2];
    struct option *options = long_options(c, n, letters);
    int answer, code = -1;

    optind = 1;
    opterr = 0; /* its words have no program name and no advice */
    while (code < 0 && (answer = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        size_t i = option_index(c, n, answer);
        if (answer == '?' || answer == ':' || i == SIZE_MAX) {
            code = bad_option(c, answer, argv[optind - 1]);
        } else if (i == n + COMMON_HELP) {
            print_command(stdout, c);
            code = FG_EXIT_OK;
        } else if (i == n + COMMON_VERSION) {
            (void)printf("fragua %s\n", FG_VERSION);
            code = FG_EXIT_OK;
        } else if (!(i < n ? c->take(state, i, optarg) : take_common(cli, i - n, optarg))) {
            code = FG_EXIT_USAGE;
        }
    }
    free(options);
    return code;
}

static int run_command(struct fg_cli *cli, const struct fg_cli_command *c, int argc, char **argv)
{
    void *state = fg_calloc(1, c->state_size ? c->state_size : 1);
    struct fg_error err = FG_ERROR_NULL;
    int code = parse(cli, c, state, argc, argv);

    if (code < 0 && fg_plugin_path_init(&cli->plugins, cli->plugin_dirs, cli->n_plugin_dirs, &err) < 0)
        code = fg_cli_fail(FG_EXIT_USAGE, "%s", err.text);
    fg_plugin_registry_init(&cli->registry);
    cli->plugins.registry = &cli->registry;
    if (code < 0)
        code = c->run(cli, state, argc - optind, argv + optind);
    fg_plugin_registry_deinit(&cli->registry);
    fg_plugin_path_deinit(&cli->plugins);
    free(state);
    if (fflush(stdout) != 0 && code == FG_EXIT_OK)
        code = fg_cli_fail(FG_EXIT_FAILED, "cannot write to standard output");
    return code;
}

int fg_cli_main(uv_loop_t *loop, int argc, char **argv)
{
    struct fg_cli cli = { .loop = loop, .log_level = FG_LOG_INFO };
    const struct fg_cli_command *c;

    if (argc < 2) {
        print_usage(stderr);
        return FG_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return FG_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("fragua %s\n", FG_VERSION);
        return FG_EXIT_OK;
    }
    c = find_command(argv[1]);
    if (!c)
        return unknown_command(argv[1]);
    return run_command(&cli, c, argc - 1, argv + 1);
}

int fg_cli_check(struct fg_cli *cli, const char *path, struct fg_slice text, const char *const *sets, size_t n_sets,
                 struct fg_config **ret, struct fg_conf_faults *faults, struct fg_error *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    struct fg_config *unasked = NULL;
    FG_CLEANUP(fg_buf_deinit) struct fg_buf read = FG_BUF_INIT(FG_CONF_BYTES_MAX);
    int r;

    /* read once: what comes through a pipe is gone after the child that tries the plugins has read it */
    if (!text.ptr && fg_read_file(is_stdin ? "/dev/stdin" : path, FG_CONF_BYTES_MAX, &read, NULL) == 0)
        text = fg_slice_make(read.data ? read.data : "", read.len);
    if (is_stdin)
        path = "stdin";
    r = fg_config_probe(path, text, sets, n_sets, &cli->plugins, cli->probe_ms ? cli->probe_ms : FG_PROBE_MS, err);
    if (r == FG_PROBE_FAULTS || (r == 0 && ret)) /* else all that could be found out is known */
        r = fg_config_load(path, text, sets, n_sets, &cli->plugins, ret ? ret : &unasked, faults);
    fg_config_unref(unasked);
    if (read.data)
        explicit_bzero(read.data, read.len);
    return fg_pass(r);
}

struct fg_config *fg_cli_load(struct fg_cli *cli, const char *path, struct fg_slice text, const char *const *sets,
                              size_t n_sets, int *ret_code)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_config *config = NULL;
    struct fg_error err = FG_ERROR_NULL;

    *ret_code = FG_EXIT_CONFIG;
    if (fg_cli_check(cli, path, text, sets, n_sets, &config, &faults, &err) == 0)
        *ret_code = FG_EXIT_OK;
    else if (faults.len)
        fg_conf_faults_print(&faults, stderr);
    else
        (void)fg_cli_fail(0, "%s: %s", path, err.text);
    fg_conf_faults_deinit(&faults);
    return config;
}
