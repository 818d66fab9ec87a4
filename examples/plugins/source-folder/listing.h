/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in a folder, and which of it was read already. Knows nothing of the host; any thread, blocking.
 *
 * A file is its name, size and time of modification: the sum of these, its id, is what is remembered. So a file that is
 * changed counts as another one, and a file that is touched by nobody is read once, whatever happens in between.
 */
#pragma once

#include <fragua/error.h>
#include <fragua/slice.h>

#define FILES_MAX      50000u /* in a folder: so many ids fit the cursors */
#define NAME_BYTES_MAX 255u
#define SHARDS         16u /* cursors that share the ids, by their first digit: a cursor's value has 64 KiB at most */
#define CURSOR_KEY     "folder/0" /* "<owner>/<rest>": one owner, so all shards are always on one replica */

/* Sorted ids. */
struct ids {
    uint64_t *items; /* owned array of n */
    size_t n;
};

/* The ids of all files that became records, by shard. */
struct seen {
    struct ids shards[SHARDS];
    bool changed[SHARDS];
};

struct file {
    char *name; /* owned, NUL-ended bytes, any but '/' */
    uint64_t id;
    int64_t modified_ns; /* Unix time */
    int64_t size;        /* bytes */
};

struct listing {
    struct file *files; /* owned array of n: those to read, oldest first; `next` of them are done */
    size_t n, next;
    struct ids present; /* all that were there, read or not */
    bool bad;           /* one of them cannot be read */
};

enum reading { READ_WHOLE, READ_TOO_LARGE, READ_CHANGED, READ_FAILED };

/*
 * listing_make() - look for regular files that are not in `seen`, and that nobody has changed since @before_ms
 *
 * Names that begin with a dot are passed over, as are links: what writes under such a name and renames is never read
 * half. @ret: freed by listing_free(). Return: 0; negative with err set.
 */
int listing_make(const char *folder, int64_t before_ms, const struct seen *seen, struct listing *ret,
                 struct fg_error *err);
void listing_free(struct listing *listing);
/* Reads a file as it was listed. @ret: owned by the caller, set for READ_WHOLE; err: set for TOO_LARGE and FAILED. */
enum reading listing_read(const char *folder, const struct file *file, size_t max, char **ret, struct fg_error *err);
/* The name as UTF-8, each byte that is none as U+FFFD. @buf: 3 * NAME_BYTES_MAX + 1 bytes. */
struct fg_slice listing_name_text(const struct file *file, char *buf, size_t size);
struct fg_slice listing_id_text(const struct file *file, char buf[17]);

/* A copy with room for @more ids. False: no memory. */
bool seen_copy(const struct seen *seen, size_t more, struct seen *ret);
void seen_free(struct seen *seen);
bool seen_has(const struct seen *seen, uint64_t id);
void seen_add(struct seen *seen, uint64_t id); /* there must be room */
/* Cursors of the shards that changed, without the ids of files that are gone. @ret: owned texts. False: no memory. */
bool seen_write(struct seen *seen, const struct ids *present, char *ret[SHARDS]);
/* A shard as seen_write() wrote it. False: it is none, or no memory. */
bool seen_read(struct seen *seen, size_t shard, struct fg_slice cursor);
