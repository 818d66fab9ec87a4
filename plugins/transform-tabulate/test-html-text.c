/* SPDX-License-Identifier: Apache-2.0 */
/* HTML to text: what a reader would see, and that nothing hostile takes long or gets past its limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <fragua/kit/str.h>
#include <fragua/kit/utf8.h>

#include "html-text.h"

#define CPU_SECONDS_MAX 20.0 /* generous: sanitizers and a busy machine; quadratic work takes minutes */
#define HTML_MAX        (4u * 1024u * 1024u)
#define FLOOD_BYTES     (1024u * 1024u)

static const struct text_limits limits = { .html_bytes_max = HTML_MAX, .text_bytes_max = 1024 * 1024,
                                           .depth_max = HTML_DEPTH_MAX };

struct answer {
    struct fg_buf scratch, text;
    bool truncated;
};

static void convert(struct fg_slice html, const struct text_limits *l, struct answer *ret)
{
    *ret = (struct answer){ .truncated = false };
    html_text_start();
    assert_true(html_to_text(html, l, &ret->scratch, &ret->text, &ret->truncated));
    assert_true(ret->text.len <= l->text_bytes_max);
    assert_true(fg_utf8_valid(fg_buf_slice(&ret->text)));
}

static void answer_deinit(struct answer *a)
{
    fg_buf_deinit(&a->scratch);
    fg_buf_deinit(&a->text);
}

static void expect_bytes(struct fg_slice html, const char *text)
{
    struct answer a;

    convert(html, &limits, &a);
    assert_string_equal(a.text.data ? a.text.data : "", text);
    assert_false(a.truncated);
    answer_deinit(&a);
}

struct example {
    const char *html, *text;
};

static void expect_all(const struct example *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect_bytes(fg_slice_of(list[i].html), list[i].text);
}

#define EXPECT_ALL(list) expect_all(list, sizeof(list) / sizeof((list)[0]))

static void blocks_become_lines(void **state)
{
    static const struct example list[] = {
        { "", "" },
        { "Hello", "Hello" },
        { "<html><head><title>T</title></head><body>Hello</body></html>", "Hello" },
        { "<div>a</div><div>b</div>", "a\nb" },
        { "<p>a</p><p>b</p>", "a\n\nb" },
        { "a<br>b<br/>c", "a\nb\nc" },
        { "a<br><br>b", "a\n\nb" },
        { "a<br><br><br><br>b", "a\n\nb" },
        { "<div>a<br></div><div>b</div>", "a\nb" },
        { "<div>a</div><div><br></div><div>b</div>", "a\n\nb" },
        { "<p>a<p>b", "a\n\nb" },
        { "<h1>Title</h1>text", "Title\n\ntext" },
        { "a<blockquote>b</blockquote>c", "a\n\nb\n\nc" },
        { "a<hr>b", "a\n\nb" },
        { "<p>&nbsp;</p><p>a</p><p>&nbsp;</p>", "a" },
        { "<b>bold</b> <i>it</i><u>al</u>", "bold ital" },
        { "<a href=\"https://example.com/\">the link</a>.", "the link." },
        { "<b><p>a</b> b</p>c", "a b\n\nc" },
        { "<div><html><body>x</body></html></div>y", "x\ny" },
        { "a</p>b", "a\nb" },
    };

    (void)state;
    EXPECT_ALL(list);
}

static void white_space_collapses_as_in_a_browser(void **state)
{
    static const struct example list[] = {
        { "  a \r\n\t b  ", "a b" },
        { "<p> a </p> <p> b </p>", "a\n\nb" },
        { "a <b> b</b>", "a b" },
        { "a&nbsp;&nbsp;b", "a  b" },
        { "<pre>\n  one\n\n    two  \nthree</pre>four", "  one\n\n    two\nthree\n\nfour" },
        { "<pre>a\tb</pre>", "a\tb" },
        { "a<br> b", "a\nb" },
    };

    (void)state;
    EXPECT_ALL(list);
}

