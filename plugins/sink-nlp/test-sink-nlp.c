/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the sink on a host in memory: what it asks, what it makes of answers, cancel, stop and records it gives up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include <fragua/kit/json.h>

#include <fake-host.h>

extern const struct fg_plugin fragua_plugin;

#define DOCUMENT "{\"id\":\"1\",\"text\":\"Ana writes\",\"language\":\"es\"}"
#define ANSWER   "{\"entities\":[{\"type\":\"P\",\"start\":0,\"end\":3},{\"type\":\"P\",\"start\":0,\"end\":99}]}"

struct bed {
    struct fake_host *fake;
    void *self;
    char *config;
    struct fg_secret token;
};

static void *member(struct bed *bed, const char *key)
{
    const struct fg_option *o = fragua_plugin.options;

    while (o->key && strcmp(o->key, key) != 0)
        o++;
    assert_non_null(o->key);
    return bed->config + o->offset;
}

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    bed->fake = fake_host_new();
    bed->config = calloc(1, fragua_plugin.config_size);
    assert_non_null(bed->config);
    bed->token = (struct fg_secret){"t0ken"};
    *(int *)member(bed, "service") = 1; /* generic */
    *(const char **)member(bed, "url") = "http://nlp:8000/ent?x=1";
    *(int64_t *)member(bed, "concurrency") = 2;
    *(int64_t *)member(bed, "timeout") = 5000;
    *(int64_t *)member(bed, "answer-max") = 65536;
    *(const struct fg_secret **)member(bed, "token") = &bed->token;
    assert_int_equal(fragua_plugin.open(&bed->fake->host, bed->config, &bed->self, NULL), 0);
    *state = bed;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;

    fragua_plugin.close(bed->self);
    fake_host_free(bed->fake);
    free(bed->config);
    free(bed);
    return 0;
}

/* Hands over a document with headers "name", "value", ..., NULL. */
static struct fg_delivery *deliver(struct bed *bed, const char *value, const char *const *pairs)
{
    struct fg_delivery *d = fake_delivery_new(bed->fake);
    struct fg_header headers[8];
    struct fg_record_spec spec = {
        .view = {.key = FG_SLICE("conversation"), .value = fg_slice_of(value), .headers = headers, .timestamp_ms = 77}};
    struct fg_record *record;

    for (; pairs && pairs[0]; pairs += 2)
        headers[spec.view.n_headers++] = (struct fg_header){fg_slice_of(pairs[0]), fg_slice_of(pairs[1])};
    assert_int_equal(bed->fake->svc.record_new(&bed->fake->host, &spec, &record, NULL), 0);
    fake_delivery_add(d, record);
    fragua_plugin.sink->deliver(bed->self, d);
    return d;
}

static const char *const headers[] = {
    "ce_id",       "a b\r\n%",
    "ce_source",   "/mailboxes/info@contoso.example",
    "ce_time",     "2026-03-16T08:00:00Z",
    "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    NULL,
};

static void a_document_is_asked_about_and_becomes_a_record(void **state)
{
    struct bed *bed = *state;
    struct fg_delivery *d = deliver(bed, DOCUMENT, headers);
    struct fg_http_call *call = fake_call_expect(bed->fake, "POST", "http://nlp:8000/ent?x=1");
    const struct fg_record_view *view;
    struct fg_record *record;

    assert_string_equal(call->body, "{\"text\":\"Ana writes\",\"language\":\"es\"}");
    assert_non_null(strstr(call->headers, "Content-Type: application/json\n"));
    assert_non_null(strstr(call->headers, "Idempotency-Key: /mailboxes/info@contoso.example/a%20b%0D%0A%25\n"));
    assert_non_null(strstr(call->headers, "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n"));
    assert_string_equal(call->bearer, "t0ken");
    assert_int_equal(call->timeout_ms, 5000);
    assert_int_equal(call->body_max, 65536);
    fake_call_answer(call, 200, NULL, ANSWER);
    assert_int_equal(d->n_done, 1);
    assert_int_equal(d->items[0].err.code, 0);
    assert_int_equal(d->items[0].n_results, 1);
    record = d->items[0].results[0];
    assert_string_equal(fake_record_header(record, "ce_id"), "a b\r\n%.entities");
    assert_string_equal(fake_record_header(record, "ce_type"), "fragua.mail.entities.v1");
    assert_string_equal(fake_record_header(record, "fragua_schema"), "fragua.mail.entities.v1");
    assert_string_equal(fake_record_header(record, "ce_source"), "/mailboxes/info@contoso.example");
    assert_null(fake_record_header(record, "ce_subject")); /* the document had none */
    view = bed->fake->svc.record_view(record);
    assert_true(fg_slice_is(view->key, "conversation"));
    assert_int_equal(view->timestamp_ms, 77);
    assert_true(fg_slice_is(fg_json_find(view->value, "/counts").raw, "{\"P\":1}"));
    assert_true(fg_slice_is(fg_json_find(view->value, "/service/url_host").raw, "\"nlp:8000\""));
    assert_true(fake_host_logged(bed->fake, "1 of the service's entities do not fit"));
    fake_delivery_free(d);
}

static void a_bad_trace_and_a_missing_id_are_not_sent(void **state)
{
    static const char *const bad[] = {"traceparent", "00-x\r\nHost: evil", "ce_source", "/s", NULL};
    struct bed *bed = *state;
    struct fg_delivery *d = deliver(bed, DOCUMENT, bad);
    struct fg_http_call *call = fake_call_next(bed->fake);

    assert_string_equal(call->headers, "Content-Type: application/json\n");
    fake_call_answer(call, 200, NULL, ANSWER);
    assert_null(fake_record_header(d->items[0].results[0], "ce_id"));
    fake_delivery_free(d);
}

