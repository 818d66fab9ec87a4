/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON writer and scanner, against cJSON by random documents of fixed seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "base/json.h"

#define ROUNDS 3000

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Text of plain and odd characters: no NUL, which cJSON cannot hold. */
static void random_text(uint64_t *seed, char ret[64])
{
    static const char *const pieces[] = { "a", "plain text", "\"", "\\", "\n", "\x01", "/", "~", "\xC3\xBC",
                                          "\xF0\x9F\x98\x80", "\xE2\x82\xAC", "\x7F", "" };
    unsigned n = next_random(seed) % 6;

    ret[0] = '\0';
    for (unsigned i = 0; i < n; i++)
        (void)snprintf(ret + strlen(ret), 64 - strlen(ret), "%s",
                       pieces[next_random(seed) % (sizeof(pieces) / sizeof(pieces[0]))]);
}

static void write_random(struct fg_json_writer *w, uint64_t *seed, unsigned depth)
{
    unsigned n = next_random(seed) % 4;
    char text[64];

    switch (next_random(seed) % (depth > 5 ? 5 : 7)) {
    case 0: fg_json_null(w); break;
    case 1: fg_json_bool(w, n & 1); break;
    case 2: fg_json_int(w, (int64_t)next_random(seed) - 1000000000); break;
    case 3: fg_json_double(w, (double)next_random(seed) / 977.0); break;
    case 4:
        random_text(seed, text);
        fg_json_cstr(w, text);
        break;
    case 5:
        fg_json_array(w);
        for (unsigned i = 0; i < n; i++)
            write_random(w, seed, depth + 1);
        fg_json_array_end(w);
        break;
    default:
        fg_json_object(w);
        for (unsigned i = 0; i < n; i++) {
            random_text(seed, text);
            fg_json_key(w, text);
            write_random(w, seed, depth + 1);
        }
        fg_json_object_end(w);
    }
}

static void same_as_cjson(struct fg_json_value value, const cJSON *tree)
{
    struct fg_buf text = FG_BUF_INIT(10000);
    struct fg_json_value child;
    struct fg_slice key = FG_SLICE_NULL;
    const cJSON *item = tree->child;
    size_t pos = 0;

    if (cJSON_IsString(tree)) {
        assert_int_equal(value.kind, FG_JSON_STRING);
        assert_true(fg_json_decode_string(value.raw, &text));
        assert_true(fg_slice_is(fg_buf_slice(&text), tree->valuestring));
        assert_true(fg_json_string_is(value.raw, tree->valuestring));
    } else if (cJSON_IsNumber(tree)) {
        assert_int_equal(value.kind, FG_JSON_NUMBER);
    } else if (cJSON_IsNull(tree)) {
        assert_int_equal(value.kind, FG_JSON_NULL);
    } else if (cJSON_IsBool(tree)) {
        assert_int_equal(value.kind, FG_JSON_BOOL);
        assert_true(fg_slice_is(value.raw, cJSON_IsTrue(tree) ? "true" : "false"));
    } else {
        assert_int_equal(value.kind, cJSON_IsObject(tree) ? FG_JSON_OBJECT : FG_JSON_ARRAY);
        for (; fg_json_each(value, &pos, &key, &child); item = item->next) {
            assert_non_null(item);
            if (cJSON_IsObject(tree))
                assert_true(fg_json_string_is(key, item->string));
            same_as_cjson(child, item);
        }
        assert_null(item);
    }
    fg_buf_deinit(&text);
}

static void what_the_writer_writes_cjson_and_the_scanner_read_alike(void **state)
{
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        struct fg_buf out = FG_BUF_INIT(1 << 20);
        struct fg_json_writer w = FG_JSON_WRITER_INIT(&out);
        uint64_t seed = round;
        cJSON *tree;
        write_random(&w, &seed, 0);
        assert_false(out.failed);
        assert_true(fg_json_valid(fg_buf_slice(&out)));
        tree = cJSON_ParseWithLengthOpts(out.data, out.len + 1, NULL, 1);
        assert_non_null(tree);
        same_as_cjson(fg_json_find(fg_buf_slice(&out), ""), tree);
        cJSON_Delete(tree);
        fg_buf_deinit(&out);
    }
}

