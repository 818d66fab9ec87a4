/* SPDX-License-Identifier: Apache-2.0 */
/* TLS of the server: OpenSSL between two memory BIOs, so that the socket stays libuv's. TLS 1.2 and 1.3. */
#include <openssl/err.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/pem.h"
#include "net/server-private.h"

/* TLS 1.2: forward secrecy and AEAD only. 1.3 has nothing weaker. */
#define CIPHERS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"

struct fg_server_tls {
    SSL_CTX *ctx;
    uint8_t digest[FG_SHA256_SIZE]; /* of all certificates in it: what is the same looks the same */
};

static int raise_ssl(struct fg_error *err, const char *what, const char *path)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(e);

    ERR_clear_error();
    return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "cannot use the %s \"%s\": %s", what, path,
                                 reason ? reason : "not readable"));
}

/* Without it OpenSSL would ask for the passphrase on the terminal, and wait. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                           unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";

    (void)ssl;
    (void)arg;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours, sizeof(ours) - 1, in, in_len) ==
                   OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int load_ca_file(void *arg, const char *path, struct fg_error *err)
{
    SSL_CTX *ctx = arg;
    STACK_OF(X509_NAME) * names;
    int n;

    if (access(path, R_OK) < 0) /* OpenSSL would only say that it did not work */
        return fg_raise(
            fg_error_set(err, FG_E_CONFIG, 0, "cannot use the client CA \"%s\": %s", path, fg_errno_text(errno)));
    if (SSL_CTX_load_verify_locations(ctx, path, NULL) != 1)
        return raise_ssl(err, "client CA", path);
    names = SSL_load_client_CA_file(path);
    if (!names)
        return raise_ssl(err, "client CA", path);
    n = sk_X509_NAME_num(names);
    for (int i = 0; i < n; i++) {
        X509_NAME *copy = X509_NAME_dup(sk_X509_NAME_value(names, i));
        STACK_OF(X509_NAME) *sent = SSL_CTX_get_client_CA_list(ctx);

        if (!sent && (sent = sk_X509_NAME_new_null()))
            SSL_CTX_set_client_CA_list(ctx, sent);
        if (!copy || !sent || sk_X509_NAME_push(sent, copy) <= 0)
            X509_NAME_free(copy);
    }
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    return 0;
}

static int load_client_ca(SSL_CTX *ctx, const char *path, struct fg_error *err)
{
    int r = fg_pem_each("client CA", path, load_ca_file, ctx, err);

    if (r < 0)
        return fg_pass(r);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

static int load_own(SSL_CTX *ctx, const struct fg_http_server_config *config, struct fg_error *err)
{
    if (!config->tls_key)
        return fg_raise(
            fg_error_set(err, FG_E_CONFIG, 0, "the certificate \"%s\" needs a key beside it", config->tls_certificate));
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(ctx, config->tls_certificate) != 1)
        return raise_ssl(err, "certificate", config->tls_certificate);
    if (SSL_CTX_use_PrivateKey_file(ctx, config->tls_key, SSL_FILETYPE_PEM) != 1)
        return raise_ssl(err, "key", config->tls_key);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return raise_ssl(err, "key", config->tls_key);
    return 0;
}

/* Adds up: a folder has no order. A key needs no part in it, as it fits its certificate. */
static bool add_certificate(struct fg_server_tls *tls, char part, X509 *certificate)
{
    uint8_t digest[FG_SHA256_SIZE];
    unsigned char *der = NULL;
    int n = i2d_X509(certificate, &der);

    if (n <= 0)
        return false;
    fg_sha256(fg_slice_make((const char *)der, (size_t)n), digest);
    OPENSSL_free(der);
    for (size_t i = 0; i < sizeof(digest); i++)
        tls->digest[i] = (uint8_t)(tls->digest[i] + part * digest[i]);
    return true;
}

static int make_digest(struct fg_server_tls *tls, struct fg_error *err)
{
    STACK_OF(X509_OBJECT) *trusted = X509_STORE_get0_objects(SSL_CTX_get_cert_store(tls->ctx));
    STACK_OF(X509) *chain = NULL;
    bool good = add_certificate(tls, 1, SSL_CTX_get0_certificate(tls->ctx));

    (void)SSL_CTX_get0_chain_certs(tls->ctx, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++)
        good = good && add_certificate(tls, 3, sk_X509_value(chain, i));
    for (int i = 0; i < sk_X509_OBJECT_num(trusted); i++) {
        X509 *certificate = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i));

        good = good && (!certificate || add_certificate(tls, 5, certificate));
    }
    return good ? 0 : fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "cannot set up TLS: no memory"));
}

