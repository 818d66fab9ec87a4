/* SPDX-License-Identifier: Apache-2.0 */
/* --set: values replaced and added, and assignments that make no sense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "conf/test-path.h"

static struct fg_conf_node *tree(void)
{
    static const char text[] = "kafka: {bootstrap.servers: x}\nhttp:\nlist: [1, {a: 2}]\nplain: 5\n";
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_conf_node *root = NULL;

    assert_int_equal(fg_conf_parse(fg_slice_of(text), "f.yaml", &root, &faults), 0);
    return root;
}

static void values_are_replaced_and_added(void **state)
{
    static const struct {
        const char *assignment, *path, *value;
    } cases[] = {
        { "plain=6", "plain", "6" },
        { "kafka.bootstrap.servers=host:9092", "kafka.bootstrap.servers", "host:9092" },
        { "kafka.\"linger.ms\"=5", "kafka.\"linger.ms\"", "5" },
        { "list.0=one", "list.0", "one" },
        { "list.1.b=3", "list.1.b", "3" },
        { "http.listen=127.0.0.1:8080", "http.listen", "127.0.0.1:8080" },
        { "pipelines.ingest.source.poll=5s", "pipelines.ingest.source.poll", "5s" },
        { "plain=[a, b]", "plain.1", "b" },
        { "plain={x: y=z}", "plain.x", "y=z" },
        { "plain=a=b", "plain", "a=b" },
        { "plain=\"quoted\"", "plain", "quoted" },
        { "plain=${env:FG_TEST_SET}", "plain", "value" },
        { "plain=", "plain", "" },
    };

    setenv("FG_TEST_SET", "value", 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        FG_CLEANUP(fg_conf_faults_deinit) struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
        struct fg_conf_node *root = tree();
        const struct fg_conf_node *node;

        if (fg_conf_set(root, cases[i].assignment, &faults) < 0)
            fail_msg("%s: %s", cases[i].assignment, faults.items[0].text);
        node = at_path(root, cases[i].path);
        assert_non_null(node);
        assert_string_equal(node->text, cases[i].value);
        assert_string_equal(node->file, "--set");
        fg_conf_node_free(root);
    }
}

static void wrong_assignments_are_told_and_change_no_value(void **state)
{
    static const struct {
        const char *assignment;
        unsigned column;
        const char *says;
    } cases[] = {
        { "plain", 1, "a '=' is missing" },
        { "=5", 1, "a key is missing" },
        { "kafka..x=5", 7, "a key is missing" },
        { "kafka.=5", 7, "a key is missing" },
        { "plain.x=5", 7, "single value" },
        { "list.2=5", 6, "no entry of this list: it has 2" },
        { "list.x=5", 6, "no entry of this list" },
        { "kafka.\"a\"b=5", 10, "'.' or '=' is missing" },
        { "plain=[1", 9, "',' or ']' is missing" },
        { "plain=*x", 7, "the alias" },
        { "plain=${nope:x}", 7, "neither env:NAME" },
        { "plain=x ${env", 9, "never closed" },
        { "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=1", 31, "more than 15 steps" },
        { "plain=\xff", 1, "UTF-8" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        FG_CLEANUP(fg_conf_faults_deinit) struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
        struct fg_conf_node *root = tree();

        assert_true(fg_conf_set(root, cases[i].assignment, &faults) < 0);
        assert_int_equal(faults.len, 1);
        assert_string_equal(faults.items[0].file, "--set");
        assert_int_equal(faults.items[0].line, 1);
        if (faults.items[0].column != cases[i].column || !strstr(faults.items[0].text, cases[i].says))
            fail_msg("%s: %u: %s", cases[i].assignment, faults.items[0].column, faults.items[0].text);
        assert_string_equal(at_path(root, "plain")->text, "5");
        fg_conf_node_free(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_replaced_and_added),
        cmocka_unit_test(wrong_assignments_are_told_and_change_no_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
