/* SPDX-License-Identifier: Apache-2.0 */
/* Which route a request is for. Literal segments win over {parameters}, and these over {rest...}, from left to right.
 */
#pragma once

#include "base/buf.h"
#include "fragua/http.h"
#include "net/target.h"

#define FG_ROUTE_SEGMENTS_MAX 16 /* < FG_TARGET_SEGMENTS_MAX */

struct fg_http_mount;

struct fg_router_segment {
    enum { FG_SEGMENT_LITERAL, FG_SEGMENT_PARAM, FG_SEGMENT_REST } kind; /* in the order of who wins */
    struct fg_slice text; /* the literal, or the parameter's name; in route->path */
};

struct fg_router_entry {
    const struct fg_route *route; /* borrowed */
    struct fg_http_mount *mount;  /* borrowed */
    struct fg_router_entry *next; /* of a list made by fg_router_take() */
    size_t n_segments;
    struct fg_router_segment segments[FG_ROUTE_SEGMENTS_MAX];
};

struct fg_router {
    struct fg_router_entry **entries; /* owned: array of n, the more specific first */
    size_t n, cap;
};

#define FG_ROUTER_INIT ((struct fg_router){0})

void fg_router_deinit(struct fg_router *router);
/* All of them or none. -FG_E_CONFIG: a bad path or a route that is there already, named. */
int fg_router_add(struct fg_router *router, const struct fg_route *routes, size_t n, struct fg_http_mount *mount,
                  struct fg_error *err);
void fg_router_remove(struct fg_router *router, const struct fg_http_mount *mount);
/* Out of the router, but kept for requests that go on: a list, now the caller's. NULL: none. */
struct fg_router_entry *fg_router_take(struct fg_router *router, const struct fg_http_mount *mount);
void fg_router_free(struct fg_router_entry *entries); /* of such a list; NULL allowed */
/* NULL: none. HEAD is served by a GET route where there is no HEAD route. */
const struct fg_router_entry *fg_router_find(const struct fg_router *router, const struct fg_target *target,
                                             struct fg_slice method);
/* Writes "GET, HEAD, POST", the methods of this path; false: the path is not known at all. */
bool fg_router_allow(const struct fg_router *router, const struct fg_target *target, struct fg_buf *out);
/* A parameter's value in a target that this entry matched; empty with ptr NULL: no such parameter. */
struct fg_slice fg_router_param(const struct fg_router_entry *entry, const struct fg_target *target, const char *name);
