/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The access token by the client credentials grant.
 * Source: Microsoft identity platform, "OAuth 2.0 client credentials flow"; RFC 6749 4.4.
 *
 * One request at a time, whoever needs it. A token is renewed a while before it expires, and the old one is used until
 * the new one is there. No text of a token or secret is ever logged, and their memory is wiped.
 */
#include <stdlib.h>

#include "source.h"

#define FORM_MAX 65536u        /* bytes of the request's body */
#define EARLY_MAX_MS 300000u   /* how long before its end a token is renewed, or a fifth of its life if that is less */
#define REFUSED_GAP_MS 60000u  /* a token got after a refusal is not blamed for refusals within this time */

static void ask(struct source *s);

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void form_end(struct token *t)
{
    if (t->form.data)
        explicit_bzero(t->form.data, t->form.cap);
    fg_buf_deinit(&t->form);
}

static void forget(struct token *t)
{
    wipe(t->header);
    t->header = NULL;
}

static void again(void *arg)
{
    struct source *s = arg;

    s->token.waiting = false;
    ask(s);
}

static void failed(struct source *s, const struct fg_error *err)
{
    struct token *t = &s->token;
    uint64_t wait = err->retry_after_ms ? err->retry_after_ms
                                        : source_jitter(s, RETRY_BASE_MS, RETRY_CAP_MS, t->attempt);

    if (!t->err.code || t->err.code != err->code)
        s->host->svc->log(s->host, FG_LOG_WARN, "%s; trying again in %llu ms", err->text, (unsigned long long)wait);
    t->err = *err;
    t->attempt++;
    t->waiting = true;
    s->host->svc->timer_start(t->timer, wait);
    source_wake(s);
}

static void take(struct source *s, const struct token_answer *answer)
{
    struct token *t = &s->token;
    uint64_t now = s->host->svc->now_ms(s->host), life = (uint64_t)answer->life_ms;
    size_t size = sizeof("Bearer ") + answer->token.len;

    forget(t);
    t->header = calloc(1, size);
    if (!t->header)
        abort();
    /* is_token() let nothing through that JSON would have escaped */
    (void)snprintf(t->header, size, "Bearer %.*s", (int)answer->token.len - 2, answer->token.ptr + 1);
    t->serial++;
    t->expire_ms = now + life;
    t->renew_ms = t->expire_ms - (life / 5 < EARLY_MAX_MS ? life / 5 : EARLY_MAX_MS);
    t->attempt = 0;
    if (t->err.code)
        s->host->svc->log(s->host, FG_LOG_INFO, "the login endpoint gives tokens again");
    t->err = FG_ERROR_NULL;
    s->host->svc->log(s->host, FG_LOG_DEBUG, "new access token, good for %lld s", (long long)(answer->life_ms / 1000));
    source_wake(s);
}

static void answered(void *arg, const struct fg_http_response *res, const struct fg_error *err)
{
    struct source *s = arg;
    struct token_answer answer = { .life_ms = 0 };
    struct fg_error why = FG_ERROR_NULL;

    s->token.call = NULL;
    form_end(&s->token);
    if (!res)
        failed(s, err);
    else if (answer_read_token(res->status, res->body, res->retry_after_ms, &answer, &why) < 0)
        failed(s, &why);
    else
        take(s, &answer);
}

static void add_field(struct fg_buf *form, const char *name, struct fg_slice value)
{
    if (form->len)
        fg_buf_add_char(form, '&');
    fg_buf_add_str(form, name);
    fg_buf_add_char(form, '=');
    url_add_encoded(form, value);
}

static void write_form(struct source *s)
{
    struct fg_buf *form = &s->token.form;
    char scope[URL_HOST_MAX + 64];
    const struct url_origin *o = &s->graph;
    bool usual = o->port == (o->https ? 443u : 80u);

    (void)snprintf(scope, sizeof(scope), usual ? "%s://%s/.default" : "%s://%s:%u/.default",
                   o->https ? "https" : "http", o->host, o->port);
    *form = FG_BUF_INIT(FORM_MAX);
    (void)fg_buf_reserve(form, FORM_MAX); /* at once: growing would leave copies of the secret behind */
    add_field(form, "grant_type", fg_slice_of("client_credentials"));
    add_field(form, "client_id", fg_slice_of(s->config->client));
    add_field(form, "scope", fg_slice_of(scope));
    add_field(form, "client_secret", s->host->svc->secret_get(s->host, s->config->credential->secret));
}

static void ask(struct source *s)
{
    static const struct fg_header headers[] = {
        { FG_SLICE("Content-Type"), FG_SLICE("application/x-www-form-urlencoded") },
        { FG_SLICE("Accept"), FG_SLICE("application/json") },
    };
    struct token *t = &s->token;
    struct fg_buf url = FG_BUF_INIT(URL_MAX);
    struct fg_error err = FG_ERROR_NULL;

    if (t->call || t->waiting || !s->running)
        return;
    write_form(s);
    fg_buf_add_str(&url, s->login_base);
    fg_buf_add_char(&url, '/');
    url_add_encoded(&url, fg_slice_of(s->config->tenant));
    fg_buf_add_str(&url, "/oauth2/v2.0/token");
    if (t->form.failed || url.failed) {
        (void)fg_error_set(&err, FG_E_CONFIG, 0, "no token: tenant, client and secret do not fit into %u bytes",
                           FORM_MAX);
    } else {
        struct fg_http_request req = {
            .method = "POST", .url = url.data, .headers = headers, .n_headers = sizeof(headers) / sizeof(headers[0]),
            .body = fg_buf_slice(&t->form), .timeout_ms = REQUEST_TIMEOUT_MS, .body_max = SMALL_ANSWER_MAX,
            .allow_private = url_origin_is_loopback(&s->login),
        };
        t->call = s->host->svc->http_send(s->host, &req, answered, s, &err);
    }
    fg_buf_deinit(&url);
    if (!t->call) {
        form_end(t);
        failed(s, &err);
    }
}

void token_start(struct source *s)
{
    s->token.timer = s->host->svc->timer_new(s->host, again, s);
}

void token_stop(struct source *s)
{
    struct token *t = &s->token;

    if (t->call)
        s->host->svc->http_cancel(t->call);
    s->host->svc->timer_free(t->timer);
    form_end(t);
    forget(t);
    *t = (struct token){ .serial = t->serial };
}

const char *token_get(struct source *s, unsigned *ret_serial)
{
    struct token *t = &s->token;
    uint64_t now = s->host->svc->now_ms(s->host);

    if (t->header && now >= t->expire_ms)
        forget(t);
    if (!t->header || now >= t->renew_ms)
        ask(s);
    *ret_serial = t->serial;
    return t->header;
}

bool token_refused(struct source *s, unsigned serial)
{
    struct token *t = &s->token;
    uint64_t now = s->host->svc->now_ms(s->host);

    if (serial != t->serial || !t->header)
        return true; /* a newer one is there or on its way */
    if (t->after_refusal && now - t->refused_ms < REFUSED_GAP_MS)
        return false;
    forget(t);
    t->after_refusal = true;
    t->refused_ms = now;
    return true;
}
