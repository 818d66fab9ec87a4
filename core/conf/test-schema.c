/* SPDX-License-Identifier: Apache-2.0 */
/* What tables and trees look like from outside: JSON Schema, references, JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <cjson/cJSON.h>
#include <regex.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "conf/conf-private.h"
#include "conf/test-table.h"

static cJSON *at(const cJSON *json, const char *a, const char *b)
{
    cJSON *member = cJSON_GetObjectItemCaseSensitive(json, a);

    return b ? cJSON_GetObjectItemCaseSensitive(member, b) : member;
}

static void plugin_member(struct fg_json_writer *w, void *arg)
{
    fg_json_key(w, "plugin");
    fg_json_object(w);
    fg_json_kv_cstr(w, "const", arg);
    fg_json_object_end(w);
}

static cJSON *schema(void)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf out = FG_BUF_INIT(100000);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&out);
    char plugin[] = "x";
    cJSON *json;

    fg_conf_schema_write(&w, test_table, plugin_member, plugin);
    assert_false(out.failed);
    json = cJSON_Parse(out.data);
    assert_non_null(json);
    return json;
}

/* Every schema object: known keywords only, closed objects, required keys that exist, patterns that compile. */
static void check_node(const cJSON *node)
{
    static const char *const words[] = { "type", "properties", "required", "additionalProperties", "pattern", "minimum",
                                         "maximum", "minItems", "maxItems", "minLength", "items", "anyOf", "enum",
                                         "default", "description", "writeOnly", "const", NULL };
    const cJSON *properties = at(node, "properties", NULL), *pattern = at(node, "pattern", NULL), *child;

    cJSON_ArrayForEach(child, node)
    {
        size_t i = 0;
        while (words[i] && strcmp(words[i], child->string) != 0)
            i++;
        if (!words[i])
            fail_msg("unknown keyword %s", child->string);
    }
    if (properties)
        assert_true(cJSON_IsFalse(at(node, "additionalProperties", NULL)));
    cJSON_ArrayForEach(child, at(node, "required", NULL)) assert_non_null(at(properties, child->valuestring, NULL));
    cJSON_ArrayForEach(child, properties) check_node(child);
    if (at(node, "items", NULL))
        check_node(at(node, "items", NULL));
    if (pattern) {
        regex_t regex;
        assert_int_equal(regcomp(&regex, pattern->valuestring, REG_EXTENDED | REG_NOSUB), 0);
        regfree(&regex);
    }
}

static bool matches(const cJSON *property, const char *text)
{
    regex_t regex;
    bool hit;

    assert_int_equal(regcomp(&regex, at(property, "pattern", NULL)->valuestring, REG_EXTENDED | REG_NOSUB), 0);
    hit = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return hit;
}

static void the_schema_is_well_formed_and_closed(void **state)
{
    cJSON *json = schema();
    const cJSON *p = at(json, "properties", NULL);

    check_node(json);
    assert_string_equal(at(p, "plugin", "const")->valuestring, "x");
    assert_int_equal(cJSON_GetArraySize(at(json, "required", NULL)), 1);
    assert_int_equal(at(p, "count", "minimum")->valueint, 1);
    assert_int_equal(at(p, "count", "maximum")->valueint, 100);
    assert_int_equal(at(p, "count", "default")->valueint, 10);
    assert_true(cJSON_IsTrue(at(p, "flag", "default")));
    assert_string_equal(at(p, "poll", "default")->valuestring, "10s");
    assert_int_equal(cJSON_GetArraySize(at(p, "folders", "default")), 2);
    assert_string_equal(at(p, "poll", "description")->valuestring, "how often (between 1s and 1h)");
    assert_true(cJSON_IsTrue(at(p, "secret", "writeOnly")));
    assert_non_null(at(at(p, "tls", "properties"), "ca", NULL));
    cJSON_Delete(json);
}

