/* SPDX-License-Identifier: Apache-2.0 */
/* sink-webhook against a host in memory: what is sent, what outcomes mean, and deliveries that nobody waits for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fake-host.h>

#include <stdio.h>
#include <stdlib.h>

extern const struct fg_plugin fragua_plugin;

/* As the option table fills it. */
struct config {
    const char *url;
    int64_t concurrency, timeout;
    const struct fg_secret *token, *secret;
    struct fg_strings headers;
    bool allow_private;
    const struct fg_tls *tls;
};

static const struct fg_secret token = { "t0ken" }, secret = { "s3cret" };
static const char *const more[] = { "fragua_mailbox" };

struct bed {
    struct fake_host *fake;
    struct config config;
    void *self;
    bool stopped;
};

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    bed->fake = fake_host_new();
    bed->config = (struct config){ .url = "https://hooks.example.com/in", .concurrency = 3, .timeout = 7000,
                                   .token = &token, .headers = { more, 1 } };
    assert_int_equal(fragua_plugin.open(&bed->fake->host, &bed->config, &bed->self, NULL), 0);
    *state = bed;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;

    fragua_plugin.close(bed->self);
    fake_host_free(bed->fake);
    free(bed);
    return 0;
}

/* Hands over a record with headers "name", "value", ..., NULL. */
static struct fg_delivery *deliver(struct bed *bed, const char *value, const char *const *pairs)
{
    struct fg_delivery *d = fake_delivery_new(bed->fake);
    struct fg_header headers[64];
    struct fg_record_spec spec = { .view = { .key = FG_SLICE("k"), .value = fg_slice_of(value), .headers = headers } };
    struct fg_record *record = NULL;

    for (; pairs && pairs[0]; pairs += 2)
        headers[spec.view.n_headers++] = (struct fg_header){ fg_slice_of(pairs[0]), fg_slice_of(pairs[1]) };
    assert_int_equal(bed->fake->svc.record_new(&bed->fake->host, &spec, &record, NULL), 0);
    fake_delivery_add(d, record);
    fragua_plugin.sink->deliver(bed->self, d);
    return d;
}

static void stopped(void *arg)
{
    ((struct bed *)arg)->stopped = true;
}

static void the_value_is_posted_with_the_headers_that_may_go(void **state)
{
    static const char *const pairs[] = { "ce_id", "1", "content-type", "text/plain; charset=utf-8", "ce_subject",
                                         "a \"caf\xc3\xa9\"\r\nHost: x", "traceparent", "00-1-2-01", "fragua_mailbox",
                                         "info", "fragua_other", "x", "authorization", "Basic x", "ce_ bad", "y",
                                         NULL };
    struct bed *bed = *state;
    struct fg_delivery *d = deliver(bed, "hello", pairs);
    struct fg_http_call *call = fake_call_expect(bed->fake, "POST", "https://hooks.example.com/in");

    assert_string_equal(call->body, "hello");
    assert_string_equal(call->headers, "ce-id: 1\ncontent-type: text/plain; charset=utf-8\n"
                                       "ce-subject: a%20%22caf%C3%A9%22%0D%0AHost:%20x\ntraceparent: 00-1-2-01\n"
                                       "fragua-mailbox: info\n");
    assert_string_equal(call->bearer, "t0ken");
    assert_int_equal(call->timeout_ms, 7000);
    assert_false(call->allow_private);
    fake_call_answer(call, 204, NULL, NULL);
    assert_true(d->items[0].done);
    assert_int_equal(d->items[0].err.code, FG_E_NONE);
    fake_delivery_free(d);
}

