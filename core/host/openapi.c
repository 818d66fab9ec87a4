/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAPI 3.1, made from what the mounted routes declare and nothing else. */
#include "host/openapi.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/mem.h"

#define ROUTES_MAX 512u

struct routes {
    const struct fg_route *items[ROUTES_MAX];
    size_t n;
};

static void collect(void *arg, const struct fg_route *route)
{
    struct routes *routes = arg;

    if (routes->n < ROUTES_MAX)
        routes->items[routes->n++] = route;
}

static int compare(const void *a, const void *b)
{
    const struct fg_route *x = *(const struct fg_route *const *)a, *y = *(const struct fg_route *const *)b;
    int by_path = strcmp(x->path, y->path);

    return by_path ? by_path : strcmp(x->method, y->method);
}

/* "/v1/x/{rest...}" -> "/v1/x/{rest}" */
static void write_path_key(struct fg_json_writer *w, const char *path)
{
    char key[256];
    size_t n = 0;

    for (const char *c = path; *c && n < sizeof(key) - 1; c++) {
        if (strncmp(c, "...}", 4) == 0)
            c += 3;
        key[n++] = *c;
    }
    key[n] = '\0';
    fg_json_key(w, key);
}

static void write_parameters(struct fg_json_writer *w, const char *path)
{
    if (!strchr(path, '{'))
        return;
    fg_json_key(w, "parameters");
    fg_json_array(w);
    for (const char *c = strchr(path, '{'); c; c = strchr(c + 1, '{')) {
        struct fg_slice name = { c + 1, strcspn(c + 1, ".}") };
        fg_json_object(w);
        fg_json_kv_string(w, "name", name);
        fg_json_kv_cstr(w, "in", "path");
        fg_json_kv_bool(w, "required", true);
        fg_json_key(w, "schema");
        fg_json_raw(w, (struct fg_slice)FG_SLICE("{\"type\":\"string\"}"));
        fg_json_object_end(w);
    }
    fg_json_array_end(w);
}

static void write_content(struct fg_json_writer *w, const char *schema)
{
    fg_json_key(w, "content");
    fg_json_object(w);
    fg_json_key(w, "application/json");
    fg_json_object(w);
    fg_json_key(w, "schema");
    fg_json_raw(w, fg_slice_of(schema));
    fg_json_object_end(w);
    fg_json_object_end(w);
}

static void write_responses(struct fg_json_writer *w, const struct fg_route *route)
{
    fg_json_key(w, "responses");
    fg_json_object(w);
    fg_json_key(w, "200");
    fg_json_object(w);
    fg_json_kv_cstr(w, "description", "done");
    if (route->response_schema)
        write_content(w, route->response_schema);
    fg_json_object_end(w);
    fg_json_key(w, "default");
    fg_json_raw(w, (struct fg_slice)FG_SLICE("{\"description\":\"what went wrong, as RFC 9457\",\"content\":{"
                                             "\"application/problem+json\":{\"schema\":{\"type\":\"object\"}}}}"));
    fg_json_object_end(w);
}

static void write_operation(struct fg_json_writer *w, const struct fg_route *route)
{
    char method[16];
    size_t n = 0;

    for (; route->method[n] && n < sizeof(method) - 1; n++)
        method[n] = (char)tolower((unsigned char)route->method[n]);
    method[n] = '\0';
    fg_json_key(w, method);
    fg_json_object(w);
    fg_json_kv_cstr(w, "summary", route->summary);
    write_parameters(w, route->path);
    if (route->request_schema) {
        fg_json_key(w, "requestBody");
        fg_json_object(w);
        fg_json_kv_bool(w, "required", true);
        write_content(w, route->request_schema);
        fg_json_object_end(w);
    }
    write_responses(w, route);
    fg_json_key(w, "security");
    if (route->scope == FG_SCOPE_OPEN)
        fg_json_raw(w, (struct fg_slice)FG_SLICE("[]"));
    else if (route->scope == FG_SCOPE_READ)
        fg_json_raw(w, (struct fg_slice)FG_SLICE("[{\"token\":[\"read\"]}]"));
    else
        fg_json_raw(w, (struct fg_slice)FG_SLICE("[{\"token\":[\"control\"]}]"));
    fg_json_object_end(w);
}

static void write_paths(struct fg_json_writer *w, const struct routes *routes)
{
    fg_json_key(w, "paths");
    fg_json_object(w);
    for (size_t i = 0; i < routes->n; i++) {
        bool first = i == 0 || strcmp(routes->items[i - 1]->path, routes->items[i]->path) != 0;
        bool last = i + 1 == routes->n || strcmp(routes->items[i + 1]->path, routes->items[i]->path) != 0;
        if (first) {
            write_path_key(w, routes->items[i]->path);
            fg_json_object(w);
        }
        write_operation(w, routes->items[i]);
        if (last)
            fg_json_object_end(w);
    }
    fg_json_object_end(w);
}

void fg_openapi_write(struct fg_json_writer *w, const struct fg_http_server *server)
{
    struct routes *routes = fg_calloc(1, sizeof(*routes));

    fg_http_server_routes(server, collect, routes);
    qsort(routes->items, routes->n, sizeof(routes->items[0]), compare);
    fg_json_object(w);
    fg_json_kv_cstr(w, "openapi", "3.1.0");
    fg_json_key(w, "info");
    fg_json_object(w);
    fg_json_kv_cstr(w, "title", "fragua");
    fg_json_kv_cstr(w, "version", FG_VERSION);
    fg_json_object_end(w);
    write_paths(w, routes);
    fg_json_key(w, "components");
    fg_json_raw(w, (struct fg_slice)FG_SLICE("{\"securitySchemes\":{\"token\":{\"type\":\"http\","
                                             "\"scheme\":\"bearer\"}}}"));
    fg_json_object_end(w);
    free(routes);
}
