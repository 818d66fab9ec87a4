/* SPDX-License-Identifier: Apache-2.0 */
/* control-hello against a host in memory: what it answers, also to a name that JSON must escape. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fake-host.h>

extern const struct fg_plugin fragua_plugin;

static const char *const greeting = "good day"; /* as the option table fills it */

static void a_name_is_greeted_as_json(void **state)
{
    struct fake_host *fake = fake_host_new();
    struct fg_exchange *x = fake_exchange_new("GET", "/hello/you", NULL, NULL);
    void *self = NULL;

    assert_int_equal(fragua_plugin.open(&fake->host, &greeting, &self, NULL), 0);
    x->params = "name=you \"two\"";
    fragua_plugin.control->routes[0].handle(self, x);
    assert_int_equal(x->status, 200);
    assert_string_equal(x->content_type, "application/json");
    assert_string_equal(x->answer.data, "{\"greeting\":\"good day\",\"name\":\"you \\\"two\\\"\"}");
    fake_exchange_free(x);
    fragua_plugin.close(self);
    fake_host_free(fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_name_is_greeted_as_json) };

    return cmocka_run_group_tests_name("control-hello", tests, NULL, NULL);
}
