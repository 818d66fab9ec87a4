/* SPDX-License-Identifier: Apache-2.0 */
/* fragua plugins: what was found, or one plugin's options. */
#include "base/buf.h"
#include "base/json.h"
#include "cli/cli.h"
#include "host/process.h"

#define OUTPUT_MAX (1024u * 1024u)

enum { OPTION_FORMAT };

static const struct fg_cli_option options[] = {
    [OPTION_FORMAT] = { "format", 0, "text|json|markdown", "how it is written (default: text)" },
    { NULL, 0, NULL, NULL },
};

struct state {
    enum fg_conf_doc format;
};

static bool take(void *state, size_t option, const char *value)
{
    static const char *const words[] = { "text", "json", "markdown", NULL };
    static const enum fg_conf_doc formats[] = { FG_CONF_DOC_TEXT, FG_CONF_DOC_JSON, FG_CONF_DOC_MARKDOWN };
    struct state *s = state;
    int word;

    if (!fg_cli_take_word(options[option].name, value, words, &word))
        return false;
    s->format = formats[word];
    return true;
}

static const struct fg_option no_options[] = { FG_OPTION_END };

static void write_plugin_json(struct fg_json_writer *w, const struct fg_plugin_file *file, bool with_options)
{
    struct fg_buf doc = FG_BUF_INIT(OUTPUT_MAX);

    fg_json_object(w);
    fg_json_kv_cstr(w, "name", file->plugin.name);
    fg_json_kv_cstr(w, "kind", fg_kind_name(file->plugin.kind));
    fg_json_kv_cstr(w, "version", file->plugin.version);
    fg_json_kv_cstr(w, "summary", file->plugin.summary);
    fg_json_kv_int(w, "abi", file->plugin.abi);
    fg_json_kv_cstr(w, "path", file->path);
    fg_json_kv_cstr(w, "sha256", file->sha256);
    if (with_options) {
        fg_conf_doc_write(&doc, file->plugin.options ? file->plugin.options : no_options, FG_CONF_DOC_JSON);
        fg_json_key(w, "options");
        fg_json_raw(w, fg_buf_slice(&doc));
    }
    fg_json_object_end(w);
    fg_buf_deinit(&doc);
}

static void write_plugin(struct fg_buf *out, const struct fg_plugin_file *file, enum fg_conf_doc format)
{
    struct fg_json_writer w = FG_JSON_WRITER_INIT(out);

    if (format == FG_CONF_DOC_JSON) {
        write_plugin_json(&w, file, true);
        fg_buf_add_char(out, '\n');
        return;
    }
    fg_buf_printf(out, format == FG_CONF_DOC_MARKDOWN ? "## %s\n\n%s %s: %s.\n\n" : "%s  (%s, %s)\n%s\n\n",
                  file->plugin.name, fg_kind_name(file->plugin.kind), file->plugin.version, file->plugin.summary);
    if (format == FG_CONF_DOC_TEXT) /* the documentation in markdown is the same wherever it is made */
        fg_buf_printf(out, "file    %s\nsha256  %s\n\n", file->path, file->sha256);
    fg_conf_doc_write(out, file->plugin.options ? file->plugin.options : no_options, format);
}

static int one(struct fg_cli *cli, const char *name, enum fg_conf_doc format, struct fg_buf *out)
{
    struct fg_plugin_file *file;
    struct fg_error err = FG_ERROR_NULL;

    if (fg_plugin_probe(&cli->plugins, name, &file, &err) < 0)
        return fg_cli_fail(FG_EXIT_FAILED, "%s", err.text);
    write_plugin(out, file, format);
    fg_plugin_file_unref(file);
    return FG_EXIT_OK;
}

static void list_row(struct fg_buf *out, struct fg_json_writer *w, const struct fg_plugin_file *file,
                     enum fg_conf_doc format)
{
    const struct fg_plugin *p = &file->plugin;

    if (format == FG_CONF_DOC_JSON)
        write_plugin_json(w, file, false);
    else
        fg_buf_printf(out, format == FG_CONF_DOC_MARKDOWN ? "| `%s` | %s | %s | %s |\n" : "%-22s %-10s %-8s %s\n",
                      p->name, fg_kind_name(p->kind), p->version, p->summary);
}

static int list(struct fg_cli *cli, enum fg_conf_doc format, struct fg_buf *out)
{
    struct fg_json_writer w = FG_JSON_WRITER_INIT(out);
    size_t n;
    char **names = fg_plugin_names(&cli->plugins, &n);
    int code = FG_EXIT_OK;

    if (format == FG_CONF_DOC_JSON)
        fg_json_array(&w);
    else if (format == FG_CONF_DOC_MARKDOWN)
        fg_buf_add_str(out, "| plugin | kind | version | what |\n|---|---|---|---|\n");
    for (size_t i = 0; i < n; i++) {
        struct fg_plugin_file *file;
        struct fg_error err = FG_ERROR_NULL;
        if (fg_plugin_probe(&cli->plugins, names[i], &file, &err) < 0) {
            code = fg_cli_fail(FG_EXIT_FAILED, "%s", err.text);
            continue;
        }
        list_row(out, &w, file, format);
        fg_plugin_file_unref(file);
    }
    if (format == FG_CONF_DOC_JSON)
        fg_json_array_end(&w);
    fg_plugin_names_free(names, n);
    return n ? code : fg_cli_fail(FG_EXIT_FAILED, "no plugins in %zu folders; see --plugin-dir", cli->plugins.n);
}

static int run(struct fg_cli *cli, void *state, int argc, char **argv)
{
    struct state *s = state;
    struct fg_buf out = FG_BUF_INIT(OUTPUT_MAX);
    int code;

    if (argc > 1)
        return fg_cli_fail(FG_EXIT_USAGE, "usage: fragua plugins %s", fg_cli_plugins.usage);
    code = argc == 1 ? one(cli, argv[0], s->format, &out) : list(cli, s->format, &out);
    if (out.failed)
        code = fg_cli_fail(FG_EXIT_FAILED, "the list is larger than %u bytes", OUTPUT_MAX);
    else if (out.data && out.len)
        (void)printf("%s%s", out.data, out.data[out.len - 1] == '\n' ? "" : "\n");
    fg_buf_deinit(&out);
    return code;
}

const struct fg_cli_command fg_cli_plugins = {
    .name = "plugins",
    .usage = "[NAME] [--format text|json|markdown]",
    .summary = "list the plugins found, or one's options",
    .options = options,
    .take = take,
    .state_size = sizeof(struct state),
    .run = run,
};
