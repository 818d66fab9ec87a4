/* SPDX-License-Identifier: Apache-2.0 */
/* Lists and reads a folder, and remembers what was read. */
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fragua/kit/buf.h>
#include <fragua/kit/str.h>
#include <fragua/kit/utf8.h>

#define ID_DIGITS 16u
#define STEP      1000u /* entries by which arrays grow */

static int64_t ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* FNV-1a, then mixed so that the first digit is as good as the last. */
static uint64_t add_bytes(uint64_t sum, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
    return sum;
}

static uint64_t id_of(const char *name, int64_t size, int64_t modified_ns)
{
    uint64_t sum = add_bytes(14695981039346656037u, name, strlen(name) + 1);

    sum = add_bytes(sum, &size, sizeof(size));
    sum = add_bytes(sum, &modified_ns, sizeof(modified_ns));
    sum = (sum ^ (sum >> 33)) * 0xff51afd7ed558ccdu;
    return sum ^ (sum >> 29);
}

/* ---- ids ---- */

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static bool ids_have(const struct ids *ids, uint64_t id)
{
    return ids->n && bsearch(&id, ids->items, ids->n, sizeof(id), compare_ids);
}

static size_t shard_of(uint64_t id)
{
    return (size_t)(id >> 60);
}

bool seen_has(const struct seen *seen, uint64_t id)
{
    return ids_have(&seen->shards[shard_of(id)], id);
}

void seen_add(struct seen *seen, uint64_t id)
{
    struct ids *ids = &seen->shards[shard_of(id)];
    size_t at = ids->n++;

    for (; at > 0 && ids->items[at - 1] > id; at--)
        ids->items[at] = ids->items[at - 1];
    ids->items[at] = id;
    seen->changed[shard_of(id)] = true;
}

bool seen_copy(const struct seen *seen, size_t more, struct seen *ret)
{
    *ret = (struct seen){ .changed = { false } };
    for (size_t i = 0; i < SHARDS; i++) {
        const struct ids *from = &seen->shards[i];
        struct ids *to = &ret->shards[i];
        to->items = malloc((from->n + more) * sizeof(uint64_t));
        if (!to->items) {
            seen_free(ret);
            return false;
        }
        if (from->n)
            memcpy(to->items, from->items, from->n * sizeof(uint64_t));
        to->n = from->n;
    }
    return true;
}

void seen_free(struct seen *seen)
{
    for (size_t i = 0; i < SHARDS; i++)
        free(seen->shards[i].items);
    *seen = (struct seen){ .changed = { false } };
}

bool seen_write(struct seen *seen, const struct ids *present, char *ret[SHARDS])
{
    for (size_t i = 0; i < SHARDS; i++) {
        struct ids *ids = &seen->shards[i];
        size_t n = 0;
        if (!seen->changed[i])
            continue;
        ret[i] = malloc(ids->n * ID_DIGITS + 1);
        if (!ret[i])
            return false;
        for (size_t k = 0; k < ids->n; k++) {
            if (!ids_have(present, ids->items[k]))
                continue;
            (void)snprintf(ret[i] + n * ID_DIGITS, ID_DIGITS + 1, "%016" PRIx64, ids->items[k]);
            ids->items[n++] = ids->items[k];
        }
        ids->n = n;
        seen->changed[i] = false;
    }
    return true;
}

bool seen_read(struct seen *seen, size_t shard, struct fg_slice cursor)
{
    struct ids ids = { calloc(cursor.len / ID_DIGITS + 1, sizeof(uint64_t)), cursor.len / ID_DIGITS };
    bool good = ids.items && cursor.len % ID_DIGITS == 0;

    for (size_t i = 0; good && i < cursor.len; i++) {
        int digit = fg_hex_digit(cursor.ptr[i]);
        good = digit >= 0;
        ids.items[i / ID_DIGITS] = ids.items[i / ID_DIGITS] << 4 | (uint64_t)(digit & 15);
    }
    if (!good) {
        free(ids.items);
        return false;
    }
    qsort(ids.items, ids.n, sizeof(uint64_t), compare_ids);
    free(seen->shards[shard].items);
    seen->shards[shard] = ids;
    return true;
}

/* ---- the folder ---- */

static int compare_files(const void *a, const void *b)
{
    const struct file *x = a, *y = b;

    if (x->modified_ns != y->modified_ns)
        return x->modified_ns < y->modified_ns ? -1 : 1;
    return strcmp(x->name, y->name);
}

void listing_free(struct listing *listing)
{
    for (size_t i = 0; i < listing->n; i++)
        free(listing->files[i].name);
    free(listing->files);
    free(listing->present.items);
    *listing = (struct listing){ .files = NULL };
}

static int no_memory(struct fg_error *err)
{
    return fg_error_set(err, FG_E_NO_ROOM, FG_ERROR_RETRIABLE, "no memory for the list of files");
}

/* The array with room for one more; NULL: no memory, and it is as it was. */
static void *grow(void *items, size_t n, size_t size)
{
    return n % STEP ? items : realloc(items, (n + STEP) * size);
}

static int add_entry(struct listing *l, const char *folder, const char *name, const struct stat *st, bool is_new,
                     struct fg_error *err)
{
    int64_t modified_ns = ns_of(st->st_mtim);
    struct file *files;
    uint64_t *ids;
    char *copy;

