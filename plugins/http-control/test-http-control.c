/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the routes on a host in memory: probes, reports, switches, the latest records, and the page's files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <fragua/kit/json.h>

#include <fake-host.h>

extern const struct fg_plugin fragua_plugin;

struct fg_follow {
    fg_follow_cb cb;
    void *arg;
    bool stopped;
};

struct bed {
    struct fake_host *fake; /* its address is found by the host's */
    void *self;
    char *config;
    struct fg_exchange *x;
};

static void *member(struct bed *bed, const char *key)
{
    const struct fg_option *o = fragua_plugin.options;

    while (o->key && strcmp(o->key, key) != 0)
        o++;
    assert_non_null(o->key);
    return bed->config + o->offset;
}

/* A host with one pipeline, "ingest", that writes to "mail" twice and to "dead". */
static const char *topic_at(struct fg_host *host, size_t k, const char **ret_role, const char **ret_pipeline)
{
    static const char *const topics[] = {"mail", "dead", "mail", "gone"};

    (void)host;
    *ret_role = k == 1 ? "dead-letters" : "output";
    *ret_pipeline = "ingest";
    return k < 4 ? topics[k] : NULL;
}

/* The one that follows is kept where random() would be, the only free word of the fake. */
static struct fg_follow *follow(struct fg_host *host, const char *topic, int64_t tail, fg_follow_cb cb, void *arg,
                                struct fg_error *err)
{
    struct fg_follow *f;

    assert_int_equal(tail, 5);
    if (strcmp(topic, "mail") != 0) {
        (void)fg_error_set(err, FG_E_NOT_FOUND, 0, "no such topic");
        return NULL;
    }
    assert_int_equal(((struct fake_host *)host)->random_next, 0); /* a topic is followed once */
    f = calloc(1, sizeof(*f));
    assert_non_null(f);
    *f = (struct fg_follow){.cb = cb, .arg = arg};
    ((struct fake_host *)host)->random_next = (uintptr_t)f;
    return f;
}

static void follow_stop(struct fg_follow *f)
{
    f->stopped = true;
}

static int report(struct fg_host *host, enum fg_report what, const char *name, fg_write_cb write, void *arg,
                  struct fg_error *err)
{
    (void)host;
    (void)what;
    if (name && strcmp(name, "ingest") != 0)
        return fg_error_set(err, FG_E_NOT_FOUND, 0, "no pipeline");
    write(arg, (struct fg_slice)FG_SLICE("{\"a\":"));
    write(arg, (struct fg_slice)FG_SLICE("1}"));
    return 0;
}

static bool not_ready(struct fg_host *host)
{
    (void)host;
    return false;
}

static int action(struct fg_host *host, const char *name, enum fg_pipeline_action what, struct fg_error *err)
{
    (void)host;
    if (strcmp(name, "ingest") != 0)
        return fg_error_set(err, FG_E_NOT_FOUND, 0, "no pipeline");
    return what == FG_PIPELINE_RESUME ? fg_error_set(err, FG_E_REFUSED, 0, "it is not paused") : 0;
}

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    bed->fake = fake_host_new();
    bed->fake->svc.topic_at = topic_at;
    bed->fake->svc.follow = follow;
    bed->fake->svc.follow_stop = follow_stop;
    bed->fake->svc.report = report;
    bed->fake->svc.pipeline_action = action;
    bed->config = calloc(1, fragua_plugin.config_size);
    assert_non_null(bed->config);
    *(int64_t *)member(bed, "window") = 5;
    *(int64_t *)member(bed, "window-bytes") = 65536;
    assert_int_equal(fragua_plugin.open(&bed->fake->host, bed->config, &bed->self, NULL), 0);
    assert_int_equal(fragua_plugin.start(bed->self, NULL), 0);
    *state = bed;
    return 0;
}

static void note(void *arg)
{
    ++*(int *)arg;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    struct fg_follow *f = (struct fg_follow *)(uintptr_t)bed->fake->random_next;
    int stopped = 0;

    fake_exchange_free(bed->x);
    fragua_plugin.stop(bed->self, note, &stopped);
    assert_int_equal(stopped, 1);
    assert_true(f->stopped);
    free(f);
    fragua_plugin.close(bed->self);
    fake_host_free(bed->fake);
    free(bed->config);
    free(bed);
    return 0;
}

static const char *ask(struct bed *bed, const char *method, const char *path, const char *params, const char *query,
                       int status)
{
    const struct fg_control_ops *ops = fragua_plugin.control;
    size_t i = 0;

    while (i < ops->n_routes && (strcmp(ops->routes[i].method, method) || strcmp(ops->routes[i].path, path)))
        i++;
    assert_true(i < ops->n_routes);
    fake_exchange_free(bed->x);
    bed->x = fake_exchange_new(method, path, query, NULL);
    bed->x->params = params;
    ops->routes[i].handle(bed->self, bed->x);
    assert_int_equal(bed->x->status, status);
    return bed->x->answer.data;
}

