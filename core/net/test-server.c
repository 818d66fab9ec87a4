/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server on real sockets: answers, keep-alive, pipelines, streams, clients that go, orderly ends. */
#include "net/test-server-bed.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hash.h"

static void a_request_is_answered_with_the_safe_headers(void **state)
{
    struct bed bed;

    bed_start(&bed, NULL);
    assert_int_equal(bed_ask(&bed, GET("/hello")), 200);
    assert_true(bed_has(&bed, "\r\nContent-Length: 5\r\n"));
    assert_true(bed_has(&bed, "\r\nX-Content-Type-Options: nosniff\r\n"));
    assert_true(bed_has(&bed, "\r\nCache-Control: no-store\r\n"));
    assert_true(bed_has(&bed, "\r\nConnection: close\r\n"));
    assert_true(bed_has(&bed, "\r\nDate: "));
    assert_true(bed_has(&bed, "\r\n\r\nhello"));
    assert_false(bed_has(&bed, "Server:"));
    assert_true(bed_metric(&bed, "fragua_http_server_requests_total", "code", "200") == 1);
    bed_stop(&bed);
}

static void parameters_query_and_headers_reach_the_handler_decoded(void **state)
{
    struct bed bed;

    bed_start(&bed, NULL);
    assert_int_equal(bed_ask(&bed, "GET /items/a%2Fb%20c?p=1&q=x%26y+z HTTP/1.1\r\n" BED_HOST
                                   "X-It:  there \r\nConnection: close\r\n\r\n"),
                     200);
    assert_true(bed_has(&bed, "id=a/b c q=x&y z h=there path=/items/a/b c raw=p=1&q=x%26y+z"));
    assert_true(bed_has(&bed, "\r\nX-Set: yes\r\n"));
    assert_true(bed_has(&bed, "\r\nCache-Control: max-age=5\r\n"));
    assert_false(bed_has(&bed, "no-store"));
    assert_false(bed_has(&bed, "X-Injected"));
    assert_false(bed_has(&bed, "Content-Length: 1\r\n"));
    bed_stop(&bed);
}

static void unknown_paths_and_methods_are_problems(void **state)
{
    struct bed bed;

    bed_start(&bed, NULL);
    assert_int_equal(bed_ask(&bed, GET("/nothing")), 404);
    assert_true(bed_has(&bed, "\r\nContent-Type: application/problem+json\r\n"));
    assert_true(bed_has(&bed, "\"status\":404"));
    assert_int_equal(bed_ask(&bed, "DELETE /hello HTTP/1.1\r\n" BED_HOST "Connection: close\r\n\r\n"), 405);
    assert_true(bed_has(&bed, "\r\nAllow: GET, HEAD\r\n"));
    assert_int_equal(bed_ask(&bed, "BREW /hello HTTP/1.1\r\n" BED_HOST "Connection: close\r\n\r\n"), 501);
    assert_int_equal(bed_ask(&bed, GET("/items/%00")), 400);
    assert_int_equal(bed_ask(&bed, GET("/items/%zz")), 400);
    assert_int_equal(bed_ask(&bed, GET("/items/%2e%2e")), 400);
    bed_stop(&bed);
}

static void head_is_served_by_get_without_a_body(void **state)
{
    struct bed bed;

    bed_start(&bed, NULL);
    assert_int_equal(bed_ask(&bed, "HEAD /hello HTTP/1.1\r\n" BED_HOST "Connection: close\r\n\r\n"), 200);
    assert_true(bed_has(&bed, "\r\nContent-Length: 5\r\n"));
    assert_false(bed_has(&bed, "hello"));
    bed.tell_gone = true;
    assert_int_equal(bed_ask(&bed, "HEAD /stream HTTP/1.1\r\n" BED_HOST "\r\n"), 200);
    assert_true(bed_has(&bed, "text/event-stream"));
    assert_true(bed_until_count(&bed, &bed.n_gone, 1));
    bed_stop(&bed);
}

