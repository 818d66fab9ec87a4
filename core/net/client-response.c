/* SPDX-License-Identifier: Apache-2.0 */
/* Takes an answer in as it arrives, counting its bytes and fields, and reads it once it is whole. */
#include "base/clock.h"
#include "net/client-private.h"

static size_t stop(struct fg_http_call *call, enum call_trouble why)
{
    call->trouble = why;
    return 0; /* fewer bytes than given: curl ends the transfer */
}

/* CURLOPT_MAXFILESIZE only looks at lengths that are announced, so the bytes are counted here. */
static size_t on_body(char *bytes, size_t one, size_t len, void *arg)
{
    struct fg_http_call *call = arg;
    size_t announced = call->body.len == 0 ? client_room_announced(call) : 0;

    (void)one;
    if (len > call->body.max - call->body.len || announced > call->body.max)
        return stop(call, TROUBLE_BODY_MAX);
    switch (client_room_take(call, len)) {
    case CLIENT_ROOM_LATER:
        client_room_pause(call, len);
        return CURL_WRITEFUNC_PAUSE;
    case CLIENT_ROOM_NEVER: return stop(call, TROUBLE_BUDGET);
    case CLIENT_ROOM: break;
    }
    if (announced && !fg_buf_reserve(&call->body, announced))
        return stop(call, TROUBLE_MEMORY);
    fg_buf_add(&call->body, bytes, len);
    return call->body.failed ? stop(call, TROUBLE_MEMORY) : len;
}

/* A new head: the first, or the next after a 1xx. */
static bool begin_head(struct fg_http_call *call, struct fg_slice line)
{
    static const struct fg_slice version = FG_SLICE("HTTP/1.");
    int64_t status;

    if (call->head_status >= 200 || !fg_slice_starts(line, version) ||
        !fg_parse_int(fg_slice_sub(line, 9, 12), &status) || status < 100 || status > 599)
        return false;
    fg_buf_clear(&call->head);
    call->n_fields = 0;
    call->head_status = (int)status;
    call->head_ended = false;
    return true;
}

/* One line of a head or of a chunked body's trailer, with its end. */
static size_t on_header(char *bytes, size_t one, size_t len, void *arg)
{
    struct fg_http_call *call = arg;
    struct fg_slice line = fg_slice_trim(fg_slice_make(bytes, len));
    struct fg_slice name, value;

    (void)one;
    if (call->head_status == 0 || (call->head_ended && call->head_status < 200))
        return begin_head(call, line) ? len : stop(call, TROUBLE_HEAD);
    if (line.len == 0) {
        call->head_ended = true;
        return len;
    }
    /* a folded line, or one without a colon, is read differently by different parsers */
    if (bytes[0] == ' ' || bytes[0] == '\t' || !fg_slice_cut(line, ':', &name, &value) || name.len == 0)
        return stop(call, TROUBLE_HEAD);
    if (++call->n_fields > HEADERS_MAX)
        return stop(call, TROUBLE_HEAD_MAX);
    if (call->head_ended)
        return len; /* a trailer must not pass for a header */
    value = fg_slice_trim(value);
    fg_buf_add_slice(&call->head, name);
    fg_buf_add_char(&call->head, '\0');
    fg_buf_add_slice(&call->head, value);
    fg_buf_add_char(&call->head, '\0');
    return call->head.failed ? stop(call, TROUBLE_HEAD_MAX) : len;
}

void client_response_callbacks(struct fg_http_call *call)
{
    (void)curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
    (void)curl_easy_setopt(call->easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(call->easy, CURLOPT_HEADERDATA, call);
}

/* Source: RFC 9110 10.2.3 */
uint32_t client_retry_after_ms(struct fg_slice value, int64_t wall_ms)
{
    int64_t n, ms;

    value = fg_slice_trim(value);
    if (fg_parse_int(value, &n)) {
        if (n > RETRY_AFTER_MS_MAX / 1000)
            return RETRY_AFTER_MS_MAX;
        ms = n * 1000;
    } else if (fg_http_date_parse(value, &ms)) {
        ms -= wall_ms;
    } else {
        return 0;
    }
    if (ms <= 0)
        return 0;
    return ms > RETRY_AFTER_MS_MAX ? RETRY_AFTER_MS_MAX : (uint32_t)ms;
}

bool client_response_read(struct fg_http_call *call, struct fg_http_response *ret)
{
    static const struct fg_slice retry_after = FG_SLICE("retry-after");
    const char *at = call->head.data, *end = at ? at + call->head.len : NULL;
    size_t n = 0;

    if (call->head_status < 200)
        return false;
    while (at < end && n < HEADERS_MAX) {
        struct fg_header *h = &call->fields[n++];
        h->name = fg_slice_of(at);
        at += h->name.len + 1;
        h->value = fg_slice_of(at);
        at += h->value.len + 1;
        if (ret->retry_after_ms == 0 && fg_slice_ieq(h->name, retry_after))
            ret->retry_after_ms = client_retry_after_ms(h->value, fg_clock_wall_ms(&fg_clock_system));
    }
    ret->status = call->head_status;
    ret->headers = call->fields;
    ret->n_headers = n;
    ret->body = fg_buf_slice(&call->body);
    return true;
}
