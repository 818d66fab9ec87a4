/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a Graph message and its text to the value of a document record (schemas/fragua.mail.document.v1.json, to which a
 * test holds it). A new member is read in message.c, written in document_write(), and described in the schema.
 */
#pragma once

#include "message.h"

enum document_change { DOCUMENT_CREATED, DOCUMENT_UPDATED, DOCUMENT_DELETED, _DOCUMENT_CHANGE_N };

extern const char *const document_change_names[]; /* by enum document_change, NULL-ended */

struct document_input {
    const struct message *message;
    struct fg_slice id; /* document_id()'s */
    struct fg_slice mailbox, folder;
    enum document_change change;
    struct fg_slice text;  /* valid UTF-8 */
    bool truncated;        /* text is not all, or its layout is not the mail's */
    bool with_body_text;
};

/*
 * document_id() - the id of this version of this mail: "<message id>:<change key>", and ":deleted" for one that is gone
 * @out: emptied, then filled
 *
 * A message without change key has its time of modification instead, or "0".
 */
void document_id(const struct message *m, enum document_change change, struct fg_buf *out);

/*
 * document_write() - write the whole record value
 * @scratch: used and left with anything in it; its maximum must hold the longest string of the message
 * @out: appended to
 *
 * A deleted mail's document has all members, but only id, mailbox, folder and change say something.
 */
void document_write(const struct document_input *in, struct fg_buf *scratch, struct fg_buf *out);
