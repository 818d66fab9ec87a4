/* SPDX-License-Identifier: Apache-2.0 */
/* A server that changes its certificates and tokens while it listens: nobody is turned away but whom it now refuses. */
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/hash.h"
#include "net/test-server-tls-bed.h"

#define AS(what, path, token) what " " path " HTTP/1.1\r\n" BED_HOST "Authorization: Bearer " token "\r\n"

static struct fg_http_token tokens[2];

static void with_token(struct fg_http_server_config *config, const char *text)
{
    tokens[0] = (struct fg_http_token){.name = "reader", .scope = FG_SCOPE_READ};
    fg_sha256(fg_slice_of(text), tokens[0].sha256);
    config->tokens = tokens;
    config->n_tokens = 1;
    config->auth_required = true;
}

static void with_old_token(struct fg_http_server_config *config)
{
    with_token(config, "old");
}

static void with_new_token(struct fg_http_server_config *config)
{
    with_token(config, "new");
}

static void with_both_tokens(struct fg_http_server_config *config)
{
    with_token(config, "old");
    tokens[1] = tokens[0];
    fg_sha256(fg_slice_of("new"), tokens[1].sha256);
    config->n_tokens = 2;
}

static void with_certificate(struct fg_http_server_config *config)
{
    config->tls_certificate = files.server;
    config->tls_key = files.server_key;
}

static void with_second(struct fg_http_server_config *config)
{
    config->tls_certificate = files.second;
    config->tls_key = files.second_key;
}

static void with_ca(struct fg_http_server_config *config)
{
    with_certificate(config);
    config->tls_client_ca = files.ca;
    config->auth_required = true;
}

static void with_both_cas(struct fg_http_server_config *config)
{
    with_ca(config);
    config->tls_client_ca = files.both;
}

static void with_other_ca(struct fg_http_server_config *config)
{
    with_ca(config);
    config->tls_client_ca = files.stranger;
}

/* As bed_start() with this callback would have made it. NULL: plain, open. */
static void change(struct bed *bed, void (*adjust)(struct fg_http_server_config *config))
{
    struct fg_http_server_config config = {.loop = &bed->loop, .listen = "127.0.0.1:0"};
    struct fg_http_server_change *made = NULL;
    struct fg_error err = FG_ERROR_NULL;

    if (adjust)
        adjust(&config);
    if (fg_http_server_prepare(bed->server, &config, &made, &err) < 0)
        fail_msg("%s", err.text);
    fg_http_server_apply(bed->server, made);
}

static void what_cannot_be_is_said_and_changes_nothing(void **state)
{
    struct bed bed;
    struct fg_http_server_config config = {.listen = "127.0.0.1:1"};
    struct fg_http_server_change *made = NULL;
    struct fg_error err = FG_ERROR_NULL;

    bed_start(&bed, with_ca);
    assert_int_equal(fg_http_server_prepare(bed.server, &config, &made, &err), -FG_E_CONFIG);
    assert_non_null(strstr(err.text, "127.0.0.1:1"));
    config.listen = "127.0.0.1:0";
    config.tls_certificate = files.second;
    config.tls_key = files.client_key;
    assert_int_equal(fg_http_server_prepare(bed.server, &config, &made, &err), -FG_E_CONFIG);
    assert_non_null(strstr(err.text, files.client_key));
    config.tls_key = files.second_key;
    assert_int_equal(fg_http_server_prepare(bed.server, &config, &made, &err), 0);
    assert_null(fg_http_server_change_free(made));
    assert_null(fg_http_server_change_free(NULL));
    assert_int_equal(ask_as(&bed, files.client, files.client_key, GET("/read")), 200);
    assert_int_equal(ask_as(&bed, NULL, NULL, GET("/read")), 0);
    bed_stop(&bed);
}