bool fg_server_tls_same(const struct fg_server_tls *a, const struct fg_server_tls *b)
{
    return a && b ? memcmp(a->digest, b->digest, sizeof(a->digest)) == 0 : a == b;
}

int fg_server_tls_new(const struct fg_http_server_config *config, struct fg_server_tls **ret, struct fg_error *err)
{
    struct fg_server_tls *tls = calloc(1, sizeof(*tls));
    int r;

    ERR_clear_error();
    if (tls)
        tls->ctx = SSL_CTX_new(TLS_server_method());
    if (!tls || !tls->ctx || SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(tls->ctx, CIPHERS_1_2) != 1) {
        fg_server_tls_free(tls);
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "cannot set up TLS"));
    }
    SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(tls->ctx, choose_protocol, NULL);
    /* resumed sessions of clients with certificates are refused without it */
    (void)SSL_CTX_set_session_id_context(tls->ctx, (const unsigned char *)"fragua", 6);
    r = load_own(tls->ctx, config, err);
    if (r == 0 && config->tls_client_ca)
        r = load_client_ca(tls->ctx, config->tls_client_ca, err);
    if (r == 0)
        r = make_digest(tls, err);
    if (r < 0) {
        fg_server_tls_free(tls);
        return fg_pass(r);
    }
    *ret = tls;
    return 0;
}

struct fg_server_tls *fg_server_tls_free(struct fg_server_tls *tls)
{
    if (!tls)
        return NULL;
    SSL_CTX_free(tls->ctx);
    free(tls);
    return NULL;
}

/* By the server's present CA, also where the handshake was made under another one. */
bool fg_server_tls_certified(const struct fg_connection *conn)
{
    const struct fg_http_server *server = conn->server;
    X509 *peer = conn->ssl && server->client_certificates ? SSL_get0_peer_certificate(conn->ssl) : NULL;
    X509_STORE_CTX *ctx;
    bool good;

    if (!peer)
        return false;
    if (SSL_get_SSL_CTX(conn->ssl) == server->tls->ctx)
        return SSL_get_verify_result(conn->ssl) == X509_V_OK;
    ctx = X509_STORE_CTX_new();
    good = ctx &&
           X509_STORE_CTX_init(ctx, SSL_CTX_get_cert_store(server->tls->ctx), peer,
                               SSL_get_peer_cert_chain(conn->ssl)) == 1 &&
           X509_STORE_CTX_set_default(ctx, "ssl_client") == 1;
    if (good) {
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(ctx),
                                         SSL_CTX_get_security_level(server->tls->ctx));
        good = X509_verify_cert(ctx) == 1;
    }
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

SSL *fg_server_tls_session(struct fg_server_tls *tls)
{
    SSL *ssl = SSL_new(tls->ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    if (!ssl || !in || !out) {
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        return NULL;
    }
    SSL_set_bio(ssl, in, out);
    SSL_set_accept_state(ssl);
    return ssl;
}

/* false: the connection is being closed, or there is nothing to read yet. */
static bool handshake(struct fg_connection *conn)
{
    int r = SSL_do_handshake(conn->ssl);
    int e = SSL_get_error(conn->ssl, r);

    fg_wire_flush_tls(conn); /* also the alert that says why not */
    if (conn->phase == FG_PHASE_CLOSING)
        return false;
    if (r == 1) {
        fg_connection_ready(conn);
        return true;
    }
    if (e != SSL_ERROR_WANT_READ)
        fg_connection_cut(conn);
    return false;
}

static void read_all(struct fg_connection *conn)
{
    char *buf = conn->server->plain_buffer;

    while (conn->phase != FG_PHASE_CLOSING && conn->phase != FG_PHASE_LINGER) {
        int n = SSL_read(conn->ssl, buf, (int)sizeof(conn->server->plain_buffer));
        int e;

        if (n > 0) {
            fg_connection_input(conn, fg_slice_make(buf, (size_t)n));
            ERR_clear_error();
            continue;
        }
        e = SSL_get_error(conn->ssl, n);
        fg_wire_flush_tls(conn);
        if (e == SSL_ERROR_ZERO_RETURN)
            fg_connection_ended(conn);
        else if (e != SSL_ERROR_WANT_READ)
            fg_connection_cut(conn);
        return;
    }
}

void fg_server_tls_input(struct fg_connection *conn, struct fg_slice bytes)
{
    ERR_clear_error();
    if (BIO_write(SSL_get_rbio(conn->ssl), bytes.ptr, (int)bytes.len) != (int)bytes.len) {
        fg_connection_cut(conn);
        return;
    }
    if (conn->phase == FG_PHASE_HANDSHAKE && !handshake(conn))
        return;
    read_all(conn);
}
