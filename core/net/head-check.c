/* SPDX-License-Identifier: Apache-2.0 */
/* The strict scan of a request's head: RFC 9112 sections 2 to 6, read without forgiveness. */
#include "net/head-check.h"

#include <stdlib.h>
#include <strings.h>

#include "base/str.h"

/* What stands around the target in a request line, longest method included: "MKCALENDAR  HTTP/1.1\r\n" and room. */
#define REQUEST_LINE_SLACK 64
#define METHOD_MAX         32
#define LENGTH_DIGITS_MAX  18 /* always fits an int64_t */

enum char_class { C_TOKEN = 1, C_VALUE = 2, C_TARGET = 4, C_HOST = 8 };

/* What each byte may be part of: a sum of enum char_class. From 0x80 on: the value of a field and nothing else. */
static const unsigned char classes[128] = {
    0,  0,  0,  0,  0,  0,  0,  0,  0,  2,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    0,  0,  0,  0,  0,  0,  2,  15, 2,  3,  15, 15, 15, 15, 14, 14, 15, 15, 14, 15, 15, 6,  15, 15, 15, 15,
    15, 15, 15, 15, 15, 15, 14, 14, 2,  14, 2,  6,  6,  15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 14, 2,  14, 3,  15, 3,  15, 15, 15, 15, 15, 15, 15,
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 6,  7,  6,  15, 0,
};

static unsigned class_of(unsigned char c)
{
    return c < 128 ? classes[c] : C_VALUE;
}

static bool all_of(struct fg_slice s, enum char_class wanted)
{
    for (size_t i = 0; i < s.len; i++)
        if (!(class_of((unsigned char)s.ptr[i]) & wanted))
            return false;
    return true;
}

bool fg_head_is_token(struct fg_slice s)
{
    return s.len > 0 && all_of(s, C_TOKEN);
}

bool fg_head_is_value(struct fg_slice s)
{
    return all_of(s, C_VALUE);
}

bool fg_head_init(struct fg_head *head, const struct fg_head_limits *limits)
{
    *head = (struct fg_head){.fields = calloc(limits->fields_max, sizeof(*head->fields)),
                             .fields_room = limits->fields_max};
    return head->fields != NULL;
}

void fg_head_deinit(struct fg_head *head)
{
    free(head->fields);
    *head = (struct fg_head){0};
}

void fg_head_reset(struct fg_head *head)
{
    *head = (struct fg_head){.fields = head->fields, .fields_room = head->fields_room};
}

static int refuse(struct fg_head *head, int status, const char *why)
{
    head->status = status;
    head->why = why;
    return FG_HEAD_REFUSED;
}

static int check_request_line(struct fg_head *head, const struct fg_head_limits *limits, struct fg_slice line)
{
    struct fg_slice method, target, rest, version;

    if (!fg_slice_cut(line, ' ', &method, &rest) || !fg_slice_cut(rest, ' ', &target, &version))
        return refuse(head, 400, "the request line is not METHOD TARGET VERSION");
    if (method.len > METHOD_MAX || !fg_head_is_token(method))
        return refuse(head, 400, "the method has characters that a method cannot have");
    if (target.len > limits->target_max)
        return refuse(head, 414, "the request target is too long");
    if (target.len == 0 || !all_of(target, C_TARGET))
        return refuse(head, 400, "the request target has characters that it cannot have");
    if (!fg_slice_is(version, "HTTP/1.1") && !fg_slice_is(version, "HTTP/1.0"))
        return refuse(head, 400, "the version is neither HTTP/1.0 nor HTTP/1.1");
    if (fg_slice_is(method, "CONNECT"))
        return refuse(head, 501, "this server is no proxy");
    head->method_len = (uint32_t)method.len;
    head->target = (uint32_t)(method.len + 1);
    head->target_len = (uint32_t)target.len;
    head->minor = version.ptr[7] == '1' ? 1 : 0;
    return FG_HEAD_WHOLE;
}

static int note_length(struct fg_head *head, struct fg_slice value)
{
    uint64_t n = 0;

    if (head->has_length)
        return refuse(head, 400, "Content-Length stands there twice");
    if (value.len == 0 || value.len > LENGTH_DIGITS_MAX)
        return refuse(head, 400, "Content-Length is not a length");
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9')
            return refuse(head, 400, "Content-Length is not a length");
        n = n * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    head->has_length = true;
    head->content_length = n;
    return FG_HEAD_WHOLE;
}

/* The few fields that decide where a message ends and whom it is for. */
static int note_field(struct fg_head *head, struct fg_slice name, struct fg_slice value)
{
    switch (name.len) {
    case 4:
        if (strncasecmp(name.ptr, "host", 4) != 0)
            break;
        if (head->n_hosts++ > 0)
            return refuse(head, 400, "Host stands there twice");
        if (!all_of(value, C_HOST))
            return refuse(head, 400, "Host has characters that a host cannot have");
        break;
    case 6:
        if (strncasecmp(name.ptr, "expect", 6) != 0)
            break;
        head->expect_continue = !head->has_expect && fg_slice_ieq(value, fg_slice_of("100-continue"));
        head->has_expect = true;
        break;
    case 14:
        if (strncasecmp(name.ptr, "content-length", 14) == 0)
            return note_length(head, value);
        break;
    case 17:
        if (strncasecmp(name.ptr, "transfer-encoding", 17) != 0)
            break;
        if (head->chunked)
            return refuse(head, 400, "Transfer-Encoding stands there twice");
        if (!fg_slice_ieq(value, fg_slice_of("chunked")))
            return refuse(head, 501, "the only Transfer-Encoding known is chunked");
        head->chunked = true;
        break;
    default: break;
    }
    return FG_HEAD_WHOLE;
}

