/* SPDX-License-Identifier: Apache-2.0 */
/* The parser by llhttp 9, as Debian 13 has it, in its strict default. */
#include "net/parser.h"

#include <llhttp.h>
#include <stdlib.h>

struct fg_parser {
    llhttp_t http;
    llhttp_settings_t settings; /* llhttp keeps a pointer to it that is not const */
    fg_parser_body_cb body;
    void *arg; /* borrowed */
    bool keep_alive;
    bool whole;
};

static int on_headers_complete(llhttp_t *http)
{
    struct fg_parser *parser = http->data;

    parser->keep_alive = llhttp_should_keep_alive(http) != 0;
    /* We never switch protocols. Left set, the parser would stop after a head that offers to, and skip its body. */
    http->upgrade = 0;
    return 0;
}

static int on_body(llhttp_t *http, const char *at, size_t length)
{
    struct fg_parser *parser = http->data;

    parser->body(parser->arg, fg_slice_make(at, length));
    return 0;
}

static int on_message_complete(llhttp_t *http)
{
    struct fg_parser *parser = http->data;

    parser->whole = true;
    return HPE_PAUSED; /* so that a byte behind the message shows as one not taken */
}

struct fg_parser *fg_parser_new(fg_parser_body_cb body, void *arg)
{
    struct fg_parser *parser = calloc(1, sizeof(*parser));

    if (!parser)
        return NULL;
    parser->body = body;
    parser->arg = arg;
    llhttp_settings_init(&parser->settings);
    parser->settings.on_headers_complete = on_headers_complete;
    parser->settings.on_body = on_body;
    parser->settings.on_message_complete = on_message_complete;
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
    llhttp_init(&parser->http, HTTP_REQUEST, &parser->settings);
    parser->http.data = parser;
    parser->keep_alive = false;
    parser->whole = false;
}

int fg_parser_feed(struct fg_parser *parser, struct fg_slice bytes)
{
    llhttp_errno_t e;

    if (parser->whole)
        return bytes.len == 0 ? FG_PARSER_WHOLE : FG_PARSER_REFUSED;
    e = llhttp_execute(&parser->http, bytes.ptr, bytes.len);
    if (e == HPE_INVALID_METHOD)
        return FG_PARSER_UNKNOWN_METHOD;
    /* paused: llhttp stands behind the last byte it took */
    if (e == HPE_PAUSED && parser->whole)
        return llhttp_get_error_pos(&parser->http) == bytes.ptr + bytes.len ? FG_PARSER_WHOLE : FG_PARSER_REFUSED;
    return e == HPE_OK ? FG_PARSER_MORE : FG_PARSER_REFUSED;
}

bool fg_parser_keep_alive(const struct fg_parser *parser)
{
    return parser->keep_alive;
}

const char *fg_parser_why(const struct fg_parser *parser)
{
    return llhttp_errno_name(llhttp_get_errno(&parser->http));
}
