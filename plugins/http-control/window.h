/* SPDX-License-Identifier: Apache-2.0 */
/* The latest records of the topics, in memory: a ring bounded by count and by bytes. Knows nothing of the host. */
#pragma once

#include <fragua/kit/json.h>

enum window_kind { WINDOW_DOCUMENT, WINDOW_ENTITIES, _WINDOW_KIND_N };

struct window_item {
    enum window_kind kind;
    uint64_t number;       /* counts up; "before" in the API */
    char *value;           /* owned JSON */
    size_t len;
    struct fg_slice id;    /* raw JSON string of the document's id, inside value */
    struct fg_slice mailbox;
};

struct window {
    struct window_item *items; /* ring of `cap` */
    size_t cap, first, n;
    size_t bytes, bytes_max;
    uint64_t next_number;
};

bool window_init(struct window *w, size_t records_max, size_t bytes_max); /* false: no memory */
void window_deinit(struct window *w);
/*
 * Copies a value in; the oldest make room. One larger than the whole window, or that is no JSON with a document id, is
 * left out: NULL. What is returned is good until the next one is added.
 */
const struct window_item *window_add(struct window *w, enum window_kind kind, struct fg_slice value);

struct window_filter {
    struct fg_slice text, type, mailbox; /* empty: any */
    uint64_t before;                     /* 0: from the newest */
    size_t limit;
};

/* {"documents":[...],"next":N}: whole documents, newest first. */
void window_write_documents(const struct window *w, const struct window_filter *filter, struct fg_json_writer *out);
/*
 * {"entities":[{entity members, "document":{...}}],"next":N}:
 * newest record first, in order inside. The last record may be cut.
 */
void window_write_entities(const struct window *w, const struct window_filter *filter, struct fg_json_writer *out);
/* The newest of a kind with this document id (not JSON); NULL: not in the window. */
const struct window_item *window_find(const struct window *w, enum window_kind kind, struct fg_slice id);
