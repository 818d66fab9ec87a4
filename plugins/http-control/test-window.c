/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the ring of the latest records: its bounds, filters and pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "window.h"

static void add(struct window *w, enum window_kind kind, const char *value)
{
    window_add(w, kind, fg_slice_of(value));
}

static void add_document(struct window *w, int i, const char *mailbox)
{
    char value[256];

    (void)snprintf(value, sizeof(value),
                   "{\"id\":\"d%d\",\"mailbox\":\"%s\",\"subject\":\"S%d\",\"text\":\"T%d \\u00f1\"}", i, mailbox, i,
                   i);
    add(w, WINDOW_DOCUMENT, value);
}

typedef void (*writer)(const struct window *, const struct window_filter *, struct fg_json_writer *);

/* The ids (or texts) of what is written, joined by blanks, then "next=N". */
static void expect(const struct window *w, writer write, struct window_filter f, const char *expected)
{
    struct fg_buf out = FG_BUF_INIT(1u << 20), got = FG_BUF_INIT(4096);
    struct fg_json_writer json = FG_JSON_WRITER_INIT(&out);
    const cJSON *item, *next;
    cJSON *answer;

    f.limit = f.limit ? f.limit : 100;
    write(w, &f, &json);
    assert_true(fg_json_valid(fg_buf_slice(&out)));
    answer = cJSON_Parse(out.data);
    assert_non_null(answer);
    cJSON_ArrayForEach (item, answer->child) {
        const cJSON *name = cJSON_GetObjectItem(item, write == window_write_documents ? "id" : "text");
        fg_buf_printf(&got, "%s ", cJSON_GetStringValue(name));
    }
    next = cJSON_GetObjectItem(answer, "next");
    if (next)
        fg_buf_printf(&got, "next=%d", next->valueint);
    assert_string_equal(got.data ? got.data : "", expected);
    cJSON_Delete(answer);
    fg_buf_deinit(&out);
    fg_buf_deinit(&got);
}

static void the_oldest_make_room_by_count(void **state)
{
    struct window w;

    (void)state;
    assert_true(window_init(&w, 3, 1u << 20));
    for (int i = 0; i < 7; i++)
        add_document(&w, i, "a");
    expect(&w, window_write_documents, (struct window_filter){.limit = 0}, "d6 d5 d4 ");
    assert_null(window_find(&w, WINDOW_DOCUMENT, (struct fg_slice)FG_SLICE("d3")));
    window_deinit(&w);
}

static void the_oldest_make_room_by_bytes(void **state)
{
    struct window w;
    char large[256];

    (void)state;
    assert_true(window_init(&w, 100, 150));
    for (int i = 0; i < 9; i++)
        add_document(&w, i, "a");
    assert_true(w.bytes <= 150 && w.n == 2);
    (void)snprintf(large, sizeof(large), "{\"id\":\"large\",\"text\":\"%0150d\"}", 0);
    add(&w, WINDOW_DOCUMENT, large); /* larger than the window: nothing is lost for it */
    expect(&w, window_write_documents, (struct window_filter){.limit = 0}, "d8 d7 ");
    window_deinit(&w);
}

static void what_is_no_record_is_left_out(void **state)
{
    static const char *const values[] = {"", "x", "{}", "{\"id\":5}", "{\"id\":\"a\"", "{\"id\":\"a\"} x", "[]"};
    struct window w;

    (void)state;
    assert_true(window_init(&w, 10, 1000));
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        add(&w, WINDOW_DOCUMENT, values[i]);
    add(&w, WINDOW_ENTITIES, "{\"id\":\"a\"}"); /* its document's id is what counts */
    assert_int_equal(w.n, 0);
    window_deinit(&w);
}

static void documents_are_filtered_and_paged(void **state)
{
    struct window w;

    (void)state;
    assert_true(window_init(&w, 100, 1u << 20));
    for (int i = 0; i < 6; i++)
        add_document(&w, i, i % 2 ? "odd" : "even");
    expect(&w, window_write_documents, (struct window_filter){.limit = 4}, "d5 d4 d3 d2 next=3");
    expect(&w, window_write_documents, (struct window_filter){.limit = 4, .before = 3}, "d1 d0 ");
    expect(&w, window_write_documents, (struct window_filter){.mailbox = FG_SLICE("odd"), .limit = 2}, "d5 d3 next=4");
    expect(&w, window_write_documents, (struct window_filter){.text = FG_SLICE("T4 \xc3\xb1")}, "d4 ");
    expect(&w, window_write_documents, (struct window_filter){.text = FG_SLICE("S3")}, "d3 ");
    expect(&w, window_write_documents, (struct window_filter){.text = FG_SLICE("nowhere")}, "");
    window_deinit(&w);
}

static void entities_carry_their_document(void **state)
{
    struct window w;

    (void)state;
    assert_true(window_init(&w, 100, 1u << 20));
    add_document(&w, 1, "a");
    add(&w, WINDOW_ENTITIES,
        "{\"document\":{\"id\":\"d1\",\"mailbox\":\"a\"},\"entities\":[{\"type\":\"ID\",\"text\":\"one\"},"
        "{\"type\":\"URL\",\"text\":\"two\",\"\":1,\"document\":2}]}");
    add(&w, WINDOW_ENTITIES,
        "{\"document\":{\"id\":\"d2\",\"mailbox\":\"b\"},\"entities\":[{\"type\":\"ID\",\"text\":\"three\"}]}");
    add(&w, WINDOW_ENTITIES, "{\"document\":{\"id\":\"d3\",\"mailbox\":\"b\"},\"entities\":7}");
    expect(&w, window_write_entities, (struct window_filter){.limit = 0}, "three one two ");
    expect(&w, window_write_entities, (struct window_filter){.limit = 2}, "three one next=2");
    expect(&w, window_write_entities, (struct window_filter){.type = FG_SLICE("ID")}, "three one ");
    expect(&w, window_write_entities, (struct window_filter){.mailbox = FG_SLICE("a")}, "one two ");
    expect(&w, window_write_entities, (struct window_filter){.text = FG_SLICE("tw")}, "two ");
    assert_int_equal(window_find(&w, WINDOW_ENTITIES, (struct fg_slice)FG_SLICE("d1"))->number, 2);
    window_deinit(&w);
}

static void the_newest_with_an_id_is_found_however_it_is_escaped(void **state)
{
    struct window w;

    (void)state;
    assert_true(window_init(&w, 10, 1000));
    add(&w, WINDOW_DOCUMENT, "{\"id\":\"a\\u002fb\\\"\",\"v\":1}");
    add(&w, WINDOW_DOCUMENT, "{\"id\":\"a/b\\\"\",\"v\":2}");
    assert_int_equal(window_find(&w, WINDOW_DOCUMENT, (struct fg_slice)FG_SLICE("a/b\""))->number, 2);
    assert_null(window_find(&w, WINDOW_ENTITIES, (struct fg_slice)FG_SLICE("a/b\"")));
    assert_null(window_find(&w, WINDOW_DOCUMENT, FG_SLICE_NULL));
    window_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_make_room_by_count),
        cmocka_unit_test(the_oldest_make_room_by_bytes),
        cmocka_unit_test(what_is_no_record_is_left_out),
        cmocka_unit_test(documents_are_filtered_and_paged),
        cmocka_unit_test(entities_carry_their_document),
        cmocka_unit_test(the_newest_with_an_id_is_found_however_it_is_escaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