static void one_connection_serves_many_requests(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, NULL);
    fd = bed_connect(&bed);
    for (int i = 0; i < 20; i++) {
        bed_text(&bed, fd, GET_KEPT("/hello"));
        assert_true(bed_read_until(&bed, fd, "\r\n\r\nhello"));
        assert_false(bed_has(&bed, "Connection:"));
    }
    assert_true(bed_metric(&bed, "fragua_http_server_connections", NULL, NULL) == 1);
    /* an old client says that it wants to stay, and is told so */
    bed_text(&bed, fd, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_true(bed_read_until(&bed, fd, "\r\n\r\nhello"));
    assert_true(bed_has(&bed, "\r\nConnection: keep-alive\r\n"));
    bed_text(&bed, fd, "GET /hello HTTP/1.0\r\n\r\n");
    assert_true(bed_read_to_end(&bed, fd));
    (void)close(fd);
    bed_stop(&bed);
}

static size_t count_of(const struct bed *bed, const char *text)
{
    size_t n = 0;

    for (const char *p = bed->in.data; p && (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct bed bed;
    struct fg_buf all = FG_BUF_INIT(1 << 20);
    char tail[64];

    bed_start(&bed, NULL);
    for (int i = 0; i < 300; i++)
        fg_buf_printf(&all, "POST /echo HTTP/1.1\r\n" BED_HOST "Content-Length: 4\r\n\r\n%04d", i);
    fg_buf_add_str(&all, GET("/hello"));
    assert_int_equal(bed_ask_bytes(&bed, all.data, all.len), 200);
    assert_int_equal(count_of(&bed, "HTTP/1.1 200 OK"), 301);
    (void)snprintf(tail, sizeof(tail), "\r\n\r\n%04dHTTP/1.1 200 OK", 299);
    assert_true(bed_has(&bed, tail));
    fg_buf_deinit(&all);
    bed_stop(&bed);
}

static void a_pipeline_waits_for_a_late_answer_and_is_bounded(void **state)
{
    struct bed bed;
    struct fg_buf all = FG_BUF_INIT(8 << 20);
    size_t sent = 0;
    int fd;

    bed_start(&bed, NULL);
    fd = bed_begin(&bed, "/wait");
    while (all.len < (size_t)7 << 20)
        fg_buf_add_str(&all, GET_KEPT("/hello"));
    /* the kernel takes some, the server 16 KiB and a read, then nobody takes more */
    for (int quiet = 0; quiet < 20 && sent < all.len;) {
        ssize_t n = send(fd, all.data + sent, all.len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        quiet = n > 0 ? 0 : quiet + 1;
        bed_turn(&bed, -1);
    }
    assert_true(sent < all.len);
    assert_int_equal(bed.n_handled, 1);
    fg_exchange_reply(bed.waiting, 200, "text/plain", fg_slice_of("late"));
    assert_true(bed_read_until(&bed, fd, "\r\n\r\nhello"));
    assert_true(bed_has(&bed, "\r\n\r\nlateHTTP/1.1 200"));
    assert_true(bed.n_handled > 1);
    (void)close(fd);
    fg_buf_deinit(&all);
    bed_stop(&bed);
}

static void bodies_arrive_whole_by_length_and_by_chunks(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, NULL);
    assert_int_equal(bed_ask(&bed, "POST /echo HTTP/1.1\r\n" BED_HOST "Transfer-Encoding: chunked\r\n"
                                   "Connection: close\r\n\r\n4;a=b\r\nwiki\r\n5\r\npedia\r\n0\r\nX-T: 1\r\n\r\n"),
                     200);
    assert_string_equal(bed.body_seen, "wikipedia");
    /* a byte at a time, chunked, then more on the same connection */
    fd = bed_connect(&bed);
    for (const char *p = "POST /echo HTTP/1.1\r\n" BED_HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
         *p; p++)
        bed_send(&bed, fd, p, 1);
    assert_true(bed_read_until(&bed, fd, "\r\n\r\nabc"));
    bed_text(&bed, fd, "POST /echo HTTP/1.1\r\n" BED_HOST "Content-Length: 6\r\n\r\nfoo");
    bed_text(&bed, fd, "bar");
    assert_true(bed_read_until(&bed, fd, "\r\n\r\nfoobar"));
    (void)close(fd);
    bed_stop(&bed);
}

static void expect_100_continue_is_answered_before_the_body(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, NULL);
    fd = bed_connect(&bed);
    bed_text(&bed, fd, "POST /echo HTTP/1.1\r\n" BED_HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_true(bed_read_until(&bed, fd, "HTTP/1.1 100 Continue\r\n\r\n"));
    bed_text(&bed, fd, "yes");
    assert_true(bed_read_until(&bed, fd, "\r\n\r\nyes"));
    (void)close(fd);
    assert_int_equal(bed_ask(&bed, "POST /echo HTTP/1.1\r\n" BED_HOST "Expect: tea\r\nContent-Length: 3\r\n\r\n"), 417);
    assert_int_equal(
        bed_ask(&bed, "POST /small HTTP/1.1\r\n" BED_HOST "Expect: 100-continue\r\nContent-Length: 17\r\n\r\n"), 413);
    assert_false(bed_has(&bed, "100 Continue"));
    bed_stop(&bed);
}

static void an_offer_to_switch_protocols_is_ignored(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, NULL);
    fd = bed_connect(&bed);
    bed_text(&bed, fd, "GET /hello HTTP/1.1\r\n" BED_HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    assert_true(bed_read_until(&bed, fd, "\r\n\r\nhello"));
    bed_text(&bed, fd,
             "POST /echo HTTP/1.1\r\n" BED_HOST
             "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nup");
    assert_true(bed_read_until(&bed, fd, "\r\n\r\nup"));
    (void)close(fd);
    bed_stop(&bed);
}

static void a_stream_is_chunked_and_ends(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, NULL);
    fd = bed_begin(&bed, "/stream");
    assert_true(fg_exchange_write(bed.waiting, fg_slice_of("data: one\n\n")));
    assert_true(fg_exchange_write(bed.waiting, FG_SLICE_NULL));
    assert_true(bed_read_until(&bed, fd, "\r\n\r\nb\r\ndata: one\n\n\r\n"));
    fg_exchange_end(bed.waiting);
    assert_true(bed_read_until(&bed, fd, "0\r\n\r\n"));
    bed_text(&bed, fd, GET_KEPT("/hello"));
    assert_true(bed_read_until(&bed, fd, "\r\n\r\nhello"));
    (void)close(fd);
    bed_stop(&bed);
}

static void an_old_client_gets_a_stream_until_the_connection_closes(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, NULL);
    fd = bed_connect(&bed);
    bed_text(&bed, fd, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_true(bed_until_count(&bed, &bed.n_handled, 1));
    assert_true(fg_exchange_write(bed.waiting, fg_slice_of("plain")));
    fg_exchange_end(bed.waiting);
    assert_true(bed_read_to_end(&bed, fd));
    assert_true(bed_has(&bed, "\r\n\r\nplain"));
    assert_false(bed_has(&bed, "chunked"));
    (void)close(fd);
    bed_stop(&bed);
}

static void a_handler_learns_that_the_client_has_gone(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, NULL);
    bed.tell_gone = true;
    fd = bed_begin(&bed, "/wait");
    (void)close(fd);
    assert_true(bed_until_count(&bed, &bed.n_gone, 1));
    bed_stop(&bed);
}

