/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and a client for the tests of the server behind TLS. */
#include "net/test-server-tls-bed.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#define N 5

struct files files;

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

static void append(const char *path, X509 *cert)
{
    FILE *f = fopen(path, "a");

    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, cert), 1);
    assert_int_equal(fclose(f), 0);
}

int make_files(void **state)
{
    static const char *const names[] = {"ca", "server", "second", "client", "stranger"};
    char *paths[N][2] = {{files.ca, files.ca_key},
                         {files.server, files.server_key},
                         {files.second, files.second_key},
                         {files.client, files.client_key},
                         {files.stranger, files.stranger_key}};
    EVP_PKEY *keys[N];
    X509 *certs[N];

    (void)snprintf(files.folder, sizeof(files.folder), "%s", "/tmp/fragua-test-tls-XXXXXX");
    if (!mkdtemp(files.folder))
        return -1;
    for (size_t i = 0; i < N; i++) {
        bool own = i == 0 || i == N - 1;

        keys[i] = EVP_EC_gen("P-256");
        certs[i] = make_certificate(names[i], keys[i], own ? NULL : certs[0], own ? NULL : keys[0]);
        (void)snprintf(paths[i][0], 96, "%s/%s.pem", files.folder, names[i]);
        (void)snprintf(paths[i][1], 96, "%s/%s.key", files.folder, names[i]);
        save(paths[i][0], certs[i], NULL);
        save(paths[i][1], NULL, keys[i]);
    }
    (void)snprintf(files.both, sizeof(files.both), "%s/both.txt", files.folder);
    save(files.both, certs[0], NULL);
    append(files.both, certs[N - 1]);
    for (size_t i = 0; i < N; i++) {
        X509_free(certs[i]);
        EVP_PKEY_free(keys[i]);
    }
    return 0;
}

int remove_files(void **state)
{
    const char *paths[] = {files.ca,       files.ca_key,       files.server, files.server_key,
                           files.second,   files.second_key,   files.client, files.client_key,
                           files.stranger, files.stranger_key, files.both};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        (void)unlink(paths[i]);
    return rmdir(files.folder);
}

void caller_open(struct caller *c, struct bed *bed, const char *certificate, const char *key, int version)
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

void caller_close(struct caller *c)
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

bool caller_handshake(struct caller *c, struct bed *bed)
{
    int r = -1;

    for (int i = 0; i < 1000 && r < 0; i++)
        r = again(c, bed, SSL_do_handshake(c->ssl));
    return r == 1;
}

int caller_ask(struct caller *c, struct bed *bed, const char *text, const char *until)
{
    char part[16384];
    int r = -1;

    fg_buf_clear(&bed->in);
    for (int i = 0; i < 1000 && r < 0 && *text; i++)
        r = again(c, bed, SSL_write(c->ssl, text, (int)strlen(text)));
    for (int i = 0; i < 4000 && r != 0 && !(until && bed_has(bed, until)); i++) {
        int n = SSL_read(c->ssl, part, sizeof(part));

        if (n > 0)
            fg_buf_add(&bed->in, part, (size_t)n);
        r = again(c, bed, n);
    }
    return bed_status(bed);
}

int ask_as(struct bed *bed, const char *certificate, const char *key, const char *text)
{
    struct caller c;
    int status = 0;

    caller_open(&c, bed, certificate, key, 0);
    if (caller_handshake(&c, bed))
        status = caller_ask(&c, bed, text, NULL);
    caller_close(&c);
    return status;
}

const char *caller_saw(const struct caller *c, char ret[32])
{
    X509 *certificate = SSL_get0_peer_certificate(c->ssl);

    ret[0] = '\0';
    if (certificate)
        (void)X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, ret, 32);
    return ret;
}
