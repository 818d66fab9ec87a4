/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what is found in texts and what is not, where it stands, and that hostile texts cost their length alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include <fragua/kit/utf8.h>

#include "recognise.h"

#define FOUND_MAX 32u

struct found {
    struct fg_slice text;
    struct entity items[FOUND_MAX];
    size_t n, last_end;
};

/* Every entity is a slice of its own at character bounds, and its code points agree with its bytes. */
static void keep(void *arg, const struct entity *e)
{
    struct found *f = arg;

    assert_true(e->start >= f->last_end && e->end > e->start && e->end <= f->text.len);
    assert_int_equal(fg_utf8_offset(f->text, e->start_point), e->start);
    assert_int_equal(fg_utf8_offset(f->text, e->end_point), e->end);
    f->last_end = e->end;
    if (f->n < FOUND_MAX)
        f->items[f->n] = *e;
    f->n++;
}

static struct found find(const char *text)
{
    struct found f = {.text = fg_slice_of(text)};

    size_t n = recognise(f.text, keep, &f);

    assert_int_equal(n, f.n);
    return f;
}

/* @expected: "TYPE text|normalized" for each entity, or "" for none. */
static void expect(const char *text, const char *expected)
{
    struct found f = find(text);
    struct fg_buf got = FG_BUF_INIT(8192);

    for (size_t i = 0; i < f.n && i < FOUND_MAX; i++) {
        const struct entity *e = &f.items[i];
        fg_buf_printf(&got, "%s%s %.*s", i ? "; " : "", entity_type_names[e->type], (int)(e->end - e->start),
                      text + e->start);
        if (e->normalized[0])
            fg_buf_printf(&got, "|%s", e->normalized);
    }
    if (strcmp(got.data ? got.data : "", expected) != 0)
        fail_msg("in \"%s\"\n  found    %s\n  expected %s", text, got.data ? got.data : "", expected);
    fg_buf_deinit(&got);
}

struct row {
    const char *text, *expected;
};

static void expect_all(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect(rows[i].text, rows[i].expected);
}

#define EXPECT(...)                                       \
    do {                                                  \
        const struct row rows[] = {__VA_ARGS__};          \
        expect_all(rows, sizeof(rows) / sizeof(rows[0])); \
    } while (0)

static void email_addresses(void **state)
{
    (void)state;
    EXPECT({"write to Orders@Contoso.example.", "EMAIL Orders@Contoso.example|orders@contoso.example"},
           {"(a.b-c+d@mail.example.com)", "EMAIL a.b-c+d@mail.example.com|a.b-c+d@mail.example.com"},
           {"mailto:info@contoso.example?subject=x", "EMAIL info@contoso.example|info@contoso.example"},
           {"\xc2\xabinfo@contoso.example\xc2\xbb", "EMAIL info@contoso.example|info@contoso.example"},
           {"\xe2\x80\x9cinfo@contoso.example\xe2\x80\x9d", "EMAIL info@contoso.example|info@contoso.example"},
           {"see..info@contoso.example", "EMAIL info@contoso.example|info@contoso.example"},
           {"to=info@contoso.example", "EMAIL info@contoso.example|info@contoso.example"},
           {"info@xn--e1afmkfd.xn--p1ai.", "EMAIL info@xn--e1afmkfd.xn--p1ai|info@xn--e1afmkfd.xn--p1ai"},
           {"a@b@c.example", "EMAIL b@c.example|b@c.example"}, {"info@localhost", ""}, {"info.@contoso.example", ""},
           {"info@contoso.c0m", ""}, {"info@10.0.0.1", ""}, {"jos\xc3\xa9@contoso.example", ""}, {"@", ""},
           {"info@", ""}, {"info@.example", ""}, {"info@contoso.", ""},
           {"a234567890123456789012345678901234567890123456789012345678901234x@b.example", ""});
}

