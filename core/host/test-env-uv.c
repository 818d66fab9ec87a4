/* SPDX-License-Identifier: Apache-2.0 */
/* The flow's environment on a real loop: workers run and report, timers fire in order, everything ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

#include "host/env-uv.h"

#define WORKS 1000u

struct bed {
    uv_loop_t loop;
    struct fg_env *env;
    unsigned n_done, n_closed, n_resized;
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

struct gate {
    struct fg_work work; /* first */
    atomic_bool entered, open;
    unsigned worker;
    struct bed *bed;
};

/* Stays on its worker until the gate opens. */
static void run_gate(struct fg_work *w, unsigned worker)
{
    struct gate *gate = (struct gate *)w;

    gate->worker = worker;
    atomic_store(&gate->entered, true);
    while (!atomic_load(&gate->open))
        (void)sched_yield();
}

static void done_gate(struct fg_work *w)
{
    ((struct gate *)w)->bed->n_done++;
}

static void resized(void *arg)
{
    ((struct bed *)arg)->n_resized++;
}

static void run_until_resized(struct bed *bed, unsigned n)
{
    while (bed->n_resized < n)
        (void)uv_run(&bed->loop, UV_RUN_ONCE);
    assert_int_equal(bed->n_resized, n);
}

static void workers_come_and_go_while_works_are_under_way(void **state)
{
    static struct work works[WORKS];
    static const unsigned sizes[] = { 4, 1, 8, 2, 2, 7, 3 };
    struct bed bed;

    bed_init(&bed, 2);
    for (unsigned i = 0; i < WORKS; i++)
        works[i] = (struct work){ .work = { .run = run, .done = done }, .bed = &bed, .again = true };
    for (unsigned k = 0, i = 0; k < 7; k++) {
        unsigned before = bed.env->n_workers;

        for (unsigned end = (k + 1) * WORKS / 7; i < end; i++)
            bed.env->ops->submit(bed.env, &works[i].work);
        assert_int_equal(fg_env_uv_resize(bed.env, sizes[k], resized, &bed, NULL), 0);
        assert_int_equal(bed.env->n_workers, sizes[k] > before ? sizes[k] : before);
        assert_int_equal(bed.n_resized, k);
        run_until_resized(&bed, k + 1);
        assert_int_equal(bed.env->n_workers, sizes[k]);
    }
    run_until_done(&bed, 2 * WORKS);
    bed_deinit(&bed);
}

static void a_worker_leaves_after_the_work_it_has_and_another_takes_the_next(void **state)
{
    struct bed bed;
    struct gate gates[2];
    struct work work = { .work = { .run = run, .done = done }, .bed = &bed };
    struct gate *high, *low;

    bed_init(&bed, 2);
    for (int i = 0; i < 2; i++) {
        gates[i] = (struct gate){ .work = { .run = run_gate, .done = done_gate }, .bed = &bed };
        bed.env->ops->submit(bed.env, &gates[i].work);
    }
    while (!atomic_load(&gates[0].entered) || !atomic_load(&gates[1].entered))
        (void)sched_yield();
    high = &gates[gates[0].worker == 1 ? 0 : 1];
    low = &gates[gates[0].worker == 1 ? 1 : 0];
    assert_int_equal(fg_env_uv_resize(bed.env, 1, resized, &bed, NULL), 0);
    assert_int_equal(fg_env_uv_resize(bed.env, 5, resized, &bed, NULL), -FG_E_UNAVAILABLE);
    bed.env->ops->submit(bed.env, &work.work);
    for (int i = 0; i < 10; i++)
        (void)uv_run(&bed.loop, UV_RUN_NOWAIT);
    assert_int_equal(bed.n_resized, 0);
    assert_int_equal(bed.env->n_workers, 2);
    atomic_store(&high->open, true);
    run_until_resized(&bed, 1);
    assert_int_equal(bed.n_done, 1);
    assert_false(work.ran);
    atomic_store(&low->open, true);
    run_until_done(&bed, 3);
    assert_int_equal(work.worker, 0);
    bed_deinit(&bed);
}

#ifndef FG_SANITIZED /* the sanitizers need room of their own */
static void a_worker_that_cannot_be_started_changes_nothing(void **state)
{
    struct bed bed;
    struct work work = { .work = { .run = run, .done = done }, .bed = &bed };
    struct rlimit all, none = { 0, 0 };
    struct fg_error err = FG_ERROR_NULL;

    bed_init(&bed, 2);
    assert_int_equal(getrlimit(RLIMIT_AS, &all), 0);
    none.rlim_max = all.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0); /* no room for a stack */
    assert_int_equal(fg_env_uv_resize(bed.env, FG_WORKERS_MAX, resized, &bed, &err), -FG_E_LIMIT);
    assert_int_equal(setrlimit(RLIMIT_AS, &all), 0);
    assert_non_null(strstr(err.text, "cannot start a worker thread"));
    assert_int_equal(bed.env->n_workers, 2);
    bed.env->ops->submit(bed.env, &work.work);
    run_until_done(&bed, 1);
    assert_int_equal(bed.n_resized, 0);
    assert_int_equal(fg_env_uv_resize(bed.env, 3, resized, &bed, NULL), 0);
    run_until_resized(&bed, 1);
    bed_deinit(&bed);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_work_is_run_and_then_reported_once),
        cmocka_unit_test(a_work_may_be_submitted_again_when_it_is_done),
        cmocka_unit_test(no_number_of_workers_means_one_a_core_and_too_many_are_cut),
        cmocka_unit_test(timers_fire_in_order_restart_and_stop),
        cmocka_unit_test(chance_does_not_repeat),
        cmocka_unit_test(workers_come_and_go_while_works_are_under_way),
        cmocka_unit_test(a_worker_leaves_after_the_work_it_has_and_another_takes_the_next),
#ifndef FG_SANITIZED
        cmocka_unit_test(a_worker_that_cannot_be_started_changes_nothing),
#endif
    };

    return cmocka_run_group_tests_name("host env-uv", tests, NULL, NULL);
}
