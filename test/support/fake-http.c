/* SPDX-License-Identifier: Apache-2.0 */
/* The fake host's HTTP: requests wait for the test's answers, exchanges remember what a route did with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include <fragua/kit/str.h>

#include "fake-private.h"

#define ANSWER_HEADERS_MAX 32u

static struct fg_http_call *fake_send(struct fg_host *host, const struct fg_http_request *req, fg_http_done_cb done,
                                      void *arg, struct fg_error *err)
{
    struct fake_host *fake = (struct fake_host *)host;
    struct fg_http_call **at = &fake->calls;
    struct fg_buf headers = FG_BUF_INIT(1u << 20);

    assert_in_range(req->timeout_ms, 1, 600000);
    assert_true(req->body_max > 0);
    for (size_t i = 0; i < req->n_headers; i++)
        fg_buf_printf(&headers, "%.*s: %.*s\n", FG_SLICE_ARG(req->headers[i].name),
                      FG_SLICE_ARG(req->headers[i].value));
    while (*at)
        at = &(*at)->next;
    *at = fake_alloc(sizeof(**at));
    **at = (struct fg_http_call){
        .fake = fake,
        .method = fake_dup(fg_slice_of(req->method)),
        .url = fake_dup(fg_slice_of(req->url)),
        .body = fake_dup(req->body),
        .headers = fake_dup(fg_buf_slice(&headers)),
        .bearer = req->bearer ? req->bearer->text : NULL,
        .timeout_ms = req->timeout_ms,
        .body_max = req->body_max,
        .allow_private = req->allow_private,
        .done = done,
        .arg = arg,
    };
    fg_buf_deinit(&headers);
    return *at;
}

static void call_remove(struct fg_http_call *call)
{
    struct fg_http_call **at = &call->fake->calls;

    while (*at && *at != call)
        at = &(*at)->next;
    assert_ptr_equal(*at, call); /* else it was answered or cancelled before */
    *at = call->next;
}

static void call_free(struct fg_http_call *call)
{
    free(call->method);
    free(call->url);
    free(call->body);
    free(call->headers);
    free(call);
}

static void fake_cancel(struct fg_http_call *call)
{
    call_remove(call);
    call_free(call);
}

struct fg_http_call *fake_call_next(struct fake_host *fake)
{
    return fake->calls;
}

size_t fake_call_count(const struct fake_host *fake)
{
    size_t n = 0;

    for (const struct fg_http_call *c = fake->calls; c; c = c->next)
        n++;
    return n;
}

struct fg_http_call *fake_call_expect(struct fake_host *fake, const char *method, const char *url_part)
{
    for (struct fg_http_call *c = fake->calls; c; c = c->next)
        if (strcmp(c->method, method) == 0 && strstr(c->url, url_part))
            return c;
    fail_msg("no %s request to \"...%s...\" is waiting; the first one is %s", method, url_part,
             fake->calls ? fake->calls->url : "(none)");
    return NULL;
}

static size_t split_headers(struct fg_slice text, struct fg_header ret[ANSWER_HEADERS_MAX])
{
    struct fg_slice line;
    size_t n = 0;

    while (text.len) {
        (void)fg_slice_cut(text, '\n', &line, &text);
        assert_true(n < ANSWER_HEADERS_MAX);
        (void)fg_slice_cut(line, ':', &ret[n].name, &ret[n].value);
        ret[n].value = fg_slice_trim(ret[n].value);
        n += ret[n].name.len > 0;
    }
    return n;
}

void fake_call_answer(struct fg_http_call *call, int status, const char *headers, const char *body)
{
    static const struct fg_slice retry_after = FG_SLICE("retry-after");
    struct fg_header list[ANSWER_HEADERS_MAX];
    struct fg_http_response res = { .status = status, .headers = list, .body = fg_slice_of(body), .elapsed_ms = 1 };
    struct fg_error err = FG_ERROR_NULL;
    int64_t seconds = 0;

    res.n_headers = split_headers(fg_slice_of(headers), list);
    for (size_t i = 0; i < res.n_headers; i++)
        if (fg_slice_ieq(list[i].name, retry_after) && fg_parse_int(list[i].value, &seconds))
            res.retry_after_ms = (uint32_t)(seconds < 3600 ? seconds : 3600) * 1000;
    call_remove(call);
    if (res.body.len > call->body_max) {
        (void)fg_error_set(&err, FG_E_LIMIT, 0, "an answer of more than %zu bytes", call->body_max);
        call->done(call->arg, NULL, &err);
    } else {
        call->done(call->arg, &res, NULL);
    }
    call_free(call);
}

void fake_call_fail(struct fg_http_call *call, int code, const char *text)
{
    struct fg_error err = FG_ERROR_NULL;

    (void)fg_error_set(&err, code, FG_ERROR_RETRIABLE, "%s", text);
    call_remove(call);
    call->done(call->arg, NULL, &err);
    call_free(call);
}

struct fg_exchange *fake_exchange_new(const char *method, const char *path, const char *query_raw, const char *body)
{
    struct fg_exchange *x = fake_alloc(sizeof(*x));

    *x = (struct fg_exchange){ .method = method, .path = path, .query_raw = query_raw, .body = body };
    x->answer = FG_BUF_INIT(64u << 20);
    x->answer_headers = FG_BUF_INIT(1u << 20);
    return x;
}

