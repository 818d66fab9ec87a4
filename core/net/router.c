/* SPDX-License-Identifier: Apache-2.0 */
/* The router: a sorted array, walked from the most specific route; a process has some dozens of them. */
#include "net/router.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/str.h"

void fg_router_deinit(struct fg_router *router)
{
    for (size_t i = 0; i < router->n; i++)
        free(router->entries[i]);
    free(router->entries);
    *router = FG_ROUTER_INIT;
}

static int bad_path(const struct fg_route *route, const char *why, struct fg_error *err)
{
    return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "route \"%s %s\": %s", route->method, route->path, why));
}

static int read_segment(const struct fg_route *route, struct fg_slice text, struct fg_router_segment *seg,
                        struct fg_error *err)
{
    static const struct fg_slice dots = FG_SLICE("...");

    *seg = (struct fg_router_segment){.kind = FG_SEGMENT_LITERAL, .text = text};
    if (text.len == 0 || text.ptr[0] != '{') {
        if (text.len > 0 && memchr(text.ptr, '}', text.len))
            return bad_path(route, "a segment has a '}' without '{' at its beginning", err);
        return 0;
    }
    if (text.ptr[text.len - 1] != '}')
        return bad_path(route, "a segment begins with '{' and does not end with '}'", err);
    seg->kind = FG_SEGMENT_PARAM;
    seg->text = fg_slice_sub(text, 1, text.len - 1);
    if (fg_slice_ends(seg->text, dots)) {
        seg->kind = FG_SEGMENT_REST;
        seg->text.len -= dots.len;
    }
    return seg->text.len == 0 ? bad_path(route, "a parameter has no name", err) : 0;
}

static int read_path(struct fg_router_entry *entry, struct fg_error *err)
{
    struct fg_slice left = fg_slice_of(entry->route->path), head;
    bool more = true;
    int r;

    if (left.len == 0 || left.ptr[0] != '/')
        return bad_path(entry->route, "a path begins with '/'", err);
    left = fg_slice_make(left.ptr + 1, left.len - 1);
    while (more) {
        if (entry->n_segments == FG_ROUTE_SEGMENTS_MAX)
            return bad_path(entry->route, "a path has at most 16 segments", err);
        if (entry->n_segments > 0 && entry->segments[entry->n_segments - 1].kind == FG_SEGMENT_REST)
            return bad_path(entry->route, "{...} can only be the last segment", err);
        more = fg_slice_cut(left, '/', &head, &left);
        r = read_segment(entry->route, head, &entry->segments[entry->n_segments++], err);
        if (r < 0)
            return fg_pass(r);
    }
    return 0;
}

/* Which shape is more specific: below 0 a, above 0 b; 0: they match the same paths. */
static int compare(const struct fg_router_entry *a, const struct fg_router_entry *b)
{
    for (size_t i = 0; i < a->n_segments && i < b->n_segments; i++) {
        const struct fg_router_segment *x = &a->segments[i], *y = &b->segments[i];
        size_t n = x->text.len < y->text.len ? x->text.len : y->text.len;
        int r;

        if (x->kind != y->kind)
            return (int)x->kind - (int)y->kind;
        if (x->kind != FG_SEGMENT_LITERAL)
            continue;
        r = n > 0 ? memcmp(x->text.ptr, y->text.ptr, n) : 0;
        if (r != 0)
            return r;
        if (x->text.len != y->text.len)
            return x->text.len > y->text.len ? -1 : 1;
    }
    return a->n_segments == b->n_segments ? 0 : a->n_segments > b->n_segments ? -1 : 1;
}

static int reserve(struct fg_router *router, struct fg_error *err)
{
    size_t cap = router->cap ? router->cap * 2 : 16;
    struct fg_router_entry **grown;

    if (router->n < router->cap)
        return 0;
    grown = realloc(router->entries, cap * sizeof(struct fg_router_entry *));
    if (!grown)
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "no memory for routes"));
    router->entries = grown;
    router->cap = cap;
    return 0;
}

/* Where the entry belongs, behind those of its shape. */
static int find_place(const struct fg_router *router, const struct fg_router_entry *entry, size_t *ret_at,
                      struct fg_error *err)
{
    size_t at = 0;

    for (; at < router->n; at++) {
        const struct fg_route *other = router->entries[at]->route;
        int c = compare(entry, router->entries[at]);

        if (c < 0)
            break;
        if (c == 0 && strcmp(entry->route->method, other->method) == 0)
            return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "route \"%s %s\" is there already as \"%s %s\"",
                                         entry->route->method, entry->route->path, other->method, other->path));
    }
    *ret_at = at;
    return 0;
}

