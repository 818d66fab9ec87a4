/* SPDX-License-Identifier: Apache-2.0 */
/* One record through transforms that answer what a test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "flow/chain.h"

/* Emits `n_emits` records, then answers. */
struct scripted {
    struct fg_budget *budget;
    int verdict;
    size_t n_emits;
    const char *why; /* NULL: err is left alone */
    unsigned calls;
};

static struct fg_record *make(struct fg_budget *budget, const char *value)
{
    struct fg_record_spec spec = {.view.value = fg_slice_of(value)};
    struct fg_record *record = NULL;
    struct fg_error err;

    assert_int_equal(fg_record_new(budget, &spec, true, &record, &err), 0);
    return record;
}

static enum fg_verdict apply(void *self, struct fg_record *in, struct fg_emit *emit, struct fg_error *err)
{
    struct scripted *s = self;

    (void)in;
    s->calls++;
    for (size_t i = 0; i < s->n_emits; i++)
        fg_emit_add(emit, make(s->budget, "made"));
    if (s->why)
        fg_error_set(err, FG_E_DATA, 0, "%s", s->why);
    return (enum fg_verdict)s->verdict;
}

static const struct fg_transform_ops ops = {.apply = apply};
static const struct fg_plugin plugin = {.transform = &ops};

struct bed {
    struct fg_budget budget;
    struct scripted scripts[2];
    void *selves[2][1];
    struct fg_stage stages[2];
    struct fg_record *in;
    struct fg_emit out;
    size_t stage;
    struct fg_error err;
};

static void bed_init(struct bed *bed, struct scripted first, struct scripted second)
{
    *bed = (struct bed){.scripts = {first, second}, .err = FG_ERROR_NULL};
    fg_budget_init(&bed->budget, 1u << 20);
    for (size_t i = 0; i < 2; i++) {
        bed->scripts[i].budget = &bed->budget;
        bed->selves[i][0] = &bed->scripts[i];
        bed->stages[i] = (struct fg_stage){"transforms", i ? "second" : "first", &plugin, bed->selves[i]};
    }
    bed->in = make(&bed->budget, "in");
}

static enum fg_verdict run(struct bed *bed)
{
    return fg_chain_run(bed->stages, 2, 0, bed->in, &bed->out, &bed->stage, &bed->err);
}

static void bed_deinit(struct bed *bed)
{
    fg_emit_deinit(&bed->out);
    fg_record_unref(bed->in);
    assert_int_equal(fg_budget_used(&bed->budget), 0); /* all that was made is gone */
}

static void what_one_makes_the_next_one_gets(void **state)
{
    struct bed bed;

    bed_init(&bed, (struct scripted){.verdict = FG_KEEP, .n_emits = 3}, (struct scripted){.verdict = FG_KEEP});
    assert_int_equal(run(&bed), FG_KEEP);
    assert_int_equal(bed.scripts[1].calls, 3);
    assert_int_equal(bed.out.n, 3);
    assert_true(fg_slice_is(fg_record_view(bed.out.records[0])->value, "made"));
    bed_deinit(&bed);
}

static void a_record_that_is_kept_without_a_word_goes_on_as_it_is(void **state)
{
    struct bed bed;

    bed_init(&bed, (struct scripted){.verdict = FG_KEEP}, (struct scripted){.verdict = FG_KEEP});
    assert_int_equal(run(&bed), FG_KEEP);
    assert_int_equal(bed.out.n, 1);
    assert_ptr_equal(bed.out.records[0], bed.in);
    bed_deinit(&bed);
}

static void a_dropped_one_meets_no_further_transform(void **state)
{
    struct bed bed;

    bed_init(&bed, (struct scripted){.verdict = FG_DROP, .n_emits = 2}, (struct scripted){.verdict = FG_KEEP});
    assert_int_equal(run(&bed), FG_DROP);
    assert_int_equal(bed.scripts[1].calls, 0);
    assert_int_equal(bed.out.n, 0); /* what was emitted before the drop went with it */
    bed_deinit(&bed);
}

static void one_bad_part_ends_the_whole_and_the_stage_is_named(void **state)
{
    struct bed bed;

    bed_init(&bed, (struct scripted){.verdict = FG_KEEP, .n_emits = 3},
             (struct scripted){.verdict = FG_RETRY, .why = "not now"});
    assert_int_equal(run(&bed), FG_RETRY);
    assert_int_equal(bed.stage, 1);
    assert_int_equal(bed.scripts[1].calls, 1);
    assert_string_equal(bed.err.text, "not now");
    bed_deinit(&bed);
    bed_init(&bed, (struct scripted){.verdict = FG_DEAD}, (struct scripted){.verdict = FG_KEEP});
    assert_int_equal(run(&bed), FG_DEAD);
    assert_int_equal(bed.err.code, FG_E_DATA);
    assert_non_null(strstr(bed.err.text, "\"first\" refused the record and gave no reason"));
    bed_deinit(&bed);
}

static void what_is_no_verdict_is_a_mistake_and_no_drop(void **state)
{
    static const int none[] = {-1, FG_RETRY + 1};

    for (size_t i = 0; i < 2; i++) {
        struct bed bed;
        bed_init(&bed, (struct scripted){.verdict = FG_KEEP}, (struct scripted){.verdict = none[i], .n_emits = 1});
        assert_int_equal(run(&bed), FG_DEAD);
        assert_int_equal(bed.stage, 1);
        assert_int_equal(bed.err.code, FG_E_INTERNAL);
        assert_non_null(strstr(bed.err.text, "\"second\""));
        assert_int_equal(bed.out.n, 0);
        bed_deinit(&bed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_makes_the_next_one_gets),
        cmocka_unit_test(a_record_that_is_kept_without_a_word_goes_on_as_it_is),
        cmocka_unit_test(a_dropped_one_meets_no_further_transform),
        cmocka_unit_test(one_bad_part_ends_the_whole_and_the_stage_is_named),
        cmocka_unit_test(what_is_no_verdict_is_a_mistake_and_no_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