static void probes_and_reports_answer(void **state)
{
    struct bed *bed = *state;

    assert_string_equal(ask(bed, "GET", "/livez", NULL, NULL, 200), "ok\n");
    assert_string_equal(ask(bed, "GET", "/readyz", NULL, NULL, 200), "ready\n");
    bed->fake->svc.is_ready = not_ready;
    (void)ask(bed, "GET", "/readyz", NULL, NULL, 503);
    assert_string_equal(ask(bed, "GET", "/readyz", NULL, "verbose", 503), "{\"a\":1}");
    assert_string_equal(ask(bed, "GET", "/v1/status", NULL, NULL, 200), "{\"a\":1}");
    assert_string_equal(ask(bed, "GET", "/v1/pipelines/{name}", "name=ingest", NULL, 200), "{\"a\":1}");
    (void)ask(bed, "GET", "/v1/pipelines/{name}", "name=other", NULL, 404);
    (void)ask(bed, "GET", "/v1/pipelines/{name}", "name=ingest%00x", NULL, 404);
    (void)ask(bed, "GET", "/v1/pipelines/{name}", NULL, NULL, 404);
    (void)ask(bed, "GET", "/metrics", NULL, NULL, 200);
    assert_non_null(strstr(bed->x->content_type, "version=0.0.4"));
}

static void switches_are_turned(void **state)
{
    struct bed *bed = *state;

    (void)ask(bed, "POST", "/v1/pipelines/{name}/pause", "name=ingest", NULL, 202);
    (void)ask(bed, "POST", "/v1/pipelines/{name}/resume", "name=ingest", NULL, 409);
    (void)ask(bed, "POST", "/v1/pipelines/{name}/stop", "name=other", NULL, 404);
    (void)ask(bed, "POST", "/v1/pipelines/{name}/start", "name=ingest", NULL, 202);
}

static void arrive(struct bed *bed, const char *type, const char *value)
{
    struct fg_follow *f = (struct fg_follow *)(uintptr_t)bed->fake->random_next;
    const struct fg_header headers[] = {{FG_SLICE("x"), FG_SLICE("y")}, {FG_SLICE("ce_type"), fg_slice_of(type)}};
    struct fg_record_view view = {.value = fg_slice_of(value), .headers = headers, .n_headers = 2};

    f->cb(f->arg, &view, 0, 0);
}

static void the_latest_records_are_shown(void **state)
{
    struct bed *bed = *state;

    assert_true(fake_host_logged(bed->fake, "cannot show \"gone\": no such topic"));
    arrive(bed, "fragua.mail.document.v1", "{\"id\":\"d/1\",\"subject\":\"S\"}");
    arrive(bed, "fragua.mail.entities.v1",
           "{\"document\":{\"id\":\"d/1\"},\"entities\":[{\"type\":\"ID\",\"text\":\"x\"}]}");
    arrive(bed, "fragua.dead.v1", "{\"id\":\"d2\"}");
    assert_string_equal(ask(bed, "GET", "/v1/documents", NULL, NULL, 200),
                        "{\"documents\":[{\"id\":\"d/1\",\"subject\":\"S\"}]}");
    assert_string_equal(ask(bed, "GET", "/v1/documents/{id}", "id=d%2F1", NULL, 200),
                        "{\"id\":\"d/1\",\"subject\":\"S\"}");
    (void)ask(bed, "GET", "/v1/documents/{id}", "id=d2", NULL, 404);
    (void)ask(bed, "GET", "/v1/documents/{id}/entities", "id=d%2F1", NULL, 200);
    assert_string_equal(ask(bed, "GET", "/v1/entities", NULL, "type=ID&limit=1", 200),
                        "{\"entities\":[{\"type\":\"ID\",\"text\":\"x\",\"document\":{\"id\":\"d/1\"}}],\"next\":2}");
}

static void queries_that_make_no_sense_are_refused(void **state)
{
    static const char *const queries[] = {
        "limit=0", "limit=1001", "limit=x", "limit=-1", "before=0", "before=x", "limit=99999999999999999999"};

    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
        (void)ask(*state, "GET", "/v1/documents", NULL, queries[i], 400);
}

/* The policy forbids what stands in the page itself, so nothing may. */
static void the_page_keeps_to_its_own_policy(void **state)
{
    struct bed *bed = *state;
    const char *html = ask(bed, "GET", "/", NULL, NULL, 200);

    assert_non_null(strstr(bed->x->answer_headers.data, "Content-Security-Policy: default-src 'self'"));
    assert_null(strstr(bed->x->answer_headers.data, "unsafe"));
    assert_null(strstr(html, "<style"));
    assert_null(strstr(html, " style="));
    assert_null(strstr(html, "<script>"));
    assert_null(strstr(html, " on"));
    assert_null(strstr(html, "http"));
    assert_null(strstr(ask(bed, "GET", "/page.js", NULL, NULL, 200), "innerHTML"));
    assert_non_null(strstr(ask(bed, "GET", "/page.css", NULL, NULL, 200), "prefers-color-scheme: dark"));
    assert_string_equal(bed->x->content_type, "text/css; charset=utf-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(probes_and_reports_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(switches_are_turned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_latest_records_are_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(queries_that_make_no_sense_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_page_keeps_to_its_own_policy, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
