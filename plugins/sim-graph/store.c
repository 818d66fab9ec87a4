/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated mailboxes: mails in the order in which they arrive and change. */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <fragua/kit/str.h>

#include "message.h"

#define SEQ_REPLACED UINT64_MAX /* of a mail that a newer version stands for */

static void mail_deinit(struct mail *m)
{
    free(m->file);
    free(m->id);
    free(m->json);
}

void store_deinit(struct store *s)
{
    for (size_t i = 0; i < s->n; i++)
        mail_deinit(&s->mails[i]);
    for (size_t i = 0; i < s->n_folders; i++) {
        free(s->folders[i].mailbox);
        free(s->folders[i].name);
        free(s->folders[i].changes);
    }
    free(s->mails);
    free(s->folders);
    free(s->by_file.slots);
    free(s->by_id.slots);
    free(s->by_name.slots);
    free(s->by_mailbox.slots);
    free(s->waiting);
    *s = (struct store){ .mails = NULL };
}

static int no_memory(struct fg_error *err)
{
    (void)fg_error_set(err, FG_E_NO_ROOM, 0, "no memory for another mail, or more than %u of them", STORE_MAILS_MAX);
    return -FG_E_NO_ROOM;
}

/* Room for one more item of `size` bytes in an array. */
static bool make_room(void *array, size_t n, size_t *cap, size_t size)
{
    void **items = array, *more;
    size_t wanted = *cap ? *cap * 2 : 64;

    if (n < *cap)
        return true;
    more = realloc(*items, wanted * size);
    if (!more)
        return false;
    *items = more;
    *cap = wanted;
    return true;
}

static uint64_t hash_of(uint64_t h, struct fg_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * UINT64_C(1099511628211);
    return h ^ h >> 29;
}

static uint64_t file_hash(uint32_t folder, const char *file)
{
    return hash_of(folder + UINT64_C(14695981039346656037), fg_slice_of(file));
}

static uint64_t id_hash(struct fg_slice id)
{
    return hash_of(UINT64_C(14695981039346656037), id);
}

static void table_put(struct table *t, uint64_t hash, uint32_t index)
{
    size_t i = hash & (t->cap - 1);

    while (t->slots[i])
        i = (i + 1) & (t->cap - 1);
    t->slots[i] = index + 1;
}

/* Both tables with room for one mail more. */
static bool grow_tables(struct store *s)
{
    size_t cap = s->by_id.cap ? s->by_id.cap * 2 : 256;
    struct table by_file, by_id;

    if (s->n < s->by_id.cap / 2)
        return true;
    by_file = (struct table){ .slots = calloc(cap, sizeof(uint32_t)), .cap = cap };
    by_id = (struct table){ .slots = calloc(cap, sizeof(uint32_t)), .cap = cap };
    if (!by_file.slots || !by_id.slots) {
        free(by_file.slots);
        free(by_id.slots);
        return false;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->mails[i].file[0])
            table_put(&by_file, file_hash(s->mails[i].folder, s->mails[i].file), i);
        table_put(&by_id, id_hash(fg_slice_of(s->mails[i].id)), i);
    }
    free(s->by_file.slots);
    free(s->by_id.slots);
    s->by_file = by_file;
    s->by_id = by_id;
    return true;
}

static bool known(const struct store *s, uint32_t folder, const char *file)
{
    const struct table *t = &s->by_file;

    for (size_t i = file_hash(folder, file); t->cap && t->slots[i & (t->cap - 1)]; i++) {
        const struct mail *m = &s->mails[t->slots[i & (t->cap - 1)] - 1];
        if (m->folder == folder && strcmp(m->file, file) == 0)
            return true;
    }
    return false;
}

/* A mail that is there now; mailbox empty: in any. */
static struct mail *find(const struct store *s, struct fg_slice mailbox, struct fg_slice id)
{
    const struct table *t = &s->by_id;

    for (size_t i = id_hash(id); t->cap && t->slots[i & (t->cap - 1)]; i++) {
        struct mail *m = &s->mails[t->slots[i & (t->cap - 1)] - 1];
        if (m->seq && m->seq != SEQ_REPLACED && !m->deleted && fg_slice_is(id, m->id) &&
            (!mailbox.len || fg_slice_ieq(mailbox, fg_slice_of(s->folders[m->folder].mailbox))))
            return m;
    }
    return NULL;
}