static void requests_are_judged_by_the_tokens_of_now(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, with_old_token);
    fd = bed_connect(&bed);
    bed_text(&bed, fd, AS("GET", "/read", "old") "\r\n");
    assert_true(bed_read_until(&bed, fd, "hello"));
    change(&bed, with_both_tokens);
    bed_text(&bed, fd, AS("GET", "/read", "new") "\r\n");
    assert_true(bed_read_until(&bed, fd, "hello"));
    bed_text(&bed, fd, AS("GET", "/read", "old") "\r\n");
    assert_true(bed_read_until(&bed, fd, "hello"));
    /* what the handler has is answered; what still arrives is judged once more */
    bed_text(&bed, fd, AS("POST", "/read-wait", "old") "Content-Length: 2\r\n\r\nab");
    assert_true(bed_until_count(&bed, &bed.n_handled, 4));
    change(&bed, with_new_token);
    fg_exchange_reply(bed.waiting, 200, "text/plain", fg_slice_of("granted then"));
    assert_true(bed_read_until(&bed, fd, "granted then"));
    bed_text(&bed, fd, AS("GET", "/read", "old") "\r\n");
    assert_true(bed_read_until(&bed, fd, "the token is not known"));
    bed_text(&bed, fd, AS("POST", "/read-wait", "new") "Content-Length: 2\r\n\r\na");
    change(&bed, with_old_token);
    bed_text(&bed, fd, "b");
    assert_true(bed_read_until(&bed, fd, "the token is not known"));
    assert_int_equal(bed.n_handled, 4);
    (void)close(fd);
    bed_stop(&bed);
}

static void a_stream_goes_with_its_token(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, with_both_tokens);
    bed.tell_gone = true;
    fd = bed_connect(&bed);
    bed_text(&bed, fd, AS("GET", "/read-stream", "new") "\r\n");
    assert_true(bed_read_until(&bed, fd, "\r\n\r\n"));
    change(&bed, with_new_token);
    assert_true(fg_exchange_write(bed.waiting, fg_slice_of("data: 1\n\n")));
    assert_true(bed_read_until(&bed, fd, "data: 1\n\n"));
    change(&bed, with_old_token);
    assert_false(fg_exchange_write(bed.waiting, fg_slice_of("data: 2\n\n")));
    assert_true(bed_read_to_end(&bed, fd));
    assert_false(bed_has(&bed, "0\r\n\r\n")); /* cut, not ended */
    assert_true(bed_until_count(&bed, &bed.n_gone, 1));
    (void)close(fd);
    /* nor can an old request become one */
    fd = bed_connect(&bed);
    bed_text(&bed, fd, AS("POST", "/read-wait", "old") "\r\n");
    assert_true(bed_until_count(&bed, &bed.n_handled, 2));
    change(&bed, with_new_token);
    fg_exchange_begin(bed.waiting, 200, "text/event-stream");
    assert_true(bed_read_to_end(&bed, fd));
    assert_int_equal(bed_status(&bed), 401);
    (void)close(fd);
    bed_stop(&bed);
}

static bool is_closed(struct caller *c, struct bed *bed)
{
    return caller_ask(c, bed, "", NULL) == 0 && SSL_get_shutdown(c->ssl) & SSL_RECEIVED_SHUTDOWN;
}

