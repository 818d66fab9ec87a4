/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the route: answers at once and from a worker, refusals, clients that leave, and the stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include <fragua/kit/json.h>

#include <fake-host.h>

extern const struct fg_plugin fragua_plugin;

struct bed {
    struct fake_host *fake;
    void *self;
};

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    bed->fake = fake_host_new();
    assert_int_equal(fragua_plugin.open(&bed->fake->host, NULL, &bed->self, NULL), 0);
    *state = bed;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;

    fragua_plugin.close(bed->self);
    fake_host_free(bed->fake);
    free(bed);
    return 0;
}

static void ask(struct bed *bed, struct fg_exchange *x)
{
    fragua_plugin.control->routes[0].handle(bed->self, x);
}

static void expect(struct bed *bed, const char *body, int status, const char *answer)
{
    struct fg_exchange *x = fake_exchange_new("POST", "/entities/v1/recognise", NULL, body);

    ask(bed, x);
    assert_int_equal(x->status, status);
    if (answer)
        assert_string_equal(x->answer.data, answer);
    fake_exchange_free(x);
}

static void a_text_is_answered_with_its_entities(void **state)
{
    expect(*state, "{\"text\":\"\\u00bfPO-2026-1? \\ud83d\\ude00 12 \\u20ac\",\"language\":\"es\"}", 200,
           "{\"entities\":[{\"type\":\"ID\",\"text\":\"PO-2026-1\",\"start\":1,\"end\":10},"
           "{\"type\":\"MONEY\",\"text\":\"12 \xe2\x82\xac\",\"start\":14,\"end\":18,\"normalized\":\"12 EUR\"}],"
           "\"model\":\"fragua-rules-1\"}");
    expect(*state, "{\"text\":\"\"}", 200, "{\"entities\":[],\"model\":\"fragua-rules-1\"}");
}

static void what_is_no_request_is_refused(void **state)
{
    static const char *const bodies[] = {NULL,
                                         "",
                                         "[]",
                                         "{}",
                                         "{\"text\":5}",
                                         "{\"text\":null}",
                                         "{\"text\":\"a\"",
                                         "{\"text\":\"a\"} x",
                                         "\"text\"",
                                         "{\"text\":\"\xff\"}"};

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        expect(*state, bodies[i], 400, NULL);
}

static char *long_request(void)
{
    struct fg_buf body = FG_BUF_INIT(1 << 20);

    fg_buf_add_str(&body, "{\"text\":\"");
    while (body.len < 80000)
        fg_buf_add_str(&body, "PO-2026-1 ");
    fg_buf_add_str(&body, "\"}");
    return fg_buf_steal(&body, NULL);
}

static void note(void *arg)
{
    ++*(int *)arg;
}

static void a_long_text_is_looked_at_on_a_worker(void **state)
{
    struct bed *bed = *state;
    char *body = long_request();
    struct fg_exchange *x = fake_exchange_new("POST", "/entities/v1/recognise", NULL, body);
    int stopped = 0;

    ask(bed, x);
    assert_int_equal(x->status, 0);
    fragua_plugin.stop(bed->self, note, &stopped);
    assert_int_equal(stopped, 0); /* the worker still points to the service */
    fake_host_work(bed->fake);
    assert_int_equal(stopped, 1);
    assert_int_equal(x->status, 200);
    assert_true(fg_json_valid(fg_buf_slice(&x->answer)));
    fake_exchange_free(x);
    free(body);
}

static void a_client_that_left_gets_no_answer(void **state)
{
    struct bed *bed = *state;
    char *body = long_request();
    struct fg_exchange *x = fake_exchange_new("POST", "/entities/v1/recognise", NULL, body);

    ask(bed, x);
    fake_exchange_go(x);
    fake_exchange_free(x); /* dead after it: an answer would be a use after free */
    fake_host_work(bed->fake);
    free(body);
}

static int refuse_work(struct fg_host *host, fg_work_cb work, fg_done_cb done, void *arg)
{
    (void)host;
    (void)work;
    (void)done;
    (void)arg;
    return -1;
}

static void no_worker_is_said_so(void **state)
{
    struct bed *bed = *state;
    char *body = long_request();
    int stopped = 0;

    bed->fake->svc.offload = refuse_work;
    expect(bed, body, 503, NULL);
    fragua_plugin.stop(bed->self, note, &stopped);
    assert_int_equal(stopped, 1);
    free(body);
}

static void the_schemas_are_json(void **state)
{
    const struct fg_route *route = fragua_plugin.control->routes;

    (void)state;
    assert_true(fg_json_valid(fg_slice_of(route->request_schema)));
    assert_true(fg_json_valid(fg_slice_of(route->response_schema)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_text_is_answered_with_its_entities, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_request_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_text_is_looked_at_on_a_worker, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_left_gets_no_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_worker_is_said_so, set_up, tear_down),
        cmocka_unit_test(the_schemas_are_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
