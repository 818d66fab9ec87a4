/* SPDX-License-Identifier: Apache-2.0 */
/* Headers, signature and outcome of a webhook's request. */
#include "message.h"

#include <inttypes.h>

#include <fragua/kit/str.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define SUM_BYTES  32u /* SHA-256 */
#define ID_BYTES   256u /* of a record's `ce_id`; a longer one is not taken */
#define SIGN_BYTES (3u * ID_BYTES + 128u) /* kept for what message_sign() adds */

static const struct fg_slice ce = FG_SLICE("ce_");
static const char *const always[] = { "content-type", "traceparent" };

/* The client frames the message and names the host; credentials are options; the signature is ours. */
static const char *const never[] = { "authorization", "connection", "content-length", "host", "te", "trailer",
                                     "transfer-encoding", "upgrade", "webhook-id", "webhook-signature",
                                     "webhook-timestamp" };

static bool is_one_of(struct fg_slice name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fg_slice_ieq(name, fg_slice_of(list[i])))
            return true;
    return false;
}

/* RFC 9110 5.6.2 */
static bool is_token(struct fg_slice s)
{
    static const char letters[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    for (size_t i = 0; i < s.len; i++)
        if (!memchr(letters, s.ptr[i], sizeof(letters) - 1))
            return false;
    return s.len > 0 && s.len <= 128;
}

static bool may_pass(struct fg_slice name)
{
    return is_token(name) && !is_one_of(name, never, sizeof(never) / sizeof(never[0]));
}

bool message_may_pass(const char *name)
{
    return may_pass(fg_slice_of(name));
}

/* What was written since `from`. */
static struct fg_slice since(const struct message *m, size_t from)
{
    return m->text.failed ? FG_SLICE_NULL : fg_slice_make(m->text.data + from, m->text.len - from);
}

/* Some proxies drop headers with an underscore. */
static struct fg_slice put_name(struct message *m, struct fg_slice name)
{
    size_t from = m->text.len;

    for (size_t i = 0; i < name.len; i++)
        fg_buf_add_char(&m->text, name.ptr[i] == '_' ? '-' : name.ptr[i]);
    return since(m, from);
}

/* CloudEvents 1.0, HTTP binding 3.1.3.2; a content type is left alone where it can be. */
static struct fg_slice put_value(struct message *m, struct fg_slice value, bool plain)
{
    size_t from = m->text.len;

    for (size_t i = 0; i < value.len; i++) {
        unsigned char byte = (unsigned char)value.ptr[i];
        bool keep = plain ? byte >= ' ' : byte > ' ' && byte != '"' && byte != '%';
        if (keep && byte < 0x7f)
            fg_buf_add_char(&m->text, (char)byte);
        else
            fg_buf_printf(&m->text, "%%%02X", byte);
    }
    return since(m, from);
}

int message_make(struct message *m, const struct fg_record_view *view, const struct fg_strings *more,
                 struct fg_error *err)
{
    bool fits;

    *m = (struct message){ .text = FG_BUF_INIT(MESSAGE_BYTES_MAX) };
    fits = fg_buf_reserve(&m->text, MESSAGE_BYTES_MAX);
    for (size_t i = 0; i < view->n_headers && fits; i++) {
        const struct fg_header *h = &view->headers[i];
        bool is_event = fg_slice_starts(h->name, ce), plain = is_one_of(h->name, always, 2);
        struct fg_header *to = &m->headers[m->n_headers];
        if (!may_pass(h->name) || !(is_event || plain || is_one_of(h->name, more->items, more->len)))
            continue;
        fits = m->n_headers < MESSAGE_HEADERS_MAX - 3; /* those of the signature */
        if (!fits)
            break;
        to->name = put_name(m, h->name);
        to->value = put_value(m, h->value, plain);
        m->n_headers++;
        fits = !m->text.failed && m->text.len + SIGN_BYTES < m->text.max;
    }
    return fits ? 0
                : fg_error_set(err, FG_E_DATA, 0, "as headers of a request, those of the record are more than %u, or "
                               "more than %u bytes", MESSAGE_HEADERS_MAX - 3, MESSAGE_BYTES_MAX - SIGN_BYTES);
}

static struct fg_slice event_id(const struct fg_record_view *view)
{
    for (size_t i = 0; i < view->n_headers; i++)
        if (fg_slice_is(view->headers[i].name, "ce_id"))
            return view->headers[i].value;
    return FG_SLICE_NULL;
}

/* The same record gives the same id again, so that whoever gets it twice can tell. */
static bool put_id(struct message *m, const struct fg_record_view *view)
{
    struct fg_slice id = event_id(view);
    unsigned char sum[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx;
    bool good;

    if (id.len > 0 && id.len <= ID_BYTES) {
        (void)put_value(m, id, false);
        return true;
    }
    ctx = EVP_MD_CTX_new();
    good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) && EVP_DigestUpdate(ctx, view->key.ptr, view->key.len) &&
           EVP_DigestUpdate(ctx, &view->timestamp_ms, sizeof(view->timestamp_ms)) &&
           EVP_DigestUpdate(ctx, view->value.ptr, view->value.len) && EVP_DigestFinal_ex(ctx, sum, NULL);
    EVP_MD_CTX_free(ctx);
    for (size_t i = 0; good && i < SUM_BYTES / 2; i++)
        fg_buf_printf(&m->text, "%02x", sum[i]);
    return good;
}

static void add(struct message *m, struct fg_slice name, struct fg_slice value)
{
    m->headers[m->n_headers++] = (struct fg_header){ name, value };
}

/* HMAC-SHA256(secret, "id.timestamp.body") as base64. */
static bool put_sum(struct message *m, struct fg_slice head, struct fg_slice body, struct fg_slice secret)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    char text[4 * ((SUM_BYTES + 2) / 3) + 1];
    size_t len = 0;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, (const unsigned char *)secret.ptr, secret.len);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = key && ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestSignUpdate(ctx, head.ptr, head.len) == 1 &&
                EVP_DigestSignUpdate(ctx, body.ptr, body.len) == 1;

    len = sizeof(sum);
    good = good && EVP_DigestSignFinal(ctx, sum, &len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (!good)
        return false;
    (void)EVP_EncodeBlock((unsigned char *)text, sum, (int)len);
    fg_buf_add_str(&m->text, "v1,");
    fg_buf_add_str(&m->text, text);
    return true;
}