/* What a new mail takes the place of: the one of that id in its folder, deleted or not. */
static struct mail *find_earlier(const struct store *s, const struct mail *new)
{
    const struct table *t = &s->by_id;

    if (!new->id || !t->cap)
        return NULL;
    for (size_t i = id_hash(fg_slice_of(new->id)); t->slots[i & (t->cap - 1)]; i++) {
        struct mail *m = &s->mails[t->slots[i & (t->cap - 1)] - 1];
        if (m->seq && m->seq != SEQ_REPLACED && m->folder == new->folder && strcmp(m->id, new->id) == 0)
            return m;
    }
    return NULL;
}

const struct mail *store_find(const struct store *s, struct fg_slice mailbox, struct fg_slice id)
{
    return find(s, mailbox, id);
}

/* FNV-1a of a text in lower case. */
static uint64_t name_hash(uint64_t h, struct fg_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        h = (h ^ (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c)) * UINT64_C(1099511628211);
    }
    return h ^ h >> 29;
}

static uint64_t folder_hash(struct fg_slice mailbox, struct fg_slice name)
{
    return name_hash(name_hash(UINT64_C(14695981039346656037), mailbox), name);
}

const struct folder *store_folder(const struct store *s, struct fg_slice mailbox, struct fg_slice name)
{
    const struct table *t = &s->by_name;

    for (size_t i = folder_hash(mailbox, name); t->cap && t->slots[i & (t->cap - 1)]; i++) {
        const struct folder *f = &s->folders[t->slots[i & (t->cap - 1)] - 1];
        if (fg_slice_ieq(name, fg_slice_of(f->name)) && fg_slice_ieq(mailbox, fg_slice_of(f->mailbox)))
            return f;
    }
    return NULL;
}

bool store_has_mailbox(const struct store *s, struct fg_slice mailbox)
{
    const struct table *t = &s->by_mailbox;

    for (size_t i = folder_hash(mailbox, FG_SLICE_NULL); t->cap && t->slots[i & (t->cap - 1)]; i++)
        if (fg_slice_ieq(mailbox, fg_slice_of(s->folders[t->slots[i & (t->cap - 1)] - 1].mailbox)))
            return true;
    return false;
}

static void put_folder(struct store *s, uint32_t i)
{
    struct fg_slice mailbox = fg_slice_of(s->folders[i].mailbox);

    table_put(&s->by_name, folder_hash(mailbox, fg_slice_of(s->folders[i].name)), i);
    if (s->folders[i].first)
        table_put(&s->by_mailbox, folder_hash(mailbox, FG_SLICE_NULL), i);
}

/* Room for one folder more, in the array and in both tables. */
static bool grow_folders(struct store *s)
{
    size_t cap = s->by_name.cap ? s->by_name.cap * 2 : 256;
    uint32_t *names, *mailboxes;

    if (!make_room(&s->folders, s->n_folders, &s->cap_folders, sizeof(*s->folders)))
        return false;
    if (s->n_folders < s->by_name.cap / 2)
        return true;
    names = calloc(cap, sizeof(*names));
    mailboxes = calloc(cap, sizeof(*mailboxes));
    if (!names || !mailboxes) {
        free(names);
        free(mailboxes);
        return false;
    }
    free(s->by_name.slots);
    free(s->by_mailbox.slots);
    s->by_name = (struct table){ names, cap };
    s->by_mailbox = (struct table){ mailboxes, cap };
    for (uint32_t i = 0; i < s->n_folders; i++)
        put_folder(s, i);
    return true;
}

/* The folder, made where there is none. */
static int take_folder(struct store *s, struct fg_slice mailbox, struct fg_slice name, uint32_t *ret,
                       struct fg_error *err)
{
    const struct folder *found = store_folder(s, mailbox, name);
    struct folder f;

    if (!found) {
        if (s->n_folders == STORE_FOLDERS_MAX || !grow_folders(s))
            return no_memory(err);
        f = (struct folder){ .mailbox = fg_strdup_slice(mailbox), .name = fg_strdup_slice(name),
                             .first = !store_has_mailbox(s, mailbox) };
        if (!f.mailbox || !f.name) {
            free(f.mailbox);
            free(f.name);
            return no_memory(err);
        }
        found = &s->folders[s->n_folders];
        s->folders[s->n_folders] = f;
        put_folder(s, (uint32_t)s->n_folders++);
    }
    *ret = (uint32_t)(found - s->folders);
    return 0;
}

