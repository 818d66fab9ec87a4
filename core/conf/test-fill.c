/* SPDX-License-Identifier: Apache-2.0 */
/* Tables at work: every type good, bad, at its bounds and by default; groups; all faults in one run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "conf/conf-private.h"
#include "conf/test-table.h"

struct filled {
    struct test_config config;
    struct fg_conf_node *root;
    struct fg_conf_values *values;
    struct fg_conf_faults faults;
    int r;
};

static struct filled fill(const char *yaml)
{
    struct filled f = { .values = NULL };

    if (fg_conf_parse(fg_slice_of(yaml), "f.yaml", &f.root, &f.faults) < 0)
        fail_msg("%s: %s", yaml, f.faults.items[0].text);
    f.r = fg_conf_fill(f.root, NULL, test_table, (const char *const[]){ "plugin", NULL }, &f.config, sizeof(f.config),
                       &f.values, &f.faults);
    return f;
}

static void filled_deinit(struct filled *f)
{
    fg_conf_values_free(f->values);
    fg_conf_node_free(f->root);
    fg_conf_faults_deinit(&f->faults);
}

static void absent_options_have_their_defaults(void **state)
{
    FG_CLEANUP(filled_deinit) struct filled f = fill("plugin: x\nname: n\n");
    const struct test_commit *commit = f.config.commit;

    assert_int_equal(f.r, 0);
    assert_true(f.config.flag);
    assert_int_equal(f.config.count, 10);
    assert_true(f.config.ratio == 0.5);
    assert_string_equal(f.config.name, "n");
    assert_null(f.config.secret);
    assert_int_equal(f.config.mode, 1);
    assert_int_equal(f.config.other_mode, -1);
    assert_int_equal(f.config.poll, 10000);
    assert_int_equal(f.config.memory, 4 << 20);
    assert_null(f.config.url);
    assert_string_equal(f.config.pointer, "/a");
    assert_int_equal(f.config.folders.len, 2);
    assert_string_equal(f.config.folders.items[1], "sent items");
    assert_int_equal(f.config.properties.len, 0);
    assert_int_equal(commit->records, 1000);
    assert_null(f.config.tls);
    assert_int_equal(f.config.tokens.len, 0);
}

static void good_values_arrive(void **state)
{
    FG_CLEANUP(filled_deinit) struct filled f =
        fill("name: 12\nflag: false\ncount: 1\nratio: 1\nsecret: \"hush hush\"\nmode: fast\npoll: 1h\nmemory: 512\n"
             "url: HTTP://[::1]:8080/x?y=1\npath: /etc/x\npointer: ''\nfolders: inbox\n"
             "properties: {linger.ms: 5, x: 'y'}\ncommit: {records: 5}\ntls: {ca: a}\n"
             "tokens: [{name: a}, {name: b, scopes: [read]}]\n");
    const struct test_commit *commit = f.config.commit;
    const struct test_tls *tls = f.config.tls;
    const struct test_token *tokens = f.config.tokens.items;

    assert_int_equal(f.r, 0);
    assert_string_equal(f.config.name, "12");
    assert_false(f.config.flag);
    assert_int_equal(f.config.count, 1);
    assert_true(f.config.ratio == 1.0);
    assert_true(fg_slice_is(fg_secret_text(f.config.secret), "hush hush"));
    assert_int_equal(f.config.mode, 0);
    assert_int_equal(f.config.poll, 3600000);
    assert_int_equal(f.config.memory, 512);
    assert_string_equal(f.config.url, "HTTP://[::1]:8080/x?y=1");
    assert_string_equal(f.config.path, "/etc/x");
    assert_string_equal(f.config.pointer, "");
    assert_int_equal(f.config.folders.len, 1);
    assert_int_equal(f.config.properties.len, 2);
    assert_string_equal(f.config.properties.items[0].key, "linger.ms");
    assert_string_equal(f.config.properties.items[1].value, "y");
    assert_int_equal(commit->records, 5);
    assert_string_equal(tls->ca, "a");
    assert_int_equal(f.config.tokens.len, 2);
    assert_string_equal(tokens[1].name, "b");
    assert_string_equal(tokens[1].scopes.items[0], "read");
}

static void values_from_outside_may_stand_in_quotes(void **state)
{
    setenv("FG_TEST_COUNT", "7", 1);
    {
        FG_CLEANUP(filled_deinit) struct filled f = fill("{name: n, count: \"${env:FG_TEST_COUNT}\"}\n");
        assert_int_equal(f.r, 0);
        assert_int_equal(f.config.count, 7);
    }
}

static const struct {
    const char *yaml;
    unsigned line, column;
    const char *says;
} bads[] = {
    { "flag: yes", 1, 7, "`flag` must be true or false, not \"yes\": write true" },
    { "flag: off", 1, 7, "not \"off\": write false" },
    { "flag: \"true\"", 1, 7, "take the quotes off \"true\"" },
    { "count: many", 1, 8, "`count` must be a whole number, not \"many\"" },
    { "count: 1.5", 1, 8, "must be a whole number" },
    { "count: \"5\"", 1, 8, "`count` must be a number: take the quotes off \"5\"" },
    { "count: 0", 1, 8, "`count` must be between 1 and 100, not \"0\"" },
    { "count: 101", 1, 8, "must be between 1 and 100" },
    { "count: 99999999999999999999", 1, 8, "must be a whole number" },
    { "count: [1]", 1, 8, "must be a single value, not a list" },
    { "count: {a: 1}", 1, 8, "must be a single value, not a map" },
    { "count:", 1, 7, "has no value" },
    { "count: ~", 1, 8, "has no value" },
    { "ratio: x", 1, 8, "`ratio` must be a number" },
    { "ratio: 1.1", 1, 8, "must be between 0 and 1, not \"1.1\"" },
    { "ratio: .nan", 1, 8, "must be a number" },
    { "mode: fats", 1, 7, "`mode` must be fast or exact, not \"fats\": did you mean fast?" },
    { "mode: Exact", 1, 7, "did you mean exact?" },
    { "mode: q", 1, 7, "must be fast or exact, not \"q\"" },
    { "poll: 5ms", 1, 7, "`poll` must be between 1s and 1h, not \"5ms\"" },
    { "poll: 2h", 1, 7, "must be between 1s and 1h" },
    { "poll: 10", 1, 7, "must be a duration such as 100ms, 10s, 5m, 1h or 2d, not \"10\": the unit is missing" },
    { "poll: soon", 1, 7, "must be a duration" },
    { "memory: 64KB", 1, 9, "`memory` must be a size such as 512, 64KiB, 4MiB or 1GiB, not \"64KB\"" },
    { "memory: 2GiB", 1, 9, "must be between 512 and 1GiB, not \"2GiB\"" },
    { "url: ftp://host", 1, 6, "must begin with http:// or https://" },
    { "url: /relative", 1, 6, "must begin with http:// or https://" },
    { "url: https:///x", 1, 6, "the host is missing" },
    { "url: http://h:0/", 1, 6, "the port must be" },
    { "url: http://h:99999/", 1, 6, "the port must be" },
    { "url: http://a b/", 1, 6, "percent-encoded" },
    { "url: 'http://a\\b/'", 1, 6, "percent-encoded" },
    { "url: http://[::1/", 1, 6, "']' is missing" },
    { "url: http://a%20b/", 1, 6, "no host has" },
    { "path: ''", 1, 7, "must not be empty" },
    { "pointer: a/b", 1, 10, "must be a JSON pointer" },
    { "pointer: /~2", 1, 10, "must be a JSON pointer" },
    { "folders: {a: 1}", 1, 10, "must be a list, not a map" },
    { "folders: [a, [b]]", 1, 14, "must be a single value, not a list" },
    { "folders: []", 1, 10, "must have between 1 and 3 entries, not 0" },
    { "folders: [a, b, c, d]", 1, 10, "not 4" },
    { "properties: [a]", 1, 13, "must be a map" },
    { "properties: {x: [a]}", 1, 17, "`properties.x` must be a single value" },
    { "commit: 5", 1, 9, "`commit` must be a map" },
    { "commit:", 1, 8, "has no value: write its keys below it, or {}" },
    { "commit:\n  records: 0", 2, 12, "`commit.records` must be at least 1, not \"0\"" },
    { "commit: {recods: 1}", 1, 10, "unknown key \"recods\" in `commit`: did you mean `records`?" },
    { "tls: {}", 1, 6, "`tls.ca` is missing in the map that begins here (certificates that are trusted)" },
    { "tokens: {name: a}", 1, 9, "must be a list of maps" },
    { "tokens:\n  - name: a\n  - {nam: b, name: c}\n", 3, 6,
      "unknown key \"nam\" in `tokens[1]`: did you mean `name`?" },
    { "tokens: [{scopes: read}]", 1, 10, "`tokens[0].name` is missing" },
    { "tokens: [x]", 1, 10, "`tokens` must be a map" },
    { "naem: x", 1, 1, "unknown key \"naem\": did you mean `name`?" },
    { "plugn: x", 1, 1, "did you mean `plugin`?" },
    { "zzzzzzzz: x", 1, 1, "unknown key \"zzzzzzzz\"" },
};

static void bad_values_are_told_at_their_place(void **state)
{
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
        char yaml[256];
        struct filled f;

        (void)snprintf(yaml, sizeof(yaml), "%s\nname: n\n", bads[i].yaml);
        f = fill(yaml);
        if (f.r >= 0 || f.faults.len != 1)
            fail_msg("%s: %zu faults", bads[i].yaml, f.faults.len);
        if (f.faults.items[0].line != bads[i].line || f.faults.items[0].column != bads[i].column ||
            !strstr(f.faults.items[0].text, bads[i].says))
            fail_msg("%s: %u:%u: %s", bads[i].yaml, f.faults.items[0].line, f.faults.items[0].column,
                     f.faults.items[0].text);
        assert_null(f.values);
        assert_null(f.config.name);
        filled_deinit(&f);
    }
}

static void what_is_missing_names_where_the_map_begins(void **state)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_conf_values *values = NULL;
    struct test_config config;
    struct fg_conf_node *where = fg_conf_node_new(FG_CONF_MAP, "f.yaml", 7, 3);

    assert_true(fg_conf_fill(NULL, where, test_table, NULL, &config, sizeof(config), &values, &faults) < 0);
    assert_int_equal(faults.len, 1);
    assert_int_equal(faults.items[0].line, 7);
    assert_int_equal(faults.items[0].column, 3);
    assert_string_equal(faults.items[0].text, "`name` is missing in the map that begins here (what it is called)");
    fg_conf_faults_deinit(&faults);
    fg_conf_node_free(where);
}

static void all_faults_come_in_one_run_in_order(void **state)
{
    FG_CLEANUP(filled_deinit) struct filled f = fill("tls: {}\npoll: 5ms\nflag: on\nnonsense: 1\ncount: x\n");

    assert_true(f.r < 0);
    fg_conf_faults_sort(&f.faults);
    assert_int_equal(f.faults.len, 6);
    assert_int_equal(f.faults.items[0].line, 1); /* name is missing */
    assert_int_equal(f.faults.items[1].line, 1);
    for (unsigned i = 2; i < 6; i++)
        assert_int_equal(f.faults.items[i].line, i);
}

