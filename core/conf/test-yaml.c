/* SPDX-License-Identifier: Apache-2.0 */
/* Files, good and bad: every kind of fault at its line and column, in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/test-path.h"

struct bad {
    const char *text;
    size_t len; /* 0: strlen */
    unsigned line, column;
    const char *says;
};

static const struct bad bads[] = {
    { "", 0, 1, 1, "nothing in it" },
    { "# only a comment\n", 0, 1, 1, "nothing in it" },
    { "- a\n", 0, 1, 1, "this is a list" },
    { "hello\n", 0, 1, 1, "a single value" },
    { "a: &x 1\n", 0, 1, 4, "the anchor \"x\" is refused" },
    { "a: 1\nb: *x\n", 0, 2, 4, "the alias \"x\" is refused" },
    { "a: !!int 1\n", 0, 1, 4, "the tag \"tag:yaml.org,2002:int\" is refused" },
    { "a: !mine 1\n", 0, 1, 4, "the tag \"!mine\" is refused" },
    { "a: 1\n<<: {b: 2}\n", 0, 2, 1, "merge key" },
    { "a: 1\n---\nb: 2\n", 0, 2, 1, "second document" },
    { "a: 1\nb: 2\na: 3\n", 0, 3, 1, "the key \"a\" is here twice: the first is on line 1" },
    { "a:\n  b: {x: 1, x: 2}\n", 0, 2, 13, "first is on line 2" },
    { "a:\n\tb: 1\n", 0, 2, 1, "a tab is used for indentation: use spaces" },
    { "a:\n  b: 1\n\tc: 2\n", 0, 3, 1, "a tab is used for indentation: use spaces" },
    { "a: {\n \tb: 1}\n", 0, 2, 2, "a tab is used for indentation: use spaces" },
    { "a: 1\nb: x\0y\n", 12, 2, 5, "NUL byte" },
    { "a: 1\nb: \xff\n", 0, 2, 4, "not valid UTF-8" },
    { "\xff\xfe" "a\0", 4, 1, 1, "not valid UTF-8" },
    { "a: \"\xc3\xa9\" # \xc3\x28\n", 0, 1, 10, "not valid UTF-8" },
    { "a: x\x01y\n", 0, 1, 5, "U+0001" },
    { "a: \"x\\0y\"\n", 0, 1, 4, "cannot have the character \\0" },
    { "a: \"unclosed\nb: 1\n", 0, 1, 4, "this quote is never closed" },
    { "a: 'unclosed\n", 0, 1, 4, "this quote is never closed" },
    { "a: [1, 2\nb: 3\n", 0, 2, 2, "',' or ']' is missing in the list that begins on line 1" },
    { "a: {b: 1\n", 0, 2, 1, "',' or '}' is missing in the map that begins on line 1" },
    { "a: b: c\n", 0, 1, 5, "a ':' cannot stand here" },
    { "a: 1\n b: 2\n", 0, 2, 3, "a ':' cannot stand here" },
    { "a: 1\nkey without colon\nb: 2\n", 0, 2, 1, "a ':' is missing after this key" },
    { "a:\n  - x\n  b: 1\n", 0, 3, 3, "a '-' was expected here" },
    { "a:\n  - x\n b: 1\n", 0, 3, 2, "a key was expected here" },
    { "a:\n    b: 1\n  c: 2\n", 0, 3, 3, "a key was expected here" },
    { "a: @home\n", 0, 1, 4, "a value cannot begin with '@': put it in quotes" },
    { "a: `x`\n", 0, 1, 4, "a value cannot begin with '`'" },
    { "a: %x\n", 0, 1, 4, "a value cannot begin with '%'" },
    { "a: \"\\q\"\n", 0, 1, 5, "unknown escape" },
    { "a: \"\\xZZ\"\n", 0, 1, 7, "hexadecimal" },
    { "a: \"\\ud800\"\n", 0, 1, 7, "no Unicode character" },
    { "a: - b\n", 0, 1, 4, "a '-' cannot stand here" },
    { "a: 1\n]\n", 0, 2, 1, "a key was expected here" },
    { "{a: 1}\n]\n", 0, 2, 1, "does not belong to what stands above" },
    { "a: [1", 0, 1, 6, "',' or ']' is missing" },
    { "? [x, y]\n: 1\n", 0, 1, 3, "a list cannot be a key" },
    { "{a: 1}: 2\n", 0, 1, 1, "a map cannot be a key" },
    { "a: 1\n: 2\n", 0, 2, 1, "a key was expected here" },
    { "a: 1\n\"\": 2\n", 0, 2, 1, "a key is missing here" },
    { "a: | x\n  y\n", 0, 1, 6, "a block text begins on the line after" },
    { "%YAML 3.0\n---\na: 1\n", 0, 1, 1, "only YAML 1.1 and 1.2" },
    { "a: *\n", 0, 1, 4, "a value cannot begin with '*'" },
    { "a: [\xe2\x82\xac, *y]\n", 0, 1, 8, "the alias \"y\"" },
};

