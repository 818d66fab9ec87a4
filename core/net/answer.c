/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: status line, the headers every answer has, body. RFC 9110, 9112, 9457. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/json.h"
#include "net/server-private.h"

#define PROBLEM_MAX 65536 /* bytes of a problem document */

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } table[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].status == status)
            return table[i].reason;
    return "Status";
}

/* IMF-fixdate, made once a second. Not by strftime: its names follow the locale. */
static void add_date(struct fg_http_server *server, struct fg_buf *out)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm tm;

    if (server->date_at != (int64_t)now && gmtime_r(&now, &tm)) {
        (void)snprintf(server->date, sizeof(server->date), "Date: %s, %02u %s %04u %02u:%02u:%02u GMT\r\n",
                       days[tm.tm_wday % 7], (unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12],
                       (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
                       (unsigned)tm.tm_sec % 100);
        server->date_at = (int64_t)now;
    }
    fg_buf_add_str(out, server->date);
}

static bool may_have_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static bool asks_for_head(const struct fg_connection *conn)
{
    const struct fg_message *msg = conn->reader.msg;

    return msg && msg->head.len > 0 && msg->head.method_len == 4 && memcmp(msg->bytes.data, "HEAD", 4) == 0;
}

static void add_connection(const struct fg_connection *conn, struct fg_buf *out)
{
    if (conn->close_after)
        fg_buf_add_str(out, "Connection: close\r\n");
    else if (conn->reader.msg && conn->reader.msg->head.minor == 0)
        fg_buf_add_str(out, "Connection: keep-alive\r\n");
}

static void add_head(struct fg_connection *conn, const struct fg_answer *answer, struct fg_buf *out)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "HTTP/1.1 %d ", answer->status);

    fg_buf_add(out, text, (size_t)n);
    fg_buf_add_str(out, reason_of(answer->status));
    fg_buf_add(out, "\r\n", 2);
    add_date(conn->server, out);
    if (answer->content_type && may_have_body(answer->status)) {
        fg_buf_add_str(out, "Content-Type: ");
        fg_buf_add_str(out, answer->content_type);
        fg_buf_add(out, "\r\n", 2);
    }
    if (answer->stream && conn->x->chunked) {
        fg_buf_add_str(out, "Transfer-Encoding: chunked\r\n");
    } else if (!answer->stream && may_have_body(answer->status)) {
        n = snprintf(text, sizeof(text), "Content-Length: %zu\r\n", answer->body.len);
        fg_buf_add(out, text, (size_t)n);
    }
    if (!answer->has_content_type_options)
        fg_buf_add_str(out, "X-Content-Type-Options: nosniff\r\n");
    if (!answer->has_cache_control)
        fg_buf_add_str(out, "Cache-Control: no-store\r\n");
    add_connection(conn, out);
    fg_buf_add_slice(out, answer->headers);
    fg_buf_add(out, "\r\n", 2);
}

void fg_answer_send(struct fg_connection *conn, const struct fg_answer *answer)
{
    struct fg_buf *out = &conn->server->out;
    bool body = !answer->stream && answer->body.len > 0 && may_have_body(answer->status) && !asks_for_head(conn);
    uv_buf_t bufs[2];
    unsigned n = 1;

    if (conn->server->closing || conn->eof)
        conn->close_after = true;
    fg_buf_clear(out);
    add_head(conn, answer, out);
    if (body && answer->body.len <= FG_SERVER_JOIN_MAX)
        fg_buf_add_slice(out, answer->body);
    if (out->failed) {
        fg_connection_cut(conn);
        return;
    }
    bufs[0] = uv_buf_init(out->data, (unsigned)out->len);
    if (body && answer->body.len > FG_SERVER_JOIN_MAX) {
        bufs[1] = uv_buf_init((char *)(uintptr_t)answer->body.ptr, (unsigned)answer->body.len);
        n = 2;
    }
    fg_server_count(conn->server, answer->status);
    fg_wire_write(conn, bufs, n);
}

void fg_problem_write(struct fg_buf *out, int status, const char *title, const char *detail)
{
    struct fg_json_writer w = FG_JSON_WRITER_INIT(out);

    fg_json_object(&w);
    fg_json_kv_cstr(&w, "type", "about:blank");
    fg_json_kv_cstr(&w, "title", title ? title : reason_of(status));
    fg_json_kv_int(&w, "status", status);
    if (detail)
        fg_json_kv_cstr(&w, "detail", detail);
    fg_json_object_end(&w);
}

void fg_answer_problem(struct fg_connection *conn, int status, const char *title, const char *detail,
                       struct fg_slice headers)
{
    struct fg_buf body = FG_BUF_INIT(PROBLEM_MAX);
    struct fg_answer answer = {.status = status, .content_type = "application/problem+json", .headers = headers};

    fg_problem_write(&body, status, title, detail);
    answer.body = body.failed ? FG_SLICE_NULL : fg_buf_slice(&body);
    fg_answer_send(conn, &answer);
    fg_buf_deinit(&body);
    fg_connection_answered(conn);
}
