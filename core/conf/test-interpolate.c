/* SPDX-License-Identifier: Apache-2.0 */
/* ${env:} and ${file:}: what they bring in, and what is wrong with them at which place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf-private.h"

static char folder[] = "/tmp/fragua-conf-XXXXXX";

static void put(const char *name, const char *bytes, size_t len)
{
    char path[128];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
}

static int setup(void **state)
{
    char *large = fg_calloc(1, 70000);
    char fifo[128];

    if (!mkdtemp(folder))
        return -1;
    memset(large, 'x', 70000);
    put("plain", "geheim\n", 7);
    put("windows", "a\r\n", 3);
    put("two", "a\n\n", 3);
    put("empty", "", 0);
    put("nul", "a\0b", 3);
    put("latin1", "\xe9", 1);
    put("large", large, 70000);
    put("limit", large, 65536);
    free(large);
    (void)snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
    if (mkfifo(fifo, 0600) < 0)
        return -1;
    setenv("FG_TEST_SET", "value", 1);
    setenv("FG_TEST_EMPTY", "", 1);
    setenv("FG_TEST_LATIN1", "\xe9", 1);
    unsetenv("FG_TEST_UNSET");
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {
        "plain", "windows", "two", "empty", "nul", "latin1", "large", "limit", "fifo",
    };
    char path[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

static int parse(const char *text, struct fg_conf_node **ret, struct fg_conf_faults *faults)
{
    char name[128];

    (void)snprintf(name, sizeof(name), "%s/f.yaml", folder);
    return fg_conf_parse(fg_slice_of(text), name, ret, faults);
}

static void values_are_replaced(void **state)
{
    static const struct {
        const char *yaml, *value;
    } cases[] = {
        { "a: ${env:FG_TEST_SET}", "value" },
        { "a: <${env:FG_TEST_SET}-${env:FG_TEST_SET}>", "<value-value>" },
        { "a: ${env:FG_TEST_SET:-other}", "value" },
        { "a: ${env:FG_TEST_UNSET:-localhost:9092}", "localhost:9092" },
        { "a: ${env:FG_TEST_EMPTY:-other}", "other" },
        { "a: ${env:FG_TEST_UNSET:-}", "" },
        { "a: ${env:FG_TEST_EMPTY}", "" },
        { "{a: \"${env:FG_TEST_SET}\"}", "value" },
        { "a: ${file:plain}", "geheim" },
        { "a: ${file:windows}", "a" },
        { "a: ${file:two}", "a\n" },
        { "a: ${file:empty}", "" },
        { "a: x${file:plain}y", "xgeheimy" },
        { "a: $${env:FG_TEST_SET}", "${env:FG_TEST_SET}" },
        { "a: $$${env:FG_TEST_SET}", "$${env:FG_TEST_SET}" },
        { "a: $5 and $$ and {x}", "$5 and $$ and {x}" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        FG_CLEANUP(fg_conf_faults_deinit) struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
        struct fg_conf_node *root = NULL;

        if (parse(cases[i].yaml, &root, &faults) < 0)
            fail_msg("%s: %s", cases[i].yaml, faults.items[0].text);
        assert_string_equal(fg_conf_get(root, "a")->text, cases[i].value);
        assert_int_equal(fg_conf_get(root, "a")->text_len, strlen(cases[i].value));
        fg_conf_node_free(root);
    }
}

static void what_was_written_and_whether_a_file_took_part_is_kept(void **state)
{
    FG_CLEANUP(fg_conf_faults_deinit) struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_conf_node *root = NULL;

    assert_int_equal(parse("a: ${file:plain}\nb: ${env:FG_TEST_SET}\nc: x\n${env:FG_TEST_SET}: 1\n", &root,
                           &faults), 0);
    assert_string_equal(fg_conf_get(root, "a")->written, "${file:plain}");
    assert_true(fg_conf_get(root, "a")->from_file);
    assert_string_equal(fg_conf_get(root, "b")->written, "${env:FG_TEST_SET}");
    assert_false(fg_conf_get(root, "b")->from_file);
    assert_null(fg_conf_get(root, "c")->written);
    assert_non_null(fg_conf_get(root, "${env:FG_TEST_SET}")); /* keys stay as they are */
    fg_conf_node_free(root);
}

static void note_file(void *arg, const char *path)
{
    fg_buf_add_str(arg, path + strlen(folder) * (strncmp(path, folder, strlen(folder)) == 0));
    fg_buf_add_char(arg, '\n');
}

