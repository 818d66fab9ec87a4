/* SPDX-License-Identifier: Apache-2.0 */
/* From an RFC 5322 file to a Graph message in JSON. */
#include "message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "mime.h"

#define HEADER_MAX (256u * 1024u)

static uint64_t fnv1a(struct fg_slice s, uint64_t h)
{
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * UINT64_C(1099511628211);
    return h;
}

void message_id_of(struct fg_slice text, const char *prefix, char ret[64])
{
    (void)snprintf(ret, 64, "%s%016" PRIx64 "%016" PRIx64, prefix, fnv1a(text, UINT64_C(14695981039346656037)),
                   fnv1a(text, UINT64_C(88172645463325252)));
}

/* "Tue, 03 Mar 2026 08:42:00 +0100" -> "2026-03-03T07:42:00Z"; the start of 1970 for what is no date */
static void write_date(struct fg_json_writer *w, const char *key, struct fg_slice raw)
{
    struct fg_buf text = FG_BUF_INIT(256);
    struct tm tm = { .tm_mday = 1, .tm_year = 70 };
    const char *from, *rest;
    time_t t = 0;
    char out[32];

    mime_decode_text(raw, &text);
    from = text.data && strchr(text.data, ',') ? strchr(text.data, ',') + 1 : text.data ? text.data : "";
    rest = strptime(from, " %d %b %Y %H:%M:%S", &tm);
    if (!rest)
        rest = strptime(from, " %d %b %Y %H:%M", &tm);
    if (rest) {
        struct tm zone = { .tm_gmtoff = 0 };
        if (!strptime(rest, " %z", &zone)) /* "GMT", "UT" or nothing: UTC */
            zone.tm_gmtoff = 0;
        tm.tm_gmtoff = 0;
        t = timegm(&tm) - zone.tm_gmtoff;
    }
    (void)gmtime_r(&t, &tm);
    (void)strftime(out, sizeof(out), "%Y-%m-%dT%H:%M:%SZ", &tm);
    fg_json_kv_cstr(w, key, out);
    fg_buf_deinit(&text);
}

static void write_text(struct fg_json_writer *w, const char *key, struct fg_slice raw)
{
    struct fg_buf text = FG_BUF_INIT(HEADER_MAX);

    mime_decode_text(raw, &text);
    fg_json_kv_string(w, key, fg_buf_slice(&text));
    fg_buf_deinit(&text);
}

/* One mailbox of an address list: `Name <local@domain>` or a bare address. */
static void write_address(struct fg_json_writer *w, struct fg_slice raw)
{
    struct fg_slice name = FG_SLICE_NULL, address = fg_slice_trim(raw), rest;

    if (fg_slice_cut(address, '<', &name, &rest))
        (void)fg_slice_cut(rest, '>', &address, &rest);
    name = fg_slice_trim(name);
    if (name.len >= 2 && name.ptr[0] == '"')
        name = fg_slice_sub(name, 1, name.len - 1);
    fg_json_object(w);
    fg_json_key(w, "emailAddress");
    fg_json_object(w);
    if (name.len)
        write_text(w, "name", name);
    else
        fg_json_kv_string(w, "name", address);
    fg_json_kv_string(w, "address", fg_slice_trim(address));
    fg_json_object_end(w);
    fg_json_object_end(w);
}

/* The length of the first address of a list: up to a comma outside of quotes. */
static size_t address_length(struct fg_slice list)
{
    bool quoted = false;
    size_t i = 0;

    for (; i < list.len && (quoted || list.ptr[i] != ','); i++) {
        if (list.ptr[i] == '\\' && quoted)
            i++;
        else if (list.ptr[i] == '"')
            quoted = !quoted;
    }
    return i < list.len ? i : list.len;
}

static void write_addresses(struct fg_json_writer *w, const char *key, struct fg_slice list)
{
    fg_json_key(w, key);
    fg_json_array(w);
    while (list.len) {
        size_t n = address_length(list);
        if (fg_slice_trim(fg_slice_sub(list, 0, n)).len)
            write_address(w, fg_slice_sub(list, 0, n));
        list = fg_slice_sub(list, n + 1, list.len);
    }
    fg_json_array_end(w);
}

/* What a walk over the parts finds: the best body, and attachments. */
struct parts {
    struct fg_slice html_head, html, text_head, text;
    bool has_html, has_text;
    struct fg_json_writer *w; /* NULL: first walk, bodies only */
    size_t n_attachments;
};

static bool type_is(struct fg_slice head, const char *type)
{
    struct fg_slice value = mime_header(head, "Content-Type");

    if (!value.len)
        value = (struct fg_slice)FG_SLICE("text/plain");
    return fg_slice_ieq(fg_slice_sub(value, 0, strlen(type)), fg_slice_of(type));
}

static bool is_attachment(struct fg_slice head)
{
    struct fg_slice disposition = mime_header(head, "Content-Disposition");

    return fg_slice_ieq(fg_slice_sub(disposition, 0, 10), (struct fg_slice)FG_SLICE("attachment")) ||
           (!type_is(head, "text/plain") && !type_is(head, "text/html"));
}

