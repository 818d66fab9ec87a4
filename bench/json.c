/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast JSON is read and keys are hashed, each beside a peer that does the same: json [ROUNDS].
 *
 * Both sides run in turn, a slice of time each, so that a slow moment of the machine meets both. Prints for each round
 * a line "figure TAB unit TAB ours TAB peer's": MB/s of documents read, or nanoseconds a call.
 */
#include <cjson/cJSON.h>
#include <librdkafka/rdkafka.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <uv.h>

#include "base/assert.h"
#include "base/hash.h"
#include "fragua/kit/json.h"

#define SLICE_NS 8000000u /* each side of a round runs at least so long */
#define ROUNDS 11u
#define DOCUMENT_MAX (1u << 20)
#define PARTITIONS 12

struct subject {
    struct fg_slice bytes;
};

/* One call of what is measured; what it returns is added up, so that no compiler leaves the call out. */
typedef uint64_t call_cb(const struct subject *s);

struct figure {
    const char *name, *unit;
    call_cb *ours, *peer;
    struct subject subject;
};

static const char *const pointers[] = { "/id", "/subject", "/from/emailAddress/address", "/body/contentType",
                                        "/body/content", "/receivedDateTime" };
#define N_POINTERS (sizeof(pointers) / sizeof(pointers[0]))

static uint64_t scan_valid(const struct subject *s)
{
    return fg_json_valid(s->bytes);
}

static uint64_t cjson_valid(const struct subject *s)
{
    cJSON *tree = cJSON_ParseWithLength(s->bytes.ptr, s->bytes.len);
    uint64_t r = tree != NULL;

    cJSON_Delete(tree);
    return r;
}

static uint64_t scan_members(const struct subject *s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < N_POINTERS; i++)
        n += fg_json_find(s->bytes, pointers[i]).kind == FG_JSON_STRING;
    return n;
}

static uint64_t cjson_members(const struct subject *s)
{
    cJSON *tree = cJSON_ParseWithLength(s->bytes.ptr, s->bytes.len);
    const cJSON *sender = cJSON_GetObjectItemCaseSensitive(tree, "from");
    const cJSON *from = cJSON_GetObjectItemCaseSensitive(sender, "emailAddress");
    const cJSON *body = cJSON_GetObjectItemCaseSensitive(tree, "body");
    uint64_t n = 0;

    n += (uint64_t)cJSON_IsString(cJSON_GetObjectItemCaseSensitive(tree, "id"));
    n += (uint64_t)cJSON_IsString(cJSON_GetObjectItemCaseSensitive(tree, "subject"));
    n += (uint64_t)cJSON_IsString(cJSON_GetObjectItemCaseSensitive(from, "address"));
    n += (uint64_t)cJSON_IsString(cJSON_GetObjectItemCaseSensitive(body, "contentType"));
    n += (uint64_t)cJSON_IsString(cJSON_GetObjectItemCaseSensitive(body, "content"));
    n += (uint64_t)cJSON_IsString(cJSON_GetObjectItemCaseSensitive(tree, "receivedDateTime"));
    cJSON_Delete(tree);
    return n;
}

static uint64_t our_murmur2(const struct subject *s)
{
    return (uint64_t)fg_murmur2_partition(s->bytes, PARTITIONS);
}

static uint64_t rdkafka_murmur2(const struct subject *s)
{
    return (uint64_t)rd_kafka_msg_partitioner_murmur2(NULL, s->bytes.ptr, s->bytes.len, PARTITIONS, NULL, NULL);
}

static uint64_t our_sha256(const struct subject *s)
{
    uint8_t out[FG_SHA256_SIZE];

    fg_sha256(s->bytes, out);
    return out[0];
}

