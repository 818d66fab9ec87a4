/* SPDX-License-Identifier: Apache-2.0 */
/* The byte budget: a counter that any thread moves, and those on the loop who wait for room. */
#include "base/budget.h"

#include "base/assert.h"

void fg_budget_init(struct fg_budget *budget, size_t limit)
{
    atomic_init(&budget->used, 0);
    atomic_init(&budget->limit, limit);
    fg_list_init(&budget->waiters);
}

void fg_budget_set_limit(struct fg_budget *budget, size_t limit)
{
    atomic_store_explicit(&budget->limit, limit, memory_order_relaxed);
    fg_budget_wake(budget);
}

size_t fg_budget_limit(const struct fg_budget *budget)
{
    return atomic_load_explicit((atomic_size_t *)&budget->limit, memory_order_relaxed);
}

bool fg_budget_try_charge(struct fg_budget *budget, size_t bytes)
{
    size_t limit = fg_budget_limit(budget);
    size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    do {
        if (used >= limit || bytes > limit - used)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&budget->used, &used, used + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void fg_budget_charge(struct fg_budget *budget, size_t bytes)
{
    atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed);
}

void fg_budget_credit(struct fg_budget *budget, size_t bytes)
{
    size_t before = atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    fg_assert(before >= bytes);
}

size_t fg_budget_used(const struct fg_budget *budget)
{
    /* C17's atomic_load takes no pointer to const everywhere */
    return atomic_load_explicit((atomic_size_t *)&budget->used, memory_order_relaxed);
}

bool fg_budget_has_room(const struct fg_budget *budget)
{
    size_t limit = fg_budget_limit(budget);

    return fg_budget_used(budget) < limit - limit / 4;
}

size_t fg_budget_growth(const struct fg_budget *budget, size_t bytes)
{
    size_t most = fg_budget_limit(budget) / FG_BUDGET_GROWTH_PART;
    return bytes > most / FG_BUDGET_GROWTH ? most : bytes * FG_BUDGET_GROWTH;
}

void fg_budget_wait(struct fg_budget *budget, struct fg_budget_waiter *waiter)
{
    fg_list_remove(&waiter->link);
    fg_list_append(&budget->waiters, &waiter->link);
}

void fg_budget_unwait(struct fg_budget_waiter *waiter)
{
    fg_list_remove(&waiter->link);
}

void fg_budget_wake(struct fg_budget *budget)
{
    struct fg_list woken, *l;

    if (fg_list_empty(&budget->waiters))
        return;
    /* who waits again from its callback comes after everyone else, and not in this round */
    fg_list_init(&woken);
    while ((l = fg_list_pop(&budget->waiters)))
        fg_list_append(&woken, l);
    while (fg_budget_has_room(budget) && (l = fg_list_pop(&woken))) {
        struct fg_budget_waiter *waiter = fg_container_of(l, struct fg_budget_waiter, link);
        waiter->cb(waiter);
    }
    while ((l = fg_list_pop(&woken)))
        fg_list_append(&budget->waiters, l);
}
