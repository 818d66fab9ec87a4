/* SPDX-License-Identifier: Apache-2.0 */
/* The flow's environment on a real loop: workers run and report, timers fire in order, everything ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>

#include "host/env-uv.h"

#define WORKS 1000u

struct bed {
    uv_loop_t loop;
    struct fg_env *env;
    unsigned n_done, n_closed;
    atomic_uint n_run;
    unsigned order[8], n_order;
    struct fg_env_timer *timers[3];
};

struct work {
    struct fg_work work; /* first */
    struct bed *bed;
    unsigned worker;
    bool ran, again;
};

static void closed(void *arg)
{
    ((struct bed *)arg)->n_closed++;
}

static void bed_init(struct bed *bed, unsigned workers)
{
    *bed = (struct bed){ .n_done = 0 };
    assert_int_equal(uv_loop_init(&bed->loop), 0);
    assert_int_equal(fg_env_uv_new(&bed->loop, &fg_clock_system, workers, &bed->env, NULL), 0);
}

static void bed_deinit(struct bed *bed)
{
    assert_int_equal(fg_env_uv_pending(bed->env), 0);
    fg_env_uv_close(bed->env, closed, bed);
    assert_int_equal(uv_run(&bed->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(bed->n_closed, 1);
    assert_int_equal(uv_loop_close(&bed->loop), 0);
}

static void run(struct fg_work *w, unsigned worker)
{
    struct work *work = (struct work *)w;

    work->ran = true;
    work->worker = worker;
    atomic_fetch_add(&work->bed->n_run, 1);
}

static void done(struct fg_work *w)
{
    struct work *work = (struct work *)w;

    assert_true(work->ran);
    work->bed->n_done++;
    if (work->again) {
        work->again = false;
        work->bed->env->ops->submit(work->bed->env, &work->work);
    }
}

static void run_until_done(struct bed *bed, unsigned n)
{
    while (bed->n_done < n)
        (void)uv_run(&bed->loop, UV_RUN_ONCE);
}

static void each_work_is_run_and_then_reported_once(void **state)
{
    static struct work works[WORKS];
    struct bed bed;

    bed_init(&bed, 4);
    assert_int_equal(bed.env->n_workers, 4);
    for (unsigned i = 0; i < WORKS; i++) {
        works[i] = (struct work){ .work = { .run = run, .done = done }, .bed = &bed };
        bed.env->ops->submit(bed.env, &works[i].work);
    }
    assert_true(fg_env_uv_pending(bed.env) == WORKS);
    run_until_done(&bed, WORKS);
    assert_int_equal(atomic_load(&bed.n_run), WORKS);
    for (unsigned i = 0; i < WORKS; i++)
        assert_true(works[i].worker < 4);
    bed_deinit(&bed);
}

static void a_work_may_be_submitted_again_when_it_is_done(void **state)
{
    struct bed bed;
    struct work work = { .work = { .run = run, .done = done }, .bed = &bed, .again = true };

    bed_init(&bed, 1);
    bed.env->ops->submit(bed.env, &work.work);
    run_until_done(&bed, 2);
    assert_int_equal(atomic_load(&bed.n_run), 2);
    bed_deinit(&bed);
}

static void no_number_of_workers_means_one_a_core_and_too_many_are_cut(void **state)
{
    struct bed bed;

    bed_init(&bed, 0);
    assert_in_range(bed.env->n_workers, 1, FG_WORKERS_MAX);
    bed_deinit(&bed);
    bed_init(&bed, FG_WORKERS_MAX + 1);
    assert_int_equal(bed.env->n_workers, FG_WORKERS_MAX);
    bed_deinit(&bed);
}

static void note(struct bed *bed, unsigned which)
{
    bed->order[bed->n_order++] = which;
}

static void first_fired(void *arg)
{
    struct bed *bed = arg;

    note(bed, 0);
    if (bed->n_order < 4)
        bed->env->ops->timer_start(bed->timers[0], 30);
    else
        bed->env->ops->timer_free(bed->timers[0]); /* in its own callback */
}

static void second_fired(void *arg)
{
    note(arg, 1);
}

static void third_fired(void *arg)
{
    note(arg, 2);
}

static void timers_fire_in_order_restart_and_stop(void **state)
{
    struct bed bed;
    const struct fg_env_ops *ops;
    uint64_t from;

    bed_init(&bed, 1);
    ops = bed.env->ops;
    from = fg_env_now_ms(bed.env);
    bed.timers[0] = ops->timer_new(bed.env, first_fired, &bed);
    bed.timers[1] = ops->timer_new(bed.env, second_fired, &bed);
    bed.timers[2] = ops->timer_new(bed.env, third_fired, &bed);
    ops->timer_start(bed.timers[2], 1);
    ops->timer_stop(bed.timers[2]);
    ops->timer_start(bed.timers[1], 10000);
    ops->timer_start(bed.timers[1], 15); /* the last word counts */
    ops->timer_start(bed.timers[0], 5);
    while (bed.n_order < 4)
        (void)uv_run(&bed.loop, UV_RUN_ONCE);
    assert_memory_equal(bed.order, ((unsigned[]){ 0, 1, 0, 0 }), 4 * sizeof(unsigned));
    assert_true(fg_env_now_ms(bed.env) - from >= 65);
    ops->timer_free(bed.timers[1]);
    ops->timer_free(bed.timers[2]);
    ops->timer_free(NULL);
    bed_deinit(&bed);
}

static void chance_does_not_repeat(void **state)
{
    struct bed bed;

    bed_init(&bed, 1);
    assert_true(bed.env->ops->random(bed.env) != bed.env->ops->random(bed.env));
    bed_deinit(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_work_is_run_and_then_reported_once),
        cmocka_unit_test(a_work_may_be_submitted_again_when_it_is_done),
        cmocka_unit_test(no_number_of_workers_means_one_a_core_and_too_many_are_cut),
        cmocka_unit_test(timers_fire_in_order_restart_and_stop),
        cmocka_unit_test(chance_does_not_repeat),
    };

    return cmocka_run_group_tests_name("host env-uv", tests, NULL, NULL);
}