static void every_kind_of_bad_file_is_told_with_its_place(void **state)
{
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
        const struct bad *b = &bads[i];
        FG_CLEANUP(fg_conf_faults_deinit) struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
        struct fg_conf_node *root = NULL;
        size_t len = b->len ? b->len : strlen(b->text);
        int r = fg_conf_parse(fg_slice_make(b->text, len), "f.yaml", &root, &faults);

        if (r >= 0 || faults.len != 1)
            fail_msg("%zu faults in: %s (%s)", faults.len, b->text, faults.len ? faults.items[0].text : "");
        assert_null(root);
        assert_string_equal(faults.items[0].file, "f.yaml");
        if (faults.items[0].line != b->line || faults.items[0].column != b->column ||
            !strstr(faults.items[0].text, b->says))
            fail_msg("%s\n%u:%u: %s", b->text, faults.items[0].line, faults.items[0].column, faults.items[0].text);
    }
}

static struct fg_conf_node *parse_good(const char *text)
{
    FG_CLEANUP(fg_conf_faults_deinit) struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_conf_node *root = NULL;

    if (fg_conf_parse(fg_slice_of(text), "f.yaml", &root, &faults) < 0)
        fail_msg("%s", faults.items[0].text);
    return root;
}

static void a_good_file_keeps_lines_and_columns(void **state)
{
    struct fg_conf_node *root = parse_good("\xef\xbb\xbf" "a: 1\nb:\n  c: 'x'\n  d: [1, \"y\"]\n");
    const struct fg_conf_node *d = at_path(root, "b.d");

    assert_int_equal(root->line, 1);
    assert_int_equal(d->kind, FG_CONF_LIST);
    assert_int_equal(d->line, 4);
    assert_int_equal(d->column, 6);
    assert_int_equal(fg_conf_get(root, "b")->members[1].key_column, 3);
    assert_string_equal(at_path(root, "b.d.1")->text, "y");
    assert_true(at_path(root, "b.d.1")->quoted);
    assert_false(at_path(root, "a")->quoted);
    assert_null(at_path(root, "b.d.2"));
    assert_null(at_path(root, "b.d.-1"));
    assert_null(at_path(root, "a.b"));
    assert_null(fg_conf_get(NULL, "a"));
    fg_conf_node_free(root);
}

static void keys_with_dots_are_found(void **state)
{
    struct fg_conf_node *root = parse_good("kafka:\n  bootstrap.servers: x\n  bootstrap: {y: 1}\n");

    assert_string_equal(at_path(root, "kafka.bootstrap.servers")->text, "x");
    assert_string_equal(at_path(root, "kafka.\"bootstrap.servers\"")->text, "x");
    assert_string_equal(at_path(root, "kafka.bootstrap.y")->text, "1");
    assert_null(at_path(root, "kafka.\"bootstrap.y\""));
    fg_conf_node_free(root);
}

static void tabs_inside_texts_stay(void **state)
{
    struct fg_conf_node *root = parse_good("a: |\n  x:\n  \ty\nb: \"1\t2\"\n");

    assert_string_equal(fg_conf_get(root, "a")->text, "x:\n\ty\n");
    assert_string_equal(fg_conf_get(root, "b")->text, "1\t2");
    fg_conf_node_free(root);
}

static void all_faults_come_in_one_run(void **state)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_conf_node *root = NULL;

    assert_true(fg_conf_parse(fg_slice_of("a: &x 1\na: 2\nb: *x\nc: ${nope:1}\nd: [\n"), "f.yaml", &root, &faults) < 0);
    fg_conf_faults_sort(&faults);
    assert_int_equal(faults.len, 5);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(faults.items[i].line, i + 1);
    fg_conf_faults_deinit(&faults);
}

static void expect_refused(char *text, size_t len, const char *says)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_conf_node *root = NULL;

    assert_true(fg_conf_parse(fg_slice_make(text, len), "f.yaml", &root, &faults) < 0);
    assert_non_null(strstr(faults.items[0].text, says));
    fg_conf_faults_deinit(&faults);
    free(text);
}

