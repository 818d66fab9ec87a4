/* SPDX-License-Identifier: Apache-2.0 */
/* A Graph message as slices of its JSON. What is read here must be asked for: `fields` in source-graphmail/poll.c. */
#include "message.h"

#include <stddef.h>

#include <fragua/kit/str.h>

struct member {
    struct fg_slice name;
    enum fg_json_kind kind;
    size_t offset; /* of the struct fg_json_value in where it is put */
};

/* The members that need a look inside after the pass. */
struct parts {
    struct message *m;
    struct fg_json_value body, sent, received;
};

#define MEMBER(name, kind, type, field) { FG_SLICE(name), kind, offsetof(type, field) }

static const struct member message_members[] = {
    MEMBER("id", FG_JSON_STRING, struct message, id),
    MEMBER("changeKey", FG_JSON_STRING, struct message, change_key),
    MEMBER("conversationId", FG_JSON_STRING, struct message, conversation_id),
    MEMBER("internetMessageId", FG_JSON_STRING, struct message, internet_message_id),
    MEMBER("subject", FG_JSON_STRING, struct message, subject),
    MEMBER("importance", FG_JSON_STRING, struct message, importance),
    MEMBER("from", FG_JSON_OBJECT, struct message, from),
    MEMBER("sender", FG_JSON_OBJECT, struct message, sender),
    MEMBER("toRecipients", FG_JSON_ARRAY, struct message, to),
    MEMBER("ccRecipients", FG_JSON_ARRAY, struct message, cc),
    MEMBER("bccRecipients", FG_JSON_ARRAY, struct message, bcc),
    MEMBER("replyTo", FG_JSON_ARRAY, struct message, reply_to),
    MEMBER("categories", FG_JSON_ARRAY, struct message, categories),
    MEMBER("attachments", FG_JSON_ARRAY, struct message, attachments),
    MEMBER("internetMessageHeaders", FG_JSON_ARRAY, struct message, headers),
    MEMBER("lastModifiedDateTime", FG_JSON_STRING, struct message, modified_at),
};

static const struct member part_members[] = {
    MEMBER("body", FG_JSON_OBJECT, struct parts, body),
    MEMBER("sentDateTime", FG_JSON_STRING, struct parts, sent),
    MEMBER("receivedDateTime", FG_JSON_STRING, struct parts, received),
};

static const struct member body_members[] = {
    MEMBER("content", FG_JSON_STRING, struct message, body_content),
    MEMBER("contentType", FG_JSON_STRING, struct message, body_type),
};

static const struct member recipient_members[] = {
    MEMBER("name", FG_JSON_STRING, struct message_recipient, name),
    MEMBER("address", FG_JSON_STRING, struct message_recipient, address),
};

#define N(table) (sizeof(table) / sizeof((table)[0]))

static const char *kind_name(enum fg_json_kind kind)
{
    static const char *const names[] = { "nothing", "null", "a boolean", "a number", "a string", "an array",
                                         "an object" };

    return (size_t)kind < N(names) ? names[kind] : "nothing";
}

static const struct member *find_member(const struct member *table, size_t n, struct fg_slice raw_key)
{
    struct fg_slice key = fg_slice_sub(raw_key, 1, raw_key.len - 1);

    for (size_t i = 0; i < n; i++)
        if (fg_slice_eq(key, table[i].name))
            return &table[i];
    return NULL;
}

/* Puts a member where its row says; null is the same as none, the first of duplicates counts. */
static int store(const struct member *member, struct fg_json_value value, void *base, struct fg_error *err)
{
    struct fg_json_value *slot = (struct fg_json_value *)((char *)base + member->offset);

    if (value.kind == FG_JSON_NULL || slot->kind != FG_JSON_NONE)
        return 0;
    if (value.kind != member->kind)
        return fg_error_set(err, FG_E_DATA, 0, "the message's \"%s\" is %s, not %s", member->name.ptr,
                            kind_name(value.kind), kind_name(member->kind));
    *slot = value;
    return 0;
}

static int read_members(struct fg_json_value object, const struct member *table, size_t n, void *base,
                        struct fg_error *err)
{
    struct fg_slice key = FG_SLICE_NULL;
    struct fg_json_value value;
    size_t pos = 0;

    while (fg_json_each(object, &pos, &key, &value)) {
        const struct member *member = find_member(table, n, key);
        int r = member ? store(member, value, base, err) : 0;
        if (r)
            return r;
    }
    return 0;
}

