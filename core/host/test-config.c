/* SPDX-License-Identifier: Apache-2.0 */
/* Whole pipeline files: what a good one becomes, and where and how each bad one is blamed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "bus/rdkafka/rdkafka.h"
#include "host/config.h"

struct loaded {
    struct fg_plugin_path path;
    struct fg_config *config;
    struct fg_conf_faults faults;
    int r;
};

static struct loaded load_with(const char *yaml, const char *const *sets, size_t n_sets)
{
    struct loaded l = { .r = 0 };
    const char *dirs[] = { getenv("FRAGUA_TEST_PLUGINS"), getenv("FRAGUA_EXAMPLE_PLUGINS") };

    assert_int_equal(fg_plugin_path_init(&l.path, dirs, 2, NULL), 0);
    l.r = fg_config_load("f.yaml", fg_slice_of(yaml), sets, n_sets, &l.path, &l.config, &l.faults);
    return l;
}

static struct loaded load(const char *yaml)
{
    return load_with(yaml, NULL, 0);
}

static void loaded_deinit(struct loaded *l)
{
    fg_config_unref(l->config);
    fg_conf_faults_deinit(&l->faults);
    fg_plugin_path_deinit(&l->path);
}

struct bad {
    const char *yaml;
    unsigned line, column;
    const char *text;
};

#define KAFKA "kafka: {embedded: true}\n"
#define HELLO "http: {plugins: [{plugin: control-hello}]}\n"
#define NO_HASH "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
#define PIPE KAFKA "pipelines:\n  p:\n"

static const struct bad bad_files[] = {
    { "", 1, 1, "" },
    { "- a list\n", 1, 1, "" },
    { "nonsense: 1\n" HELLO, 1, 1, "unknown section \"nonsense\"; there are kafka, http, limits, reload, "
      "plugins and pipelines" },
    { "limits: {memory: 64MiB}\n", 1, 1, "there is nothing to run" },
    { "limits: {memory: 1KiB}\n" HELLO, 1, 18, "memory" },
    { "limits: {memory: lots}\n" HELLO, 1, 18, "memory" },
    { "limits: {workers: 65}\n" HELLO, 1, 19, "workers" },
    { "limits: {wokers: 2}\n" HELLO, 1, 10, "did you mean" },
    { "limits: {drain: 11m}\n" HELLO, 1, 17, "drain" },
    { "reload: {settle: 1ms}\n" HELLO, 1, 18, "settle" },
    { "reload: {watch: sometimes}\n" HELLO, 1, 17, "watch" },
    { "reload: {probation: 11m, check: 0s}\n" HELLO, 1, 33, "check" },
    { "plugins: {owner: me}\n" HELLO, 1, 18, "any or root" },
    { "limits: 7\n" HELLO, 1, 9, "this must be a map of keys" },
    { "http: {listen: \"0.0.0.0:8080\", plugins: [{plugin: control-hello}]}\n", 1, 7, "is open to others" },
    { "http: {listen: \"127.example.com:80\", plugins: [{plugin: control-hello}]}\n", 1, 7, "is open to others" },
    { "http: {plugins: {plugin: control-hello}}\n", 1, 17, "`http.plugins` is a list" },
    { "http: {plugins: [control-hello]}\n", 1, 18, "`http.plugins.0` needs `plugin: NAME`" },
    { "http: {plugins: [{greeting: hi}]}\n", 1, 18, "`http.plugins.0` needs `plugin: NAME`" },
    { "http:\n  plugins:\n    - plugin: control-helo\n", 3, 15, "did you mean \"control-hello\"?" },
    { "http:\n  plugins:\n    - plugin: sink-log\n", 3, 15, "is a sink, but `http.plugins.0` takes a control" },
    { "http:\n  plugins:\n    - {plugin: control-hello, greting: hi}\n", 3, 31, "greting" },
    { "http: {plugins: [{plugin: control-hello, sha256: 12}]}\n", 1, 50, "`http.plugins.0.sha256` is the SHA-256" },
    { "http: {plugins: [{plugin: control-hello, sha256: " NO_HASH "}]}\n", 1, 27, "is another file" },
    { "http:\n  plugins:\n    - {plugin: bad-abi}\n", 3, 16, "was built for ABI 2" },
    { "http:\n  plugins:\n    - {plugin: good-order, loose: true}\n", 3, 7, "only there to be refused" },
    { "http: {tokens: [{name: a, sha256: 12, scopes: read}]}\n" HELLO, 2, 1, "http" },
    { "http: {plugins: [{plugin: control-hello}], tokens: [{name: a, sha256: zz, scopes: read}]}\n", 1, 7,
      "token \"a\": `sha256` is 64 hex digits" },
    { "pipelines:\n  p:\n    input: {topic: a}\n    output: {topic: b}\n", 1, 1, "`kafka` needs `bootstrap.servers`" },
    { "kafka: {embedded: true, properties: {no.such.thing: 1}}\n" HELLO, 1, 53, "no.such.thing" },
    { "kafka: {bootstrap.servers: \"a:1\", tls: {key: k}}\n" HELLO, 1, 8, "needs both `certificate` and `key`" },
    { PIPE "    output: {topic: b}\n", 4, 5, "pipeline \"p\" needs a `source` (plugin) or an `input` (topic)" },
    { PIPE "    input: {topic: a}\n", 4, 5, "pipeline \"p\" leads nowhere" },
    { PIPE "    input: {topic: a, topics: [b]}\n    output: {topic: b}\n", 4, 5, "needs either `topic` or `topics`" },
    { PIPE "    input: {}\n    output: {topic: b}\n", 4, 5, "needs either `topic` or `topics`" },
    { PIPE "    source: {plugin: source-lines, lines: a}\n    input: {topic: a}\n    output: {topic: b}\n", 4, 5,
      "has both `source` and `input`" },
    { PIPE "    source: {plugin: source-lines}\n    output: {topic: b}\n", 4, 13, "lines" },
    { PIPE "    role: leader\n    input: {topic: a}\n    output: {topic: b}\n", 4, 11, "producer or consumer" },
    { PIPE "    input: {topic: a}\n    output: {topic: b}\n    delivery: twice\n", 6, 15, "delivery" },
    { PIPE "    input: {topic: a}\n    transforms: {plugin: transform-upper}\n    output: {topic: b}\n", 5, 17,
      "`transforms` is a list" },
    { PIPE "    input: {topic: a}\n    sink: [{plugin: sink-log}]\n", 5, 11, "`sink` needs `plugin: NAME`" },
    { PIPE "    input: {topic: a}\n    sink: {plugin: sink-log, width: 0}\n", 5, 37, "width" },
    { PIPE "    commit: {records: 0}\n    input: {topic: a}\n    output: {topic: b}\n", 4, 23, "records" },
    { KAFKA "pipelines:\n  P_1:\n    input: {topic: a}\n    output: {topic: b}\n", 3, 3, "is no pipeline name" },
    { KAFKA "pipelines:\n  p:\n", 3, 0, "pipeline \"p\" is empty" },
    { KAFKA "pipelines: [p]\n", 2, 12, "`pipelines` is a map" },
    { HELLO HELLO, 2, 1, "http" },
    { "http: {plugins: [{plugin: control-hello}]\n", 2, 1, "" },
    { "http:\n\tplugins: []\n", 2, 1, "" },
};

static void each_bad_file_is_blamed_at_its_line_and_column(void **state)
{
    unsigned n_wrong = 0;

    for (size_t i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
        const struct bad *bad = &bad_files[i];
        struct loaded l = load(bad->yaml);
        bool found = false;

        assert_true(l.r < 0);
        assert_null(l.config);
        assert_true(l.faults.len > 0);
        for (size_t k = 0; k < l.faults.len && !found; k++)
            found = l.faults.items[k].line == bad->line &&
                    (!bad->column || l.faults.items[k].column == bad->column) &&
                    strstr(l.faults.items[k].text, bad->text);
        if (!found)
            print_error("%sexpected %u:%u %s, got %u:%u %s\n", bad->yaml, bad->line, bad->column, bad->text,
                        l.faults.items[0].line, l.faults.items[0].column, l.faults.items[0].text);
        n_wrong += !found;
        loaded_deinit(&l);
    }
    assert_int_equal(n_wrong, 0);
}

static void all_faults_come_in_one_run_in_the_order_of_the_file(void **state)
{
    struct loaded l = load("limits: {workers: 99}\n" KAFKA "http:\n  plugins:\n    - plugin: bad-magic\n"
                           "pipelines:\n  a:\n    input: {topic: x}\n  b:\n    output: {topic: x}\n");

    assert_int_equal(l.faults.len, 4);
    for (size_t i = 1; i < l.faults.len; i++)
        assert_true(l.faults.items[i - 1].line < l.faults.items[i].line);
    loaded_deinit(&l);
}

static void a_good_file_becomes_a_config_with_its_plugins_loaded(void **state)
{
    struct loaded l = load(KAFKA "http: {plugins: [{plugin: control-hello, greeting: hi}]}\n"
                           "pipelines:\n"
                           "  in:\n    source: {plugin: source-lines, lines: [a, b]}\n"
                           "    transforms: [{plugin: transform-upper}, {plugin: transform-upper, header: x}]\n"
                           "    output: {topic: t, rows: r}\n"
                           "  out:\n    input: {topics: [t, r], from: end}\n    sink: {plugin: sink-log}\n"
                           "    dead-letters: {}\n");
    const struct fg_config *c = l.config;
    const struct fg_config_pipeline *in, *out;

    assert_int_equal(l.r, 0);
    assert_true(c->kafka.embedded);
    assert_string_equal(c->kafka.cursors_topic, "fragua.cursors");
    assert_string_equal(c->http.listen, "127.0.0.1:8080");
    assert_int_equal(c->limits.memory, 256 * 1024 * 1024);
    assert_int_equal(c->n_controls, 1);
    assert_int_equal(c->n_pipelines, 2);
    in = &c->pipelines[0];
    out = &c->pipelines[1];
    assert_string_equal(in->name, "in");
    assert_string_equal(in->source.file->plugin.name, "source-lines");
    assert_int_equal(in->n_transforms, 2);
    assert_string_equal(in->transforms[1].node, "transforms.1");
    assert_null(in->sink.file);
    assert_int_equal(in->o.output.len, 2);
    assert_int_equal(in->o.commit->records, 1000);
    assert_null(in->o.dead);
    assert_int_equal(out->o.input->topics.len, 2);
    assert_int_equal(out->o.input->from, 1);
    assert_string_equal(out->o.dead->topic, "mail.dead");
    assert_int_equal(out->o.dead->attempts, 5);
    loaded_deinit(&l);
}

static void a_reload_has_its_defaults_and_its_options(void **state)
{
    struct loaded l = load(HELLO);

    assert_int_equal(l.r, 0);
    assert_int_equal(l.config->reload.probation, 10000);
    assert_true(l.config->reload.watch);
    assert_int_equal(l.config->reload.settle, 200);
    assert_int_equal(l.config->reload.check, 15000);
    assert_int_equal(l.config->limits.drain, 5000);
    assert_int_equal(l.config->plugins.owner, FG_PLUGINS_OF_ANY);
    loaded_deinit(&l);
    l = load("limits: {drain: 0s}\nreload: {probation: 0s, watch: false, settle: 1s, check: 1m}\n" HELLO);
    assert_int_equal(l.r, 0);
    assert_int_equal(l.config->reload.probation, 0);
    assert_false(l.config->reload.watch);
    assert_int_equal(l.config->reload.settle, 1000);
    assert_int_equal(l.config->reload.check, 60000);
    assert_int_equal(l.config->limits.drain, 0);
    loaded_deinit(&l);
}

static void a_plugin_may_be_pinned_to_the_hash_of_its_file(void **state)
{
    struct loaded l = load(HELLO);
    char yaml[256];

    assert_int_equal(l.r, 0);
    assert_null(l.config->controls[0].sha256);
    (void)snprintf(yaml, sizeof(yaml), "http: {plugins: [{plugin: control-hello, sha256: %s}]}\n",
                   l.config->controls[0].file->sha256);
    loaded_deinit(&l);
    l = load(yaml);
    assert_int_equal(l.r, 0);
    assert_string_equal(l.config->controls[0].sha256, l.config->controls[0].file->sha256);
    loaded_deinit(&l);
}

static void plugins_that_others_can_write_are_refused_where_root_must_own_them(void **state)
{
    char folder[] = "/tmp/fragua-owner-XXXXXX", file[64];
    const char *dir = folder, *owners[] = { "plugins.owner=root", "plugins.owner=any" };
    struct loaded l = { .r = 0 };

    assert_non_null(mkdtemp(folder));
    (void)snprintf(file, sizeof(file), "%s/control-hello.so", folder);
    assert_int_equal(mkfifo(file, 0666), 0); /* no plugin: what it is refused for is looked at */
    assert_int_equal(chmod(file, 0666), 0);
    assert_int_equal(fg_plugin_path_init(&l.path, &dir, 1, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_true(fg_config_load("f.yaml", fg_slice_of(HELLO), &owners[i], 1, &l.path, &l.config, &l.faults) < 0);
        assert_int_equal(l.faults.len, 1);
        assert_int_equal(strstr(l.faults.items[0].text, "`plugins.owner` is root") != NULL, i == 0);
        fg_conf_faults_deinit(&l.faults);
        l.faults = FG_CONF_FAULTS_NULL;
    }
    loaded_deinit(&l);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void a_config_lives_as_long_as_somebody_holds_it(void **state)
{
    struct loaded l = load(HELLO);
    struct fg_config *held = fg_config_ref(l.config);

    assert_ptr_equal(held, l.config);
    assert_null(fg_config_unref(l.config));
    assert_string_equal(held->controls[0].file->plugin.name, "control-hello");
    loaded_deinit(&l);
}

static void a_role_follows_from_the_input_unless_it_is_given(void **state)
{
    struct loaded l = load(KAFKA "pipelines:\n"
                           "  a: {source: {plugin: source-lines, lines: x}, output: {topic: t}}\n"
                           "  b: {input: {topic: t}, sink: {plugin: sink-log}}\n"
                           "  c: {role: producer, input: {topic: t}, output: {topic: u}}\n");

    assert_int_equal(l.r, 0);
    assert_int_equal(l.config->pipelines[0].role, FG_ROLE_PRODUCER);
    assert_int_equal(l.config->pipelines[1].role, FG_ROLE_CONSUMER);
    assert_int_equal(l.config->pipelines[2].role, FG_ROLE_PRODUCER);
    loaded_deinit(&l);
}

static void another_address_is_allowed_with_tokens(void **state)
{
    struct loaded l = load("http:\n  listen: 0.0.0.0:8080\n  plugins: [{plugin: control-hello}]\n  tokens:\n"
                           "    - name: ops\n      scopes: [read, control]\n      sha256: "
                           "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n");

    assert_int_equal(l.r, 0);
    assert_int_equal(l.config->http.tokens.len, 1);
    loaded_deinit(&l);
}

static void values_may_be_overridden(void **state)
{
    const char *good[] = { "http.listen=127.0.0.1:0", "limits.workers=3" }, *bad[] = { "limits.workers=many" };
    struct loaded l = load_with(HELLO, good, 2);

    assert_int_equal(l.r, 0);
    assert_string_equal(l.config->http.listen, "127.0.0.1:0");
    assert_int_equal(l.config->limits.workers, 3);
    loaded_deinit(&l);
    l = load_with(HELLO, bad, 1);
    assert_true(l.r < 0);
    loaded_deinit(&l);
}

static void take_secret(void *arg, struct fg_slice secret)
{
    fg_buf_add_slice(arg, secret);
}

static void every_secret_is_told_to_be_hidden(void **state)
{
    struct loaded l = load("kafka: {bootstrap.servers: \"a:1\",\n"
                           "  sasl: {mechanism: PLAIN, username: u, password: hush}}\n"
                           "http: {plugins: [{plugin: good-order, secret: quiet}]}\n");
    struct fg_buf buf = FG_BUF_INIT(100);

    assert_int_equal(l.r, 0);
    fg_config_secrets(l.config, take_secret, &buf);
    assert_string_equal(buf.data, "hushquiet");
    fg_buf_deinit(&buf);
    loaded_deinit(&l);
}

static void a_login_that_the_loaded_librdkafka_cannot_do_is_a_fault(void **state)
{
    struct loaded l = load("kafka:\n  bootstrap.servers: \"a:1\"\n"
                           "  sasl: {mechanism: SCRAM-SHA-512, username: u, password: hush}\n");
    struct fg_error err;

    if (fg_bus_rdkafka_check_sasl("SCRAM-SHA-512", 0, &err) == 0) {
        assert_int_equal(l.r, 0);
    } else {
        assert_true(l.r < 0);
        assert_non_null(strstr(l.faults.items[0].text, "cannot log in by SCRAM-SHA-512"));
        assert_int_equal(l.faults.items[0].line, 3);
    }
    loaded_deinit(&l);
}

static void a_missing_file_is_said_to_be_missing(void **state)
{
    struct loaded l = { .r = 0 };

    assert_int_equal(fg_plugin_path_init(&l.path, NULL, 0, NULL), 0);
    assert_true(fg_config_load("no/such.yaml", FG_SLICE_NULL, NULL, 0, &l.path, &l.config, &l.faults) < 0);
    assert_int_equal(l.faults.len, 1);
    assert_non_null(strstr(l.faults.items[0].text, "no/such.yaml"));
    loaded_deinit(&l);
}

static void the_schema_is_json_and_names_each_plugin(void **state)
{
    const char *examples = getenv("FRAGUA_EXAMPLE_PLUGINS");
    struct fg_plugin_path path;
    struct fg_buf buf = FG_BUF_INIT(1 << 20);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);

    /* not the folder of bad plugins: one of them ends whoever loads it */
    assert_int_equal(fg_plugin_path_init(&path, &examples, 1, NULL), 0);
    fg_config_schema(&w, &path);
    assert_true(fg_json_valid(fg_buf_slice(&buf)));
    assert_non_null(strstr(buf.data, "\"const\":\"transform-upper\""));
    assert_non_null(strstr(buf.data, "\"const\":\"source-lines\""));
    fg_buf_deinit(&buf);
    fg_plugin_path_deinit(&path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bad_file_is_blamed_at_its_line_and_column),
        cmocka_unit_test(all_faults_come_in_one_run_in_the_order_of_the_file),
        cmocka_unit_test(a_good_file_becomes_a_config_with_its_plugins_loaded),
        cmocka_unit_test(a_reload_has_its_defaults_and_its_options),
        cmocka_unit_test(a_plugin_may_be_pinned_to_the_hash_of_its_file),
        cmocka_unit_test(plugins_that_others_can_write_are_refused_where_root_must_own_them),
        cmocka_unit_test(a_config_lives_as_long_as_somebody_holds_it),
        cmocka_unit_test(a_role_follows_from_the_input_unless_it_is_given),
        cmocka_unit_test(another_address_is_allowed_with_tokens),
        cmocka_unit_test(values_may_be_overridden),
        cmocka_unit_test(every_secret_is_told_to_be_hidden),
        cmocka_unit_test(a_login_that_the_loaded_librdkafka_cannot_do_is_a_fault),
        cmocka_unit_test(a_missing_file_is_said_to_be_missing),
        cmocka_unit_test(the_schema_is_json_and_names_each_plugin),
    };

    return cmocka_run_group_tests_name("host config", tests, NULL, NULL);
}
