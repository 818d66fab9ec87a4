/* SPDX-License-Identifier: Apache-2.0 */
/* TLS of the HTTP client, against a server of OpenSSL's on a thread, with certificate authorities made here. */
#include <netinet/in.h>
#include <poll.h>
#include <sys/stat.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/assert.h"
#include "net/test-client-bed.h"

struct party {
    X509 *certificate;
    EVP_PKEY *key;
};

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    fg_assert(extension);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
}

/* A certificate signed by @ca, or by itself where there is none. */
static struct party make_party(const char *name, const struct party *ca)
{
    struct party p = { X509_new(), EVP_EC_gen("P-256") };
    X509_NAME *subject = X509_get_subject_name(p.certificate);

    fg_assert(p.key);
    X509_set_version(p.certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(p.certificate), ca ? 2 : 1);
    X509_gmtime_adj(X509_getm_notBefore(p.certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(p.certificate), 3600);
    X509_set_pubkey(p.certificate, p.key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(p.certificate, ca ? X509_get_subject_name(ca->certificate) : subject);
    add_extension(p.certificate, ca ? ca->certificate : p.certificate, NID_basic_constraints,
                  ca ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (ca)
        add_extension(p.certificate, ca->certificate, NID_subject_alt_name, "IP:127.0.0.1");
    fg_assert(X509_sign(p.certificate, ca ? ca->key : p.key, EVP_sha256()) > 0);
    return p;
}

static void free_party(struct party *p)
{
    X509_free(p->certificate);
    EVP_PKEY_free(p->key);
}

static void write_party(const struct party *p, const char *certificate_path, const char *key_path)
{
    FILE *file = fopen(certificate_path, "w");

    fg_assert(file && PEM_write_X509(file, p->certificate) == 1);
    fclose(file);
    if (!key_path)
        return;
    file = fopen(key_path, "w");
    fg_assert(file && PEM_write_PrivateKey(file, p->key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(file);
}

/*
 * Serves until its listening socket is shut down, one connection after the other, each until the client ends it or the
 * next one comes.
 */
struct tls_peer {
    SSL_CTX *ctx;
    int listener, port;
    uv_thread_t thread;
    int n_handshakes;   /* read after the thread has ended, */
    char shown[8][32];  /* and the names of the client's certificates, for each handshake */
};

static void note_client(struct tls_peer *peer, SSL *ssl)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);

    if (certificate && peer->n_handshakes < 8)
        (void)X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                        peer->shown[peer->n_handshakes], sizeof(peer->shown[0]));
    peer->n_handshakes++;
}

/* Bytes of this client, or its end; false: another one wants to be served, and this one says nothing. */
static bool has_more(const struct tls_peer *peer, SSL *ssl)
{
    struct pollfd fds[2] = { { SSL_get_fd(ssl), POLLIN, 0 }, { peer->listener, POLLIN, 0 } };

    if (SSL_pending(ssl) > 0)
        return true;
    (void)poll(fds, 2, -1);
    return fds[0].revents != 0;
}

static void serve_one(struct tls_peer *peer, int fd)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    SSL *ssl = SSL_new(peer->ctx);
    char in[8192];

    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        note_client(peer, ssl);
        while (has_more(peer, ssl) && SSL_read(ssl, in, sizeof(in)) > 0) /* the client's head fits one record */
            if (SSL_write(ssl, answer, sizeof(answer) - 1) <= 0)
                break;
    }
    SSL_free(ssl);
    close(fd);
}

static void serve(void *arg)
{
    struct tls_peer *peer = arg;
    int fd;

    while ((fd = accept(peer->listener, NULL, NULL)) >= 0)
        serve_one(peer, fd);
}