static void patterns_take_what_the_program_takes(void **state)
{
    cJSON *json = schema();
    const cJSON *p = at(json, "properties", NULL);

    assert_true(matches(at(p, "poll", NULL), "10s"));
    assert_true(matches(at(p, "poll", NULL), "${env:POLL:-10s}"));
    assert_false(matches(at(p, "poll", NULL), "10"));
    assert_false(matches(at(p, "poll", NULL), "10 s"));
    assert_true(matches(at(p, "memory", NULL), "64KiB"));
    assert_false(matches(at(p, "memory", NULL), "64KB"));
    assert_true(matches(at(p, "url", NULL), "https://host:1/x?y"));
    assert_false(matches(at(p, "url", NULL), "https://user@host/"));
    assert_false(matches(at(p, "count", NULL), "5"));
    assert_true(matches(at(p, "count", NULL), "${file:count}"));
    assert_true(matches(at(p, "pointer", NULL), ""));
    assert_false(matches(at(p, "pointer", NULL), "a"));
    cJSON_Delete(json);
}

static void references_hold_every_option(void **state)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(100000);
    FG_CLEANUP(fg_buf_deinit) struct fg_buf markdown = FG_BUF_INIT(100000);
    FG_CLEANUP(fg_buf_deinit) struct fg_buf json = FG_BUF_INIT(100000);
    cJSON *array;

    fg_conf_doc_write(&text, test_table, FG_CONF_DOC_TEXT);
    fg_conf_doc_write(&markdown, test_table, FG_CONF_DOC_MARKDOWN);
    fg_conf_doc_write(&json, test_table, FG_CONF_DOC_JSON);
    assert_non_null(strstr(text.data, "name  string, required\n    what it is called\n"));
    assert_non_null(strstr(text.data, "commit.records  integer, default 1000, at least 1 records\n"));
    assert_non_null(strstr(markdown.data, "| key | type | default | what |\n|---|---|---|---|\n"));
    assert_non_null(strstr(markdown.data, "| `poll` | duration | `10s` | how often (between 1s and 1h) |\n"));
    assert_non_null(strstr(markdown.data, "A \\| B |\n"));
    assert_non_null(strstr(markdown.data, "| `tls.ca` | path | required |"));
    array = cJSON_Parse(json.data);
    assert_int_equal(cJSON_GetArraySize(array), 17);
    assert_string_equal(at(cJSON_GetArrayItem(array, 7), "unit", NULL)->valuestring, "ms");
    assert_int_equal(at(cJSON_GetArrayItem(array, 7), "max", NULL)->valueint, 3600000);
    assert_true(cJSON_IsTrue(at(cJSON_GetArrayItem(array, 4), "secret", NULL)));
    assert_int_equal(cJSON_GetArraySize(at(cJSON_GetArrayItem(array, 16), "members", NULL)), 2);
    cJSON_Delete(array);
}

static void a_tree_as_json_hides_secrets(void **state)
{
    static const char yaml[] = "a: 5\nb: '5'\nc: true\nd: 10s\ne: [1.5, null]\nf: ${env:FG_TEST:-hush1}\n"
                               "sasl: {sasl.password: hush2, client-secret: hush3}\n";
    FG_CLEANUP(fg_buf_deinit) struct fg_buf out = FG_BUF_INIT(10000);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&out);
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_conf_node *root = NULL;

    assert_int_equal(fg_conf_parse(fg_slice_of(yaml), "f", &root, &faults), 0);
    fg_conf_tree_write(&w, root);
    assert_string_equal(out.data, "{\"a\":5,\"b\":\"5\",\"c\":true,\"d\":\"10s\",\"e\":[1.5,null],"
                                  "\"f\":\"${env:FG_TEST:-hush1}\","
                                  "\"sasl\":{\"sasl.password\":\"***\",\"client-secret\":\"***\"}}");
    fg_conf_node_free(root);
}

/* What a new type must have, it is asked for by the tests that go through this table. */
static void the_tests_know_every_type(void **state)
{
    for (int type = 0; type < _FG_OPTION_TYPE_N; type++) {
        const struct fg_option *o = test_table;
        while (o->key && (int)o->type != type)
            o++;
        if (!o->key)
            fail_msg("no row of type %d in test-table.h", type);
        assert_non_null(fg_conf_type_name((enum fg_option_type)type));
        assert_true(fg_conf_type_size((enum fg_option_type)type) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_schema_is_well_formed_and_closed),
        cmocka_unit_test(patterns_take_what_the_program_takes),
        cmocka_unit_test(references_hold_every_option),
        cmocka_unit_test(a_tree_as_json_hides_secrets),
        cmocka_unit_test(the_tests_know_every_type),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
