/* SPDX-License-Identifier: Apache-2.0 */
/* fragua validate --against URL: asks a running server what a reload with a file would do. */
#include "cli/against.h"

#include <signal.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/errand.h"
#include "net/client.h"

#define TIMEOUT_MS 120000u /* a dry run tries new plugins in a child process, for `reload.check` at most */
#define ANSWER_MAX (16u * 1024u * 1024u)
#define TOKEN_MAX  4096u
#define URL_MAX    2048u
#define WORD_MAX   2048u /* characters of a text of the server's that are shown */

static const char dry_run_path[] = "/v1/config/validate";

struct errand {
    const char *url, *file;
    struct fg_http_client *client;
    bool json;
    int code;
};

void fg_against_take(struct fg_against *words, size_t option, const char *value)
{
    const char **const members[] = {
        [FG_AGAINST_URL] = &words->url,
        [FG_AGAINST_TOKEN_FILE] = &words->token_file,
        [FG_AGAINST_CA] = &words->ca,
        [FG_AGAINST_CERTIFICATE] = &words->certificate,
        [FG_AGAINST_KEY] = &words->key,
    };

    fg_assert(option < FG_AGAINST_OPTIONS);
    *members[option] = value;
}

/* Appends a string of the report as a terminal may have it; nothing where it is none. */
static void add_word(struct fg_slice report, const char *pointer, struct fg_buf *out)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(ANSWER_MAX);

    if (fg_json_decode_string(fg_json_find(report, pointer).raw, &text))
        fg_errand_plain(fg_buf_slice(&text), WORD_MAX, out);
}

static void print_fault(const char *file, struct fg_slice fault)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf line = FG_BUF_INIT(ANSWER_MAX);
    struct fg_slice number = fg_json_find(fault, "/line").raw, column = fg_json_find(fault, "/column").raw;

    fg_buf_add_str(&line, file); /* the server knows its own file's name only */
    if (number.len && !fg_slice_is(number, "0"))
        fg_buf_printf(&line, ":%.*s:%.*s", FG_SLICE_ARG(number), FG_SLICE_ARG(column));
    fg_buf_add_str(&line, ": ");
    add_word(fault, "/message", &line);
    (void)puts(line.data);
}

static void print_change(struct fg_slice change)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf line = FG_BUF_INIT(ANSWER_MAX);
    struct fg_slice reason = fg_json_find(change, "/reason").raw;

    if (fg_json_string_is(reason, "added") || fg_json_string_is(reason, "removed"))
        fg_buf_add_str(&line, fg_json_string_is(reason, "added") ? "+ " : "- ");
    else
        fg_buf_add_str(&line, "~ ");
    add_word(change, "/place", &line);
    fg_buf_add_str(&line, "  ");
    add_word(change, "/reason", &line);
    fg_buf_add_str(&line, "  ");
    add_word(change, "/detail", &line);
    while (line.len && line.data[line.len - 1] == ' ')
        line.data[--line.len] = '\0';
    (void)puts(line.data);
}

static void print_pipeline(struct fg_slice pipeline)
{
    static const struct {
        const char *how, *means;
    } words[] = {
        { "swap", "held at a batch boundary, its stages exchanged; no rebalance" },
        { "reopen", "drained, closed and opened anew; its group rebalances" },
        { "added", "started" },
        { "removed", "drained and stopped" },
    };
    FG_CLEANUP(fg_buf_deinit) struct fg_buf line = FG_BUF_INIT(ANSWER_MAX);
    struct fg_slice how = fg_json_find(pipeline, "/how").raw;

    if (fg_json_string_is(how, "same"))
        return;
    add_word(pipeline, "/name", &line);
    fg_buf_add_str(&line, ": ");
    add_word(pipeline, "/how", &line);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (fg_json_string_is(how, words[i].how))
            fg_buf_printf(&line, " (%s)", words[i].means);
    (void)puts(line.data);
}

static size_t print_each(const struct errand *e, struct fg_slice report, const char *pointer)
{
    struct fg_json_value list = fg_json_find(report, pointer), item;
    size_t pos = 0, n = 0;

    for (; list.kind == FG_JSON_ARRAY && fg_json_each(list, &pos, NULL, &item); n++) {
        if (strcmp(pointer, "/faults") == 0)
            print_fault(e->file, item.raw);
        else if (strcmp(pointer, "/changes") == 0)
            print_change(item.raw);
        else
            print_pipeline(item.raw);
    }
    return n;
}

static void print_text(const struct errand *e, struct fg_slice report, bool refused, bool unchanged)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf why = FG_BUF_INIT(ANSWER_MAX);

    if (print_each(e, report, "/faults") == 0 && refused) {
        add_word(report, "/error", &why);
        (void)printf("%s: %s\n", e->file, why.data ? why.data : "refused");
    }
    (void)print_each(e, report, "/changes");
    (void)print_each(e, report, "/pipelines");
    if (unchanged)
        (void)puts("nothing would change");
}

static void take_report(struct errand *e, struct fg_slice report)
{
    struct fg_slice result = fg_json_find(report, "/result").raw;
    bool refused = fg_json_string_is(result, "refused"), unchanged = fg_json_string_is(result, "unchanged");

    if (!fg_json_valid(report) || (!refused && !unchanged && !fg_json_string_is(result, "would-do"))) {
        e->code = fg_cli_fail(FG_EXIT_FAILED, "what %s answered is no report of a dry run", e->url);
        return;
    }
    if (e->json)
        (void)printf("%.*s\n", FG_SLICE_ARG(report));
    else
        print_text(e, report, refused, unchanged);
    e->code = refused ? FG_EXIT_CONFIG : FG_EXIT_OK;
}

