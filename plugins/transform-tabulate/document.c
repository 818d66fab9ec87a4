/* SPDX-License-Identifier: Apache-2.0 */
/* From a Graph message and its text to the value of a document record. */
#include "document.h"

#include <fragua/kit/str.h>

#include "references.h"

const char *const document_change_names[] = {
    [DOCUMENT_CREATED] = "created", [DOCUMENT_UPDATED] = "updated", [DOCUMENT_DELETED] = "deleted", NULL,
};

/* Members with no text yet are copied as they stand; escapes are resolved, so that what comes out is always UTF-8. */
static void write_string(struct fg_json_writer *w, struct fg_json_value value, struct fg_buf *scratch)
{
    if (value.kind != FG_JSON_STRING) {
        fg_json_null(w);
        return;
    }
    if (!memchr(value.raw.ptr, '\\', value.raw.len)) {
        fg_json_raw(w, value.raw);
        return;
    }
    fg_buf_clear(scratch);
    (void)fg_json_decode_string(value.raw, scratch);
    fg_json_string(w, fg_buf_slice(scratch));
    if (scratch->failed)
        w->out->failed = true;
}

static void write_kv(struct fg_json_writer *w, const char *key, struct fg_json_value value, struct fg_buf *scratch)
{
    fg_json_key(w, key);
    write_string(w, value, scratch);
}

static void write_recipient(struct fg_json_writer *w, const struct message_recipient *r, struct fg_buf *scratch)
{
    fg_json_object(w);
    write_kv(w, "name", r->name, scratch);
    write_kv(w, "address", r->address, scratch);
    fg_json_object_end(w);
}

static void write_recipients(struct fg_json_writer *w, const char *key, struct fg_json_value list,
                             struct fg_buf *scratch)
{
    struct fg_slice unused;
    struct fg_json_value item;
    struct message_recipient r;
    size_t pos = 0;

    fg_json_key(w, key);
    fg_json_array(w);
    while (fg_json_each(list, &pos, &unused, &item))
        if (message_recipient(item, &r))
            write_recipient(w, &r, scratch);
    fg_json_array_end(w);
}

/* Who it is from; the mailbox that sent it, where that is all we know. */
static void write_people(struct fg_json_writer *w, const struct message *m, struct fg_buf *scratch)
{
    struct message_recipient from;

    fg_json_key(w, "from");
    if (message_recipient(m->from, &from) || message_recipient(m->sender, &from))
        write_recipient(w, &from, scratch);
    else
        fg_json_null(w);
    write_recipients(w, "to", m->to, scratch);
    write_recipients(w, "cc", m->cc, scratch);
    write_recipients(w, "bcc", m->bcc, scratch);
    write_recipients(w, "reply_to", m->reply_to, scratch);
}

static void write_importance(struct fg_json_writer *w, struct fg_json_value importance)
{
    static const char *const known[] = { "low", "normal", "high" };

    fg_json_key(w, "importance");
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (importance.kind == FG_JSON_STRING && fg_json_string_is(importance.raw, known[i])) {
            fg_json_cstr(w, known[i]);
            return;
        }
    }
    fg_json_null(w);
}

static void write_categories(struct fg_json_writer *w, struct fg_json_value list, struct fg_buf *scratch)
{
    struct fg_slice unused;
    struct fg_json_value item;
    size_t pos = 0;

    fg_json_key(w, "categories");
    fg_json_array(w);
    while (fg_json_each(list, &pos, &unused, &item))
        if (item.kind == FG_JSON_STRING)
            write_string(w, item, scratch);
    fg_json_array_end(w);
}

static bool is_language(struct fg_slice s)
{
    if (s.len < 2 || s.len > 35)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return true;
}

/* The first language tag of Content-Language (RFC 3282), as written. */
static void write_language(struct fg_json_writer *w, const struct message *m, struct fg_buf *scratch)
{
    struct fg_slice head = FG_SLICE_NULL, tail;

    fg_buf_clear(scratch);
    if (message_header(m, "Content-Language", scratch))
        (void)fg_slice_cut(fg_buf_slice(scratch), ',', &head, &tail);
    head = fg_slice_trim(head);
    fg_json_key(w, "language");
    if (is_language(head))
        fg_json_string(w, head);
    else
        fg_json_null(w);
}

static void write_attachment(struct fg_json_writer *w, struct fg_json_value a, struct fg_buf *scratch)
{
    struct fg_json_value size = fg_json_find(a.raw, "/size"), is_inline = fg_json_find(a.raw, "/isInline");
    int64_t bytes;

    fg_json_object(w);
    write_kv(w, "id", fg_json_find(a.raw, "/id"), scratch);
    write_kv(w, "name", fg_json_find(a.raw, "/name"), scratch);
    write_kv(w, "media_type", fg_json_find(a.raw, "/contentType"), scratch);
    fg_json_key(w, "size");
    if (size.kind == FG_JSON_NUMBER && fg_parse_int(size.raw, &bytes) && bytes >= 0)
        fg_json_int(w, bytes);
    else
        fg_json_null(w);
    fg_json_kv_bool(w, "inline", is_inline.kind == FG_JSON_BOOL && is_inline.raw.ptr[0] == 't');
    fg_json_object_end(w);
}