static char *repeat(const char *unit, size_t n)
{
    size_t len = strlen(unit);
    char *text = fg_malloc(n * len + 1);

    for (size_t i = 0; i < n; i++)
        memcpy(text + i * len, unit, len);
    text[n * len] = '\0';
    return text;
}

static void bombs_of_depth_are_refused(void **state)
{
    expect_refused(repeat("[", 200000), 200000, "deeper than 32");
    expect_refused(repeat("[\n", 100000), 200000, "deeper than 32");
    expect_refused(repeat("{a: ", 50000), 200000, "deeper than 32");
    expect_refused(repeat("- ", 100000), 200000, "deeper than 32");
    expect_refused(repeat("? ", 100000), 200000, "cannot be a key");
}

static void depth_32_is_allowed_and_33_is_not(void **state)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_conf_node *root = NULL;
    char text[] = "a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"; /* 31 */

    assert_int_equal(strlen(text), 3 + 62);
    assert_int_equal(fg_conf_parse(fg_slice_of(text), "f", &root, &faults), 0);
    fg_conf_node_free(root);
    text[0] = '[';
    text[1] = '[';
    expect_refused(repeat(text, 1), strlen(text), "deeper than 32");
    fg_conf_faults_deinit(&faults);
}

static void bombs_of_size_and_number_are_refused(void **state)
{
    expect_refused(repeat("# a comment of 25 bytes.\n", 50000), 50000 * 25, "larger than 1048576 bytes");
    expect_refused(repeat("- a\n", 200000), 800000, "more than 65536 values");
}

static void thirty_thousand_equal_keys_give_a_hundred_faults_and_a_number(void **state)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_conf_node *root = NULL;
    char *text = repeat("a: b\n", 30000);
    char *printed = NULL;
    size_t size;
    FILE *out = open_memstream(&printed, &size);

    assert_true(fg_conf_parse(fg_slice_of(text), "f.yaml", &root, &faults) < 0);
    assert_int_equal(faults.len, FG_CONF_FAULTS_MAX);
    assert_int_equal(faults.unkept, 29999 - FG_CONF_FAULTS_MAX);
    fg_conf_faults_print(&faults, out);
    fclose(out);
    assert_non_null(strstr(printed, "f.yaml:2:1: the key \"a\" is here twice"));
    assert_non_null(strstr(printed, "and 29899 more\n"));
    free(printed);
    free(text);
    fg_conf_faults_deinit(&faults);
}

static void a_file_that_cannot_be_read_is_told_without_a_line(void **state)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_conf_node *root = NULL;

    assert_true(fg_conf_load("/nonexistent/x.yaml", &root, &faults) < 0);
    assert_true(fg_conf_load("/", &root, &faults) < 0);
    assert_int_equal(faults.len, 2);
    assert_int_equal(faults.items[0].line, 0);
    assert_non_null(strstr(faults.items[0].text, "no such file"));
    assert_non_null(strstr(faults.items[1].text, "folder"));
    fg_conf_faults_deinit(&faults);
}

static void faults_are_sorted_by_file_line_and_column(void **state)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;

    fg_conf_fault_add(&faults, "b", 1, 1, "4");
    fg_conf_fault_add(&faults, "a", 2, 1, "2");
    fg_conf_fault_add(&faults, "a", 2, 9, "3");
    fg_conf_fault_add(&faults, "a", 1, 5, "1");
    fg_conf_faults_sort(&faults);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(faults.items[i].text[0], '1' + (int)i);
    fg_conf_faults_deinit(&faults);
    fg_conf_faults_deinit(&faults);
    fg_conf_faults_deinit(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_bad_file_is_told_with_its_place),
        cmocka_unit_test(a_good_file_keeps_lines_and_columns),
        cmocka_unit_test(keys_with_dots_are_found),
        cmocka_unit_test(tabs_inside_texts_stay),
        cmocka_unit_test(all_faults_come_in_one_run),
        cmocka_unit_test(bombs_of_depth_are_refused),
        cmocka_unit_test(depth_32_is_allowed_and_33_is_not),
        cmocka_unit_test(bombs_of_size_and_number_are_refused),
        cmocka_unit_test(thirty_thousand_equal_keys_give_a_hundred_faults_and_a_number),
        cmocka_unit_test(a_file_that_cannot_be_read_is_told_without_a_line),
        cmocka_unit_test(faults_are_sorted_by_file_line_and_column),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
