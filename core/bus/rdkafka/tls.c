/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for librdkafka, read from files and folders into memory and checked once, when the bus is made: whatever
 * becomes of the files later, its handles have these. New ones need a new bus.
 */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/pem.h"
#include "base/str.h"
#include "bus/rdkafka/rdkafka-private.h"

/* From here on a chain in memory is sent to the broker whole; before, only the first certificate of it. */
#define CHAIN_IN_MEMORY_SINCE 0x020800ffu
#define BEGIN_CERTIFICATE     "-----BEGIN CERTIFICATE-----"

static void cleanse(struct fg_buf *buf)
{
    if (buf->data)
        OPENSSL_cleanse(buf->data, buf->len);
    fg_buf_deinit(buf);
}

static size_t count(const char *text, const char *word)
{
    size_t n = 0;

    while (text && (text = strstr(text, word))) {
        n++;
        text += strlen(word);
    }
    return n;
}

/* ---- what OpenSSL says of them ---- */

struct secret_words {
    const char *password; /* NULL: none */
};

/* By itself OpenSSL would ask at the terminal. */
static int give_password(char *buf, int size, int writing, void *arg)
{
    const char *password = ((const struct secret_words *)arg)->password;
    size_t len = password ? strlen(password) : 0;

    (void)writing;
    if (!password || len >= (size_t)size)
        return -1;
    memcpy(buf, password, len + 1);
    return (int)len;
}

static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    return reason ? reason : "not in the right form";
}

/* All certificates of a text that is known to have some. @ret_first: owned by the caller; NULL: nobody wants it */
static int check_certificates(const char *what, const char *path, const char *pem, X509 **ret_first,
                              struct fg_error *err)
{
    struct secret_words none = {NULL};
    BIO *bio = BIO_new_mem_buf(pem, -1);
    size_t expected = count(pem, BEGIN_CERTIFICATE);
    X509 *x;
    int r = 0;

    fg_assert(bio);
    ERR_clear_error();
    for (size_t n = 0; r == 0 && n < expected; n++) {
        if (!(x = PEM_read_bio_X509(bio, NULL, give_password, &none)))
            r = fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "%s: certificate %zu of %zu in \"%s\" cannot be read: %s",
                                      what, n + 1, expected, path, openssl_reason()));
        else if (n == 0 && ret_first)
            *ret_first = x;
        else
            X509_free(x);
    }
    ERR_clear_error();
    BIO_free(bio);
    return r;
}

static int check_key(const struct fg_tls *tls, const char *pem, const char *password, X509 *certificate,
                     struct fg_error *err)
{
    struct secret_words words = {password};
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key;
    int r = 0;

    fg_assert(bio);
    ERR_clear_error();
    if (!(key = PEM_read_bio_PrivateKey(bio, NULL, give_password, &words)))
        r = fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "tls.key: the private key in \"%s\" cannot be read: %s",
                                  tls->key, openssl_reason()));
    else if (X509_check_private_key(certificate, key) != 1)
        r = fg_raise(fg_error_set(err, FG_E_CONFIG, 0,
                                  "tls.key: the key in \"%s\" does not fit the certificate in \"%s\"", tls->key,
                                  tls->certificate));
    ERR_clear_error();
    EVP_PKEY_free(key);
    BIO_free(bio);
    return r;
}

/* ---- the brokers' authority ---- */

static int add_authority(void *arg, const char *path, struct fg_error *err)
{
    struct fg_buf *out = arg;
    size_t start;
    int r;

    if (out->len)
        fg_buf_add_char(out, '\n'); /* a file without a line end would run into the next one's first line */
    start = out->len;
    r = fg_read_file(path, FG_RD_PEM_BYTES_MAX, out, err);
    if (r == 0 && out->failed)
        r = fg_raise(
            fg_error_set(err, FG_E_LIMIT, 0, "tls.ca: more than %u bytes with \"%s\"", FG_RD_PEM_BYTES_MAX, path));
    if (r == 0 && out->len > start)
        r = check_certificates("tls.ca", path, out->data + start, NULL, err);
    return fg_pass(r);
}