/* @client_ca: clients must show a certificate of it; NULL: none asked. */
static void tls_peer_start(struct tls_peer *peer, const struct party *server, const struct party *client_ca)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);

    memset(peer, 0, sizeof(*peer));
    peer->ctx = SSL_CTX_new(TLS_server_method());
    fg_assert(SSL_CTX_use_certificate(peer->ctx, server->certificate) == 1);
    fg_assert(SSL_CTX_use_PrivateKey(peer->ctx, server->key) == 1);
    if (client_ca) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(peer->ctx), client_ca->certificate);
        SSL_CTX_set_verify(peer->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        (void)SSL_CTX_set_session_id_context(peer->ctx, (const unsigned char *)"peer", 4);
    }
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fg_assert(bind(peer->listener, (struct sockaddr *)&address, size) == 0);
    fg_assert(listen(peer->listener, 16) == 0);
    fg_assert(getsockname(peer->listener, (struct sockaddr *)&address, &size) == 0);
    peer->port = ntohs(address.sin_port);
    fg_assert(uv_thread_create(&peer->thread, serve, peer) == 0);
}

/* The client must have closed its connections before. */
static void tls_peer_stop(struct tls_peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    uv_thread_join(&peer->thread);
    close(peer->listener);
    SSL_CTX_free(peer->ctx);
}

/* A folder with two authorities, a server's certificate of the first and a client's of the second. */
struct files {
    char folder[64];
    struct party ca, client_ca, server, client;
};

static const char *in_folder(const struct files *f, const char *name, char ret[128])
{
    (void)snprintf(ret, 128, "%s/%s", f->folder, name);
    return ret;
}

static void files_make(struct files *f)
{
    char a[128], b[128];

    (void)snprintf(f->folder, sizeof(f->folder), "%s", "/tmp/fragua-tls-XXXXXX");
    fg_assert(mkdtemp(f->folder));
    f->ca = make_party("test authority", NULL);
    f->client_ca = make_party("other authority", NULL);
    f->server = make_party("server", &f->ca);
    f->client = make_party("client", &f->client_ca);
    write_party(&f->ca, in_folder(f, "ca.pem", a), NULL);
    write_party(&f->client_ca, in_folder(f, "wrong.pem", a), NULL);
    write_party(&f->client, in_folder(f, "client.pem", a), in_folder(f, "client.key", b));
    fg_assert(mkdir(in_folder(f, "trusted", a), 0700) == 0);
    write_party(&f->client_ca, in_folder(f, "trusted/a.pem", a), NULL);
    write_party(&f->ca, in_folder(f, "trusted/b.crt", a), NULL);
    fg_assert(mkdir(in_folder(f, "empty", a), 0700) == 0);
}

static void files_remove(struct files *f)
{
    static const char *const names[] = { "ca.pem", "wrong.pem", "client.pem", "client.key", "trusted/a.pem",
                                         "trusted/b.crt", "trusted", "empty" };
    char path[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)remove(in_folder(f, names[i], path));
    (void)remove(f->folder);
    free_party(&f->ca);
    free_party(&f->client_ca);
    free_party(&f->server);
    free_party(&f->client);
}

/* A client and a server that speak TLS, and the files for it. */
struct scene {
    struct files files;
    struct bed bed;
    struct tls_peer peer;
    struct fg_tls tls; /* of the client */
    char ca[128], certificate[128], key[128];
};

/* @ca: whom the client trusts. @asks: the server wants a certificate. */
static void scene_start(struct scene *s, const char *ca, bool asks)
{
    *s = (struct scene){ 0 };
    files_make(&s->files);
    bed_start(&s->bed, 0, 0);
    tls_peer_start(&s->peer, &s->files.server, asks ? &s->files.client_ca : NULL);
    s->tls.ca = in_folder(&s->files, ca, s->ca);
}

/* From now on the client has a certificate. */
static void scene_show(struct scene *s)
{
    s->tls.certificate = in_folder(&s->files, "client.pem", s->certificate);
    s->tls.key = in_folder(&s->files, "client.key", s->key);
}

/* What the peer has seen stays. */
static void scene_end(struct scene *s)
{
    bed_stop(&s->bed);
    tls_peer_stop(&s->peer);
    files_remove(&s->files);
}