/* What to do about an answer that is no report. */
static const char *advice(int status)
{
    switch (status) {
    case 401: return "; give a token in FRAGUA_TOKEN or by --token-file";
    case 403: return "; this needs a token with the scope `control`";
    case 404: return "; is `http-control` among its plugins, and new enough?";
    case 413: return "; the file is larger than it takes";
    default: return "";
    }
}

static void refuse_answer(struct errand *e, const struct fg_http_response *res)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(ANSWER_MAX);

    add_word(res->body, "/detail", &text);
    if (!text.len)
        add_word(res->body, "/title", &text);
    e->code = fg_cli_fail(FG_EXIT_FAILED, "%s answered %d%s%s%s", e->url, res->status, text.len ? ": " : "",
                          text.len ? text.data : "", advice(res->status));
}

static void on_closed(void *arg)
{
    (void)arg; /* nothing is open any more: the loop ends by itself */
}

static void on_answer(void *arg, const struct fg_http_response *res, const struct fg_error *err)
{
    struct errand *e = arg;

    if (!res)
        e->code = fg_cli_fail(FG_EXIT_FAILED, "no answer from %s: %s", e->url, err->text);
    else if (res->status == 200)
        take_report(e, res->body);
    else
        refuse_answer(e, res);
    fg_http_client_close(e->client, on_closed, e);
}

static int read_token(const struct fg_against *words, struct fg_buf *token)
{
    struct fg_error err = FG_ERROR_NULL;
    const char *given = getenv("FRAGUA_TOKEN");
    struct fg_slice text;

    if (words->token_file && fg_read_file(words->token_file, TOKEN_MAX, token, &err) < 0)
        return fg_cli_fail(FG_EXIT_USAGE, "--token-file: %s", err.text);
    if (!words->token_file && given)
        fg_buf_add_str(token, given);
    text = fg_slice_trim(fg_buf_slice(token));
    if (words->token_file && text.len == 0)
        return fg_cli_fail(FG_EXIT_USAGE, "--token-file: there is no token in \"%s\"", words->token_file);
    return FG_EXIT_OK;
}

static int ask(struct fg_cli *cli, const struct fg_against *words, struct errand *e, struct fg_slice text)
{
    const struct fg_header headers[] = { { FG_SLICE("Content-Type"), FG_SLICE("application/yaml") } };
    const struct fg_tls tls = { .ca = words->ca, .certificate = words->certificate, .key = words->key };
    const struct fg_http_client_config config = { .loop = cli->loop };
    FG_CLEANUP(fg_buf_deinit) struct fg_buf token = FG_BUF_INIT(TOKEN_MAX), url = FG_BUF_INIT(URL_MAX);
    struct fg_error err = FG_ERROR_NULL;
    size_t len = strlen(words->url);
    int code = read_token(words, &token);

    if (code != FG_EXIT_OK)
        return code;
    while (len && words->url[len - 1] == '/')
        len--;
    fg_buf_add(&url, words->url, len);
    fg_buf_add_str(&url, dry_run_path);
    if (url.failed)
        return fg_cli_fail(FG_EXIT_USAGE, "--against: an address of more than %u bytes", URL_MAX);
    if (fg_http_client_new(&config, &e->client, &err) < 0)
        return fg_cli_fail(FG_EXIT_FAILED, "%s", err.text);
    if (!fg_http_client_send(e->client,
                             &(struct fg_http_request){ .method = "POST", .url = url.data, .headers = headers,
                                                        .n_headers = 1, .body = text, .timeout_ms = TIMEOUT_MS,
                                                        .body_max = ANSWER_MAX, .allow_private = true, .tls = &tls },
                             fg_slice_trim(fg_buf_slice(&token)), on_answer, e, &err)) {
        e->code = fg_cli_fail(FG_EXIT_FAILED, "cannot ask %s: %s", e->url, err.text);
        fg_http_client_close(e->client, on_closed, e);
    }
    if (token.data)
        explicit_bzero(token.data, token.len);
    (void)uv_run(cli->loop, UV_RUN_DEFAULT);
    return e->code;
}

int fg_against_run(struct fg_cli *cli, const struct fg_against *words, const char *file, bool json)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(FG_CONF_BYTES_MAX);
    bool is_stdin = strcmp(file, "-") == 0;
    struct errand e = { .url = words->url, .file = is_stdin ? "stdin" : file, .json = json, .code = FG_EXIT_FAILED };
    struct fg_error err = FG_ERROR_NULL;
    int code;

    if (!words->certificate != !words->key)
        return fg_cli_fail(FG_EXIT_USAGE, "--certificate and --key belong together");
    if (fg_read_file(is_stdin ? "/dev/stdin" : file, FG_CONF_BYTES_MAX, &text, &err) < 0)
        return fg_cli_fail(FG_EXIT_CONFIG, "%s", err.text);
    (void)signal(SIGPIPE, SIG_IGN);
    code = ask(cli, words, &e, fg_buf_slice(&text));
    if (text.data)
        explicit_bzero(text.data, text.len); /* it may hold secrets */
    return code;
}