int store_add_folder(struct store *s, struct fg_slice mailbox, struct fg_slice folder, struct fg_error *err)
{
    return take_folder(s, mailbox, folder, &(uint32_t){ 0 }, err);
}

/* Writes down that a mail has changed now. false: no memory, nothing changed. */
static bool change(struct store *s, struct mail *m)
{
    struct folder *f = &s->folders[m->folder];

    if (!make_room(&f->changes, f->n, &f->cap, sizeof(*f->changes)))
        return false;
    s->arrived += m->seq == 0;
    m->seq = ++s->seq;
    f->changes[f->n++] = (struct change){ m->seq, (uint32_t)(m - s->mails) };
    return true;
}

/* Index of the first change after `seq`. */
static size_t index_after(const struct folder *f, uint64_t seq)
{
    size_t low = 0, high = f->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->changes[middle].seq > seq)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The mail, unless it changed again: that stands farther on. */
static const struct mail *mail_of(const struct store *s, const struct change *c)
{
    return s->mails[c->mail].seq == c->seq ? &s->mails[c->mail] : NULL;
}

const struct mail *store_after(const struct store *s, const struct folder *f, uint64_t seq)
{
    size_t i = index_after(f, seq);

    while (i < f->n && !mail_of(s, &f->changes[i]))
        i++;
    return i < f->n ? mail_of(s, &f->changes[i]) : NULL;
}

size_t store_before(const struct store *s, const struct folder *f, uint64_t seq, const struct mail **ret, size_t max)
{
    size_t n = 0;

    for (size_t i = index_after(f, seq); i > 0 && n < max; i--)
        if (mail_of(s, &f->changes[i - 1]))
            ret[n++] = mail_of(s, &f->changes[i - 1]);
    for (size_t i = 0; i < n / 2; i++) {
        const struct mail *m = ret[i];
        ret[i] = ret[n - 1 - i];
        ret[n - 1 - i] = m;
    }
    return n;
}

/* Fills in id and json from an RFC 5322 file. */
static void forge(const struct folder *f, struct mail *m, struct fg_slice bytes, uint64_t number)
{
    struct fg_buf where = FG_BUF_INIT(4 * PATH_MAX), json = FG_BUF_INIT(2 * (size_t)MESSAGE_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&json);
    char id[64];

    fg_buf_printf(&where, "%s/%s/%s/%llu", f->mailbox, f->name, m->file,
                  m->file[0] ? 0 : (unsigned long long)number);
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
    struct mail m = { .file = strdup(file) };
    int r = take_folder(s, mailbox, folder, &m.folder, err);

    if (r == 0 && (!m.file || s->n >= STORE_MAILS_MAX || !grow_tables(s) ||
                   !make_room(&s->mails, s->n, &s->cap, sizeof(m)) ||
                   !make_room(&s->waiting, s->n_waiting, &s->cap_waiting, sizeof(*s->waiting))))
        r = no_memory(err);
    if (r == 0 && json)
        r = take_json(&m, bytes, err);
    else if (r == 0)
        forge(&s->folders[m.folder], &m, bytes, s->n);
    if (r == 0 && (!m.id || !m.json))
        r = no_memory(err);
    if (r < 0) {
        mail_deinit(&m);
        return r;
    }
    if (file[0])
        table_put(&s->by_file, file_hash(m.folder, m.file), (uint32_t)s->n);
    table_put(&s->by_id, id_hash(fg_slice_of(m.id)), (uint32_t)s->n);
    s->waiting[s->n_waiting++] = (uint32_t)s->n;
    s->sorted = false;
    s->mails[s->n++] = m;
    return 0;
}

int store_post(struct store *s, struct fg_slice mailbox, struct fg_slice folder, struct fg_slice bytes, bool json,
               struct fg_error *err)
{
    bool sorted = s->sorted;
    int r = store_add(s, mailbox, folder, "", bytes, json, err);
    struct mail *m, *old;

    if (r < 0)
        return r;
    m = &s->mails[s->n - 1];
    s->n_waiting--; /* it stands last: nothing was sorted since */
    s->sorted = sorted;
    old = find_earlier(s, m);
    if (old) {
        old->seq = SEQ_REPLACED;
        s->arrived--;
    }
    return change(s, m) ? 0 : no_memory(err);
}