static uint64_t openssl_sha256(const struct subject *s)
{
    uint8_t out[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    fg_assert(EVP_Digest(s->bytes.ptr, s->bytes.len, out, &len, EVP_sha256(), NULL) == 1);
    return out[0];
}

static void write_person(struct fg_json_writer *w, const char *name, const char *address)
{
    fg_json_object(w);
    fg_json_key(w, "emailAddress");
    fg_json_object(w);
    fg_json_kv_cstr(w, "name", name);
    fg_json_kv_cstr(w, "address", address);
    fg_json_object_end(w);
    fg_json_object_end(w);
}

/* A message as Microsoft Graph gives it, its HTML body about `body_len` bytes. */
static void write_message(struct fg_buf *out, size_t body_len)
{
    static const struct fg_slice paragraph =
        FG_SLICE("<p class=\"MsoNormal\">Le adjuntamos la factura <b>F-2026-77</b> por 1.842,75 \xe2\x82\xac;\n"
                 "please pay before 16 March 2026 or write to accounts@fabrikam.example.</p>\r\n");
    struct fg_json_writer w = FG_JSON_WRITER_INIT(out);
    struct fg_buf body = FG_BUF_INIT(DOCUMENT_MAX);

    while (body.len < body_len)
        fg_buf_add_slice(&body, paragraph);
    fg_json_object(&w);
    fg_json_kv_cstr(&w, "@odata.etag", "W/\"CQAAABYAAAC4ofQHEIqCSbQPot83AFcbAAAnqQ7B\"");
    fg_json_kv_cstr(&w, "id", "AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0AuKH0BxCKgkm0D6LfNwBXGwAAJ6lBbgAA");
    fg_json_kv_cstr(&w, "receivedDateTime", "2026-03-16T08:02:11Z");
    fg_json_kv_cstr(&w, "internetMessageId", "<0123456789abcdef@fabrikam.example>");
    fg_json_key(&w, "body");
    fg_json_object(&w);
    fg_json_kv_cstr(&w, "contentType", "html");
    fg_json_kv_string(&w, "content", fg_buf_slice(&body));
    fg_json_object_end(&w);
    fg_json_kv_cstr(&w, "subject", "Factura F-2026-77 \xe2\x80\x93 \"vencida\"");
    fg_json_kv_bool(&w, "hasAttachments", false);
    fg_json_key(&w, "from");
    write_person(&w, "Accounts", "accounts@fabrikam.example");
    fg_json_key(&w, "toRecipients");
    fg_json_array(&w);
    for (int i = 0; i < 4; i++)
        write_person(&w, "Orders", "orders@contoso.example");
    fg_json_array_end(&w);
    fg_json_object_end(&w);
    fg_assert(!out->failed);
    fg_buf_deinit(&body);
}

/* Nanoseconds a call of `call`, run for a slice of time. */
static double measure(call_cb *call, const struct subject *s, uint64_t *sum)
{
    uint64_t began = uv_hrtime(), now = began, calls = 0;

    while (now - began < SLICE_NS) {
        for (int i = 0; i < 16; i++)
            *sum += call(s);
        calls += 16;
        now = uv_hrtime();
    }
    return (double)(now - began) / (double)calls;
}

static void run(const struct figure *f, unsigned long rounds)
{
    uint64_t ours_sum = 0, peer_sum = 0;

    fg_assert(f->ours(&f->subject) == f->peer(&f->subject)); /* both do the same work, with the same result */
    for (unsigned long i = 0; i < rounds; i++) {
        double ours = measure(f->ours, &f->subject, &ours_sum), peer = measure(f->peer, &f->subject, &peer_sum);
        if (f->unit[0] == 'M') { /* bytes a nanosecond are thousands of MB a second */
            ours = (double)f->subject.bytes.len * 1e3 / ours;
            peer = (double)f->subject.bytes.len * 1e3 / peer;
        }
        (void)printf("%s\t%s\t%.2f\t%.2f\n", f->name, f->unit, ours, peer);
    }
    fg_assert(ours_sum > 0 && peer_sum > 0);
}

int main(int argc, char **argv)
{
    static const struct subject key = { FG_SLICE("AAMkAGI2TG93AAA=/orders@contoso.example") };
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;
    struct fg_buf small = FG_BUF_INIT(DOCUMENT_MAX), large = FG_BUF_INIT(DOCUMENT_MAX);
    struct subject s, l;

    write_message(&small, 2000);
    write_message(&large, 60000);
    s.bytes = fg_buf_slice(&small);
    l.bytes = fg_buf_slice(&large);
    const struct figure figures[] = {
        { "JSON, 3 kB: is valid", "MB/s", scan_valid, cjson_valid, s },
        { "JSON, 70 kB: is valid", "MB/s", scan_valid, cjson_valid, l },
        { "JSON, 3 kB: six members", "MB/s", scan_members, cjson_members, s },
        { "JSON, 70 kB: six members", "MB/s", scan_members, cjson_members, l },
        { "murmur2, partition of a key", "ns", our_murmur2, rdkafka_murmur2, key },
        { "SHA-256 of 3 kB", "ns", our_sha256, openssl_sha256, s },
    };
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
        run(&figures[i], rounds);
    fg_buf_deinit(&small);
    fg_buf_deinit(&large);
    return 0;
}
