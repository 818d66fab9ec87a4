/* SPDX-License-Identifier: Apache-2.0 */
/* The server behind TLS: versions, ALPN, client certificates, bad files, handshakes that stall. */
#include "net/test-server-bed.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#define GET(path)      "GET " path " HTTP/1.1\r\n" BED_HOST "Connection: close\r\n\r\n"
#define GET_KEPT(path) "GET " path " HTTP/1.1\r\n" BED_HOST "\r\n"

/* A folder of PEM files: ca, server, client (signed by ca), stranger (signed by itself), and each one's key. */
struct files {
    char folder[64];
    char ca[96], ca_key[96], server[96], server_key[96], client[96], client_key[96], stranger[96], stranger_key[96];
};

static struct files files; /* made once for the group; the configuration callbacks read it */

static X509 *make_certificate(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    (void)X509_set_version(cert, X509_VERSION_3);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), (long)strlen(name) + 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    (void)X509_set_pubkey(cert, key);
    (void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    (void)X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : subject);
    X509V3_set_ctx(&ctx, issuer ? issuer : cert, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_basic_constraints, issuer ? "CA:FALSE" : "critical,CA:TRUE");
    (void)X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(cert, issuer_key ? issuer_key : key, EVP_sha256()) > 0);
    return cert;
}

static void save(const char *path, X509 *cert, EVP_PKEY *key)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(cert ? PEM_write_X509(f, cert) : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
}

static int make_files(void **state)
{
    static const char *const names[] = {"ca", "server", "client", "stranger"};
    char *paths[][2] = {{files.ca, files.ca_key},
                        {files.server, files.server_key},
                        {files.client, files.client_key},
                        {files.stranger, files.stranger_key}};
    EVP_PKEY *keys[4];
    X509 *certs[4];
    (void)state;

    (void)snprintf(files.folder, sizeof(files.folder), "%s", "/tmp/fragua-test-tls-XXXXXX");
    if (!mkdtemp(files.folder))
        return -1;
    for (size_t i = 0; i < 4; i++) {
        bool own = i == 0 || i == 3;

        keys[i] = EVP_EC_gen("P-256");
        certs[i] = make_certificate(names[i], keys[i], own ? NULL : certs[0], own ? NULL : keys[0]);
        (void)snprintf(paths[i][0], 96, "%s/%s.pem", files.folder, names[i]);
        (void)snprintf(paths[i][1], 96, "%s/%s.key", files.folder, names[i]);
        save(paths[i][0], certs[i], NULL);
        save(paths[i][1], NULL, keys[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        X509_free(certs[i]);
        EVP_PKEY_free(keys[i]);
    }
    return 0;
}

static int remove_files(void **state)
{
    const char *paths[] = {files.ca,     files.ca_key,     files.server,   files.server_key,
                           files.client, files.client_key, files.stranger, files.stranger_key};
    (void)state;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        (void)unlink(paths[i]);
    return rmdir(files.folder);
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

struct caller {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static void caller_open(struct caller *c, struct bed *bed, const char *certificate, const char *key, int version)
{
    c->ctx = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_load_verify_locations(c->ctx, files.ca, NULL), 1);
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
    if (version)
        (void)SSL_CTX_set_max_proto_version(c->ctx, version);
    if (version && version < TLS1_2_VERSION)
        SSL_CTX_set_security_level(c->ctx, 0); /* else this side would refuse first */
    if (certificate) {
        assert_int_equal(SSL_CTX_use_certificate_file(c->ctx, certificate, SSL_FILETYPE_PEM), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(c->ctx, key, SSL_FILETYPE_PEM), 1);
    }
    c->ssl = SSL_new(c->ctx);
    c->fd = bed_connect(bed);
    (void)SSL_set_fd(c->ssl, c->fd);
    SSL_set_connect_state(c->ssl);
}

static void caller_close(struct caller *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    (void)close(c->fd);
    ERR_clear_error();
}

/* Runs one OpenSSL call again until it is through; 1: done, 0: failed. */
static int again(struct caller *c, struct bed *bed, int r)
{
    int e = SSL_get_error(c->ssl, r);

    if (r > 0)
        return 1;
    if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
        return 0;
    bed_turn(bed, c->fd);
    return -1;
}

static bool caller_handshake(struct caller *c, struct bed *bed)
{
    int r = -1;

    for (int i = 0; i < 1000 && r < 0; i++)
        r = again(c, bed, SSL_do_handshake(c->ssl));
    return r == 1;
}

/* Sends, then reads until the server closes or the text shows up; the status of the answer, 0: none. */
static int caller_ask(struct caller *c, struct bed *bed, const char *text, const char *until)
{
    char part[16384];
    int r = -1;

    fg_buf_clear(&bed->in);
    for (int i = 0; i < 1000 && r < 0; i++)
        r = again(c, bed, SSL_write(c->ssl, text, (int)strlen(text)));
    for (int i = 0; i < 4000 && r != 0 && !(until && bed_has(bed, until)); i++) {
        int n = SSL_read(c->ssl, part, sizeof(part));

        if (n > 0)
            fg_buf_add(&bed->in, part, (size_t)n);
        r = again(c, bed, n);
    }
    return bed_status(bed);
}

static void requests_are_served_over_tls_1_3_and_1_2(void **state)
{
    struct bed bed;
    struct caller c;
    (void)state;

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
    (void)state;

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

static int ask_as(struct bed *bed, const char *certificate, const char *key, const char *text)
{
    struct caller c;
    int status = 0;

    caller_open(&c, bed, certificate, key, 0);
    if (caller_handshake(&c, bed))
        status = caller_ask(&c, bed, text, NULL);
    caller_close(&c);
    return status;
}

static void a_client_certificate_is_asked_for_and_opens_every_route(void **state)
{
    struct bed bed;
    (void)state;

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
    (void)state;

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
    (void)state;

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
    (void)state;

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
    (void)state;

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
    (void)state;

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
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