static void a_handler_that_did_not_ask_may_answer_into_the_void(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, NULL);
    fd = bed_begin(&bed, "/wait?q=still");
    (void)close(fd);
    while (bed_metric(&bed, "fragua_http_server_connections", NULL, NULL) > 0)
        bed_turn(&bed, -1);
    /* the request is still readable, and every way to answer is harmless */
    assert_true(fg_slice_is(fg_exchange_path(bed.waiting), "/wait"));
    assert_true(fg_slice_is(fg_exchange_query(bed.waiting, "q"), "still"));
    fg_exchange_begin(bed.waiting, 200, "text/plain");
    assert_false(fg_exchange_write(bed.waiting, fg_slice_of("x")));
    fg_exchange_end(bed.waiting);
    bed_stop(&bed);
}

static void abort_cuts_without_an_answer(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, NULL);
    assert_int_equal(bed_ask(&bed, GET("/abort")), 0);
    fd = bed_begin(&bed, "/stream");
    assert_true(fg_exchange_write(bed.waiting, fg_slice_of("half")));
    fg_exchange_abort(bed.waiting);
    assert_true(bed_read_to_end(&bed, fd));
    assert_true(bed_has(&bed, "half"));
    assert_false(bed_has(&bed, "0\r\n\r\n"));
    (void)close(fd);
    bed_stop(&bed);
}

