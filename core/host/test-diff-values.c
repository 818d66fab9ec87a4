/* SPDX-License-Identifier: Apache-2.0 */
/* Values of each type that differ, or only look so; and two tables of one plugin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "conf/test-table.h"
#include "host/diff-private.h"

static char folder[] = "/tmp/fragua-diff-values-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[64];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    if (!mkdtemp(folder) || chdir(folder) < 0)
        return -1;
    put("one", "hush");
    put("two", "quiet");
    return 0;
}

static int teardown(void **state)
{
    (void)remove("one");
    (void)remove("two");
    return rmdir(folder);
}

/* A text, filled. */
struct side {
    struct fg_conf_node *root;
    struct test_config values;
    struct fg_conf_values *owner;
    struct fg_digests digests;
    struct fg_diff_side side;
};

static void fill_as(struct side *s, const char *yaml, const struct fg_option *table)
{
    FG_CLEANUP(fg_conf_faults_deinit) struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;

    *s = (struct side){ .root = NULL };
    if (fg_conf_parse(fg_slice_of(yaml), "f.yaml", &s->root, &faults) < 0 ||
        fg_conf_fill(s->root, NULL, table, NULL, &s->values, sizeof(s->values), &s->owner, &faults) < 0)
        fail_msg("%s: %s", yaml, faults.items[0].text);
    fg_digests_add_options(&s->digests, table, &s->values);
    s->side = (struct fg_diff_side){ table, &s->values, s->root, &s->digests };
}

static void side_deinit(struct side *s)
{
    fg_digests_deinit(&s->digests);
    fg_conf_values_free(s->owner);
    fg_conf_node_free(s->root);
}

/* "key key*": each that differs, secret ones with a star. */
static void write_keys(const struct side *old, const struct side *new, char *ret, size_t size)
{
    struct fg_diff_keys keys = { .n = 0 };
    struct fg_buf out = FG_BUF_INIT(4000);

    fg_diff_keys_add(&keys, &old->side, &new->side);
    for (size_t i = 0; i < keys.n; i++)
        fg_buf_printf(&out, "%s%s%s", i ? " " : "", keys.items[i].path, keys.items[i].secret ? "*" : "");
    (void)snprintf(ret, size, "%s", out.data ? out.data : "");
    fg_buf_deinit(&out);
    fg_diff_keys_deinit(&keys);
}

static const struct {
    const char *old, *new, *keys;
} cases[] = {
    { "name: a", "name: a", "" },
    { "name: a # why", "{\"name\": 'a'}", "" },
    { "name: a", "name: a\nflag: true\ncount: 10\nratio: 0.50\nmode: exact\npoll: 10000ms\nmemory: 4096KiB\n"
      "pointer: /a\nfolders: [inbox, sent items]\ncommit: {records: 1000}", "" },
    { "{name: a, count: 3}", "{count: 3, name: a}", "" },
    { "name: a", "{name: b, flag: false, count: 11, ratio: 0.25, mode: fast, other-mode: fast, poll: 9s, memory: 1KiB,"
      " url: 'http://x/', path: one, pointer: /b}",
      "flag count ratio name mode other-mode poll memory url path pointer" },
    { "{name: a, url: 'http://x/'}", "name: a", "url" },
    { "{name: a, folders: inbox}", "{name: a, folders: [inbox]}", "" },
    { "{name: a, folders: [b, c]}", "{name: a, folders: [c, b]}", "folders" },
    { "{name: a, folders: [b]}", "{name: a, folders: [b, c]}", "folders" },
    { "{name: a, properties: {x: 1, y: 2, z: 3}}", "{name: a, properties: {z: 3, y: 2, x: 1}}", "" },
    { "{name: a, properties: {b.c: 1, x: 1, y: 2}}", "{name: a, properties: {a: 0, y: 3, b.c: 1}}",
      "properties.a properties.x properties.y" },
    { "{name: a, properties: {}}", "name: a", "" },
    { "name: a", "{name: a, properties: {x: '${file:one}', y: 1}}", "properties.x* properties.y" },
    { "{name: a, commit: {records: 1}}", "{name: a, commit: {}}", "commit.records" },
    { "{name: a, tls: {ca: one}}", "name: a", "tls" },
    { "{name: a, tls: {ca: one}}", "{name: a, tls: {ca: two}}", "tls.ca" },
    { "{name: a, tokens: [{name: x}]}", "{name: a, tokens: [{name: x}, {name: y}]}", "tokens" },
    { "{name: a, tokens: [{name: x}, {name: y, scopes: r}]}", "{name: a, tokens: [{name: z}, {name: y}]}",
      "tokens.0.name tokens.1.scopes" },
    { "{name: a, tokens: []}", "name: a", "" },
    { "{name: a, secret: hush}", "{name: a, secret: hush}", "" },
    { "{name: a, secret: hush}", "{name: a, secret: quiet}", "secret*" },
    { "{name: a, secret: hush}", "name: a", "secret*" },
    { "{name: a, secret: hush}", "{name: a, secret: '${file:one}'}", "" },
    { "{name: a, secret: '${file:one}'}", "{name: a, secret: '${file:two}'}", "secret*" },
    { "{name: '${file:one}'}", "{name: 'x${file:one}'}", "name*" },
    { "{name: '${file:one}'}", "{name: hush}", "" },
    { "{name: '${env:FG_TEST_UNSET:-b}'}", "{name: c}", "name" },
    { "{name: a, folders: [b, '${file:one}']}", "{name: a, folders: [b, c]}", "folders*" },
};

