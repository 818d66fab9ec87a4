/* SPDX-License-Identifier: Apache-2.0 */
/* The table of mailboxes and their folders. Entries live as long as the instance, so that pointers stay good. */
#include <stdlib.h>

#include <fragua/kit/str.h>
#include <fragua/kit/utf8.h>

#include "source.h"

char *text_copy(struct fg_slice s)
{
    char *copy = fg_strdup_slice(s);

    if (!copy)
        abort();
    return copy;
}

static bool name_ok(struct fg_slice name, size_t max)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] <= 0x20 || name.ptr[i] == 0x7f || name.ptr[i] == '/' || name.ptr[i] == '\\')
            return false;
    return name.len > 0 && name.len <= max && fg_utf8_valid(name);
}

bool mailbox_name_ok(struct fg_slice name)
{
    return name_ok(name, MAILBOX_NAME_MAX);
}

bool folder_name_ok(struct fg_slice name)
{
    return name_ok(name, FOLDER_NAME_MAX) && !fg_slice_is(name, ".") && !fg_slice_is(name, "..");
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* FNV-1a of the name in lower case. */
static uint32_t hash_of(struct fg_slice name)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)lower(name.ptr[i])) * 16777619u;
    return h;
}

static void grow(struct source *s)
{
    size_t n = s->n_buckets ? s->n_buckets * 2 : 64;
    struct mailbox **buckets = calloc(n, sizeof(struct mailbox *));

    if (!buckets)
        abort();
    for (size_t i = 0; i < s->n_buckets; i++) {
        for (struct mailbox *m = s->buckets[i], *next; m; m = next) {
            struct mailbox **bucket = &buckets[hash_of(fg_slice_of(m->name)) & (n - 1)];
            next = m->bucket_next;
            m->bucket_next = *bucket;
            *bucket = m;
        }
    }
    free(s->buckets);
    s->buckets = buckets;
    s->n_buckets = n;
}

static void add_wanted_folders(struct mailbox *m)
{
    const struct fg_strings *folders = &m->source->config->folders;

    for (size_t i = 0; i < folders->len; i++)
        folder_get(m, fg_slice_of(folders->items[i]))->wanted = true;
}

struct mailbox *mailbox_get(struct source *s, struct fg_slice name)
{
    uint32_t hash = hash_of(name);
    struct mailbox *m = s->n_buckets ? s->buckets[hash & (s->n_buckets - 1)] : NULL;

    while (m && !fg_slice_ieq(fg_slice_of(m->name), name))
        m = m->bucket_next;
    if (m || s->n_mailboxes == MAILBOXES_MAX)
        return m;
    if (s->n_mailboxes >= s->n_buckets)
        grow(s);
    m = calloc(1, sizeof(*m));
    if (!m)
        abort();
    m->source = s;
    m->name = text_copy(name);
    for (size_t i = 0; i < name.len; i++)
        m->name[i] = lower(m->name[i]);
    m->bucket_next = s->buckets[hash & (s->n_buckets - 1)];
    s->buckets[hash & (s->n_buckets - 1)] = m;
    s->n_mailboxes++;
    add_wanted_folders(m);
    return m;
}

struct mailbox *mailbox_next(const struct source *s, const struct mailbox *after)
{
    size_t i = after ? (hash_of(fg_slice_of(after->name)) & (s->n_buckets - 1)) + 1 : 0;

    if (after && after->bucket_next)
        return after->bucket_next;
    for (; i < s->n_buckets; i++)
        if (s->buckets[i])
            return s->buckets[i];
    return NULL;
}

void mailbox_list(struct mailbox *m, bool listed)
{
    listed = listed && !m->excluded;
    if (m->listed == listed)
        return;
    m->listed = listed;
    for (struct folder *f = m->folders; f; f = f->next)
        folder_count(f);
    poll_arrange(m);
}

struct folder *folder_get(struct mailbox *m, struct fg_slice name)
{
    struct folder **at = &m->folders;
    struct fg_buf key = FG_BUF_INIT(MAILBOX_NAME_MAX + 1 + FOLDER_NAME_MAX);

    for (; *at; at = &(*at)->next)
        if (fg_slice_is(name, (*at)->name))
            return *at;
    *at = calloc(1, sizeof(**at));
    if (!*at)
        abort();
    fg_buf_printf(&key, "%s/%.*s", m->name, FG_SLICE_ARG(name));
    (*at)->mailbox = m;
    (*at)->name = text_copy(name);
    (*at)->key = text_copy(fg_buf_slice(&key));
    (*at)->page_size = (int)m->source->config->page_size;
    fg_buf_deinit(&key);
    return *at;
}

bool cursor_key_read(struct fg_slice key, struct fg_slice *ret_mailbox, struct fg_slice *ret_folder, int64_t *ret_slot)
{
    static const struct fg_slice seen = FG_SLICE("seen.");
    struct fg_slice rest, last;
    bool more;

    (void)fg_slice_cut(key, '/', ret_mailbox, &rest);
    more = fg_slice_cut(rest, '/', ret_folder, &last);
    *ret_slot = -1;
    if (!mailbox_name_ok(*ret_mailbox) || !folder_name_ok(*ret_folder))
        return false;
    if (!more)
        return true;
    return fg_slice_starts(last, seen) && fg_parse_int(fg_slice_sub(last, seen.len, last.len), ret_slot) &&
           *ret_slot >= 0 && *ret_slot < SLOTS_MAX;
}

void cursor_key_write(const struct folder *f, uint32_t slot, struct fg_buf *key)
{
    fg_buf_clear(key);
    fg_buf_printf(key, "%s/seen.%u", f->key, slot);
}

static struct mailbox *mailbox_free(struct mailbox *m)
{
    struct mailbox *next = m->bucket_next;

    while (m->folders) {
        struct folder *f = m->folders;
        m->folders = f->next;
        free(f->name);
        free(f->key);
        free(f->cursor);
        free(f->restart);
        memory_clear(&f->memory);
        free(f);
    }
    free(m->name);
    free(m);
    return next;
}

void mailboxes_free(struct source *s)
{
    for (size_t i = 0; i < s->n_buckets; i++)
        for (struct mailbox *m = s->buckets[i]; m;)
            m = mailbox_free(m);
    free(s->buckets);
    s->buckets = NULL;
    s->n_buckets = s->n_mailboxes = 0;
}
