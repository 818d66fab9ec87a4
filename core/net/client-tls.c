/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and keys of requests, read from files and kept for a second, so that a renewed file is taken up without
 * a restart and a busy client does not read files all day. curl opens a new connection when their bytes changed; the
 * old one is not used again, and closes when it is 10 minutes old or its place is needed.
 *
 * Who renews a certificate writes one file after the other. What is read between is no reason to stop: the last
 * contents that were good serve for up to a minute more.
 */
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/pem.h"
#include "net/client-private.h"

static void tls_free(struct client_tls *tls)
{
    if (tls->key_pem.data)
        OPENSSL_cleanse(tls->key_pem.data, tls->key_pem.cap);
    fg_buf_deinit(&tls->ca_pem);
    fg_buf_deinit(&tls->certificate_pem);
    fg_buf_deinit(&tls->key_pem);
    free(tls->ca);
    free(tls->certificate);
    free(tls->key);
    free(tls);
}

void client_tls_unref(struct client_tls *tls)
{
    if (tls && --tls->refs == 0 && tls->stale)
        tls_free(tls);
}

/* Out of the list; freed now or with its last call. */
static void retire(struct client_tls *tls)
{
    fg_list_remove(&tls->link);
    tls->stale = true;
    if (tls->refs == 0)
        tls_free(tls);
}

void client_tls_drop_all(struct fg_http_client *client)
{
    while (!fg_list_empty(&client->tls_sets))
        /* freed sets have left the list, unseen by the analyzer: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        retire(fg_container_of(client->tls_sets.next, struct client_tls, link));
}

static int add_ca(void *arg, const char *path, struct fg_error *err)
{
    struct fg_buf *out = arg;
    int r;

    if (out->len)
        fg_buf_add_char(out, '\n'); /* each file begins on a line of its own */
    r = fg_read_file(path, TLS_FILE_BYTES_MAX, out, err);
    if (r == 0 && out->failed)
        r = fg_raise(fg_error_set(err, FG_E_LIMIT, 0, "the trusted certificates are more than %d bytes with \"%s\"",
                                  TLS_CA_BYTES_MAX, path));
    return r;
}

static int read_all(struct client_tls *tls, struct fg_error *err)
{
    int r = 0;

    tls->ca_pem = FG_BUF_INIT(TLS_CA_BYTES_MAX);
    tls->certificate_pem = FG_BUF_INIT(TLS_FILE_BYTES_MAX);
    tls->key_pem = FG_BUF_INIT(TLS_FILE_BYTES_MAX);
    if (tls->ca)
        r = fg_pem_each("trusted certificates", tls->ca, add_ca, &tls->ca_pem, err);
    if (r == 0 && tls->certificate)
        r = fg_read_file(tls->certificate, TLS_FILE_BYTES_MAX, &tls->certificate_pem, err);
    if (r == 0 && tls->key)
        r = fg_read_file(tls->key, TLS_FILE_BYTES_MAX, &tls->key_pem, err);
    if (r == 0 && tls->ca && tls->ca_pem.len == 0) /* empty would mean the system's roots */
        r = fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "the file of trusted certificates \"%s\" is empty", tls->ca));
    return r;
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static char *copy(const char *text)
{
    return text ? fg_strdup_slice(fg_slice_of(text)) : NULL;
}

static struct client_tls *find(struct fg_http_client *client, const struct fg_tls *tls)
{
    struct fg_list *it, *tmp;

    fg_list_for_each_safe(it, tmp, &client->tls_sets) {
        struct client_tls *set = fg_container_of(it, struct client_tls, link);
        if (same(set->ca, tls->ca) && same(set->certificate, tls->certificate) && same(set->key, tls->key))
            return set;
    }
    return NULL;
}

