/* SPDX-License-Identifier: Apache-2.0 */
/* Reads Graph's pages by the kit's scanner: each byte is looked at a few times, nothing is copied but links. */
#include "page.h"

#include <stdlib.h>

#include <fragua/kit/str.h>

#include "url.h"

/* The members of a page that matter. */
struct outline {
    struct fg_json_value value, next, delta;
};

static int read_outline(struct fg_slice body, struct outline *ret, struct fg_error *err)
{
    struct fg_json_value whole, member;
    struct fg_slice key;
    size_t pos = 0;

    *ret = (struct outline){ .value = { .kind = FG_JSON_NONE } };
    if (!fg_json_valid(body))
        return fg_error_set(err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "Graph's answer of %zu bytes is no JSON", body.len);
    whole = fg_json_find(body, "");
    while (fg_json_each(whole, &pos, &key, &member)) {
        struct fg_json_value *slot = fg_json_string_is(key, "value")             ? &ret->value
                                     : fg_json_string_is(key, "@odata.nextLink")  ? &ret->next
                                     : fg_json_string_is(key, "@odata.deltaLink") ? &ret->delta
                                                                                  : NULL;
        if (slot && slot->kind == FG_JSON_NONE && member.kind != FG_JSON_NULL)
            *slot = member;
    }
    if (ret->value.kind != FG_JSON_ARRAY)
        return fg_error_set(err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "Graph's answer has no array \"value\"");
    return 0;
}

static int read_link(struct fg_json_value link, char **ret, struct fg_error *err)
{
    struct fg_buf text = FG_BUF_INIT(URL_MAX);

    *ret = NULL;
    if (link.kind == FG_JSON_NONE)
        return 0;
    if (!fg_json_decode_string(link.raw, &text) || !text.len || memchr(text.data, '\0', text.len)) {
        fg_buf_deinit(&text);
        return fg_error_set(err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE,
                            "Graph's answer has a link that is no text of 1 to %u bytes", URL_MAX);
    }
    *ret = fg_buf_steal(&text, NULL);
    return 0;
}