static void lists_and_tables_keep_their_lines(void **state)
{
    static const struct example list[] = {
        { "<ul><li>a<li>b</ul>c", "- a\n- b\nc" },
        { "<ul><li><p>a</p></li><li> b </li></ul>", "- a\n\n- b" },
        { "<ol><li>a<ul><li>b</li></ul></li></ol>", "- a\n- b" },
        { "<ul><li></li></ul>c", "c" },
        { "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>e", "a\tb\nc\td\ne" },
        { "<table><tr><td>a<td>b<tr><td>c<td>d</table>", "a\tb\nc\td" },
        { "<table><tr><td><p>a</p></td><td><div>b</div></td></tr></table>", "a\tb" },
        { "<table><tr><td>&nbsp;</td><td>a</td><td></td><td>b</td></tr></table>", "a\tb" },
        { "<table><tr><td>a<br>b</td><td>c</td></tr></table>", "a\nb\nc" },
        { "<table><tr><td>x</td><td><table><tr><td>a</td><td>b</td></tr></table></td></tr></table>", "x\ta\tb" },
        { "<table><tr><td><table><tr><td>a<tr><td>b</table></td><td>c</td></tr></table>", "a\nb\nc" },
        { "<table><tr><td>a</td><td><ul><li>b</li></ul></td></tr></table>", "a\n- b" },
        { "<table><tr><td><b>a</td><td>b</b></td></tr></table>c", "a\tb\nc" },
    };

    (void)state;
    EXPECT_ALL(list);
}

static void references_become_characters(void **state)
{
    static const struct example list[] = {
        { "&lt;b&gt; &amp;amp; &quot;x&quot; &euro;&eacute;", "<b> &amp; \"x\" \xE2\x82\xAC\xC3\xA9" },
        { "&#233;&#xE9;&#x1F600;", "\xC3\xA9\xC3\xA9\xF0\x9F\x98\x80" },
        { "it&#146;s &#128;5", "it\xE2\x80\x99s \xE2\x82\xAC" "5" },
        { "AT&T & R&D &", "AT&T & R&D &" },
        { "a &# b &#x", "a &# b" },
        { "1 < 2 and <3", "1 < 2 and <3" },
        { "&unknown; x", "&unknown; x" },
    };

    (void)state;
    EXPECT_ALL(list);
}

static void what_is_not_shown_is_left_out(void **state)
{
    static const struct example list[] = {
        { "<style>p{}</style>a<script>if (a<b) '</p>'</script>b", "ab" },
        { "<SCRIPT>x</SCRIPT >a", "a" },
        { "<script>never ends", "" },
        { "a<!-- <p>hidden</p> -->b", "ab" },
        { "a<!--[if mso]><table><tr><td>x</td></tr></table><![endif]-->b", "ab" },
        { "<![if !mso]>a<![endif]>", "a" },
        { "<?xml version=\"1.0\"?><!DOCTYPE html>a", "a" },
        { "<o:p>a</o:p>", "a" },
        { "<img src=\"x\" alt=\"The logo\"><img src=\"y\">", "The logo" },
        { "a<img alt=\"b &amp; c\">d", "a b & c d" },
        { "<!--> a", "a" },
    };

    (void)state;
    EXPECT_ALL(list);
}

