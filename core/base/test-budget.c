/* SPDX-License-Identifier: Apache-2.0 */
/* The byte budget. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/budget.h"

struct taker {
    struct fg_budget_waiter waiter;
    struct fg_budget *budget;
    size_t takes; /* bytes, on each call */
    unsigned calls;
    bool again;
};

static void take(struct fg_budget_waiter *waiter)
{
    struct taker *taker = fg_container_of(waiter, struct taker, waiter);
    taker->calls++;
    fg_budget_charge(taker->budget, taker->takes);
    if (taker->again)
        fg_budget_wait(taker->budget, waiter);
}

static void charges_up_to_the_limit(void **state)
{
    struct fg_budget budget;
    fg_budget_init(&budget, 100);
    assert_true(fg_budget_try_charge(&budget, 60));
    assert_false(fg_budget_try_charge(&budget, 41));
    assert_true(fg_budget_try_charge(&budget, 40));
    assert_false(fg_budget_try_charge(&budget, 1));
    assert_false(fg_budget_try_charge(&budget, SIZE_MAX));
    fg_budget_credit(&budget, 100);
    assert_true(fg_budget_try_charge(&budget, 1));
}

static void what_must_leave_is_charged_over_the_limit(void **state)
{
    struct fg_budget budget;
    fg_budget_init(&budget, 100);
    fg_budget_charge(&budget, 150);
    assert_false(fg_budget_try_charge(&budget, 0));
    assert_false(fg_budget_has_room(&budget));
    fg_budget_credit(&budget, 80);
    assert_true(fg_budget_has_room(&budget));
}

static void inputs_have_room_under_three_quarters(void **state)
{
    struct fg_budget budget;
    fg_budget_init(&budget, 100);
    fg_budget_charge(&budget, 74);
    assert_true(fg_budget_has_room(&budget));
    fg_budget_charge(&budget, 1);
    assert_false(fg_budget_has_room(&budget));
}

static void growth_is_twice_the_bytes_up_to_a_part_of_the_budget(void **state)
{
    struct fg_budget budget;
    fg_budget_init(&budget, 1600);
    assert_int_equal(fg_budget_growth(&budget, 0), 0);
    assert_int_equal(fg_budget_growth(&budget, 49), 98);
    assert_int_equal(fg_budget_growth(&budget, 51), 100);
    assert_int_equal(fg_budget_growth(&budget, SIZE_MAX), 100);
}

static void wakes_those_who_wait_while_there_is_room(void **state)
{
    struct fg_budget budget;
    struct taker a = {{.cb = take}, &budget, 50, 0, false}, b = {{.cb = take}, &budget, 50, 0, false},
                 c = {{.cb = take}, &budget, 50, 0, false};

    fg_budget_init(&budget, 100);
    fg_budget_charge(&budget, 90);
    fg_budget_wait(&budget, &a.waiter);
    fg_budget_wait(&budget, &b.waiter);
    fg_budget_wait(&budget, &c.waiter);
    fg_budget_wait(&budget, &c.waiter); /* repeatable */
    fg_budget_wake(&budget);
    assert_int_equal(a.calls + b.calls + c.calls, 0);
    fg_budget_credit(&budget, 90);
    fg_budget_wake(&budget);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 1);
    assert_int_equal(c.calls, 0);
    fg_budget_unwait(&c.waiter);
    fg_budget_unwait(&c.waiter);
    fg_budget_credit(&budget, 100);
    fg_budget_wake(&budget);
    assert_int_equal(c.calls, 0);
}

static void who_waits_again_is_not_called_in_the_same_round(void **state)
{
    struct fg_budget budget;
    struct taker a = {{.cb = take}, &budget, 0, 0, true};

    fg_budget_init(&budget, 100);
    fg_budget_wait(&budget, &a.waiter);
    fg_budget_wake(&budget);
    assert_int_equal(a.calls, 1);
    fg_budget_wake(&budget);
    assert_int_equal(a.calls, 2);
    fg_budget_unwait(&a.waiter);
}

static void a_larger_limit_wakes_and_a_smaller_one_lets_leave_what_is_in(void **state)
{
    struct fg_budget budget;
    struct taker a = {{.cb = take}, &budget, 50, 0, false};

    fg_budget_init(&budget, 100);
    fg_budget_charge(&budget, 90);
    fg_budget_wait(&budget, &a.waiter);
    fg_budget_set_limit(&budget, 110);
    assert_int_equal(a.calls, 0);
    fg_budget_set_limit(&budget, 200);
    assert_int_equal(a.calls, 1);
    fg_budget_set_limit(&budget, 40);
    assert_int_equal(fg_budget_limit(&budget), 40);
    assert_false(fg_budget_has_room(&budget));
    assert_false(fg_budget_try_charge(&budget, 1));
    fg_budget_charge(&budget, 10);
    fg_budget_credit(&budget, 140);
    assert_true(fg_budget_try_charge(&budget, 30));
    assert_int_equal(fg_budget_used(&budget), 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(charges_up_to_the_limit),
        cmocka_unit_test(what_must_leave_is_charged_over_the_limit),
        cmocka_unit_test(inputs_have_room_under_three_quarters),
        cmocka_unit_test(growth_is_twice_the_bytes_up_to_a_part_of_the_budget),
        cmocka_unit_test(wakes_those_who_wait_while_there_is_room),
        cmocka_unit_test(who_waits_again_is_not_called_in_the_same_round),
        cmocka_unit_test(a_larger_limit_wakes_and_a_smaller_one_lets_leave_what_is_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
