/* SPDX-License-Identifier: Apache-2.0 */
/* Graph messages as they come, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "references.h"

static void members_are_found_and_null_is_none(void **state)
{
    static const char doc[] = "{\"id\":\"A\",\"subject\":\"S\",\"changeKey\":null,\"unknown\":[{\"id\":\"no\"}],"
                              "\"body\":{\"contentType\":\"html\",\"content\":\"<p>\"},"
                              "\"receivedDateTime\":\"2026-03-02T09:19:00Z\"}";
    struct fg_error err = FG_ERROR_NULL;
    struct message m;

    (void)state;
    assert_int_equal(message_read(fg_slice_of(doc), &m, &err), 0);
    assert_true(fg_slice_is(m.id.raw, "\"A\""));
    assert_true(fg_slice_is(m.subject.raw, "\"S\""));
    assert_int_equal(m.change_key.kind, FG_JSON_NONE);
    assert_true(fg_slice_is(m.body_content.raw, "\"<p>\""));
    assert_string_equal(m.received_at.text, "2026-03-02T09:19:00Z");
    assert_int_equal(m.received_at.ms, 1772443140000);
    assert_string_equal(m.sent_at.text, "");
    assert_false(m.removed);
}

static void the_first_of_duplicates_counts(void **state)
{
    struct message m;

    (void)state;
    assert_int_equal(message_read(fg_slice_of("{\"id\":\"A\",\"id\":\"B\"}"), &m, NULL), 0);
    assert_true(fg_slice_is(m.id.raw, "\"A\""));
}

static void removed_messages_are_known(void **state)
{
    struct message m;

    (void)state;
    assert_int_equal(message_read(fg_slice_of("{\"@removed\":{\"reason\":\"deleted\"},\"id\":\"A\"}"), &m, NULL), 0);
    assert_true(m.removed);
}

static void what_is_no_message_is_refused_with_a_reason(void **state)
{
    static const struct {
        const char *doc, *why;
    } bad[] = {
        { "", "not valid JSON" },
        { "{\"id\":\"A\"", "not valid JSON" },
        { "{\"id\":\"A\"} x", "not valid JSON" },
        { "{\"id\":\"\xFF\"}", "not valid JSON" },
        { "[]", "no object" },
        { "\"id\"", "no object" },
        { "{}", "no \"id\"" },
        { "{\"id\":null}", "no \"id\"" },
        { "{\"id\":\"\"}", "no \"id\"" },
        { "{\"id\":7}", "\"id\" is a number, not a string" },
        { "{\"id\":\"A\",\"subject\":{}}", "\"subject\" is an object, not a string" },
        { "{\"id\":\"A\",\"body\":\"x\"}", "\"body\" is a string, not an object" },
        { "{\"id\":\"A\",\"body\":{\"content\":[]}}", "\"content\" is an array, not a string" },
        { "{\"id\":\"A\",\"toRecipients\":true}", "\"toRecipients\" is a boolean, not an array" },
        { "{\"id\":\"A\",\"sentDateTime\":\"yesterday\"}", "\"sentDateTime\" is no RFC 3339 time: \"yesterday\"" },
        { "{\"id\":\"A\",\"receivedDateTime\":\"2026-02-30T00:00:00Z\"}", "\"receivedDateTime\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fg_error err = FG_ERROR_NULL;
        struct message m;
        assert_int_equal(message_read(fg_slice_of(bad[i].doc), &m, &err), -FG_E_DATA);
        assert_int_equal(err.code, FG_E_DATA);
        assert_false(err.retriable);
        if (!strstr(err.text, bad[i].why))
            fail_msg("%s: \"%s\" does not say \"%s\"", bad[i].doc, err.text, bad[i].why);
    }
}

static void times_become_utc(void **state)
{
    static const struct {
        const char *from, *to;
        int64_t ms;
    } times[] = {
        { "2026-03-07T08:12:01Z", "2026-03-07T08:12:01Z", 1772871121000 },
        { "2026-03-07t08:12:01z", "2026-03-07T08:12:01Z", 1772871121000 },
        { "2026-03-07T08:12:01.5Z", "2026-03-07T08:12:01.500Z", 1772871121500 },
        { "2026-03-07T08:12:01.1234567Z", "2026-03-07T08:12:01.123Z", 1772871121123 },
        { "2026-03-07T00:12:01+01:00", "2026-03-06T23:12:01Z", 1772838721000 },
        { "2024-02-29T23:30:00-00:45", "2024-03-01T00:15:00Z", 1709252100000 },
        { "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", 0 },
        { "1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z", -1000 },
        { "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", -62135596800000 },
        { "9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z", 253402300799000 },
        { "2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", 1483228800000 },
    };
    static const char *const bad[] = { "", "2026", "2026-03-07", "2026-03-07T08:12:01", "2026-13-01T00:00:00Z",
                                       "2025-02-29T00:00:00Z", "2026-03-07T24:00:00Z", "2026-03-07T08:12:01.Z",
                                       "2026-03-07T08:12:01+25:00", "2026-03-07T08:12:01Zx", "0000-01-01T00:00:00Z",
                                       "0001-01-01T00:00:00+01:00", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z" };
    struct message_time t;

    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        if (!message_time_parse(fg_slice_of(times[i].from), &t))
            fail_msg("%s is refused", times[i].from);
        assert_string_equal(t.text, times[i].to);
        assert_int_equal(t.ms, times[i].ms);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (message_time_parse(fg_slice_of(bad[i]), &t))
            fail_msg("%s is taken", bad[i]);
    assert_false(message_time_format(INT64_MAX, &t));
    assert_false(message_time_format(INT64_MIN, &t));
}

static void headers_are_found_in_any_case(void **state)
{
    static const char doc[] = "{\"id\":\"A\",\"internetMessageHeaders\":[7,{\"name\":\"X\",\"value\":\"no\"},"
                              "{\"name\":\"content-LANGUAGE\",\"value\":\"e\\u0073\"}]}";
    struct fg_buf out = FG_BUF_INIT(64);
    struct message m;

    (void)state;
    assert_int_equal(message_read(fg_slice_of(doc), &m, NULL), 0);
    assert_true(message_header(&m, "Content-Language", &out));
    assert_true(fg_slice_is(fg_buf_slice(&out), "es"));
    assert_false(message_header(&m, "References", &out));
    fg_buf_deinit(&out);
}

/* A message with these two headers, and what they say: parent, root, then all references, parted by blanks. */
static void expect_references(const char *in_reply_to, const char *list, const char *expected)
{
    struct fg_buf doc = FG_BUF_INIT(4096), got = FG_BUF_INIT(4096);
    struct references refs;
    struct fg_slice id;
    struct message m;
    size_t pos = 0;

    fg_buf_printf(&doc,
                  "{\"id\":\"A\",\"internetMessageHeaders\":[{\"name\":\"In-Reply-To\",\"value\":\"%s\"},"
                  "{\"name\":\"References\",\"value\":\"%s\"}]}",
                  in_reply_to, list);
    assert_int_equal(message_read(fg_buf_slice(&doc), &m, NULL), 0);
    references_init(&refs, &m, doc.len);
    fg_buf_printf(&got, "%.*s %.*s", FG_SLICE_ARG(refs.parent), FG_SLICE_ARG(refs.root));
    while (references_next(&refs, &pos, &id))
        fg_buf_printf(&got, " %.*s", FG_SLICE_ARG(id));
    assert_string_equal(got.data, expected);
    references_deinit(&refs);
    fg_buf_deinit(&doc);
    fg_buf_deinit(&got);
}

static void parents_come_from_the_headers(void **state)
{
    (void)state;
    expect_references("<b@x>", "<a@x> <b@x>", "<b@x> <a@x> <a@x> <b@x>");
    expect_references("", "<a@x>\\r\\n\\t<b@x>", "<b@x> <a@x> <a@x> <b@x>");
    expect_references("<c@x>", "", "<c@x> <c@x>");
    expect_references("", "", " ");
    expect_references("your mail of Monday", "<> <broken <a@x> b@x> <c d>", "<a@x> <a@x> <a@x>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found_and_null_is_none),
        cmocka_unit_test(the_first_of_duplicates_counts),
        cmocka_unit_test(removed_messages_are_known),
        cmocka_unit_test(what_is_no_message_is_refused_with_a_reason),
        cmocka_unit_test(times_become_utc),
        cmocka_unit_test(headers_are_found_in_any_case),
        cmocka_unit_test(parents_come_from_the_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
