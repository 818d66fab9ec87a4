/* SPDX-License-Identifier: Apache-2.0 */
/* Routes that are retired, on one server and on two: who is being served stays served, and no longer than allowed. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/test-server-bed.h"

/* The handlers of the next generation count here. */
struct next {
    struct bed counts;
    struct fg_http_mount *mount;
};

static void count(void *arg)
{
    ++*(unsigned *)arg;
}

static void retire(struct bed *bed, uint64_t deadline_ms, unsigned *n)
{
    fg_http_server_retire(bed->mount, deadline_ms, count, n);
    bed->mount = NULL;
}

static void mount_next(struct bed *bed, struct next *next, struct fg_http_server *server)
{
    struct fg_error err = FG_ERROR_NULL;

    memset(next, 0, sizeof(*next));
    if (fg_http_server_mount(server ? server : bed->server, bed_routes, bed_n_routes, &next->counts, &next->mount,
                             &err) < 0)
        fail_msg("%s", err.text);
}

static void open_requests_end_where_they_began_and_new_ones_go_to_the_next(void **state)
{
    struct bed bed;
    struct next next;
    unsigned n_retired = 0;
    int fd;

    bed_start(&bed, NULL);
    fd = bed_begin(&bed, "/wait");
    retire(&bed, 60000, &n_retired);
    mount_next(&bed, &next, NULL);
    assert_int_equal(bed_ask(&bed, GET("/hello")), 200);
    assert_int_equal(bed.n_handled, 1);
    assert_int_equal(next.counts.n_handled, 1);
    assert_int_equal(n_retired, 0);
    fg_exchange_reply(bed.waiting, 200, "text/plain", fg_slice_of("late"));
    assert_int_equal(n_retired, 0); /* not below a handler */
    assert_true(bed_read_until(&bed, fd, "late"));
    assert_true(bed_until_count(&bed, &n_retired, 1));
    bed_text(&bed, fd, GET_KEPT("/hello")); /* the connection stays, and finds the next */
    assert_true(bed_read_until(&bed, fd, "hello"));
    assert_int_equal(next.counts.n_handled, 2);
    (void)close(fd);
    fg_http_server_unmount(next.mount);
    bed_stop(&bed);
    assert_int_equal(n_retired, 1);
}

static void where_nothing_is_open_it_is_gone_soon_but_not_at_once(void **state)
{
    struct bed bed;
    unsigned n_retired = 0;

    bed_start(&bed, NULL);
    retire(&bed, 60000, &n_retired);
    assert_int_equal(n_retired, 0);
    assert_true(bed_until_count(&bed, &n_retired, 1));
    assert_int_equal(bed_ask(&bed, GET("/hello")), 404);
    bed_stop(&bed);
}

static void streams_end_in_order_at_once(void **state)
{
    struct bed bed;
    struct next next;
    unsigned n_retired = 0;
    int fd, old;

    bed_start(&bed, NULL);
    bed.tell_gone = true;
    fd = bed_connect(&bed);
    bed_text(&bed, fd, GET_KEPT("/stream"));
    assert_true(bed_read_until(&bed, fd, "\r\n\r\n"));
    assert_true(fg_exchange_write(bed.waiting, fg_slice_of("data: 1\n\n")));
    retire(&bed, 60000, &n_retired);
    mount_next(&bed, &next, NULL);
    assert_int_equal(bed.n_gone, 1);
    assert_true(bed_read_to_end(&bed, fd));
    assert_true(bed_has(&bed, "9\r\ndata: 1\n\n\r\n0\r\n\r\n"));
    assert_true(bed_until_count(&bed, &n_retired, 1));
    (void)close(fd);
    old = bed_connect(&bed); /* HTTP/1.0: no chunks; and a handler that did not ask to be told */
    bed_text(&bed, old, "GET /stream HTTP/1.0\r\n" BED_HOST "\r\n");
    assert_true(bed_until_count(&bed, &next.counts.n_handled, 1));
    assert_true(fg_exchange_write(next.counts.waiting, fg_slice_of("data: 2\n\n")));
    fg_http_server_retire(next.mount, 60000, count, &n_retired);
    assert_true(bed_read_to_end(&bed, old));
    assert_true(bed_has(&bed, "\r\n\r\ndata: 2\n\n"));
    assert_false(bed_has(&bed, "\n\n0\r\n"));
    assert_true(bed_until_count(&bed, &n_retired, 2));
    assert_false(fg_exchange_write(next.counts.waiting, fg_slice_of("data: 3\n\n")));
    fg_exchange_end(next.counts.waiting);
    (void)close(old);
    bed_stop(&bed);
}

