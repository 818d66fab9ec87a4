/* SPDX-License-Identifier: Apache-2.0 */
/* Routes, targets and queries without a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include <cmocka.h>

#include "net/router.h"

struct fg_http_mount {
    int unused;
};

static struct fg_http_mount first, second;

static const struct fg_route routes[] = {
    {.method = "GET", .path = "/{any}"},      {.method = "GET", .path = "/files/{rest...}"},
    {.method = "GET", .path = "/v1/{name}"},  {.method = "GET", .path = "/v1/status"},
    {.method = "POST", .path = "/v1/status"}, {.method = "GET", .path = "/v1/{name}/log"},
    {.method = "PUT", .path = "/v1/{id}"},    {.method = "GET", .path = "/"},
    {.method = "GET", .path = "/files/top"},
};

static const char *find(const struct fg_router *router, const char *method, const char *text, struct fg_target *target)
{
    static char copy[256];
    const struct fg_router_entry *entry;
    const char *why;

    (void)snprintf(copy, sizeof(copy), "%s", text);
    if (!fg_target_parse(target, copy, strlen(copy), &why))
        return why;
    entry = fg_router_find(router, target, fg_slice_of(method));
    return entry ? entry->route->path : "none";
}

static void add_all(struct fg_router *router)
{
    struct fg_error err = FG_ERROR_NULL;

    *router = FG_ROUTER_INIT;
    assert_int_equal(fg_router_add(router, routes, sizeof(routes) / sizeof(routes[0]), &first, &err), 0);
}

static void literals_win_over_parameters_over_the_rest(void **state)
{
    struct fg_router router;
    struct fg_target t;

    add_all(&router);
    assert_string_equal(find(&router, "GET", "/", &t), "/");
    assert_string_equal(find(&router, "GET", "/v1", &t), "/{any}");
    assert_string_equal(find(&router, "GET", "/v1/status", &t), "/v1/status");
    assert_string_equal(find(&router, "GET", "/v1/st%61tus?x", &t), "/v1/status");
    assert_string_equal(find(&router, "GET", "/v1/other", &t), "/v1/{name}");
    assert_string_equal(find(&router, "GET", "/v1/status/log", &t), "/v1/{name}/log");
    assert_string_equal(find(&router, "GET", "/v1/", &t), "none");
    assert_string_equal(find(&router, "GET", "/v1/a/b/c", &t), "none");
    assert_string_equal(find(&router, "GET", "/files/top", &t), "/files/top");
    assert_string_equal(find(&router, "GET", "/files/top/more", &t), "/files/{rest...}");
    assert_string_equal(find(&router, "GET", "/files/", &t), "/files/{rest...}");
    fg_router_deinit(&router);
}

static void methods_are_matched_and_listed(void **state)
{
    struct fg_router router;
    struct fg_target t;
    struct fg_buf allow = FG_BUF_INIT(100);

    add_all(&router);
    assert_string_equal(find(&router, "POST", "/v1/status", &t), "/v1/status");
    assert_string_equal(find(&router, "PUT", "/v1/status", &t), "/v1/{id}");
    assert_string_equal(find(&router, "HEAD", "/v1/status", &t), "/v1/status");
    assert_string_equal(find(&router, "HEAD", "/v1/x", &t), "/v1/{name}");
    assert_string_equal(find(&router, "DELETE", "/v1/status", &t), "none");
    assert_true(fg_router_allow(&router, &t, &allow));
    assert_true(fg_slice_is(fg_buf_slice(&allow), "GET, HEAD, POST, PUT"));
    fg_buf_clear(&allow);
    assert_string_equal(find(&router, "GET", "/no/such/path", &t), "none");
    assert_false(fg_router_allow(&router, &t, &allow));
    fg_buf_deinit(&allow);
    fg_router_deinit(&router);
}

static void parameters_are_decoded(void **state)
{
    struct fg_router router;
    struct fg_target t;
    const struct fg_router_entry *entry;

    add_all(&router);
    (void)find(&router, "GET", "/v1/a%2Fb%3F/log", &t);
    entry = fg_router_find(&router, &t, fg_slice_of("GET"));
    assert_non_null(entry);
    assert_true(fg_slice_is(fg_router_param(entry, &t, "name"), "a/b?"));
    assert_null(fg_router_param(entry, &t, "nobody").ptr);
    (void)find(&router, "GET", "/files/a%20b//c?q", &t);
    entry = fg_router_find(&router, &t, fg_slice_of("GET"));
    assert_non_null(entry);
    assert_true(fg_slice_is(fg_router_param(entry, &t, "rest"), "a b//c"));
    assert_true(fg_slice_is(t.query_raw, "q"));
    fg_router_deinit(&router);
}

static void bad_targets_are_refused(void **state)
{
    static const char *const bad[] = {
        "",      "*",     "x",         "/%",          "/%4",     "/a%zz",    "/%00",      "/?a=%00",      "/?a=%g0",
        "/./a",  "/a/..", "/%2e%2E/a", "/a%2f..%2fb", "http://", "http://a", "http:///a", "http://a?b/c", "ftp://a/b",
        "/a/%2E"};
    struct fg_target t;
    const char *why = NULL;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char copy[64];

        (void)snprintf(copy, sizeof(copy), "%s", bad[i]);
        if (fg_target_parse(&t, copy, strlen(copy), &why))
            fail_msg("\"%s\" was taken", bad[i]);
        assert_non_null(why);
    }
}

static void deep_paths_match_only_the_rest(void **state)
{
    struct fg_router router;
    struct fg_target t;
    char text[200] = "/files";

    add_all(&router);
    for (size_t i = 0; i < 60; i++)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "/x");
    assert_string_equal(find(&router, "GET", text, &t), "/files/{rest...}");
    assert_string_equal(find(&router, "GET", text + 6, &t), "none");
    fg_router_deinit(&router);
}

static void queries_are_decoded(void **state)
{
    static const struct {
        const char *query, *name, *value; /* NULL: not there */
    } samples[] = {
        {"a=1&b=2", "b", "2"},           {"a=1&a=2", "a", "1"}, {"a", "a", ""},        {"a=&b", "a", ""},
        {"a=x%20y+z%2B", "a", "x y z+"}, {"%61=1", "a", "1"},   {"&&&a=1&", "a", "1"}, {"=1&a=2", "a", "2"},
        {"a=b=c", "a", "b=c"},           {"aa=1", "a", NULL},   {"", "a", NULL},       {"=", "", NULL},
    };

    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        char *list = fg_query_decode(fg_slice_of(samples[i].query));
        struct fg_slice value;

        assert_non_null(list);
        value = fg_query_find(list, samples[i].name);
        if (samples[i].value ? !fg_slice_is(value, samples[i].value) || !value.ptr : value.ptr != NULL)
            fail_msg("\"%s\" of \"%s\" is \"%.*s\"", samples[i].name, samples[i].query, FG_SLICE_ARG(value));
        free(list);
    }
}