static bool digits(struct fg_slice s, size_t from, size_t n, int *ret)
{
    *ret = 0;
    for (size_t i = from; i < from + n; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        *ret = *ret * 10 + (s.ptr[i] - '0');
    }
    return true;
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar; March is the first month, so that leap days come last. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int64_t page_time_ms(struct fg_slice s)
{
    int year, month, day, hour, minute, second, ms = 0, scale = 100;
    size_t i = 19;

    if (s.len < 20 || s.ptr[4] != '-' || s.ptr[7] != '-' || (s.ptr[10] | 0x20) != 't' || s.ptr[13] != ':' ||
        s.ptr[16] != ':' || !digits(s, 0, 4, &year) || !digits(s, 5, 2, &month) || !digits(s, 8, 2, &day) ||
        !digits(s, 11, 2, &hour) || !digits(s, 14, 2, &minute) || !digits(s, 17, 2, &second))
        return TIME_UNKNOWN;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
        return TIME_UNKNOWN;
    if (s.ptr[i] == '.')
        for (i++; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++, scale /= 10)
            ms += (s.ptr[i] - '0') * scale;
    if (i + 1 != s.len || (s.ptr[i] | 0x20) != 'z')
        return TIME_UNKNOWN;
    return ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60000 + second * 1000 + ms;
}

static int64_t read_time(struct fg_json_value v)
{
    /* a date holds nothing that JSON would escape */
    return v.kind == FG_JSON_STRING ? page_time_ms(fg_slice_sub(v.raw, 1, v.raw.len - 1)) : TIME_UNKNOWN;
}

/* The text of a JSON string; decoded into the buffer where something is escaped, as Graph does with '+'. */
static struct fg_slice text_of(struct fg_slice raw, struct fg_buf *buf)
{
    if (!memchr(raw.ptr, '\\', raw.len))
        return fg_slice_sub(raw, 1, raw.len - 1);
    return fg_json_decode_string(raw, buf) ? fg_buf_slice(buf) : raw;
}

/*
 * A mail's version is its changeKey. Without one it is the whole item: two versions never look the same then, as they
 * might by a date.
 */
static struct memory_marks marks_of(const struct message *m, struct fg_slice change_key)
{
    struct fg_buf id = FG_BUF_INIT(MESSAGE_ID_MAX), key = FG_BUF_INIT(MESSAGE_ID_MAX);
    bool is_key = change_key.len > 2 && change_key.len <= MESSAGE_ID_MAX;
    struct fg_slice version = m->removed ? FG_SLICE_NULL : is_key ? text_of(change_key, &key) : m->raw;
    struct memory_marks marks = memory_marks_of(text_of(m->id, &id), version, is_key);

    fg_buf_deinit(&id);
    fg_buf_deinit(&key);
    return marks;
}

static void read_member(struct message *m, struct fg_slice *change_key, struct fg_slice key, struct fg_json_value v)
{
    if (fg_json_string_is(key, "id")) {
        if (v.kind == FG_JSON_STRING && !m->id.len)
            m->id = v.raw;
    } else if (fg_json_string_is(key, "conversationId")) {
        if (v.kind == FG_JSON_STRING && v.raw.len > 2 && v.raw.len <= MESSAGE_ID_MAX)
            m->conversation = v.raw;
    } else if (fg_json_string_is(key, "receivedDateTime")) {
        m->received_ms = read_time(v);
    } else if (fg_json_string_is(key, "createdDateTime")) {
        m->created_ms = read_time(v);
    } else if (fg_json_string_is(key, "lastModifiedDateTime")) {
        m->modified_ms = read_time(v);
    } else if (fg_json_string_is(key, "changeKey")) {
        if (v.kind == FG_JSON_STRING && !change_key->len)
            *change_key = v.raw;
    } else if (fg_json_string_is(key, "@removed")) {
        m->removed = v.kind != FG_JSON_NULL;
    }
}

static int read_message(struct page *page, struct fg_json_value item, struct fg_error *err)
{
    struct message m = { .raw = item.raw, .received_ms = TIME_UNKNOWN, .created_ms = TIME_UNKNOWN,
                         .modified_ms = TIME_UNKNOWN };
    struct fg_slice key, change_key = FG_SLICE_NULL;
    struct fg_json_value member;
    size_t pos = 0;

    if (item.kind != FG_JSON_OBJECT)
        return fg_error_set(err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "item %zu of Graph's page is no object", page->n);
    while (fg_json_each(item, &pos, &key, &member))
        read_member(&m, &change_key, key, member);
    if (m.id.len <= 2 || m.id.len > MESSAGE_ID_MAX)
        return fg_error_set(err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "item %zu of Graph's page has no id of 1 to %u "
                            "bytes", page->n, MESSAGE_ID_MAX - 2);
    if (page->n == PAGE_ITEMS_MAX)
        return fg_error_set(err, FG_E_LIMIT, FG_ERROR_RETRIABLE, "Graph's page has more than %u items", PAGE_ITEMS_MAX);
    if (page->n == page->cap) {
        size_t cap = page->cap ? page->cap * 2 : 64;
        struct message *more = realloc(page->messages, cap * sizeof(*more));
        if (!more)
            return fg_error_set(err, FG_E_INTERNAL, FG_ERROR_RETRIABLE, "no memory for a page");
        page->messages = more;
        page->cap = cap;
    }
    m.marks = marks_of(&m, change_key);
    page->messages[page->n++] = m;
    return 0;
}

static int read_page(struct fg_slice body, struct page *page, struct fg_error *err)
{
    struct fg_json_value item;
    struct outline outline;
    size_t pos = 0;
    int r = read_outline(body, &outline, err);

    while (r == 0 && fg_json_each(outline.value, &pos, NULL, &item))
        r = read_message(page, item, err);
    if (r == 0)
        r = read_link(outline.next, &page->next, err);
    if (r == 0)
        r = read_link(outline.delta, &page->delta, err);
    if (r == 0 && !page->next == !page->delta)
        r = fg_error_set(err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "Graph's page has %s",
                         page->next ? "both a next and a delta link" : "neither a next nor a delta link");
    return r;
}

int page_read(struct fg_slice body, struct page *ret, struct fg_error *err)
{
    int r;

    *ret = (struct page){ .n = 0 };
    r = read_page(body, ret, err);
    if (r < 0)
        page_deinit(ret);
    return r;
}

void page_deinit(struct page *page)
{
    if (!page)
        return;
    free(page->messages);
    free(page->next);
    free(page->delta);
    *page = (struct page){ .n = 0 };
}

const char *message_change(const struct message *m, bool first_walk)
{
    if (m->removed)
        return "deleted";
    if (first_walk)
        return "created";
    if (m->created_ms == TIME_UNKNOWN || m->modified_ms == TIME_UNKNOWN)
        return "updated"; /* Graph may leave out what did not change */
    return m->modified_ms - m->created_ms <= NEW_WITHIN_MS ? "created" : "updated";
}

int page_read_users(struct fg_slice body, page_user_cb cb, void *arg, char **ret_next, struct fg_error *err)
{
    struct fg_buf address = FG_BUF_INIT(MESSAGE_ID_MAX);
    struct fg_json_value user;
    struct outline outline;
    size_t pos = 0;
    int r = read_outline(body, &outline, err);

    if (r == 0)
        r = read_link(outline.next, ret_next, err);
    while (r == 0 && fg_json_each(outline.value, &pos, NULL, &user)) {
        struct fg_json_value mail = fg_json_find(user.raw, "/mail");
        struct fg_json_value name = fg_json_find(user.raw, "/userPrincipalName");

        fg_buf_clear(&address);
        if (fg_json_decode_string(mail.kind == FG_JSON_STRING && mail.raw.len > 2 ? mail.raw : name.raw, &address) &&
            address.len > 0)
            cb(arg, fg_buf_slice(&address));
    }
    fg_buf_deinit(&address);
    return r;
}
