/* SPDX-License-Identifier: Apache-2.0 */
/* transform-upper against a host in memory: what it makes, and what its check refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fake-host.h>

extern const struct fg_plugin fragua_plugin;

/* As the option table fills it. */
struct config {
    const char *header, *value;
};

static void a_record_is_replaced_by_one_in_upper_case_with_a_stamp(void **state)
{
    const struct config config = { "case", "upper" };
    struct fake_host *fake = fake_host_new();
    struct fg_record *in = fake_record_new(fake, "key", "a-z \xc3\xa9!"), *made;
    struct fg_emit emit = { .n = 0 };
    struct fg_error err = FG_ERROR_NULL;
    void *self = NULL;

    assert_int_equal(fragua_plugin.open(&fake->host, &config, &self, &err), 0);
    assert_int_equal(fragua_plugin.transform->apply(self, in, &emit, &err), FG_KEEP);
    assert_int_equal(emit.n, 1);
    made = emit.records[0];
    assert_true(fg_slice_is(fake->svc.record_view(made)->value, "A-Z \xc3\xa9!"));
    assert_true(fg_slice_is(fake->svc.record_view(made)->key, "key"));
    assert_string_equal(fake_record_header(made, "case"), "upper");
    assert_true(fg_slice_is(fake->svc.record_view(in)->value, "a-z \xc3\xa9!"));
    fake_emit_clear(fake, &emit);
    fake->svc.record_unref(in);
    fragua_plugin.close(self);
    fake_host_free(fake);
}

static void a_header_needs_a_name(void **state)
{
    const struct config bad = { "", "x" }, good = { "h", "x" };
    struct fg_error err = FG_ERROR_NULL;

    assert_true(fragua_plugin.check(&bad, &err) < 0);
    assert_string_equal(err.text, "`header` is a name of 1 to 255 bytes");
    assert_int_equal(fragua_plugin.check(&good, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_replaced_by_one_in_upper_case_with_a_stamp),
        cmocka_unit_test(a_header_needs_a_name),
    };

    return cmocka_run_group_tests_name("transform-upper", tests, NULL, NULL);
}
