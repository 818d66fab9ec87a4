/* SPDX-License-Identifier: Apache-2.0 */
/* fragua validate: everything that is wrong with pipeline files, each with its place. */
#include "base/buf.h"
#include "base/json.h"
#include "cli/against.h"
#include "host/process.h"

enum { OPTION_FORMAT, OPTION_SET, OPTION_AGAINST };

#define OUTPUT_MAX (4u * 1024u * 1024u)

static const struct fg_cli_option options[] = {
    [OPTION_FORMAT] = { "format", 0, "text|json", "how faults are written (default: text)" },
    [OPTION_SET] = { "set", 0, "PATH=VALUE", "override one value of each file; may be repeated" },
    FG_AGAINST_OPTION_ROWS(OPTION_AGAINST),
    { NULL, 0, NULL, NULL },
};

struct state {
    bool json;
    const char *sets[FG_CLI_SETS_MAX];
    size_t n_sets;
    struct fg_against against;
};

static bool take(void *state, size_t option, const char *value)
{
    struct state *s = state;

    if (option >= OPTION_AGAINST) {
        fg_against_take(&s->against, option - OPTION_AGAINST, value);
        return true;
    }
    if (option == OPTION_SET) {
        if (s->n_sets == FG_CLI_SETS_MAX) {
            (void)fg_cli_fail(0, "more than %d --set", FG_CLI_SETS_MAX);
            return false;
        }
        s->sets[s->n_sets++] = value;
        return true;
    }
    s->json = strcmp(value, "json") == 0;
    if (s->json || strcmp(value, "text") == 0)
        return true;
    (void)fg_cli_fail(0, "--format is text or json, not \"%s\"", value);
    return false;
}

static void write_json(const struct fg_conf_faults *faults)
{
    struct fg_buf buf = FG_BUF_INIT(OUTPUT_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);

    fg_json_array(&w);
    for (size_t i = 0; i < faults->len; i++) {
        fg_json_object(&w);
        fg_json_kv_cstr(&w, "file", faults->items[i].file);
        fg_json_kv_int(&w, "line", faults->items[i].line);
        fg_json_kv_int(&w, "column", faults->items[i].column);
        fg_json_kv_cstr(&w, "message", faults->items[i].text);
        fg_json_object_end(&w);
    }
    fg_json_array_end(&w);
    (void)printf("%s\n", buf.data ? buf.data : "[]");
    fg_buf_deinit(&buf);
}

static void check(struct fg_cli *cli, const struct state *s, const char *path, struct fg_conf_faults *faults)
{
    struct fg_config *config = NULL;
    struct fg_error err = FG_ERROR_NULL;
    size_t before = faults->len;

    if (fg_cli_check(cli, path, FG_SLICE_NULL, s->sets, s->n_sets, &config, faults, &err) < 0 && faults->len == before)
        fg_conf_fault_add(faults, path, 1, 1, "%s", err.code ? err.text : "cannot be loaded");
    fg_config_free(config);
}

static int run(struct fg_cli *cli, void *state, int argc, char **argv)
{
    struct state *s = state;
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    int code;

    if (argc < 1)
        return fg_cli_fail(FG_EXIT_USAGE, "usage: fragua validate %s", fg_cli_validate.usage);
    if (s->against.url && (argc > 1 || s->n_sets))
        return fg_cli_fail(FG_EXIT_USAGE, "--against takes one file, as it is: no second one and no --set");
    if (s->against.url)
        return fg_against_run(cli, &s->against, argv[0], s->json);
    for (int i = 0; i < argc; i++)
        check(cli, s, argv[i], &faults);
    if (s->json)
        write_json(&faults);
    else
        fg_conf_faults_print(&faults, stdout);
    code = faults.len ? FG_EXIT_CONFIG : FG_EXIT_OK;
    fg_conf_faults_deinit(&faults);
    return code;
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
