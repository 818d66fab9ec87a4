/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes, constant-time compare, backoff. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"

/* Source: Kafka's UtilsTest#testMurmur2 */
static void murmur2_is_kafkas(void **state)
{
    static const struct {
        const char *text;
        int32_t hash;
    } known[] = {
        { "21", -973932308 },
        { "foobar", -790332482 },
        { "a-little-bit-long-string", -985981536 },
        { "a-little-bit-longer-string", -1486304829 },
        { "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971 },
        { "abc", 479470107 },
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_int_equal((int32_t)fg_murmur2(fg_slice_of(known[i].text)), known[i].hash);
    assert_int_equal(fg_murmur2_partition(fg_slice_of("21"), 12), (-973932308 & 0x7fffffff) % 12);
}

static void sha256_is_the_standards(void **state)
{
    char hex[FG_SHA256_HEX_SIZE];

    fg_sha256_hex(fg_slice_of("abc"), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    fg_sha256_hex(FG_SLICE_NULL, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(fg_sha256_file_hex("/dev/null", hex), 0);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_true(fg_sha256_file_hex("/nonexistent/file", hex) < 0);
}

static void texts_compare_in_constant_time(void **state)
{
    assert_true(fg_equal_constant_time(fg_slice_of("token"), fg_slice_of("token")));
    assert_false(fg_equal_constant_time(fg_slice_of("token"), fg_slice_of("tokem")));
    assert_false(fg_equal_constant_time(fg_slice_of("token"), fg_slice_of("toke")));
    assert_true(fg_equal_constant_time(FG_SLICE_NULL, FG_SLICE_NULL));
}

static void backoff_stays_under_its_cap(void **state)
{
    for (unsigned attempt = 0; attempt < 200; attempt++)
        assert_in_range(fg_backoff_ms(attempt, 100, 30000, fg_random_u64()), 0, 30000);
    assert_int_equal(fg_backoff_ms(3, 100, 30000, 800), 800);
    assert_int_equal(fg_backoff_ms(3, 100, 30000, 801), 0);
    assert_true(fg_backoff_ms(90, 1, UINT64_MAX, UINT64_MAX) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(murmur2_is_kafkas),
        cmocka_unit_test(sha256_is_the_standards),
        cmocka_unit_test(texts_compare_in_constant_time),
        cmocka_unit_test(backoff_stays_under_its_cap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
