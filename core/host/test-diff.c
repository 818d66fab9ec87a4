/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs of pipeline files: what is told of their difference, and what is to be done about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "host/diff.h"

static char folder[] = "/tmp/fragua-diff-XXXXXX";

static const char *in_folder(const char *name, char ret[128])
{
    (void)snprintf(ret, 128, "%s/%s", folder, name);
    return ret;
}

static void put(const char *name, const char *text)
{
    char path[128];
    FILE *f = fopen(in_folder(name, path), "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void drop(const char *name)
{
    char path[128];

    (void)remove(in_folder(name, path));
}

static int setup(void **state)
{
    char cas[128];

    return mkdtemp(folder) && mkdir(in_folder("cas", cas), 0700) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    drop("cas");
    return rmdir(folder);
}

/* @stamp: the folder with the build of transform-stamp */
static struct fg_config *load_of(const char *yaml, const char *stamp)
{
    FG_CLEANUP(fg_conf_faults_deinit) struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    FG_CLEANUP(fg_plugin_path_deinit) struct fg_plugin_path path;
    const char *dirs[] = { getenv("FRAGUA_TEST_PLUGINS"), getenv("FRAGUA_EXAMPLE_PLUGINS"), NULL };
    struct fg_config *config = NULL;
    char file[128], stamps[256];

    (void)snprintf(stamps, sizeof(stamps), "%s/%s", dirs[0], stamp);
    dirs[2] = stamps;
    assert_int_equal(fg_plugin_path_init(&path, dirs, 3, NULL), 0);
    if (fg_config_load(in_folder("f.yaml", file), fg_slice_of(yaml), NULL, 0, &path, &config, &faults) < 0)
        fail_msg("%s\n%u:%u: %s", yaml, faults.items[0].line, faults.items[0].column, faults.items[0].text);
    return config;
}

static void write_pipeline(const struct fg_diff_pipeline *p, struct fg_buf *out)
{
    if (p->how == FG_PIPELINE_SAME)
        return;
    fg_buf_printf(out, "= %s %s", p->name, fg_pipeline_how_name(p->how));
    fg_buf_add_str(out, p->source ? " source" : "");
    for (size_t i = 0; i < p->n_transforms; i++)
        fg_buf_printf(out, p->transforms[i] == FG_DIFF_NEW ? " new" : " %zu", p->transforms[i]);
    fg_buf_add_str(out, p->sink ? " sink\n" : "\n");
}

static const char signs[_FG_CHANGE_REASON_N] = {
    [FG_CHANGE_OPTION] = '~', [FG_CHANGE_PLUGIN_FILE] = '~', [FG_CHANGE_SECRET] = '~',
    [FG_CHANGE_ADDED] = '+',  [FG_CHANGE_REMOVED] = '-',     [FG_CHANGE_MOVED] = '>',
};

/* A line for each: "~ ingest.transforms.0  plugin file  transform-tabulate 1a.. -> 3c..". */
static void write_changes(const struct fg_diff *diff, struct fg_buf *out)
{
    for (size_t i = 0; i < diff->n_changes; i++) {
        const struct fg_change *c = &diff->changes[i];
        fg_buf_printf(out, "%c %s  %s%s%s\n", signs[c->reason], c->place, fg_change_reason_name(c->reason),
                      c->detail[0] ? "  " : "", c->detail);
    }
}

/* The changes as people see them, a line for each pipeline that is not the same, and the flags that are set. */
static char *told(const struct fg_diff *d)
{
    const struct {
        bool set;
        const char *name;
    } flags[] = {
        { d->kafka, "kafka" },
        { d->http_listen, "http-listen" },
        { d->http_tls, "http-tls" },
        { d->http_tokens, "http-tokens" },
        { d->limits_workers, "workers" },
    };
    struct fg_buf out = FG_BUF_INIT(100000);

    fg_buf_add_str(&out, "");
    write_changes(d, &out);
    for (size_t i = 0; i < d->n_pipelines; i++)
        write_pipeline(&d->pipelines[i], &out);
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (flags[i].set)
            fg_buf_printf(&out, "! %s\n", flags[i].name);
    return out.data ? fg_buf_steal(&out, NULL) : strdup("");
}

static char *compare(const struct fg_config *old, const struct fg_config *new, enum fg_role role)
{
    struct fg_diff d;
    char *text;

    fg_diff_make(old, new, role, &d);
    assert_int_equal(fg_diff_empty(&d), d.n_changes == 0);
    text = told(&d);
    fg_diff_deinit(&d);
    fg_diff_deinit(&d);
    return text;
}

static char *compare_texts(const char *old_yaml, const char *new_yaml, enum fg_role role)
{
    struct fg_config *old = load_of(old_yaml, "stamp-1"), *new = load_of(new_yaml, "stamp-1");
    char *text = compare(old, new, role);

    fg_config_unref(old);
    fg_config_unref(new);
    return text;
}

#define KAFKA "kafka: {embedded: true}\n"
#define HELLO "http: {plugins: [{plugin: control-hello}]}\n"
#define UP(header) "{plugin: transform-upper, header: " header "}"
#define IN "input: {topic: t}"
#define P(body) KAFKA "pipelines: {p: {" body "}}\n"
#define T(list) P(IN ", output: {topic: u}, transforms: [" list "]")
#define LINES "source: {plugin: source-lines, lines: a}"

static const struct {
    const char *old, *new, *told;
} cases[] = {
    /* nothing */
    { HELLO, HELLO, "" },
    { HELLO, "# a comment\n\nhttp:\n  plugins:\n  - greeting: hello\n    plugin: control-hello\n"
             "limits: {stop: 30000ms, memory: 256MiB}\n", "" },
    { P("role: consumer, " IN ", output: {topic: u, r: v}"), P("output: {r: v, topic: u}, " IN), "" },
    { KAFKA "pipelines:\n  a: {input: {topic: t}, output: {topic: u}}\n  b: {input: {topic: t}, output: {topic: u}}\n",
      KAFKA "pipelines:\n  b: {input: {topic: t}, output: {topic: u}}\n  a: {input: {topic: t}, output: {topic: u}}\n",
      "" },
    /* sections */
    { HELLO "limits: {memory: 64MiB, stop: 1s}\n", HELLO "limits: {memory: 65MiB, drain: 1s}\n",
      "~ limits  option  memory, stop, drain\n" },
    { HELLO, HELLO "reload: {watch: false, probation: 1s}\n", "~ reload  option  probation, watch\n" },
    { HELLO, HELLO "plugins: {owner: any}\n", "" },
    { "http: {listen: '127.0.0.1:1', plugins: [{plugin: control-hello}]}\n",
      "http: {listen: '127.0.0.1:2', plugins: [{plugin: control-hello}]}\n",
      "~ http  option  listen\n! http-listen\n" },
    { P(IN ", output: {topic: u}"), P(IN ", output: {topic: u}") HELLO,
      "+ http  added\n+ http.plugins.0  added  control-hello\n! http-listen\n" },
    { P(IN ", output: {topic: u}") HELLO, P(IN ", output: {topic: u}"),
      "- http  removed\n- http.plugins.0  removed  control-hello\n! http-listen\n" },
    /* control plugins */
    { HELLO, "http: {plugins: [{plugin: control-hello, greeting: hi}]}\n", "~ http.plugins.0  option  greeting\n" },
    { HELLO, "http: {plugins: [{plugin: good-order}, {plugin: control-hello}]}\n",
      "> http.plugins.1  moved  control-hello, was http.plugins.0\n+ http.plugins.0  added  good-order\n" },
    /* a pipeline's own options */
    { P(IN ", output: {topic: u}"), P(IN ", output: {topic: u}, commit: {records: 5, interval: 1s}"),
      "~ p  option  commit.records, commit.interval\n= p swap\n" },
    { P(IN ", output: {topic: u}, dead-letters: {}"), P(IN ", output: {topic: u}, dead-letters: {attempts: 2}"),
      "~ p  option  dead-letters.attempts\n= p swap\n" },
    { P(IN ", output: {topic: u}, dead-letters: {}"), P(IN ", output: {topic: u}, dead-letters: {topic: d}"),
      "~ p  option  dead-letters.topic\n= p reopen\n" },
    { P(IN ", output: {topic: u}"), P(IN ", output: {topic: u}, dead-letters: {}"),
      "~ p  option  dead-letters\n= p reopen\n" },
    { P(IN ", output: {topic: u}"), P("input: {topic: x}, output: {topic: u}"),
      "~ p  option  input.topic\n= p reopen\n" },
    { P(IN ", output: {topic: u}"), P("input: {topic: t, group: g, from: end}, output: {topic: u}"),
      "~ p  option  input.group, input.from\n= p reopen\n" },
    { P(IN ", output: {topic: u}"), P(IN ", output: {topic: v, more: w}"),
      "~ p  option  output.more, output.topic\n= p reopen\n" },
    { P(IN ", output: {topic: u}"), P(IN ", output: {topic: u}, delivery: at-least-once, commit: {records: 7}"),
      "~ p  option  delivery, commit.records\n= p reopen\n" },
    { P(LINES ", output: {topic: u}"), P(LINES ", group: g, output: {topic: u}"), "~ p  option  group\n= p reopen\n" },
    { P(IN ", output: {topic: u}"), P(IN ", output: {topic: u}, role: producer"), "~ p  option  role\n= p reopen\n" },
    /* nodes */
    { P(LINES ", output: {topic: u}"), P("source: {plugin: source-lines, lines: [a, b]}, output: {topic: u}"),
      "~ p.source  option  lines\n= p swap source\n" },
    { P(IN ", sink: {plugin: sink-log}"), P(IN ", sink: {plugin: sink-log, width: 7, pass: true}"),
      "~ p.sink  option  width, pass\n= p swap sink\n" },
    { P(LINES ", output: {topic: u}"), P(IN ", output: {topic: u}, role: producer"),
      "~ p  option  input\n- p.source  removed  source-lines\n= p reopen\n" },
    { P(IN ", output: {topic: u}"), P(LINES ", output: {topic: u}, role: consumer"),
      "~ p  option  input\n+ p.source  added  source-lines\n= p reopen source\n" },
    { P(IN ", output: {topic: u}"), P(IN ", output: {topic: u}, sink: {plugin: sink-log}"),
      "+ p.sink  added  sink-log\n= p reopen sink\n" },
    { P(IN ", output: {topic: u}, sink: {plugin: sink-log}"), P(IN ", output: {topic: u}"),
      "- p.sink  removed  sink-log\n= p reopen\n" },
    /* transforms */
    { T(UP("a") "," UP("b")), T(UP("a") "," UP("c")), "~ p.transforms.1  option  header\n= p swap 0 new\n" },
    { T(UP("a")), T(UP("a") "," UP("b")), "+ p.transforms.1  added  transform-upper\n= p swap 0 new\n" },
    { T(UP("a") "," UP("b")), T(UP("a")), "- p.transforms.1  removed  transform-upper\n= p swap 0\n" },
    { T(UP("a") "," UP("b")), T(UP("c") "," UP("a") "," UP("b")),
      "> p.transforms.1  moved  transform-upper, was transforms.0\n"
      "> p.transforms.2  moved  transform-upper, was transforms.1\n"
      "+ p.transforms.0  added  transform-upper\n= p swap new new new\n" },
    { T(UP("a") "," UP("b") "," UP("c")), T(UP("b") "," UP("a") "," UP("c")),
      "> p.transforms.0  moved  transform-upper, was transforms.1\n"
      "> p.transforms.1  moved  transform-upper, was transforms.0\n= p swap new new 2\n" },
    { T(UP("a") "," UP("b") "," UP("c")), T(UP("a") "," UP("c")),
      "> p.transforms.1  moved  transform-upper, was transforms.2\n"
      "- p.transforms.1  removed  transform-upper\n= p swap 0 new\n" },
    { T(UP("a") "," UP("a")), T(UP("a") "," UP("a") "," UP("a")),
      "+ p.transforms.2  added  transform-upper\n= p swap 0 1 new\n" },
    { HELLO T(UP("a")), HELLO "limits: {workers: 3}\n" T(UP("a")),
      "~ limits  option  workers\n= p swap new\n! workers\n" },
    { HELLO P(IN ", output: {topic: u}"), HELLO "limits: {workers: 3}\n" P(IN ", output: {topic: u}"),
      "~ limits  option  workers\n! workers\n" },
    /* pipelines */
    { P(IN ", output: {topic: u}"), KAFKA "pipelines: {q: {" IN ", output: {topic: u}}}\n",
      "+ q  added  consumer\n- p  removed  consumer\n= q added\n= p removed\n" },
    { P(IN ", output: {topic: u}"),
      KAFKA "pipelines: {q: {" LINES ", transforms: [" UP("a") "], sink: {plugin: sink-log}}, p: {" IN
            ", output: {topic: u}}}\n", "+ q  added  producer\n= q added source new sink\n" },
};

static void each_difference_is_told_with_what_is_to_be_done(void **state)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_free_ char *text = compare_texts(cases[i].old, cases[i].new, FG_ROLE_BOTH);
        _cleanup_free_ char *none = compare_texts(cases[i].new, cases[i].new, FG_ROLE_BOTH);
        if (strcmp(text, cases[i].told) == 0 && none[0] == '\0')
            continue;
        print_error("%s--\n%sexpected\n%sgot\n%s%s", cases[i].old, cases[i].new, cases[i].told, text, none);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

#define TWO_ROLES(lines, width)                                                                                        \
    KAFKA "pipelines:\n  in: {source: {plugin: source-lines, lines: " lines "}, output: {topic: u}}\n"                 \
          "  out: {" IN ", sink: {plugin: sink-log, width: " width "}}\n"

static void pipelines_of_another_role_do_not_exist(void **state)
{
    _cleanup_free_ char *in = compare_texts(TWO_ROLES("a", "1"), TWO_ROLES("b", "2"), FG_ROLE_PRODUCER);
    _cleanup_free_ char *out = compare_texts(TWO_ROLES("a", "1"), TWO_ROLES("b", "2"), FG_ROLE_CONSUMER);
    _cleanup_free_ char *none = compare_texts(TWO_ROLES("a", "1"), TWO_ROLES("b", "1"), FG_ROLE_CONSUMER);
    static const char was[] = P(IN ", output: {topic: u}"), is[] = P(IN ", output: {topic: u}, role: producer");
    _cleanup_free_ char *goes = compare_texts(was, is, FG_ROLE_CONSUMER);
    _cleanup_free_ char *comes = compare_texts(was, is, FG_ROLE_PRODUCER);

    assert_string_equal(in, "~ in.source  option  lines\n= in swap source\n");
    assert_string_equal(out, "~ out.sink  option  width\n= out swap sink\n");
    assert_string_equal(none, "");
    assert_string_equal(goes, "- p  removed  consumer\n= p removed\n");
    assert_string_equal(comes, "+ p  added  producer\n= p added\n");
}

#define BROKERS(more)                                                                                                  \
    "kafka: {bootstrap.servers: 'a:1'" more "}\n"                                                                      \
    "pipelines:\n  in: {" LINES ", output: {topic: u}}\n  out: {" IN ", sink: {plugin: sink-log}}\n"

static void kafka_reopens_what_it_concerns(void **state)
{
    _cleanup_free_ char *all = compare_texts(BROKERS(""), BROKERS(", properties: {linger.ms: 5}"), FG_ROLE_BOTH);
    _cleanup_free_ char *some = compare_texts(BROKERS(""), BROKERS(", cursors-topic: c"), FG_ROLE_BOTH);

    assert_string_equal(all, "~ kafka  option  properties.linger.ms\n= in reopen\n= out reopen\n! kafka\n");
    assert_string_equal(some, "~ kafka  option  cursors-topic\n= in reopen\n");
}

static void another_build_of_a_plugin_is_told_by_its_hashes(void **state)
{
    static const char yaml[] = T("{plugin: transform-stamp, mark: x}," UP("a"));
    struct fg_config *old = load_of(yaml, "stamp-1"), *new = load_of(yaml, "stamp-2");
    struct fg_config *more = load_of(T("{plugin: transform-stamp, mark: y}," UP("a")), "stamp-2");
    const char *was = old->pipelines[0].transforms[0].file->sha256, *is = new->pipelines[0].transforms[0].file->sha256;
    _cleanup_free_ char *text = compare(old, new, FG_ROLE_BOTH), *both = compare(old, more, FG_ROLE_BOTH);
    _cleanup_free_ char *other = compare_texts(T(UP("a")), T("{plugin: transform-stamp}"), FG_ROLE_BOTH);
    char expected[300];

    (void)snprintf(expected, sizeof(expected), "~ p.transforms.0  plugin file  transform-stamp %.12s -> %.12s\n"
                   "= p swap new 1\n", was, is);
    assert_string_equal(text, expected);
    (void)snprintf(expected, sizeof(expected), "~ p.transforms.0  plugin file  transform-stamp %.12s -> %.12s\n"
                   "~ p.transforms.0  option  mark\n= p swap new 1\n", was, is);
    assert_string_equal(both, expected);
    (void)snprintf(expected, sizeof(expected), "~ p.transforms.0  plugin file  transform-upper %.12s -> "
                   "transform-stamp %.12s\n= p swap new\n", old->pipelines[0].transforms[1].file->sha256, was);
    assert_string_equal(other, expected);
    fg_config_unref(old);
    fg_config_unref(new);
    fg_config_unref(more);
}

#define SASL(password)                                                                                                 \
    "kafka: {bootstrap.servers: 'a:1', sasl: {mechanism: PLAIN, username: u, password: " password "}}\n"               \
    "http: {plugins: [{plugin: good-order, secret: " password "}]}\n"                                                  \
    "pipelines: {p: {" IN ", transforms: [{plugin: transform-stamp, secret: " password ", mark: x}], "                 \
    "output: {topic: u}}}\n"

static void a_secret_that_changed_is_told_without_its_text(void **state)
{
    static const char expected[] = "~ kafka  secret  sasl.password\n~ http.plugins.0  secret  secret\n"
                                   "~ p.transforms.0  secret  secret\n= p reopen new\n! kafka\n";
    struct fg_config *old = load_of(SASL("hush-a"), "stamp-1"), *new = load_of(SASL("hush-b"), "stamp-1");
    _cleanup_free_ char *text = compare(old, new, FG_ROLE_BOTH);
    struct fg_buf json = FG_BUF_INIT(10000);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&json);
    struct fg_diff d;

    assert_string_equal(text, expected);
    fg_diff_make(old, new, FG_ROLE_BOTH, &d);
    fg_json_object(&w);
    fg_diff_write(&w, &d);
    fg_json_object_end(&w);
    assert_null(strstr(json.data, "hush"));
    assert_non_null(strstr(json.data, "{\"changes\":[{\"place\":\"kafka\",\"reason\":\"secret\",\"detail\":"
                                      "\"sasl.password\"},{\"place\":\"http.plugins.0\""));
    fg_buf_deinit(&json);
    fg_diff_deinit(&d);
    fg_config_unref(old);
    fg_config_unref(new);
}

static void what_stands_in_a_file_is_read_again_and_counts_as_secret(void **state)
{
    static const char yaml[] = T("{plugin: transform-stamp, mark: 'x-${file:mark}', header: a}") HELLO;
    struct fg_config *old, *new;
    _cleanup_free_ char *text = NULL;

    put("mark", "hush-1\n");
    old = load_of(yaml, "stamp-1");
    put("mark", "hush-2\n");
    new = load_of(yaml, "stamp-1");
    text = compare(old, new, FG_ROLE_BOTH);
    assert_string_equal(text, "~ p.transforms.0  secret  mark\n= p swap new\n");
    fg_config_unref(old);
    fg_config_unref(new);
    drop("mark");
}

static void certificates_that_change_in_place_are_seen(void **state)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf yaml = FG_BUF_INIT(2000);
    _cleanup_free_ char *cert = NULL, *folder_grew = NULL, *both = NULL;
    struct fg_config *first, *second, *third;

    fg_buf_printf(&yaml, "kafka: {bootstrap.servers: 'a:1', tls: {ca: %s/cas}}\n"
                         "http: {tls: {certificate: %s/http.crt, key: %s/http.key, client-ca: %s/cas},\n"
                         "  plugins: [{plugin: control-hello}]}\n"
                         "pipelines: {p: {" IN ", sink: {plugin: sink-log}}}\n", folder, folder, folder, folder);
    put("http.crt", "1");
    put("http.key", "1");
    put("cas/one.crt", "1");
    first = load_of(yaml.data, "stamp-1");
    put("http.crt", "2");
    put("http.key", "2");
    second = load_of(yaml.data, "stamp-1");
    put("cas/two.pem", "2");
    third = load_of(yaml.data, "stamp-1");
    cert = compare(first, second, FG_ROLE_BOTH);
    folder_grew = compare(second, third, FG_ROLE_BOTH);
    both = compare(third, first, FG_ROLE_BOTH);
    assert_string_equal(cert, "~ http  secret  tls.certificate, tls.key\n! http-tls\n");
    assert_string_equal(folder_grew, "~ kafka  secret  tls.ca\n~ http  secret  tls.client-ca\n= p reopen\n! kafka\n"
                                     "! http-tls\n");
    assert_string_equal(both, "~ kafka  secret  tls.ca\n~ http  secret  tls.certificate, tls.key, tls.client-ca\n"
                              "= p reopen\n! kafka\n! http-tls\n");
    fg_config_unref(first);
    fg_config_unref(second);
    fg_config_unref(third);
    drop("http.crt");
    drop("http.key");
    drop("cas/one.crt");
    drop("cas/two.pem");
}