static void write_attachment(struct parts *p, struct fg_slice head, struct fg_slice body)
{
    struct fg_buf name = FG_BUF_INIT(1024), bytes = FG_BUF_INIT(MESSAGE_MAX);
    struct fg_slice type = mime_header(head, "Content-Type"), rest;
    char id[32];

    (void)fg_slice_cut(type, ';', &type, &rest);
    if (!mime_parameter(mime_header(head, "Content-Disposition"), "filename", &name))
        (void)mime_parameter(mime_header(head, "Content-Type"), "name", &name);
    mime_decode_body(head, body, &bytes);
    (void)snprintf(id, sizeof(id), "att%zu", p->n_attachments);
    fg_json_object(p->w);
    fg_json_kv_cstr(p->w, "@odata.type", "#microsoft.graph.fileAttachment");
    fg_json_kv_cstr(p->w, "id", id);
    write_text(p->w, "name", fg_buf_slice(&name));
    fg_json_kv_string(p->w, "contentType", fg_slice_trim(type));
    fg_json_kv_int(p->w, "size", (int64_t)bytes.len);
    fg_json_kv_bool(p->w, "isInline", mime_header(head, "Content-ID").len > 0);
    fg_json_object_end(p->w);
    fg_buf_deinit(&name);
    fg_buf_deinit(&bytes);
}

static void take_part(void *arg, struct fg_slice head, struct fg_slice body)
{
    struct parts *p = arg;

    if (is_attachment(head)) {
        p->n_attachments++;
        if (p->w)
            write_attachment(p, head, body);
    } else if (type_is(head, "text/html") && !p->has_html) {
        p->html_head = head;
        p->html = body;
        p->has_html = true;
    } else if (type_is(head, "text/plain") && !p->has_text) {
        p->text_head = head;
        p->text = body;
        p->has_text = true;
    }
}

static void write_body(struct fg_json_writer *w, const struct parts *p)
{
    struct fg_buf content = FG_BUF_INIT(MESSAGE_MAX);

    if (p->has_html)
        mime_decode_text_body(p->html_head, p->html, &content);
    else if (p->has_text)
        mime_decode_text_body(p->text_head, p->text, &content);
    fg_json_key(w, "body");
    fg_json_object(w);
    fg_json_kv_cstr(w, "contentType", p->has_html ? "html" : "text");
    fg_json_kv_string(w, "content", fg_buf_slice(&content));
    fg_json_object_end(w);
    fg_buf_deinit(&content);
}

static void write_headers(struct fg_json_writer *w, struct fg_slice head)
{
    struct fg_slice name, value;
    size_t pos = 0;

    fg_json_key(w, "internetMessageHeaders");
    fg_json_array(w);
    while (mime_each_header(head, &pos, &name, &value)) {
        fg_json_object(w);
        fg_json_kv_string(w, "name", name);
        write_text(w, "value", value);
        fg_json_object_end(w);
    }
    fg_json_array_end(w);
}

/* Mails of one conversation share its first message: the first reference, else what it answers, else itself. */
static void write_conversation(struct fg_json_writer *w, struct fg_slice head)
{
    struct fg_slice root = mime_header(head, "References"), rest;
    char id[64];

    if (!root.len)
        root = mime_header(head, "In-Reply-To");
    if (!root.len)
        root = mime_header(head, "Message-ID");
    (void)fg_slice_cut(root, '>', &root, &rest);
    message_id_of(fg_slice_trim(root), "AAQk", id);
    fg_json_kv_cstr(w, "conversationId", id);
}

static void write_people(struct fg_json_writer *w, struct fg_slice head)
{
    struct fg_slice from = mime_header(head, "From"), sender = mime_header(head, "Sender");

    fg_json_key(w, "from");
    write_address(w, from);
    fg_json_key(w, "sender");
    write_address(w, sender.len ? sender : from);
    write_addresses(w, "toRecipients", mime_header(head, "To"));
    write_addresses(w, "ccRecipients", mime_header(head, "Cc"));
    write_addresses(w, "bccRecipients", mime_header(head, "Bcc"));
    write_addresses(w, "replyTo", mime_header(head, "Reply-To"));
}

void message_from_rfc5322(struct fg_slice bytes, const char *id, const char *change_key, struct fg_json_writer *w)
{
    struct fg_slice head, body, importance;
    struct parts p = { .w = NULL };

    mime_split(bytes, &head, &body);
    mime_walk(head, body, 0, take_part, &p);
    importance = mime_header(head, "Importance");
    fg_json_object(w);
    fg_json_kv_cstr(w, "id", id);
    fg_json_kv_cstr(w, "changeKey", change_key);
    fg_json_kv_cstr(w, "@odata.etag", change_key);
    write_date(w, "receivedDateTime", mime_header(head, "Date"));
    write_date(w, "sentDateTime", mime_header(head, "Date"));
    write_text(w, "subject", mime_header(head, "Subject"));
    fg_json_kv_string(w, "internetMessageId", mime_header(head, "Message-ID"));
    write_conversation(w, head);
    fg_json_kv_cstr(w, "importance", fg_slice_ieq(importance, (struct fg_slice)FG_SLICE("high")) ? "high" : "normal");
    fg_json_key(w, "categories");
    fg_json_raw(w, (struct fg_slice)FG_SLICE("[]"));
    fg_json_kv_bool(w, "isRead", false);
    write_people(w, head);
    write_body(w, &p);
    fg_json_kv_bool(w, "hasAttachments", p.n_attachments > 0);
    fg_json_key(w, "attachments");
    fg_json_array(w);
    p = (struct parts){ .w = w };
    mime_walk(head, body, 0, take_part, &p);
    fg_json_array_end(w);
    write_headers(w, head);
    fg_json_object_end(w);
}
