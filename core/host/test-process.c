/* SPDX-License-Identifier: Apache-2.0 */
/* A whole process on a real loop: begun, asked, and ended, with what its plugins saw of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "host/process.h"
#include "net/client.h"

#define SECONDS_MAX 30u

/* The log goes to a file in memory, to be searched. */
struct bed {
    uv_loop_t loop;
    uv_timer_t guard;
    struct fg_plugin_path path;
    struct fg_config *config;
    struct fg_log *log;
    int log_fd;
    struct fg_process *process;
    struct fg_error err;
    struct fg_buf seen; /* of follows and answers */
    unsigned n_stopped, n_seen;
};

static void too_late(uv_timer_t *timer)
{
    fail_msg("no end after %u s", SECONDS_MAX);
}

static void bed_init(struct bed *bed, const char *yaml)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    const char *dirs[] = { getenv("FRAGUA_TEST_PLUGINS"), getenv("FRAGUA_EXAMPLE_PLUGINS"), getenv("FRAGUA_PLUGINS") };

    *bed = (struct bed){ .seen = FG_BUF_INIT(1 << 20) };
    assert_int_equal(uv_loop_init(&bed->loop), 0);
    assert_int_equal(uv_timer_init(&bed->loop, &bed->guard), 0);
    assert_int_equal(uv_timer_start(&bed->guard, too_late, SECONDS_MAX * 1000u, 0), 0);
    uv_unref((uv_handle_t *)&bed->guard);
    assert_int_equal(fg_plugin_path_init(&bed->path, dirs, 3, NULL), 0);
    if (fg_config_load("f.yaml", fg_slice_of(yaml), NULL, 0, &bed->path, &bed->config, &faults) < 0)
        fail_msg("%u:%u: %s", faults.items[0].line, faults.items[0].column, faults.items[0].text);
    bed->log_fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(bed->log_fd >= 0);
    bed->log = fg_log_new(bed->log_fd, FG_LOG_LOGFMT, false, FG_LOG_INFO, &fg_clock_system);
    fg_conf_faults_deinit(&faults);
}

static int bed_start(struct bed *bed, enum fg_role role)
{
    struct fg_process_config c = { .loop = &bed->loop, .log = bed->log, .config = bed->config, .role = role,
                                   .instance = "test" };

    return fg_process_start(&c, &bed->process, &bed->err);
}

static void stopped(void *arg)
{
    ((struct bed *)arg)->n_stopped++;
}

static void bed_stop(struct bed *bed)
{
    if (bed->n_stopped == 0)
        fg_process_stop(bed->process, false, stopped, bed);
    while (bed->n_stopped == 0)
        (void)uv_run(&bed->loop, UV_RUN_ONCE);
}

