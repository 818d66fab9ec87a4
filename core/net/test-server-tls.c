/* SPDX-License-Identifier: Apache-2.0 */
/* The server behind TLS: versions, ALPN, client certificates, bad files, handshakes that stall. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/test-server-tls-bed.h"

static bool no_memory_for_tls;

/* Stands before OpenSSL's own. */
SSL *SSL_new(SSL_CTX *ctx)
{
    void *found = dlsym(RTLD_NEXT, "SSL_new");
    SSL *(*real)(SSL_CTX *);

    if (no_memory_for_tls)
        return NULL;
    assert_non_null(found);
    memcpy(&real, &found, sizeof(real));
    return real(ctx);
}

static void with_tls(struct fg_http_server_config *config)
{
    config->tls_certificate = files.server;
    config->tls_key = files.server_key;
}

static void with_client_ca(struct fg_http_server_config *config)
{
    with_tls(config);
    config->tls_client_ca = files.ca;
    config->auth_required = true;
}

static void requests_are_served_over_tls_1_3_and_1_2(void **state)
{
    struct bed bed;
    struct caller c;

    bed_start(&bed, with_tls);
    caller_open(&c, &bed, NULL, NULL, 0);
    assert_true(caller_handshake(&c, &bed));
    assert_int_equal(SSL_version(c.ssl), TLS1_3_VERSION);
    for (int i = 0; i < 3; i++)
        assert_int_equal(caller_ask(&c, &bed, GET_KEPT("/hello"), "\r\n\r\nhello"), 200);
    assert_int_equal(caller_ask(&c, &bed, GET("/big"), NULL), 200);
    assert_true(bed.in.len > (size_t)8 << 20);
    assert_int_equal(SSL_get_shutdown(c.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
    caller_close(&c);

    caller_open(&c, &bed, NULL, NULL, TLS1_2_VERSION);
    assert_true(caller_handshake(&c, &bed));
    assert_int_equal(caller_ask(&c, &bed, GET("/hello"), NULL), 200);
    caller_close(&c);

    caller_open(&c, &bed, NULL, NULL, TLS1_1_VERSION);
    assert_false(caller_handshake(&c, &bed));
    caller_close(&c);
    bed_stop(&bed);
}

static void only_http_1_1_is_agreed_on(void **state)
{
    struct bed bed;
    struct caller c;
    const unsigned char *got = NULL;
    unsigned len = 0;

    bed_start(&bed, with_tls);
    caller_open(&c, &bed, NULL, NULL, 0);
    assert_int_equal(SSL_set_alpn_protos(c.ssl, (const unsigned char *)"\x02h2\x08http/1.1", 12), 0);
    assert_true(caller_handshake(&c, &bed));
    SSL_get0_alpn_selected(c.ssl, &got, &len);
    assert_int_equal(len, 8);
    assert_memory_equal(got, "http/1.1", 8);
    assert_int_equal(caller_ask(&c, &bed, GET("/hello"), NULL), 200);
    caller_close(&c);

    caller_open(&c, &bed, NULL, NULL, 0);
    assert_int_equal(SSL_set_alpn_protos(c.ssl, (const unsigned char *)"\x02h2", 3), 0);
    assert_false(caller_handshake(&c, &bed));
    caller_close(&c);
    bed_stop(&bed);
}

static void a_client_certificate_is_asked_for_and_opens_every_route(void **state)
{
    struct bed bed;

    bed_start(&bed, with_client_ca);
    assert_int_equal(ask_as(&bed, files.client, files.client_key, GET("/read")), 200);
    assert_int_equal(
        ask_as(&bed, files.client, files.client_key, "POST /control HTTP/1.1\r\n" BED_HOST "Connection: close\r\n\r\n"),
        200);
    assert_int_equal(bed.n_handled, 2);
    assert_int_equal(ask_as(&bed, NULL, NULL, GET("/hello")), 0);
    assert_int_equal(ask_as(&bed, files.stranger, files.stranger_key, GET("/hello")), 0);
    assert_int_equal(bed.n_handled, 2);
    bed_stop(&bed);
}

static void with_client_ca_folder(struct fg_http_server_config *config)
{
    with_client_ca(config);
    config->tls_client_ca = files.folder; /* all .pem in it, the stranger too */
}

static void a_folder_of_cas_is_trusted_whole(void **state)
{
    struct bed bed;

    bed_start(&bed, with_client_ca_folder);
    assert_int_equal(ask_as(&bed, files.client, files.client_key, GET("/hello")), 200);
    assert_int_equal(ask_as(&bed, files.stranger, files.stranger_key, GET("/hello")), 200);
    bed_stop(&bed);
}

static void check_refused(const char *certificate, const char *key, const char *ca, const char *named)
{
    struct fg_http_server *server = NULL;
    struct fg_error err = FG_ERROR_NULL;
    uv_loop_t loop;
    struct fg_http_server_config config = {
        .loop = &loop, .listen = "127.0.0.1:0", .tls_certificate = certificate, .tls_key = key, .tls_client_ca = ca};

    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(fg_http_server_new(&config, &server, &err), -FG_E_CONFIG);
    if (!strstr(err.text, named))
        fail_msg("\"%s\" does not name \"%s\"", err.text, named);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void bad_files_are_named_at_the_start(void **state)
{
    char folder[96];

    check_refused("/no/such/certificate.pem", files.server_key, NULL, "/no/such/certificate.pem");
    check_refused(files.server, "/no/such/key.pem", NULL, "/no/such/key.pem");
    check_refused(files.server_key, files.server_key, NULL, files.server_key);
    check_refused(files.server, files.client_key, NULL, files.client_key);
    check_refused(files.server, NULL, NULL, files.server);
    check_refused(files.server, files.server_key, "/no/such/ca", "/no/such/ca");
    check_refused(files.server, files.server_key, files.server_key, files.server_key);
    (void)snprintf(folder, sizeof(folder), "%s/emptyXXXXXX", files.folder);
    assert_non_null(mkdtemp(folder));
    check_refused(files.server, files.server_key, folder, folder);
    (void)rmdir(folder);
}

static void with_short_handshake(struct fg_http_server_config *config)
{
    with_tls(config);
    config->limits.handshake_timeout_ms = 60;
}

static void a_handshake_that_stalls_or_is_none_is_cut(void **state)
{
    struct bed bed;
    int fd;

    bed_start(&bed, with_short_handshake);
    assert_int_equal(bed_ask(&bed, ""), 0);
    fd = bed_connect(&bed);
    bed_text(&bed, fd, GET("/hello")); /* plain HTTP on a TLS port */
    assert_true(bed_read_to_end(&bed, fd));
    assert_int_equal(bed.n_handled, 0);
    (void)close(fd);
    bed_stop(&bed);
}

static void with_one_connection(struct fg_http_server_config *config)
{
    with_tls(config);
    config->limits.connections_max = 1;
}

static void a_connection_over_the_limit_is_told_so_over_tls(void **state)
{
    struct bed bed;
    struct caller c;

    bed_start(&bed, with_one_connection);
    caller_open(&c, &bed, NULL, NULL, 0);
    assert_true(caller_handshake(&c, &bed));
    assert_int_equal(ask_as(&bed, NULL, NULL, GET("/hello")), 503);
    assert_int_equal(caller_ask(&c, &bed, GET("/hello"), NULL), 200);
    caller_close(&c);
    bed_stop(&bed);
}

static void a_stream_and_a_gone_client_over_tls(void **state)
{
    struct bed bed;
    struct caller c;

    bed_start(&bed, with_tls);
    bed.tell_gone = true;
    caller_open(&c, &bed, NULL, NULL, 0);
    assert_true(caller_handshake(&c, &bed));
    assert_int_equal(caller_ask(&c, &bed, GET_KEPT("/stream"), "\r\n\r\n"), 200);
    assert_true(fg_exchange_write(bed.waiting, fg_slice_of("data: x\n\n")));
    fg_buf_clear(&bed.in);
    (void)SSL_shutdown(c.ssl);
    assert_true(bed_until_count(&bed, &bed.n_gone, 1));
    caller_close(&c);
    bed_stop(&bed);
}

/* libuv stops to listen until the connection that it has shown is taken: it must be, to be closed. */
static void a_connection_that_cannot_be_served_is_closed_and_the_next_is_served(void **state)
{
    struct bed bed;
    int fds[3];

    bed_start(&bed, with_tls);
    no_memory_for_tls = true;
    for (size_t i = 0; i < 3; i++)
        fds[i] = bed_connect(&bed);
    for (size_t i = 0; i < 3; i++) {
        assert_true(bed_read_to_end(&bed, fds[i]));
        assert_int_equal(bed.in.len, 0);
        (void)close(fds[i]);
    }
    no_memory_for_tls = false;
    assert_int_equal(ask_as(&bed, NULL, NULL, GET("/hello")), 200);
    bed_stop(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_served_over_tls_1_3_and_1_2),
        cmocka_unit_test(only_http_1_1_is_agreed_on),
        cmocka_unit_test(a_client_certificate_is_asked_for_and_opens_every_route),
        cmocka_unit_test(a_folder_of_cas_is_trusted_whole),
        cmocka_unit_test(bad_files_are_named_at_the_start),
        cmocka_unit_test(a_handshake_that_stalls_or_is_none_is_cut),
        cmocka_unit_test(a_connection_over_the_limit_is_told_so_over_tls),
        cmocka_unit_test(a_stream_and_a_gone_client_over_tls),
        cmocka_unit_test(a_connection_that_cannot_be_served_is_closed_and_the_next_is_served),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