    if (l->present.n == FILES_MAX)
        return fg_error_set(err, FG_E_LIMIT, FG_ERROR_RETRIABLE,
                            "folder \"%.120s\" holds more than %u files: take away those that were read", folder,
                            FILES_MAX);
    ids = grow(l->present.items, l->present.n, sizeof(*ids));
    if (!ids)
        return no_memory(err);
    l->present.items = ids;
    ids[l->present.n] = id_of(name, st->st_size, modified_ns);
    if (is_new) {
        files = grow(l->files, l->n, sizeof(*files));
        l->files = files ? files : l->files;
        copy = files ? strdup(name) : NULL;
        if (!copy)
            return no_memory(err);
        files[l->n++] = (struct file){ copy, ids[l->present.n], modified_ns, st->st_size };
    }
    l->present.n++;
    return 0;
}

static int add_all(DIR *dir, const char *folder, int64_t before_ms, const struct seen *seen, struct listing *l,
                   struct fg_error *err)
{
    const struct dirent *entry;
    struct stat st;
    int r = 0;

    while (r == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* hidden, or gone already */
        if (!S_ISREG(st.st_mode))
            continue;
        /* nobody can set the time of change, so it tells of moved files too that their time of modification is old */
        r = add_entry(l, folder, entry->d_name, &st,
                      ns_of(st.st_ctim) / 1000000 <= before_ms &&
                          !seen_has(seen, id_of(entry->d_name, st.st_size, ns_of(st.st_mtim))),
                      err);
    }
    if (r == 0 && errno)
        r = fg_error_set(err, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "cannot list folder \"%.120s\": %s", folder,
                         strerror(errno));
    return r;
}

int listing_make(const char *folder, int64_t before_ms, const struct seen *seen, struct listing *ret,
                 struct fg_error *err)
{
    DIR *dir = opendir(folder);
    int r;

    *ret = (struct listing){ .files = NULL };
    if (!dir)
        return fg_error_set(err, errno == ENOENT ? FG_E_NOT_FOUND : FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE,
                            "cannot list folder \"%.120s\": %s", folder, strerror(errno));
    r = add_all(dir, folder, before_ms, seen, ret, err);
    (void)closedir(dir);
    if (r < 0) {
        listing_free(ret);
        return r;
    }
    if (ret->n)
        qsort(ret->files, ret->n, sizeof(*ret->files), compare_files);
    if (ret->present.n)
        qsort(ret->present.items, ret->present.n, sizeof(uint64_t), compare_ids);
    return 0;
}

static bool is_same(int fd, const struct file *file)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == file->size &&
           ns_of(st.st_mtim) == file->modified_ns;
}

/* All of a file that has not changed since it was listed, not even while it is read. */
static enum reading read_all(int fd, const struct file *file, char **ret, int *ret_errno)
{
    size_t size = (size_t)file->size, n = 0;
    char *bytes = malloc(size + 1);
    ssize_t got = 1;

    *ret_errno = ENOMEM;
    if (!bytes)
        return READ_FAILED;
    while (n < size && (got = read(fd, bytes + n, size - n)) > 0)
        n += (size_t)got;
    *ret_errno = errno;
    if (got >= 0 && n == size && is_same(fd, file)) {
        *ret = bytes;
        return READ_WHOLE;
    }
    free(bytes);
    return got < 0 ? READ_FAILED : READ_CHANGED;
}

enum reading listing_read(const char *folder, const struct file *file, size_t max, char **ret, struct fg_error *err)
{
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), why = errno, fd;
    enum reading outcome = READ_CHANGED;

    fd = dir < 0 ? -1 : openat(dir, file->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    why = dir < 0 ? why : errno;
    if (fd < 0)
        outcome = why == ENOENT || why == ELOOP ? READ_CHANGED : READ_FAILED;
    else if (is_same(fd, file) && (size_t)file->size > max)
        outcome = READ_TOO_LARGE;
    else if (is_same(fd, file))
        outcome = read_all(fd, file, ret, &why);
    if (fd >= 0)
        (void)close(fd);
    if (dir >= 0)
        (void)close(dir);
    if (outcome == READ_TOO_LARGE)
        (void)fg_error_set(err, FG_E_LIMIT, 0, "the file has %" PRId64 " bytes, `max-bytes` lets %zu in", file->size,
                           max);
    if (outcome == READ_FAILED) {
        char name[3 * NAME_BYTES_MAX + 1];
        struct fg_slice text = listing_name_text(file, name, sizeof(name));
        (void)fg_error_set(err, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "cannot read \"%.*s\" of the folder: %s",
                           text.len < 150 ? (int)text.len : 150, text.ptr, strerror(why));
    }
    return outcome;
}

struct fg_slice listing_name_text(const struct file *file, char *buf, size_t size)
{
    struct fg_buf out = FG_BUF_INIT(size - 1);
    size_t n;

    fg_utf8_repair(fg_slice_of(file->name), &out);
    n = out.len;
    if (n)
        memcpy(buf, out.data, n);
    buf[n] = '\0';
    fg_buf_deinit(&out);
    return fg_slice_make(buf, n);
}

struct fg_slice listing_id_text(const struct file *file, char buf[17])
{
    (void)snprintf(buf, 17, "%016" PRIx64, file->id);
    return fg_slice_make(buf, ID_DIGITS);
}
