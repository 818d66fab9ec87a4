/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which records of a partition have been dealt with one by one: all before an offset, and ranges beyond it.
 *
 * As text the ranges are "12-15,18", ascending, which goes beside a group's committed offset. Nothing here is shared:
 * an account is for the thread of its owner.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fragua/kit/buf.h"

struct fg_account_range {
    int64_t from, to; /* both included */
};

/* All zeroes: nothing has been dealt with. */
struct fg_account {
    int64_t next;                    /* everything before it has been dealt with */
    struct fg_account_range *ranges; /* owned array of n: ascending, apart from each other, all beyond next */
    size_t n, cap;
};

void fg_account_deinit(struct fg_account *account);
void fg_account_copy(struct fg_account *to, const struct fg_account *from); /* what was in `to` is freed */
/* @text: NULL or empty: none. false: it is no such list; the account is as before. */
bool fg_account_read(struct fg_account *account, int64_t next, const char *text);
void fg_account_write(const struct fg_account *account, struct fg_buf *out); /* appends the ranges as text */
bool fg_account_has(const struct fg_account *account, int64_t offset);
bool fg_account_is(const struct fg_account *a, const struct fg_account *b);
/*
 * Deals with one record. @before: the record before it in the partition, or -1; offsets between the two belong to
 * nobody (markers of transactions, records that are gone), so ranges grow across them.
 */
void fg_account_add(struct fg_account *account, int64_t before, int64_t offset);