static void urls(void **state)
{
    (void)state;
    EXPECT({"see https://contoso.example/a?b=1&c=2#d.", "URL https://contoso.example/a?b=1&c=2#d"},
           {"(http://contoso.example/x_(y))", "URL http://contoso.example/x_(y)"},
           {"<HTTPS://Contoso.example:8443/>", "URL HTTPS://Contoso.example:8443/"},
           {"www.contoso.example, and", "URL www.contoso.example"},
           {"\xe2\x80\x9chttps://contoso.example\xe2\x80\x9d", "URL https://contoso.example"},
           {"https://contoso.example\xc2\xa0now", "URL https://contoso.example"},
           {"https://\xc3\xb1"
            "and\xc3\xba.example/\xf0\x9f\x98\x80",
            "URL https://\xc3\xb1"
            "and\xc3\xba.example/\xf0\x9f\x98\x80"},
           {"https://contoso.example/info@contoso.example", "URL https://contoso.example/info@contoso.example"},
           {"https://", ""}, {"http:///x", ""}, {"awww.contoso.example", ""}, {"www. contoso", ""});
}

static void phone_numbers(void **state)
{
    (void)state;
    EXPECT({"call +34 612 345 678.", "PHONE +34 612 345 678|+34612345678"},
           {"+34612345678", "PHONE +34612345678|+34612345678"},
           {"tel. 612 345 678, after six", "PHONE 612 345 678|612345678"},
           {"(212) 555-0100 12", "PHONE (212) 555-0100 12|212555010012"},
           {"+1 (212) 555-0100", "PHONE +1 (212) 555-0100|+12125550100"},
           {"01.23.45.67.89", "PHONE 01.23.45.67.89|0123456789"}, {"612345678", ""}, {"+34 61", ""},
           {"192.168.100.200", ""}, {"91.123.45.67", ""}, {"ES91 2100 0418 4502 0005 1332", ""},
           {"GB29 NWBK 6016 1331 9268 19", ""}, {"IBAN ES9121000418450200051332 BIC", ""}, {"4111 1111 1111 1111", ""},
           {"612 345 678 901 234 567", ""}, {"100 200 300,50", ""}, {"31-02-2026 10:30", ""},
           {"100 200 300 %d", "PHONE 100 200 300|100200300"}, {"100 200 300%", ""}, {"612 345 678x", ""},
           {"(((((((((", ""}, {"(612 345 678", "PHONE 612 345 678|612345678"}, {"+++++", ""}, {"1.2.3.4.5", ""});
}

static void sums_of_money(void **state)
{
    (void)state;
    EXPECT({"total 1.842,75 \xe2\x82\xac.", "MONEY 1.842,75 \xe2\x82\xac|1842.75 EUR"},
           {"$2,310.00 due", "MONEY $2,310.00|2310.00 USD"}, {"EUR 12.50", "MONEY EUR 12.50|12.50 EUR"},
           {"EUR12", "MONEY EUR12|12 EUR"}, {"US$5", "MONEY US$5|5 USD"}, {"12 euros", "MONEY 12 euros|12 EUR"},
           {"5\xc2\xa0\xe2\x82\xac", "MONEY 5\xc2\xa0\xe2\x82\xac|5 EUR"},
           {"5\xe2\x80\xaf\xe2\x82\xac", "MONEY 5\xe2\x80\xaf\xe2\x82\xac|5 EUR"},
           {"\xc2\xa3"
            "3.5",
            "MONEY \xc2\xa3"
            "3.5|3.5 GBP"},
           {"CHF 1'234.50", "MONEY CHF 1'234.50|1234.50 CHF"},
           {"1.842.000,5 EUR", "MONEY 1.842.000,5 EUR|1842000.5 EUR"}, {"1,842 USD", "MONEY 1,842 USD|1842 USD"},
           {"buy 5 $7.00", "MONEY $7.00|7.00 USD"}, {"10-20 \xe2\x82\xac", "MONEY 20 \xe2\x82\xac|20 EUR"},
           {"1.2.3 \xe2\x82\xac", ""}, {"$5k", ""}, {"EUROPE 5", ""}, {"5 eurozone", ""}, {"5", ""},
           {"1234.567,00 EUR", ""}, {"$", ""}, {"\xe2\x82\xac", ""}, {"\xe2", ""});
}