static void a_route_twice_is_refused_and_nothing_stays(void **state)
{
    static const struct fg_route again[] = {
        {.method = "GET", .path = "/new"},
        {.method = "GET", .path = "/v1/{other}"},
    };
    struct fg_router router;
    struct fg_target t;
    struct fg_error err = FG_ERROR_NULL;

    add_all(&router);
    assert_int_equal(fg_router_add(&router, again, 2, &second, &err), -FG_E_CONFIG);
    assert_non_null(strstr(err.text, "\"GET /v1/{other}\""));
    assert_non_null(strstr(err.text, "\"GET /v1/{name}\""));
    assert_string_equal(find(&router, "GET", "/new", &t), "/{any}");
    fg_router_remove(&router, &first);
    assert_string_equal(find(&router, "GET", "/v1/status", &t), "none");
    assert_int_equal(fg_router_add(&router, again, 2, &second, &err), 0);
    fg_router_deinit(&router);
}

static void bad_route_paths_are_named(void **state)
{
    static const char *const bad[] = {"",    "a",   "/{}",       "/{...}",
                                      "/{a", "/a}", "/{a...}/b", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fg_route route = {.method = "GET", .path = bad[i]};
        struct fg_router router = FG_ROUTER_INIT;
        struct fg_error err = FG_ERROR_NULL;

        assert_int_equal(fg_router_add(&router, &route, 1, &first, &err), -FG_E_CONFIG);
        assert_non_null(strstr(err.text, bad[i]));
        fg_router_deinit(&router);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_win_over_parameters_over_the_rest),
        cmocka_unit_test(methods_are_matched_and_listed),
        cmocka_unit_test(parameters_are_decoded),
        cmocka_unit_test(bad_targets_are_refused),
        cmocka_unit_test(deep_paths_match_only_the_rest),
        cmocka_unit_test(queries_are_decoded),
        cmocka_unit_test(a_route_twice_is_refused_and_nothing_stays),
        cmocka_unit_test(bad_route_paths_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
