/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reloads of a whole process on a real loop, with the embedded broker. This program is also what the process tries a
 * file with: run as `validate`, it finds nothing wrong, so that what the process itself refuses can be seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "host/process.h"

#define SECONDS_MAX 60u

#define KAFKA "kafka: {embedded: true}\n"
#define IN(value)                                                                                                      \
    "  in:\n    source: {plugin: source-lines, lines: [one, two, three]}\n"                                            \
    "    transforms: [{plugin: transform-upper, header: made, value: " value "}]\n    output: {topic: t}\n"
#define OUT "  out:\n    input: {topic: t}\n    sink: {plugin: sink-log, pass: true}\n    output: {topic: u}\n"

struct bed {
    uv_loop_t loop;
    uv_timer_t guard;
    char folder[64], file[96];
    struct fg_plugin_path path;
    struct fg_plugin_registry registry;
    struct fg_process_origin origin;
    struct fg_config *config;
    struct fg_log *log;
    int log_fd;
    struct fg_process *process;
    struct fg_error err;
    struct fg_buf report; /* of the last reload */
    int code;
    unsigned n_told, n_stopped, n_seen;
};

static const char *const check[] = { "test", "validate", NULL };

static void too_late(uv_timer_t *timer)
{
    fail_msg("no end after %u s", SECONDS_MAX);
}

static void put_file(const struct bed *bed, const char *yaml)
{
    char fresh[128];
    FILE *f;

    (void)snprintf(fresh, sizeof(fresh), "%s.new", bed->file);
    f = fopen(fresh, "w");
    assert_non_null(f);
    assert_true(fputs(yaml, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(fresh, bed->file), 0);
}

static void bed_init(struct bed *bed, const char *yaml)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    const char *dirs[] = { getenv("FRAGUA_TEST_PLUGINS"), getenv("FRAGUA_EXAMPLE_PLUGINS"), getenv("FRAGUA_PLUGINS") };
    struct fg_process_config c = { .role = FG_ROLE_BOTH, .instance = "test" };

    *bed = (struct bed){ .report = FG_BUF_INIT(1 << 20), .folder = "/tmp/fragua-reload.XXXXXX" };
    assert_non_null(mkdtemp(bed->folder));
    (void)snprintf(bed->file, sizeof(bed->file), "%s/f.yaml", bed->folder);
    put_file(bed, yaml);
    assert_int_equal(uv_loop_init(&bed->loop), 0);
    assert_int_equal(uv_timer_init(&bed->loop, &bed->guard), 0);
    assert_int_equal(uv_timer_start(&bed->guard, too_late, SECONDS_MAX * 1000u, 0), 0);
    uv_unref((uv_handle_t *)&bed->guard);
    assert_int_equal(fg_plugin_path_init(&bed->path, dirs, 3, NULL), 0);
    fg_plugin_registry_init(&bed->registry);
    bed->path.registry = &bed->registry;
    if (fg_config_load(bed->file, FG_SLICE_NULL, NULL, 0, &bed->path, &bed->config, &faults) < 0)
        fail_msg("%u:%u: %s", faults.items[0].line, faults.items[0].column, faults.items[0].text);
    fg_conf_faults_deinit(&faults);
    bed->log_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(bed->log_fd >= 0);
    bed->log = fg_log_new(bed->log_fd, FG_LOG_LOGFMT, false, FG_LOG_INFO, &fg_clock_system);
    bed->origin = (struct fg_process_origin){ .path = bed->file, .plugins = &bed->path, .check = check };
    c.loop = &bed->loop;
    c.log = bed->log;
    c.config = bed->config;
    c.origin = &bed->origin;
    if (fg_process_start(&c, &bed->process, &bed->err) < 0)
        fail_msg("%s", bed->err.text);
}

static void stopped(void *arg)
{
    ((struct bed *)arg)->n_stopped++;
}

