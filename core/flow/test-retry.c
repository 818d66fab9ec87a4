/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of trying again, one by one; test-faults.c has them at work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "flow/pipeline-private.h"

#define NOW_MS 1000u

/* A pipeline that is nothing but what the rules look at. `chance` is the next random number. */
struct bed {
    struct fg_pipeline *p;
    struct fg_clock clock;
    struct fg_env env;
    uint64_t chance;
};

static uint64_t now_ns(void *arg)
{
    (void)arg;
    return NOW_MS * UINT64_C(1000000);
}

static uint64_t chance(struct fg_env *env)
{
    return fg_container_of(env, struct bed, env)->chance;
}

static const struct fg_env_ops ops = {.random = chance};

static int bed_init(void **state)
{
    struct bed *bed = fg_calloc(1, sizeof(*bed));

    bed->p = fg_calloc(1, sizeof(*bed->p));
    bed->clock.mono_ns = now_ns;
    bed->env = (struct fg_env){.ops = &ops, .clock = &bed->clock, .n_workers = 1};
    bed->p->env = &bed->env;
    bed->p->c.attempts = 3;
    bed->p->c.retry_base_ms = FG_FLOW_RETRY_BASE_MS;
    bed->p->c.retry_cap_ms = FG_FLOW_RETRY_CAP_MS;
    fg_list_init(&bed->p->to_sink);
    fg_list_init(&bed->p->sink_retries);
    fg_list_init(&bed->p->deliveries);
    *state = bed;
    return 0;
}

static int bed_deinit(void **state)
{
    struct bed *bed = *state;

    free(bed->p);
    free(bed);
    return 0;
}

static void a_record_is_tried_so_often_and_waits_longer_each_time(void **state)
{
    struct bed *bed = *state;
    const struct fg_error told = {.code = FG_E_DATA, .retry_after_ms = 5000};

    assert_true(fg_flow_may_retry(bed->p, 2));
    assert_false(fg_flow_may_retry(bed->p, 3));
    for (unsigned attempts = 1; attempts <= 20; attempts++) {
        uint64_t most = attempts > 8 ? FG_FLOW_RETRY_CAP_MS : (uint64_t)FG_FLOW_RETRY_BASE_MS << (attempts - 1);
        bed->chance = most;
        assert_int_equal(fg_flow_retry_at(bed->p, attempts, NULL), NOW_MS + most);
        bed->chance = most + 1; /* the jitter is full: anything from nothing */
        assert_int_equal(fg_flow_retry_at(bed->p, attempts, NULL), NOW_MS);
    }
    bed->chance = 0;
    assert_int_equal(fg_flow_retry_at(bed->p, 1, &told), NOW_MS + 5001);
}

static void kafka_is_asked_again_soon_unless_it_says_otherwise(void **state)
{
    struct bed *bed = *state;
    const struct fg_error told = {.code = FG_E_UNAVAILABLE, .retry_after_ms = 60000};

    bed->chance = FG_FLOW_OUTAGE_CAP_MS;
    assert_int_equal(fg_flow_again_ms(bed->p, 60, NULL), FG_FLOW_OUTAGE_CAP_MS);
    assert_int_equal(fg_flow_again_ms(bed->p, 60, &told), 60000);
    bed->chance++;
    assert_int_equal(fg_flow_again_ms(bed->p, 60, NULL), 0);
}

static void an_outage_gets_longer_with_each_question_and_never_shorter(void **state)
{
    struct bed *bed = *state;
    struct fg_pipeline *p = bed->p;
    const struct fg_error down = {.code = FG_E_UNAVAILABLE}, told = {.code = FG_E_THROTTLED, .retry_after_ms = 900};

    bed->chance = FG_FLOW_RETRY_BASE_MS;
    p->outage_until_ms = fg_flow_outage_until(p, false, &down);
    p->outage = true;
    assert_int_equal(p->outage_until_ms, NOW_MS + FG_FLOW_RETRY_BASE_MS);
    assert_int_equal(p->outage_attempt, 1);
    /* others that were on their way fail too: no further question */
    assert_int_equal(fg_flow_outage_until(p, false, &down), p->outage_until_ms);
    assert_int_equal(p->outage_attempt, 1);
    p->outage_until_ms = fg_flow_outage_until(p, false, &told);
    assert_int_equal(p->outage_until_ms, NOW_MS + 901);
    assert_int_equal(fg_flow_outage_until(p, true, &down), p->outage_until_ms);
    assert_int_equal(p->outage_attempt, 2);
}

static void a_timeout_is_the_records_own_fault_when_others_were_answered(void **state)
{
    struct bed *bed = *state;
    struct fg_pipeline *p = bed->p;
    struct fg_item item = {.answers_first = 7, .answers_before = 7, .answers_seen = 7};
    const struct fg_error late = {.code = FG_E_TIMEOUT}, bad = {.code = FG_E_DATA, .retriable = true},
                          down = {.code = FG_E_AUTH};

    p->sink_answers = 7;
    assert_true(fg_flow_is_outage(p, &item, &down));
    assert_false(fg_flow_is_outage(p, &item, &bad));
    assert_true(fg_flow_is_outage(p, &item, &late)); /* nobody was answered since it went first */
    p->sink_answers = 8;
    assert_false(fg_flow_is_outage(p, &item, &late)); /* somebody was, while it waited */
    item.answers_seen = 8;
    assert_false(fg_flow_is_outage(p, &item, &late)); /* or since the time before */
    item.answers_before = 8;
    assert_false(fg_flow_is_outage(p, &item, &late)); /* it is the last one: nobody else can tell */
    p->n_to_work = 1;
    assert_true(fg_flow_is_outage(p, &item, &late));
    item.silences = FG_FLOW_SILENCES;
    assert_true(fg_flow_is_outage(p, &item, &late)); /* the one with the transforms was not silent before */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_init, bed_deinit)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_record_is_tried_so_often_and_waits_longer_each_time),
        TEST(kafka_is_asked_again_soon_unless_it_says_otherwise),
        TEST(an_outage_gets_longer_with_each_question_and_never_shorter),
        TEST(a_timeout_is_the_records_own_fault_when_others_were_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