static void bed_deinit(struct bed *bed)
{
    bed_stop(bed);
    assert_int_equal(fg_budget_used(fg_process_budget(bed->process)), 0); /* all that was charged was given back */
    bed->process = fg_process_free(bed->process);
    uv_close((uv_handle_t *)&bed->guard, NULL);
    assert_int_equal(uv_run(&bed->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(bed->n_stopped, 1);
    assert_int_equal(uv_loop_close(&bed->loop), 0);
    fg_config_unref(bed->config);
    fg_plugin_path_deinit(&bed->path);
    fg_log_free(bed->log);
    fg_buf_deinit(&bed->seen);
    close(bed->log_fd);
}

static void read_log(struct bed *bed, char *ret, size_t size)
{
    ssize_t n = pread(bed->log_fd, ret, size - 1, 0);

    assert_true(n >= 0);
    ret[n] = '\0';
}

/* Asserts that the texts stand in the log, in this order. */
static void expect_log(struct bed *bed, const char *const *texts)
{
    static char log[1 << 18];
    const char *at = log;

    read_log(bed, log, sizeof(log));
    for (; *texts; texts++) {
        at = strstr(at, *texts);
        if (!at)
            fail_msg("\"%s\" is not where it should be in:\n%s", *texts, log);
    }
}

static void answered(void *arg, const struct fg_http_response *res, const struct fg_error *err)
{
    struct bed *bed = arg;

    if (err)
        fail_msg("%s", err->text);
    fg_buf_printf(&bed->seen, "%d %.*s", res->status, FG_SLICE_ARG(res->body));
    bed->n_seen++;
}

/* "STATUS BODY" of a GET from a client of the bed's own; valid until the next. */
static const char *get(struct bed *bed, const char *path)
{
    struct fg_http_client_config config = { .loop = &bed->loop };
    struct fg_http_client *client;
    struct fg_http_request req = { .method = "GET", .timeout_ms = 5000, .body_max = 1 << 20, .allow_private = true };
    char url[256];
    unsigned before = bed->n_seen;

    fg_buf_clear(&bed->seen);
    assert_int_equal(fg_http_client_new(&config, &client, &bed->err), 0);
    (void)snprintf(url, sizeof(url), "http://%s%s", fg_process_http_address(bed->process), path);
    req.url = url;
    assert_non_null(fg_http_client_send(client, &req, FG_SLICE_NULL, answered, bed, &bed->err));
    while (bed->n_seen == before)
        (void)uv_run(&bed->loop, UV_RUN_ONCE);
    fg_http_client_close(client, NULL, NULL);
    return bed->seen.data;
}

static void take_bytes(void *arg, struct fg_slice bytes)
{
    fg_buf_add_slice(arg, bytes);
}

#define HELLO "{plugin: control-hello, greeting: hi}"

static void a_file_of_http_plugins_alone_serves_and_stops(void **state)
{
    struct bed bed;

    bed_init(&bed, "http: {listen: \"127.0.0.1:0\", plugins: [" HELLO ", {plugin: good-order}]}\n");
    assert_int_equal(bed_start(&bed, FG_ROLE_BOTH), 0);
    assert_true(fg_process_is_ready(bed.process));
    assert_string_equal(get(&bed, "/hello/w%22orld"), "200 {\"greeting\":\"hi\",\"name\":\"w\\\"orld\"}");
    assert_true(strncmp(get(&bed, "/nothing"), "404", 3) == 0);
    bed_stop(&bed);
    assert_false(fg_process_is_ready(bed.process));
    expect_log(&bed, (const char *const[]){ "callback open", "callback start", "callback stop", "callback stopped",
                                            "callback close", NULL });
    bed_deinit(&bed);
}

static void a_port_in_use_fails_the_start_and_nothing_stays(void **state)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char yaml[256];
    struct bed bed;

    assert_int_equal(bind(fd, (struct sockaddr *)&a, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    (void)snprintf(yaml, sizeof(yaml),
                   "kafka: {embedded: true}\npipelines: {p: {input: {topic: t}, sink: {plugin: sink-log}}}\n"
                   "http: {listen: \"127.0.0.1:%u\", plugins: [{plugin: good-order}]}\n",
                   ntohs(a.sin_port));
    bed_init(&bed, yaml);
    assert_true(bed_start(&bed, FG_ROLE_BOTH) < 0);
    if (!strstr(bed.err.text, "127.0.0.1:") || !strstr(bed.err.text, "another program has this port"))
        fail_msg("%s", bed.err.text);
    assert_null(fg_process_http_address(bed.process));
    assert_int_equal(fg_process_report(bed.process, FG_REPORT_PIPELINES, NULL, take_bytes, &bed.seen, &bed.err), 0);
    bed_stop(&bed);
    assert_true(fg_process_report(bed.process, FG_REPORT_STATUS, NULL, take_bytes, &bed.seen, &bed.err) < 0);
    expect_log(&bed, (const char *const[]){ "callback open", "callback close", NULL });
    bed_deinit(&bed);
    close(fd);
}

static void an_instance_that_cannot_start_is_named_and_the_others_are_stopped(void **state)
{
    struct bed bed;

    bed_init(&bed, "http: {listen: \"127.0.0.1:0\", plugins: [{plugin: good-order}, {plugin: bad-start}]}\n");
    assert_true(bed_start(&bed, FG_ROLE_BOTH) < 0);
    assert_string_equal(bed.err.text, "http.plugins.1: the thing it needs is not there");
    bed_stop(&bed);
    expect_log(&bed, (const char *const[]){ "callback start", "callback stopped", "callback close", NULL });
    bed_deinit(&bed);
}

static void an_instance_that_cannot_open_is_named(void **state)
{
    struct bed bed;

    bed_init(&bed, "kafka: {embedded: true}\n"
                   "http: {listen: \"127.0.0.1:0\", plugins: [" HELLO ", {plugin: bad-refuse}]}\n"
                   "pipelines: {p: {input: {topic: t}, sink: {plugin: sink-log}}}\n");
    assert_true(bed_start(&bed, FG_ROLE_BOTH) < 0);
    assert_string_equal(bed.err.text, "http.plugins.1: this plugin never opens: take another");
    bed_deinit(&bed);
    bed_init(&bed, "http: {plugins: [{plugin: bad-self}]}\n");
    assert_true(bed_start(&bed, FG_ROLE_BOTH) < 0);
    assert_string_equal(bed.err.text, "http.plugins.0: plugin \"bad-self\" opened without an instance");
    bed_deinit(&bed);
}

static void two_routes_of_one_path_are_refused(void **state)
{
    struct bed bed;

    bed_init(&bed, "http: {listen: \"127.0.0.1:0\", plugins: [" HELLO ", " HELLO "]}\n");
    assert_true(bed_start(&bed, FG_ROLE_BOTH) < 0);
    assert_non_null(strstr(bed.err.text, "/hello/{name}"));
    bed_deinit(&bed);
}

static void stopping_twice_stops_once(void **state)
{
    struct bed bed;

    bed_init(&bed, "kafka: {embedded: true}\npipelines: {p: {input: {topic: t}, sink: {plugin: sink-log}}}\n");
    assert_int_equal(bed_start(&bed, FG_ROLE_BOTH), 0);
    fg_process_stop(bed.process, false, stopped, &bed);
    fg_process_stop(bed.process, false, stopped, &bed);
    fg_process_stop(bed.process, true, stopped, &bed);
    bed_deinit(&bed); /* asserts that it was told once */
}

static void a_role_runs_its_pipelines_only(void **state)
{
    const char *yaml = "kafka: {embedded: true}\npipelines:\n"
                       "  a: {source: {plugin: source-lines, lines: x}, output: {topic: t}}\n"
                       "  b: {input: {topic: t}, sink: {plugin: sink-log}}\n";
    struct bed bed;

    bed_init(&bed, yaml);
    assert_int_equal(bed_start(&bed, FG_ROLE_CONSUMER), 0);
    assert_true(fg_process_pipeline_action(bed.process, "a", FG_PIPELINE_PAUSE, &bed.err) < 0);
    assert_int_equal(bed.err.code, FG_E_NOT_FOUND);
    assert_int_equal(fg_process_pipeline_action(bed.process, "b", FG_PIPELINE_PAUSE, &bed.err), 0);
    bed_deinit(&bed);
}

static void a_file_without_a_pipeline_of_the_role_is_refused(void **state)
{
    struct bed bed;

    bed_init(&bed, "kafka: {embedded: true}\npipelines: {b: {input: {topic: t}, sink: {plugin: sink-log}}}\n");
    assert_true(bed_start(&bed, FG_ROLE_PRODUCER) < 0);
    assert_int_equal(bed.err.code, FG_E_CONFIG);
    assert_string_equal(bed.err.text, "the file has no pipeline of this role");
    bed_deinit(&bed);
}

static void every_report_is_written_and_holds_no_secret(void **state)
{
    struct bed bed;

    bed_init(&bed, "kafka: {embedded: true}\n"
                   "http: {listen: \"127.0.0.1:0\", plugins: [" HELLO ", {plugin: good-order, secret: hush-hush}]}\n"
                   "pipelines: {p: {input: {topic: t}, sink: {plugin: sink-log}}}\n");
    assert_int_equal(bed_start(&bed, FG_ROLE_BOTH), 0);
    for (enum fg_report what = FG_REPORT_STATUS; what <= FG_REPORT_CONFIG; what++) {
        fg_buf_clear(&bed.seen);
        assert_int_equal(fg_process_report(bed.process, what, NULL, take_bytes, &bed.seen, &bed.err), 0);
        assert_true(bed.seen.len > 0);
        assert_null(strstr(bed.seen.data, "hush-hush"));
        assert_true(what == FG_REPORT_METRICS || fg_json_valid(fg_buf_slice(&bed.seen)));
    }
    assert_true(fg_process_report(bed.process, FG_REPORT_PIPELINES, "q", take_bytes, &bed.seen, &bed.err) < 0);
    assert_string_equal(bed.err.text, "there is no pipeline \"q\" in this process");
    assert_null(fg_process_follow(bed.process, "not-mine", 10, NULL, NULL, &bed.err));
    assert_string_equal(bed.err.text, "\"not-mine\" is no topic of this pipeline file");
    bed_deinit(&bed);
}

/* What a replay needs: Kafka, workers, and an instance of each transform for each of them; nothing runs. */
static void a_prepared_process_opens_the_transforms_of_sources_alone(void **state)
{
    struct fg_replay_route in, out;
    struct bed bed;

    bed_init(&bed, "kafka: {embedded: true}\nlimits: {workers: 2}\n"
                   "http: {listen: \"127.0.0.1:0\", plugins: [{plugin: good-order}]}\npipelines:\n"
                   "  in:\n    source: {plugin: source-lines, lines: [one]}\n"
                   "    transforms: [{plugin: transform-upper}]\n    output: {topic: t, rows: r}\n"
                   "  out:\n    input: {topics: [t, r]}\n    transforms: [{plugin: transform-upper}]\n"
                   "    sink: {plugin: sink-log}\n");
    struct fg_process_config c = { .loop = &bed.loop, .log = bed.log, .config = bed.config, .role = FG_ROLE_BOTH };
    assert_int_equal(fg_process_prepare(&c, true, &bed.process, &bed.err), 0);
    assert_non_null(fg_process_bus(bed.process));
    assert_int_equal(fg_process_env(bed.process)->n_workers, 2);
    assert_null(fg_process_http_address(bed.process));
    fg_process_route(bed.process, 0, &in);
    fg_process_route(bed.process, 1, &out);
    assert_true(in.source && !in.sink && in.n_transforms == 1 && in.n_inputs == 0 && in.n_outputs == 2);
    assert_ptr_not_equal(in.transforms[0].selves[0], in.transforms[0].selves[1]);
    assert_string_equal(in.outputs[1].name, "rows");
    assert_true(!out.source && out.sink && out.n_transforms == 0 && out.n_inputs == 2);
    assert_string_equal(out.inputs[1], "r");
    assert_int_equal(lseek(bed.log_fd, 0, SEEK_END), 0); /* good-order, which logs each call, was not opened */
    bed_deinit(&bed);
}

static void take_record(void *arg, const struct fg_record_view *m, int32_t partition, int64_t offset)
{
    struct bed *bed = arg;

    fg_buf_printf(&bed->seen, "%.*s=%.*s", FG_SLICE_ARG(m->key), FG_SLICE_ARG(m->value));
    for (size_t i = 0; i < m->n_headers; i++)
        fg_buf_printf(&bed->seen, " %.*s:%.*s", FG_SLICE_ARG(m->headers[i].name), FG_SLICE_ARG(m->headers[i].value));
    fg_buf_add_char(&bed->seen, '\n');
    bed->n_seen++;
}

static void lines_go_all_the_way_through_the_embedded_broker(void **state)
{
    struct bed bed;
    struct fg_follow *follow;

    bed_init(&bed, "kafka: {embedded: true}\nlimits: {workers: 2}\npipelines:\n"
                   "  in:\n    source: {plugin: source-lines, lines: [one, two, three]}\n"
                   "    transforms: [{plugin: transform-upper, header: made, value: loud}]\n    output: {topic: t}\n"
                   "  out:\n    input: {topic: t}\n    sink: {plugin: sink-log, pass: true}\n    output: {topic: u}\n");
    assert_int_equal(bed_start(&bed, FG_ROLE_BOTH), 0);
    follow = fg_process_follow(bed.process, "u", 100, take_record, &bed, &bed.err);
    assert_non_null(follow);
    while (bed.n_seen < 3)
        (void)uv_run(&bed.loop, UV_RUN_ONCE);
    assert_non_null(strstr(bed.seen.data, "list=ONE made:loud"));
    assert_non_null(strstr(bed.seen.data, "list=THREE made:loud"));
    assert_true(fg_process_is_ready(bed.process));
    expect_log(&bed, (const char *const[]){ "value=\\\"ONE\\\"", "value=\\\"TWO\\\"", "value=\\\"THREE\\\"", NULL });
    fg_process_stop(bed.process, false, stopped, &bed);
    fg_follow_stop(follow); /* its end is nobody's step of the stop */
    bed_deinit(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_http_plugins_alone_serves_and_stops),
        cmocka_unit_test(a_port_in_use_fails_the_start_and_nothing_stays),
        cmocka_unit_test(an_instance_that_cannot_start_is_named_and_the_others_are_stopped),
        cmocka_unit_test(an_instance_that_cannot_open_is_named),
        cmocka_unit_test(two_routes_of_one_path_are_refused),
        cmocka_unit_test(stopping_twice_stops_once),
        cmocka_unit_test(a_role_runs_its_pipelines_only),
        cmocka_unit_test(a_file_without_a_pipeline_of_the_role_is_refused),
        cmocka_unit_test(every_report_is_written_and_holds_no_secret),
        cmocka_unit_test(a_prepared_process_opens_the_transforms_of_sources_alone),
        cmocka_unit_test(lines_go_all_the_way_through_the_embedded_broker),
    };

    return cmocka_run_group_tests_name("host process", tests, NULL, NULL);
}
