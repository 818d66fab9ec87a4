/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated mailboxes: mails in the order in which they arrive and change. */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <fragua/kit/str.h>

#include "message.h"

static void mail_deinit(struct mail *m)
{
    free(m->mailbox);
    free(m->folder);
    free(m->file);
    free(m->id);
    free(m->json);
}

void store_deinit(struct store *s)
{
    for (size_t i = 0; i < s->n; i++)
        mail_deinit(&s->mails[i]);
    free(s->mails);
    *s = (struct store){ .mails = NULL };
}

static int no_memory(struct fg_error *err)
{
    return fg_error_set(err, FG_E_NO_ROOM, 0, "no memory for another mail, or more than %u of them", STORE_MAILS_MAX);
}

static bool make_room(struct store *s)
{
    size_t cap = s->cap ? s->cap * 2 : 64;
    struct mail *more;

    if (s->n < s->cap)
        return true;
    if (s->n >= STORE_MAILS_MAX)
        return false;
    more = realloc(s->mails, cap * sizeof(*more));
    if (!more)
        return false;
    s->mails = more;
    s->cap = cap;
    return true;
}

/* Fills in id and json from an RFC 5322 file. */
static void forge(struct mail *m, struct fg_slice bytes, uint64_t number)
{
    struct fg_buf where = FG_BUF_INIT(PATH_MAX), json = FG_BUF_INIT(2 * (size_t)MESSAGE_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&json);
    char id[64];

    fg_buf_printf(&where, "%s/%s/%s/%llu", m->mailbox, m->folder, m->file, m->file[0] ? 0 : (unsigned long long)number);
    message_id_of(fg_buf_slice(&where), "AAMk", id);
    message_from_rfc5322(bytes, id, "CQAAAA1", &w);
    m->id = strdup(id);
    m->json = fg_buf_steal(&json, &m->len);
    fg_buf_deinit(&where);
    fg_buf_deinit(&json);
}

static int take_json(struct mail *m, struct fg_slice bytes, struct fg_error *err)
{
    struct fg_buf id = FG_BUF_INIT(1024);

    if (!fg_json_valid(bytes) || !fg_json_decode_string(fg_json_find(bytes, "/id").raw, &id) || !id.len) {
        fg_buf_deinit(&id);
        return fg_error_set(err, FG_E_DATA, 0, "\"%s\" is no message resource: no JSON with a string \"id\"", m->file);
    }
    m->id = fg_buf_steal(&id, &(size_t){ 0 });
    m->json = fg_strdup_slice(bytes);
    m->len = bytes.len;
    return 0;
}

int store_add(struct store *s, struct fg_slice mailbox, struct fg_slice folder, const char *file, struct fg_slice bytes,
              bool json, struct fg_error *err)
{
    struct mail m = { .mailbox = fg_strdup_slice(mailbox), .folder = fg_strdup_slice(folder), .file = strdup(file) };
    int r = 0;

    if (!m.mailbox || !m.folder || !m.file || !make_room(s)) {
        mail_deinit(&m);
        return no_memory(err);
    }
    if (json)
        r = take_json(&m, bytes, err);
    else
        forge(&m, bytes, s->n);
    if (r == 0 && (!m.id || !m.json))
        r = no_memory(err);
    if (r < 0) {
        mail_deinit(&m);
        return r;
    }
    s->mails[s->n++] = m;
    return 0;
}

static int read_whole(const char *path, struct fg_buf *out, struct fg_error *err)
{
    FILE *f = fopen(path, "rb");
    char chunk[65536];
    size_t n;

    if (!f)
        return fg_error_set(err, FG_E_NOT_FOUND, 0, "cannot read \"%s\": %s", path, strerror(errno));
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        fg_buf_add(out, chunk, n);
    (void)fclose(f);
    if (out->failed)
        return fg_error_set(err, FG_E_LIMIT, 0, "\"%s\" is larger than %u bytes", path, MESSAGE_MAX);
    return 0;
}

static bool known(const struct store *s, const char *mailbox, const char *folder, const char *file)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->mails[i].file, file) == 0 && strcmp(s->mails[i].mailbox, mailbox) == 0 &&
            strcmp(s->mails[i].folder, folder) == 0)
            return true;
    return false;
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* Calls each() for every entry of a folder, sorted by name. */
static int each_entry(const char *path, int (*each)(void *arg, const char *path, const char *name), void *arg,
                      struct fg_error *err)
{
    struct dirent **entries;
    int n = scandir(path, &entries, visible, alphasort), r = 0;

