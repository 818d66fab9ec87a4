/* SPDX-License-Identifier: Apache-2.0 */
/* Reloads and events by the API, on a host in memory that answers when the test wants it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <fake-host.h>

#include "events.h"

extern const struct fg_plugin fragua_plugin;

#define ASKERS_MAX  8
#define READERS_MAX 4
#define FOLLOWED_MAX 8

struct fg_follow {
    const char *topic;
};

struct fg_events {
    fg_event_cb cb;
    void *arg;
};

/* The one bed there is: the fake host is not part of it, so its services find it here. */
static struct bed {
    struct fake_host *fake;
    void *self;
    char *config;
    struct fg_exchange *x[READERS_MAX];
    struct {
        fg_reload_cb done;
        void *arg;
        bool dry;
    } askers[ASKERS_MAX]; /* done NULL: none */
    unsigned n_asked, n_forgotten, n_events, n_events_stopped;
    char text[64]; /* of the last dry run */
    bool refuses;
    struct fg_events events;
    const char *topics[4];
    struct fg_follow followed[FOLLOWED_MAX]; /* topic NULL: stopped */
    size_t n_followed;
    fg_follow_cb arrive;
    void *arrive_arg;
} *bed;

static int ask(bool dry, fg_reload_cb done, void *arg, struct fg_error *err)
{
    size_t i = 0;

    if (bed->refuses)
        return fg_error_set(err, FG_E_CANCELLED, 0, "the server stops");
    while (i < ASKERS_MAX && bed->askers[i].done)
        i++;
    assert_true(i < ASKERS_MAX);
    bed->askers[i].done = done;
    bed->askers[i].arg = arg;
    bed->askers[i].dry = dry;
    bed->n_asked++;
    return 0;
}

static int reload(struct fg_host *host, fg_reload_cb done, void *arg, struct fg_error *err)
{
    (void)host;
    return ask(false, done, arg, err);
}

static int dry_run(struct fg_host *host, struct fg_slice text, fg_reload_cb done, void *arg, struct fg_error *err)
{
    (void)host;
    (void)snprintf(bed->text, sizeof(bed->text), "%.*s", FG_SLICE_ARG(text));
    return ask(true, done, arg, err);
}

static void reload_forget(struct fg_host *host, void *arg)
{
    (void)host;
    for (size_t i = 0; i < ASKERS_MAX; i++) {
        if (!bed->askers[i].done || bed->askers[i].arg != arg)
            continue;
        bed->askers[i].done = NULL;
        bed->n_forgotten++;
    }
}

/* All that were asked for become one, as in the host. */
static void answer(int code, const char *report)
{
    for (size_t i = 0; i < ASKERS_MAX; i++) {
        fg_reload_cb done = bed->askers[i].done;
        bed->askers[i].done = NULL;
        if (done)
            done(bed->askers[i].arg, code, fg_slice_of(report));
    }
}

static struct fg_events *events(struct fg_host *host, fg_event_cb cb, void *arg)
{
    (void)host;
    bed->events = (struct fg_events){ cb, arg };
    bed->n_events++;
    return &bed->events;
}

static void stop_events(struct fg_events *e)
{
    assert_ptr_equal(e, &bed->events);
    bed->n_events_stopped++;
}

static int report(struct fg_host *host, enum fg_report what, const char *name, fg_write_cb write, void *arg,
                  struct fg_error *err)
{
    (void)host;
    assert_int_equal(what, FG_REPORT_RELOADS);
    if (name && strcmp(name, "7") != 0)
        return fg_error_set(err, FG_E_NOT_FOUND, 0, "no such generation");
    write(arg, fg_slice_of(name ? "{\"generation\":7}" : "{\"generation\":7,\"reloads\":[]}"));
    return 0;
}

static const char *topic_at(struct fg_host *host, size_t k, const char **ret_role, const char **ret_pipeline)
{
    (void)host;
    *ret_role = k == 1 ? "dead-letters" : "output";
    *ret_pipeline = "ingest";
    return k < 4 ? bed->topics[k] : NULL;
}

