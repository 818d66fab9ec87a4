/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that options name held, and their list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/digest.h"

struct inner {
    const char *ca;
};

struct outer {
    const char *path;
    const struct inner *tls;
    struct fg_groups many;
    const char *name;
};

static const struct fg_option inner_table[] = {
    { .key = "ca", .type = FG_OPTION_PATH, .offset = offsetof(struct inner, ca) },
    FG_OPTION_END,
};

static const struct fg_option outer_table[] = {
    { .key = "path", .type = FG_OPTION_PATH, .offset = offsetof(struct outer, path) },
    { .key = "tls", .type = FG_OPTION_GROUP, .offset = offsetof(struct outer, tls), .members = inner_table,
      .members_size = sizeof(struct inner) },
    { .key = "many", .type = FG_OPTION_GROUPS, .offset = offsetof(struct outer, many), .members = inner_table,
      .members_size = sizeof(struct inner) },
    { .key = "name", .type = FG_OPTION_STRING, .offset = offsetof(struct outer, name) },
    FG_OPTION_END,
};

static char folder[] = "/tmp/fragua-digest-XXXXXX";

static int setup(void **state)
{
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = { "a.pem", "cas/one.crt", "cas/two.pem", "cas/readme", "cas", "later" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)remove(names[i]);
    return rmdir(folder);
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* The content of one path, looked at anew. */
static void look(const char *path, char ret[FG_SHA256_HEX_SIZE])
{
    const struct outer values = { .path = path };
    struct fg_digests d = { .n = 0 };

    fg_digests_add_options(&d, outer_table, &values);
    assert_int_equal(d.n, 1);
    (void)snprintf(ret, FG_SHA256_HEX_SIZE, "%s", fg_digests_content(&d, path));
    fg_digests_deinit(&d);
}

static void a_file_that_changes_comes_or_goes_has_another_content(void **state)
{
    char missing[FG_SHA256_HEX_SIZE], first[FG_SHA256_HEX_SIZE], second[FG_SHA256_HEX_SIZE];

    look("later", missing);
    put("later", "a");
    look("later", first);
    put("later", "b");
    look("later", second);
    assert_string_not_equal(missing, first);
    assert_string_not_equal(first, second);
    put("later", "a");
    look("later", second);
    assert_string_equal(first, second);
}

static void of_a_folder_the_names_and_contents_of_its_certificates_count(void **state)
{
    char first[FG_SHA256_HEX_SIZE], second[FG_SHA256_HEX_SIZE];

    assert_int_equal(mkdir("cas", 0700), 0);
    put("cas/one.crt", "1");
    look("cas", first);
    put("cas/readme", "no certificate");
    look("cas", second);
    assert_string_equal(first, second);
    put("cas/two.pem", "2");
    look("cas", second);
    assert_string_not_equal(first, second);
    assert_int_equal(remove("cas/two.pem"), 0);
    look("cas", second);
    assert_string_equal(first, second);
    put("cas/one.crt", "3");
    look("cas", second);
    assert_string_not_equal(first, second);
}

static void each_path_is_hashed_once_and_listed_once(void **state)
{
    char whole[64];
    const struct inner tls = { "a.pem" }, many[] = { { "./a.pem" }, { NULL }, { "/no/such/ca" } };
    const struct outer values = { "a.pem", &tls, { many, 3 }, "a name" }, none = { .path = "" };
    struct fg_digests d = { .n = 0 };
    char first[FG_SHA256_HEX_SIZE];

    put("a.pem", "1");
    look("a.pem", first);
    fg_digests_add_options(&d, outer_table, &values);
    put("a.pem", "2");
    fg_digests_add_options(&d, outer_table, &values);
    fg_digests_add_options(&d, outer_table, &none);
    assert_string_equal(fg_digests_content(&d, "a.pem"), first);
    assert_null(fg_digests_content(&d, "a name"));
    assert_null(fg_digests_content(&d, ""));
    fg_digests_add_file(&d, "/no/such/ca");
    fg_digests_add_file(&d, "/a/first");
    fg_digests_end(&d);
    assert_int_equal(d.n_files, 3);
    (void)snprintf(whole, sizeof(whole), "%s/a.pem", folder);
    assert_string_equal(d.files[0], "/a/first");
    assert_string_equal(d.files[1], "/no/such/ca");
    assert_string_equal(d.files[2], whole);
    fg_digests_deinit(&d);
}

static void many_paths_are_found_again(void **state)
{
    struct fg_digests d = { .n = 0 };
    char path[64];

    for (unsigned i = 0; i < 300; i++) {
        const struct outer values = { .path = path };
        (void)snprintf(path, sizeof(path), "/no/such/%u", i * 7919 % 300);
        fg_digests_add_options(&d, outer_table, &values);
    }
    assert_int_equal(d.n, 300);
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(path, sizeof(path), "/no/such/%u", i);
        assert_non_null(fg_digests_content(&d, path));
    }
    assert_null(fg_digests_content(&d, "/no/such/300"));
    fg_digests_deinit(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_changes_comes_or_goes_has_another_content),
        cmocka_unit_test(of_a_folder_the_names_and_contents_of_its_certificates_count),
        cmocka_unit_test(each_path_is_hashed_once_and_listed_once),
        cmocka_unit_test(many_paths_are_found_again),
    };

    return cmocka_run_group_tests_name("host digest", tests, setup, teardown);
}
