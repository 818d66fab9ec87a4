/* SPDX-License-Identifier: Apache-2.0 */
/* Judges answers: by tables of statuses, and of the codes in Graph's error bodies. */
#include "answer.h"

#include <fragua/kit/str.h>

#define CODE_MAX 64u /* bytes of an error's code that are shown */

/* An answer without a body has nothing to look into, not even an address. */
static struct fg_json_value find(struct fg_slice body, const char *pointer)
{
    return body.len ? fg_json_find(body, pointer) : (struct fg_json_value){ .kind = FG_JSON_NONE };
}

/* A code as it may stand in a log line: letters, digits, '_', '-', '.'; anything else ends it. */
static void show_code(struct fg_json_value v, char ret[CODE_MAX + 1])
{
    struct fg_slice text = v.kind == FG_JSON_STRING ? fg_slice_sub(v.raw, 1, v.raw.len - 1) : v.raw;
    size_t n = 0;

    for (; v.kind != FG_JSON_NONE && n < text.len && n < CODE_MAX; n++) {
        char c = text.ptr[n];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c != '\0' && strchr("_-.", c));
        if (!plain)
            break;
        ret[n] = c;
    }
    ret[n] = '\0';
}

static bool is_reset_code(const char *code)
{
    static const struct fg_slice codes[] = {
        FG_SLICE("syncStateNotFound"),           FG_SLICE("syncStateInvalid"),
        FG_SLICE("syncStateExpired"),            FG_SLICE("resyncRequired"),
        FG_SLICE("resyncChangesApplyDifferences"), FG_SLICE("resyncChangesUploadDifferences"),
    };

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (fg_slice_ieq(fg_slice_of(code), codes[i]))
            return true;
    return false;
}

/* The first row that holds the status counts. */
static const struct {
    int from, to, code;
    enum answer answer;
    const char *what;
} meanings[] = {
    { 401, 401, FG_E_AUTH, ANSWER_RENEW, "does not accept the token" },
    { 403, 403, FG_E_AUTH, ANSWER_REFUSED, "forbids this: are the app's permissions granted?" },
    { 404, 404, FG_E_NOT_FOUND, ANSWER_REFUSED, "knows no such mailbox or folder" },
    { 408, 408, FG_E_TIMEOUT, ANSWER_HEAVY, "gave up waiting" },
    { 410, 410, FG_E_EXPIRED, ANSWER_RESET, "no longer knows the cursor" },
    { 429, 429, FG_E_THROTTLED, ANSWER_THROTTLED, "asks for patience" },
    { 503, 503, FG_E_THROTTLED, ANSWER_THROTTLED, "asks for patience" },
    { 504, 504, FG_E_TIMEOUT, ANSWER_HEAVY, "took too long" },
    { 500, 599, FG_E_UNAVAILABLE, ANSWER_DOWN, "is not available" },
    { 400, 499, FG_E_REFUSED, ANSWER_REFUSED, "refuses the request" },
    { 0, 999, FG_E_PROTOCOL, ANSWER_REFUSED, "answers something else than a page" },
};

enum answer answer_read(int status, struct fg_slice body, uint32_t retry_after_ms, struct fg_error *err)
{
    char code[CODE_MAX + 1];
    size_t i = 0;

    if (status == 200)
        return ANSWER_OK;
    show_code(find(body, "/error/code"), code);
    if (status >= 400 && status < 500 && is_reset_code(code)) {
        (void)fg_error_set(err, FG_E_EXPIRED, FG_ERROR_RETRIABLE, "Graph no longer knows the cursor (HTTP %d %s)",
                           status, code);
        return ANSWER_RESET;
    }
    while (i + 1 < sizeof(meanings) / sizeof(meanings[0]) && (status < meanings[i].from || status > meanings[i].to))
        i++;
    (void)fg_error_set(err, meanings[i].code, FG_ERROR_RETRIABLE, "Graph %s (HTTP %d%s%s)", meanings[i].what, status,
                       code[0] ? " " : "", code);
    err->retry_after_ms = retry_after_ms;
    /* told how long to wait, waiting is what helps */
    return meanings[i].answer == ANSWER_HEAVY && retry_after_ms ? ANSWER_THROTTLED : meanings[i].answer;
}

enum answer answer_missing(const struct fg_error *failed)
{
    switch (failed->code) {
    case FG_E_LIMIT:
    case FG_E_NO_ROOM:
    case FG_E_TIMEOUT:
        return ANSWER_HEAVY;
    case FG_E_PROTOCOL:
    case FG_E_CONFIG:
        return ANSWER_REFUSED;
    default:
        return ANSWER_DOWN;
    }
}

/* b64token of RFC 6750 2.1 and nothing that could end the header line it goes into. */
static bool is_token(struct fg_json_value v)
{
    if (v.kind != FG_JSON_STRING || v.raw.len <= 2 || v.raw.len > TOKEN_MAX + 2)
        return false;
    for (size_t i = 1; i + 1 < v.raw.len; i++)
        if (v.raw.ptr[i] <= 0x20 || v.raw.ptr[i] >= 0x7f || v.raw.ptr[i] == '"' || v.raw.ptr[i] == '\\')
            return false;
    return true;
}

static int refuse_token(int status, struct fg_slice body, uint32_t retry_after_ms, struct fg_error *err)
{
    char code[CODE_MAX + 1], number[CODE_MAX + 1];
    bool wait = status == 429 || status >= 500;
    int r;

    show_code(find(body, "/error"), code);
    show_code(find(body, "/error_codes/0"), number);
    r = fg_error_set(err, wait ? status == 429 || status == 503 ? FG_E_THROTTLED : FG_E_UNAVAILABLE : FG_E_AUTH,
                     FG_ERROR_RETRIABLE, "no token: the login endpoint %s (HTTP %d%s%s%s%s)",
                     wait ? "is not available" : "refuses: check tenant, client and secret", status, code[0] ? " " : "",
                     code, number[0] ? " AADSTS" : "", number);
    if (err)
        err->retry_after_ms = retry_after_ms;
    return r;
}

int answer_read_token(int status, struct fg_slice body, uint32_t retry_after_ms, struct token_answer *ret,
                      struct fg_error *err)
{
    struct fg_json_value token, life;
    int64_t seconds = TOKEN_LIFE_DEFAULT_S;

    if (status != 200)
        return refuse_token(status, body, retry_after_ms, err);
    if (!fg_json_valid(body))
        return fg_error_set(err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "no token: the login endpoint's answer is no JSON");
    token = fg_json_find(body, "/access_token");
    if (!is_token(token))
        return fg_error_set(err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE,
                            "no token: the login endpoint's answer has no \"access_token\" of 1 to %u bytes",
                            TOKEN_MAX);
    life = fg_json_find(body, "/expires_in");
    if (life.kind == FG_JSON_STRING) /* some endpoints quote the number */
        life.raw = fg_slice_sub(life.raw, 1, life.raw.len - 1);
    if (life.kind != FG_JSON_NONE && (!fg_parse_int(life.raw, &seconds) || seconds < 1))
        return fg_error_set(err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE,
                            "no token: the login endpoint's \"expires_in\" is no number of seconds");
    ret->token = token.raw;
    ret->life_ms = (seconds < TOKEN_LIFE_MAX_S ? seconds : TOKEN_LIFE_MAX_S) * 1000;
    return 0;
}
