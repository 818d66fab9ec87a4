/* SPDX-License-Identifier: Apache-2.0 */
/* Tests how mails are taken apart, and the message resources made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "message.h"
#include "mime.h"

static cJSON *message(const char *bytes)
{
    struct fg_buf out = FG_BUF_INIT(1u << 20);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&out);
    cJSON *value;

    message_from_rfc5322(fg_slice_of(bytes), "AAMk1", "CQ1", &w);
    assert_false(out.failed);
    value = cJSON_Parse(out.data);
    assert_non_null(value);
    fg_buf_deinit(&out);
    return value;
}

/* The string at a path such as "from/emailAddress/name" or "attachments/0/name". */
static const char *at(const cJSON *value, const char *path)
{
    struct fg_slice rest = fg_slice_of(path), name;
    char key[64];

    while (value && rest.len) {
        (void)fg_slice_cut(rest, '/', &name, &rest);
        (void)snprintf(key, sizeof(key), "%.*s", FG_SLICE_ARG(name));
        value = cJSON_IsArray(value) ? cJSON_GetArrayItem(value, key[0] - '0')
                                     : cJSON_GetObjectItemCaseSensitive(value, key);
    }
    return cJSON_GetStringValue(value);
}

static void expect(const char *bytes, const char *path, const char *expected)
{
    cJSON *value = message(bytes);
    const char *found = at(value, path);

    if (!found || strcmp(found, expected) != 0)
        fail_msg("%s is \"%s\" instead of \"%s\" in:\n%s", path, found ? found : "(none)", expected, bytes);
    cJSON_Delete(value);
}

static void headers_are_unfolded_and_decoded(void **state)
{
    (void)state;
    expect("Subject: one\r\n two\r\n\tthree\r\n\r\n", "subject", "one two three");
    expect("subject:x\n\n", "subject", "x");
    expect("Subject: =?utf-8?Q?Caf=C3=A9_con?= =?UTF-8?b?IGxlY2hl?=!\n\n", "subject", "Caf\xc3\xa9 con leche!");
    expect("Subject: =?iso-8859-1?q?Espa=F1a?=\n\n", "subject",
           "Espa\xc3\xb1"
           "a");
    expect("Subject: =?x-unknown?Q?a=FF?=\n\n", "subject", "a\xef\xbf\xbd");
    expect("Subject: =?utf-8?Q?open\n\n", "subject", "=?utf-8?Q?open");
    expect("Subject: =?utf-8?B?!!!!?=x\n\n", "subject", "x");
    expect("Subject:\n\n", "subject", "");
    expect("no header at all\n\nbody", "subject", "");
    expect("Subject: only a header", "subject", "only a header");
    expect("Subject: only a header", "body/content", "");
}

static void people_are_read(void **state)
{
    static const char mail[] = "From: \"Orders, Contoso\" <orders@contoso.example>\n"
                               "To: info@contoso.example, =?utf-8?Q?Direcci=C3=B3n?= <dir@contoso.example>,,\n\n";

    (void)state;
    expect(mail, "from/emailAddress/name", "Orders, Contoso");
    expect(mail, "from/emailAddress/address", "orders@contoso.example");
    expect(mail, "sender/emailAddress/address", "orders@contoso.example");
    expect(mail, "toRecipients/0/emailAddress/name", "info@contoso.example");
    expect(mail, "toRecipients/1/emailAddress/name", "Direcci\xc3\xb3n");
    expect("From: \"a \\\" , b\" <x@contoso.example>\nTo: \"a \\\", b\" <x@contoso.example>, y@contoso.example\n\n",
           "toRecipients/1/emailAddress/address", "y@contoso.example");
}

