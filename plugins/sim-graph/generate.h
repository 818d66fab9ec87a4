/* SPDX-License-Identifier: Apache-2.0 */
/* Mails made up by the thousand, always the same, that can be told apart and checked. Knows nothing of the host. */
#pragma once

#include "store.h"

#define GENERATE_TEXT_MAX (32 << 20) /* bytes of one mail's text */
#define GENERATE_CONVERSATIONS_MAX 1000

/* What is wanted: so many mails more for each of the first so many mailboxes. */
struct generate {
    int64_t mailboxes, mails;
    int64_t conversations; /* of each mailbox; mails go to them in turn */
    int64_t text;          /* bytes of a mail's text, about */
};

struct generated {
    uint32_t *counts; /* owned array of n: mails that a mailbox has got */
    size_t n;
};

/* {"mailboxes":1000,"mails":100,"conversations":5,"text":500}; the last two may be left out. */
int generate_read(struct fg_slice json, struct generate *ret, struct fg_error *err);
/*
 * generate_mails() - let them arrive at once, mailbox by mailbox
 *
 * Mailbox B is "boxB@contoso.example", its folder "inbox". Its K-th mail, from 0, has the conversation "conv-B-C" with
 * C = K mod conversations, and the sequence K / conversations; its id is "conv-B-C.SEQUENCE", its changeKey "1". The
 * text's first line is "ledger MAILBOX CONVERSATION SEQUENCE", its last one "sha256 HEX" of all before that line.
 * Return: 0 or -FG_E_NO_ROOM; those made so far stay.
 */
int generate_mails(struct store *store, struct generated *so_far, const struct generate *wanted, struct fg_error *err);
void generated_deinit(struct generated *so_far);
