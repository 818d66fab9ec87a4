/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the entities record: spans against the text, order, counts, and that it keeps to its schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "entities.h"

static const char document[] = "{\"id\":\"AAMk1\",\"mailbox\":\"info@contoso.example\",\"subject\":\"S \\\"1\\\"\","
                               "\"received_at\":\"2026-03-16T08:00:00Z\",\"internet_message_id\":null,\"text\":\"\"}";

/* The value made of a text (a JSON string's inside) and a generic service's entities. Freed by cJSON_Delete(). */
static cJSON *make(const char *text_inside, const char *entities, size_t *ret_dropped)
{
    struct fg_buf raw = FG_BUF_INIT(4u << 20), text = FG_BUF_INIT(4u << 20), body = FG_BUF_INIT(4u << 20);
    struct fg_buf out = FG_BUF_INIT(16u << 20);
    struct answer answer;
    struct entities_input in = {
        .document = fg_slice_of(document), .service = "generic", .url_host = "nlp:8000", .elapsed_ms = 12};
    cJSON *value;

    fg_buf_printf(&raw, "\"%s\"", text_inside);
    fg_buf_printf(&body, "{\"entities\":%s,\"model\":\"m\"}", entities);
    assert_true(fg_json_decode_string(fg_buf_slice(&raw), &text));
    assert_int_equal(service_answer(SERVICE_GENERIC, fg_buf_slice(&body), &answer, NULL), 0);
    in.text = fg_buf_slice(&text);
    entities_write(&in, &answer, &out, ret_dropped);
    assert_false(out.failed);
    assert_true(fg_json_valid(fg_buf_slice(&out)));
    value = cJSON_Parse(out.data);
    assert_non_null(value);
    free(answer.spans);
    fg_buf_deinit(&raw);
    fg_buf_deinit(&text);
    fg_buf_deinit(&body);
    fg_buf_deinit(&out);
    return value;
}

static int number(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    assert_true(cJSON_IsNumber(item));
    return item->valueint;
}

static const char *text_of(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static const cJSON *entity(const cJSON *value, int i)
{
    const cJSON *e = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(value, "entities"), i);

    assert_non_null(e);
    return e;
}

static int count(const cJSON *value)
{
    return cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(value, "entities"));
}

static void offsets_are_code_points_with_bytes_beside_them(void **state)
{
    static const struct {
        const char *text;
        int start, end, start_byte, end_byte;
        const char *stands;
    } rows[] = {
        {"Ana", 0, 3, 0, 3, "Ana"},
        {"\\ud83d\\ude00 Ana", 2, 5, 5, 8, "Ana"},   /* astral, as a pair of surrogates */
        {"\xf0\x9f\x98\x80 Ana", 2, 5, 5, 8, "Ana"}, /* and as it is */
        {"Jos\xc3\xa9 Ana", 5, 8, 6, 9, "Ana"},      /* NFC */
        {"Jose\\u0301 Ana", 6, 9, 7, 10, "Ana"},     /* NFD */
        {"a\\r\\nAna\\r\\n", 3, 6, 3, 6, "Ana"},     /* CRLF are two */
        {"\\u0000\\ufeffAna", 2, 5, 4, 7, "Ana"},    /* NUL and BOM count */
        {"\\ud83d Ana", 2, 5, 4, 7, "Ana"},          /* half a pair is one U+FFFD */
        {"Ana \xf0\x9f\x98\x80", 0, 5, 0, 8, "Ana \xf0\x9f\x98\x80"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char entities[128];
        size_t dropped;
        cJSON *value;
        const cJSON *e;
        (void)snprintf(entities, sizeof(entities), "[{\"type\":\"P\",\"start\":%d,\"end\":%d}]", rows[i].start,
                       rows[i].end);
        value = make(rows[i].text, entities, &dropped);
        assert_int_equal(dropped, 0);
        e = entity(value, 0);
        assert_int_equal(number(e, "start"), rows[i].start);
        assert_int_equal(number(e, "end"), rows[i].end);
        assert_int_equal(number(e, "start_byte"), rows[i].start_byte);
        assert_int_equal(number(e, "end_byte"), rows[i].end_byte);
        assert_string_equal(text_of(e, "text"), rows[i].stands);
        cJSON_Delete(value);
    }
}

static void spans_that_do_not_fit_are_dropped_and_counted(void **state)
{
    static const char *const entities[] = {
        "{\"type\":\"P\",\"start\":-1,\"end\":2}",
        "{\"type\":\"P\",\"start\":2,\"end\":2}",
        "{\"type\":\"P\",\"start\":3,\"end\":2}",
        "{\"type\":\"P\",\"start\":0,\"end\":5}",
        "{\"type\":\"P\",\"start\":4,\"end\":9223372036854775807}",
        "{\"type\":\"P\",\"start\":9223372036854775806,\"end\":9223372036854775807}",
        "{\"type\":\"P\",\"start\":-9223372036854775808,\"end\":1}",
        "{\"type\":\"P\",\"start\":0,\"end\":2,\"text\":\"xy\"}",
        "{\"type\":\"P\",\"start\":0,\"end\":2,\"text\":\"\"}",
        "{\"type\":\"P\",\"start\":0,\"end\":2,\"text\":\"abc\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(entities) / sizeof(entities[0]); i++) {
        char list[512];
        size_t dropped;
        cJSON *value;
        (void)snprintf(list, sizeof(list), "[%s,{\"type\":\"Q\",\"start\":1,\"end\":3,\"text\":\"b\\u0063\"}]",
                       entities[i]);
        value = make("abcd", list, &dropped);
        assert_int_equal(dropped, 1);
        assert_int_equal(count(value), 1);
        assert_string_equal(text_of(entity(value, 0), "type"), "Q");
        assert_null(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(value, "counts"), "P"));
        cJSON_Delete(value);
    }
}

