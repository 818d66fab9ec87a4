/* SPDX-License-Identifier: Apache-2.0 */
/* Plugin files: what the loader finds, and the words with which it refuses each kind of wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "host/loader.h"

static struct fg_plugin_path test_path(void)
{
    struct fg_plugin_path path;
    const char *dir = getenv("FRAGUA_TEST_PLUGINS");

    assert_non_null(dir);
    assert_int_equal(fg_plugin_path_init(&path, &dir, 1, NULL), 0);
    return path;
}

static void expect_refusal(const char *name, int code, const char *text)
{
    struct fg_plugin_path path = test_path();
    struct fg_plugin_file *file = NULL;
    struct fg_error err = FG_ERROR_NULL;

    assert_true(fg_plugin_load(&path, name, NULL, &file, &err) < 0);
    assert_null(file);
    assert_int_equal(err.code, code);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not contain \"%s\"", err.text, text);
    assert_null(strchr(err.text, '\n'));
    fg_plugin_path_deinit(&path);
}

static void each_wrong_plugin_is_refused_in_its_own_words(void **state)
{
    expect_refusal("bad-abi", FG_E_CONFIG, "\"bad-abi\" was built for ABI 2, this is ABI 1: build it again");
    expect_refusal("bad-magic", FG_E_CONFIG, "\"bad-magic.so\" is no fragua plugin: its magic is 0x12345678");
    expect_refusal("bad-size", FG_E_CONFIG, "\"bad-size\" has a descriptor of 24 bytes, too small for ABI 1");
    expect_refusal("bad-symbol", FG_E_CONFIG, "bad-symbol.so\" exports no symbol fragua_plugin");
    expect_refusal("bad-callback", FG_E_CONFIG, "\"bad-callback\" lacks the mandatory callback open");
    expect_refusal("bad-name", FG_E_CONFIG, "\"bad-name.so\" says its name is \"good-name\"");
    expect_refusal("bad-options", FG_E_CONFIG, "\"bad-options\" has a bad option table: ");
}

static void an_unknown_plugin_is_answered_with_the_nearest_name(void **state)
{
    expect_refusal("good-ordr", FG_E_NOT_FOUND, "there is no plugin \"good-ordr\"; did you mean \"good-order\"?");
    expect_refusal("nothing-like-it", FG_E_NOT_FOUND, "there is no plugin \"nothing-like-it\" in ");
}

static void a_name_cannot_lead_out_of_the_folders(void **state)
{
    expect_refusal("../good-order", FG_E_CONFIG, "\"../good-order\" is no plugin name");
    expect_refusal("", FG_E_CONFIG, "is no plugin name");
    expect_refusal("Good-Order", FG_E_CONFIG, "is no plugin name");
}

static void a_good_plugin_says_what_it_is(void **state)
{
    struct fg_plugin_path path = test_path();
    struct fg_plugin_file *file;

    assert_int_equal(fg_plugin_load(&path, "good-order", NULL, &file, NULL), 0);
    assert_string_equal(file->plugin.name, "good-order");
    assert_string_equal(fg_kind_name(file->plugin.kind), "control");
    assert_int_equal(strlen(file->sha256), 64);
    assert_int_equal(fg_plugin_file_ref(file)->refs, 2);
    fg_plugin_file_unref(file);
    assert_string_equal(file->plugin.version, "1.0");
    fg_plugin_file_unref(file);
    fg_plugin_path_deinit(&path);
}

static void names_are_sorted_and_each_stands_once(void **state)
{
    const char *twice[] = { getenv("FRAGUA_TEST_PLUGINS"), getenv("FRAGUA_TEST_PLUGINS") };
    struct fg_plugin_path path;
    size_t n, found = 0;
    char **names;

    assert_int_equal(fg_plugin_path_init(&path, twice, 2, NULL), 0);
    names = fg_plugin_names(&path, &n);
    for (size_t i = 0; i < n; i++) {
        found += strcmp(names[i], "good-order") == 0;
        assert_true(i == 0 || strcmp(names[i - 1], names[i]) < 0);
    }
    assert_int_equal(found, 1);
    fg_plugin_names_free(names, n);
    fg_plugin_path_deinit(&path);
}

static void the_path_is_what_was_given_then_the_environment_then_the_installed(void **state)
{
    const char *given[] = { "/given" };
    const char *many[FG_PLUGIN_DIRS_MAX];
    struct fg_plugin_path path;
    struct fg_error err = FG_ERROR_NULL;

    assert_int_equal(setenv("FRAGUA_PLUGIN_PATH", "/one::/two:", 1), 0);
    assert_int_equal(fg_plugin_path_init(&path, given, 1, NULL), 0);
    assert_int_equal(path.n, 4);
    assert_string_equal(path.dirs[0], "/given");
    assert_string_equal(path.dirs[1], "/one");
    assert_string_equal(path.dirs[2], "/two");
    assert_string_equal(path.dirs[3], FG_PLUGIN_DIR);
    fg_plugin_path_deinit(&path);
    assert_int_equal(unsetenv("FRAGUA_PLUGIN_PATH"), 0);
    for (size_t i = 0; i < FG_PLUGIN_DIRS_MAX; i++)
        many[i] = "/x";
    assert_true(fg_plugin_path_init(&path, many, FG_PLUGIN_DIRS_MAX, &err) < 0);
    assert_string_equal(err.text, "more than 16 plugin folders");
    assert_int_equal(path.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_wrong_plugin_is_refused_in_its_own_words),
        cmocka_unit_test(an_unknown_plugin_is_answered_with_the_nearest_name),
        cmocka_unit_test(a_name_cannot_lead_out_of_the_folders),
        cmocka_unit_test(a_good_plugin_says_what_it_is),
        cmocka_unit_test(names_are_sorted_and_each_stands_once),
        cmocka_unit_test(the_path_is_what_was_given_then_the_environment_then_the_installed),
    };

    return cmocka_run_group_tests_name("host loader", tests, NULL, NULL);
}
