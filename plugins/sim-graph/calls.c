/* SPDX-License-Identifier: Apache-2.0 */
/* How a call of the simulated Graph begins and ends: faults, sign-in, answers whole and cut. */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <fragua/kit/str.h>

/* A call whose answer waits. */
struct late {
    struct late *next;
    struct sim *sim;
    struct fg_exchange *x;
    struct fg_timer *timer;
    sim_handler handle;
    struct fault fault;
};

void sim_reply(struct sim *s, struct fg_exchange *x, int status, struct fg_buf *buf)
{
    static const char type[] = "application/json; odata.metadata=minimal";
    bool cut = s->cut;

    s->cut = false;
    if (buf->failed) {
        s->host->svc->exchange_problem(x, 500, "too large", "the answer does not fit: ask for smaller pages");
    } else if (cut) {
        s->host->svc->exchange_begin(x, status, type);
        (void)s->host->svc->exchange_write(x, fg_slice_make(buf->data, buf->len / 2));
        s->host->svc->exchange_abort(x);
    } else {
        s->host->svc->exchange_reply(x, status, type, fg_buf_slice(buf));
    }
    fg_buf_deinit(buf);
}

/* As Graph words it. */
void sim_reply_error(struct sim *s, struct fg_exchange *x, int status, const char *code, const char *message)
{
    struct fg_buf buf = FG_BUF_INIT(4096);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);

    fg_json_object(&w);
    fg_json_key(&w, "error");
    fg_json_object(&w);
    fg_json_kv_cstr(&w, "code", code);
    fg_json_kv_cstr(&w, "message", message);
    fg_json_object_end(&w);
    fg_json_object_end(&w);
    sim_reply(s, x, status, &buf);
}

static void late_free(struct late *late)
{
    late->sim->host->svc->timer_free(late->timer);
    free(late);
}

static void late_unlink(const struct late *late)
{
    struct late **at = &late->sim->late;

    while (*at != late)
        at = &(*at)->next;
    *at = late->next;
}

static void late_gone(void *arg)
{
    late_unlink(arg);
    late_free(arg);
}

static void late_over(void *arg)
{
    struct late *late = arg;
    struct sim *s = late->sim;
    struct fg_exchange *x = late->x;
    sim_handler handle = late->handle;
    struct fault fault = late->fault;

    late_unlink(late);
    late_free(late);
    s->host->svc->exchange_on_gone(x, NULL, NULL);
    s->resumed = &fault;
    handle(s, x);
    s->resumed = NULL;
}

static bool late_new(struct sim *s, struct fg_exchange *x, sim_handler handle, const struct fault *fault)
{
    struct late *late = calloc(1, sizeof(*late));

    if (!late)
        return false;
    *late = (struct late){ .next = s->late, .sim = s, .x = x, .handle = handle, .fault = *fault };
    late->fault.slow_ms = 0;
    s->late = late;
    late->timer = s->host->svc->timer_new(s->host, late_over, late);
    s->host->svc->exchange_on_gone(x, late_gone, late);
    s->host->svc->timer_start(late->timer, (uint64_t)fault->slow_ms);
    return true;
}

void sim_late_drop(struct sim *s)
{
    struct late *late, *next;

    for (late = s->late, s->late = NULL; late; late = next) {
        struct fg_exchange *x = late->x;
        next = late->next;
        late_free(late);
        s->host->svc->exchange_on_gone(x, NULL, NULL);
        s->host->svc->exchange_abort(x);
    }
}

/* Plays what a fault does to any call; true: the exchange is dealt with, or comes again. */
static bool play(struct sim *s, struct fg_exchange *x, sim_handler handle, const struct fault *fault)
{
    char seconds[24];

    if (fault->slow_ms > 0 && late_new(s, x, handle, fault))
        return true;
    if (fault->act == ACT_GARBAGE) {
        s->host->svc->exchange_reply(x, 200, "application/json", (struct fg_slice)FG_SLICE("<html>not Graph</html>"));
        return true;
    }
    s->cut = fault->act == ACT_CUT;
    if (fault->act != ACT_FAIL)
        return false;
    if (fault->retry_after >= 0) {
        (void)snprintf(seconds, sizeof(seconds), "%" PRId64, fault->retry_after);
        s->host->svc->exchange_set_header(x, "Retry-After", seconds);
    }
    sim_reply_error(s, x, (int)fault->status, fault->code, "a fault that was asked for");
    return true;
}

