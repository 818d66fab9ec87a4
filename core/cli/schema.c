/* SPDX-License-Identifier: Apache-2.0 */
/* fragua schema: JSON Schema of the pipeline file, for editors and the chart; or its reference for people. */
#include "base/buf.h"
#include "base/json.h"
#include "cli/cli.h"

#define SCHEMA_MAX (8u * 1024u * 1024u)

enum { OPTION_FORMAT };
enum { FORMAT_JSON, FORMAT_MARKDOWN };

static const struct fg_cli_option options[] = {
    [OPTION_FORMAT] = { "format", 0, "json|markdown", "JSON Schema (default), or the file's own keys as tables" },
    { NULL, 0, NULL, NULL },
};

struct state {
    int format; /* FORMAT_... */
};

static bool take(void *state, size_t option, const char *value)
{
    static const char *const formats[] = { [FORMAT_JSON] = "json", [FORMAT_MARKDOWN] = "markdown", NULL };
    struct state *s = state;

    return fg_cli_take_word(options[option].name, value, formats, &s->format);
}

static void write_reference(struct fg_buf *out)
{
    for (const struct fg_config_table *t = fg_config_tables; t->path; t++) {
        fg_buf_printf(out, "%s## `%s`\n\n", t == fg_config_tables ? "" : "\n", t->path);
        fg_conf_doc_write(out, t->table, FG_CONF_DOC_MARKDOWN);
    }
}

static int run(struct fg_cli *cli, void *state, int argc, char **argv)
{
    const struct state *s = state;
    struct fg_buf buf = FG_BUF_INIT(SCHEMA_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    int code = FG_EXIT_OK;

    (void)argv;
    if (argc > 0)
        return fg_cli_fail(FG_EXIT_USAGE, "usage: fragua schema %s", fg_cli_schema.usage);
    if (s->format == FORMAT_MARKDOWN)
        write_reference(&buf);
    else
        fg_config_schema(&w, &cli->plugins);
    if (buf.failed || !buf.data)
        code = fg_cli_fail(FG_EXIT_FAILED, "the schema is larger than %u bytes", SCHEMA_MAX);
    else
        (void)printf("%s%s", buf.data, s->format == FORMAT_MARKDOWN ? "" : "\n");
    fg_buf_deinit(&buf);
    return code;
}

const struct fg_cli_command fg_cli_schema = {
    .name = "schema",
    .usage = "[--format json|markdown]",
    .summary = "print the JSON Schema of the pipeline file, with the plugins found",
    .options = options,
    .take = take,
    .state_size = sizeof(struct state),
    .run = run,
};