/* cJSON's own text, spaces and escapes of its taste included, comes back the same through the scanner. */
static void what_cjson_writes_the_scanner_reads(void **state)
{
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        struct fg_buf out = FG_BUF_INIT(1 << 20);
        struct fg_json_writer w = FG_JSON_WRITER_INIT(&out);
        uint64_t seed = round * 7919;
        cJSON *tree;
        char *text;
        write_random(&w, &seed, 0);
        tree = cJSON_Parse(out.data);
        text = cJSON_Print(tree);
        assert_true(fg_json_valid(fg_slice_of(text)));
        same_as_cjson(fg_json_find(fg_slice_of(text), ""), tree);
        free(text);
        cJSON_Delete(tree);
        fg_buf_deinit(&out);
    }
}

static void what_rfc_8259_refuses_is_refused(void **state)
{
    static const char *const bad[] = {
        "", " ", "{", "[", "[1,]", "[,1]", "{\"a\":1,}", "{\"a\"}", "{a:1}", "{1:1}", "[1 2]", "01", "-", "1.", ".5",
        "+1", "1e", "0x1", "nul", "True", "NaN", "'a'", "\"a", "\"\\x\"", "\"\\u12g4\"", "\"\n\"", "\"\x80\"",
        "\"\xED\xA0\x80\"", "1 2", "[1]]", "[1}", "{\"a\":1]", "\xEF\xBB\xBF{}", "\"\\", "\"\\u12\"", "// a\n1", "]",
        "\"12345678\t\"", "\f1",
    };
    static const char *const good[] = { "0", "-0", "-0.5e+3", " [ ] ", "{ }", "\"\\ud800\"", "\"\x7F\"", "\t1\r\n",
                                        "{\"a\" : [ 1 , { } ] }" };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(fg_json_valid(fg_slice_of(bad[i])));
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(fg_json_valid(fg_slice_of(good[i])));
}

static void nesting_ends_at_64(void **state)
{
    char doc[130];

    memset(doc, '[', 65);
    memset(doc + 65, ']', 65);
    assert_true(fg_json_valid(fg_slice_make(doc + 1, 128)));
    assert_false(fg_json_valid(fg_slice_make(doc, 130)));
}

static void pointers_find_and_miss(void **state)
{
    struct fg_slice doc = fg_slice_of("{\"a/b\":[10,{\"m~n\":\"x\"}],\"\\u0061\":1,\"a\":2,\"\":3,\"e\":[] }");

    assert_true(fg_slice_is(fg_json_find(doc, "/a~1b/0").raw, "10"));
    assert_true(fg_slice_is(fg_json_find(doc, "/a~1b/1/m~0n").raw, "\"x\""));
    assert_true(fg_slice_is(fg_json_find(doc, "/a").raw, "1"));
    assert_true(fg_slice_is(fg_json_find(doc, "/").raw, "3"));
    assert_int_equal(fg_json_find(doc, "").kind, FG_JSON_OBJECT);
    assert_int_equal(fg_json_find(doc, "/a~1b/2").kind, FG_JSON_NONE);
    assert_int_equal(fg_json_find(doc, "/a~1b/00").kind, FG_JSON_NONE);
    assert_int_equal(fg_json_find(doc, "/a~1b/-").kind, FG_JSON_NONE);
    assert_int_equal(fg_json_find(FG_SLICE_NULL, "").kind, FG_JSON_NONE);
    assert_int_equal(fg_json_find(FG_SLICE_NULL, "/a").kind, FG_JSON_NONE);
    assert_int_equal(fg_json_find(doc, "/e/0").kind, FG_JSON_NONE);
    assert_int_equal(fg_json_find(doc, "/a/x").kind, FG_JSON_NONE);
    assert_int_equal(fg_json_find(doc, "a").kind, FG_JSON_NONE);
    assert_int_equal(fg_json_find(FG_SLICE_NULL, "").kind, FG_JSON_NONE);
}

static void the_start_of_a_string_ends_with_a_whole_character(void **state)
{
    static const char raw[] = "\"ab\xc3\xa9\\n\\u00e9\\ud83d\\ude00z\""; /* a b e-acute newline e-acute emoji z */
    static const char whole[] = "ab\xc3\xa9\n\xc3\xa9\xf0\x9f\x98\x80z";
    static const size_t lengths[] = { 0, 1, 2, 4, 4, 5, 7, 7, 11, 11, 11, 11, 12, 12, 12 };

    for (size_t max = 0; max < sizeof(lengths) / sizeof(lengths[0]); max++) {
        struct fg_buf out = FG_BUF_INIT(100);

        fg_buf_add_str(&out, "x"); /* what is there already does not count */
        assert_true(fg_json_decode_start(fg_slice_of(raw), max, &out));
        assert_int_equal(out.len, 1 + lengths[max]);
        assert_memory_equal(out.data + 1, whole, lengths[max]);
        fg_buf_deinit(&out);
    }
}