static void collect(void *arg, struct fg_slice bytes)
{
    fg_buf_add_slice(arg, bytes);
    fg_buf_add_char(arg, ' ');
}

static void secrets_are_listed_and_never_told(void **state)
{
    FG_CLEANUP(filled_deinit) struct filled good = fill("name: n\nsecret: hunter2\n");
    FG_CLEANUP(filled_deinit) struct filled bad = fill("name: n\nsecret: [hunter2]\nurl: https://u:hunter2@host/\n");
    FG_CLEANUP(fg_buf_deinit) struct fg_buf seen = FG_BUF_INIT(100);

    fg_conf_values_secrets(good.values, collect, &seen);
    assert_string_equal(seen.data, "hunter2 ");
    assert_true(fg_conf_get(good.root, "secret")->secret);
    assert_int_equal(bad.faults.len, 2);
    for (size_t i = 0; i < bad.faults.len; i++)
        assert_null(strstr(bad.faults.items[i].text, "hunter2"));
    fg_conf_values_secrets(NULL, collect, &seen);
}

static void values_from_the_environment_are_told_as_written(void **state)
{
    setenv("FG_TEST_PRIVATE", "hunter2", 1);
    {
        FG_CLEANUP(filled_deinit) struct filled f = fill("name: n\ncount: ${env:FG_TEST_PRIVATE}\n");
        assert_string_equal(f.faults.items[0].text,
                            "`count` must be a whole number, not \"${env:FG_TEST_PRIVATE}\"");
    }
}

