/* SPDX-License-Identifier: Apache-2.0 */
/* Every limit of the HTTP server, and what it answers there. */
#include "net/test-server-bed.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define SHORT_MS 60

static int ask_with_header_bytes(struct bed *bed, size_t n_fields, size_t value_len)
{
    struct fg_buf req = FG_BUF_INIT(1 << 20);
    int status;

    fg_buf_add_str(&req, "GET /hello HTTP/1.1\r\n" BED_HOST "Connection: close\r\n");
    for (size_t i = 0; i < n_fields; i++) {
        fg_buf_printf(&req, "X-%zu: ", i);
        for (size_t k = 0; k < value_len; k++)
            fg_buf_add_char(&req, 'v');
        fg_buf_add_str(&req, "\r\n");
    }
    fg_buf_add_str(&req, "\r\n");
    status = bed_ask_bytes(bed, req.data, req.len);
    fg_buf_deinit(&req);
    return status;
}

static void too_many_header_bytes_or_fields_are_431(void **state)
{
    struct bed bed;

    bed_start(&bed, NULL);
    assert_int_equal(ask_with_header_bytes(&bed, 1, 16000), 200);
    assert_int_equal(ask_with_header_bytes(&bed, 1, 16384), 431);
    assert_int_equal(ask_with_header_bytes(&bed, 98, 10), 200); /* and Host and Connection: 100 */
    assert_int_equal(ask_with_header_bytes(&bed, 99, 10), 431);
    assert_true(bed_has(&bed, "\r\nConnection: close\r\n"));
    assert_int_equal(ask_with_header_bytes(&bed, 1, 200000), 431);
    assert_int_equal(bed.n_handled, 2);
    bed_stop(&bed);
}

static int ask_for_path_of(struct bed *bed, size_t len)
{
    struct fg_buf req = FG_BUF_INIT(1 << 20);
    int status;

    fg_buf_add_str(&req, "GET /items/");
    while (req.len < len + 4)
        fg_buf_add_char(&req, 'p');
    fg_buf_add_str(&req, " HTTP/1.1\r\n" BED_HOST "Connection: close\r\n\r\n");
    status = bed_ask_bytes(bed, req.data, req.len);
    fg_buf_deinit(&req);
    return status;
}

static void a_target_over_8_kib_is_414(void **state)
{
    struct bed bed;

    bed_start(&bed, NULL);
    assert_int_equal(ask_for_path_of(&bed, 8192), 200);
    assert_int_equal(ask_for_path_of(&bed, 8193), 414);
    assert_int_equal(ask_for_path_of(&bed, 100000), 414);
    bed_stop(&bed);
}

static void a_body_over_the_routes_limit_is_413(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, NULL);
    assert_int_equal(bed_ask(&bed, "POST /small HTTP/1.1\r\n" BED_HOST
                                   "Content-Length: 16\r\nConnection: close\r\n\r\n0123456789abcdef"),
                     200);
    /* announced: refused before a byte of it */
    fd = bed_connect(&bed);
    bed_text(&bed, fd, "POST /small HTTP/1.1\r\n" BED_HOST "Content-Length: 17\r\n\r\n");
    assert_true(bed_read_until(&bed, fd, "\"status\":413"));
    (void)close(fd);
    /* chunked: refused while counting, with more to come */
    fd = bed_connect(&bed);
    bed_text(&bed, fd,
             "POST /small HTTP/1.1\r\n" BED_HOST "Transfer-Encoding: chunked\r\n\r\n"
             "9\r\n123456789\r\n8\r\n12345678\r\n");
    assert_true(bed_read_until(&bed, fd, "\"status\":413"));
    assert_true(bed_has(&bed, "\r\nConnection: close\r\n"));
    (void)close(fd);
    assert_int_equal(bed_ask(&bed, "POST /echo HTTP/1.1\r\n" BED_HOST "Content-Length: 1048577\r\n\r\n"), 413);
    assert_int_equal(bed.n_handled, 1);
    bed_stop(&bed);
}

static void a_client_still_sending_can_read_its_413(void **state)
{
    struct bed bed;
    struct fg_buf req = FG_BUF_INIT(4 << 20);

    bed_start(&bed, NULL);
    fg_buf_add_str(&req, "POST /small HTTP/1.1\r\n" BED_HOST "Content-Length: 2000000\r\n\r\n");
    while (req.len < 2000000)
        fg_buf_add_str(&req, "more and more ");
    assert_int_equal(bed_ask_bytes(&bed, req.data, req.len), 413);
    fg_buf_deinit(&req);
    bed_stop(&bed);
}

static void chunks_that_cost_more_than_they_carry_are_refused(void **state)
{
    struct bed bed;
    struct fg_buf req = FG_BUF_INIT(1 << 20);

    bed_start(&bed, NULL);
    fg_buf_add_str(&req, "POST /echo HTTP/1.1\r\n" BED_HOST "Transfer-Encoding: chunked\r\n\r\n1;");
    while (req.len < 70000)
        fg_buf_add_char(&req, 'e');
    assert_int_equal(bed_ask_bytes(&bed, req.data, req.len), 400);
    fg_buf_deinit(&req);
    bed_stop(&bed);
}

