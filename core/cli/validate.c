/* SPDX-License-Identifier: Apache-2.0 */
/* fragua validate: everything that is wrong with pipeline files, each with its place. */
#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/against.h"
#include "host/check.h"
#include "host/process.h"

enum { OPTION_FORMAT, OPTION_SET, OPTION_PLUGINS, OPTION_TIMEOUT, OPTION_AS, OPTION_AGAINST };

#define OUTPUT_MAX (4u * 1024u * 1024u)
#define TIMEOUT_MAX_MS 600000

static const struct fg_cli_option options[] = {
    [OPTION_FORMAT] = { "format", 0, "text|json", "how faults are written (default: text)" },
    [OPTION_SET] = { "set", 0, "PATH=VALUE", "override one value of each file; may be repeated" },
    [OPTION_PLUGINS] = { "plugins", 0, NULL, "also say which plugin files were tried, each with its SHA-256" },
    [OPTION_TIMEOUT] = { "timeout", 0, "DURATION", "time for the plugins to load and open, together (default: 10s)" },
    [OPTION_AS] = { "as", 0, "FILE", "what comes from standard input (-) is to stand in this file's place" },
    FG_AGAINST_OPTION_ROWS(OPTION_AGAINST),
    { NULL, 0, NULL, NULL },
};

/* A plugin file that was tried. */
struct tried {
    char *name, *path; /* owned */
    char sha256[FG_SHA256_HEX_SIZE];
};

enum { FORMAT_TEXT, FORMAT_JSON };

struct state {
    int format; /* FORMAT_... */
    bool plugins;
    const char *as;
    struct fg_cli_sets sets;
    struct fg_against against;
    uint32_t timeout_ms;
    struct tried *tried; /* array of n_tried */
    size_t n_tried;
};

static bool take_timeout(struct state *s, const char *value)
{
    int64_t ms;

    if (fg_parse_duration_ms(fg_slice_of(value), &ms) && ms >= 1 && ms <= TIMEOUT_MAX_MS) {
        s->timeout_ms = (uint32_t)ms;
        return true;
    }
    (void)fg_cli_fail(0, "--timeout is a time from 1ms to 10m, such as 10s, not \"%s\"", value);
    return false;
}

static bool take(void *state, size_t option, const char *value)
{
    static const char *const formats[] = { [FORMAT_TEXT] = "text", [FORMAT_JSON] = "json", NULL };
    struct state *s = state;

    if (option >= OPTION_AGAINST) {
        fg_against_take(&s->against, option - OPTION_AGAINST, value);
        return true;
    }
    switch (option) {
    case OPTION_SET:
        return fg_cli_take_set(&s->sets, value);
    case OPTION_TIMEOUT:
        return take_timeout(s, value);
    case OPTION_PLUGINS:
        s->plugins = true;
        return true;
    case OPTION_AS:
        s->as = value;
        return true;
    default:
        return fg_cli_take_word("format", value, formats, &s->format);
    }
}

/* Each file once, although it is loaded in many places, and first by the child that tries it. */
static void note_plugin(void *arg, const char *name, const char *path, const char *sha256)
{
    struct state *s = arg;
    struct tried *more;

    for (size_t i = 0; i < s->n_tried; i++)
        if (strcmp(s->tried[i].sha256, sha256) == 0 && strcmp(s->tried[i].path, path) == 0)
            return;
    more = fg_calloc(s->n_tried + 1, sizeof(*more));
    if (s->n_tried)
        memcpy(more, s->tried, s->n_tried * sizeof(*more));
    free(s->tried);
    s->tried = more;
    more += s->n_tried++;
    more->name = fg_strdup_slice(fg_slice_of(name));
    more->path = fg_strdup_slice(fg_slice_of(path));
    (void)snprintf(more->sha256, sizeof(more->sha256), "%s", sha256);
}

