/* SPDX-License-Identifier: Apache-2.0 */
/* Dates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"

static void rfc3339_is_written_and_read(void **state)
{
    char text[FG_RFC3339_MAX];
    int64_t ms = 0;

    fg_rfc3339(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    fg_rfc3339(INT64_C(951782400250), text);
    assert_string_equal(text, "2000-02-29T00:00:00.250Z");
    for (int64_t at = 0; at < INT64_C(253402300799999); at += INT64_C(86399999999)) {
        fg_rfc3339(at, text);
        assert_true(fg_rfc3339_parse(fg_slice_of(text), &ms));
        assert_true(ms == at);
    }
    assert_true(fg_rfc3339_parse(fg_slice_of("2000-02-29T02:00:00.1234567+02:00"), &ms));
    assert_true(ms == INT64_C(951782400123));
    assert_true(fg_rfc3339_parse(fg_slice_of("1969-12-31T23:59:59z"), &ms));
    assert_true(ms == -1000);
}

static void what_is_no_date_is_refused(void **state)
{
    static const char *const bad[] = {
        "", "2001-02-29T00:00:00Z", "2000-13-01T00:00:00Z", "2000-01-01T24:00:00Z", "2000-01-01T00:00:00",
        "2000-01-01T00:00:00.Z", "2000-01-01T00:00:00+0200", "2000-01-01T00:00:00Zx", "2000-1-01T00:00:00Z",
        "2000-01-01T00:00:61Z",
    };
    int64_t ms = 5;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(fg_rfc3339_parse(fg_slice_of(bad[i]), &ms));
    assert_false(fg_http_date_parse(fg_slice_of("Sunday, 06-Nov-94 08:49:37 GMT"), &ms));
    assert_false(fg_http_date_parse(fg_slice_of("Sun, 06 Nov 1994 08:49:37 UTC"), &ms));
    assert_true(ms == 5);
}

static void http_dates_are_read(void **state)
{
    int64_t ms = 0;

    assert_true(fg_http_date_parse(fg_slice_of("Sun, 06 Nov 1994 08:49:37 GMT"), &ms));
    assert_true(ms == INT64_C(784111777000));
}

static void the_system_clock_does_not_go_back(void **state)
{
    uint64_t before = fg_clock_mono_ns(&fg_clock_system);

    assert_true(fg_clock_mono_ns(&fg_clock_system) >= before);
    assert_true(fg_clock_wall_ms(&fg_clock_system) > INT64_C(1600000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc3339_is_written_and_read),
        cmocka_unit_test(what_is_no_date_is_refused),
        cmocka_unit_test(http_dates_are_read),
        cmocka_unit_test(the_system_clock_does_not_go_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
