/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenAPI document: one operation for each route that is mounted, with what the route declares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "base/buf.h"
#include "host/openapi.h"

static void handle(void *self, struct fg_exchange *x)
{
    fail_msg("nobody asks for anything here");
}

static const struct fg_route routes[] = {
    { "GET", "/v1/things", FG_SCOPE_READ, "Lists things", NULL, "{\"type\":\"array\"}", handle, 0 },
    { "POST", "/v1/things", FG_SCOPE_CONTROL, "Makes a thing", "{\"type\":\"object\"}", NULL, handle, 0 },
    { "DELETE", "/v1/things/{thing}/parts/{part}", FG_SCOPE_CONTROL, "Takes a part away", NULL, NULL, handle, 0 },
    { "GET", "/files/{path...}", FG_SCOPE_OPEN, "Reads \"a file\"", NULL, NULL, handle, 0 },
};

struct bed {
    uv_loop_t loop;
    struct fg_http_server *server;
    struct fg_http_mount *mount;
    cJSON *doc;
};

static int setup(void **state)
{
    static struct bed bed;
    struct fg_http_server_config config = { .loop = &bed.loop, .listen = "127.0.0.1:0" };
    struct fg_buf buf = FG_BUF_INIT(1 << 20);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    int r;

    assert_int_equal(uv_loop_init(&bed.loop), 0);
    assert_int_equal(fg_http_server_new(&config, &bed.server, NULL), 0);
    r = fg_http_server_mount(bed.server, routes, sizeof(routes) / sizeof(routes[0]), NULL, &bed.mount, NULL);
    assert_int_equal(r, 0);
    fg_openapi_write(&w, bed.server);
    bed.doc = cJSON_ParseWithLength(buf.data, buf.len);
    fg_buf_deinit(&buf);
    *state = &bed;
    return bed.doc ? 0 : -1;
}

static int teardown(void **state)
{
    struct bed *bed = *state;

    cJSON_Delete(bed->doc);
    fg_http_server_unmount(bed->mount);
    fg_http_server_close(bed->server, 0, NULL, NULL);
    (void)uv_run(&bed->loop, UV_RUN_DEFAULT);
    return uv_loop_close(&bed->loop);
}

static cJSON *member(cJSON *of, const char *name)
{
    cJSON *found = cJSON_GetObjectItemCaseSensitive(of, name);

    if (!found)
        fail_msg("there is no \"%s\"", name);
    return found;
}

static cJSON *operation(struct bed *bed, const char *path, const char *method)
{
    return member(member(member(bed->doc, "paths"), path), method);
}

static void the_document_says_what_it_is(void **state)
{
    struct bed *bed = *state;

    assert_string_equal(member(bed->doc, "openapi")->valuestring, "3.1.0");
    assert_string_equal(member(member(bed->doc, "info"), "version")->valuestring, FG_VERSION);
    (void)member(member(member(bed->doc, "components"), "securitySchemes"), "token");
}

static void each_route_is_there_once(void **state)
{
    struct bed *bed = *state;

    assert_int_equal(cJSON_GetArraySize(member(bed->doc, "paths")), 3);
    assert_int_equal(cJSON_GetArraySize(member(member(bed->doc, "paths"), "/v1/things")), 2);
    assert_string_equal(member(operation(bed, "/v1/things", "get"), "summary")->valuestring, "Lists things");
    assert_string_equal(member(operation(bed, "/files/{path}", "get"), "summary")->valuestring, "Reads \"a file\"");
}

static void parameters_are_those_of_the_path(void **state)
{
    cJSON *parameters = member(operation(*state, "/v1/things/{thing}/parts/{part}", "delete"), "parameters");

    assert_int_equal(cJSON_GetArraySize(parameters), 2);
    assert_string_equal(member(cJSON_GetArrayItem(parameters, 0), "name")->valuestring, "thing");
    assert_string_equal(member(cJSON_GetArrayItem(parameters, 1), "name")->valuestring, "part");
    assert_true(cJSON_IsTrue(member(cJSON_GetArrayItem(parameters, 1), "required")));
    assert_null(cJSON_GetObjectItemCaseSensitive(operation(*state, "/v1/things", "get"), "parameters"));
}

static void schemas_and_scopes_are_the_routes(void **state)
{
    cJSON *get = operation(*state, "/v1/things", "get"), *post = operation(*state, "/v1/things", "post");
    cJSON *content = member(member(member(member(get, "responses"), "200"), "content"), "application/json");
    cJSON *body = member(member(member(post, "requestBody"), "content"), "application/json");
    cJSON *scopes;

    assert_string_equal(member(member(content, "schema"), "type")->valuestring, "array");
    assert_string_equal(member(member(body, "schema"), "type")->valuestring, "object");
    scopes = member(cJSON_GetArrayItem(member(get, "security"), 0), "token");
    assert_string_equal(cJSON_GetArrayItem(scopes, 0)->valuestring, "read");
    scopes = member(cJSON_GetArrayItem(member(post, "security"), 0), "token");
    assert_string_equal(cJSON_GetArrayItem(scopes, 0)->valuestring, "control");
    assert_int_equal(cJSON_GetArraySize(member(operation(*state, "/files/{path}", "get"), "security")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_document_says_what_it_is),
        cmocka_unit_test(each_route_is_there_once),
        cmocka_unit_test(parameters_are_those_of_the_path),
        cmocka_unit_test(schemas_and_scopes_are_the_routes),
    };

    return cmocka_run_group_tests_name("host openapi", tests, setup, teardown);
}
