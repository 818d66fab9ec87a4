/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in the way, in words: told once, when it is proved, by the reason that explains most. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bus/rdkafka/trouble.h"

static int begin(void **state)
{
    static struct fg_trouble t;

    fg_trouble_init(&t);
    *state = &t;
    return 0;
}

static int end(void **state)
{
    fg_trouble_deinit(*state);
    return 0;
}

static void a_suspicion_is_told_once_it_is_proved(void **state)
{
    struct fg_trouble *t = *state;
    struct fg_error err;

    fg_trouble_hint(t, RD_KAFKA_RESP_ERR__TRANSPORT, "one:9092: connection refused", false);
    assert_true(fg_trouble_suspect(t));
    assert_false(fg_trouble_news(t, &err));
    fg_trouble_proved(t, false);
    assert_true(fg_trouble_news(t, &err));
    assert_int_equal(err.code, FG_E_UNAVAILABLE);
    assert_true(err.retriable);
    assert_string_equal(err.text, "Kafka: one:9092: connection refused");
    assert_false(fg_trouble_news(t, &err));
    fg_trouble_proved(t, true);
    assert_false(fg_trouble_suspect(t));
    assert_true(fg_trouble_news(t, &err));
    assert_int_equal(err.code, FG_E_NONE);
    assert_false(fg_trouble_news(t, &err));
}

static void a_connection_that_was_only_renewed_is_no_trouble(void **state)
{
    struct fg_trouble *t = *state;
    struct fg_error err;

    fg_trouble_hint(t, RD_KAFKA_RESP_ERR__TRANSPORT, "closed by the peer", false);
    fg_trouble_proved(t, true);
    fg_trouble_proved(t, false); /* nothing was suspected by then */
    assert_false(fg_trouble_news(t, &err));
}

static void a_weaker_reason_does_not_hide_a_stronger_one(void **state)
{
    struct fg_trouble *t = *state;
    struct fg_error err;

    fg_trouble_hint(t, RD_KAFKA_RESP_ERR__TRANSPORT, "first", false);
    fg_trouble_hint(t, RD_KAFKA_RESP_ERR__RESOLVE, "second", false);
    fg_trouble_hint(t, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "third", true);
    fg_trouble_why(t, &err);
    assert_string_equal(err.text, "Kafka: second");
    assert_true(fg_trouble_news(t, &err));
    assert_string_equal(err.text, "Kafka: second");
    assert_int_equal(err.retry_after_ms, 0);
    fg_trouble_hint(t, RD_KAFKA_RESP_ERR__RESOLVE, "of the same weight and newer", false);
    fg_trouble_why(t, &err);
    assert_string_equal(err.text, "Kafka: of the same weight and newer");
    /* what was before an answer explains nothing after it */
    fg_trouble_proved(t, true);
    fg_trouble_hint(t, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "anew", false);
    fg_trouble_why(t, &err);
    assert_string_equal(err.text, "Kafka: anew");
}

static void a_refused_certificate_is_told_at_once_in_words(void **state)
{
    struct fg_trouble *t = *state;
    struct fg_error err;

    fg_trouble_hint(t, RD_KAFKA_RESP_ERR__TRANSPORT, "ssl/tls alert certificate required: SSL alert 116", false);
    assert_true(fg_trouble_news(t, &err));
    assert_int_equal(err.code, FG_E_AUTH);
    assert_string_equal(err.text, "Kafka: the broker wants a client certificate "
                                  "(ssl/tls alert certificate required: SSL alert 116)");
}

static void brokers_that_do_not_answer_go_before_what_they_said(void **state)
{
    struct fg_error missing, err;
    struct fg_trouble *t = *state;

    fg_rd_error(&missing, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "Kafka: topic \"t\"", "not there");
    fg_trouble_state(t, &missing);
    assert_true(fg_trouble_news(t, &err));
    assert_int_equal(err.code, FG_E_NOT_FOUND);
    fg_trouble_hint(t, RD_KAFKA_RESP_ERR__TRANSPORT, "gone", true);
    assert_true(fg_trouble_news(t, &err));
    assert_int_equal(err.code, FG_E_UNAVAILABLE);
    fg_trouble_proved(t, true);
    assert_true(fg_trouble_news(t, &err));
    assert_string_equal(err.text, "Kafka: topic \"t\": not there");
    fg_trouble_state(t, NULL);
    assert_true(fg_trouble_news(t, &err));
    assert_int_equal(err.code, FG_E_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_suspicion_is_told_once_it_is_proved),
        TEST(a_connection_that_was_only_renewed_is_no_trouble),
        TEST(a_weaker_reason_does_not_hide_a_stronger_one),
        TEST(a_refused_certificate_is_told_at_once_in_words),
        TEST(brokers_that_do_not_answer_go_before_what_they_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
