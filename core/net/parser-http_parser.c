/* SPDX-License-Identifier: Apache-2.0 */
/* The parser by http_parser 2.9, as Debian 12 has it. */
#include "net/parser.h"

#include <http_parser.h>
#include <stdlib.h>

struct fg_parser {
    http_parser http;
    fg_parser_body_cb body;
    void *arg; /* borrowed */
    bool keep_alive;
    bool whole;
};

static int on_headers_complete(http_parser *http)
{
    struct fg_parser *parser = http->data;

    parser->keep_alive = http_should_keep_alive(http) != 0;
    /* We never switch protocols. Left set, the parser would stop after a head that offers to, and skip its body. */
    http->upgrade = 0;
    return 0;
}

static int on_body(http_parser *http, const char *at, size_t length)
{
    struct fg_parser *parser = http->data;

    parser->body(parser->arg, fg_slice_make(at, length));
    return 0;
}

static int on_message_complete(http_parser *http)
{
    struct fg_parser *parser = http->data;

    parser->whole = true;
    http_parser_pause(http, 1); /* so that a byte behind the message shows as one not taken */
    return 0;
}

static const http_parser_settings settings = {
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

struct fg_parser *fg_parser_new(fg_parser_body_cb body, void *arg)
{
    struct fg_parser *parser = calloc(1, sizeof(*parser));

    if (!parser)
        return NULL;
    parser->body = body;
    parser->arg = arg;
    fg_parser_reset(parser);
    return parser;
}

struct fg_parser *fg_parser_free(struct fg_parser *parser)
{
    free(parser);
    return NULL;
}

void fg_parser_reset(struct fg_parser *parser)
{
    http_parser_init(&parser->http, HTTP_REQUEST);
    parser->http.data = parser;
    parser->keep_alive = false;
    parser->whole = false;
}

int fg_parser_feed(struct fg_parser *parser, struct fg_slice bytes)
{
    size_t n = http_parser_execute(&parser->http, &settings, bytes.ptr, bytes.len);
    enum http_errno e = HTTP_PARSER_ERRNO(&parser->http);

    if (e == HPE_INVALID_METHOD)
        return FG_PARSER_UNKNOWN_METHOD;
    if ((e != HPE_OK && e != HPE_PAUSED) || n != bytes.len)
        return FG_PARSER_REFUSED;
    return parser->whole ? FG_PARSER_WHOLE : FG_PARSER_MORE;
}

bool fg_parser_keep_alive(const struct fg_parser *parser)
{
    return parser->keep_alive;
}

const char *fg_parser_why(const struct fg_parser *parser)
{
    return http_errno_description(HTTP_PARSER_ERRNO(&parser->http));
}