/* For one field more, where the limits were raised since; false: no memory. */
static bool reach(struct fg_head *head, size_t fields_max)
{
    struct fg_head_field *more;

    if (head->n_fields < head->fields_room)
        return true;
    more = reallocarray(head->fields, fields_max, sizeof(*more));
    if (!more)
        return false;
    head->fields = more;
    head->fields_room = fields_max;
    return true;
}

static int check_field(struct fg_head *head, const struct fg_head_limits *limits, struct fg_slice line)
{
    struct fg_slice name, value;
    struct fg_head_field *f;

    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return refuse(head, 400, "a header field is folded over two lines");
    if (!fg_slice_cut(line, ':', &name, &value))
        return refuse(head, 400, "a header field has no colon");
    if (!fg_head_is_token(name))
        return refuse(head, 400,
                      "a header field's name has characters (or a space before the colon) that it cannot have");
    while (value.len > 0 && (value.ptr[0] == ' ' || value.ptr[0] == '\t'))
        value = fg_slice_make(value.ptr + 1, value.len - 1);
    while (value.len > 0 && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
        value.len--;
    if (!fg_head_is_value(value))
        return refuse(head, 400, "a header field's value has control characters");
    if (head->n_fields >= limits->fields_max)
        return refuse(head, 431, "there are too many header fields");
    if (!reach(head, limits->fields_max))
        return refuse(head, 503, "there is no memory for the header fields");
    f = &head->fields[head->n_fields++];
    f->name = (uint32_t)head->line;
    f->name_len = (uint32_t)name.len;
    f->value = (uint32_t)(head->line + (size_t)(value.ptr - line.ptr));
    f->value_len = (uint32_t)value.len;
    return note_field(head, name, value);
}

static int check_whole(struct fg_head *head)
{
    if (head->minor == 1 && head->n_hosts == 0)
        return refuse(head, 400, "Host is missing");
    if (head->chunked && head->has_length)
        return refuse(head, 400, "both Transfer-Encoding and Content-Length are there");
    if (head->chunked && head->minor == 0)
        return refuse(head, 400, "HTTP/1.0 has no Transfer-Encoding");
    return FG_HEAD_WHOLE;
}

/* The line without its CRLF. *ret_end: the head ended with it. */
static int check_line(struct fg_head *head, const struct fg_head_limits *limits, struct fg_slice line, bool *ret_end)
{
    if (line.len == 0 || line.ptr[line.len - 1] != '\r')
        return refuse(head, 400, "a line ends with LF alone");
    line.len--;
    if (head->line == 0)
        return check_request_line(head, limits, line);
    if (line.len == 0) {
        *ret_end = true;
        return check_whole(head);
    }
    return check_field(head, limits, line);
}

static int check_unfinished(struct fg_head *head, const struct fg_head_limits *limits, size_t have)
{
    if (head->line == 0 && have > limits->target_max + REQUEST_LINE_SLACK)
        return refuse(head, 414, "the request target is too long");
    if (have > limits->bytes_max)
        return refuse(head, 431, "the header is too large");
    head->scanned = have;
    return FG_HEAD_MORE;
}

int fg_head_check(struct fg_head *head, const struct fg_head_limits *limits, struct fg_slice bytes)
{
    bool end = false;

    while (!end) {
        size_t from = head->scanned;
        const char *lf = from < bytes.len ? memchr(bytes.ptr + from, '\n', bytes.len - from) : NULL;
        size_t next;
        int r;

        if (!lf)
            return check_unfinished(head, limits, bytes.len);
        next = (size_t)(lf - bytes.ptr) + 1;
        if (next > limits->bytes_max)
            return refuse(head, 431, "the header is too large");
        r = check_line(head, limits, fg_slice_make(bytes.ptr + head->line, next - 1 - head->line), &end);
        if (r != FG_HEAD_WHOLE)
            return r;
        head->line = head->scanned = next;
    }
    head->len = head->line;
    return FG_HEAD_WHOLE;
}

struct fg_slice fg_head_find(const struct fg_head *head, const char *bytes, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < head->n_fields; i++) {
        const struct fg_head_field *f = &head->fields[i];

        if (f->name_len == len && strncasecmp(bytes + f->name, name, len) == 0)
            return fg_slice_make(bytes + f->value, f->value_len);
    }
    return FG_SLICE_NULL;
}

size_t fg_head_count(const struct fg_head *head, const char *bytes, const char *name)
{
    size_t len = strlen(name), n = 0;

    for (size_t i = 0; i < head->n_fields; i++) {
        const struct fg_head_field *f = &head->fields[i];

        n += f->name_len == len && strncasecmp(bytes + f->name, name, len) == 0;
    }
    return n;
}