static void dates(void **state)
{
    (void)state;
    EXPECT({"on 2026-03-16.", "DATE 2026-03-16|2026-03-16"}, {"2026/3/6", "DATE 2026/3/6|2026-03-06"},
           {"2026-03-16T08:00:00Z", "DATE 2026-03-16|2026-03-16"}, {"16/03/2026", "DATE 16/03/2026|2026-03-16"},
           {"03-16-2026", "DATE 03-16-2026|2026-03-16"}, {"3.4.2026", "DATE 3.4.2026"},
           {"4/4/2026", "DATE 4/4/2026|2026-04-04"}, {"29.2.2024", "DATE 29.2.2024|2024-02-29"},
           {"16 March 2026", "DATE 16 March 2026|2026-03-16"},
           {"the 16th of March, 2026", "DATE 16th of March, 2026|2026-03-16"},
           {"16 de marzo de 2026", "DATE 16 de marzo de 2026|2026-03-16"},
           {"1\xc2\xba de mayo del 2026", "DATE 1\xc2\xba de mayo del 2026|2026-05-01"},
           {"Sept. 5, 2026", "DATE Sept. 5, 2026|2026-09-05"}, {"16-mar-2026", "DATE 16-mar-2026|2026-03-16"},
           {"\xe2\x80\x94"
            "16/03/2026\xe2\x80\xa6",
            "DATE 16/03/2026|2026-03-16"},
           {"10-12/03/2026", "DATE 12/03/2026"}, {"31/02/2026", ""}, {"29.2.2026", ""}, {"1.2.3", ""},
           {"1.2.2026.4", ""}, {"5.1.2.2026", ""}, {"2026-13-01", ""}, {"2026-02-30", ""}, {"16/03/26", ""},
           {"16 March", ""}, {"31 de febrero de 2026", ""}, {"March 2026", ""}, {"16/03/20261", ""}, {"99999/1/1", ""},
           {"0000-00-00", ""}, {"2026-03-16Tuesday", ""});
}

static void order_like_numbers(void **state)
{
    (void)state;
    EXPECT({"PO-2026-00417.", "ID PO-2026-00417"}, {"INC-20931, F-2026-77", "ID INC-20931; ID F-2026-77"},
           {"re: #48213", "ID #48213"}, {"F/2026/77-A", "ID F/2026/77-A"}, {"&#8364;", ""}, {"#123", ""}, {"UTF-8", ""},
           {"po-2026-1", ""}, {"TOOLONGX-2026", ""}, {"PO-", ""}, {"#12345678901234567", ""},
           {"PO-2026-\xc3\xa9", "ID PO-2026"}, {"PO-2026\xc3\xa9", ""});
}

static void first_and_longest_wins_where_two_kinds_fit(void **state)
{
    (void)state;
    EXPECT({"https://contoso.example/2026-03-16 16/03/2026", "URL https://contoso.example/2026-03-16; "
                                                             "DATE 16/03/2026|2026-03-16"},
           {"PO-2026-03-16", "ID PO-2026-03-16"}, {"16 March 2026 612 345 678", "DATE 16 March 2026|2026-03-16"},
           {"16.3.2026, 612 345 678", "DATE 16.3.2026|2026-03-16; PHONE 612 345 678|612345678"},
           {"2026-03-16@contoso.example", "EMAIL 2026-03-16@contoso.example|2026-03-16@contoso.example"});
}

