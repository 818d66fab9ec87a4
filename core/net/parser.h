/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/1 request parser, whichever library it comes from: http_parser (Debian 12) or llhttp (Debian 13).
 *
 * It sees one message at a time and nothing behind it: head-check.h and chunk-check.h have found its end. What they and
 * the parser do not agree on is refused, so a request passes two readers or none.
 */
#pragma once

#include <stdbool.h>

#include "fragua/slice.h"

struct fg_parser;

/* @bytes: decoded body, borrowed for the call. Never after a failure. */
typedef void (*fg_parser_body_cb)(void *arg, struct fg_slice bytes);

enum fg_parser_result {
    FG_PARSER_MORE = 0,
    FG_PARSER_WHOLE = 1,   /* the message ended with the last byte fed */
    FG_PARSER_REFUSED = 2, /* why() says more */
    FG_PARSER_UNKNOWN_METHOD = 3,
};

struct fg_parser *fg_parser_new(fg_parser_body_cb body, void *arg); /* NULL: no memory */
struct fg_parser *fg_parser_free(struct fg_parser *parser);
void fg_parser_reset(struct fg_parser *parser); /* a new message begins */
int fg_parser_feed(struct fg_parser *parser, struct fg_slice bytes);
/* Once the head was fed: whether the client allows another message on this connection. */
bool fg_parser_keep_alive(const struct fg_parser *parser);
const char *fg_parser_why(const struct fg_parser *parser); /* static text */