static void tokens_are_told_apart_from_the_rest_of_http(void **state)
{
#define TOKENS(hash) "http: {plugins: [{plugin: control-hello}], tokens: [{name: a, scopes: read, sha256: " hash "}]}\n"
#define HASH_OF_63 "bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    _cleanup_free_ char *hash = compare_texts(TOKENS("2" HASH_OF_63), TOKENS("3" HASH_OF_63), FG_ROLE_BOTH);
    _cleanup_free_ char *gone = compare_texts(TOKENS("2" HASH_OF_63), HELLO, FG_ROLE_BOTH);

    assert_string_equal(hash, "~ http  option  tokens.0.sha256\n! http-tokens\n");
    assert_string_equal(gone, "~ http  option  tokens\n! http-tokens\n");
}

static void a_pin_alone_changes_nothing_that_runs(void **state)
{
    struct fg_config *old = load_of(HELLO, "stamp-1"), *new;
    _cleanup_free_ char *text = NULL;
    char yaml[256];

    (void)snprintf(yaml, sizeof(yaml), "http: {plugins: [{plugin: control-hello, sha256: %s}]}\n",
                   old->controls[0].file->sha256);
    new = load_of(yaml, "stamp-1");
    text = compare(old, new, FG_ROLE_BOTH);
    assert_string_equal(text, "");
    fg_config_unref(old);
    fg_config_unref(new);
}