void fake_exchange_go(struct fg_exchange *x)
{
    x->gone = true;
    if (x->on_gone && !x->ended)
        x->on_gone(x->on_gone_arg);
}

void fake_exchange_free(struct fg_exchange *x)
{
    if (!x)
        return;
    fg_buf_deinit(&x->answer);
    fg_buf_deinit(&x->answer_headers);
    free(x);
}

static unsigned hex(char c)
{
    return (unsigned)(c >= '0' && c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10) & 15u;
}

/* The decoded value of name in "a=b&c=d", kept until the exchange ends. */
static struct fg_slice form_value(struct fg_exchange *x, const char *form, const char *name)
{
    struct fg_slice rest = fg_slice_of(form), pair, key, value;
    char *out;
    size_t n = 0;

    while (rest.len) {
        (void)fg_slice_cut(rest, '&', &pair, &rest);
        (void)fg_slice_cut(pair, '=', &key, &value);
        if (!fg_slice_is(key, name))
            continue;
        assert_true(x->n_decoded < 16 && value.len < sizeof(x->decoded[0]));
        out = x->decoded[x->n_decoded++];
        for (size_t i = 0; i < value.len; i++) {
            bool coded = value.ptr[i] == '%' && i + 2 < value.len;
            out[n++] = coded ? (char)(hex(value.ptr[i + 1]) << 4 | hex(value.ptr[i + 2]))
                             : (char)(value.ptr[i] == '+' ? ' ' : value.ptr[i]);
            i += coded ? 2 : 0;
        }
        return (struct fg_slice){ out, n };
    }
    return FG_SLICE_NULL;
}

static struct fg_slice x_method(const struct fg_exchange *x)
{
    return fg_slice_of(x->method);
}

static struct fg_slice x_path(const struct fg_exchange *x)
{
    return fg_slice_of(x->path);
}

static struct fg_slice x_param(const struct fg_exchange *x, const char *name)
{
    return form_value((struct fg_exchange *)x, x->params, name);
}

static struct fg_slice x_query(const struct fg_exchange *x, const char *name)
{
    return form_value((struct fg_exchange *)x, x->query_raw, name);
}

static struct fg_slice x_query_raw(const struct fg_exchange *x)
{
    return fg_slice_of(x->query_raw);
}

static struct fg_slice x_header(const struct fg_exchange *x, const char *name)
{
    struct fg_header list[ANSWER_HEADERS_MAX];
    size_t n = split_headers(fg_slice_of(x->headers), list);

    for (size_t i = 0; i < n; i++)
        if (fg_slice_ieq(list[i].name, fg_slice_of(name)))
            return list[i].value;
    return FG_SLICE_NULL;
}

static struct fg_slice x_body(const struct fg_exchange *x)
{
    return fg_slice_of(x->body);
}

static void x_set_header(struct fg_exchange *x, const char *name, const char *value)
{
    assert_int_equal(x->status, 0);
    fg_buf_printf(&x->answer_headers, "%s: %s\n", name, value);
}

static void x_begin(struct fg_exchange *x, int status, const char *content_type)
{
    assert_int_equal(x->status, 0);
    assert_false(x->gone);
    x->status = status;
    (void)snprintf(x->content_type, sizeof(x->content_type), "%s", content_type ? content_type : "");
}

static bool x_write(struct fg_exchange *x, struct fg_slice bytes)
{
    assert_true(x->status != 0 && !x->ended);
    if (x->gone)
        return false;
    fg_buf_add_slice(&x->answer, bytes);
    return true;
}

static void x_end(struct fg_exchange *x)
{
    assert_true(x->status != 0 && !x->ended);
    x->ended = true;
}

static void x_reply(struct fg_exchange *x, int status, const char *content_type, struct fg_slice body)
{
    x_begin(x, status, content_type);
    fg_buf_add_slice(&x->answer, body);
    x_end(x);
}

static void x_problem(struct fg_exchange *x, int status, const char *title, const char *detail)
{
    x_begin(x, status, "application/problem+json");
    fg_buf_printf(&x->answer, "{\"status\":%d,\"title\":\"%s\",\"detail\":\"%s\"}", status, title,
                  detail ? detail : "");
    x_end(x);
}

static void x_on_gone(struct fg_exchange *x, fg_done_cb cb, void *arg)
{
    x->on_gone = cb;
    x->on_gone_arg = arg;
}

static void x_abort(struct fg_exchange *x)
{
    assert_false(x->ended);
    x->aborted = x->ended = true;
}

static struct fg_record *fake_take_body(struct fg_host *host, const struct fg_http_response *res)
{
    return res->body.len ? fake_record_of(host, res->body) : NULL;
}

void fake_http_services(struct fg_services *svc)
{
    svc->http_send = fake_send;
    svc->http_cancel = fake_cancel;
    svc->http_take_body = fake_take_body;
    svc->exchange_method = x_method;
    svc->exchange_path = x_path;
    svc->exchange_param = x_param;
    svc->exchange_query = x_query;
    svc->exchange_query_raw = x_query_raw;
    svc->exchange_header = x_header;
    svc->exchange_body = x_body;
    svc->exchange_set_header = x_set_header;
    svc->exchange_reply = x_reply;
    svc->exchange_problem = x_problem;
    svc->exchange_begin = x_begin;
    svc->exchange_write = x_write;
    svc->exchange_end = x_end;
    svc->exchange_on_gone = x_on_gone;
    svc->exchange_abort = x_abort;
}