static void strings_decode(void **state)
{
    struct fg_buf out = FG_BUF_INIT(100);
    struct fg_slice escapes = fg_slice_of("\"\\\"\\/\\b\\f\\n\\r\\t\\u00fc\\ud83d\\ude00\\ud800\\ud800x\"");

    assert_true(fg_json_decode_string(escapes, &out));
    assert_string_equal(out.data, "\"/\b\f\n\r\t\xC3\xBC\xF0\x9F\x98\x80\xEF\xBF\xBD\xEF\xBF\xBDx");
    assert_false(fg_json_decode_string(fg_slice_of("12"), &out));
    assert_false(fg_json_decode_string(fg_slice_of("\"a"), &out));
    out.max = out.len;
    assert_false(fg_json_decode_string(fg_slice_of("\"more\""), &out));
    fg_buf_deinit(&out);
}

static void the_writer_repairs_bad_bytes_and_writes_null_for_what_is_no_number(void **state)
{
    struct fg_buf out = FG_BUF_INIT(200);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&out);

    fg_json_object(&w);
    fg_json_kv_cstr(&w, "k", "a\xFF");
    fg_json_kv_cstr(&w, "n", NULL);
    fg_json_kv_int(&w, "i", INT64_MIN);
    fg_json_kv_bool(&w, "b", true);
    fg_json_key(&w, "d");
    fg_json_double(&w, (double)__builtin_inf());
    fg_json_key(&w, "r");
    fg_json_raw(&w, fg_slice_of("[1]"));
    fg_json_object_end(&w);
    assert_string_equal(out.data, "{\"k\":\"a\xEF\xBF\xBD\",\"n\":null,\"i\":-9223372036854775808,\"b\":true,"
                                  "\"d\":null,\"r\":[1]}");
    fg_buf_deinit(&out);
}

/* Eight bytes are looked at together: a special one is found wherever it stands in them. */
static void the_writer_finds_what_needs_an_escape_at_any_place(void **state)
{
    static const struct {
        const char *in, *out;
    } specials[] = {{"\"", "\\\""},   {"\\", "\\\\"}, {"\n", "\\n"}, {"\x1f", "\\u001f"},
                    {"\x7f", "\x7f"}, {"ü", "ü"},     {"😀", "😀"},    {"\xFF", "\xEF\xBF\xBD"}};

    for (size_t before = 0; before < 20; before++)
        for (size_t behind = 0; behind < 10; behind++)
            for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++) {
                struct fg_buf in = FG_BUF_INIT(100), want = FG_BUF_INIT(100), out = FG_BUF_INIT(100);
                struct fg_json_writer w = FG_JSON_WRITER_INIT(&out);
                fg_buf_printf(&in, "%.*s%s%.*s", (int)before, "aaaaaaaaaaaaaaaaaaaa", specials[i].in, (int)behind,
                              "bbbbbbbbbb");
                fg_buf_printf(&want, "\"%.*s%s%.*s\"", (int)before, "aaaaaaaaaaaaaaaaaaaa", specials[i].out,
                              (int)behind, "bbbbbbbbbb");
                fg_json_string(&w, fg_buf_slice(&in));
                assert_string_equal(out.data, want.data);
                assert_true(fg_json_valid(fg_buf_slice(&out)));
                fg_buf_deinit(&in);
                fg_buf_deinit(&want);
                fg_buf_deinit(&out);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_writer_writes_cjson_and_the_scanner_read_alike),
        cmocka_unit_test(what_cjson_writes_the_scanner_reads),
        cmocka_unit_test(what_rfc_8259_refuses_is_refused),
        cmocka_unit_test(nesting_ends_at_64),
        cmocka_unit_test(pointers_find_and_miss),
        cmocka_unit_test(strings_decode),
        cmocka_unit_test(the_start_of_a_string_ends_with_a_whole_character),
        cmocka_unit_test(the_writer_repairs_bad_bytes_and_writes_null_for_what_is_no_number),
        cmocka_unit_test(the_writer_finds_what_needs_an_escape_at_any_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