static void offsets_are_code_points(void **state)
{
    static const struct {
        const char *text;
        size_t start, end;
    } rows[] = {
        {"PO-2026-1", 0, 9},
        {"\xf0\x9f\x98\x80 PO-2026-1", 2, 11},                             /* one emoji */
        {"\xf0\x9f\x98\x80PO-2026-1", 1, 10},                              /* beside it */
        {"\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x94\xa7 PO-2026-1", 4, 13}, /* joined by ZWJ */
        {"an\xcc\x83o PO-2026-1", 5, 14},                                  /* n and a tilde apart (NFD) */
        {"a\xc3\xb1o PO-2026-1", 4, 13},                                   /* the same as one (NFC) */
        {"\r\n\r\nPO-2026-1\r\n", 4, 13},
        {"\xe8\xaf\xb7PO-2026-1\xe3\x80\x82", 1, 10}, /* CJK, which has no blanks */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct found f = find(rows[i].text);
        assert_int_equal(f.n, 1);
        assert_int_equal(f.items[0].start_point, rows[i].start);
        assert_int_equal(f.items[0].end_point, rows[i].end);
    }
}

static void a_word_with_an_accent_goes_on(void **state)
{
    (void)state;
    EXPECT({"\xc3\xa9"
            "a@contoso.example",
            ""},
           {"e\xcc\x81"
            "a@contoso.example",
            ""},
           {"a@contoso.example\xcc\x81", ""});
}

static void a_url_is_cut_between_characters(void **state)
{
    struct fg_buf text = FG_BUF_INIT(1 << 16);
    struct found f = {.n = 0};

    (void)state;
    fg_buf_add_str(&text, "http://x/");
    for (int i = 0; i < 1000; i++)
        fg_buf_add_str(&text, "\xf0\x9f\x98\x80");
    f.text = fg_buf_slice(&text);
    (void)recognise(f.text, keep, &f);
    assert_int_equal(f.n, 1);
    fg_buf_deinit(&text);
}

/* keep() counts offsets from the start, which many entities would make quadratic itself. */
static void step(void *arg, const struct entity *e)
{
    struct found *f = arg;

    assert_true(e->start >= f->last_end && e->end > e->start);
    f->last_end = e->end;
    f->n++;
}

/* The test's time limit is the bound: anything quadratic over a megabyte takes minutes. */
static void a_megabyte_of_anything_is_looked_at_once(void **state)
{
    static const char *const pieces[] = {
        "1",        "@",         "+",
        "(",        "1 ",        "1.",
        "a@",       "a.",        "A-1",
        "A1 ",      "$1,",       "+1 (",
        "-",        "#",         "1-1-",
        "www.a",    "http://a",  "2026-",
        "a@b.",     "16 de ",    "\xe2\x82\xac",
        "\xcc\x81", "AA11 1 ",   "1\xe2\x80\xaf",
        "\x80",     "1\xc2\xba",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct fg_buf text = FG_BUF_INIT((1u << 20) + 16), valid = FG_BUF_INIT(4u << 20);
        struct found f = {.n = 0};
        while (text.len < (i < 4 ? 1u << 20 : 1u << 18))
            fg_buf_add_str(&text, pieces[i]);
        fg_utf8_repair(fg_buf_slice(&text), &valid);
        f.text = fg_buf_slice(&valid);
        (void)recognise(f.text, step, &f);
        assert_true(f.last_end <= f.text.len);
        fg_buf_deinit(&text);
        fg_buf_deinit(&valid);
    }
}

static void nothing_holds_nothing(void **state)
{
    (void)state;
    assert_int_equal(recognise(FG_SLICE_NULL, keep, NULL), 0);
    expect(" ", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(email_addresses),
        cmocka_unit_test(urls),
        cmocka_unit_test(phone_numbers),
        cmocka_unit_test(sums_of_money),
        cmocka_unit_test(dates),
        cmocka_unit_test(order_like_numbers),
        cmocka_unit_test(first_and_longest_wins_where_two_kinds_fit),
        cmocka_unit_test(offsets_are_code_points),
        cmocka_unit_test(a_word_with_an_accent_goes_on),
        cmocka_unit_test(a_url_is_cut_between_characters),
        cmocka_unit_test(a_megabyte_of_anything_is_looked_at_once),
        cmocka_unit_test(nothing_holds_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
