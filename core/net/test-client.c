/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client against a real server on loopback: pooling, lines, deadlines, cancelling, closing, limits. */
#include "net/test-client-bed.h"

static void sequential_requests_share_one_connection(void **state)
{
    struct bed bed;

    bed_start(&bed, 0, 0);
    for (int i = 0; i < 10; i++) {
        struct seen seen = bed_get(&bed, "/ok");
        assert_int_equal(seen.status, 200);
        assert_string_equal(seen.body, "hello");
        assert_int_equal(seen.n_headers, 2);
    }
    assert_int_equal(bed.peer.n_accepted, 1);
    assert_int_equal(bed.peer.n_requests, 10);
    bed_stop(&bed);
}

static void more_requests_than_connections_wait_and_complete(void **state)
{
    struct bed bed;
    struct seen seen[40] = { { 0 } };
    struct fg_http_request req = request_to(NULL);
    size_t total = 0;

    bed_start(&bed, 4, 0);
    for (size_t i = 0; i < 40; i++) {
        seen[i].total = &total;
        bed_send(&bed, &req, "/slow", &seen[i]);
    }
    assert_int_equal(bed.client->n_calls, 40);
    bed_wait(&bed, &total, 40);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(seen[i].status, 200);
    assert_int_equal(bed.peer.n_open_max, 4);
    assert_int_equal(bed.client->n_calls, 0);
    bed_stop(&bed);
}

static void a_full_host_does_not_hold_up_another(void **state)
{
    struct bed bed;
    struct peer other;
    struct seen stuck[3] = { { 0 } }, seen[6] = { { 0 } };
    struct fg_http_request req = request_to(NULL);
    int first_port;
    size_t total = 0;

    bed_start(&bed, 1, 2);
    peer_start(&other, &bed.loop);
    for (size_t i = 0; i < 3; i++)
        bed_send(&bed, &req, "/silent", &stuck[i]);
    first_port = bed.peer.port;
    bed.peer.port = other.port;
    for (size_t i = 0; i < 6; i++) {
        seen[i].total = &total;
        bed_send(&bed, &req, "/slow", &seen[i]);
    }
    bed.peer.port = first_port;
    bed_wait(&bed, &total, 6);
    assert_int_equal(other.n_accepted, 1);
    assert_int_equal(bed.peer.n_accepted, 1);
    peer_stop(&other);
    bed_stop(&bed);
}

static void bodies_in_chunks_and_in_drips_arrive_whole(void **state)
{
    struct bed bed;
    struct seen seen;

    bed_start(&bed, 0, 0);
    seen = bed_get(&bed, "/chunked");
    assert_string_equal(seen.body, "hello");
    assert_int_equal(seen.retry_after_ms, 0); /* a trailer is not a header */
    seen = bed_get(&bed, "/drip");
    assert_string_equal(seen.body, "hello");
    assert_true(seen.elapsed_ms >= 15);
    bed_stop(&bed);
}

static void a_body_over_the_cap_is_refused_announced_or_not(void **state)
{
    static const char *const paths[] = { "/big", "/endless" };
    struct bed bed;

    bed_start(&bed, 0, 0);
    for (size_t i = 0; i < 2; i++) {
        struct seen seen = bed_get(&bed, paths[i]);
        assert_int_equal(seen.err.code, FG_E_LIMIT);
        assert_false(seen.err.retriable);
        assert_non_null(strstr(seen.err.text, "4096 bytes"));
    }
    bed_stop(&bed);
}

static void a_head_over_its_cap_is_refused(void **state)
{
    struct bed bed;
    struct seen seen;
    struct fg_buf raw = FG_BUF_INIT(1 << 20);

    bed_start(&bed, 0, 0);
    fg_buf_add_str(&raw, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < HEADERS_MAX + 1; i++)
        fg_buf_printf(&raw, "X-%d: a\r\n", i);
    fg_buf_add_str(&raw, "Content-Length: 0\r\n\r\n");
    bed.peer.raw = raw.data;
    seen = bed_get(&bed, "/raw");
    assert_int_equal(seen.err.code, FG_E_LIMIT);
    fg_buf_clear(&raw);
    fg_buf_add_str(&raw, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 90; i++)
        fg_buf_printf(&raw, "X: %0800d\r\n", i);
    fg_buf_add_str(&raw, "Content-Length: 0\r\n\r\n");
    bed.peer.raw = raw.data;
    seen = bed_get(&bed, "/raw");
    assert_int_equal(seen.err.code, FG_E_LIMIT);
    fg_buf_deinit(&raw);
    bed_stop(&bed);
}