static void entities_come_in_order_and_longer_ones_first(void **state)
{
    size_t dropped;
    cJSON *value = make("abcdef",
                        "[{\"type\":\"C\",\"start\":2,\"end\":3},{\"type\":\"B\",\"start\":0,\"end\":1},"
                        "{\"type\":\"A\",\"start\":0,\"end\":4},{\"type\":\"D\",\"start\":2,\"end\":3}]",
                        &dropped);
    char order[5] = {0};

    (void)state;
    for (int i = 0; i < 4; i++)
        order[i] = text_of(entity(value, i), "type")[0];
    assert_string_equal(order, "ABCD");
    cJSON_Delete(value);
}

static void types_are_counted_by_name_however_they_are_escaped(void **state)
{
    size_t dropped;
    cJSON *value = make("abc",
                        "[{\"type\":\"\xc3\x93\",\"start\":0,\"end\":1},{\"type\":\"\\u00d3\",\"start\":1,\"end\":2},"
                        "{\"type\":\"B\\\"\",\"start\":1,\"end\":2}]",
                        &dropped);
    const cJSON *counts = cJSON_GetObjectItemCaseSensitive(value, "counts");

    (void)state;
    assert_int_equal(cJSON_GetArraySize(counts), 2);
    assert_int_equal(number(counts, "\xc3\x93"), 2);
    assert_int_equal(number(counts, "B\""), 1);
    cJSON_Delete(value);
}

/* Long spans near the end of a long text: measuring each from the start would take hours. */
static void many_spans_in_a_long_text_are_measured_fast(void **state)
{
    struct fg_buf text = FG_BUF_INIT(2u << 20), list = FG_BUF_INIT(4u << 20);
    size_t dropped;
    cJSON *value;

    (void)state;
    while (text.len < 1u << 20)
        fg_buf_add_str(&text, "\xc3\xb1");
    for (int i = 0; i < 9999; i++)
        fg_buf_printf(&list, "%s{\"type\":\"T%d\",\"start\":%d,\"end\":%d}", i ? "," : "[", i, 500000 + i, 500002 + i);
    fg_buf_add_char(&list, ']');
    value = make(text.data, list.data, &dropped);
    assert_int_equal(dropped, 0);
    assert_int_equal(count(value), 9999);
    assert_int_equal(number(entity(value, 9998), "end_byte"), 2 * 510000);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(value, "counts")), 9999);
    cJSON_Delete(value);
    fg_buf_deinit(&text);
    fg_buf_deinit(&list);
}

static void an_output_that_is_too_small_is_told(void **state)
{
    struct fg_buf out = FG_BUF_INIT(200);
    struct answer answer = {.spans = NULL};
    struct entities_input in = {.document = FG_SLICE("{}"), .service = "spacy", .url_host = "h"};
    size_t dropped;

    (void)state;
    entities_write(&in, &answer, &out, &dropped);
    assert_true(out.failed);
    fg_buf_deinit(&out);
}

static bool type_fits(const char *type, const cJSON *value)
{
    return strcmp(type, "object") == 0    ? cJSON_IsObject(value)
           : strcmp(type, "array") == 0   ? cJSON_IsArray(value)
           : strcmp(type, "string") == 0  ? cJSON_IsString(value)
           : strcmp(type, "boolean") == 0 ? cJSON_IsBool(value)
           : strcmp(type, "null") == 0    ? cJSON_IsNull(value)
           : strcmp(type, "integer") == 0 ? cJSON_IsNumber(value) && value->valuedouble == value->valueint
                                          : cJSON_IsNumber(value);
}

static void assert_type(const cJSON *type, const cJSON *value, const char *where)
{
    bool fits = !type || (cJSON_IsString(type) && type_fits(type->valuestring, value));
    const cJSON *one;

    if (cJSON_IsArray(type))
        cJSON_ArrayForEach (one, type)
            fits = fits || type_fits(one->valuestring, value);
    if (!fits)
        fail_msg("%s has a type that its schema does not allow", where);
}