static void write_attachments(struct fg_json_writer *w, struct fg_json_value list, struct fg_buf *scratch)
{
    struct fg_slice unused;
    struct fg_json_value item;
    size_t pos = 0;

    fg_json_key(w, "attachments");
    fg_json_array(w);
    while (fg_json_each(list, &pos, &unused, &item))
        if (item.kind == FG_JSON_OBJECT)
            write_attachment(w, item, scratch);
    fg_json_array_end(w);
}

/* The oldest mail that this one leads back to; a mail that answers nothing is the root itself. */
static void write_root(struct fg_json_writer *w, const struct message *m, const struct references *refs,
                       struct fg_buf *scratch)
{
    fg_json_key(w, "root");
    if (refs->root.len)
        fg_json_string(w, refs->root);
    else
        write_string(w, m->internet_message_id, scratch);
}

static void write_id_or_null(struct fg_json_writer *w, struct fg_slice id)
{
    if (id.len)
        fg_json_string(w, id);
    else
        fg_json_null(w);
}

static void write_thread(struct fg_json_writer *w, const struct message *m, struct fg_buf *scratch)
{
    struct references refs;
    struct fg_slice id;
    size_t pos = 0;

    references_init(&refs, m, scratch->max);
    fg_json_key(w, "thread");
    fg_json_object(w);
    write_kv(w, "id", m->conversation_id, scratch);
    write_root(w, m, &refs, scratch);
    fg_json_key(w, "parent");
    write_id_or_null(w, refs.parent);
    fg_json_key(w, "references");
    fg_json_array(w);
    while (references_next(&refs, &pos, &id))
        fg_json_string(w, id);
    fg_json_array_end(w);
    fg_json_key(w, "position");
    fg_json_null(w);
    fg_json_object_end(w);

    fg_json_key(w, "relations");
    fg_json_array(w);
    if (refs.parent.len) {
        fg_json_object(w);
        fg_json_kv_cstr(w, "type", "reply");
        fg_json_kv_string(w, "target", refs.parent);
        fg_json_kv_bool(w, "resolved", false);
        fg_json_object_end(w);
    }
    fg_json_array_end(w);
    references_deinit(&refs);
}

/* What later stages of tabulation fill. */
static void write_structure(struct fg_json_writer *w)
{
    static const char *const lists[] = { "parts", "fields", "tables" };

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        fg_json_key(w, lists[i]);
        fg_json_array(w);
        fg_json_array_end(w);
    }
    fg_json_key(w, "signature");
    fg_json_null(w);
}

void document_id(const struct message *m, enum document_change change, struct fg_buf *out)
{
    struct fg_json_value version = m->change_key.kind == FG_JSON_STRING ? m->change_key : m->modified_at;

    fg_buf_clear(out);
    (void)fg_json_decode_string(m->id.raw, out);
    fg_buf_add_char(out, ':');
    if (change == DOCUMENT_DELETED)
        fg_buf_add_str(out, "deleted");
    else if (version.kind == FG_JSON_STRING)
        (void)fg_json_decode_string(version.raw, out);
    else
        fg_buf_add_char(out, '0');
}

void document_write(const struct document_input *in, struct fg_buf *scratch, struct fg_buf *out)
{
    static const struct message gone = { .removed = true };
    const struct message *m = in->change == DOCUMENT_DELETED ? &gone : in->message;
    struct fg_json_writer w = FG_JSON_WRITER_INIT(out);

    fg_json_object(&w);
    fg_json_kv_string(&w, "id", in->id);
    fg_json_kv_string(&w, "mailbox", in->mailbox);
    fg_json_kv_string(&w, "folder", in->folder);
    fg_json_kv_cstr(&w, "change", document_change_names[in->change]);
    write_kv(&w, "internet_message_id", m->internet_message_id, scratch);
    write_kv(&w, "subject", m->subject, scratch);
    write_people(&w, m, scratch);
    fg_json_kv_cstr(&w, "sent_at", m->sent_at.text[0] ? m->sent_at.text : NULL);
    fg_json_kv_cstr(&w, "received_at", m->received_at.text[0] ? m->received_at.text : NULL);
    write_importance(&w, m->importance);
    write_categories(&w, m->categories, scratch);
    write_language(&w, m, scratch);
    fg_json_kv_string(&w, "text", in->text);
    if (in->with_body_text)
        fg_json_kv_string(&w, "body_text", in->text);
    fg_json_kv_bool(&w, "html_truncated", in->truncated);
    write_structure(&w);
    write_thread(&w, m, scratch);
    write_attachments(&w, m->attachments, scratch);
    fg_json_object_end(&w);
}
