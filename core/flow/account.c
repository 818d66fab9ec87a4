/* SPDX-License-Identifier: Apache-2.0 */
/* Which records of a partition have been dealt with: a sorted list of ranges. */
#include "flow/account.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

void fg_account_deinit(struct fg_account *a)
{
    free(a->ranges);
    *a = (struct fg_account){0};
}

static void grow(struct fg_account *a, size_t n)
{
    if (n <= a->cap)
        return;
    a->cap = n < 8 ? 8 : n * 2;
    a->ranges = fg_reallocarray(a->ranges, a->cap, sizeof(*a->ranges));
}

void fg_account_copy(struct fg_account *to, const struct fg_account *from)
{
    grow(to, from->n);
    to->next = from->next;
    to->n = from->n;
    if (from->n)
        memcpy(to->ranges, from->ranges, from->n * sizeof(*from->ranges));
}

static bool read_range(struct fg_slice word, struct fg_account_range *ret)
{
    struct fg_slice from, to;

    if (!fg_slice_cut(word, '-', &from, &to))
        to = from;
    return fg_parse_int(from, &ret->from) && fg_parse_int(to, &ret->to) && ret->from >= 0 && ret->from <= ret->to;
}

bool fg_account_read(struct fg_account *a, int64_t next, const char *text)
{
    struct fg_account got = {.next = next};
    struct fg_slice rest = fg_slice_of(text), word;
    struct fg_account_range range;

    while (rest.len) {
        bool more = fg_slice_cut(rest, ',', &word, &rest);
        if (!read_range(word, &range) || range.from <= (got.n ? got.ranges[got.n - 1].to : next - 1) ||
            (more && !rest.len)) {
            fg_account_deinit(&got);
            return false;
        }
        grow(&got, got.n + 1);
        got.ranges[got.n++] = range;
    }
    fg_account_deinit(a);
    *a = got;
    return true;
}

void fg_account_write(const struct fg_account *a, struct fg_buf *out)
{
    for (size_t i = 0; i < a->n; i++) {
        const struct fg_account_range *r = &a->ranges[i];
        fg_buf_printf(out, "%s%" PRId64, i ? "," : "", r->from);
        if (r->to > r->from)
            fg_buf_printf(out, "-%" PRId64, r->to);
    }
}

bool fg_account_has(const struct fg_account *a, int64_t offset)
{
    if (offset < a->next)
        return true;
    for (size_t i = 0; i < a->n && a->ranges[i].from <= offset; i++)
        if (offset <= a->ranges[i].to)
            return true;
    return false;
}

bool fg_account_is(const struct fg_account *a, const struct fg_account *b)
{
    return a->next == b->next && a->n == b->n &&
           (a->n == 0 || memcmp(a->ranges, b->ranges, a->n * sizeof(*a->ranges)) == 0);
}

/* Ranges that touch the one at `i` on its right become one with it. */
static void join(struct fg_account *a, size_t i)
{
    size_t n = i + 1;

    while (n < a->n && a->ranges[n].from <= a->ranges[i].to + 1) {
        if (a->ranges[n].to > a->ranges[i].to)
            a->ranges[i].to = a->ranges[n].to;
        n++;
    }
    memmove(&a->ranges[i + 1], &a->ranges[n], (a->n - n) * sizeof(*a->ranges));
    a->n -= n - (i + 1);
}

void fg_account_add(struct fg_account *a, int64_t before, int64_t offset)
{
    int64_t from = fg_account_has(a, before) ? before + 1 : offset;
    size_t i = 0;

    if (fg_account_has(a, offset))
        return;
    if (from < a->next)
        from = a->next;
    while (i < a->n && a->ranges[i].to + 1 < from)
        i++;
    if (i < a->n && a->ranges[i].from <= offset + 1) {
        if (from < a->ranges[i].from)
            a->ranges[i].from = from;
        if (offset > a->ranges[i].to)
            a->ranges[i].to = offset;
    } else {
        grow(a, a->n + 1);
        memmove(&a->ranges[i + 1], &a->ranges[i], (a->n - i) * sizeof(*a->ranges));
        a->ranges[i] = (struct fg_account_range){from, offset};
        a->n++;
    }
    join(a, i);
    if (a->ranges[0].from <= a->next) {
        a->next = a->ranges[0].to + 1;
        a->n--;
        memmove(&a->ranges[0], &a->ranges[1], a->n * sizeof(*a->ranges));
    }
}