/* As much of JSON Schema as the file uses. */
static void assert_fits(const cJSON *schema, const cJSON *value, const char *where)
{
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(schema, "properties");
    const cJSON *more = cJSON_GetObjectItemCaseSensitive(schema, "additionalProperties");
    const cJSON *choices = cJSON_GetObjectItemCaseSensitive(schema, "enum");
    const cJSON *minimum = cJSON_GetObjectItemCaseSensitive(schema, "minimum"), *item;
    bool found = !choices;

    assert_type(cJSON_GetObjectItemCaseSensitive(schema, "type"), value, where);
    cJSON_ArrayForEach (item, choices)
        found = found || cJSON_Compare(item, value, true);
    assert_true(found);
    if (minimum && value->valuedouble < minimum->valuedouble)
        fail_msg("%s is too small", where);
    cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(schema, "required"))
        if (!cJSON_HasObjectItem(value, item->valuestring))
            fail_msg("%s lacks \"%s\"", where, item->valuestring);
    if (cJSON_IsArray(value))
        cJSON_ArrayForEach (item, value)
            assert_fits(cJSON_GetObjectItemCaseSensitive(schema, "items"), item, where);
    if (!cJSON_IsObject(value))
        return;
    cJSON_ArrayForEach (item, value) {
        const cJSON *below = cJSON_GetObjectItemCaseSensitive(properties, item->string);
        below = below ? below : cJSON_IsObject(more) ? more : NULL;
        if (!below)
            fail_msg("the schema knows no \"%s\" in %s", item->string, where);
        assert_fits(below, item, item->string);
    }
}

/* Places are marked every 1024 code points, and plain text is counted eight bytes at a time. */
static void places_are_right_on_both_sides_of_every_mark(void **state)
{
    for (size_t wide = 1000; wide < 1050; wide++) {
        char text[4096] = "", entities[256];
        size_t dropped, at = 0;
        cJSON *value;
        for (size_t i = 0; i < 2100; i++) { /* one letter of two bytes at `wide`, one of four 1024 later */
            const char *letter = i == wide ? "ü" : i == wide + 1024 ? "😀" : i % 2 ? "b" : "a";
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s", letter);
        }
        (void)snprintf(entities, sizeof(entities),
                       "[{\"type\":\"X\",\"start\":%zu,\"end\":%zu},{\"type\":\"X\",\"start\":%zu,\"end\":%zu},"
                       "{\"type\":\"X\",\"start\":2099,\"end\":2100}]",
                       wide, wide + 1, wide + 1024, wide + 1025);
        value = make(text, entities, &dropped);
        assert_int_equal(dropped, 0);
        assert_string_equal(text_of(entity(value, 0), "text"), "ü");
        assert_int_equal(number(entity(value, 0), "start_byte"), wide);
        assert_string_equal(text_of(entity(value, 1), "text"), "😀");
        assert_int_equal(number(entity(value, 1), "start_byte"), wide + 1024 + 1);
        assert_string_equal(text_of(entity(value, 2), "text"), "b");
        assert_int_equal(number(entity(value, 2), "end_byte"), at);
        cJSON_Delete(value);
    }
}

static void the_record_keeps_to_its_schema(void **state)
{
    FILE *f = fopen(SCHEMA_PATH, "rb");
    char bytes[65536];
    size_t n, dropped;
    cJSON *schema, *value;

    (void)state;
    assert_non_null(f);
    n = fread(bytes, 1, sizeof(bytes) - 1, f);
    bytes[n] = '\0';
    (void)fclose(f);
    schema = cJSON_Parse(bytes);
    assert_non_null(schema);
    value = make("Ana \xf0\x9f\x98\x80 2026",
                 "[{\"type\":\"P\",\"start\":0,\"end\":3,\"score\":0.25},{\"type\":\"D\",\"start\":6,\"end\":10,"
                 "\"normalized\":\"2026\",\"text\":\"2026\"},{\"type\":\"D\",\"start\":6,\"end\":8,\"normalized\":20}]",
                 &dropped);
    assert_int_equal(count(value), 3);
    assert_fits(schema, value, "the record");
    assert_string_equal(text_of(cJSON_GetObjectItemCaseSensitive(value, "document"), "subject"), "S \"1\"");
    cJSON_Delete(value);
    value = make("", "[]", &dropped);
    assert_fits(schema, value, "the record without entities");
    cJSON_Delete(value);
    cJSON_Delete(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_code_points_with_bytes_beside_them),
        cmocka_unit_test(spans_that_do_not_fit_are_dropped_and_counted),
        cmocka_unit_test(entities_come_in_order_and_longer_ones_first),
        cmocka_unit_test(types_are_counted_by_name_however_they_are_escaped),
        cmocka_unit_test(many_spans_in_a_long_text_are_measured_fast),
        cmocka_unit_test(an_output_that_is_too_small_is_told),
        cmocka_unit_test(places_are_right_on_both_sides_of_every_mark),
        cmocka_unit_test(the_record_keeps_to_its_schema),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