static void with_short_times(struct fg_http_server_config *config)
{
    config->limits.head_timeout_ms = SHORT_MS;
    config->limits.body_timeout_ms = SHORT_MS;
    config->limits.idle_timeout_ms = SHORT_MS;
}

static void a_dripping_head_meets_an_absolute_deadline(void **state)
{
    struct bed bed;
    uint64_t begin = uv_hrtime();
    int fd;

    bed_start(&bed, with_short_times);
    fd = bed_connect(&bed);
    bed_text(&bed, fd, "GET /hello HTTP/1.1\r\n");
    fg_buf_clear(&bed.in);
    /* a byte every turn keeps no deadline away */
    while (uv_hrtime() - begin < BED_WAIT_MS * (uint64_t)1000000 &&
           bed_metric(&bed, "fragua_http_server_requests_total", "code", "408") < 1)
        bed_text(&bed, fd, "X");
    assert_true(bed_read_to_end(&bed, fd));
    assert_int_equal(bed_status(&bed), 408);
    (void)close(fd);
    bed_stop(&bed);
}

static void a_body_that_does_not_come_is_408(void **state)
{
    struct bed bed;

    bed_start(&bed, with_short_times);
    assert_int_equal(bed_ask(&bed, "POST /echo HTTP/1.1\r\n" BED_HOST "Content-Length: 9\r\n\r\nhalf"), 408);
    assert_int_equal(bed_ask(&bed, "POST /echo HTTP/1.1\r\n" BED_HOST "Transfer-Encoding: chunked\r\n\r\n5\r\n"), 408);
    bed_stop(&bed);
}

static void idle_connections_are_closed_without_a_word(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, with_short_times);
    assert_int_equal(bed_ask(&bed, ""), 0);
    fd = bed_connect(&bed);
    bed_text(&bed, fd, GET_KEPT("/hello"));
    assert_true(bed_read_until(&bed, fd, "\r\n\r\nhello"));
    assert_true(bed_read_to_end(&bed, fd));
    assert_int_equal(bed.in.len, 0);
    (void)close(fd);
    bed_stop(&bed);
}

static void a_waiting_handler_has_no_deadline(void **state)
{
    struct bed bed;
    uint64_t begin;
    int fd;

    bed_start(&bed, with_short_times);
    fd = bed_begin(&bed, "/wait");
    for (begin = uv_hrtime(); uv_hrtime() - begin < 3 * SHORT_MS * (uint64_t)1000000;)
        bed_turn(&bed, fd);
    fg_exchange_reply(bed.waiting, 200, "text/plain", fg_slice_of("late"));
    assert_true(bed_read_until(&bed, fd, "\r\n\r\nlate"));
    (void)close(fd);
    bed_stop(&bed);
}

static void a_client_that_does_not_read_its_answer_is_cut(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, with_short_times);
    fd = bed_connect(&bed);
    bed_text(&bed, fd, GET_KEPT("/big"));
    while (bed_metric(&bed, "fragua_http_server_requests_total", "code", "200") < 1)
        bed_turn(&bed, -1);
    while (bed_metric(&bed, "fragua_http_server_connections", NULL, NULL) > 0)
        bed_turn(&bed, -1);
    (void)close(fd);
    bed_stop(&bed);
}

static void a_large_answer_reaches_who_reads_it(void **state)
{
    struct bed bed;

    bed_start(&bed, NULL);
    assert_int_equal(bed_ask(&bed, GET("/big")), 200);
    assert_true(bed.in.len > (size_t)8 << 20);
    bed_stop(&bed);
}

static struct fg_budget room;

static void with_room(struct fg_http_server_config *config)
{
    config->budget = &room;
}

static void a_body_without_room_is_503_and_may_come_again(void **state)
{
    static const char announced[] = "POST /echo HTTP/1.1\r\n" BED_HOST "Connection: close\r\nContent-Length: 9\r\n\r\n"
                                    "123456789";
    static const char chunked[] = "POST /echo HTTP/1.1\r\n" BED_HOST "Connection: close\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n";
    struct bed bed;

    fg_budget_init(&room, 100);
    bed_start(&bed, with_room);
    fg_budget_charge(&room, 92);
    assert_int_equal(bed_ask(&bed, announced), 503);
    assert_true(bed_has(&bed, "\r\nRetry-After: 1\r\n"));
    assert_int_equal(bed_ask(&bed, chunked), 503);
    assert_int_equal(bed.n_handled, 0);
    assert_int_equal(fg_budget_used(&room), 92);
    fg_budget_credit(&room, 1);
    assert_int_equal(bed_ask(&bed, announced), 200);
    assert_int_equal(bed_ask(&bed, chunked), 200);
    bed_stop(&bed);
    assert_int_equal(fg_budget_used(&room), 91);
}

