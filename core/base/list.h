/* SPDX-License-Identifier: Apache-2.0 */
/* An intrusive doubly linked list. The head and the links are plain members of their owners; nothing is allocated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct fg_list {
    struct fg_list *prev, *next;
};

/* The owner of a member. The comparison is never made: for it the compiler refuses a pointer to anything else. */
#define fg_container_of(ptr, type, member)                                                                             \
    ((type *)(void *)((char *)(ptr) - offsetof(type, member) - 0 * sizeof((ptr) == &((type *)0)->member)))
/* The body may unlink `it`, nothing else. */
#define fg_list_for_each_safe(it, tmp, head)                                                                           \
    for ((it) = (head)->next, (tmp) = (it)->next; (it) != (head); (it) = (tmp), (tmp) = (it)->next)

static inline void fg_list_init(struct fg_list *l)
{
    l->prev = l->next = l;
}

static inline bool fg_list_empty(const struct fg_list *head)
{
    return head->next == head;
}

static inline void fg_list_append(struct fg_list *head, struct fg_list *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

/* Repeatable: an unlinked link may be removed again. */
static inline void fg_list_remove(struct fg_list *l)
{
    if (!l->next)
        return;
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->prev = l->next = l;
}

/* The first link, taken out; NULL: empty. */
static inline struct fg_list *fg_list_pop(struct fg_list *head)
{
    struct fg_list *l = head->next;
    if (l == head)
        return NULL;
    head->next = l->next;
    l->next->prev = head;
    l->prev = l->next = l;
    return l;
}
