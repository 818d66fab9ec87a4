/* SPDX-License-Identifier: Apache-2.0 */
/* Mails made up by the thousand, always the same, that can be told apart and checked. */
#include "generate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/sha.h>

#include <fragua/kit/json.h>
#include <fragua/kit/str.h>

#define NAME_SIZE 64u
#define WORDS_A_LINE 12u

/* One mail to be. */
struct draft {
    unsigned box, conversation, sequence, number; /* number: in its mailbox */
    char mailbox[NAME_SIZE], thread[NAME_SIZE];
};

static int64_t number(struct fg_slice json, const char *pointer, int64_t fallback)
{
    struct fg_json_value v = fg_json_find(json, pointer);
    int64_t n;

    return v.kind == FG_JSON_NONE ? fallback : fg_parse_int(v.raw, &n) ? n : -1;
}

int generate_read(struct fg_slice json, struct generate *ret, struct fg_error *err)
{
    struct generate g = { number(json, "/mailboxes", -1), number(json, "/mails", -1),
                          number(json, "/conversations", 5), number(json, "/text", 500) };

    if (g.mailboxes < 1 || g.mailboxes > STORE_FOLDERS_MAX || g.mails < 0 || g.mails > STORE_MAILS_MAX)
        return fg_error_set(err, FG_E_DATA, 0, "`mailboxes` is from 1 to %u, `mails` for each from 0 to %u",
                            STORE_FOLDERS_MAX, STORE_MAILS_MAX);
    if (g.conversations < 1 || g.conversations > GENERATE_CONVERSATIONS_MAX || g.text < 0 || g.text > GENERATE_TEXT_MAX)
        return fg_error_set(err, FG_E_DATA, 0, "`conversations` is from 1 to %d, `text` from 0 to %d bytes",
                            GENERATE_CONVERSATIONS_MAX, GENERATE_TEXT_MAX);
    *ret = g;
    return 0;
}

static void write_words(struct fg_buf *text, uint64_t seed, size_t until)
{
    static const char *const words[] = {
        "invoice", "total",  "se\u00f1al",    "entrega",    "Gr\u00f6\u00dfe", "order", "17.25",       "PO-2026",
        "delivery", "100%", "\u6f22\u5b57", "\U0001F600", "<tag>",          "&amp;", "\"quoted\"", "back\\slash",
    };

    for (unsigned i = 0; text->len < until; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        fg_buf_add_char(text, i % WORDS_A_LINE ? ' ' : '\n');
        fg_buf_add_str(text, words[seed >> 60]);
    }
}

static void write_text(const struct draft *d, size_t size, struct fg_buf *text)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];

    fg_buf_printf(text, "ledger %s %s %u", d->mailbox, d->thread, d->sequence);
    write_words(text, ((uint64_t)d->box << 32) + d->number, size);
    SHA256((const unsigned char *)text->data, text->len, hash);
    fg_buf_add_str(text, "\nsha256 ");
    for (size_t i = 0; i < sizeof(hash); i++)
        fg_buf_printf(text, "%02x", hash[i]);
}

static void write_address(struct fg_json_writer *w, const char *key, const char *name, const char *address)
{
    fg_json_key(w, key);
    fg_json_object(w);
    fg_json_key(w, "emailAddress");
    fg_json_object(w);
    fg_json_kv_cstr(w, "name", name);
    fg_json_kv_cstr(w, "address", address);
    fg_json_object_end(w);
    fg_json_object_end(w);
}

static void write_message(const struct draft *d, struct fg_slice text, struct fg_buf *out)
{
    struct fg_json_writer w = FG_JSON_WRITER_INIT(out);
    char id[NAME_SIZE + 16], message_id[NAME_SIZE + 48], when[32];

    (void)snprintf(id, sizeof(id), "%s.%u", d->thread, d->sequence);
    (void)snprintf(message_id, sizeof(message_id), "<%s@fabrikam.example>", id);
    (void)snprintf(when, sizeof(when), "2026-03-%02uT%02u:%02u:%02uZ", 1 + d->number / 86400 % 28,
                   d->number / 3600 % 24, d->number / 60 % 60, d->number % 60);
    fg_json_object(&w);
    fg_json_kv_cstr(&w, "id", id);
    fg_json_kv_cstr(&w, "changeKey", "1");
    fg_json_kv_cstr(&w, "conversationId", d->thread);
    fg_json_kv_cstr(&w, "internetMessageId", message_id);
    fg_json_kv_cstr(&w, "subject", id);
    fg_json_kv_cstr(&w, "createdDateTime", when);
    fg_json_kv_cstr(&w, "lastModifiedDateTime", when);
    fg_json_kv_cstr(&w, "receivedDateTime", when);
    write_address(&w, "from", "Purchasing", "purchasing@fabrikam.example");
    fg_json_key(&w, "toRecipients");
    fg_json_array(&w);
    fg_json_array_end(&w);
    fg_json_key(&w, "body");
    fg_json_object(&w);
    fg_json_kv_cstr(&w, "contentType", "text");
    fg_json_kv_string(&w, "content", text);
    fg_json_object_end(&w);
    fg_json_object_end(&w);
}

static int generate_mail(struct store *store, const struct draft *d, size_t size, struct fg_error *err)
{
    struct fg_buf text = FG_BUF_INIT(GENERATE_TEXT_MAX + 4096u), json = FG_BUF_INIT(8u * GENERATE_TEXT_MAX);
    int r;

    write_text(d, size, &text);
    write_message(d, fg_buf_slice(&text), &json);
    if (text.failed || json.failed)
        r = fg_error_set(err, FG_E_NO_ROOM, 0, "no memory for another mail");
    else
        r = store_post(store, fg_slice_of(d->mailbox), (struct fg_slice)FG_SLICE("inbox"), fg_buf_slice(&json), true,
                       err);
    fg_buf_deinit(&text);
    fg_buf_deinit(&json);
    return r;
}

static bool grow(struct generated *so_far, size_t n)
{
    uint32_t *counts;

    if (n <= so_far->n)
        return true;
    counts = realloc(so_far->counts, n * sizeof(*counts));
    if (!counts)
        return false;
    memset(counts + so_far->n, 0, (n - so_far->n) * sizeof(*counts));
    *so_far = (struct generated){ counts, n };
    return true;
}

int generate_mails(struct store *store, struct generated *so_far, const struct generate *g, struct fg_error *err)
{
    int r = 0;

    if (!grow(so_far, (size_t)g->mailboxes))
        return fg_error_set(err, FG_E_NO_ROOM, 0, "no memory for the mailboxes");
    for (unsigned box = 0; r == 0 && box < g->mailboxes; box++) {
        struct draft d = { .box = box };
        (void)snprintf(d.mailbox, sizeof(d.mailbox), "box%u@contoso.example", box);
        r = store_add_folder(store, fg_slice_of(d.mailbox), (struct fg_slice)FG_SLICE("inbox"), err);
        for (int64_t i = 0; r == 0 && i < g->mails; i++) {
            d.number = so_far->counts[box];
            d.conversation = d.number % (unsigned)g->conversations;
            d.sequence = d.number / (unsigned)g->conversations;
            (void)snprintf(d.thread, sizeof(d.thread), "conv-%u-%u", box, d.conversation);
            r = generate_mail(store, &d, (size_t)g->text, err);
            so_far->counts[box] += r == 0;
        }
    }
    return r;
}

void generated_deinit(struct generated *so_far)
{
    free(so_far->counts);
    *so_far = (struct generated){ .n = 0 };
}
