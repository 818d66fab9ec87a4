/* SPDX-License-Identifier: Apache-2.0 */
/* What Graph answers: pages of messages and of users, and errors. Knows nothing of the host. */
#pragma once

#include <fragua/error.h>
#include <fragua/kit/json.h>

#include "memory.h"

#define PAGE_ITEMS_MAX 10000u  /* of one page; Graph gives 1,000 at most */
#define MESSAGE_ID_MAX 2048u   /* bytes of a message's or conversation's id, as JSON */
#define NEW_WITHIN_MS 60000    /* between creation and last change of a message that counts as new */
#define TIME_UNKNOWN INT64_MIN

/* A message as it stands in the page. Slices point into the page's bytes. */
struct message {
    struct fg_slice raw;          /* the whole JSON object */
    struct fg_slice id;           /* JSON string with quotes, never empty */
    struct fg_slice conversation; /* JSON string with quotes; empty: not given */
    int64_t received_ms, created_ms, modified_ms; /* Unix time; TIME_UNKNOWN: not given */
    struct memory_marks marks;    /* what it is remembered by */
    bool removed;                 /* deleted, or moved out of the folder */
    bool repeated;                /* handed on before; false until somebody looked */
};

struct page {
    struct message *messages; /* owned array of n */
    size_t n, cap;
    char *next;  /* owned, NUL-ended: the next page; NULL: this was the last one of the round */
    char *delta; /* owned, NUL-ended: where the next round begins; exactly one of the two is set */
};

/*
 * page_read() - check a delta page and find its messages and links
 * @body: must outlive *ret
 *
 * The whole text must be JSON, every item an object with an id, and exactly one link must be there: a page that is
 * not sound is refused whole, so that no message is lost on the way.
 * Return: 0; -FG_E_PROTOCOL or -FG_E_LIMIT with *ret empty. Any thread.
 * Source: Graph API, message: delta.
 */
int page_read(struct fg_slice body, struct page *ret, struct fg_error *err);
void page_deinit(struct page *page); /* NULL and repeated calls allowed */

/* "created", "updated" or "deleted". Graph does not say which: @first_walk, when all is new, or the dates decide. */
const char *message_change(const struct message *message, bool first_walk);

/* @address: mail address or user principal name, decoded; never empty. */
typedef void (*page_user_cb)(void *arg, struct fg_slice address);
/* Reads a page of GET /users. @ret_next: owned by the caller, NULL on the last page. */
int page_read_users(struct fg_slice body, page_user_cb cb, void *arg, char **ret_next, struct fg_error *err);

/* RFC 3339 in UTC as Graph writes it, "2026-01-31T08:15:00Z", with or without a fraction; else TIME_UNKNOWN. */
int64_t page_time_ms(struct fg_slice text);