static void a_new_certificate_is_shown_to_new_connections_only(void **state)
{
    struct bed bed;
    struct caller idle, asking, streaming, fresh, early, after;
    struct fg_exchange *stream;
    char name[32];

    bed_start(&bed, with_certificate);
    caller_open(&idle, &bed, NULL, NULL, 0);
    assert_true(caller_handshake(&idle, &bed));
    assert_int_equal(caller_ask(&idle, &bed, GET_KEPT("/hello"), "hello"), 200);
    caller_open(&streaming, &bed, NULL, NULL, 0);
    assert_true(caller_handshake(&streaming, &bed));
    assert_int_equal(caller_ask(&streaming, &bed, GET_KEPT("/stream"), "\r\n\r\n"), 200);
    stream = bed.waiting;
    caller_open(&asking, &bed, NULL, NULL, 0);
    assert_true(caller_handshake(&asking, &bed));
    (void)caller_ask(&asking, &bed, GET_KEPT("/hello") GET_KEPT("/wait"), "hello");
    assert_true(bed_until_count(&bed, &bed.n_handled, 4));
    caller_open(&fresh, &bed, NULL, NULL, 0);
    assert_true(caller_handshake(&fresh, &bed));
    caller_open(&early, &bed, NULL, NULL, 0); /* accepted, and has not said a word */

    change(&bed, with_certificate); /* the same contents: nothing happens */
    assert_int_equal(caller_ask(&idle, &bed, GET_KEPT("/hello"), "hello"), 200);
    assert_false(bed_has(&bed, "Connection: close"));

    change(&bed, with_second);
    assert_true(is_closed(&idle, &bed));
    fg_exchange_reply(bed.waiting, 200, "text/plain", fg_slice_of("answer"));
    assert_int_equal(caller_ask(&asking, &bed, "", NULL), 200);
    assert_true(bed_has(&bed, "Connection: close\r\n"));
    assert_true(bed_has(&bed, "answer"));
    assert_int_equal(caller_ask(&fresh, &bed, GET_KEPT("/hello"), NULL), 200);
    assert_true(bed_has(&bed, "Connection: close\r\n"));
    assert_string_equal(caller_saw(&fresh, name), "server");
    assert_true(fg_exchange_write(stream, fg_slice_of("data: 1\n\n")));
    fg_exchange_end(stream);
    (void)caller_ask(&streaming, &bed, "", NULL);
    assert_true(bed_has(&bed, "data: 1\n\n\r\n0\r\n\r\n"));
    assert_true(caller_handshake(&early, &bed));
    assert_string_equal(caller_saw(&early, name), "second");
    caller_open(&after, &bed, NULL, NULL, 0);
    (void)SSL_set_session(after.ssl, SSL_get_session(idle.ssl));
    assert_true(caller_handshake(&after, &bed));
    assert_string_equal(caller_saw(&after, name), "second");
    assert_false(SSL_session_reused(after.ssl));
    caller_close(&idle);
    caller_close(&asking);
    caller_close(&streaming);
    caller_close(&fresh);
    caller_close(&early);
    caller_close(&after);
    bed_stop(&bed);
}

static void a_client_whose_ca_goes_is_cut_and_one_whose_ca_stays_is_not(void **state)
{
    struct bed bed;
    struct caller stream, half;

    bed_start(&bed, with_ca);
    bed.tell_gone = true;
    caller_open(&stream, &bed, files.client, files.client_key, 0);
    assert_true(caller_handshake(&stream, &bed));
    assert_int_equal(caller_ask(&stream, &bed, GET_KEPT("/read-stream"), "\r\n\r\n"), 200);
    change(&bed, with_both_cas);
    assert_true(fg_exchange_write(bed.waiting, fg_slice_of("data: 1\n\n")));
    assert_int_equal(ask_as(&bed, files.stranger, files.stranger_key, GET("/read")), 200);
    assert_int_equal(ask_as(&bed, files.client, files.client_key, GET("/read")), 200);
    caller_open(&half, &bed, files.client, files.client_key, 0);
    assert_true(caller_handshake(&half, &bed));
    change(&bed, with_other_ca);
    assert_false(fg_exchange_write(bed.waiting, fg_slice_of("data: 2\n\n")));
    assert_true(bed_until_count(&bed, &bed.n_gone, 1));
    assert_int_equal(caller_ask(&half, &bed, GET_KEPT("/read"), NULL), 401);
    assert_int_equal(ask_as(&bed, files.stranger, files.stranger_key, GET("/read")), 200);
    assert_int_equal(ask_as(&bed, files.client, files.client_key, GET("/read")), 0);
    caller_close(&stream);
    caller_close(&half);
    bed_stop(&bed);
}