static void a_request_is_signed_on_a_worker(void **state)
{
    static const char *const pairs[] = { "ce_id", "msg_1", NULL };
    struct bed *bed = *state;
    struct fg_delivery *d;
    struct fg_http_call *call;

    bed->config.secret = &secret;
    d = deliver(bed, "hello", pairs);
    assert_int_equal(fake_call_count(bed->fake), 0);
    fake_host_work(bed->fake);
    call = fake_call_expect(bed->fake, "POST", "/in");
    assert_string_equal(call->headers, "ce-id: msg_1\nwebhook-id: msg_1\nwebhook-timestamp: 1767225600\n"
                                       "webhook-signature: v1,Wlz36VGUDHY5PSlazKrl0XdBWVTUtLlIWTJW5OVL748=\n");
    fake_call_answer(call, 200, NULL, "thanks");
    assert_int_equal(d->items[0].err.code, FG_E_NONE);
    fake_delivery_free(d);
}

static void without_an_id_it_is_the_same_when_it_is_sent_again(void **state)
{
    struct bed *bed = *state;
    char first[512];

    bed->config.secret = &secret;
    for (unsigned i = 0; i < 3; i++) {
        struct fg_delivery *d = deliver(bed, i < 2 ? "hello" : "other", NULL);
        struct fg_http_call *call;
        fake_host_work(bed->fake);
        call = fake_call_expect(bed->fake, "POST", "/in");
        assert_memory_equal(call->headers, "webhook-id: ", 12);
        assert_int_equal(strcspn(call->headers + 12, "\n"), 32);
        if (i == 0)
            (void)snprintf(first, sizeof(first), "%s", call->headers);
        assert_int_equal(strcmp(first, call->headers) == 0, i < 2);
        fake_call_answer(call, 200, NULL, NULL);
        fake_delivery_free(d);
    }
}

static void each_status_has_its_meaning(void **state)
{
    static const struct {
        int status, code;
        bool retriable;
    } meanings[] = {
        { 200, FG_E_NONE, false },       { 202, FG_E_NONE, false },       { 302, FG_E_REFUSED, false },
        { 400, FG_E_REFUSED, false },    { 401, FG_E_AUTH, true },        { 403, FG_E_AUTH, true },
        { 404, FG_E_REFUSED, false },    { 408, FG_E_UNAVAILABLE, true }, { 410, FG_E_REFUSED, false },
        { 422, FG_E_REFUSED, false },    { 429, FG_E_THROTTLED, true },   { 500, FG_E_PROTOCOL, true },
        { 502, FG_E_UNAVAILABLE, true }, { 503, FG_E_UNAVAILABLE, true }, { 504, FG_E_UNAVAILABLE, true },
    };
    struct bed *bed = *state;

    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        struct fg_delivery *d = deliver(bed, "hello", NULL);
        bool waits = meanings[i].status == 429 || meanings[i].status == 503;
        fake_call_answer(fake_call_next(bed->fake), meanings[i].status, waits ? "Retry-After: 7\n" : NULL, "no");
        assert_int_equal(d->items[0].err.code, meanings[i].code);
        assert_int_equal(d->items[0].err.retriable, meanings[i].retriable);
        assert_int_equal(d->items[0].err.retry_after_ms, waits ? 7000 : 0);
        assert_false(d->items[0].err.fatal);
        fake_delivery_free(d);
    }
}

static void no_answer_is_handed_on_and_a_bad_configuration_ends_it(void **state)
{
    struct bed *bed = *state;
    struct fg_delivery *late = deliver(bed, "a", NULL), *bad = deliver(bed, "b", NULL);

    fake_call_fail(fake_call_next(bed->fake), FG_E_TIMEOUT, "no answer in 7000 ms");
    assert_int_equal(late->items[0].err.code, FG_E_TIMEOUT);
    assert_true(late->items[0].err.retriable);
    assert_false(late->items[0].err.fatal);
    fake_call_fail(fake_call_next(bed->fake), FG_E_CONFIG, "a private address");
    assert_true(bad->items[0].err.fatal);
    fake_delivery_free(late);
    fake_delivery_free(bad);
}

