/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's one byte budget. What is let in is charged until it is out; an input is only asked for more while there
 * is room. What has been let in may always be charged for, over the limit too, so that it can leave.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "fragua/host.h"

struct fg_budget {
    atomic_size_t used;     /* bytes */
    atomic_size_t limit;    /* bytes; changed by fg_budget_set_limit() */
    struct fg_list waiters; /* of fg_budget_waiter::link; loop thread */
};

/* Called back on the loop by fg_budget_wake() once there is room; then it is out of the list. */
struct fg_budget_waiter {
    struct fg_list link; /* fg_budget::waiters */
    void (*cb)(struct fg_budget_waiter *waiter);
};

/* What may come of bytes beside themselves while they are worked on: twice as much, at most this part of the budget. */
#define FG_BUDGET_GROWTH      2u
#define FG_BUDGET_GROWTH_PART 16u

void fg_budget_init(struct fg_budget *budget, size_t limit);
/* loop: what is in use beyond a smaller limit stays in use; where there is room by a larger one, waiters are called. */
void fg_budget_set_limit(struct fg_budget *budget, size_t limit);
size_t fg_budget_limit(const struct fg_budget *budget); /* [any thread] bytes */
bool fg_budget_try_charge(struct fg_budget *budget, size_t bytes); /* [any thread] false: no room */
void fg_budget_charge(struct fg_budget *budget, size_t bytes);     /* [any thread] */
void fg_budget_credit(struct fg_budget *budget, size_t bytes);     /* [any thread] */
bool fg_budget_has_room(const struct fg_budget *budget); /* [any thread] under three quarters: inputs may take */
size_t fg_budget_used(const struct fg_budget *budget);   /* [any thread] bytes */
size_t fg_budget_growth(const struct fg_budget *budget, size_t bytes); /* [any thread] see FG_BUDGET_GROWTH */
void fg_budget_wait(struct fg_budget *budget, struct fg_budget_waiter *waiter); /* loop; repeatable */
void fg_budget_unwait(struct fg_budget_waiter *waiter);                         /* loop; repeatable */
void fg_budget_wake(struct fg_budget *budget); /* loop: after credit was given, calls waiters while there is room */
