/* SPDX-License-Identifier: Apache-2.0 */
/* Error paths and names, and reading files whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"

static int below(struct fg_error *err)
{
    return fg_raise(fg_error_set(err, FG_E_DATA, 0, "bad \"%s\"", "x"));
}

static int above(struct fg_error *err)
{
    int r = below(err);
    return r < 0 ? fg_pass(r) : 0;
}

static void the_path_tells_where_a_failure_went(void **state)
{
    struct fg_error err = FG_ERROR_NULL;
    char path[200];

    assert_int_equal(above(&err), -FG_E_DATA);
    fg_err_path(path, sizeof(path));
    assert_non_null(strstr(path, " below < "));
    assert_non_null(strstr(path, " above"));
    fg_err_path(path, sizeof(path));
    assert_string_equal(path, "");
    assert_int_equal(fg_fold(3), -FG_E_INTERNAL);
    assert_int_equal(fg_pass(0), 0);
    fg_err_path(path, 5);
    assert_true(strlen(path) < 5);
}

static void every_code_has_a_name(void **state)
{
    for (int code = 0; code < _FG_CODE_N; code++)
        assert_non_null(fg_code_name(code));
    assert_string_equal(fg_code_name(-FG_E_NOT_FOUND), "not-found");
    assert_string_equal(fg_code_name(9999), "unknown");
    for (int code = 0; code < _FG_CODE_N; code++) {
        const char *name = fg_code_name(code), *label = fg_code_label(code);
        assert_int_equal(strlen(name), strlen(label));
        for (size_t i = 0; name[i]; i++)
            assert_int_equal(label[i], name[i] == '-' ? '_' : name[i]);
    }
    assert_string_equal(fg_code_label(9999), "unknown");
    assert_string_equal(fg_errno_text(ENOENT), "No such file or directory");
    assert_string_equal(fg_errno_text(123456), "unknown error");
}

static void files_are_read_whole_or_not_at_all(void **state)
{
    struct fg_buf out = FG_BUF_INIT(100);
    struct fg_error err = FG_ERROR_NULL;
    char name[] = "/tmp/fragua-test-XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "hello", 5), 5);
    (void)close(fd);
    fg_buf_add_str(&out, ">");
    assert_int_equal(fg_read_file(name, 5, &out, &err), 0);
    assert_string_equal(out.data, ">hello");
    assert_int_equal(fg_read_file(name, 4, &out, &err), -FG_E_LIMIT);
    assert_non_null(strstr(err.text, name));
    assert_string_equal(out.data, ">hello");
    assert_int_equal(fg_read_file("/", 4, &out, &err), -FG_E_CONFIG);
    (void)unlink(name);
    assert_int_equal(fg_read_file(name, 4, &out, &err), -FG_E_NOT_FOUND);
    fg_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_path_tells_where_a_failure_went),
        cmocka_unit_test(every_code_has_a_name),
        cmocka_unit_test(files_are_read_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