static int add_one(struct fg_router *router, const struct fg_route *route, struct fg_http_mount *mount,
                   struct fg_error *err)
{
    struct fg_router_entry *entry = calloc(1, sizeof(*entry));
    size_t at = 0;
    int r;

    if (!entry)
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "no memory for routes"));
    entry->route = route;
    entry->mount = mount;
    r = read_path(entry, err);
    if (r == 0)
        r = reserve(router, err);
    if (r == 0)
        r = find_place(router, entry, &at, err);
    if (r < 0) {
        free(entry);
        return fg_pass(r);
    }
    memmove(&router->entries[at + 1], &router->entries[at], (router->n - at) * sizeof(struct fg_router_entry *));
    router->entries[at] = entry;
    router->n++;
    return 0;
}

int fg_router_add(struct fg_router *router, const struct fg_route *routes, size_t n, struct fg_http_mount *mount,
                  struct fg_error *err)
{
    for (size_t i = 0; i < n; i++) {
        int r = add_one(router, &routes[i], mount, err);

        if (r < 0) {
            fg_router_remove(router, mount);
            return fg_pass(r);
        }
    }
    return 0;
}

struct fg_router_entry *fg_router_take(struct fg_router *router, const struct fg_http_mount *mount)
{
    struct fg_router_entry *taken = NULL;
    size_t kept = 0;

    for (size_t i = 0; i < router->n; i++) {
        struct fg_router_entry *entry = router->entries[i];

        if (entry->mount != mount) {
            router->entries[kept++] = entry;
            continue;
        }
        entry->next = taken;
        taken = entry;
    }
    router->n = kept;
    return taken;
}

void fg_router_free(struct fg_router_entry *entries)
{
    while (entries) {
        struct fg_router_entry *next = entries->next;

        free(entries);
        entries = next;
    }
}

void fg_router_remove(struct fg_router *router, const struct fg_http_mount *mount)
{
    fg_router_free(fg_router_take(router, mount));
}

static bool matches(const struct fg_router_entry *entry, const struct fg_target *target)
{
    size_t n = entry->n_segments;
    bool rest = entry->segments[n - 1].kind == FG_SEGMENT_REST;

    if (rest ? target->n_segments < n : target->n_segments != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct fg_router_segment *seg = &entry->segments[i];
        struct fg_slice have = fg_target_segment(target, i);

        if (seg->kind == FG_SEGMENT_LITERAL ? !fg_slice_eq(seg->text, have)
                                            : seg->kind == FG_SEGMENT_PARAM && have.len == 0)
            return false;
    }
    return true;
}

const struct fg_router_entry *fg_router_find(const struct fg_router *router, const struct fg_target *target,
                                             struct fg_slice method)
{
    bool is_head = fg_slice_is(method, "HEAD");
    const struct fg_router_entry *get = NULL;

    for (size_t i = 0; i < router->n; i++) {
        const struct fg_router_entry *entry = router->entries[i];

        if (!matches(entry, target))
            continue;
        if (fg_slice_is(method, entry->route->method))
            return entry;
        if (is_head && !get && strcmp(entry->route->method, "GET") == 0)
            get = entry;
    }
    return get;
}

static bool listed(const struct fg_buf *out, const char *method)
{
    struct fg_slice left = fg_buf_slice(out), head;
    bool more = out->len > 0;

    while (more) {
        more = fg_slice_cut(left, ',', &head, &left);
        if (fg_slice_is(fg_slice_trim(head), method))
            return true;
    }
    return false;
}

static void list(struct fg_buf *out, const char *method)
{
    if (listed(out, method))
        return;
    fg_buf_add_str(out, out->len > 0 ? ", " : "");
    fg_buf_add_str(out, method);
}

bool fg_router_allow(const struct fg_router *router, const struct fg_target *target, struct fg_buf *out)
{
    bool any = false;

    for (size_t i = 0; i < router->n; i++) {
        const struct fg_router_entry *entry = router->entries[i];

        if (!matches(entry, target))
            continue;
        any = true;
        list(out, entry->route->method);
        if (strcmp(entry->route->method, "GET") == 0)
            list(out, "HEAD");
    }
    return any;
}

struct fg_slice fg_router_param(const struct fg_router_entry *entry, const struct fg_target *target, const char *name)
{
    for (size_t i = 0; i < entry->n_segments; i++) {
        const struct fg_router_segment *seg = &entry->segments[i];

        if (seg->kind == FG_SEGMENT_LITERAL || !fg_slice_is(seg->text, name))
            continue;
        return seg->kind == FG_SEGMENT_REST ? fg_target_rest(target, i) : fg_target_segment(target, i);
    }
    return FG_SLICE_NULL;
}
