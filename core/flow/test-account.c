/* SPDX-License-Identifier: Apache-2.0 */
/* The account of records dealt with one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "flow/account.h"

static void expect(const struct fg_account *a, int64_t next, const char *text)
{
    struct fg_buf buf = FG_BUF_INIT(4096);

    fg_account_write(a, &buf);
    assert_int_equal(a->next, next);
    assert_string_equal(buf.data ? buf.data : "", text);
    fg_buf_deinit(&buf);
}

static void records_in_order_leave_no_range(void **state)
{
    struct fg_account a = {0};

    fg_account_add(&a, -1, 0);
    fg_account_add(&a, 0, 2); /* 1 was a marker */
    fg_account_add(&a, 2, 3);
    expect(&a, 4, "");
    assert_true(fg_account_has(&a, 1));
    assert_false(fg_account_has(&a, 4));
    fg_account_deinit(&a);
}

static void what_is_passed_over_holds_the_offset_back(void **state)
{
    struct fg_account a = {0};

    fg_account_add(&a, -1, 0);
    fg_account_add(&a, 1, 2); /* 1 was left */
    fg_account_add(&a, 2, 4);
    fg_account_add(&a, 6, 7);
    expect(&a, 1, "2-4,7");
    assert_false(fg_account_has(&a, 1));
    assert_true(fg_account_has(&a, 3));
    assert_false(fg_account_has(&a, 5));
    fg_account_add(&a, 4, 6);
    expect(&a, 1, "2-7");
    fg_account_add(&a, 0, 1);
    expect(&a, 8, "");
    fg_account_deinit(&a);
}

static void records_that_are_gone_are_accounted_for(void **state)
{
    struct fg_account a = {.next = 3};

    fg_account_add(&a, 2, 25); /* 3 to 24 were deleted by age */
    expect(&a, 26, "");
    fg_account_deinit(&a);
}

static void text_is_read_back(void **state)
{
    struct fg_account a = {0}, b = {0};

    assert_true(fg_account_read(&a, 7, "9-12,15,20-21"));
    expect(&a, 7, "9-12,15,20-21");
    fg_account_copy(&b, &a);
    assert_true(fg_account_is(&a, &b));
    fg_account_add(&b, 15, 16);
    assert_false(fg_account_is(&a, &b));
    expect(&b, 7, "9-12,15-16,20-21");
    assert_true(fg_account_read(&a, 4, NULL));
    expect(&a, 4, "");
    fg_account_deinit(&a);
    fg_account_deinit(&b);
}

static void other_text_is_refused(void **state)
{
    static const char *const bad[] = {"x", "1-", "-1", "3-2", "5,5", "9,3", "4,", "6", "8-9,9", "7,,9", "8 ", "1e3"};
    struct fg_account a = {.next = 1};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(fg_account_read(&a, 7, bad[i]));
    expect(&a, 1, "");
    fg_account_deinit(&a);
}

/* Against an array of flags: every third offset is a marker, the rest is dealt with in an order of chance. */
static void chance_agrees_with_flags(void **state)
{
    enum { N = 120 };
    uint64_t seed = 7;

    for (int run = 0; run < 300; run++) {
        bool done[N] = {false};
        struct fg_account a = {0};
        for (int k = 0; k < 60; k++) {
            int o, before;
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            o = (int)((seed >> 33) % N);
            if (o % 3 == 2)
                continue;
            before = o % 3 == 0 ? o - 2 : o - 1;
            fg_account_add(&a, before < 0 ? -1 : before, o);
            done[o] = true;
            for (int i = 0; i < N; i++)
                if (i % 3 != 2)
                    assert_int_equal(fg_account_has(&a, i), done[i]);
            for (size_t r = 1; r < a.n; r++)
                assert_true(a.ranges[r].from > a.ranges[r - 1].to + 1);
            assert_true(a.n == 0 || a.ranges[0].from > a.next);
        }
        fg_account_deinit(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_in_order_leave_no_range),
        cmocka_unit_test(what_is_passed_over_holds_the_offset_back),
        cmocka_unit_test(records_that_are_gone_are_accounted_for),
        cmocka_unit_test(text_is_read_back),
        cmocka_unit_test(other_text_is_refused),
        cmocka_unit_test(chance_agrees_with_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
