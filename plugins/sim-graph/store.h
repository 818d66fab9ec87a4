/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated mailboxes: mails in the order in which they arrive and change. Knows nothing of the host. */
#pragma once

#include <fragua/error.h>
#include <fragua/slice.h>

#define STORE_MAILS_MAX 200000u
#define STORE_FOLDERS_MAX 20000u

struct mail {
    uint32_t folder; /* index into store.folders */
    char *file;      /* owned; name below the folder, or "" for one that was posted */
    char *id;        /* owned; as Graph calls it */
    char *json;      /* owned; the message resource */
    size_t len;
    uint64_t seq; /* of its last change, from 1; 0: it has not arrived */
    bool deleted;
};

struct change {
    uint64_t seq;
    uint32_t mail; /* it changed again since when its seq is another */
};

struct folder {
    char *mailbox, *name; /* owned; found in any case */
    struct change *changes; /* owned array of n, ascending */
    size_t n, cap;
    bool first;       /* of its mailbox */
    uint64_t expired; /* tokens before this one are no longer known */
    int64_t read_at; /* when its directory had changed last as it was read whole; 0: never */
};

/* A hash table of indexes into an array; open addressing, at most half full. */
struct table {
    uint32_t *slots; /* owned array of cap, a power of two; index + 1, 0: free */
    size_t cap;
};

struct store {
    struct mail *mails; /* owned array of n */
    size_t n, cap;
    struct folder *folders; /* owned array of n_folders */
    size_t n_folders, cap_folders;
    struct table by_file, by_id;       /* mails */
    struct table by_name, by_mailbox;  /* folders; the first one of each mailbox */
    uint32_t *waiting; /* owned array of n_waiting: those that have not arrived; from next_waiting on, by file name */
    size_t n_waiting, next_waiting, cap_waiting;
    bool sorted;
    uint64_t seq;  /* the last one given out */
    size_t arrived;
};

void store_deinit(struct store *s);
/*
 * Adds mails below ROOT/MAILBOX/FOLDER/ that are new: *.eml (RFC 5322), *.json (a message resource with an id). Names
 * with a dot first, and what is no folder where one should be, are passed over.
 */
int store_scan(struct store *s, const char *root, struct fg_error *err);
/* Adds a folder without mails, where there is none. */
int store_add_folder(struct store *s, struct fg_slice mailbox, struct fg_slice folder, struct fg_error *err);
/* Adds one mail that waits for its arrival. -FG_E_DATA: JSON without id. */
int store_add(struct store *s, struct fg_slice mailbox, struct fg_slice folder, const char *file, struct fg_slice bytes,
              bool json, struct fg_error *err);
/* Lets a mail arrive at once; a message resource whose id is in the folder already is a new version of it. */
int store_post(struct store *s, struct fg_slice mailbox, struct fg_slice folder, struct fg_slice bytes, bool json,
               struct fg_error *err);
/* Lets up to `count` more mails arrive, in order of their files' names; returns how many did. */
size_t store_arrive(struct store *s, size_t count);
/* false: no such mail that has arrived. */
bool store_delete(struct store *s, struct fg_slice id);
/* Mailbox empty: any. */
const struct mail *store_find(const struct store *s, struct fg_slice mailbox, struct fg_slice id);
/* NULL: none. Valid until a mail is added. */
const struct folder *store_folder(const struct store *s, struct fg_slice mailbox, struct fg_slice name);
/* The change after `seq` in a folder, the lowest; NULL: none. */
const struct mail *store_after(const struct store *s, const struct folder *folder, uint64_t seq);
/* The last changes up to `seq`, at most `max`, the earliest first; returns how many. */
size_t store_before(const struct store *s, const struct folder *folder, uint64_t seq, const struct mail **ret,
                    size_t max);
bool store_has_mailbox(const struct store *s, struct fg_slice mailbox);
