/* SPDX-License-Identifier: Apache-2.0 */
/* The growable buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/buf.h"

static void what_is_written_reads_back_and_ends_with_nul(void **state)
{
    struct fg_buf buf = FG_BUF_INIT(1000);
    char wide[600];

    memset(wide, 'x', sizeof(wide) - 1);
    wide[sizeof(wide) - 1] = '\0';
    fg_buf_add_str(&buf, "ab");
    fg_buf_add_char(&buf, 'c');
    fg_buf_printf(&buf, "%d", 42);
    assert_string_equal(buf.data, "abc42");
    fg_buf_printf(&buf, "%s", wide);
    assert_int_equal(buf.len, 5 + 599);
    assert_int_equal(strlen(buf.data), buf.len);
    fg_buf_consume(&buf, 3);
    assert_memory_equal(buf.data, "42xx", 4);
    assert_false(buf.failed);
    fg_buf_deinit(&buf);
    fg_buf_deinit(&buf);
    fg_buf_deinit(NULL);
}

static void a_write_past_the_maximum_fails_whole_and_for_good(void **state)
{
    struct fg_buf buf = FG_BUF_INIT(4);

    fg_buf_add_str(&buf, "abcd");
    assert_false(buf.failed);
    fg_buf_add_str(&buf, "e");
    assert_true(buf.failed);
    fg_buf_add_str(&buf, "");
    assert_string_equal(buf.data, "abcd");
    assert_null(fg_buf_steal(&buf, NULL));
    assert_true(buf.failed);
    fg_buf_clear(&buf);
    fg_buf_printf(&buf, "%s", "wxyz");
    assert_string_equal(buf.data, "wxyz");
    assert_false(fg_buf_reserve(&buf, SIZE_MAX));
    fg_buf_deinit(&buf);
}

static void stolen_bytes_belong_to_the_caller(void **state)
{
    struct fg_buf buf = FG_BUF_INIT(100);
    size_t len = 9;
    char *bytes;

    assert_null(fg_buf_steal(&buf, &len));
    assert_int_equal(len, 0);
    fg_buf_write_cb(&buf, fg_slice_of("hello"));
    bytes = fg_buf_steal(&buf, &len);
    assert_string_equal(bytes, "hello");
    assert_int_equal(len, 5);
    assert_int_equal(buf.len, 0);
    assert_null(buf.data);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back_and_ends_with_nul),
        cmocka_unit_test(a_write_past_the_maximum_fails_whole_and_for_good),
        cmocka_unit_test(stolen_bytes_belong_to_the_caller),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