static void every_script_survives(void **state)
{
    static const char *const same[] = {
        "\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7", /* a family, joined */
        "e\xCC\x81 n\xCC\x83",                                                     /* NFD */
        "\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D \xD8\xB3\xD9\x84\xD8\xA7\xD9\x85",       /* right to left */
        "\xE2\x80\x8F\xE2\x80\x8B\xEF\xBB\xBF",                                    /* marks without width */
        "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E \xF0\xA0\x9C\x8E",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        expect_bytes(fg_slice_of(same[i]), same[i]);
    expect_bytes((struct fg_slice)FG_SLICE("<meta charset=\"windows-1252\">\xC3\xA9"), "\xC3\xA9");
    expect_bytes((struct fg_slice)FG_SLICE("a\0b<p\0>c</p>\0d"), "abc\nd");
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    (void)state;
    expect_bytes((struct fg_slice)FG_SLICE("<p>caf\xE9 ol\xC3\xA9</p>"), "caf\xEF\xBF\xBD ol\xC3\xA9");
}

/* n times a piece, then an end. */
static struct fg_slice flood(const char *piece, size_t n, const char *end)
{
    size_t len = strlen(piece), end_len = strlen(end);
    char *html = malloc(n * len + end_len + 1);

    assert_non_null(html);
    for (size_t i = 0; i < n; i++)
        memcpy(html + i * len, piece, len + 1);
    memcpy(html + n * len, end, end_len + 1);
    return fg_slice_make(html, n * len + end_len);
}

static void expect_flood(const char *piece, size_t n, const char *end, bool keeps_end)
{
    struct fg_slice html = flood(piece, n, end);
    clock_t from = clock();
    double seconds;
    struct answer a;

    convert(html, &limits, &a);
    seconds = (double)(clock() - from) / CLOCKS_PER_SEC;
    if (seconds > CPU_SECONDS_MAX)
        fail_msg("%zu times \"%.20s\" took %.1f s", n, piece, seconds);
    if (keeps_end) {
        assert_true(fg_slice_ends(fg_buf_slice(&a.text), fg_slice_of(end)));
    }
    answer_deinit(&a);
    free((char *)html.ptr);
}

static void deep_nesting_keeps_the_text(void **state)
{
    (void)state;
    expect_flood("<div>", 100000, "the text", true);
    expect_flood("<blockquote>", 30000, "the text", true);
    expect_flood("<table><tr><td>", 100000, "the text", true);
    expect_flood("<ul><li>", 100000, "the text", true);
    expect_flood("<font>", 200000, "the text", true);
    expect_flood("<table>x<b>", 30000, "the text", true);
}

static void floods_of_tags_take_linear_time(void **state)
{
    static const char *const pieces[] = { "<", "&", "&#", "&a", "<a ", "<!--", "<!-- -", "</", "<p>", "</p>", "<td>x",
                                          "<b>x</i>", "<script>", "<b><p>x", "<pre>\n", "<![", "<a b='", "\xC2\xA0x" };

    (void)state;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
        expect_flood(pieces[i], FLOOD_BYTES / strlen(pieces[i]), "", false);
}

static void end_tags_that_match_nothing_take_linear_time(void **state)
{
    struct fg_slice open = flood("<b>", FLOOD_BYTES / 4, ""), close = flood("</i>", FLOOD_BYTES / 4, "");
    char *html = malloc(open.len + close.len + 1);
    clock_t from = clock();
    struct answer a;

    (void)state;
    assert_non_null(html);
    memcpy(html, open.ptr, open.len);
    memcpy(html + open.len, close.ptr, close.len);
    convert(fg_slice_make(html, open.len + close.len), &limits, &a);
    assert_true((double)(clock() - from) / CLOCKS_PER_SEC < CPU_SECONDS_MAX);
    assert_true(a.truncated);
    answer_deinit(&a);
    free(html);
    free((char *)open.ptr);
    free((char *)close.ptr);
}

static void too_many_attributes_are_left_out(void **state)
{
    struct fg_buf html = FG_BUF_INIT(HTML_MAX);
    clock_t from = clock();
    struct answer a;

    (void)state;
    fg_buf_add_str(&html, "<img alt=\"kept\"");
    for (int i = 0; i < 50000; i++)
        fg_buf_printf(&html, " a%d=\"x\"", i);
    fg_buf_add_str(&html, "> text");
    assert_false(html.failed);
    convert(fg_buf_slice(&html), &limits, &a);
    assert_true((double)(clock() - from) / CLOCKS_PER_SEC < CPU_SECONDS_MAX);
    assert_string_equal(a.text.data, "kept text");
    assert_true(a.truncated);
    answer_deinit(&a);
    fg_buf_deinit(&html);
}

static void one_huge_attribute_costs_only_its_tag(void **state)
{
    struct fg_slice small = flood("x", 3u * 1024u * 1024u, "\">text"), large = flood("x", 20000000, "\">text");
    struct fg_buf html = FG_BUF_INIT(32u * 1024u * 1024u);
    struct answer a;

    (void)state;
    fg_buf_add_str(&html, "before <a href=\"");
    fg_buf_add_slice(&html, small);
    convert(fg_buf_slice(&html), &limits, &a);
    assert_string_equal(a.text.data, "before text");
    assert_true(a.truncated);
    answer_deinit(&a);

    fg_buf_clear(&html);
    fg_buf_add_str(&html, "before <a href=\"");
    fg_buf_add_slice(&html, large);
    convert(fg_buf_slice(&html), &limits, &a);
    assert_string_equal(a.text.data, "before");
    assert_true(a.truncated);
    answer_deinit(&a);
    fg_buf_deinit(&html);
    free((char *)small.ptr);
    free((char *)large.ptr);
}

static void limits_cut_between_code_points(void **state)
{
    const struct text_limits tight = { .html_bytes_max = 8, .text_bytes_max = 5, .depth_max = 512 };
    struct answer a;

    (void)state;
    convert((struct fg_slice)FG_SLICE("\xC3\xA9\xC3\xA9\xC3\xA9"), &tight, &a);
    assert_string_equal(a.text.data, "\xC3\xA9\xC3\xA9");
    assert_true(a.truncated);
    answer_deinit(&a);
    convert((struct fg_slice)FG_SLICE("<b>abcd\xC3\xA9</b>"), &tight, &a);
    assert_string_equal(a.text.data, "abcd");
    assert_true(a.truncated);
    answer_deinit(&a);
}

static void text_deeper_than_allowed_still_has_its_lines(void **state)
{
    const struct text_limits flat = { .html_bytes_max = 4096, .text_bytes_max = 4096, .depth_max = 2 };
    struct answer a;

    (void)state;
    convert((struct fg_slice)FG_SLICE("<div><div><div>a</div><div>b</div></div></div>"), &flat, &a);
    assert_string_equal(a.text.data, "a\nb");
    assert_true(a.truncated);
    answer_deinit(&a);
}

static void plain_text_is_made_even(void **state)
{
    static const struct example list[] = {
        { "a\r\nb\rc\nd", "a\nb\nc\nd" },
        { "\r\n \r\n  a \t\r\n\r\n\r\nb  \r\n\r\n", "  a\n\n\nb" },
        { "1 < 2 &amp; <b>", "1 < 2 &amp; <b>" },
        { "", "" },
        { "-- \nx", "--\nx" },
    };
    const struct text_limits tight = { .text_bytes_max = 3 };
    struct fg_buf text = FG_BUF_INIT(1);
    bool truncated = false;

    (void)state;
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        assert_true(plain_to_text(fg_slice_of(list[i].html), &limits, &text, &truncated));
        assert_string_equal(text.data ? text.data : "", list[i].text);
    }
    assert_true(plain_to_text((struct fg_slice)FG_SLICE("a\0b"), &limits, &text, &truncated));
    assert_string_equal(text.data, "ab");
    assert_false(truncated);
    assert_true(plain_to_text((struct fg_slice)FG_SLICE("ab\xC3\xA9"), &tight, &text, &truncated));
    assert_string_equal(text.data, "ab");
    assert_true(truncated);
    fg_buf_deinit(&text);
}

