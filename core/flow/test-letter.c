/* SPDX-License-Identifier: Apache-2.0 */
/* Which letters a filter chooses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "flow/letter.h"

static void filters_are_read_and_hold(void **state)
{
    static const struct {
        const char *filter;
        bool chosen;
    } rows[] = {
        {"reason=REFUSES", true}, {"reason=nothing", false}, {"reason=", true}, {"code=refused", true},
        {"code=ref", false}, {"stage=sink", true}, {"pipeline=p", true}, {"pipeline=", false}, {"key=k", true},
        {"key=K", false}, {"origin=in", true}, {"origin=in/0", true}, {"origin=in/0/7", true}, {"origin=i", false},
        {"id=dead/2/9", true}, {"id=dead/2/8", false}, {"since=2026-03-01T08:00:00Z", true},
        {"since=2026-03-01T08:00:00.001Z", false}, {"until=2026-03-01T08:00:00Z", false}, {"since=2h", true},
        {"since=30m", false}, {"until=30m", true},
    };
    static const char *const bad[] = {"reason", "", "=x", "resaon=x", "since=yesterday", "id=5", "id=dead/x/1"};
    const struct fg_letter letter = {
        .topic = "dead", .partition = 2, .offset = 9, .timestamp_ms = INT64_C(1772352000000), .key = FG_SLICE("k"),
        .reason = FG_SLICE("it Refuses this"), .code = FG_SLICE("refused"), .stage = FG_SLICE("sink"),
        .pipeline = FG_SLICE("p"), .origin = FG_SLICE("in/0/7"),
    };
    struct fg_letter_condition c[3];
    struct fg_error err;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(fg_letter_condition_read(rows[i].filter, letter.timestamp_ms + 3600000, c, &err), 0);
        if (fg_letter_is_chosen(&letter, c, 1) != rows[i].chosen)
            fail_msg("%s", rows[i].filter);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_true(fg_letter_condition_read(bad[i], 0, c, &err) < 0);
    assert_int_equal(fg_letter_condition_read("key=other", 0, &c[0], &err), 0);
    assert_int_equal(fg_letter_condition_read("key=k", 0, &c[1], &err), 0);
    assert_int_equal(fg_letter_condition_read("code=auth", 0, &c[2], &err), 0);
    assert_true(fg_letter_is_chosen(&letter, c, 2));
    assert_false(fg_letter_is_chosen(&letter, c, 3));
    assert_true(fg_letter_is_chosen(&letter, c, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_are_read_and_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
