/* SPDX-License-Identifier: Apache-2.0 */
/* The reader: one message at a time through head check, chunk check and parser. */
#include "net/reader.h"

#include <stdlib.h>

/* Memory kept from one message to the next on the same connection; what is above goes back. */
#define KEEP_BYTES 16384

enum phase { P_HEAD, P_BODY_FIRST, P_BODY, P_WHOLE, P_REFUSED };

static void on_body(void *arg, struct fg_slice bytes)
{
    struct fg_reader *reader = arg;

    fg_buf_add_slice(&reader->msg->body, bytes);
    if (reader->msg->body.failed)
        reader->body_failed = true;
}

bool fg_reader_init(struct fg_reader *reader, const struct fg_head_limits *limits)
{
    *reader = (struct fg_reader){.limits = limits};
    reader->parser = fg_parser_new(on_body, reader);
    reader->msg = calloc(1, sizeof(*reader->msg));
    if (!reader->parser || !reader->msg || !fg_head_init(&reader->msg->head, limits)) {
        fg_reader_deinit(reader);
        return false;
    }
    /* a head, what one read brought behind it, and what arrived while the last request was answered */
    reader->msg->bytes = FG_BUF_INIT(limits->bytes_max + 4 * FG_READER_PUSH_MAX);
    return true;
}

static void discharge(struct fg_message *msg)
{
    if (msg->charged)
        fg_budget_credit(msg->budget, msg->charged);
    msg->charged = 0;
}

bool fg_reader_charge(struct fg_reader *reader, size_t bytes)
{
    struct fg_message *msg = reader->msg;

    if (!msg->budget || bytes <= msg->charged)
        return true;
    if (!fg_budget_try_charge(msg->budget, bytes - msg->charged))
        return false;
    msg->charged = bytes;
    return true;
}

struct fg_message *fg_message_free(struct fg_message *msg)
{
    if (!msg)
        return NULL;
    discharge(msg);
    fg_buf_deinit(&msg->bytes);
    fg_buf_deinit(&msg->body);
    fg_head_deinit(&msg->head);
    free(msg);
    return NULL;
}

void fg_reader_deinit(struct fg_reader *reader)
{
    reader->msg = fg_message_free(reader->msg);
    reader->parser = fg_parser_free(reader->parser);
}

struct fg_message *fg_reader_steal(struct fg_reader *reader)
{
    struct fg_message *msg = reader->msg;

    reader->msg = NULL;
    return msg;
}

static enum fg_reader_step refuse(struct fg_reader *reader, int status, const char *why)
{
    reader->phase = P_REFUSED;
    reader->status = status;
    reader->why = why;
    return FG_READER_REFUSED;
}

bool fg_reader_push(struct fg_reader *reader, struct fg_slice bytes)
{
    fg_buf_add_slice(&reader->msg->bytes, bytes);
    return !reader->msg->bytes.failed;
}

/*
 * One line end before a request is what some old clients leave behind a body (RFC 9112 section 2.2). Only one, and the
 * same one however the bytes were cut into packets. false: it cannot be told yet.
 */
static bool drop_leading_line_end(struct fg_reader *reader)
{
    struct fg_message *msg = reader->msg;

    if (reader->begun)
        return true;
    if (msg->bytes.len == 0 || (msg->bytes.len == 1 && msg->bytes.data[0] == '\r'))
        return false;
    if (msg->bytes.len >= 2 && memcmp(msg->bytes.data, "\r\n", 2) == 0)
        fg_buf_consume(&msg->bytes, 2);
    reader->begun = true;
    return true;
}

static enum fg_reader_step step_head(struct fg_reader *reader)
{
    struct fg_message *msg = reader->msg;
    struct fg_head *head = &msg->head;
    int r;

    if (!drop_leading_line_end(reader))
        return FG_READER_MORE;
    r = fg_head_check(head, reader->limits, fg_buf_slice(&msg->bytes));
    if (r == FG_HEAD_MORE)
        return FG_READER_MORE;
    if (r == FG_HEAD_REFUSED)
        return refuse(reader, head->status, head->why);
    fg_parser_reset(reader->parser);
    r = fg_parser_feed(reader->parser, fg_slice_make(msg->bytes.data, head->len));
    if (r == FG_PARSER_UNKNOWN_METHOD)
        return refuse(reader, 501, "the method is not known");
    if (r == FG_PARSER_REFUSED)
        return refuse(reader, 400, fg_parser_why(reader->parser));
    if ((r == FG_PARSER_WHOLE) == fg_reader_has_body(reader))
        return refuse(reader, 400, "it is not clear where the request ends");
    reader->keep_alive = fg_parser_keep_alive(reader->parser);
    reader->phase = P_BODY_FIRST;
    return FG_READER_HEAD;
}

