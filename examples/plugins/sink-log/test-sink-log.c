/* SPDX-License-Identifier: Apache-2.0 */
/* sink-log against a host in memory: each record is logged, answered once, and passed on where asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fake-host.h>

extern const struct fg_plugin fragua_plugin;

/* As the option table fills it. */
struct config {
    int64_t width;
    bool pass;
};

static void deliver_two(const struct config *config, size_t results)
{
    struct fake_host *fake = fake_host_new();
    struct fg_delivery *d = fake_delivery_new(fake);
    void *self = NULL;

    assert_int_equal(fragua_plugin.open(&fake->host, config, &self, NULL), 0);
    fake_delivery_add(d, fake_record_new(fake, "a", "first value"));
    fake_delivery_add(d, fake_record_new(fake, "b", "second value"));
    fragua_plugin.sink->deliver(self, d);
    assert_int_equal(d->n_done, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(d->items[i].err.code, FG_E_NONE);
        assert_int_equal(d->items[i].n_results, results);
    }
    assert_true(fake_host_logged(fake, "record key=\"a\" value=\"first\""));
    assert_true(fake_host_logged(fake, "record key=\"b\" value=\"secon\""));
    fake_delivery_free(d);
    fragua_plugin.close(self);
    fake_host_free(fake);
}

static void records_are_logged_and_end_there(void **state)
{
    deliver_two(&(struct config){ 5, false }, 0);
}

static void records_are_passed_on_where_asked(void **state)
{
    deliver_two(&(struct config){ 5, true }, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_logged_and_end_there),
        cmocka_unit_test(records_are_passed_on_where_asked),
    };

    return cmocka_run_group_tests_name("sink-log", tests, NULL, NULL);
}