static struct fg_follow *follow(struct fg_host *host, const char *topic, int64_t tail, fg_follow_cb cb, void *arg,
                                struct fg_error *err)
{
    (void)host;
    (void)tail;
    (void)err;
    assert_true(bed->n_followed < FOLLOWED_MAX);
    bed->arrive = cb;
    bed->arrive_arg = arg;
    bed->followed[bed->n_followed].topic = topic;
    return &bed->followed[bed->n_followed++];
}

static void follow_stop(struct fg_follow *f)
{
    assert_non_null(f->topic);
    f->topic = NULL;
}

static void *member(const char *key)
{
    const struct fg_option *o = fragua_plugin.options;

    while (o->key && strcmp(o->key, key) != 0)
        o++;
    return bed->config + o->offset;
}

static int set_up(void **state)
{
    (void)state;
    bed = calloc(1, sizeof(*bed));
    assert_non_null(bed);
    bed->fake = fake_host_new();
    bed->topics[0] = "mail";
    bed->fake->svc.size = sizeof(struct fg_services);
    bed->fake->svc.topic_at = topic_at;
    bed->fake->svc.follow = follow;
    bed->fake->svc.follow_stop = follow_stop;
    bed->fake->svc.report = report;
    bed->fake->svc.reload = reload;
    bed->fake->svc.dry_run = dry_run;
    bed->fake->svc.reload_forget = reload_forget;
    bed->fake->svc.events = events;
    bed->fake->svc.events_stop = stop_events;
    bed->config = calloc(1, fragua_plugin.config_size);
    assert_non_null(bed->config);
    *(int64_t *)member("window") = 5;
    *(int64_t *)member("window-bytes") = 65536;
    assert_int_equal(fragua_plugin.open(&bed->fake->host, bed->config, &bed->self, NULL), 0);
    assert_int_equal(fragua_plugin.start(bed->self, NULL), 0);
    return 0;
}

static void note(void *arg)
{
    ++*(int *)arg;
}

/* Time up to the next event of the instance's own making: whether there will be one. */
static bool a_timer_runs(void)
{
    size_t before[2] = { bed->x[0]->answer.len, bed->x[1]->answer.len };

    fake_host_advance(bed->fake, EVENTS_HEARTBEAT_MS);
    return bed->x[0]->answer.len != before[0] || bed->x[1]->answer.len != before[1];
}

static void stop(void)
{
    int stopped = 0;

    fragua_plugin.stop(bed->self, note, &stopped);
    assert_int_equal(stopped, 1);
}

static int tear_down(void **state)
{
    (void)state;
    stop();
    for (size_t i = 0; i < ASKERS_MAX; i++)
        assert_null(bed->askers[i].done); /* the plugin may be unloaded now */
    assert_int_equal(bed->n_events, 1);
    assert_int_equal(bed->n_events_stopped, 1);
    for (size_t i = 0; i < bed->n_followed; i++)
        assert_null(bed->followed[i].topic);
    fragua_plugin.close(bed->self);
    for (size_t i = 0; i < READERS_MAX; i++)
        fake_exchange_free(bed->x[i]);
    fake_host_free(bed->fake);
    free(bed->config);
    free(bed);
    bed = NULL;
    return 0;
}

static struct fg_exchange *call_with(size_t i, const char *method, const char *path, const char *params,
                                     const char *query, const char *body)
{
    const struct fg_control_ops *ops = fragua_plugin.control;
    size_t k = 0;

    while (k < ops->n_routes && (strcmp(ops->routes[k].method, method) || strcmp(ops->routes[k].path, path)))
        k++;
    assert_true(k < ops->n_routes);
    fake_exchange_free(bed->x[i]);
    bed->x[i] = fake_exchange_new(method, path, query, body);
    bed->x[i]->params = params;
    ops->routes[k].handle(bed->self, bed->x[i]);
    return bed->x[i];
}

static struct fg_exchange *call(size_t i, const char *method, const char *path, const char *query)
{
    return call_with(i, method, path, NULL, query, NULL);
}

