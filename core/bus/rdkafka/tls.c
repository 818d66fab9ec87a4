/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for librdkafka, read from files and folders into memory. It reads them once: new ones need new handles.
 */
#include <dirent.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/rdkafka/rdkafka-private.h"

/* From here on a chain in memory is sent to the broker whole; before, only the first certificate of it. */
#define CHAIN_IN_MEMORY_SINCE 0x020800ffu

static void cleanse(struct fg_buf *buf)
{
    if (buf->data)
        OPENSSL_cleanse(buf->data, buf->len);
    fg_buf_deinit(buf);
}

static int is_certificate(const struct dirent *entry)
{
    struct fg_slice name = fg_slice_of(entry->d_name);

    return fg_slice_ends(name, (struct fg_slice)FG_SLICE(".crt")) ||
           fg_slice_ends(name, (struct fg_slice)FG_SLICE(".pem"));
}

static int read_folder(const char *path, struct fg_buf *out, struct fg_error *err)
{
    struct dirent **entries;
    int n = scandir(path, &entries, is_certificate, alphasort), r = 0;

    if (n < 0)
        return fg_error_set(err, FG_E_CONFIG, 0, "tls.ca: cannot read the folder \"%s\": %s", path,
                            fg_errno_text(errno));
    if (n == 0)
        r = fg_error_set(err, FG_E_CONFIG, 0, "tls.ca: no *.crt or *.pem in the folder \"%s\"", path);
    for (int i = 0; i < n; i++) {
        FG_CLEANUP(fg_buf_deinit) struct fg_buf file = FG_BUF_INIT(4096);
        fg_buf_printf(&file, "%s/%s", path, entries[i]->d_name);
        if (r == 0 && file.failed)
            r = fg_error_set(err, FG_E_CONFIG, 0, "tls.ca: the path \"%s\" is too long", path);
        if (r == 0)
            r = fg_read_file(file.data, FG_RD_PEM_BYTES_MAX, out, err);
        /* A file without a line end would run into the next one's first line. */
        if (r == 0)
            fg_buf_add_char(out, '\n');
        free(entries[i]);
    }
    free(entries);
    if (r == 0 && out->failed)
        r = fg_error_set(err, FG_E_LIMIT, 0, "tls.ca: more than %u bytes in \"%s\"", FG_RD_PEM_BYTES_MAX, path);
    return r;
}

static int set_authority(rd_kafka_conf_t *conf, const char *path, struct fg_error *err)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf pem = FG_BUF_INIT(FG_RD_PEM_BYTES_MAX);
    struct stat st;
    int r;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        r = read_folder(path, &pem, err);
    else
        r = fg_read_file(path, FG_RD_PEM_BYTES_MAX, &pem, err);
    if (r < 0)
        return fg_pass(r);
    if (!pem.data || !strstr(pem.data, "-----BEGIN CERTIFICATE-----"))
        return fg_error_set(err, FG_E_CONFIG, 0, "tls.ca: no PEM certificate in \"%s\"", path);
    return fg_rd_conf_set(conf, "ssl.ca.pem", pem.data, err);
}

static size_t count(const char *text, const char *word)
{
    size_t n = 0;

    while ((text = strstr(text, word))) {
        n++;
        text += strlen(word);
    }
    return n;
}

static int set_certificate(rd_kafka_conf_t *conf, const char *path, struct fg_error *err)
{
    FG_CLEANUP(cleanse) struct fg_buf pem = FG_BUF_INIT(FG_RD_PEM_BYTES_MAX);
    int r = fg_read_file(path, FG_RD_PEM_BYTES_MAX, &pem, err);
    size_t n;

    if (r < 0)
        return fg_pass(r);
    n = pem.data ? count(pem.data, "-----BEGIN CERTIFICATE-----") : 0;
    if (n == 0)
        return fg_error_set(err, FG_E_CONFIG, 0, "tls.certificate: no PEM certificate in \"%s\"", path);
    if (n > 1 && (unsigned)rd_kafka_version() < CHAIN_IN_MEMORY_SINCE)
        return fg_rd_conf_set(conf, "ssl.certificate.location", path, err);
    return fg_rd_conf_set(conf, "ssl.certificate.pem", pem.data, err);
}

static int set_key(rd_kafka_conf_t *conf, const char *path, struct fg_error *err)
{
    FG_CLEANUP(cleanse) struct fg_buf pem = FG_BUF_INIT(FG_RD_PEM_BYTES_MAX);
    int r = fg_read_file(path, FG_RD_PEM_BYTES_MAX, &pem, err);

    if (r < 0)
        return fg_pass(r);
    if (!pem.data || !strstr(pem.data, "PRIVATE KEY-----"))
        return fg_error_set(err, FG_E_CONFIG, 0, "tls.key: no PEM private key in \"%s\"", path);
    return fg_rd_conf_set(conf, "ssl.key.pem", pem.data, err);
}

int fg_rd_conf_tls(rd_kafka_conf_t *conf, const struct fg_tls *tls, struct fg_error *err)
{
    int r = 0;

    if (!tls->certificate != !tls->key)
        return fg_error_set(err, FG_E_CONFIG, 0, "tls: certificate and key come together, \"%s\" is alone",
                            tls->certificate ? tls->certificate : tls->key);
    if (tls->ca)
        r = set_authority(conf, tls->ca, err);
    if (r == 0 && tls->certificate)
        r = set_certificate(conf, tls->certificate, err);
    if (r == 0 && tls->key)
        r = set_key(conf, tls->key, err);
    return r;
}
