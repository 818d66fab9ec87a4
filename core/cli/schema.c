/* SPDX-License-Identifier: Apache-2.0 */
/* fragua schema: JSON Schema of the pipeline file, for editors and the chart. */
#include "base/buf.h"
#include "base/json.h"
#include "cli/cli.h"

#define SCHEMA_MAX (8u * 1024u * 1024u)

static int run(struct fg_cli *cli, void *state, int argc, char **argv)
{
    struct fg_buf buf = FG_BUF_INIT(SCHEMA_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    int code = FG_EXIT_OK;

    (void)state;
    (void)argv;
    if (argc > 0)
        return fg_cli_fail(FG_EXIT_USAGE, "usage: fragua schema");
    fg_config_schema(&w, &cli->plugins);
    if (buf.failed || !buf.data)
        code = fg_cli_fail(FG_EXIT_FAILED, "the schema is larger than %u bytes", SCHEMA_MAX);
    else
        (void)printf("%s\n", buf.data);
    fg_buf_deinit(&buf);
    return code;
}

const struct fg_cli_command fg_cli_schema = {
    .name = "schema",
    .usage = "",
    .summary = "print the JSON Schema of the pipeline file, with the plugins found",
    .run = run,
};