    if (n < 0)
        return fg_error_set(err, FG_E_NOT_FOUND, 0, "cannot read the folder \"%s\": %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        char below[PATH_MAX];
        int len = snprintf(below, sizeof(below), "%s/%s", path, entries[i]->d_name);
        if (r == 0 && len > 0 && (size_t)len < sizeof(below))
            r = each(arg, below, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return r;
}

struct scan {
    struct store *store;
    const char *mailbox, *folder;
    struct fg_error *err;
};

static int scan_file(void *arg, const char *path, const char *name)
{
    struct scan *scan = arg;
    bool json = fg_slice_ends(fg_slice_of(name), (struct fg_slice)FG_SLICE(".json"));
    struct fg_buf bytes = FG_BUF_INIT(MESSAGE_MAX);
    int r;

    if ((!json && !fg_slice_ends(fg_slice_of(name), (struct fg_slice)FG_SLICE(".eml"))) ||
        known(scan->store, scan->mailbox, scan->folder, name))
        return 0;
    r = read_whole(path, &bytes, scan->err);
    if (r == 0)
        r = store_add(scan->store, fg_slice_of(scan->mailbox), fg_slice_of(scan->folder), name, fg_buf_slice(&bytes),
                      json, scan->err);
    fg_buf_deinit(&bytes);
    return r;
}

static int scan_folder(void *arg, const char *path, const char *name)
{
    struct scan *scan = arg;

    scan->folder = name;
    return each_entry(path, scan_file, scan, scan->err);
}

static int scan_mailbox(void *arg, const char *path, const char *name)
{
    struct scan *scan = arg;

    scan->mailbox = name;
    return each_entry(path, scan_folder, scan, scan->err);
}

int store_scan(struct store *s, const char *root, struct fg_error *err)
{
    struct scan scan = { .store = s, .err = err };

    return each_entry(root, scan_mailbox, &scan, err);
}

/* The mail that arrives next: those without a file at once, then by file name. */
static struct mail *next_to_arrive(const struct store *s)
{
    struct mail *best = NULL;

    for (size_t i = 0; i < s->n; i++)
        if (!s->mails[i].seq && (!best || strcmp(s->mails[i].file, best->file) < 0))
            best = &s->mails[i];
    return best;
}

size_t store_arrive(struct store *s, size_t count)
{
    size_t n = 0;
    struct mail *m;

    while (n < count && (m = next_to_arrive(s))) {
        m->seq = ++s->seq;
        n++;
    }
    return n;
}

bool store_delete(struct store *s, struct fg_slice id)
{
    for (size_t i = 0; i < s->n; i++) {
        struct mail *m = &s->mails[i];
        if (m->seq && !m->deleted && fg_slice_is(id, m->id)) {
            m->deleted = true;
            m->seq = ++s->seq;
            return true;
        }
    }
    return false;
}

const struct mail *store_find(const struct store *s, struct fg_slice mailbox, struct fg_slice id)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->mails[i].seq && !s->mails[i].deleted && fg_slice_is(id, s->mails[i].id) &&
            fg_slice_ieq(mailbox, fg_slice_of(s->mails[i].mailbox)))
            return &s->mails[i];
    return NULL;
}

const struct mail *store_after(const struct store *s, struct fg_slice mailbox, struct fg_slice folder, uint64_t seq)
{
    const struct mail *best = NULL;

    for (size_t i = 0; i < s->n; i++) {
        const struct mail *m = &s->mails[i];
        if (m->seq > seq && (!best || m->seq < best->seq) && fg_slice_ieq(mailbox, fg_slice_of(m->mailbox)) &&
            fg_slice_ieq(folder, fg_slice_of(m->folder)))
            best = m;
    }
    return best;
}

bool store_has_mailbox(const struct store *s, struct fg_slice mailbox)
{
    for (size_t i = 0; i < s->n; i++)
        if (fg_slice_ieq(mailbox, fg_slice_of(s->mails[i].mailbox)))
            return true;
    return false;
}

bool store_has_folder(const struct store *s, struct fg_slice mailbox, struct fg_slice folder)
{
    for (size_t i = 0; i < s->n; i++)
        if (fg_slice_ieq(mailbox, fg_slice_of(s->mails[i].mailbox)) &&
            fg_slice_ieq(folder, fg_slice_of(s->mails[i].folder)))
            return true;
    return false;
}