static void an_answer_that_becomes_a_stream_later_ends_where_it_begins(void **state)
{
    struct bed bed;
    unsigned n_retired = 0;
    int fd;

    bed_start(&bed, NULL);
    bed.tell_gone = true;
    fd = bed_begin(&bed, "/wait");
    retire(&bed, 60000, &n_retired);
    fg_exchange_begin(bed.waiting, 200, "text/event-stream");
    assert_false(fg_exchange_write(bed.waiting, fg_slice_of("data: 1\n\n")));
    assert_true(bed_read_to_end(&bed, fd));
    assert_int_equal(bed_status(&bed), 200);
    assert_true(bed_has(&bed, "\r\n\r\n0\r\n\r\n"));
    (void)close(fd);
    assert_true(bed_until_count(&bed, &n_retired, 1));
    assert_int_equal(bed.n_gone, 1);
    bed_stop(&bed);
}

static void a_request_whose_body_arrives_is_still_handled(void **state)
{
    struct bed bed;
    unsigned n_retired = 0;
    int fd;

    bed_start(&bed, NULL);
    fd = bed_connect(&bed);
    bed_text(&bed, fd, "POST /echo HTTP/1.1\r\n" BED_HOST "Content-Length: 5\r\n\r\nab");
    retire(&bed, 60000, &n_retired);
    for (int i = 0; i < 5; i++)
        bed_turn(&bed, -1);
    assert_int_equal(n_retired, 0);
    bed_text(&bed, fd, "cde");
    assert_true(bed_read_until(&bed, fd, "abcde"));
    assert_int_equal(bed.n_handled, 1);
    assert_true(bed_until_count(&bed, &n_retired, 1));
    (void)close(fd);
    bed_stop(&bed);
}

static void past_the_deadline_they_are_told_503(void **state)
{
    struct bed bed;
    unsigned n_retired = 0;
    int fd, other;

    bed_start(&bed, NULL);
    bed.tell_gone = true;
    fd = bed_connect(&bed);
    bed_text(&bed, fd, GET_KEPT("/wait"));
    other = bed_connect(&bed);
    bed_text(&bed, other, "POST /echo HTTP/1.1\r\n" BED_HOST "Content-Length: 5\r\n\r\nab");
    retire(&bed, 30, &n_retired);
    assert_true(bed_read_to_end(&bed, fd));
    assert_int_equal(bed_status(&bed), 503);
    assert_true(bed_read_to_end(&bed, other));
    assert_int_equal(bed_status(&bed), 503);
    assert_int_equal(bed.n_gone, 1);
    assert_int_equal(bed.n_handled, 1);
    assert_true(bed_until_count(&bed, &n_retired, 1));
    (void)close(fd);
    (void)close(other);
    bed_stop(&bed);
}

static void a_client_that_goes_ends_what_was_open(void **state)
{
    struct bed bed;
    unsigned n_retired = 0;
    int fd;

    bed_start(&bed, NULL);
    bed.tell_gone = true;
    fd = bed_begin(&bed, "/wait");
    retire(&bed, 60000, &n_retired);
    (void)close(fd);
    assert_true(bed_until_count(&bed, &n_retired, 1));
    assert_int_equal(bed.n_gone, 1);
    bed_stop(&bed);
}

static void closed(void *arg)
{
    ((struct bed *)arg)->closed = true;
}