static void unmounting_answers_open_requests_with_503(void **state)
{
    struct bed bed;
    int fd, half;

    bed_start(&bed, NULL);
    bed.tell_gone = true;
    half = bed_connect(&bed);
    bed_text(&bed, half, "POST /echo HTTP/1.1\r\n" BED_HOST "Content-Length: 9\r\n\r\nhalf");
    fd = bed_begin(&bed, "/wait");
    fg_http_server_unmount(bed.mount);
    bed.mount = NULL;
    assert_int_equal(bed.n_gone, 1);
    assert_true(bed_read_to_end(&bed, fd));
    assert_int_equal(bed_status(&bed), 503);
    (void)close(fd);
    assert_true(bed_read_to_end(&bed, half));
    assert_int_equal(bed_status(&bed), 503);
    (void)close(half);
    assert_int_equal(bed_ask(&bed, GET("/hello")), 404);
    bed_stop(&bed);
}

static void closing_lets_a_begun_answer_finish(void **state)
{
    struct bed bed;
    int fd, idle;

    bed_start(&bed, NULL);
    idle = bed_connect(&bed);
    fd = bed_begin(&bed, "/wait");
    fg_http_server_close(bed.server, BED_WAIT_MS, NULL, NULL);
    assert_true(bed_read_to_end(&bed, idle));
    fg_exchange_reply(bed.waiting, 200, "text/plain", fg_slice_of("finished"));
    assert_true(bed_read_to_end(&bed, fd));
    assert_true(bed_has(&bed, "\r\nConnection: close\r\n"));
    assert_true(bed_has(&bed, "finished"));
    (void)close(fd);
    (void)close(idle);
    bed.closed = true; /* nothing left to close: the loop must run dry by itself */
    assert_int_equal(uv_run(&bed.loop, UV_RUN_DEFAULT), 0);
    bed_stop(&bed);
}

static void closing_cuts_at_its_deadline(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, NULL);
    bed.tell_gone = true;
    fd = bed_begin(&bed, "/stream");
    fg_http_server_close(bed.server, 50, NULL, NULL);
    assert_true(bed_until_count(&bed, &bed.n_gone, 1));
    bed.closed = true;
    assert_int_equal(uv_run(&bed.loop, UV_RUN_DEFAULT), 0);
    (void)close(fd);
    bed_stop(&bed);
}

static void a_port_in_use_says_so(void **state)
{
    struct bed bed;
    struct fg_http_server *second = NULL;
    struct fg_error err = FG_ERROR_NULL;
    struct fg_http_server_config config = {0};

    bed_start(&bed, NULL);
    config.loop = &bed.loop;
    config.listen = fg_http_server_address(bed.server);
    assert_true(fg_http_server_new(&config, &second, &err) < 0);
    assert_non_null(strstr(err.text, config.listen));
    assert_non_null(strstr(err.text, "another program has this port"));
    config.listen = "127.0.0.1";
    assert_true(fg_http_server_new(&config, &second, &err) < 0);
    assert_non_null(strstr(err.text, "\"127.0.0.1\""));
    config.listen = "192.0.2.1:0";
    assert_true(fg_http_server_new(&config, &second, &err) < 0);
    assert_non_null(strstr(err.text, "does not have this address"));
    bed_stop(&bed);
}

static struct fg_http_token tokens[2];

static void with_tokens(struct fg_http_server_config *config)
{
    tokens[0] = (struct fg_http_token){.name = "reader", .scope = FG_SCOPE_READ};
    tokens[1] = (struct fg_http_token){.name = "operator", .scope = FG_SCOPE_CONTROL};
    fg_sha256(fg_slice_of("read-me"), tokens[0].sha256);
    fg_sha256(fg_slice_of("drive-me"), tokens[1].sha256);
    config->tokens = tokens;
    config->n_tokens = 2;
    config->auth_required = true;
}

