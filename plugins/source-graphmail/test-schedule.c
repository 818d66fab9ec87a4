/* SPDX-License-Identifier: Apache-2.0 */
/* Turns: order, fairness, and that the heap holds under any sequence of changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "source.h"

static void who_is_due_earlier_comes_first_and_who_waits_longer_of_equals(void **state)
{
    struct mailbox a = { .name = NULL }, b = a, c = a;
    struct schedule q = { .n = 0 };

    schedule_put(&q, &a, 20);
    schedule_put(&q, &b, 10);
    schedule_put(&q, &c, 10);
    assert_ptr_equal(schedule_first(&q), &b);
    schedule_put(&q, &b, 10); /* again, behind c */
    assert_ptr_equal(schedule_first(&q), &c);
    schedule_remove(&q, &c);
    schedule_remove(&q, &c);
    assert_ptr_equal(schedule_first(&q), &b);
    schedule_remove(&q, &b);
    assert_ptr_equal(schedule_first(&q), &a);
    schedule_remove(&q, &a);
    assert_null(schedule_first(&q));
    schedule_free(&q);
}

static void a_mailbox_that_is_always_due_lets_all_others_have_their_turns(void **state)
{
    static struct mailbox greedy, others[1000];
    struct schedule q = { .n = 0 };
    uint64_t now = 1000;
    size_t n_others = 0;

    schedule_put(&q, &greedy, now);
    for (size_t i = 0; i < 1000; i++)
        schedule_put(&q, &others[i], now);
    for (size_t turn = 0; turn < 1001; turn++) {
        struct mailbox *m = schedule_first(&q);
        n_others += m != &greedy;
        schedule_put(&q, m, m == &greedy ? now : now + 10000);
    }
    assert_int_equal(n_others, 1000);
    schedule_free(&q);
}

static void the_first_is_the_earliest_after_any_changes(void **state)
{
    static struct mailbox all[200];
    struct schedule q = { .n = 0 };
    uint32_t seed = 7;

    for (unsigned step = 0; step < 20000; step++) {
        struct mailbox *m, *first;
        seed = seed * 1664525u + 1013904223u;
        m = &all[(seed >> 8) % 200];
        if (seed >> 30 == 0)
            schedule_remove(&q, m);
        else
            schedule_put(&q, m, (seed >> 16) % 50);
        first = schedule_first(&q);
        for (size_t i = 0; i < 200 && first; i++)
            if (all[i].place && (all[i].due_ms < first->due_ms ||
                                 (all[i].due_ms == first->due_ms && all[i].turn < first->turn)))
                fail_msg("step %u: another one is earlier than the first", step);
    }
    schedule_free(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_due_earlier_comes_first_and_who_waits_longer_of_equals),
        cmocka_unit_test(a_mailbox_that_is_always_due_lets_all_others_have_their_turns),
        cmocka_unit_test(the_first_is_the_earliest_after_any_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