/* Makes room for one more: the first is the one that has stayed the same for longest. */
static void make_room(struct fg_http_client *client)
{
    struct fg_list *it, *tmp;
    size_t n = 0;

    /* freed sets have left the list, unseen by the analyzer: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    fg_list_for_each_safe(it, tmp, &client->tls_sets)
        n++;
    if (n >= TLS_SETS_MAX)
        retire(fg_container_of(client->tls_sets.next, struct client_tls, link));
}

static struct client_tls *tls_new(const struct fg_tls *tls)
{
    struct client_tls *set = fg_calloc(1, sizeof(*set));

    set->ca = copy(tls->ca);
    set->certificate = copy(tls->certificate);
    set->key = copy(tls->key);
    return set;
}

static bool same_bytes(const struct fg_buf *a, const struct fg_buf *b)
{
    return fg_slice_eq(fg_buf_slice(a), fg_buf_slice(b));
}

static bool same_contents(const struct client_tls *a, const struct client_tls *b)
{
    return same_bytes(&a->ca_pem, &b->ca_pem) && same_bytes(&a->certificate_pem, &b->certificate_pem) &&
           same_bytes(&a->key_pem, &b->key_pem);
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

static BIO *open_pem(const struct fg_buf *pem)
{
    return BIO_new_mem_buf(pem->data, (int)pem->len); /* files are short: TLS_CA_BYTES_MAX */
}

static bool is_pair(const struct client_tls *tls)
{
    BIO *certificate_pem = open_pem(&tls->certificate_pem), *key_pem = open_pem(&tls->key_pem);
    X509 *certificate = certificate_pem ? PEM_read_bio_X509_AUX(certificate_pem, NULL, no_passphrase, NULL) : NULL;
    EVP_PKEY *key = key_pem ? PEM_read_bio_PrivateKey(key_pem, NULL, no_passphrase, NULL) : NULL;
    bool good = certificate && key && X509_check_private_key(certificate, key) == 1;

    X509_free(certificate);
    EVP_PKEY_free(key);
    BIO_free(certificate_pem);
    BIO_free(key_pem);
    ERR_clear_error();
    return good;
}

static bool has_certificates(const struct fg_buf *ca_pem)
{
    BIO *pem = open_pem(ca_pem);
    STACK_OF(X509_INFO) *found = pem ? PEM_X509_INFO_read_bio(pem, NULL, no_passphrase, NULL) : NULL;
    bool good = sk_X509_INFO_num(found) > 0;

    sk_X509_INFO_pop_free(found, X509_INFO_free);
    BIO_free(pem);
    ERR_clear_error();
    return good;
}

/* As curl would judge them, but before a request is made of them. */
static int check(const struct client_tls *tls, struct fg_error *err)
{
    if (tls->ca && !has_certificates(&tls->ca_pem))
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "no certificates can be read from \"%s\"", tls->ca));
    if (tls->certificate && !is_pair(tls))
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "the client certificate \"%s\" and the key \"%s\" cannot be "
                                     "read or do not belong together", tls->certificate, tls->key));
    return 0;
}

/* Reads the files; @set: what they held before, NULL: not known. @ret: that one or a new one. */
static int look(struct fg_http_client *client, const struct fg_tls *tls, struct client_tls *set,
                struct client_tls **ret, struct fg_error *err)
{
    struct client_tls *now = tls_new(tls);
    uint64_t now_ms = client_now_ms();
    int r = read_all(now, err);

    if (r == 0 && set && same_contents(set, now)) {
        set->looked_ms = set->good_ms = now_ms;
        tls_free(now);
        *ret = set;
        return 0;
    }
    if (r == 0)
        r = check(now, err);
    if (r < 0) {
        tls_free(now);
        if (!set || now_ms - set->good_ms > TLS_GRACE_MS)
            return fg_pass(r);
        /* they are being renewed, one file after the other, and may be half written */
        set->looked_ms = now_ms;
        *ret = set;
        return 0;
    }
    if (set)
        retire(set);
    make_room(client);
    now->looked_ms = now->good_ms = now_ms;
    fg_list_append(&client->tls_sets, &now->link);
    *ret = now;
    return 0;
}

int client_tls_get(struct fg_http_client *client, const struct fg_tls *tls, struct client_tls **ret,
                   struct fg_error *err)
{
    struct client_tls *set = find(client, tls);
    int r;

    if (!tls->certificate != !tls->key)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "a client certificate needs its key and a key its "
                                     "certificate: only \"%s\" is given",
                                     tls->certificate ? tls->certificate : tls->key));
    if (!set || set->looked_ms == 0 || client_now_ms() - set->looked_ms >= TLS_FRESH_MS) {
        r = look(client, tls, set, &set, err);
        if (r < 0)
            return fg_pass(r);
    }
    set->refs++;
    *ret = set;
    return 0;
}

void fg_http_client_refresh(struct fg_http_client *client)
{
    for (struct fg_list *it = client->tls_sets.next; it != &client->tls_sets; it = it->next)
        fg_container_of(it, struct client_tls, link)->looked_ms = 0;
}