#define AS(method, path, token) \
    method " " path " HTTP/1.1\r\n" BED_HOST "Authorization: " token "\r\nConnection: close\r\n\r\n"

static void tokens_open_what_their_scope_allows(void **state)
{
    struct bed bed;

    bed_start(&bed, with_tokens);
    assert_int_equal(bed_ask(&bed, GET("/hello")), 200);
    assert_int_equal(bed_ask(&bed, GET("/read")), 401);
    assert_true(bed_has(&bed, "\r\nWWW-Authenticate: Bearer realm=\"fragua\"\r\n"));
    assert_int_equal(bed_ask(&bed, AS("GET", "/read", "Bearer wrong")), 401);
    assert_true(bed_has(&bed, "invalid_token"));
    assert_int_equal(bed_ask(&bed, AS("GET", "/read", "Basic read-me")), 401);
    assert_int_equal(bed_ask(&bed, AS("GET", "/read", "bearer read-me")), 200);
    assert_int_equal(bed_ask(&bed, AS("GET", "/read", "Bearer drive-me")), 200);
    assert_int_equal(bed_ask(&bed, AS("POST", "/control", "Bearer read-me")), 403);
    assert_int_equal(bed_ask(&bed, AS("POST", "/control", "Bearer drive-me")), 200);
    assert_int_equal(bed_ask(&bed, "GET /read HTTP/1.1\r\n" BED_HOST "Authorization: Bearer read-me\r\n"
                                   "Authorization: Bearer drive-me\r\nConnection: close\r\n\r\n"),
                     401);
    bed_stop(&bed);
}

static void an_open_server_does_not_serve_foreign_web_pages(void **state)
{
    struct bed bed;

    bed_start(&bed, NULL);
    assert_int_equal(bed_ask(&bed, "GET /read HTTP/1.1\r\nHost: localhost:80\r\nConnection: close\r\n\r\n"), 200);
    assert_int_equal(bed_ask(&bed, "GET /read HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n"), 200);
    assert_int_equal(bed_ask(&bed, "GET /read HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n"), 421);
    assert_int_equal(bed_ask(&bed, "GET /hello HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n"), 200);
    assert_int_equal(
        bed_ask(&bed, "POST /control HTTP/1.1\r\n" BED_HOST "Origin: https://any.example\r\nConnection: close\r\n\r\n"),
        403);
    assert_int_equal(
        bed_ask(&bed, "POST /control HTTP/1.1\r\n" BED_HOST "Origin: http://127.0.0.1\r\nConnection: close\r\n\r\n"),
        200);
    bed_stop(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_with_the_safe_headers),
        cmocka_unit_test(parameters_query_and_headers_reach_the_handler_decoded),
        cmocka_unit_test(unknown_paths_and_methods_are_problems),
        cmocka_unit_test(head_is_served_by_get_without_a_body),
        cmocka_unit_test(one_connection_serves_many_requests),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_pipeline_waits_for_a_late_answer_and_is_bounded),
        cmocka_unit_test(bodies_arrive_whole_by_length_and_by_chunks),
        cmocka_unit_test(expect_100_continue_is_answered_before_the_body),
        cmocka_unit_test(an_offer_to_switch_protocols_is_ignored),
        cmocka_unit_test(a_stream_is_chunked_and_ends),
        cmocka_unit_test(an_old_client_gets_a_stream_until_the_connection_closes),
        cmocka_unit_test(a_handler_learns_that_the_client_has_gone),
        cmocka_unit_test(a_handler_that_did_not_ask_may_answer_into_the_void),
        cmocka_unit_test(abort_cuts_without_an_answer),
        cmocka_unit_test(unmounting_answers_open_requests_with_503),
        cmocka_unit_test(closing_lets_a_begun_answer_finish),
        cmocka_unit_test(closing_cuts_at_its_deadline),
        cmocka_unit_test(a_port_in_use_says_so),
        cmocka_unit_test(tokens_open_what_their_scope_allows),
        cmocka_unit_test(an_open_server_does_not_serve_foreign_web_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