static struct seen get_tls(struct scene *s, const struct fg_tls *tls)
{
    struct seen seen = { 0 };
    struct fg_http_request req = request_to(NULL);
    struct fg_error err = FG_ERROR_NULL;
    char url[64];

    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%d/ok", s->peer.port);
    req.url = url;
    req.tls = tls;
    if (!fg_http_client_send(s->bed.client, &req, FG_SLICE_NULL, seen_done, &seen, &err))
        fail_msg("%s", err.text);
    bed_wait(&s->bed, &seen.calls, 1);
    return seen;
}

static void a_server_is_trusted_by_a_file_or_a_folder_of_authorities(void **state)
{
    struct scene s;

    for (int i = 0; i < 2; i++) {
        scene_start(&s, i ? "trusted" : "ca.pem", false);
        for (int k = 0; k < 5; k++) {
            struct seen seen = get_tls(&s, &s.tls);
            if (seen.status != 200)
                fail_msg("%s", seen.err.text);
            assert_string_equal(seen.body, "hello");
        }
        scene_end(&s);
        assert_int_equal(s.peer.n_handshakes, 1);
    }
}

static void a_server_of_an_unknown_authority_is_refused(void **state)
{
    struct scene s;
    struct seen seen;

    scene_start(&s, "wrong.pem", false);
    seen = get_tls(&s, &s.tls);
    assert_int_equal(seen.err.code, FG_E_AUTH);
    assert_non_null(strstr(seen.err.text, "not trusted"));
    seen = get_tls(&s, NULL); /* the system's roots do not know it either */
    assert_int_equal(seen.err.code, FG_E_AUTH);
    scene_end(&s);
}

static void a_client_certificate_is_shown(void **state)
{
    struct scene s;
    struct seen seen;

    scene_start(&s, "ca.pem", true);
    seen = get_tls(&s, &s.tls);
    assert_int_equal(seen.status, 0);
    assert_true(seen.err.retriable);
    scene_show(&s);
    seen = get_tls(&s, &s.tls);
    if (seen.status != 200)
        fail_msg("%s", seen.err.text);
    scene_end(&s);
    assert_int_equal(s.peer.n_handshakes, 1);
}

static void a_connection_is_not_shared_by_requests_that_trust_others(void **state)
{
    struct scene s;

    scene_start(&s, "ca.pem", false);
    assert_int_equal(get_tls(&s, &s.tls).status, 200);
    /* the kept connection would answer */
    s.tls.ca = in_folder(&s.files, "wrong.pem", s.ca);
    assert_int_equal(get_tls(&s, &s.tls).err.code, FG_E_AUTH);
    scene_end(&s);
}

static void a_certificate_renewed_in_place_is_shown_by_the_next_request(void **state)
{
    struct scene s;
    struct party renewed;

    scene_start(&s, "ca.pem", true);
    scene_show(&s);
    assert_int_equal(get_tls(&s, &s.tls).status, 200);
    renewed = make_party("renewed client", &s.files.client_ca);
    write_party(&renewed, s.certificate, s.key);
    assert_int_equal(get_tls(&s, &s.tls).status, 200); /* within the second: on the connection it has */
    fg_http_client_refresh(s.bed.client);
    assert_int_equal(get_tls(&s, &s.tls).status, 200);
    fg_http_client_refresh(s.bed.client); /* nothing has changed: the connection stays */
    assert_int_equal(get_tls(&s, &s.tls).status, 200);
    free_party(&renewed);
    scene_end(&s);
    assert_int_equal(s.peer.n_handshakes, 2);
    assert_string_equal(s.peer.shown[0], "client");
    assert_string_equal(s.peer.shown[1], "renewed client");
}