void message_sign(struct message *m, const struct fg_record_view *view, int64_t now_s, struct fg_slice secret)
{
    static const struct fg_slice names[] = { FG_SLICE("webhook-id"), FG_SLICE("webhook-timestamp"),
                                             FG_SLICE("webhook-signature") };
    size_t from = m->text.len, time, sum;

    m->failed = !put_id(m, view);
    fg_buf_add_char(&m->text, '.');
    time = m->text.len;
    fg_buf_printf(&m->text, "%" PRId64 ".", now_s);
    sum = m->text.len;
    if (m->failed || m->text.failed || !put_sum(m, since(m, from), view->value, secret) || m->text.failed) {
        m->failed = true;
        return;
    }
    add(m, names[0], fg_slice_make(m->text.data + from, time - 1 - from));
    add(m, names[1], fg_slice_make(m->text.data + time, sum - 1 - time));
    add(m, names[2], since(m, sum));
}

void message_deinit(struct message *m)
{
    fg_buf_deinit(&m->text);
}

void message_outcome(const struct fg_http_response *res, struct fg_error *err)
{
    static const struct {
        int from, to, code;
        unsigned flags;
        const char *what;
    } outcomes[] = {
        { 401, 401, FG_E_AUTH, FG_ERROR_RETRIABLE, "does not accept the credentials" },
        { 403, 403, FG_E_AUTH, FG_ERROR_RETRIABLE, "forbids this" },
        { 408, 408, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "gave up waiting" },
        { 429, 429, FG_E_THROTTLED, FG_ERROR_RETRIABLE, "asks for patience" },
        { 400, 499, FG_E_REFUSED, 0, "refuses this record" },
        { 502, 504, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "is not available" },
        { 500, 599, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "failed on this record" },
        { 0, 999, FG_E_REFUSED, 0, "answers something else than yes, and redirects are not followed" },
    };
    size_t i = 0;

    if (res->status >= 200 && res->status <= 299)
        return;
    while (res->status < outcomes[i].from || res->status > outcomes[i].to)
        i++;
    (void)fg_error_set(err, outcomes[i].code, outcomes[i].flags, "the webhook %s (HTTP %d)", outcomes[i].what,
                       res->status);
    err->retry_after_ms = res->retry_after_ms;
}
