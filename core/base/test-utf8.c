/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/utf8.h"

static void every_code_point_survives_and_no_surrogate_does(void **state)
{
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char bytes[4];
        size_t pos = 0, len = fg_utf8_encode(c, bytes);
        uint32_t back = fg_utf8_next(fg_slice_make(bytes, len), &pos);
        assert_int_equal(pos, len);
        assert_int_equal(back, c >= 0xD800 && c <= 0xDFFF ? 0xFFFD : c);
    }
}

static void bad_bytes_are_found_and_repaired_one_by_one(void **state)
{
    static const char *const bad[] = { "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80", "\xF8" };
    struct fg_buf out = FG_BUF_INIT(100);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(fg_utf8_valid(fg_slice_of(bad[i])));
        fg_buf_clear(&out);
        fg_utf8_repair(fg_slice_of(bad[i]), &out);
        assert_int_equal(out.len, 3 * strlen(bad[i]));
        assert_true(fg_utf8_valid(fg_buf_slice(&out)));
    }
    fg_buf_clear(&out);
    fg_utf8_repair(fg_slice_of("12345678\xC3\xBC\xFFz"), &out);
    assert_string_equal(out.data, "12345678\xC3\xBC\xEF\xBF\xBDz");
    fg_buf_deinit(&out);
}

static void code_points_are_counted_and_found(void **state)
{
    struct fg_slice s = fg_slice_of("a\xC3\xBC\xF0\x9F\x98\x80z");

    assert_int_equal(fg_utf8_count(s), 4);
    assert_int_equal(fg_utf8_offset(s, 2), 3);
    assert_int_equal(fg_utf8_offset(s, 4), s.len);
    assert_true(fg_utf8_offset(s, 5) == SIZE_MAX);
    assert_int_equal(fg_utf8_offset(FG_SLICE_NULL, 0), 0);
    assert_true(fg_utf8_valid(FG_SLICE_NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_survives_and_no_surrogate_does),
        cmocka_unit_test(bad_bytes_are_found_and_repaired_one_by_one),
        cmocka_unit_test(code_points_are_counted_and_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