static void plain_becomes_tls_and_plain_again_on_one_address(void **state)
{
    struct bed bed;
    struct caller c;
    int fd, slow;

    bed_start(&bed, NULL);
    slow = bed_connect(&bed);
    bed_text(&bed, slow, GET_KEPT("/big"));
    fd = bed_begin(&bed, "/wait");
    change(&bed, with_ca);
    assert_true(bed_read_to_end(&bed, slow)); /* answered before, read after */
    assert_true(bed.in.len > (size_t)8 << 20);
    (void)close(slow);
    assert_int_equal(ask_as(&bed, files.client, files.client_key, GET("/read")), 200);
    assert_int_equal(bed_ask(&bed, GET("/hello")), 0);
    fg_exchange_reply(bed.waiting, 200, "text/plain", fg_slice_of("plain"));
    assert_true(bed_read_to_end(&bed, fd));
    assert_true(bed_has(&bed, "Connection: close\r\n"));
    (void)close(fd);
    fd = bed_connect(&bed);
    caller_open(&c, &bed, files.client, files.client_key, 0);
    assert_true(caller_handshake(&c, &bed));
    change(&bed, NULL);
    assert_int_equal(bed_ask(&bed, GET("/read")), 200);
    assert_int_equal(caller_ask(&c, &bed, GET_KEPT("/read"), NULL), 200);
    caller_close(&c);
    (void)close(fd);
    bed_stop(&bed);
}

/* A client on a thread of its own: new connections, some requests on each, for as long as it is told. */
struct hammer {
    uv_thread_t thread;
    struct sockaddr_in addr;
    SSL_CTX *ctx;
    atomic_bool stop, over;
    unsigned n_connections, n_requests, n_seconds; /* these, and the rest, once the thread has ended */
    unsigned n_failed;
    char what[64];
};

static void failed(struct hammer *h, const char *what)
{
    if (h->n_failed++ == 0)
        (void)snprintf(h->what, sizeof(h->what), "%s", what);
}

/* One exchange; false: the connection has ended, which is a failure where it was new or the answer had begun. */
static bool ask(struct hammer *h, SSL *ssl, bool first)
{
    static const char request[] = GET_KEPT("/hello");
    char in[4096] = "";
    size_t len = 0;

    if (SSL_write(ssl, request, sizeof(request) - 1) <= 0) {
        if (first)
            failed(h, "write");
        return false;
    }
    while (!strstr(in, "\r\n\r\nhello")) {
        int n = SSL_read(ssl, in + len, (int)(sizeof(in) - 1 - len));

        if (n <= 0) {
            if (first || len > 0)
                failed(h, "read");
            return false;
        }
        len += (size_t)n;
        in[len] = '\0';
    }
    h->n_requests++;
    return !strstr(in, "Connection: close");
}

static void hammer_once(struct hammer *h)
{
    struct timeval patience = {5, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SSL *ssl = SSL_new(h->ctx);
    char name[32];

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)SSL_set_fd(ssl, fd);
    if (connect(fd, (struct sockaddr *)&h->addr, sizeof(h->addr)) < 0) {
        failed(h, "connect");
    } else if (SSL_connect(ssl) != 1) {
        failed(h, "handshake");
    } else {
        struct caller seen = {.ssl = ssl};

        h->n_connections++;
        h->n_seconds += strcmp(caller_saw(&seen, name), "second") == 0;
        for (int i = 0; i < 3 && ask(h, ssl, i == 0); i++)
            continue;
    }
    SSL_free(ssl);
    (void)close(fd);
    ERR_clear_error();
}

static void hammer_run(void *arg)
{
    struct hammer *h = arg;

    while (!atomic_load(&h->stop) && h->n_failed == 0)
        hammer_once(h);
    atomic_store(&h->over, true);
}