static void patience_that_is_asked_for_is_passed_on(void **state)
{
    struct bed *bed = *state;
    struct fg_delivery *d = deliver(bed, DOCUMENT, headers);

    fake_call_answer(fake_call_next(bed->fake), 429, "Retry-After: 7\n", "");
    assert_int_equal(d->items[0].err.code, FG_E_THROTTLED);
    assert_int_equal(d->items[0].err.retry_after_ms, 7000);
    assert_true(d->items[0].err.retriable);
    fake_delivery_free(d);
}

static void no_answer_and_garbage_may_be_tried_again(void **state)
{
    struct bed *bed = *state;
    struct fg_delivery *d = deliver(bed, DOCUMENT, headers);

    fake_call_fail(fake_call_next(bed->fake), FG_E_UNAVAILABLE, "connection refused");
    assert_int_equal(d->items[0].err.code, FG_E_UNAVAILABLE);
    assert_false(d->items[0].err.fatal);
    fake_delivery_free(d);
    d = deliver(bed, DOCUMENT, headers);
    fake_call_answer(fake_call_next(bed->fake), 200, NULL, "<html>");
    assert_int_equal(d->items[0].err.code, FG_E_PROTOCOL);
    assert_true(d->items[0].err.retriable);
    fake_delivery_free(d);
}

static void a_wrong_configuration_is_fatal(void **state)
{
    struct bed *bed = *state;
    struct fg_delivery *d = deliver(bed, DOCUMENT, headers);

    fake_call_fail(fake_call_next(bed->fake), FG_E_CONFIG, "cannot read \"ca.pem\"");
    assert_true(d->items[0].err.fatal);
    fake_delivery_free(d);
}

static void what_needs_no_service_asks_none(void **state)
{
    struct bed *bed = *state;
    struct fg_delivery *d = deliver(bed, "{\"id\":\"1\",\"text\":\"\"}", headers);

    assert_int_equal(d->items[0].n_results, 1); /* an empty mail has a record without entities */
    fake_delivery_free(d);
    d = deliver(bed, "{\"id\":\"1\",\"change\":\"deleted\"}", headers);
    assert_int_equal(d->n_done, 1);
    assert_int_equal(d->items[0].err.code, 0);
    assert_int_equal(d->items[0].n_results, 0); /* a deleted one has none */
    fake_delivery_free(d);
    assert_int_equal(fake_call_count(bed->fake), 0);
}

static void what_is_no_document_is_given_up(void **state)
{
    static const char *const values[] = {
        "", "x", "{}", "{\"text\":5}", "{\"text\":null}", "[\"text\"]", "{\"text\":\"a\"", "{\"text\":\"a\",}"};
    struct bed *bed = *state;

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct fg_delivery *d = deliver(bed, values[i], headers);
        assert_int_equal(d->items[0].err.code, FG_E_DATA);
        assert_false(d->items[0].err.retriable);
        fake_delivery_free(d);
    }
}

static void more_than_the_concurrency_is_refused_and_fewer_go_on(void **state)
{
    struct bed *bed = *state;
    struct fg_delivery *a = deliver(bed, DOCUMENT, headers), *b = deliver(bed, DOCUMENT, headers);
    struct fg_delivery *c = deliver(bed, DOCUMENT, headers);
    struct fg_sink_limits limits;

    fragua_plugin.sink->limits(bed->self, &limits);
    assert_int_equal(limits.in_flight_max, 2);
    assert_int_equal(limits.records_max, 1);
    assert_int_equal(c->items[0].err.code, FG_E_INTERNAL);
    assert_int_equal(fake_call_count(bed->fake), 2);
    fragua_plugin.sink->cancel(bed->self, a);
    assert_int_equal(fake_call_count(bed->fake), 1);
    assert_int_equal(a->n_done, 0);
    fragua_plugin.sink->cancel(bed->self, c); /* long answered: nothing to do */
    fake_call_answer(fake_call_next(bed->fake), 200, NULL, ANSWER);
    assert_int_equal(b->items[0].err.code, 0);
    fake_delivery_free(a);
    fake_delivery_free(b);
    fake_delivery_free(c);
}

static void note(void *arg)
{
    ++*(int *)arg;
}

static void a_stop_drops_what_is_under_way(void **state)
{
    struct bed *bed = *state;
    struct fg_delivery *d = deliver(bed, DOCUMENT, headers);
    int stopped = 0;

    fragua_plugin.stop(bed->self, note, &stopped);
    assert_int_equal(stopped, 1);
    assert_int_equal(fake_call_count(bed->fake), 0);
    assert_int_equal(d->n_done, 0);
    fake_delivery_free(d);
}

static void half_a_client_certificate_is_refused(void **state)
{
    struct bed *bed = *state;
    struct fg_tls tls = {.certificate = "a.pem"};
    struct fg_error err = FG_ERROR_NULL;

    assert_int_equal(fragua_plugin.check(bed->config, &err), 0);
    *(const struct fg_tls **)member(bed, "tls") = &tls;
    assert_int_equal(fragua_plugin.check(bed->config, &err), -FG_E_CONFIG);
    tls.key = "a.key";
    assert_int_equal(fragua_plugin.check(bed->config, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_document_is_asked_about_and_becomes_a_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bad_trace_and_a_missing_id_are_not_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(patience_that_is_asked_for_is_passed_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_answer_and_garbage_may_be_tried_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_configuration_is_fatal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_needs_no_service_asks_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_document_is_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_than_the_concurrency_is_refused_and_fewer_go_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stop_drops_what_is_under_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(half_a_client_certificate_is_refused, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