static void a_table_that_is_in_order_passes(void **state)
{
    struct fg_error err = FG_ERROR_NULL;

    if (fg_conf_table_check(test_table, &err) < 0)
        fail_msg("%s", err.text);
}

static void tables_with_mistakes_are_refused(void **state)
{
    static const char *const choices[] = { "a", NULL };
    static const struct fg_option self[] = {
        { .key = "x", .type = FG_OPTION_GROUP, .summary = "s", .members = self, .members_size = 8 }, FG_OPTION_END };
    static const struct fg_option far[] = { { .key = "y", .offset = 8, .summary = "s" }, FG_OPTION_END };
    static const struct fg_option must[] = {
        { .key = "y", .flags = FG_OPTION_REQUIRED, .summary = "s" }, FG_OPTION_END };
    static const struct {
        struct fg_option option;
        const char *says;
    } cases[] = {
        { { .key = "Bad", .summary = "s" }, "lower-case" },
        { { .key = "a--b", .summary = "s" }, "lower-case" },
        { { .key = "a-", .summary = "s" }, "lower-case" },
        { { .key = "a" }, "no summary" },
        { { .key = "a", .type = 99, .summary = "s" }, "type is unknown" },
        { { .key = "a", .type = FG_OPTION_ENUM, .summary = "s" }, "choices" },
        { { .key = "a", .type = FG_OPTION_BOOL, .choices = choices, .summary = "s" }, "choices" },
        { { .key = "a", .type = FG_OPTION_GROUP, .summary = "s" }, "needs members" },
        { { .key = "a", .flags = FG_OPTION_SECRET, .summary = "s" }, "only a STRING" },
        { { .key = "a", .type = FG_OPTION_STRING, .flags = FG_OPTION_SECRET, .fallback = "x", .summary = "s" },
          "cannot have a default" },
        { { .key = "a", .flags = FG_OPTION_REQUIRED, .fallback = "true", .summary = "s" }, "required" },
        { { .key = "a", .flags = FG_OPTION_ABSENT_DEFAULTS, .summary = "s" }, "ABSENT_DEFAULTS" },
        { { .key = "a", .type = FG_OPTION_GROUP, .flags = FG_OPTION_ABSENT_DEFAULTS, .members = must,
            .members_size = 8, .summary = "s" }, "no member can be required" },
        { { .key = "a", .type = FG_OPTION_INTEGER, .min = 2, .max = 1, .summary = "s" }, "min is larger" },
        { { .key = "a", .type = FG_OPTION_STRING, .max = 1, .summary = "s" }, "no bounds" },
        { { .key = "a", .type = FG_OPTION_SIZE, .min = -1, .max = 1, .summary = "s" }, "negative" },
        { { .key = "a", .type = FG_OPTION_INTEGER, .min = 1, .max = 2, .fallback = "3", .summary = "s" },
          "its default is wrong: `a` must be between 1 and 2" },
        { { .key = "a", .type = FG_OPTION_GROUP, .members = far, .members_size = 8, .summary = "s" }, "outside" },
        { { .key = "a", .type = FG_OPTION_GROUP, .members = self, .members_size = 8, .summary = "s" }, "itself" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct fg_option table[] = { cases[i].option, FG_OPTION_END };
        struct fg_error err = FG_ERROR_NULL;

        if (fg_conf_table_check(table, &err) >= 0 || !strstr(err.text, cases[i].says))
            fail_msg("%zu (%s): %s", i, cases[i].says, err.text);
    }
}

static void a_key_twice_in_a_table_is_refused(void **state)
{
    const struct fg_option table[] = { { .key = "a", .summary = "s" }, { .key = "a", .summary = "s" }, FG_OPTION_END };
    struct fg_error err = FG_ERROR_NULL;

    assert_true(fg_conf_table_check(table, &err) < 0);
    assert_non_null(strstr(err.text, "twice"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_options_have_their_defaults),
        cmocka_unit_test(good_values_arrive),
        cmocka_unit_test(values_from_outside_may_stand_in_quotes),
        cmocka_unit_test(bad_values_are_told_at_their_place),
        cmocka_unit_test(what_is_missing_names_where_the_map_begins),
        cmocka_unit_test(all_faults_come_in_one_run_in_order),
        cmocka_unit_test(secrets_are_listed_and_never_told),
        cmocka_unit_test(values_from_the_environment_are_told_as_written),
        cmocka_unit_test(a_table_that_is_in_order_passes),
        cmocka_unit_test(tables_with_mistakes_are_refused),
        cmocka_unit_test(a_key_twice_in_a_table_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