static void what_waits_for_a_client_is_charged(void **state)
{
    struct fg_http_server_depth depth = { 0 };
    struct bed bed;
    int fd;

    fg_budget_init(&room, 100);
    bed_start(&bed, with_room);
    fd = bed_connect(&bed);
    bed_text(&bed, fd, GET("/big"));
    while (depth.waiting_bytes == 0) {
        bed_turn(&bed, -1);
        fg_http_server_depth(bed.server, &depth);
    }
    assert_int_equal(depth.connections, 1);
    assert_true(fg_budget_used(&room) > 100); /* it is there, and must be able to leave */
    (void)close(fd);
    bed_stop(&bed);
    assert_int_equal(fg_budget_used(&room), 0);
}

static void with_few_connections(struct fg_http_server_config *config)
{
    config->limits.connections_max = 2;
}

static void with_few_peer_connections(struct fg_http_server_config *config)
{
    config->limits.peer_connections_max = 2;
}

static void check_third_connection(void (*adjust)(struct fg_http_server_config *config))
{
    struct bed bed;
    int first, second;

    bed_start(&bed, adjust);
    first = bed_connect(&bed);
    second = bed_connect(&bed);
    bed_text(&bed, second, GET_KEPT("/hello"));
    assert_true(bed_read_until(&bed, second, "\r\n\r\nhello"));
    assert_int_equal(bed_ask(&bed, GET("/hello")), 503);
    assert_true(bed_has(&bed, "\r\nConnection: close\r\n"));
    (void)close(first);
    while (bed_metric(&bed, "fragua_http_server_connections", NULL, NULL) > 1)
        bed_turn(&bed, -1);
    assert_int_equal(bed_ask(&bed, GET("/hello")), 200);
    (void)close(second);
    bed_stop(&bed);
}

static void a_connection_over_the_limit_is_503(void **state)
{
    check_third_connection(with_few_connections);
}

static void a_connection_over_its_peers_limit_is_503(void **state)
{
    check_third_connection(with_few_peer_connections);
}

static void with_one_stream(struct fg_http_server_config *config)
{
    config->limits.streams_max = 1;
}

static void a_stream_over_the_limit_is_503(void **state)
{
    struct bed bed;
    struct fg_exchange *first;
    int fd;

    bed_start(&bed, with_one_stream);
    fd = bed_begin(&bed, "/stream");
    first = bed.waiting;
    bed.tell_gone = true;
    assert_int_equal(bed_ask(&bed, GET("/stream")), 503);
    assert_true(bed_until_count(&bed, &bed.n_gone, 1));
    fg_exchange_end(first);
    assert_true(bed_read_until(&bed, fd, "0\r\n\r\n"));
    bed_text(&bed, fd, GET_KEPT("/stream"));
    assert_true(bed_read_until(&bed, fd, "200 OK"));
    (void)close(fd);
    assert_true(bed_until_count(&bed, &bed.n_gone, 2));
    bed_stop(&bed);
}

static void a_slow_reader_of_a_stream_is_cut_and_counted(void **state)
{
    struct bed bed;
    char part[8192];
    size_t written = 0;
    int fd;

    memset(part, 'p', sizeof(part));
    bed_start(&bed, NULL);
    bed.tell_gone = true;
    fd = bed_begin(&bed, "/stream");
    while (fg_exchange_write(bed.waiting, fg_slice_make(part, sizeof(part))) && written < (size_t)64 << 20)
        written += sizeof(part);
    assert_true(written < (size_t)64 << 20);
    assert_false(fg_exchange_write(bed.waiting, fg_slice_of("more")));
    assert_int_equal(bed.n_gone, 0); /* never from inside write() */
    assert_true(bed_until_count(&bed, &bed.n_gone, 1));
    assert_true(bed_metric(&bed, "fragua_http_server_streams_cut_total", NULL, NULL) == 1);
    (void)close(fd);
    bed_stop(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_many_header_bytes_or_fields_are_431),
        cmocka_unit_test(a_target_over_8_kib_is_414),
        cmocka_unit_test(a_body_over_the_routes_limit_is_413),
        cmocka_unit_test(a_client_still_sending_can_read_its_413),
        cmocka_unit_test(chunks_that_cost_more_than_they_carry_are_refused),
        cmocka_unit_test(a_dripping_head_meets_an_absolute_deadline),
        cmocka_unit_test(a_body_that_does_not_come_is_408),
        cmocka_unit_test(idle_connections_are_closed_without_a_word),
        cmocka_unit_test(a_waiting_handler_has_no_deadline),
        cmocka_unit_test(a_client_that_does_not_read_its_answer_is_cut),
        cmocka_unit_test(a_large_answer_reaches_who_reads_it),
        cmocka_unit_test(a_body_without_room_is_503_and_may_come_again),
        cmocka_unit_test(what_waits_for_a_client_is_charged),
        cmocka_unit_test(a_connection_over_the_limit_is_503),
        cmocka_unit_test(a_connection_over_its_peers_limit_is_503),
        cmocka_unit_test(a_stream_over_the_limit_is_503),
        cmocka_unit_test(a_slow_reader_of_a_stream_is_cut_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