static void values_count_and_how_they_are_written_does_not(void **state)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct side old, new;
        char keys[500], back[500];

        fill_as(&old, cases[i].old, test_table);
        fill_as(&new, cases[i].new, test_table);
        write_keys(&old, &new, keys, sizeof(keys));
        write_keys(&new, &old, back, sizeof(back));
        if (strcmp(keys, cases[i].keys) != 0 || strcmp(back, keys) != 0) {
            print_error("%s\n%s\nexpected \"%s\", got \"%s\", and \"%s\" the other way round\n", cases[i].old,
                        cases[i].new, cases[i].keys, keys, back);
            wrong++;
        }
        side_deinit(&old);
        side_deinit(&new);
    }
    assert_int_equal(wrong, 0);
}

static void what_a_path_names_is_compared_as_it_was_when_loaded(void **state)
{
    struct side first, second, third;
    char keys[100];

    fill_as(&first, "{name: a, path: one, tls: {ca: two}}", test_table);
    put("two", "louder");
    fill_as(&second, "{name: a, path: one, tls: {ca: two}}", test_table);
    put("two", "quiet");
    fill_as(&third, "{name: a, path: one, tls: {ca: two}}", test_table);
    write_keys(&first, &second, keys, sizeof(keys));
    assert_string_equal(keys, "tls.ca*");
    write_keys(&first, &third, keys, sizeof(keys));
    assert_string_equal(keys, "");
    side_deinit(&first);
    side_deinit(&second);
    side_deinit(&third);
}

static void a_secret_read_again_from_its_file_is_compared_by_text(void **state)
{
    struct side first, second;
    char keys[100];

    fill_as(&first, "{name: a, secret: '${file:two}'}", test_table);
    put("two", "louder");
    fill_as(&second, "{name: a, secret: '${file:two}'}", test_table);
    put("two", "quiet");
    write_keys(&first, &second, keys, sizeof(keys));
    assert_string_equal(keys, "secret*");
    side_deinit(&first);
    side_deinit(&second);
}

/* As of a plugin's next version: an option is gone, one has come, one has another type, a default is another. */
static const struct fg_option next_table[] = {
    { .key = "fresh", .type = FG_OPTION_STRING, TEST_MEMBER(url), .fallback = "x" },
    { .key = "name", .type = FG_OPTION_STRING, TEST_MEMBER(name), .flags = FG_OPTION_REQUIRED },
    { .key = "count", .type = FG_OPTION_INTEGER, TEST_MEMBER(poll), .fallback = "77" },
    { .key = "poll", .type = FG_OPTION_STRING, TEST_MEMBER(path) },
    { .key = "secret", .type = FG_OPTION_STRING, TEST_MEMBER(secret), .flags = FG_OPTION_SECRET },
    { .key = "properties", .type = FG_OPTION_PAIRS, TEST_MEMBER(properties), .fallback = "{x: 1}" },
    FG_OPTION_END,
};

static void tables_of_two_versions_are_compared_by_what_the_files_say(void **state)
{
    struct side old, new;
    char keys[100];

    fill_as(&old, "name: a", test_table);
    fill_as(&new, "name: a", next_table);
    write_keys(&old, &new, keys, sizeof(keys));
    assert_string_equal(keys, "");
    side_deinit(&old);
    side_deinit(&new);
    fill_as(&old, "{name: a, count: 5, poll: 10s, mode: fast, secret: hush}", test_table);
    fill_as(&new, "{name: a, count: 5, poll: 10s, fresh: y, secret: hush}", next_table);
    write_keys(&old, &new, keys, sizeof(keys));
    assert_string_equal(keys, "fresh poll mode");
    write_keys(&new, &old, keys, sizeof(keys));
    assert_string_equal(keys, "mode poll fresh");
    side_deinit(&old);
    side_deinit(&new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_count_and_how_they_are_written_does_not),
        cmocka_unit_test(what_a_path_names_is_compared_as_it_was_when_loaded),
        cmocka_unit_test(a_secret_read_again_from_its_file_is_compared_by_text),
        cmocka_unit_test(tables_of_two_versions_are_compared_by_what_the_files_say),
    };

    return cmocka_run_group_tests_name("host diff-values", tests, setup, teardown);
}