static void indexes_lead_from_the_new_file_to_the_old(void **state)
{
    struct fg_config *old = load_of(KAFKA "http: {plugins: [{plugin: control-hello}, {plugin: good-order}]}\n"
                                    "pipelines:\n  gone: {" IN ", output: {topic: u}}\n"
                                    "  stays: {" IN ", output: {topic: u}}\n", "stamp-1");
    struct fg_config *new = load_of(KAFKA "http: {plugins: [{plugin: control-hello}, {plugin: control-hello}]}\n"
                                    "pipelines:\n  stays: {" IN ", output: {topic: u}}\n"
                                    "  comes: {" IN ", output: {topic: u}}\n", "stamp-1");
    struct fg_diff d;

    fg_diff_make(old, new, FG_ROLE_BOTH, &d);
    assert_int_equal(d.n_pipelines, 3);
    assert_string_equal(d.pipelines[0].name, "stays");
    assert_int_equal(d.pipelines[0].how, FG_PIPELINE_SAME);
    assert_int_equal(d.pipelines[0].new_index, 0);
    assert_string_equal(d.pipelines[1].name, "comes");
    assert_int_equal(d.pipelines[1].new_index, 1);
    assert_string_equal(d.pipelines[2].name, "gone");
    assert_true(d.pipelines[2].new_index == FG_DIFF_NEW);
    assert_int_equal(d.n_controls, 2);
    assert_int_equal(d.controls[0], 0);
    assert_true(d.controls[1] == FG_DIFF_NEW);
    fg_diff_deinit(&d);
    fg_config_unref(old);
    fg_config_unref(new);
}

