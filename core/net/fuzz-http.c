/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what a connection does with bytes, without its socket: head check, parser, chunk check, target, router, query.
 *
 * The first byte picks the piece size. The input is read twice, whole and in pieces, and must come out the same: where
 * a packet ends must never change what a request means.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "net/reader.h"
#include "net/router.h"

#define BODY_MAX 4096

struct outcome {
    uint64_t hash;
    unsigned n_whole;
    bool refused;
};

static const struct fg_head_limits limits = {2048, 16, 512};

static const struct fg_route routes[] = {
    {.method = "GET", .path = "/"},
    {.method = "GET", .path = "/v1/{name}"},
    {.method = "POST", .path = "/v1/{name}/start"},
    {.method = "GET", .path = "/files/{rest...}"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mix(struct outcome *out, struct fg_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        out->hash = (out->hash ^ (unsigned char)s.ptr[i]) * 1099511628211u;
    out->hash = (out->hash ^ s.len) * 1099511628211u;
}

static void route(struct fg_reader *reader, const struct fg_router *router, struct outcome *out)
{
    struct fg_message *msg = reader->msg;
    const struct fg_router_entry *entry;
    struct fg_target target;
    const char *why;
    char *query;

    mix(out, fg_slice_make(msg->bytes.data, msg->head.method_len));
    mix(out, fg_head_find(&msg->head, msg->bytes.data, "Authorization"));
    if (!fg_target_parse(&target, msg->bytes.data + msg->head.target, msg->head.target_len, &why))
        return;
    fg_assert(!memchr(target.path.ptr, '\0', target.path.len));
    mix(out, target.path);
    entry = fg_router_find(router, &target, fg_slice_make(msg->bytes.data, msg->head.method_len));
    if (entry) {
        mix(out, fg_router_param(entry, &target, "name"));
        mix(out, fg_router_param(entry, &target, "rest"));
    }
    query = fg_query_decode(target.query_raw);
    fg_assert(query);
    mix(out, fg_query_find(query, "a"));
    free(query);
}

/* false: the connection would be closed. */
static bool step_all(struct fg_reader *reader, const struct fg_router *router, struct outcome *out)
{
    for (;;) {
        switch (fg_reader_step(reader)) {
        case FG_READER_MORE: return true;
        case FG_READER_HEAD:
            reader->body_max = BODY_MAX;
            route(reader, router, out);
            break;
        case FG_READER_WHOLE:
            fg_assert(reader->msg->body.len <= BODY_MAX);
            mix(out, fg_buf_slice(&reader->msg->body));
            out->n_whole++;
            if (!reader->keep_alive)
                return false;
            fg_reader_next(reader);
            break;
        case FG_READER_REFUSED:
        default:
            fg_assert(reader->status >= 400);
            fg_assert(reader->why);
            out->refused = true;
            return false;
        }
    }
}

static struct outcome run(const struct fg_router *router, const uint8_t *data, size_t size, size_t piece)
{
    struct outcome out = {.hash = 14695981039346656037u};
    struct fg_reader reader;

    fg_assert(fg_reader_init(&reader, &limits));
    for (size_t at = 0; at < size; at += piece) {
        size_t n = size - at < piece ? size - at : piece;

        fg_assert(fg_reader_push(&reader, fg_slice_make(data + at, n)));
        if (!step_all(&reader, router, &out))
            break;
    }
    fg_reader_deinit(&reader);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fg_router router = FG_ROUTER_INIT;
    struct fg_error err = FG_ERROR_NULL;
    struct outcome whole, pieces;

    if (size < 2 || size > FG_READER_PUSH_MAX)
        return 0;
    fg_assert(fg_router_add(&router, routes, sizeof(routes) / sizeof(routes[0]), NULL, &err) == 0);
    whole = run(&router, data + 1, size - 1, size);
    pieces = run(&router, data + 1, size - 1, (size_t)(data[0] % 64) + 1);
    fg_assert(whole.refused == pieces.refused);
    fg_assert(whole.n_whole == pieces.n_whole);
    fg_assert(whole.refused || whole.hash == pieces.hash);
    fg_router_deinit(&router);
    return 0;
}