static void more_headers_than_a_request_bears_are_a_dead_letter(void **state)
{
    const char *pairs[101] = { NULL };
    struct bed *bed = *state;
    struct fg_delivery *d;
    char *large = malloc(20001);

    for (size_t i = 0; i < 100; i++)
        pairs[i] = i % 2 ? "x" : "ce_x";
    d = deliver(bed, "a", pairs);
    assert_int_equal(d->items[0].err.code, FG_E_DATA);
    assert_false(d->items[0].err.retriable);
    fake_delivery_free(d);
    assert_non_null(large);
    memset(large, 'x', 20000);
    large[20000] = '\0';
    d = deliver(bed, "a", (const char *const[]){ "ce_x", large, NULL });
    assert_int_equal(d->items[0].err.code, FG_E_DATA);
    fake_delivery_free(d);
    free(large);
}

static void a_cancelled_delivery_is_never_answered(void **state)
{
    struct bed *bed = *state;
    struct fg_delivery *sent = deliver(bed, "a", NULL), *signing, *other;

    fragua_plugin.sink->cancel(bed->self, sent);
    assert_int_equal(fake_call_count(bed->fake), 0);
    bed->config.secret = &secret;
    signing = deliver(bed, "b", NULL);
    other = deliver(bed, "c", NULL);
    fragua_plugin.sink->cancel(bed->self, signing);
    fake_delivery_free(signing); /* the worker still reads its record */
    fake_host_work(bed->fake);
    assert_int_equal(fake_call_count(bed->fake), 1);
    assert_string_equal(fake_call_next(bed->fake)->body, "c");
    fake_call_answer(fake_call_next(bed->fake), 200, NULL, NULL);
    assert_false(sent->items[0].done);
    assert_true(other->items[0].done);
    fake_delivery_free(sent);
    fake_delivery_free(other);
}

static void a_stop_waits_for_the_worker_and_drops_the_rest(void **state)
{
    struct bed *bed = *state;
    struct fg_delivery *sent = deliver(bed, "a", NULL), *signing;

    bed->config.secret = &secret;
    signing = deliver(bed, "b", NULL);
    fragua_plugin.stop(bed->self, stopped, bed);
    assert_false(bed->stopped);
    assert_int_equal(fake_call_count(bed->fake), 0);
    fake_host_work(bed->fake);
    assert_true(bed->stopped);
    assert_false(sent->items[0].done);
    assert_false(signing->items[0].done);
    fake_delivery_free(sent);
    fake_delivery_free(signing);
}

static void it_asks_for_the_order_of_keys(void **state)
{
    struct bed *bed = *state;
    struct fg_sink_limits limits = { 1, SIZE_MAX, 1, false };

    fragua_plugin.sink->limits(bed->self, &limits);
    assert_int_equal(limits.records_max, 1);
    assert_int_equal(limits.in_flight_max, 3);
    assert_true(limits.key_order);
}

static void options_that_cannot_be_are_refused(void **state)
{
    static const char *const names[] = { "good", "webhook-id" }, *const odd[] = { "a b" };
    const struct fg_tls half = { .certificate = "cert.pem" };
    struct fg_error err = FG_ERROR_NULL;
    struct config config = { .headers = { names, 1 } };

    assert_int_equal(fragua_plugin.check(&config, &err), 0);
    config.headers.len = 2;
    assert_int_equal(fragua_plugin.check(&config, &err), -FG_E_CONFIG);
    assert_string_equal(err.text, "`headers`: \"webhook-id\" cannot be sent as a header of a request");
    config.headers = (struct fg_strings){ odd, 1 };
    assert_int_equal(fragua_plugin.check(&config, &err), -FG_E_CONFIG);
    config = (struct config){ .tls = &half };
    assert_int_equal(fragua_plugin.check(&config, &err), -FG_E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_value_is_posted_with_the_headers_that_may_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_is_signed_on_a_worker, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_an_id_it_is_the_same_when_it_is_sent_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_status_has_its_meaning, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_answer_is_handed_on_and_a_bad_configuration_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_headers_than_a_request_bears_are_a_dead_letter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cancelled_delivery_is_never_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stop_waits_for_the_worker_and_drops_the_rest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_asks_for_the_order_of_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_that_cannot_be_are_refused, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("sink-webhook", tests, NULL, NULL);
}