static bool play_fault(struct sim *s, struct fg_exchange *x, enum call_kind kind, sim_handler handle,
                       struct fault *ret)
{
    struct fg_slice mailbox = s->host->svc->exchange_param(x, "mailbox");
    struct call call = { .kind = kind, .mailbox = mailbox, .random = s->host->svc->random(s->host),
                         .token = s->host->svc->exchange_query(x, "$deltatoken").len ||
                                  s->host->svc->exchange_query(x, "$skiptoken").len };

    if (s->resumed)
        *ret = *s->resumed;
    else if (faults_take(&s->faults, &call, ret))
        s->n_faults++;
    s->resumed = NULL;
    return play(s, x, handle, ret);
}

/* true: let in. Else a 401 has been sent. */
static bool authorised(struct sim *s, struct fg_exchange *x)
{
    struct fg_slice given = s->host->svc->exchange_header(x, "Authorization");
    uint64_t now = s->host->svc->now_ms(s->host);

    if (fg_slice_starts(given, (struct fg_slice)FG_SLICE("Bearer "))) {
        given = fg_slice_sub(given, 7, given.len);
        for (size_t i = 0; i < TOKENS_MAX; i++)
            if (s->tokens[i].text[0] && fg_slice_is(given, s->tokens[i].text) && s->tokens[i].until_ms > now)
                return true;
    }
    sim_reply_error(s, x, 401, "InvalidAuthenticationToken", "Access token is empty, unknown or has expired.");
    return false;
}

bool sim_begin(struct sim *s, struct fg_exchange *x, enum call_kind kind, sim_handler handle, struct fault *ret)
{
    return !play_fault(s, x, kind, handle, ret) && authorised(s, x);
}

static bool form_value(struct fg_slice form, const char *name, struct fg_buf *out)
{
    struct fg_slice pair, key, value;

    while (form.len) {
        (void)fg_slice_cut(form, '&', &pair, &form);
        if (!fg_slice_cut(pair, '=', &key, &value) || !fg_slice_is(key, name))
            continue;
        for (size_t i = 0; i < value.len; i++) {
            char hex[3] = { 0 };
            if (value.ptr[i] == '%' && i + 2 < value.len) {
                memcpy(hex, value.ptr + i + 1, 2);
                fg_buf_add_char(out, (char)strtoul(hex, NULL, 16));
                i += 2;
            } else {
                fg_buf_add_char(out, value.ptr[i] == '+' ? ' ' : value.ptr[i]);
            }
        }
        return true;
    }
    return false;
}

static bool form_is(struct fg_slice form, const char *name, struct fg_slice wanted)
{
    struct fg_buf value = FG_BUF_INIT(4096);
    bool same = form_value(form, name, &value) && fg_slice_eq(fg_buf_slice(&value), wanted);

    fg_buf_deinit(&value);
    return same;
}

void sim_post_token(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fg_slice form = s->host->svc->exchange_body(x);
    struct fg_buf buf = FG_BUF_INIT(4096);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    struct token *token;
    struct fault fault;

    s->n_tokens++;
    if (play_fault(s, x, CALL_TOKEN, sim_post_token, &fault))
        return;
    if (!form_is(form, "grant_type", (struct fg_slice)FG_SLICE("client_credentials")) ||
        !form_is(form, "client_id", fg_slice_of(s->config->client)) ||
        !form_is(form, "client_secret", s->host->svc->secret_get(s->host, s->config->secret))) {
        fg_buf_add_str(&buf, "{\"error\":\"invalid_client\",\"error_description\":"
                             "\"AADSTS7000215: Invalid client secret provided.\"}");
        sim_reply(s, x, 401, &buf);
        return;
    }
    token = &s->tokens[s->next_token++ % TOKENS_MAX];
    (void)snprintf(token->text, sizeof(token->text), "sim-%016" PRIx64 "%016" PRIx64, s->host->svc->random(s->host),
                   s->host->svc->random(s->host));
    token->until_ms = s->host->svc->now_ms(s->host) + (uint64_t)s->config->token_lifetime;
    fg_json_object(&w);
    fg_json_kv_cstr(&w, "token_type", "Bearer");
    fg_json_kv_int(&w, "expires_in", s->config->token_lifetime / 1000);
    fg_json_kv_cstr(&w, "access_token", token->text);
    fg_json_object_end(&w);
    sim_reply(s, x, 200, &buf);
}