/* What fg_check_read() reads. */
static void write_report(struct fg_json_writer *w, const struct state *s, const struct fg_conf_faults *faults)
{
    fg_json_object(w);
    fg_json_key(w, "faults");
    fg_conf_faults_write(w, faults);
    if (faults->unkept)
        fg_json_kv_int(w, "more", (int64_t)faults->unkept);
    fg_json_key(w, "plugins");
    fg_json_array(w);
    for (size_t i = 0; i < s->n_tried; i++) {
        fg_json_object(w);
        fg_json_kv_cstr(w, "name", s->tried[i].name);
        fg_json_kv_cstr(w, "path", s->tried[i].path);
        fg_json_kv_cstr(w, "sha256", s->tried[i].sha256);
        fg_json_object_end(w);
    }
    fg_json_array_end(w);
    fg_json_object_end(w);
}

static void write_json(const struct state *s, const struct fg_conf_faults *faults)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf buf = FG_BUF_INIT(OUTPUT_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);

    if (s->plugins)
        write_report(&w, s, faults);
    else
        fg_conf_faults_write(&w, faults);
    fg_buf_add_char(&buf, '\n');
    (void)fwrite(buf.data, 1, buf.len, stdout);
}

static void write_text(const struct state *s, const struct fg_conf_faults *faults)
{
    fg_conf_faults_print(faults, stdout);
    for (size_t i = 0; s->plugins && i < s->n_tried; i++)
        (void)printf("plugin %s  %s  sha256 %s\n", s->tried[i].name, s->tried[i].path, s->tried[i].sha256);
}

static void check(struct fg_cli *cli, const struct state *s, const char *path, struct fg_conf_faults *faults)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(FG_CONF_BYTES_MAX);
    struct fg_error err = FG_ERROR_NULL;
    size_t before = faults->len;
    bool stands_in = s->as && strcmp(path, "-") == 0;
    int r = 0;

    if (stands_in) {
        path = s->as;
        r = fg_read_file("/dev/stdin", FG_CONF_BYTES_MAX, &text, &err);
    }
    if (r == 0)
        r = fg_cli_check(cli, path, stands_in ? fg_slice_make(text.len ? text.data : "", text.len) : FG_SLICE_NULL,
                         s->sets.items, s->sets.n, NULL, faults, &err);
    if (r < 0 && faults->len == before)
        fg_conf_fault_add(faults, path, 1, 1, "%s", err.code ? err.text : "cannot be loaded");
    if (text.data)
        explicit_bzero(text.data, text.len);
}

static int check_all(struct fg_cli *cli, struct state *s, int argc, char **argv)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    int code;

    cli->probe_ms = s->timeout_ms;
    cli->plugins.loading = note_plugin;
    cli->plugins.loading_arg = s;
    for (int i = 0; i < argc; i++)
        check(cli, s, argv[i], &faults);
    if (s->format == FORMAT_JSON)
        write_json(s, &faults);
    else
        write_text(s, &faults);
    code = faults.len ? FG_EXIT_CONFIG : FG_EXIT_OK;
    fg_conf_faults_deinit(&faults);
    for (size_t i = 0; i < s->n_tried; i++) {
        free(s->tried[i].name);
        free(s->tried[i].path);
    }
    free(s->tried);
    return code;
}

static int run(struct fg_cli *cli, void *state, int argc, char **argv)
{
    struct state *s = state;

    fg_check_bind();
    if (argc < 1)
        return fg_cli_fail(FG_EXIT_USAGE, "usage: fragua validate %s", fg_cli_validate.usage);
    if (s->against.url && (argc > 1 || s->sets.n))
        return fg_cli_fail(FG_EXIT_USAGE, "--against takes one file, as it is: no second one and no --set");
    if (s->against.url)
        return fg_against_run(cli, &s->against, argv[0], s->format == FORMAT_JSON);
    return check_all(cli, s, argc, argv);
}

const struct fg_cli_command fg_cli_validate = {
    .name = "validate",
    .usage = "FILE... [--format text|json] [--against URL]",
    .summary = "say all that is wrong with pipeline files",
    .options = options,
    .take = take,
    .state_size = sizeof(struct state),
    .run = run,
};