static void a_reload_is_answered_with_what_became_of_it(void **state)
{
    static const struct {
        int code;
        const char *report;
        int status;
    } cases[] = {
        { FG_E_NONE, "{\"generation\":2,\"result\":\"done\"}", 200 },
        { FG_E_NONE, "{\"generation\":2,\"result\":\"unchanged\"}", 200 },
        { FG_E_CONFIG, "{\"generation\":3,\"result\":\"refused\",\"faults\":[]}", 422 },
        { FG_E_INTERNAL, "{\"generation\":3,\"result\":\"rolled-back\"}", 500 },
        { FG_E_CANCELLED, "{\"generation\":3,\"result\":\"refused\"}", 503 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fg_exchange *x = call(0, "POST", "/v1/reload", i % 2 ? NULL : "wait=true");
        assert_int_equal(x->status, 0); /* it waits */
        answer(cases[i].code, cases[i].report);
        assert_int_equal(x->status, cases[i].status);
        assert_string_equal(x->content_type, "application/json");
        assert_string_equal(x->answer.data, cases[i].report);
    }
    (void)call(0, "POST", "/v1/reload", NULL);
    answer(FG_E_INTERNAL, NULL);
    assert_int_equal(bed->x[0]->status, 500);
    assert_string_equal(bed->x[0]->content_type, "application/problem+json");
}

static void several_ask_and_some_do_not_wait(void **state)
{
    (void)state;
    (void)call(0, "POST", "/v1/reload", NULL);
    (void)call(1, "POST", "/v1/reload", "wait=false");
    (void)call(2, "POST", "/v1/reload", "wait=false");
    (void)call(3, "POST", "/v1/reload", NULL);
    assert_int_equal(bed->n_asked, 4);
    assert_int_equal(bed->x[1]->status, 202);
    assert_int_equal(bed->x[2]->status, 202);
    assert_string_equal(bed->x[1]->answer.data, "{\"location\":\"/v1/reloads\"}");
    assert_non_null(strstr(bed->x[1]->answer_headers.data, "Location: /v1/reloads"));
    fake_exchange_go(bed->x[3]); /* whose client goes away is forgotten, the others are not */
    assert_int_equal(bed->n_forgotten, 2);
    answer(FG_E_NONE, "{\"result\":\"done\"}");
    assert_int_equal(bed->x[0]->status, 200);
    assert_int_equal(bed->x[3]->status, 0);
    assert_int_equal(call(1, "POST", "/v1/reload", "wait=perhaps")->status, 400);
    bed->refuses = true;
    assert_int_equal(call(1, "POST", "/v1/reload", NULL)->status, 409);
    assert_int_equal(call(2, "POST", "/v1/reload", "wait=false")->status, 409);
    assert_non_null(strstr(bed->x[1]->answer.data, "the server stops"));
}

static void a_dry_run_answers_200_whatever_it_says(void **state)
{
    struct fg_exchange *x = call_with(0, "POST", "/v1/config/validate", NULL, NULL, "pipelines: {}\n");

    (void)state;
    assert_string_equal(bed->text, "pipelines: {}\n");
    assert_true(bed->askers[0].dry);
    answer(FG_E_CONFIG, "{\"result\":\"refused\"}");
    assert_int_equal(x->status, 200);
    x = call_with(0, "POST", "/v1/config/validate", NULL, NULL, "x");
    answer(FG_E_NONE, "{\"result\":\"would-do\"}");
    assert_int_equal(x->status, 200);
    assert_int_equal(call(0, "POST", "/v1/config/validate", NULL)->status, 400);
    (void)call_with(1, "POST", "/v1/config/validate", NULL, NULL, "x");
    fake_exchange_go(bed->x[1]);
    assert_int_equal(bed->n_forgotten, 1);
    bed->refuses = true;
    assert_int_equal(call_with(0, "POST", "/v1/config/validate", NULL, NULL, "x")->status, 409);
}

static void a_host_that_cannot_reload_says_so(void **state)
{
    static const struct {
        const char *method, *path;
    } routes[] = {
        { "POST", "/v1/reload" }, { "POST", "/v1/config/validate" }, { "GET", "/v1/reloads" },
        { "GET", "/v1/reloads/{generation}" },
    };

    (void)state;
    for (unsigned older = 0; older < 2; older++) {
        bed->topics[0] = "mail";
    bed->fake->svc.size = older ? offsetof(struct fg_services, reload) : sizeof(struct fg_services);
        bed->fake->svc.reload = older ? reload : NULL;
        for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
            assert_int_equal(call(0, routes[i].method, routes[i].path, NULL)->status, 501);
    }
    bed->topics[0] = "mail";
    bed->fake->svc.size = sizeof(struct fg_services);
}

static void reloads_are_told(void **state)
{
    (void)state;
    assert_string_equal(call(0, "GET", "/v1/reloads", NULL)->answer.data, "{\"generation\":7,\"reloads\":[]}");
    assert_string_equal(call_with(0, "GET", "/v1/reloads/{generation}", "generation=7", NULL, NULL)->answer.data,
                        "{\"generation\":7}");
    assert_int_equal(bed->x[0]->status, 200);
    for (size_t i = 0; i < 5; i++) {
        static const char *const none[] = { "generation=8", "generation=0", "generation=x", "generation=",
                                            "generation=00000000000000000007" };
        (void)call_with(0, "GET", "/v1/reloads/{generation}", none[i], NULL, NULL);
        assert_int_equal(bed->x[0]->status, 404);
    }
}

/* What waits when the instance ends is answered, and nothing of it is called any more. */
static void a_stop_ends_what_waits(void **state)
{
    (void)state;
    (void)call(0, "POST", "/v1/reload", NULL);
    (void)call_with(1, "POST", "/v1/config/validate", NULL, NULL, "x");
    (void)call(2, "POST", "/v1/reload", "wait=false");
    (void)call(3, "GET", "/v1/events", NULL);
    stop();
    assert_int_equal(bed->x[0]->status, 202);
    assert_int_equal(bed->x[1]->status, 503);
    assert_true(bed->x[3]->ended);
    assert_int_equal(bed->n_forgotten, 3);
}

static void happens(const char *event, const char *data)
{
    bed->events.cb(bed->events.arg, event, fg_slice_of(data));
}

static void arrives(const char *type, const char *value)
{
    const struct fg_header header = { FG_SLICE("ce_type"), fg_slice_of(type) };
    const struct fg_record_view view = { .value = fg_slice_of(value), .headers = &header, .n_headers = 1 };

    bed->arrive(bed->arrive_arg, &view, 0, 0);
}

static void events_reach_who_wants_them(void **state)
{
    (void)state;
    arrives("fragua.mail.document.v1", "{\"id\":\"d0\"}"); /* nobody reads */
    (void)call(0, "GET", "/v1/events", NULL);
    (void)call(1, "GET", "/v1/events", "kinds=reload");
    (void)call(2, "GET", "/v1/events", "kinds=entities,pipeline");
    assert_string_equal(bed->x[0]->content_type, "text/event-stream");
    happens("reload", "{\"generation\":2}");
    happens("pipeline", "{\"name\":\"ingest\"}");
    happens("of another time", "{}");
    arrives("fragua.mail.document.v1", "{\"id\":\"d\\n1\",\"mailbox\":\"a@example.com\",\"text\":\"long\"}");
    arrives("fragua.mail.entities.v1", "{\"document\":{\"id\":\"d1\"},\"entities\":[]}");
    arrives("fragua.mail.entities.v1", "{\"document\":{},\"entities\":[]}"); /* none that can be named */
    assert_null(strstr(bed->x[0]->answer.data, "document")); /* records wait for others */
    fake_host_advance(bed->fake, EVENTS_GATHER_MS);
    assert_string_equal(bed->x[0]->answer.data,
                        "retry: 1000\n\n"
                        "event: reload\ndata: {\"generation\":2}\n\n"
                        "event: pipeline\ndata: {\"name\":\"ingest\"}\n\n"
                        "event: document\ndata: {\"id\":\"d\\n1\",\"mailbox\":\"a@example.com\"}\n\n"
                        "event: entities\ndata: {\"id\":\"d1\"}\n\n");
    assert_string_equal(bed->x[1]->answer.data, "retry: 1000\n\nevent: reload\ndata: {\"generation\":2}\n\n");
    assert_string_equal(bed->x[2]->answer.data, "retry: 1000\n\nevent: pipeline\ndata: {\"name\":\"ingest\"}\n\n"
                                                "event: entities\ndata: {\"id\":\"d1\"}\n\n");
    assert_int_equal(call(3, "GET", "/v1/events", "kinds=reload,nonsense")->status, 400);
    assert_int_equal(call(3, "GET", "/v1/events", "kinds=,")->status, 400);
}

static void a_heartbeat_while_there_are_readers(void **state)
{
    (void)state;
    (void)call(0, "GET", "/v1/events", NULL);
    (void)call(1, "GET", "/v1/events", NULL);
    fake_host_advance(bed->fake, 2 * EVENTS_HEARTBEAT_MS);
    assert_string_equal(bed->x[0]->answer.data, "retry: 1000\n\n:\n\n:\n\n");
    assert_true(a_timer_runs());
    fake_exchange_go(bed->x[0]);
    happens("reload", "{}");
    assert_non_null(strstr(bed->x[1]->answer.data, "event: reload"));
    assert_true(a_timer_runs());
    fake_exchange_go(bed->x[1]);
    assert_false(a_timer_runs());
    happens("reload", "{}");
    (void)call(0, "GET", "/v1/events", NULL);
    assert_string_equal(bed->x[0]->answer.data, "retry: 1000\n\n");
    assert_true(a_timer_runs());
}

static void the_topics_of_the_new_file_are_followed(void **state)
{
    (void)state;
    bed->topics[0] = "mail";
    bed->topics[1] = "dead";
    bed->topics[2] = "more";
    bed->topics[3] = "mail";
    happens("pipeline", "{}");
    assert_int_equal(bed->n_followed, 1);
    happens("reload", "{}");
    assert_int_equal(bed->n_followed, 2);
    assert_string_equal(bed->followed[1].topic, "more");
    bed->topics[0] = bed->topics[3] = "other";
    happens("reload", "{}");
    happens("reload", "{}");
    assert_int_equal(bed->n_followed, 3);
    assert_null(bed->followed[0].topic);
    assert_string_equal(bed->followed[1].topic, "more");
    assert_string_equal(bed->followed[2].topic, "other");
}

static bool write_to_gone(struct fg_exchange *x, struct fg_slice bytes)
{
    (void)bytes;
    fake_exchange_go(x); /* too slow: cut inside the call */
    return false;
}

static void readers_may_go_while_they_are_written_to(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        (void)call(i, "GET", "/v1/events", NULL);
    bed->fake->svc.exchange_write = write_to_gone;
    happens("reload", "{}");
    (void)call(3, "GET", "/v1/events", NULL); /* gone before it began */
    happens("reload", "{}");
}

static void many_records_leave_in_large_writes(void **state)
{
    char value[128];

    (void)state;
    (void)call(0, "GET", "/v1/events", "kinds=document");
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(value, sizeof(value), "{\"id\":\"%d\",\"mailbox\":\"someone@example.com\"}", i);
        arrives("fragua.mail.document.v1", value);
    }
    assert_true(bed->x[0]->answer.len >= EVENTS_GATHER_BYTES);
    assert_null(strstr(bed->x[0]->answer.data, "\"id\":\"2999\""));
    fake_host_advance(bed->fake, EVENTS_GATHER_MS);
    assert_non_null(strstr(bed->x[0]->answer.data, "\"id\":\"2999\""));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_reload_is_answered_with_what_became_of_it),
        CASE(several_ask_and_some_do_not_wait),
        CASE(a_dry_run_answers_200_whatever_it_says),
        CASE(a_host_that_cannot_reload_says_so),
        CASE(reloads_are_told),
        CASE(a_stop_ends_what_waits),
        CASE(events_reach_who_wants_them),
        CASE(a_heartbeat_while_there_are_readers),
        CASE(the_topics_of_the_new_file_are_followed),
        CASE(readers_may_go_while_they_are_written_to),
        CASE(many_records_leave_in_large_writes),
    };

    return cmocka_run_group_tests_name("http-control reloads", tests, NULL, NULL);
}