static void cut_and_senseless_answers_are_errors(void **state)
{
    static const struct {
        const char *raw;
        int code;
    } cases[] = {
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", FG_E_UNAVAILABLE },
        { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", FG_E_UNAVAILABLE },
        { "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 0\r\n\r\n", FG_E_PROTOCOL },
        { "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n", FG_E_PROTOCOL },
        { "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", FG_E_PROTOCOL },
        { "hello\r\n\r\n", FG_E_PROTOCOL },
    };
    struct bed bed;

    bed_start(&bed, 0, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seen seen;
        bed.peer.raw = cases[i].raw;
        seen = bed_get(&bed, "/raw");
        if (seen.err.code != cases[i].code)
            fail_msg("case %zu: code %d, status %d, \"%s\"", i, seen.err.code, seen.status, seen.err.text);
        assert_true(seen.err.retriable);
    }
    assert_int_equal(bed_get(&bed, "/cut").err.code, FG_E_UNAVAILABLE);
    assert_int_equal(bed_get(&bed, "/close").err.code, FG_E_UNAVAILABLE);
    bed_stop(&bed);
}

static void informational_answers_are_passed_over(void **state)
{
    struct bed bed;
    struct seen seen;

    bed_start(&bed, 0, 0);
    bed.peer.raw = "HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\n\r\n"
                   "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
    seen = bed_get(&bed, "/raw");
    assert_int_equal(seen.status, 404);
    assert_int_equal(seen.retry_after_ms, 0);
    assert_int_equal(seen.n_headers, 1);
    bed_stop(&bed);
}

static void a_redirect_is_an_answer_like_any_other(void **state)
{
    struct bed bed;
    struct seen seen;

    bed_start(&bed, 0, 0);
    bed.peer.raw = "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n";
    seen = bed_get(&bed, "/raw");
    assert_int_equal(seen.status, 302);
    assert_int_equal(bed.peer.n_requests, 1);
    bed_stop(&bed);
}

static void retry_after_is_read_in_seconds_and_as_a_date(void **state)
{
    static const struct {
        const char *value;
        uint32_t ms;
    } cases[] = {
        { "0", 0 },     { "7", 7000 },  { " 120 ", 120000 }, { "-1", 0 }, { "99999999999", 3600000 },
        { "later", 0 }, { "", 0 },      { "Sun, 06 Nov 1994 08:49:37 GMT", 0 },
        { "Sun, 06 Nov 1994 08:50:07 GMT", 20000 }, { "Tue, 08 Nov 1994 08:49:37 GMT", 3600000 },
    };
    const int64_t now = 784111787000; /* Sun, 06 Nov 1994 08:49:47 GMT */
    struct bed bed;
    struct seen seen;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(client_retry_after_ms(fg_slice_of(cases[i].value), now), cases[i].ms);
    bed_start(&bed, 0, 0);
    bed.peer.raw = "HTTP/1.1 429 Slow Down\r\nretry-after: 3\r\nContent-Length: 0\r\n\r\n";
    seen = bed_get(&bed, "/raw");
    assert_int_equal(seen.status, 429);
    assert_int_equal(seen.retry_after_ms, 3000);
    bed_stop(&bed);
}

static void a_silent_server_meets_the_deadline(void **state)
{
    struct bed bed;
    struct seen seen = { 0 };
    struct fg_http_request req = request_to(NULL);
    uint64_t began;

    bed_start(&bed, 0, 0);
    req.timeout_ms = 60;
    began = client_now_ms();
    bed_send(&bed, &req, "/silent?token=hush", &seen);
    bed_wait(&bed, &seen.calls, 1);
    assert_int_equal(seen.err.code, FG_E_TIMEOUT);
    assert_true(seen.err.retriable);
    assert_true(client_now_ms() - began >= 60);
    assert_non_null(strstr(seen.err.text, "GET http://127.0.0.1:"));
    assert_non_null(strstr(seen.err.text, "/silent:"));
    assert_null(strstr(seen.err.text, "hush"));
    bed_stop(&bed);
}

static void the_deadline_counts_while_waiting_in_line(void **state)
{
    struct bed bed;
    struct seen first = { 0 }, second = { 0 }, third;
    struct fg_http_request req = request_to(NULL);

    bed_start(&bed, 1, 0);
    req.timeout_ms = 700;
    bed_send(&bed, &req, "/silent", &first);
    req.timeout_ms = 40; /* shorter than what stands before it */
    bed_send(&bed, &req, "/ok", &second);
    bed_wait(&bed, &second.calls, 1);
    assert_int_equal(second.err.code, FG_E_TIMEOUT);
    assert_int_equal(first.calls, 0);
    assert_int_equal(bed.peer.n_requests, 1);
    third = bed_get(&bed, "/ok"); /* its turn comes when the first has timed out */
    assert_int_equal(third.status, 200);
    assert_int_equal(first.err.code, FG_E_TIMEOUT);
    bed_stop(&bed);
}

static void calls_are_cancelled_in_every_state(void **state)
{
    struct bed bed;
    struct seen seen[4] = { { 0 } };
    struct fg_http_request req = request_to(NULL);
    struct fg_http_call *call[4];

    bed_start(&bed, 2, 0);
    fg_http_client_cancel(NULL);
    call[0] = bed_send(&bed, &req, "/ok", &seen[0]);
    fg_http_client_cancel(call[0]); /* before curl did anything */
    call[0] = bed_send(&bed, &req, "/silent", &seen[0]);
    call[1] = bed_send(&bed, &req, "/endless", &seen[1]);
    call[2] = bed_send(&bed, &req, "/ok", &seen[2]);
    call[3] = bed_send(&bed, &req, "/ok", &seen[3]);
    fg_http_client_cancel(call[2]); /* in line */
    bed_wait(&bed, &bed.peer.n_requests, 2);
    fg_http_client_cancel(call[0]); /* waiting for an answer: the last in line gets its place */
    fg_http_client_cancel(call[1]); /* in the middle of a body */
    bed_wait(&bed, &seen[3].calls, 1);
    assert_int_equal(seen[3].status, 200);
    assert_int_equal(seen[0].calls + seen[1].calls + seen[2].calls, 0);
    assert_int_equal(bed.client->n_calls, 0);
    bed_stop(&bed);
}

/* A call whose done() does things to the client. */
struct meddler {
    struct bed *bed;
    struct fg_http_call *own, *other;
    struct seen next;
    bool close;
    size_t calls;
};

static void meddle(void *arg, const struct fg_http_response *res, const struct fg_error *err)
{
    struct meddler *m = arg;
    struct fg_http_request req = request_to(NULL);

    assert_non_null(res);
    assert_null(err);
    m->calls++;
    fg_http_client_cancel(m->own);
    fg_http_client_cancel(m->other);
    if (m->close) {
        fg_http_client_close(m->bed->client, bed_closed, m->bed);
        m->bed->client = NULL;
    } else {
        bed_send(m->bed, &req, "/ok", &m->next);
    }
    assert_string_equal(res->headers[1].name.ptr, "Content-Length"); /* still whole */
    assert_memory_equal(res->body.ptr, "hello", 5);
}

static void send_meddler(struct bed *bed, struct meddler *m)
{
    struct fg_http_request req = request_to(NULL);
    struct fg_error err = FG_ERROR_NULL;
    char url[64];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/slow", bed->peer.port);
    req.url = url;
    m->bed = bed;
    m->own = fg_http_client_send(bed->client, &req, FG_SLICE_NULL, meddle, m, &err);
    assert_non_null(m->own);
}

static void done_may_send_and_cancel(void **state)
{
    struct bed bed;
    struct seen victim = { 0 };
    struct fg_http_request req = request_to(NULL);

    for (size_t limit = 1; limit <= 2; limit++) { /* the victim waits in line, or runs */
        struct meddler m = { 0 };
        bed_start(&bed, limit, 0);
        send_meddler(&bed, &m);
        m.other = bed_send(&bed, &req, limit == 1 ? "/ok" : "/silent", &victim);
        bed_wait(&bed, &m.next.calls, 1);
        assert_int_equal(m.calls, 1);
        assert_int_equal(m.next.status, 200);
        assert_int_equal(victim.calls, 0);
        assert_int_equal(bed.client->n_calls, 0);
        bed_stop(&bed);
    }
}

static void done_may_close_the_client(void **state)
{
    struct bed bed;
    struct meddler m = { .close = true };
    struct seen other[3] = { { 0 } };
    struct fg_http_request req = request_to(NULL);

    bed_start(&bed, 3, 0);
    send_meddler(&bed, &m);
    for (size_t i = 0; i < 3; i++)
        bed_send(&bed, &req, "/slow", &other[i]);
    bed_wait(&bed, &m.calls, 1);
    bed_stop(&bed);
    assert_int_equal(other[2].calls, 0);
}

static void closing_with_requests_in_flight_leaves_nothing(void **state)
{
    struct bed bed;
    struct seen seen[8] = { { 0 } };
    struct fg_http_request req = request_to(NULL);

    bed_start(&bed, 2, 0);
    assert_int_equal(bed_get(&bed, "/ok").status, 200); /* leaves a kept connection */
    for (size_t i = 0; i < 8; i++)
        bed_send(&bed, &req, i % 2 ? "/silent" : "/endless", &seen[i]);
    bed_wait(&bed, &bed.peer.n_requests, 3);
    bed_stop(&bed); /* asserts uv_loop_close() == 0 */
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(seen[i].calls, 0);
}

static void closing_while_a_name_is_looked_up_leaves_nothing(void **state)
{
    struct bed bed;
    struct seen seen = { 0 };
    struct fg_http_request req = request_to("http://name.invalid/");
    struct fg_error err = FG_ERROR_NULL;

    bed_start(&bed, 0, 0);
    assert_non_null(fg_http_client_send(bed.client, &req, FG_SLICE_NULL, seen_done, &seen, &err));
    uv_run(&bed.loop, UV_RUN_NOWAIT);
    uv_run(&bed.loop, UV_RUN_NOWAIT);
    bed_stop(&bed);
    assert_int_equal(seen.calls, 0);
}

static void closing_nothing_calls_back_at_once(void **state)
{
    struct bed bed = { 0 };

    fg_http_client_close(NULL, bed_closed, &bed);
    assert_true(bed.closed);
    fg_http_client_close(NULL, NULL, NULL);
}

static void a_port_nobody_listens_on_is_unavailable(void **state)
{
    struct bed bed;
    struct peer gone;
    struct seen seen = { 0 };
    struct fg_http_request req = request_to(NULL);
    int port;

    bed_start(&bed, 0, 0);
    peer_start(&gone, &bed.loop);
    peer_stop(&gone);
    uv_run(&bed.loop, UV_RUN_NOWAIT);
    port = bed.peer.port;
    bed.peer.port = gone.port;
    bed_send(&bed, &req, "/ok", &seen);
    bed.peer.port = port;
    bed_wait(&bed, &seen.calls, 1);
    assert_int_equal(seen.err.code, FG_E_UNAVAILABLE);
    assert_true(seen.err.retriable);
    bed_stop(&bed);
}

/* curl 7.87 drove multi_socket users by slow timers: https://github.com/curl/curl/issues/10146 */
static void many_requests_are_not_driven_by_timers(void **state)
{
    struct bed bed;
    uint64_t began = client_now_ms();

    bed_start(&bed, 0, 0);
    for (int i = 0; i < 200; i++) {
        struct seen seen = bed_get(&bed, "/ok");
        assert_int_equal(seen.status, 200);
        assert_true(seen.elapsed_ms < 900);
    }
    assert_int_equal(bed.peer.n_accepted, 1);
    assert_true(client_now_ms() - began < 10000);
    bed_stop(&bed);
}

static void requests_are_counted_by_host_and_code(void **state)
{
    const struct fg_metric_decl requests = { "fragua_http_client_requests_total", FG_METRIC_TYPE_COUNTER, "" };
    struct bed bed;
    char host[64];
    struct fg_label labels[2] = { { "host", host }, { "code", "200" } };

    bed_start(&bed, 0, 0);
    bed_get(&bed, "/ok");
    bed_get(&bed, "/ok");
    bed_get(&bed, "/cut");
    (void)snprintf(host, sizeof(host), "127.0.0.1:%d", bed.peer.port);
    assert_true(fg_metric_value(fg_metric_get(bed.metrics, &requests, labels, 2)) == 2);
    labels[1].value = "error";
    assert_true(fg_metric_value(fg_metric_get(bed.metrics, &requests, labels, 2)) == 1);
    bed_stop(&bed);
}

static void calls_in_all_are_limited(void **state)
{
    struct bed bed;
    struct seen seen = { 0 };
    struct fg_http_request req = request_to(NULL);
    struct fg_error err = FG_ERROR_NULL;

    bed_start(&bed, 1, 0);
    for (int i = 0; i < CALLS_MAX; i++)
        bed_send(&bed, &req, "/silent", &seen);
    req.url = "http://example.com/";
    assert_null(fg_http_client_send(bed.client, &req, FG_SLICE_NULL, seen_done, &seen, &err));
    assert_int_equal(err.code, FG_E_LIMIT);
    assert_true(err.retriable);
    bed_stop(&bed);
    assert_int_equal(seen.calls, 0);
}

static void hosts_past_the_limit_share_one_label(void **state)
{
    struct bed bed;
    char origin[64];

    bed_start(&bed, 0, 0);
    for (int i = 0; i <= METRIC_HOSTS_MAX; i++) {
        struct client_host *host;
        (void)snprintf(origin, sizeof(origin), "http://host-%d:80", i);
        host = client_host_get(bed.client, origin, origin + 7);
        assert_int_equal(strcmp(host->label, "other") == 0, i == METRIC_HOSTS_MAX);
        client_host_unused(bed.client, host);
    }
    bed_stop(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequential_requests_share_one_connection),
        cmocka_unit_test(more_requests_than_connections_wait_and_complete),
        cmocka_unit_test(a_full_host_does_not_hold_up_another),
        cmocka_unit_test(bodies_in_chunks_and_in_drips_arrive_whole),
        cmocka_unit_test(a_body_over_the_cap_is_refused_announced_or_not),
        cmocka_unit_test(a_head_over_its_cap_is_refused),
        cmocka_unit_test(cut_and_senseless_answers_are_errors),
        cmocka_unit_test(informational_answers_are_passed_over),
        cmocka_unit_test(a_redirect_is_an_answer_like_any_other),
        cmocka_unit_test(retry_after_is_read_in_seconds_and_as_a_date),
        cmocka_unit_test(a_silent_server_meets_the_deadline),
        cmocka_unit_test(the_deadline_counts_while_waiting_in_line),
        cmocka_unit_test(calls_are_cancelled_in_every_state),
        cmocka_unit_test(done_may_send_and_cancel),
        cmocka_unit_test(done_may_close_the_client),
        cmocka_unit_test(closing_with_requests_in_flight_leaves_nothing),
        cmocka_unit_test(closing_while_a_name_is_looked_up_leaves_nothing),
        cmocka_unit_test(closing_nothing_calls_back_at_once),
        cmocka_unit_test(a_port_nobody_listens_on_is_unavailable),
        cmocka_unit_test(many_requests_are_not_driven_by_timers),
        cmocka_unit_test(requests_are_counted_by_host_and_code),
        cmocka_unit_test(calls_in_all_are_limited),
        cmocka_unit_test(hosts_past_the_limit_share_one_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
