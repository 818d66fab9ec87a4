/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn is next: a binary heap by due time, then by who was put in earlier, so that nobody is overtaken twice. */
#include <stdlib.h>

#include "source.h"

static bool before(const struct mailbox *a, const struct mailbox *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->turn < b->turn;
}

static void set(struct schedule *q, size_t i, struct mailbox *m)
{
    q->heap[i] = m;
    m->place = i + 1;
}

static void rise(struct schedule *q, size_t i)
{
    struct mailbox *m = q->heap[i];

    for (; i > 0 && before(m, q->heap[(i - 1) / 2]); i = (i - 1) / 2)
        set(q, i, q->heap[(i - 1) / 2]);
    set(q, i, m);
}

static void sink(struct schedule *q, size_t i)
{
    struct mailbox *m = q->heap[i];

    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < q->n && before(q->heap[child + 1], q->heap[child]))
            child++;
        if (child >= q->n || !before(q->heap[child], m))
            break;
        set(q, i, q->heap[child]);
        i = child;
    }
    set(q, i, m);
}

void schedule_remove(struct schedule *q, struct mailbox *m)
{
    size_t i = m->place;
    struct mailbox *last;

    if (i-- == 0)
        return;
    m->place = 0;
    last = q->heap[--q->n];
    if (last == m)
        return;
    set(q, i, last);
    rise(q, i);
    sink(q, last->place - 1);
}

void schedule_put(struct schedule *q, struct mailbox *m, uint64_t due_ms)
{
    schedule_remove(q, m);
    if (q->n == q->cap) {
        q->cap = q->cap ? q->cap * 2 : 64;
        q->heap = realloc(q->heap, q->cap * sizeof(struct mailbox *));
        if (!q->heap)
            abort();
    }
    m->due_ms = due_ms;
    m->turn = q->turns++;
    q->heap[q->n++] = m;
    m->place = q->n;
    rise(q, q->n - 1);
}

struct mailbox *schedule_first(const struct schedule *q)
{
    return q->n ? q->heap[0] : NULL;
}

void schedule_free(struct schedule *q)
{
    free(q->heap);
    *q = (struct schedule){ .n = 0 };
}