static void bed_deinit(struct bed *bed)
{
    if (!bed->process) /* freed by the test itself */
        bed->n_stopped = 1;
    else if (bed->n_stopped == 0)
        fg_process_stop(bed->process, false, stopped, bed);
    while (bed->n_stopped == 0)
        (void)uv_run(&bed->loop, UV_RUN_ONCE);
    if (bed->process) /* all that was charged was given back */
        assert_int_equal(fg_budget_used(fg_process_budget(bed->process)), 0);
    fg_process_free(bed->process);
    uv_close((uv_handle_t *)&bed->guard, NULL);
    assert_int_equal(uv_run(&bed->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(bed->n_stopped, 1);
    assert_int_equal(uv_loop_close(&bed->loop), 0);
    fg_config_unref(bed->config);
    fg_plugin_registry_deinit(&bed->registry);
    fg_plugin_path_deinit(&bed->path);
    fg_log_free(bed->log);
    fg_buf_deinit(&bed->report);
    close(bed->log_fd);
    (void)unlink(bed->file);
    (void)rmdir(bed->folder);
}

static void told(void *arg, int code, struct fg_slice report)
{
    struct bed *bed = arg;

    bed->code = code;
    fg_buf_clear(&bed->report);
    fg_buf_add_slice(&bed->report, report);
    bed->n_told++;
}

static void run_until_told(struct bed *bed, unsigned n)
{
    while (bed->n_told < n)
        (void)uv_run(&bed->loop, UV_RUN_ONCE);
}

/* A reload to this file, to its end; its result, as long as the next. */
static const char *reload(struct bed *bed, const char *yaml)
{
    static char result[32];
    struct fg_buf text = FG_BUF_INIT(sizeof(result) - 1);

    put_file(bed, yaml);
    assert_int_equal(fg_process_reload(bed->process, FG_RELOAD_SIGNAL, told, bed, &bed->err), 0);
    run_until_told(bed, bed->n_told + 1);
    assert_true(fg_json_valid(fg_buf_slice(&bed->report)));
    assert_true(fg_json_decode_string(fg_json_find(fg_buf_slice(&bed->report), "/result").raw, &text));
    (void)snprintf(result, sizeof(result), "%s", text.data);
    fg_buf_deinit(&text);
    return result;
}

static void expect(const struct bed *bed, const char *pointer, const char *value)
{
    struct fg_json_value v = fg_json_find(fg_buf_slice(&bed->report), pointer);

    if (!fg_slice_is(v.raw, value))
        fail_msg("%s is %.*s, not %s, in %s", pointer, FG_SLICE_ARG(v.raw), value, bed->report.data);
}

static void take_bytes(void *arg, struct fg_slice bytes)
{
    fg_buf_add_slice(arg, bytes);
}

/* FG_REPORT_STATUS or any other, in place of the last reload's report. */
static void look(struct bed *bed, enum fg_report what, const char *name)
{
    fg_buf_clear(&bed->report);
    if (fg_process_report(bed->process, what, name, take_bytes, &bed->report, &bed->err) < 0)
        fail_msg("%s", bed->err.text);
}

static void take_record(void *arg, const struct fg_record_view *m, int32_t partition, int64_t offset)
{
    struct bed *bed = arg;

    bed->n_seen++;
}

static bool logged(struct bed *bed, const char *text)
{
    static char log[1 << 18];
    ssize_t n = pread(bed->log_fd, log, sizeof(log) - 1, 0);

    assert_true(n >= 0);
    log[n] = '\0';
    return strstr(log, text) != NULL;
}

static void run_until_logged(struct bed *bed, const char *text)
{
    while (!logged(bed, text))
        (void)uv_run(&bed->loop, UV_RUN_ONCE);
}

static void an_unchanged_file_changes_nothing(void **state)
{
    struct bed bed;

    bed_init(&bed, KAFKA "pipelines:\n" IN("loud") OUT);
    assert_string_equal(reload(&bed, "# a remark\n" KAFKA "pipelines:\n" OUT IN("loud")), "unchanged");
    look(&bed, FG_REPORT_STATUS, NULL);
    expect(&bed, "/generation", "1");
    look(&bed, FG_REPORT_RELOADS, NULL);
    expect(&bed, "/reloads/0/result", "\"unchanged\"");
    bed_deinit(&bed);
}

static void a_changed_transform_is_swapped_and_the_other_pipeline_not_touched(void **state)
{
    struct bed bed;

    bed_init(&bed, KAFKA "pipelines:\n" IN("loud") OUT);
    run_until_logged(&bed, "value=\\\"THREE\\\"");
    assert_string_equal(reload(&bed, KAFKA "pipelines:\n" IN("quiet") OUT), "done");
    expect(&bed, "/generation", "2");
    expect(&bed, "/changes/0/place", "\"in.transforms.0\"");
    expect(&bed, "/changes/0/reason", "\"option\"");
    expect(&bed, "/pipelines/0/how", "\"swap\"");
    expect(&bed, "/pipelines/0/drained", "true");
    expect(&bed, "/pipelines/1/how", "\"same\"");
    look(&bed, FG_REPORT_CONFIG, NULL);
    expect(&bed, "/pipelines/in/transforms/0/value", "\"quiet\"");
    assert_true(fg_process_is_ready(bed.process));
    for (unsigned i = 0; i < 40; i++) /* more than are remembered */
        assert_string_equal(
            reload(&bed, i % 2 ? KAFKA "pipelines:\n" IN("quiet") OUT : KAFKA "pipelines:\n" IN("x") OUT), "done");
    look(&bed, FG_REPORT_RELOADS, NULL);
    expect(&bed, "/generation", "42");
    expect(&bed, "/reloads/31/generation", "11");
    assert_int_equal(fg_json_find(fg_buf_slice(&bed.report), "/reloads/32").kind, FG_JSON_NONE);
    look(&bed, FG_REPORT_RELOADS, "41");
    expect(&bed, "/generation", "41");
    bed_deinit(&bed);
}

static bool measured(struct bed *bed, const char *label)
{
    look(bed, FG_REPORT_METRICS, NULL);
    return strstr(bed->report.data, label) != NULL;
}

static void pipelines_come_go_and_are_opened_anew(void **state)
{
    struct bed bed;

    bed_init(&bed, KAFKA "pipelines:\n" OUT);
    assert_string_equal(reload(&bed, KAFKA "pipelines:\n" IN("loud") OUT), "done");
    expect(&bed, "/pipelines/0/how", "\"added\"");
    run_until_logged(&bed, "value=\\\"THREE\\\"");
    assert_string_equal(reload(&bed, KAFKA "pipelines:\n" IN("loud")
                                         "  out:\n    input: {topic: t, group: another}\n"
                                         "    sink: {plugin: sink-log, pass: true}\n    output: {topic: u}\n"),
                        "done");
    expect(&bed, "/pipelines/1/how", "\"reopen\"");
    assert_true(measured(&bed, "fragua_commits_total{pipeline=\"out\""));
    assert_true(measured(&bed, "fragua_pipeline_pause_seconds{pipeline=\"out\"}"));
    assert_string_equal(reload(&bed, KAFKA "pipelines:\n" IN("loud")), "done");
    expect(&bed, "/pipelines/1/how", "\"removed\"");
    look(&bed, FG_REPORT_PIPELINES, NULL);
    expect(&bed, "/pipelines/0/name", "\"in\"");
    assert_int_equal(fg_json_find(fg_buf_slice(&bed.report), "/pipelines/1").kind, FG_JSON_NONE);
    assert_true(measured(&bed, "pipeline=\"in\""));
    assert_false(measured(&bed, "pipeline=\"out\""));
    bed_deinit(&bed);
}

static void what_is_wrong_is_said_and_all_goes_on(void **state)
{
    struct bed bed;

    bed_init(&bed, KAFKA "pipelines:\n" IN("loud") OUT);
    assert_string_equal(reload(&bed, KAFKA "pipelines:\n  in: {\n"), "refused");
    assert_true(bed.code == FG_E_CONFIG);
    expect(&bed, "/generation", "2");
    assert_true(fg_json_find(fg_buf_slice(&bed.report), "/faults/0/line").kind == FG_JSON_NUMBER);
    assert_string_equal(reload(&bed, KAFKA "pipelines:\n" OUT "    transforms: [{plugin: bad-refuse}]\n"), "refused");
    assert_string_equal(reload(&bed, KAFKA "http: {listen: \"127.0.0.1:0\", plugins: [{plugin: bad-refuse}]}\n"
                                           "pipelines:\n" IN("loud") OUT),
                        "refused");
    expect(&bed, "/error", "\"http.plugins.0: this plugin never opens: take another\"");
    look(&bed, FG_REPORT_STATUS, NULL);
    expect(&bed, "/generation", "1");
    assert_true(logged(&bed, "reload: refused, generation 1 goes on"));
    assert_true(fg_process_pipeline_action(bed.process, "in", FG_PIPELINE_PAUSE, &bed.err) == 0);
    bed_deinit(&bed);
}

#define HELLO(greeting) "{plugin: control-hello, greeting: " greeting "}"

static void the_http_section_comes_changes_and_goes(void **state)
{
    char before[64];
    struct bed bed;

    bed_init(&bed, KAFKA "pipelines:\n" IN("loud"));
    assert_null(fg_process_http_address(bed.process));
    assert_string_equal(reload(&bed, KAFKA "http: {listen: \"127.0.0.1:0\", plugins: [" HELLO("hi") "]}\n"
                                           "pipelines:\n" IN("loud")),
                        "done");
    (void)snprintf(before, sizeof(before), "%s", fg_process_http_address(bed.process));
    assert_string_equal(reload(&bed, KAFKA "http: {listen: \"127.0.0.1:0\", plugins: [" HELLO("ho") "]}\n"
                                           "pipelines:\n" IN("loud")),
                        "done");
    expect(&bed, "/changes/0/place", "\"http.plugins.0\"");
    expect(&bed, "/pipelines/0/how", "\"same\"");
    assert_string_equal(fg_process_http_address(bed.process), before);
    assert_string_equal(reload(&bed, KAFKA "http: {listen: \"127.0.0.1:0\", plugins: [" HELLO("a") ", " HELLO("b")
                                           "]}\npipelines:\n" IN("loud")),
                        "refused");
    assert_string_equal(reload(&bed, KAFKA "pipelines:\n" IN("loud")), "done");
    assert_null(fg_process_http_address(bed.process));
    bed_deinit(&bed);
}

static void limits_change_while_it_runs(void **state)
{
    struct bed bed;

    bed_init(&bed, KAFKA "limits: {workers: 1, memory: 64MiB}\npipelines:\n" IN("loud") OUT);
    assert_string_equal(
        reload(&bed, KAFKA "limits: {workers: 3, memory: 128MiB, stop: 7s}\npipelines:\n" IN("loud") OUT), "done");
    look(&bed, FG_REPORT_STATUS, NULL);
    expect(&bed, "/workers", "3");
    assert_string_equal(reload(&bed, KAFKA "limits: {workers: 1, memory: 64MiB}\npipelines:\n" IN("loud") OUT), "done");
    look(&bed, FG_REPORT_STATUS, NULL);
    while (fg_process_env(bed.process)->n_workers != 1)
        (void)uv_run(&bed.loop, UV_RUN_ONCE);
    bed_deinit(&bed);
}

struct gate {
    struct fg_work work; /* first */
    atomic_bool entered, open;
    bool done;
};

static void pass_gate(struct fg_work *work, unsigned worker)
{
    struct gate *gate = (struct gate *)work;

    atomic_store(&gate->entered, true);
    while (!atomic_load(&gate->open))
        (void)sched_yield();
}

static void gate_passed(struct fg_work *work)
{
    ((struct gate *)work)->done = true;
}

/* Two workers are each in one of them when this returns. */
static void enter_gates(struct bed *bed, struct gate gates[2])
{
    struct fg_env *env = fg_process_env(bed->process);

    for (int i = 0; i < 2; i++) {
        gates[i] = (struct gate){ .work = { .run = pass_gate, .done = gate_passed } };
        env->ops->submit(env, &gates[i].work);
    }
    while (!atomic_load(&gates[0].entered) || !atomic_load(&gates[1].entered))
        (void)uv_run(&bed->loop, UV_RUN_NOWAIT);
}

static void leave_gates(struct bed *bed, struct gate gates[2])
{
    for (int i = 0; i < 2; i++)
        atomic_store(&gates[i].open, true);
    while (!gates[0].done || !gates[1].done)
        (void)uv_run(&bed->loop, UV_RUN_ONCE);
}

static void workers_asked_for_while_others_leave_come_after_them(void **state)
{
    struct bed bed;
    struct gate gates[2];

    bed_init(&bed, KAFKA "limits: {workers: 2}\npipelines:\n" OUT);
    enter_gates(&bed, gates);
    assert_string_equal(reload(&bed, KAFKA "limits: {workers: 1}\npipelines:\n" OUT), "done");
    assert_string_equal(reload(&bed, KAFKA "limits: {workers: 2}\npipelines:\n" OUT), "done");
    leave_gates(&bed, gates);
    enter_gates(&bed, gates);
    leave_gates(&bed, gates);
    bed_deinit(&bed);
}

static void what_is_asked_for_meanwhile_becomes_one_more_run(void **state)
{
    struct bed bed;

    bed_init(&bed, KAFKA "pipelines:\n" IN("loud") OUT);
    put_file(&bed, KAFKA "pipelines:\n" IN("first") OUT);
    assert_int_equal(fg_process_reload(bed.process, FG_RELOAD_SIGNAL, told, &bed, &bed.err), 0);
    (void)uv_run(&bed.loop, UV_RUN_ONCE); /* it is under way */
    put_file(&bed, KAFKA "pipelines:\n" IN("last") OUT);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(
            fg_process_reload(bed.process, i % 2 ? FG_RELOAD_API : FG_RELOAD_SIGNAL, told, &bed, &bed.err), 0);
    run_until_told(&bed, 101);
    look(&bed, FG_REPORT_CONFIG, NULL);
    expect(&bed, "/pipelines/in/transforms/0/value", "\"last\"");
    look(&bed, FG_REPORT_RELOADS, NULL);
    assert_int_equal(fg_json_find(fg_buf_slice(&bed.report), "/reloads/2").kind, FG_JSON_NONE);
    bed_deinit(&bed);
}

static void a_dry_run_says_what_would_be_done(void **state)
{
    struct bed bed;

    bed_init(&bed, KAFKA "pipelines:\n" IN("loud") OUT);
    assert_int_equal(
        fg_process_dry_run(bed.process, fg_slice_of(KAFKA "pipelines:\n" IN("dry")), told, &bed, &bed.err), 0);
    run_until_told(&bed, 1);
    expect(&bed, "/result", "\"would-do\"");
    expect(&bed, "/changes/0/place", "\"in.transforms.0\"");
    expect(&bed, "/pipelines/1/how", "\"removed\"");
    assert_int_equal(fg_json_find(fg_buf_slice(&bed.report), "/generation").kind, FG_JSON_NONE);
    assert_int_equal(fg_process_dry_run(bed.process, fg_slice_of("pipelines: {x: 1}"), told, &bed, &bed.err), 0);
    fg_process_reload_forget(bed.process, &bed); /* nobody waits any more */
    assert_true(fg_process_dry_run(bed.process, fg_slice_of("pipelines: {x: \"${file:/etc/hostname}\"}"), told, &bed,
                                   &bed.err) < 0);
    assert_non_null(strstr(bed.err.text, "does not name this file"));
    assert_int_equal(fg_process_dry_run(bed.process, fg_slice_of("pipelines: {x: 1}"), told, &bed, &bed.err), 0);
    run_until_told(&bed, 2);
    expect(&bed, "/result", "\"refused\"");
    look(&bed, FG_REPORT_STATUS, NULL);
    expect(&bed, "/generation", "1");
    bed_deinit(&bed);
}

static void a_stop_ends_a_reload_wherever_it_is(void **state)
{
    for (unsigned turns = 0; turns < 10; turns += 3) {
        struct bed bed;
        bed_init(&bed, KAFKA "pipelines:\n" IN("loud") OUT);
        put_file(&bed, KAFKA "pipelines:\n" IN("quiet"));
        assert_int_equal(fg_process_reload(bed.process, FG_RELOAD_SIGNAL, told, &bed, &bed.err), 0);
        for (unsigned i = 0; i < turns; i++)
            (void)uv_run(&bed.loop, UV_RUN_ONCE);
        fg_process_stop(bed.process, turns % 2, stopped, &bed);
        assert_true(fg_process_reload(bed.process, FG_RELOAD_SIGNAL, told, &bed, &bed.err) < 0);
        while (bed.n_stopped == 0)
            (void)uv_run(&bed.loop, UV_RUN_ONCE);
        assert_int_equal(bed.n_told, 1);
        bed_deinit(&bed);
    }
}

static void the_file_is_watched(void **state)
{
    struct bed bed;

    bed_init(&bed, KAFKA "reload: {settle: 10ms}\npipelines:\n" IN("loud") OUT);
    put_file(&bed, KAFKA "reload: {settle: 10ms}\npipelines:\n" IN("seen") OUT);
    run_until_logged(&bed, "reload: generation 2 runs");
    put_file(&bed, KAFKA "reload: {settle: 10ms, watch: false}\npipelines:\n" IN("seen") OUT);
    run_until_logged(&bed, "reload: generation 3 runs");
    bed_deinit(&bed);
}

static void a_topic_is_followed_on_to_another_kafka(void **state)
{
    struct fg_follow *follow;
    struct bed bed;

    bed_init(&bed, KAFKA "pipelines:\n" IN("loud"));
    follow = fg_process_follow(bed.process, "t", 100, take_record, &bed, &bed.err);
    assert_non_null(follow);
    while (bed.n_seen < 3)
        (void)uv_run(&bed.loop, UV_RUN_ONCE);
    assert_string_equal(
        reload(&bed, "kafka: {embedded: true, properties: {linger.ms: 1}}\npipelines:\n" IN("loud")), "done");
    expect(&bed, "/pipelines/0/how", "\"reopen\"");
    while (bed.n_seen < 6) /* the other broker knows of nothing: the lines are read again */
        (void)uv_run(&bed.loop, UV_RUN_ONCE);
    fg_follow_stop(follow);
    bed_deinit(&bed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unchanged_file_changes_nothing),
        cmocka_unit_test(a_changed_transform_is_swapped_and_the_other_pipeline_not_touched),
        cmocka_unit_test(pipelines_come_go_and_are_opened_anew),
        cmocka_unit_test(what_is_wrong_is_said_and_all_goes_on),
        cmocka_unit_test(the_http_section_comes_changes_and_goes),
        cmocka_unit_test(limits_change_while_it_runs),
        cmocka_unit_test(workers_asked_for_while_others_leave_come_after_them),
        cmocka_unit_test(what_is_asked_for_meanwhile_becomes_one_more_run),
        cmocka_unit_test(a_dry_run_says_what_would_be_done),
        cmocka_unit_test(a_stop_ends_a_reload_wherever_it_is),
        cmocka_unit_test(the_file_is_watched),
        cmocka_unit_test(a_topic_is_followed_on_to_another_kafka),
    };

    if (argc > 1 && strcmp(argv[1], "validate") == 0)
        return puts("{\"faults\":[],\"plugins\":[]}") < 0;
    return cmocka_run_group_tests_name("host reload", tests, NULL, NULL);
}