bool fg_reader_has_body(const struct fg_reader *reader)
{
    const struct fg_head *head = &reader->msg->head;

    return head->chunked || head->content_length > 0;
}

bool fg_reader_body_absent(const struct fg_reader *reader)
{
    return fg_reader_has_body(reader) && reader->phase == P_BODY_FIRST &&
           reader->msg->bytes.len == reader->msg->head.len;
}

static enum fg_reader_step begin_body(struct fg_reader *reader)
{
    const struct fg_head *head = &reader->msg->head;

    if (!fg_reader_has_body(reader)) {
        reader->phase = P_WHOLE;
        return FG_READER_WHOLE;
    }
    if (head->has_length && head->content_length > reader->body_max)
        return refuse(reader, 413, "the body is larger than this route takes");
    reader->phase = P_BODY;
    reader->body_left = head->content_length;
    reader->chunks = FG_CHUNKS_INIT;
    reader->body_failed = false;
    reader->msg->body.max = reader->body_max;
    return FG_READER_MORE;
}

/* How many of the bytes belong to this message; *ret_end: it ends with them. false: bad framing. */
static bool measure_body(struct fg_reader *reader, struct fg_slice bytes, size_t *ret_n, bool *ret_end)
{
    if (reader->msg->head.chunked) {
        int r = fg_chunks_check(&reader->chunks, bytes, ret_n);

        *ret_end = r == FG_CHUNKS_WHOLE;
        return r != FG_CHUNKS_REFUSED;
    }
    *ret_n = bytes.len < reader->body_left ? bytes.len : (size_t)reader->body_left;
    reader->body_left -= *ret_n;
    *ret_end = reader->body_left == 0;
    return true;
}

static void drop_behind_head(struct fg_message *msg, size_t n)
{
    size_t at = msg->head.len + n;

    memmove(msg->bytes.data + msg->head.len, msg->bytes.data + at, msg->bytes.len - at + 1);
    msg->bytes.len -= n;
}

static enum fg_reader_step step_body(struct fg_reader *reader)
{
    struct fg_message *msg = reader->msg;
    struct fg_slice bytes = fg_slice_make(msg->bytes.data + msg->head.len, msg->bytes.len - msg->head.len);
    size_t n = 0;
    bool end = false;
    int r;

    if (bytes.len == 0)
        return FG_READER_MORE;
    if (!measure_body(reader, bytes, &n, &end))
        return refuse(reader, 400, "the chunked body is not well formed");
    r = fg_parser_feed(reader->parser, fg_slice_make(bytes.ptr, n));
    if (reader->body_failed)
        return refuse(reader, 413, "the body is larger than this route takes");
    if (r == FG_PARSER_REFUSED || r == FG_PARSER_UNKNOWN_METHOD)
        return refuse(reader, 400, fg_parser_why(reader->parser));
    if ((r == FG_PARSER_WHOLE) != end)
        return refuse(reader, 400, "it is not clear where the request ends");
    drop_behind_head(msg, n);
    if (!end)
        return FG_READER_MORE;
    reader->phase = P_WHOLE;
    return FG_READER_WHOLE;
}

enum fg_reader_step fg_reader_step(struct fg_reader *reader)
{
    enum fg_reader_step r;

    switch ((enum phase)reader->phase) {
    case P_HEAD: return step_head(reader);
    case P_BODY_FIRST: r = begin_body(reader); return r == FG_READER_MORE ? step_body(reader) : r;
    case P_BODY: return step_body(reader);
    case P_WHOLE: return FG_READER_WHOLE;
    default: return FG_READER_REFUSED;
    }
}

static void shrink(struct fg_buf *buf)
{
    size_t max = buf->max;

    if (buf->len == 0 && buf->cap > KEEP_BYTES) {
        fg_buf_deinit(buf);
        buf->max = max;
    }
}

void fg_reader_next(struct fg_reader *reader)
{
    struct fg_message *msg = reader->msg;

    if (msg->bytes.len == msg->head.len)
        fg_buf_clear(&msg->bytes);
    else
        fg_buf_consume(&msg->bytes, msg->head.len);
    fg_buf_clear(&msg->body);
    discharge(msg);
    shrink(&msg->bytes);
    shrink(&msg->body);
    fg_head_reset(&msg->head);
    reader->begun = false;
    reader->phase = P_HEAD;
}

bool fg_reader_idle(const struct fg_reader *reader)
{
    return reader->phase == P_HEAD && reader->msg->bytes.len == 0;
}