static int read_top(struct fg_json_value object, struct parts *parts, struct fg_error *err)
{
    struct fg_slice key = FG_SLICE_NULL;
    struct fg_json_value value;
    size_t pos = 0;

    while (fg_json_each(object, &pos, &key, &value)) {
        const struct member *member = find_member(message_members, N(message_members), key);
        void *base = parts->m;
        int r;
        if (!member) {
            member = find_member(part_members, N(part_members), key);
            base = parts;
        }
        if (fg_json_string_is(key, "@removed") && value.kind != FG_JSON_NULL)
            parts->m->removed = true;
        r = member ? store(member, value, base, err) : 0;
        if (r)
            return r;
    }
    return 0;
}

static int read_time(struct fg_json_value value, const char *name, struct message_time *ret, struct fg_error *err)
{
    struct fg_slice text = fg_slice_sub(value.raw, 1, value.raw.len ? value.raw.len - 1 : 0);

    if (value.kind == FG_JSON_NONE || message_time_parse(text, ret))
        return 0;
    return fg_error_set(err, FG_E_DATA, 0, "the message's \"%s\" is no RFC 3339 time: \"%.*s\"", name,
                        text.len < 40 ? (int)text.len : 40, text.ptr);
}

int message_read(struct fg_slice doc, struct message *ret, struct fg_error *err)
{
    struct message m = { .removed = false };
    struct parts parts = { .m = &m };
    struct fg_json_value object = { .kind = FG_JSON_OBJECT, .raw = fg_slice_trim(doc) };
    int r;

    if (!fg_json_valid(doc))
        return fg_error_set(err, FG_E_DATA, 0, "the record is not valid JSON, so it is no Graph message");
    if (object.raw.ptr[0] != '{')
        return fg_error_set(err, FG_E_DATA, 0, "the record is JSON but no object, so it is no Graph message");
    if ((r = read_top(object, &parts, err)) != 0)
        return r;
    if (m.id.kind == FG_JSON_NONE || m.id.raw.len <= 2)
        return fg_error_set(err, FG_E_DATA, 0, "the record has no \"id\", so it is no Graph message");
    if ((r = read_members(parts.body, body_members, N(body_members), &m, err)) != 0)
        return r;
    if ((r = read_time(parts.sent, "sentDateTime", &m.sent_at, err)) != 0)
        return r;
    if ((r = read_time(parts.received, "receivedDateTime", &m.received_at, err)) != 0)
        return r;
    *ret = m;
    return 0;
}

bool message_recipient(struct fg_json_value value, struct message_recipient *ret)
{
    struct message_recipient r = { .name = { .kind = FG_JSON_NONE } };
    struct fg_json_value address = { .kind = FG_JSON_NONE };

    if (value.kind == FG_JSON_OBJECT)
        address = fg_json_find(value.raw, "/emailAddress");
    if (address.kind != FG_JSON_OBJECT || read_members(address, recipient_members, N(recipient_members), &r, NULL) != 0)
        return false;
    if (r.name.raw.len <= 2)
        r.name = (struct fg_json_value){ .kind = FG_JSON_NONE };
    if (r.address.raw.len <= 2)
        r.address = (struct fg_json_value){ .kind = FG_JSON_NONE };
    *ret = r;
    return r.name.kind != FG_JSON_NONE || r.address.kind != FG_JSON_NONE;
}

/* Case does not count in a header's name, and no name that is asked for needs an escape in JSON. */
static bool is_header(struct fg_json_value header, const char *name)
{
    struct fg_slice raw = fg_json_find(header.raw, "/name").raw;

    return raw.len >= 2 && fg_slice_ieq(fg_slice_trim(fg_slice_sub(raw, 1, raw.len - 1)), fg_slice_of(name));
}

bool message_header(const struct message *m, const char *name, struct fg_buf *out)
{
    struct fg_slice key;
    struct fg_json_value header;
    size_t pos = 0;

    while (fg_json_each(m->headers, &pos, &key, &header)) {
        struct fg_json_value value;
        if (header.kind != FG_JSON_OBJECT || !is_header(header, name))
            continue;
        value = fg_json_find(header.raw, "/value");
        return value.kind == FG_JSON_STRING && fg_json_decode_string(value.raw, out);
    }
    return false;
}
