/* SPDX-License-Identifier: Apache-2.0 */
/* Files of authorities: which count, in which order, and what is said where there are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/pem.h"
#include "base/str.h"

struct seen {
    char names[64]; /* with a space behind each */
    size_t refuse;  /* the so many'th; 0: none */
    size_t n;
};

static int on_file(void *arg, const char *path, struct fg_error *err)
{
    struct seen *seen = arg;
    size_t len = strlen(seen->names);

    (void)snprintf(seen->names + len, sizeof(seen->names) - len, "%s ", strrchr(path, '/') + 1);
    return ++seen->n == seen->refuse ? fg_error_set(err, FG_E_DATA, 0, "no certificate") : 0;
}

static void a_folders_certificates_come_by_name(void **state)
{
    static const char *const names[] = {"b.pem", "a.crt", ".hidden.crt", "c.key", "crt"};
    char folder[] = "/tmp/fragua-pem-XXXXXX", path[64];
    struct seen seen = {0}, cut = {.refuse = 1};
    struct fg_error err = FG_ERROR_NULL;

    assert_non_null(mkdtemp(folder));
    assert_int_equal(fg_pem_each("tls.ca", folder, on_file, &seen, &err), -FG_E_CONFIG);
    assert_non_null(strstr(err.text, "tls.ca: no *.crt or *.pem in the folder \"/tmp/fragua-pem-"));
    for (size_t i = 0; i < 5; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        assert_int_equal(fclose(fopen(path, "w")), 0);
    }
    assert_int_equal(fg_pem_each("tls.ca", folder, on_file, &seen, &err), 0);
    assert_string_equal(seen.names, "a.crt b.pem ");
    assert_int_equal(fg_pem_each("tls.ca", folder, on_file, &cut, &err), -FG_E_DATA);
    assert_string_equal(cut.names, "a.crt ");
    for (size_t i = 0; i < 5; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void any_other_path_is_the_file_itself(void **state)
{
    struct fg_error err = FG_ERROR_NULL;
    struct seen seen = {0};

    assert_int_equal(fg_pem_each("tls.ca", "/nonexistent/any.name", on_file, &seen, &err), 0);
    assert_string_equal(seen.names, "any.name ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folders_certificates_come_by_name),
        cmocka_unit_test(any_other_path_is_the_file_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