static int set_authority(rd_kafka_conf_t *conf, const char *path, struct fg_error *err)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf pem = FG_BUF_INIT(FG_RD_PEM_BYTES_MAX);
    int r = fg_pem_each("tls.ca", path, add_authority, &pem, err);

    if (r < 0)
        return fg_pass(r);
    if (!count(pem.data, BEGIN_CERTIFICATE))
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "tls.ca: no PEM certificate in \"%s\"", path));
    return fg_rd_conf_set(conf, "ssl.ca.pem", pem.data, err);
}

/* ---- our own certificate ---- */

/*
 * For a librdkafka that sends a chain whole only if it reads it from a file: one that nobody else has or can change.
 * The path works as long as the file descriptor is open.
 */
static int set_chain(rd_kafka_conf_t *conf, const struct fg_buf *pem, int *ret_fd, struct fg_error *err)
{
    int fd = memfd_create("fragua-certificates", MFD_CLOEXEC);
    char path[64];
    int r = -1;

    if (fd < 0 || write(fd, pem->data, pem->len) != (ssize_t)pem->len) {
        r = fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "tls.certificate: cannot keep the chain in memory: %s",
                                  fg_errno_text(errno)));
    } else {
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        r = fg_rd_conf_set(conf, "ssl.certificate.location", path, err);
    }
    if (r < 0 && fd >= 0)
        (void)close(fd);
    if (r == 0)
        *ret_fd = fd;
    return r;
}

static int read_pem(const char *what, const char *path, const char *word, struct fg_buf *out, struct fg_error *err)
{
    int r = fg_read_file(path, FG_RD_PEM_BYTES_MAX, out, err);

    if (r == 0 && !count(out->data, word))
        r = fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "%s in \"%s\"", what, path));
    return fg_pass(r);
}

static int set_pair(rd_kafka_conf_t *conf, const struct fg_tls *tls, const char *password, int *ret_fd,
                    struct fg_error *err)
{
    FG_CLEANUP(cleanse) struct fg_buf certificate = FG_BUF_INIT(FG_RD_PEM_BYTES_MAX);
    FG_CLEANUP(cleanse) struct fg_buf key = FG_BUF_INIT(FG_RD_PEM_BYTES_MAX);
    X509 *first = NULL;
    int r;

    if ((r = read_pem("tls.certificate: no PEM certificate", tls->certificate, BEGIN_CERTIFICATE, &certificate,
                      err)) < 0 ||
        (r = read_pem("tls.key: no PEM private key", tls->key, "PRIVATE KEY-----", &key, err)) < 0)
        return fg_pass(r);
    if ((r = check_certificates("tls.certificate", tls->certificate, certificate.data, &first, err)) == 0)
        r = check_key(tls, key.data, password, first, err);
    X509_free(first);
    if (r == 0)
        r = fg_rd_conf_set(conf, "ssl.key.pem", key.data, err);
    if (r < 0)
        return fg_pass(r);
    if (count(certificate.data, BEGIN_CERTIFICATE) > 1 && (unsigned)rd_kafka_version() < CHAIN_IN_MEMORY_SINCE)
        return set_chain(conf, &certificate, ret_fd, err);
    return fg_rd_conf_set(conf, "ssl.certificate.pem", certificate.data, err);
}

int fg_rd_conf_tls(rd_kafka_conf_t *conf, const struct fg_tls *tls, const char *password, int *ret_fd,
                   struct fg_error *err)
{
    int r = 0;

    if (!tls->certificate != !tls->key)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "tls: certificate and key come together, \"%s\" is alone",
                                     tls->certificate ? tls->certificate : tls->key));
    if (tls->ca)
        r = set_authority(conf, tls->ca, err);
    if (r == 0 && tls->certificate)
        r = set_pair(conf, tls, password, ret_fd, err);
    return r;
}
