/* SPDX-License-Identifier: Apache-2.0 */
/* Which mails a mail answers, from its In-Reply-To and References headers (RFC 5322, 3.6.4). */
#pragma once

#include "message.h"

struct references {
    struct fg_buf in_reply_to, list; /* the headers' texts, owned */
    struct fg_slice parent, root;    /* message ids with their angle brackets; empty: none */
};

/* @bytes_max: of one header's text; a longer one counts as absent. */
void references_init(struct references *r, const struct message *m, size_t bytes_max);
void references_deinit(struct references *r);
/* Walks the ids of References in their order: *pos starts at 0; false at the end. */
bool references_next(const struct references *r, size_t *pos, struct fg_slice *ret);