static int read_whole(const char *path, struct fg_buf *out, struct fg_error *err)
{
    FILE *f = fopen(path, "rb");
    char chunk[65536];
    bool broken;
    size_t n;

    if (!f)
        return fg_error_set(err, FG_E_NOT_FOUND, 0, "cannot read \"%s\": %s", path, strerror(errno));
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        fg_buf_add(out, chunk, n);
    broken = ferror(f) != 0;
    (void)fclose(f);
    if (broken)
        return fg_error_set(err, FG_E_NOT_FOUND, 0, "cannot read \"%s\": it is no file, or its disk fails", path);
    if (out->failed)
        return fg_error_set(err, FG_E_LIMIT, 0, "\"%s\" is larger than %u bytes", path, MESSAGE_MAX);
    return 0;
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* Calls each() for every entry of a folder, sorted by name. */
static int each_entry(const char *path, int (*each)(void *arg, const char *path, const char *name), void *arg,
                      bool below_root, struct fg_error *err)
{
    struct dirent **entries;
    int n = scandir(path, &entries, visible, alphasort), r = 0;

    if (n < 0 && errno == ENOTDIR && below_root)
        return 0;
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
    const char *mailbox, *name;
    uint32_t folder;
    struct fg_error *err;
};

static int scan_file(void *arg, const char *path, const char *name)
{
    struct scan *scan = arg;
    bool json = fg_slice_ends(fg_slice_of(name), (struct fg_slice)FG_SLICE(".json"));
    struct fg_buf bytes = FG_BUF_INIT(MESSAGE_MAX);
    int r;

    if ((!json && !fg_slice_ends(fg_slice_of(name), (struct fg_slice)FG_SLICE(".eml"))) ||
        known(scan->store, scan->folder, name))
        return 0;
    r = read_whole(path, &bytes, scan->err);
    if (r == 0)
        r = store_add(scan->store, fg_slice_of(scan->mailbox), fg_slice_of(scan->name), name, fg_buf_slice(&bytes),
                      json, scan->err);
    fg_buf_deinit(&bytes);
    return r;
}

static int scan_folder(void *arg, const char *path, const char *name)
{
    struct scan *scan = arg;

    struct stat info;
    struct folder *f;
    int r;

    if (stat(path, &info) < 0 || !S_ISDIR(info.st_mode))
        return 0;
    scan->name = name;
    r = take_folder(scan->store, fg_slice_of(scan->mailbox), fg_slice_of(name), &scan->folder, scan->err);
    if (r < 0)
        return r;
    f = &scan->store->folders[scan->folder];
    if (f->read_at == info.st_mtime)
        return 0;
    r = each_entry(path, scan_file, scan, true, scan->err);
    if (r == 0 && time(NULL) > info.st_mtime + 1) /* in the same second another file may still come */
        f->read_at = info.st_mtime;
    return r;
}

static int scan_mailbox(void *arg, const char *path, const char *name)
{
    struct scan *scan = arg;

    scan->mailbox = name;
    return each_entry(path, scan_folder, scan, true, scan->err);
}

int store_scan(struct store *s, const char *root, struct fg_error *err)
{
    struct scan scan = { .store = s, .err = err };

    return each_entry(root, scan_mailbox, &scan, false, err);
}

static int by_file_name(const void *a, const void *b, void *mails)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int r = strcmp(((struct mail *)mails)[x].file, ((struct mail *)mails)[y].file);

    return r ? r : x < y ? -1 : x > y;
}

size_t store_arrive(struct store *s, size_t count)
{
    size_t n = 0;

    if (!s->sorted && s->n_waiting > s->next_waiting)
        qsort_r(s->waiting + s->next_waiting, s->n_waiting - s->next_waiting, sizeof(*s->waiting), by_file_name,
                s->mails);
    s->sorted = true;
    while (n < count && s->next_waiting < s->n_waiting && change(s, &s->mails[s->waiting[s->next_waiting]])) {
        s->next_waiting++;
        n++;
    }
    if (s->next_waiting == s->n_waiting)
        s->next_waiting = s->n_waiting = 0;
    return n;
}

bool store_delete(struct store *s, struct fg_slice id)
{
    struct mail *m = find(s, FG_SLICE_NULL, id);

    if (!m || !change(s, m))
        return false;
    m->deleted = true;
    return true;
}