static struct fg_slice read_mail(const char *name)
{
    char path[1024];
    char *bytes = malloc(HTML_MAX);
    size_t n;
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", getenv("TEST_DATA"), name);
    f = fopen(path, "rb");
    assert_non_null(f);
    assert_non_null(bytes);
    n = fread(bytes, 1, HTML_MAX, f);
    (void)fclose(f);
    return fg_slice_make(bytes, n);
}

static void real_mails_read_as_people_see_them(void **state)
{
    static const struct {
        const char *name, *has[4], *not[2];
    } mails[] = {
        { "postmark/invoice.html",
          { "\nThanks for using [Product Name]. This is an invoice for your recent purchase.\n",
            "\nDescription\tAmount\n", "\nTotal\t{{total}}\n", "\n1234 Street Rd.\nSuite 1234" },
          { "font-family", "<" } },
        { "postmark/receipt.html", { "{{receipt_id}}\t{{date}}\n", "\nTotal\t{{total}}\n" }, { "@media", "<" } },
        { "mailgun/billing.html",
          { "$33.98 Paid\n", "\nInvoice #12345\n", "\nService 1\t$ 19.99\nService 2\t$ 9.99\n", "\nTotal\t$ 33.98\n" },
          { "border", "<" } },
        { "mailgun/action.html", { "Confirm email address\n" }, { "margin", "<" } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(mails) / sizeof(mails[0]); i++) {
        struct fg_slice html = read_mail(mails[i].name);
        struct answer a;
        convert(html, &limits, &a);
        assert_false(a.truncated);
        for (size_t k = 0; k < 4 && mails[i].has[k]; k++)
            if (!strstr(a.text.data, mails[i].has[k]))
                fail_msg("%s: no \"%s\" in:\n%s", mails[i].name, mails[i].has[k], a.text.data);
        for (size_t k = 0; k < 2; k++)
            assert_null(strstr(a.text.data, mails[i].not[k]));
        answer_deinit(&a);
        free((char *)html.ptr);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_become_lines),
        cmocka_unit_test(white_space_collapses_as_in_a_browser),
        cmocka_unit_test(lists_and_tables_keep_their_lines),
        cmocka_unit_test(references_become_characters),
        cmocka_unit_test(what_is_not_shown_is_left_out),
        cmocka_unit_test(every_script_survives),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
        cmocka_unit_test(deep_nesting_keeps_the_text),
        cmocka_unit_test(floods_of_tags_take_linear_time),
        cmocka_unit_test(end_tags_that_match_nothing_take_linear_time),
        cmocka_unit_test(too_many_attributes_are_left_out),
        cmocka_unit_test(one_huge_attribute_costs_only_its_tag),
        cmocka_unit_test(limits_cut_between_code_points),
        cmocka_unit_test(text_deeper_than_allowed_still_has_its_lines),
        cmocka_unit_test(plain_text_is_made_even),
        cmocka_unit_test(real_mails_read_as_people_see_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