static void many_keys_are_counted_and_stay_on_their_line(void **state)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf yaml = FG_BUF_INIT(10000);
    _cleanup_free_ char *text = NULL, *odd = NULL;

    fg_buf_add_str(&yaml, KAFKA "pipelines: {p: {" IN ", output: {topic: u");
    for (unsigned i = 0; i < 40; i++)
        fg_buf_printf(&yaml, ", out-%02u: v", i);
    fg_buf_add_str(&yaml, "}}}\n");
    text = compare_texts(P(IN ", output: {topic: u}"), yaml.data, FG_ROLE_BOTH);
    assert_non_null(strstr(text, "output.out-00, output.out-01,"));
    assert_non_null(strstr(text, ", output.out-15 and 24 more\n= p reopen\n"));
    odd = compare_texts(P(IN ", output: {topic: u}"), P(IN ", output: {topic: u, \"a\\nb\": v}"), FG_ROLE_BOTH);
    assert_string_equal(odd, "~ p  option  output.a?b\n= p reopen\n");
}

static void the_files_of_a_config_are_known(void **state)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf yaml = FG_BUF_INIT(2000), files = FG_BUF_INIT(2000);
    struct fg_config *config;
    const char *const *paths;
    size_t n;

    put("mark", "x");
    fg_buf_printf(&yaml, "http: {tls: {certificate: %s/http.crt, key: /no/such/key, client-ca: %s/cas},\n"
                         "  plugins: [{plugin: control-hello, greeting: '${file:mark}'}]}\n"
                         KAFKA "pipelines: {p: {" IN ", transforms: [{plugin: transform-stamp, "
                         "mark: '${file:%s/mark}'}], output: {topic: u}}}\n", folder, folder, folder);
    config = load_of(yaml.data, "stamp-1");
    n = fg_config_files(config, &paths);
    for (size_t i = 0; i < n; i++)
        fg_buf_printf(&files, "%s ", paths[i] + (strncmp(paths[i], folder, strlen(folder)) == 0 ? strlen(folder) : 0));
    assert_string_equal(files.data, "/no/such/key /cas /f.yaml /http.crt /mark ");
    fg_config_unref(config);
    drop("mark");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_difference_is_told_with_what_is_to_be_done),
        cmocka_unit_test(pipelines_of_another_role_do_not_exist),
        cmocka_unit_test(kafka_reopens_what_it_concerns),
        cmocka_unit_test(another_build_of_a_plugin_is_told_by_its_hashes),
        cmocka_unit_test(a_secret_that_changed_is_told_without_its_text),
        cmocka_unit_test(what_stands_in_a_file_is_read_again_and_counts_as_secret),
        cmocka_unit_test(certificates_that_change_in_place_are_seen),
        cmocka_unit_test(tokens_are_told_apart_from_the_rest_of_http),
        cmocka_unit_test(a_pin_alone_changes_nothing_that_runs),
        cmocka_unit_test(indexes_lead_from_the_new_file_to_the_old),
        cmocka_unit_test(many_keys_are_counted_and_stay_on_their_line),
        cmocka_unit_test(the_files_of_a_config_are_known),
    };

    return cmocka_run_group_tests_name("host diff", tests, setup, teardown);
}