static void a_server_that_goes_takes_what_is_retired_along(void **state)
{
    struct bed bed;
    struct next next;
    unsigned n_retired = 0;
    int fd;

    bed_start(&bed, NULL);
    fd = bed_begin(&bed, "/wait");
    retire(&bed, 60000, &n_retired);
    mount_next(&bed, &next, NULL);
    fg_http_server_close(bed.server, 20, closed, &bed);
    assert_true(bed_until(&bed, &bed.closed));
    assert_true(bed_until_count(&bed, &n_retired, 1));
    fg_exchange_reply(bed.waiting, 200, NULL, FG_SLICE_NULL); /* nobody reads it */
    fg_http_server_retire(next.mount, 60000, count, &n_retired);
    assert_true(bed_until_count(&bed, &n_retired, 2));
    (void)close(fd);
    bed_stop(&bed);
}

static struct fg_http_server *second_server(struct bed *bed, const char *listen, int want, struct fg_error *err)
{
    struct fg_http_server_config config = {.loop = &bed->loop, .listen = listen, .replaces = bed->server};
    struct fg_http_server *server = NULL;

    if (!want)
        config.replaces = NULL;
    if (fg_http_server_new(&config, &server, err) < 0)
        return NULL;
    return server;
}

static void the_same_routes_move_to_another_address(void **state)
{
    static const char *const hosts[] = {"0.0.0.0", "[::]"};
    char listen[32];

    for (size_t i = 0; i < 2; i++) {
        struct bed bed;
        struct next next;
        struct fg_error err = FG_ERROR_NULL;
        struct fg_http_server *second, *first;
        unsigned n_retired = 0;
        int fd, idle, body;

        bed_start(&bed, NULL);
        first = bed.server;
        (void)snprintf(listen, sizeof(listen), "%s%s", hosts[i], strrchr(fg_http_server_address(first), ':'));
        fd = bed_connect(&bed);
        bed_text(&bed, fd, GET_KEPT("/wait"));
        body = bed_connect(&bed);
        bed_text(&bed, body, "POST /echo HTTP/1.1\r\n" BED_HOST "Content-Length: 5\r\n\r\nab");
        idle = bed_connect(&bed);
        bed_turn(&bed, -1);
        /* one port on two addresses that overlap */
        assert_null(second_server(&bed, listen, 0, &err));
        assert_non_null(strstr(err.text, listen));
        second = second_server(&bed, listen, 1, &err);
        if (!second)
            fail_msg("%s", err.text);
        mount_next(&bed, &next, second);
        retire(&bed, 60000, &n_retired);
        fg_http_server_close(first, 60000, closed, &bed);
        assert_true(bed_read_to_end(&bed, idle));
        bed.server = second;
        assert_int_equal(bed_ask(&bed, GET("/hello")), 200);
        assert_int_equal(next.counts.n_handled, 1);
        assert_false(bed.closed);
        bed_text(&bed, body, "cde"); /* what had begun goes on */
        assert_true(bed_read_to_end(&bed, body));
        assert_true(bed_has(&bed, "abcde"));
        assert_true(bed_has(&bed, "Connection: close\r\n"));
        fg_exchange_reply(bed.waiting, 200, "text/plain", fg_slice_of("late"));
        assert_true(bed_read_to_end(&bed, fd));
        assert_true(bed_has(&bed, "late"));
        (void)close(fd);
        (void)close(idle);
        (void)close(body);
        assert_true(bed_until(&bed, &bed.closed));
        assert_int_equal(n_retired, 1);
        bed.closed = false;
        fg_http_server_unmount(next.mount);
        bed_stop(&bed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_requests_end_where_they_began_and_new_ones_go_to_the_next),
        cmocka_unit_test(where_nothing_is_open_it_is_gone_soon_but_not_at_once),
        cmocka_unit_test(streams_end_in_order_at_once),
        cmocka_unit_test(an_answer_that_becomes_a_stream_later_ends_where_it_begins),
        cmocka_unit_test(a_request_whose_body_arrives_is_still_handled),
        cmocka_unit_test(past_the_deadline_they_are_told_503),
        cmocka_unit_test(a_client_that_goes_ends_what_was_open),
        cmocka_unit_test(a_server_that_goes_takes_what_is_retired_along),
        cmocka_unit_test(the_same_routes_move_to_another_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
