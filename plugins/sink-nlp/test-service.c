/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what each service is asked, how its answers are read, and what its refusals mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "service.h"

static void expect_request(enum service service, const char *language, const char *model, const char *expected)
{
    struct fg_buf out = FG_BUF_INIT(4096);

    service_request(service, (struct fg_slice)FG_SLICE("Caf\xc3\xa9 \"x\""), fg_slice_of(language), model, &out);
    assert_string_equal(out.data, expected);
    fg_buf_deinit(&out);
}

static void each_service_is_asked_in_its_own_words(void **state)
{
    (void)state;
    expect_request(SERVICE_SPACY, "\"es\"", "en_core_web_sm",
                   "{\"text\":\"Caf\xc3\xa9 \\\"x\\\"\",\"model\":\"en_core_web_sm\"}");
    expect_request(SERVICE_SPACY, "\"es\"", NULL, "{\"text\":\"Caf\xc3\xa9 \\\"x\\\"\"}");
    expect_request(SERVICE_GENERIC, "\"es\"", NULL, "{\"text\":\"Caf\xc3\xa9 \\\"x\\\"\",\"language\":\"es\"}");
    expect_request(SERVICE_GENERIC, NULL, "a\"b", "{\"text\":\"Caf\xc3\xa9 \\\"x\\\"\",\"model\":\"a\\\"b\"}");
}

static void an_answer_of_spacy_is_read(void **state)
{
    struct answer a;

    (void)state;
    assert_int_equal(
        service_answer(SERVICE_SPACY, fg_slice_of(" [{\"start\": 0, \"end\": 3, \"label\": \"PERSON\"}] "), &a, NULL),
        0);
    assert_int_equal(a.n, 1);
    assert_int_equal(a.malformed, 0);
    assert_int_equal(a.spans[0].start, 0);
    assert_int_equal(a.spans[0].end, 3);
    assert_true(fg_slice_is(a.spans[0].type, "\"PERSON\""));
    assert_int_equal(a.spans[0].text.len + a.spans[0].score.len + a.spans[0].normalized.len + a.model.len, 0);
    free(a.spans);
}

static void an_answer_of_generic_is_read(void **state)
{
    struct answer a;

    (void)state;
    assert_int_equal(service_answer(SERVICE_GENERIC,
                                    fg_slice_of("{\"entities\":[{\"type\":\"DATE\",\"text\":\"x\",\"start\":1,"
                                                "\"end\":2,\"score\":0.5,\"normalized\":\"2026-01-01\"}],"
                                                "\"model\":\"m\",\"more\":[1]}"),
                                    &a, NULL),
                     0);
    assert_int_equal(a.n, 1);
    assert_true(fg_slice_is(a.spans[0].text, "\"x\""));
    assert_true(fg_slice_is(a.spans[0].score, "0.5"));
    assert_true(fg_slice_is(a.spans[0].normalized, "\"2026-01-01\""));
    assert_true(fg_slice_is(a.model, "\"m\""));
    free(a.spans);
}