static void the_files_that_took_part_are_told_by_their_paths(void **state)
{
    FG_CLEANUP(fg_conf_faults_deinit) struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(1000), told = FG_BUF_INIT(1000);
    struct fg_conf_node *root = NULL;
    char set[128];

    fg_buf_printf(&text, "a: ${file:plain}\nb: [\"${env:FG_TEST_SET}-${file:two}${file:%s/windows}\"]\nc: $${file:no}\n"
                         "d: \"$${file:no}${env:FG_TEST_EMPTY:-x}${file:empty}\"\ne: ${file:plain}\n", folder);
    assert_int_equal(parse(text.data, &root, &faults), 0);
    (void)snprintf(set, sizeof(set), "f=${file:%s/limit}", folder);
    assert_int_equal(fg_conf_set(root, set, &faults), 0);
    fg_conf_tree_files(root, note_file, &told);
    assert_string_equal(told.data, "/plain\n/two\n/windows\n/empty\n/plain\n/limit\n");
    fg_conf_node_free(root);
}

static void a_file_of_64_kib_is_taken_whole(void **state)
{
    FG_CLEANUP(fg_conf_faults_deinit) struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_conf_node *root = NULL;

    assert_int_equal(parse("a: ${file:limit}", &root, &faults), 0);
    assert_int_equal(fg_conf_get(root, "a")->text_len, 65536);
    fg_conf_node_free(root);
}

static void faults_are_told_at_their_place(void **state)
{
    static const struct {
        const char *yaml;
        unsigned line, column;
        const char *says;
    } cases[] = {
        { "a: ${env:FG_TEST_UNSET}", 1, 4, "\"FG_TEST_UNSET\" is not set" },
        { "a: ${env:FG_TEST_SET} ${env:FG_TEST_UNSET}", 1, 23, "is not set" },
        { "a: \"x $${ ${env:FG_TEST_UNSET}\"", 1, 11, "is not set" },
        { "a: |\n  one\n  two ${env:FG_TEST_UNSET}\n", 3, 7, "is not set" },
        { "a: ${env:FG_TEST_SET", 1, 4, "never closed" },
        { "a: \xc3\xa9 ${env", 1, 6, "never closed" },
        { "a: ${nope:x}", 1, 4, "\"nope:x\" is neither env:NAME nor file:PATH" },
        { "a: ${FG_TEST_SET}", 1, 4, "neither env:NAME" },
        { "a: ${}", 1, 4, "neither env:NAME" },
        { "a: ${env:}", 1, 4, "no name of an environment variable" },
        { "a: ${env:1X}", 1, 4, "no name of an environment variable" },
        { "a: ${env:FG_TEST_UNSET:-${env:FG_TEST_SET}}", 1, 4, "inside another" },
        { "a: ${env:FG_TEST_LATIN1}", 1, 4, "not valid UTF-8" },
        { "a: ${file:}", 1, 4, "path is missing" },
        { "a: ${file:absent}", 1, 4, "no such file" },
        { "a: ${file:large}", 1, 4, "larger than 65536 bytes" },
        { "a: ${file:nul}", 1, 4, "NUL byte" },
        { "a: ${file:latin1}", 1, 4, "not valid UTF-8" },
        { "a: ${file:.}", 1, 4, "not a regular file" },
        { "a: ${file:fifo}", 1, 4, "not a regular file" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        FG_CLEANUP(fg_conf_faults_deinit) struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
        struct fg_conf_node *root = NULL;

        if (parse(cases[i].yaml, &root, &faults) >= 0 || faults.len != 1)
            fail_msg("%s: %zu faults", cases[i].yaml, faults.len);
        if (faults.items[0].line != cases[i].line || faults.items[0].column != cases[i].column ||
            !strstr(faults.items[0].text, cases[i].says))
            fail_msg("%s: %u:%u: %s", cases[i].yaml, faults.items[0].line, faults.items[0].column,
                     faults.items[0].text);
    }
}

static void a_file_brought_in_again_and_again_is_refused(void **state)
{
    FG_CLEANUP(fg_conf_faults_deinit) struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(100000);
    struct fg_conf_node *root = NULL;

    fg_buf_add_str(&text, "a:\n");
    for (int i = 0; i < 100; i++)
        fg_buf_add_str(&text, "  - ${file:limit}\n");
    assert_true(parse(text.data, &root, &faults) < 0);
    assert_int_equal(faults.len, 1);
    assert_non_null(strstr(faults.items[0].text, "larger than 4194304 bytes"));
    assert_int_equal(faults.items[0].line, 66);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_replaced),
        cmocka_unit_test(what_was_written_and_whether_a_file_took_part_is_kept),
        cmocka_unit_test(the_files_that_took_part_are_told_by_their_paths),
        cmocka_unit_test(a_file_of_64_kib_is_taken_whole),
        cmocka_unit_test(faults_are_told_at_their_place),
        cmocka_unit_test(a_file_brought_in_again_and_again_is_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
