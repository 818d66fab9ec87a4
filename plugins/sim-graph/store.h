/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated mailboxes: mails in the order in which they arrive and change. Knows nothing of the host. */
#pragma once

#include <fragua/error.h>
#include <fragua/slice.h>

#define STORE_MAILS_MAX 200000u

struct mail {
    char *mailbox, *folder, *file; /* owned; file: name below the folder, or "" for one that was posted */
    char *id;    /* owned; as Graph calls it */
    char *json;  /* owned; the message resource */
    size_t len;
    uint64_t seq; /* of its last change, from 1; 0: it has not arrived */
    bool deleted;
};

struct store {
    struct mail *mails; /* owned array of n; those that have arrived stand first in no other order than the files' */
    size_t n, cap;
    uint64_t seq; /* the last one given out */
};

void store_deinit(struct store *s);
/* Adds mails below ROOT/MAILBOX/FOLDER/ that are new: *.eml (RFC 5322) and *.json (a message resource with an id). */
int store_scan(struct store *s, const char *root, struct fg_error *err);
/* Adds one mail that has no file. -FG_E_DATA: JSON without id. */
int store_add(struct store *s, struct fg_slice mailbox, struct fg_slice folder, const char *file, struct fg_slice bytes,
              bool json, struct fg_error *err);
/* Lets up to `count` more mails arrive, in order of their files' names; returns how many did. */
size_t store_arrive(struct store *s, size_t count);
/* false: no such mail that has arrived. */
bool store_delete(struct store *s, struct fg_slice id);
const struct mail *store_find(const struct store *s, struct fg_slice mailbox, struct fg_slice id);
/* The change after `seq` in a folder, the lowest; NULL: none. Several mails have several seqs. */
const struct mail *store_after(const struct store *s, struct fg_slice mailbox, struct fg_slice folder, uint64_t seq);
bool store_has_mailbox(const struct store *s, struct fg_slice mailbox);
bool store_has_folder(const struct store *s, struct fg_slice mailbox, struct fg_slice folder);