static void files_that_are_being_renewed_stop_nobody(void **state)
{
    struct scene s;
    struct party renewed;
    struct fg_error err = FG_ERROR_NULL;
    struct seen seen = { 0 };
    struct fg_http_request req = request_to("https://127.0.0.1:1/");

    scene_start(&s, "ca.pem", true);
    scene_show(&s);
    assert_int_equal(get_tls(&s, &s.tls).status, 200);
    renewed = make_party("renewed client", &s.files.client_ca);
    write_party(&renewed, s.certificate, NULL); /* its key is still the old one */
    fg_http_client_refresh(s.bed.client);
    assert_int_equal(get_tls(&s, &s.tls).status, 200);
    assert_int_equal(truncate(s.certificate, 100), 0);
    fg_http_client_refresh(s.bed.client);
    assert_int_equal(get_tls(&s, &s.tls).status, 200);
    assert_int_equal(truncate(s.ca, 100), 0);
    fg_http_client_refresh(s.bed.client);
    assert_int_equal(get_tls(&s, &s.tls).status, 200);
    assert_int_equal(unlink(s.ca), 0);
    fg_http_client_refresh(s.bed.client);
    assert_int_equal(get_tls(&s, &s.tls).status, 200);
    write_party(&s.files.ca, s.ca, NULL);

    /* but not for ever */
    fg_http_client_refresh(s.bed.client);
    fg_container_of(s.bed.client->tls_sets.next, struct client_tls, link)->good_ms -= TLS_GRACE_MS + 1;
    req.tls = &s.tls;
    assert_null(fg_http_client_send(s.bed.client, &req, FG_SLICE_NULL, seen_done, &seen, &err));
    assert_int_equal(err.code, FG_E_CONFIG);
    assert_non_null(strstr(err.text, "client.pem"));
    write_party(&renewed, s.certificate, s.key);
    assert_int_equal(get_tls(&s, &s.tls).status, 200);
    free_party(&renewed);
    scene_end(&s);
    assert_int_equal(s.peer.n_handshakes, 2);
    assert_string_equal(s.peer.shown[0], "client");
    assert_string_equal(s.peer.shown[1], "renewed client");
}

static void files_that_cannot_be_used_are_named(void **state)
{
    struct files f;
    struct bed bed;
    char a[128], b[128];
    struct fg_http_request req = request_to("https://127.0.0.1:1/");
    struct fg_tls tls = { 0 };
    struct seen seen = { 0 };
    struct fg_error err = FG_ERROR_NULL;

    files_make(&f);
    bed_start(&bed, 0, 0);
    req.tls = &tls;
    tls.ca = in_folder(&f, "absent.pem", a);
    assert_null(fg_http_client_send(bed.client, &req, FG_SLICE_NULL, seen_done, &seen, &err));
    assert_non_null(strstr(err.text, "absent.pem"));
    tls.ca = in_folder(&f, "empty", a);
    assert_null(fg_http_client_send(bed.client, &req, FG_SLICE_NULL, seen_done, &seen, &err));
    assert_non_null(strstr(err.text, "/empty\""));
    tls.ca = in_folder(&f, "ca.pem", a);
    tls.certificate = in_folder(&f, "client.pem", b);
    assert_null(fg_http_client_send(bed.client, &req, FG_SLICE_NULL, seen_done, &seen, &err));
    assert_non_null(strstr(err.text, "client.pem"));
    assert_int_equal(err.code, FG_E_CONFIG);
    tls.key = in_folder(&f, "wrong.pem", a);
    assert_null(fg_http_client_send(bed.client, &req, FG_SLICE_NULL, seen_done, &seen, &err));
    assert_non_null(strstr(err.text, "wrong.pem"));
    bed_stop(&bed);
    files_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_is_trusted_by_a_file_or_a_folder_of_authorities),
        cmocka_unit_test(a_server_of_an_unknown_authority_is_refused),
        cmocka_unit_test(a_client_certificate_is_shown),
        cmocka_unit_test(a_connection_is_not_shared_by_requests_that_trust_others),
        cmocka_unit_test(a_certificate_renewed_in_place_is_shown_by_the_next_request),
        cmocka_unit_test(files_that_are_being_renewed_stop_nobody),
        cmocka_unit_test(files_that_cannot_be_used_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