static void an_answer_that_is_none_may_be_asked_again(void **state)
{
    static const struct {
        enum service service;
        const char *body;
    } rows[] = {
        {SERVICE_SPACY, ""},
        {SERVICE_SPACY, "<html>"},
        {SERVICE_SPACY, "["},
        {SERVICE_SPACY, "{}"},
        {SERVICE_SPACY, "null"},
        {SERVICE_SPACY, "[1] 2"},
        {SERVICE_GENERIC, "[]"},
        {SERVICE_GENERIC, "{}"},
        {SERVICE_GENERIC, "{\"entities\":{}}"},
        {SERVICE_GENERIC, "{\"entities\":null}"},
        {SERVICE_GENERIC, "{\"entities\":["},
        {SERVICE_GENERIC, "{\"entities\":[\"\xff\"]}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fg_error err = FG_ERROR_NULL;
        struct answer a;
        assert_int_equal(service_answer(rows[i].service, fg_slice_of(rows[i].body), &a, &err), -FG_E_PROTOCOL);
        assert_true(err.retriable && !err.fatal);
        assert_non_null(strstr(err.text, "the service's answer"));
        free(a.spans);
    }
}

static void entities_without_a_usable_place_or_type_are_counted(void **state)
{
    static const char *const entities[] = {
        "5",
        "null",
        "[]",
        "{}",
        "\"x\"",
        "{\"type\":\"A\",\"start\":0}",
        "{\"type\":\"A\",\"end\":1}",
        "{\"start\":0,\"end\":1}",
        "{\"type\":\"\",\"start\":0,\"end\":1}",
        "{\"type\":7,\"start\":0,\"end\":1}",
        "{\"type\":\"A\",\"start\":0.5,\"end\":1}",
        "{\"type\":\"A\",\"start\":0,\"end\":1e3}",
        "{\"type\":\"A\",\"start\":0,\"end\":99999999999999999999}",
        "{\"type\":\"A\",\"start\":\"0\",\"end\":1}",
        "{\"type\":\"A\",\"start\":null,\"end\":null}",
        "{\"type\":\"A\\u0000B\",\"start\":0,\"end\":1}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
        struct fg_buf body = FG_BUF_INIT(4096);
        struct answer a;
        fg_buf_printf(&body, "{\"entities\":[%s,{\"type\":\"A\",\"start\":0,\"end\":1}]}", entities[i]);
        assert_int_equal(service_answer(SERVICE_GENERIC, fg_buf_slice(&body), &a, NULL), 0);
        assert_int_equal(a.n, 1);
        assert_int_equal(a.malformed, 1);
        free(a.spans);
        fg_buf_deinit(&body);
    }
}

static void what_nobody_can_read_is_left_out_of_an_entity(void **state)
{
    static const char *const members[] = {"\"score\":1e999",   "\"score\":\"high\"", "\"score\":null",
                                          "\"normalized\":{}", "\"normalized\":[1]", "\"normalized\":null",
                                          "\"text\":5"};

    (void)state;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        struct fg_buf body = FG_BUF_INIT(4096);
        struct answer a;
        fg_buf_printf(&body, "{\"entities\":[{\"type\":\"A\",\"start\":0,\"end\":1,%s}]}", members[i]);
        assert_int_equal(service_answer(SERVICE_GENERIC, fg_buf_slice(&body), &a, NULL), 0);
        assert_int_equal(a.n, 1);
        assert_int_equal(a.spans[0].score.len + a.spans[0].normalized.len + a.spans[0].text.len, 0);
        free(a.spans);
        fg_buf_deinit(&body);
    }
}

static void more_entities_than_the_limit_are_an_error(void **state)
{
    struct fg_buf body = FG_BUF_INIT(1u << 20);
    struct fg_error err = FG_ERROR_NULL;
    struct answer a;

    (void)state;
    fg_buf_add_char(&body, '[');
    for (unsigned i = 0; i < SPANS_MAX; i++)
        fg_buf_add_str(&body, i ? ",{\"label\":\"A\",\"start\":0,\"end\":1}" : "1");
    fg_buf_add_char(&body, ']');
    assert_int_equal(service_answer(SERVICE_SPACY, fg_buf_slice(&body), &a, &err), 0);
    assert_int_equal(a.n + a.malformed, SPANS_MAX);
    free(a.spans);
    body.data[body.len - 1] = ',';
    fg_buf_add_str(&body, "2]");
    assert_int_equal(service_answer(SERVICE_SPACY, fg_buf_slice(&body), &a, &err), -FG_E_LIMIT);
    assert_false(err.retriable);
    free(a.spans);
    fg_buf_deinit(&body);
}

static void a_refusal_says_whose_trouble_it_is(void **state)
{
    static const struct {
        int status, code;
        bool retriable;
    } rows[] = {
        {204, FG_E_PROTOCOL, true},    {301, FG_E_PROTOCOL, true},    {400, FG_E_REFUSED, false},
        {401, FG_E_AUTH, true},        {403, FG_E_AUTH, true},        {404, FG_E_UNAVAILABLE, true},
        {405, FG_E_UNAVAILABLE, true}, {408, FG_E_UNAVAILABLE, true}, {413, FG_E_REFUSED, false},
        {422, FG_E_REFUSED, false},    {429, FG_E_THROTTLED, true},   {499, FG_E_REFUSED, false},
        {500, FG_E_PROTOCOL, true},    {502, FG_E_UNAVAILABLE, true}, {503, FG_E_UNAVAILABLE, true},
        {504, FG_E_UNAVAILABLE, true}, {599, FG_E_PROTOCOL, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fg_error err = FG_ERROR_NULL;
        assert_int_equal(service_refusal(rows[i].status, 7000, "nlp:8000", &err), -rows[i].code);
        assert_int_equal(err.retriable, rows[i].retriable);
        assert_int_equal(err.retry_after_ms, 7000);
        assert_false(err.fatal);
        assert_non_null(strstr(err.text, "nlp:8000"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_service_is_asked_in_its_own_words),
        cmocka_unit_test(an_answer_of_spacy_is_read),
        cmocka_unit_test(an_answer_of_generic_is_read),
        cmocka_unit_test(an_answer_that_is_none_may_be_asked_again),
        cmocka_unit_test(entities_without_a_usable_place_or_type_are_counted),
        cmocka_unit_test(what_nobody_can_read_is_left_out_of_an_entity),
        cmocka_unit_test(more_entities_than_the_limit_are_an_error),
        cmocka_unit_test(a_refusal_says_whose_trouble_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
