/* SPDX-License-Identifier: Apache-2.0 */
/* Slices, numbers, units, edit distance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/str.h"

#define S(text) fg_slice_of(text)

static void slices_compare_trim_find_and_cut(void **state)
{
    struct fg_slice head, tail;

    assert_true(fg_slice_ieq(S("Content-Type"), S("content-tYPE")));
    assert_false(fg_slice_ieq(S("a["), S("A{")));
    assert_true(fg_slice_starts(S("abc"), S("ab")));
    assert_true(fg_slice_ends(S("abc"), S("bc")));
    assert_false(fg_slice_ends(S("c"), S("bc")));
    assert_true(fg_slice_is(fg_slice_trim(S(" \t x y \r\n")), "x y"));
    assert_int_equal(fg_slice_trim(S("  ")).len, 0);
    assert_int_equal(fg_slice_find(S("hello"), S("ll")), 2);
    assert_int_equal(fg_slice_find(S("hello"), S("lx")), -1);
    assert_true(fg_slice_cut(S("a=b=c"), '=', &head, &tail));
    assert_true(fg_slice_is(head, "a"));
    assert_true(fg_slice_is(tail, "b=c"));
    assert_false(fg_slice_cut(FG_SLICE_NULL, '=', &head, &tail));
    assert_int_equal(fg_slice_sub(S("abc"), 2, 99).len, 1);
    assert_int_equal(fg_slice_sub(S("abc"), 7, 2).len, 0);
}

static void digits_have_their_values(void **state)
{
    static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    int good = 0;

    for (int k = 0; k < 62; k++)
        assert_int_equal(fg_base64_digit(all[k], "+/"), k);
    assert_int_equal(fg_base64_digit('+', "+/"), 62);
    assert_int_equal(fg_base64_digit('/', "+/"), 63);
    assert_int_equal(fg_base64_digit('-', "-_"), 62);
    assert_int_equal(fg_base64_digit('_', "-_"), 63);
    for (int c = -128; c < 128; c++)
        good += fg_base64_digit((char)c, "-_") >= 0;
    assert_int_equal(good, 64);
    assert_int_equal(fg_hex_digit('f'), 15);
    assert_int_equal(fg_hex_digit('g'), -1);
}

static void whole_numbers_fit_or_are_refused(void **state)
{
    static const char *const bad[] = { "", "-", "+1", " 1", "1 ", "1.0", "0x1", "9223372036854775808" };
    int64_t i = 7;

    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
        assert_false(fg_parse_int(S(bad[k]), &i));
    assert_int_equal(i, 7);
    assert_true(fg_parse_int(S("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_true(fg_parse_int(S("9223372036854775807"), &i));
    assert_true(i == INT64_MAX);
}

static void doubles_are_decimal_finite_and_round_trip(void **state)
{
    static const char *const bad[] = { "", ".5", "1.", "1e", "nan", "inf", "0x1p3", "1e999", " 1", "1,5" };
    static const double good[] = { 0, 0.1, -2.5, 1e300, 5e-324, 1.0 / 3, 123456789012345678.0 };
    char text[FG_DOUBLE_MAX];
    double d = 7;

    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
        assert_false(fg_parse_double(S(bad[k]), &d));
    for (size_t k = 0; k < sizeof(good) / sizeof(good[0]); k++) {
        size_t len = fg_format_double(good[k], text);
        assert_int_equal(len, strlen(text));
        assert_true(fg_parse_double(S(text), &d));
        assert_true(d == good[k]);
    }
    (void)fg_format_double(0.1, text);
    assert_string_equal(text, "0.1");
}

static void durations_and_sizes_need_their_units(void **state)
{
    int64_t v = 0;

    assert_true(fg_parse_duration_ms(S("250ms"), &v) && v == 250);
    assert_true(fg_parse_duration_ms(S("5m"), &v) && v == 300000);
    assert_true(fg_parse_duration_ms(S("2d"), &v) && v == 172800000);
    assert_true(fg_parse_duration_ms(S("0"), &v) && v == 0);
    assert_false(fg_parse_duration_ms(S("5"), &v));
    assert_false(fg_parse_duration_ms(S("-5s"), &v));
    assert_false(fg_parse_duration_ms(S("5 s"), &v));
    assert_false(fg_parse_duration_ms(S("9223372036854775807d"), &v));
    assert_true(fg_parse_size(S("512"), &v) && v == 512);
    assert_true(fg_parse_size(S("64KiB"), &v) && v == 65536);
    assert_true(fg_parse_size(S("1GiB"), &v) && v == 1073741824);
    assert_false(fg_parse_size(S("64KB"), &v));
    assert_false(fg_parse_size(S("KiB"), &v));
}

static void edit_distance_stops_at_its_maximum(void **state)
{
    char wide[66];

    memset(wide, 'x', 65);
    wide[65] = '\0';
    assert_int_equal(fg_edit_distance(S("kitten"), S("sitting"), 5), 3);
    assert_int_equal(fg_edit_distance(S("kitten"), S("sitting"), 2), 3);
    assert_int_equal(fg_edit_distance(S(""), S("ab"), 5), 2);
    assert_int_equal(fg_edit_distance(S(wide), S(wide), 5), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_compare_trim_find_and_cut),
        cmocka_unit_test(digits_have_their_values),
        cmocka_unit_test(whole_numbers_fit_or_are_refused),
        cmocka_unit_test(doubles_are_decimal_finite_and_round_trip),
        cmocka_unit_test(durations_and_sizes_need_their_units),
        cmocka_unit_test(edit_distance_stops_at_its_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