static void a_hundred_changes_turn_nobody_away(void **state)
{
    struct bed bed;
    struct hammer h = {.n_failed = 0};

    bed_start(&bed, with_certificate);
    h.ctx = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_load_verify_locations(h.ctx, files.ca, NULL), 1);
    SSL_CTX_set_verify(h.ctx, SSL_VERIFY_PEER, NULL);
    h.addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    h.addr.sin_port = htons((uint16_t)strtoul(strrchr(fg_http_server_address(bed.server), ':') + 1, NULL, 10));
    assert_int_equal(uv_thread_create(&h.thread, hammer_run, &h), 0);
    for (int i = 0; i < 100; i++) {
        unsigned wanted = bed.n_handled + 3;

        change(&bed, i % 2 ? with_certificate : with_second);
        for (int k = 0; k < 1000 && bed.n_handled < wanted && !atomic_load(&h.over); k++)
            bed_turn(&bed, -1);
    }
    atomic_store(&h.stop, true);
    while (!atomic_load(&h.over))
        bed_turn(&bed, -1);
    assert_int_equal(uv_thread_join(&h.thread), 0);
    SSL_CTX_free(h.ctx);
    bed_stop(&bed);
    if (h.n_failed > 0)
        fail_msg("after %u connections: %s", h.n_connections, h.what);
    assert_true(h.n_connections >= 100 && h.n_requests >= 200);
    assert_in_range(h.n_seconds, 1, h.n_connections - 1);
}

static void with_many_fields(struct fg_http_server_config *config)
{
    config->limits.head_fields_max = 1000;
}

static void with_few_fields(struct fg_http_server_config *config)
{
    config->limits.head_fields_max = 10;
}

static void send_fields(struct bed *bed, int fd, size_t n)
{
    struct fg_buf fields = FG_BUF_INIT(16384);

    for (size_t i = 0; i < n; i++)
        fg_buf_add_str(&fields, "x-field: 1\r\n");
    assert_false(fields.failed);
    bed_send(bed, fd, fields.data, fields.len);
    fg_buf_deinit(&fields);
}

static void more_fields_are_taken_on_connections_that_are_there(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, NULL);
    fd = bed_connect(&bed);
    bed_text(&bed, fd, GET_KEPT("/hello"));
    assert_true(bed_read_until(&bed, fd, "hello"));
    change(&bed, with_many_fields);
    bed_text(&bed, fd, "GET /hello HTTP/1.1\r\n" BED_HOST);
    send_fields(&bed, fd, 999);
    bed_text(&bed, fd, "\r\n");
    assert_true(bed_read_until(&bed, fd, "hello"));
    bed_text(&bed, fd, "GET /hello HTTP/1.1\r\n" BED_HOST);
    send_fields(&bed, fd, 1000);
    assert_true(bed_read_to_end(&bed, fd));
    assert_int_equal(bed_status(&bed), 431);
    (void)close(fd);
    bed_stop(&bed);
}

static void fewer_fields_are_taken_of_a_head_that_is_arriving(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, NULL);
    fd = bed_connect(&bed);
    bed_text(&bed, fd, "GET /hello HTTP/1.1\r\n" BED_HOST);
    send_fields(&bed, fd, 50);
    bed_turn(&bed, fd);
    change(&bed, with_few_fields);
    send_fields(&bed, fd, 500);
    assert_true(bed_read_to_end(&bed, fd));
    assert_int_equal(bed_status(&bed), 431);
    (void)close(fd);
    bed_stop(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_is_said_and_changes_nothing),
        cmocka_unit_test(requests_are_judged_by_the_tokens_of_now),
        cmocka_unit_test(a_stream_goes_with_its_token),
        cmocka_unit_test(a_new_certificate_is_shown_to_new_connections_only),
        cmocka_unit_test(a_client_whose_ca_goes_is_cut_and_one_whose_ca_stays_is_not),
        cmocka_unit_test(plain_becomes_tls_and_plain_again_on_one_address),
        cmocka_unit_test(more_fields_are_taken_on_connections_that_are_there),
        cmocka_unit_test(fewer_fields_are_taken_of_a_head_that_is_arriving),
        cmocka_unit_test(a_hundred_changes_turn_nobody_away),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