static void dates_become_utc(void **state)
{
    (void)state;
    expect("Date: Tue, 03 Mar 2026 08:42:00 +0100\n\n", "receivedDateTime", "2026-03-03T07:42:00Z");
    expect("Date: 3 Mar 2026 08:42 -0330 (NST)\n\n", "sentDateTime", "2026-03-03T12:12:00Z");
    expect("Date: Tue, 03 Mar 2026 08:42:00 GMT\n\n", "receivedDateTime", "2026-03-03T08:42:00Z");
    expect("Date: yesterday\n\n", "receivedDateTime", "1970-01-01T00:00:00Z");
    expect("\n", "receivedDateTime", "1970-01-01T00:00:00Z");
}

static void bodies_are_decoded(void **state)
{
    (void)state;
    expect("Content-Transfer-Encoding: quoted-printable\n\nCaf=C3=A9 =\nsoft=  \r\nline =3D =zz end=", "body/content",
           "Caf\xc3\xa9 softline = =zz end");
    expect("Content-Transfer-Encoding: BASE64\n\naG9s\r\nYQ==\r\n", "body/content", "hola");
    expect("Content-Transfer-Encoding: base64\n\n*aG9s*YQ", "body/content", "hola");
    expect("Content-Type: text/plain; charset=\"iso-8859-15\"\n\n\xa4", "body/content", "\xe2\x82\xac");
    expect("Content-Type: text/html; charset=utf-8\n\n<p>\xff</p>", "body/content", "<p>\xef\xbf\xbd</p>");
    expect("Content-Type: text/html\n\n<p>", "body/contentType", "html");
}

static void multiparts_are_walked(void **state)
{
    static const char mail[] =
        "Content-Type: multipart/mixed; boundary=\"a;b\"\n\npreamble\n--a;b\n"
        "Content-Type: multipart/alternative; boundary=a\n\n--a\n\nplain\n--a\n"
        "Content-Type: text/html\n\n<b>html</b>\n--a--\n--a;b\n"
        "Content-Type: application/pdf; name=x\nContent-Disposition: attachment;"
        " filename=\"in;voice.pdf\"\nContent-Transfer-Encoding: base64\n\naG9sYQ==\n--a;b--\nepilogue";

    (void)state;
    expect(mail, "body/content", "<b>html</b>");
    expect(mail, "attachments/0/name", "in;voice.pdf");
    expect(mail, "attachments/0/contentType", "application/pdf");
    expect("Content-Type: multipart/mixed; boundary=b\n\n--b\n\ncut off", "body/content", "cut off");
    expect("Content-Type: multipart/mixed; boundary=b\n\n--bc\n\nx\n--b\n\ny\n--b--", "body/content", "y");
    expect("Content-Type: multipart/mixed\n\n--b\n\nx\n--b--", "body/content", "");
}

static void nesting_is_bounded(void **state)
{
    struct fg_buf mail = FG_BUF_INIT(1u << 20);

    (void)state;
    for (int i = 0; i < 200; i++)
        fg_buf_printf(&mail, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i);
    fg_buf_add_str(&mail, "\ndeep");
    expect(mail.data, "body/content", "");
    fg_buf_deinit(&mail);
}

static void answers_share_the_conversation_of_the_first(void **state)
{
    cJSON *first = message("Message-ID: <1@contoso.example>\n\n");
    cJSON *second = message("Message-ID: <2@contoso.example>\nIn-Reply-To: <1@contoso.example>\n\n");
    cJSON *third =
        message("Message-ID: <3@contoso.example>\nReferences: <1@contoso.example>\n <2@contoso.example>\n\n");
    cJSON *other = message("Message-ID: <4@contoso.example>\n\n");

    (void)state;
    assert_string_equal(at(first, "conversationId"), at(second, "conversationId"));
    assert_string_equal(at(first, "conversationId"), at(third, "conversationId"));
    assert_string_not_equal(at(first, "conversationId"), at(other, "conversationId"));
    cJSON_Delete(first);
    cJSON_Delete(second);
    cJSON_Delete(third);
    cJSON_Delete(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_unfolded_and_decoded),
        cmocka_unit_test(people_are_read),
        cmocka_unit_test(dates_become_utc),
        cmocka_unit_test(bodies_are_decoded),
        cmocka_unit_test(multiparts_are_walked),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(answers_share_the_conversation_of_the_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
