/* SPDX-License-Identifier: Apache-2.0 */
/* What Graph writes: URLs, pages, errors, tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "answer.h"
#include "page.h"
#include "url.h"

static struct url_origin origin_of(const char *url)
{
    struct url_origin origin = { .port = 0 };

    assert_true(url_origin_read(fg_slice_of(url), &origin));
    return origin;
}

static void only_links_to_the_same_scheme_host_and_port_are_followed(void **state)
{
    static const char *const same[] = {
        "https://graph.example/v1.0/x?$skiptoken=a@b",
        "HTTPS://Graph.Example:443/",
        "https://graph.example",
        "https://graph.example?x",
    };
    static const char *const other[] = {
        "http://graph.example/v1.0",
        "https://graph.example@evil.example/",
        "https://graph.example:443@evil.example/",
        "https://evil.example/https://graph.example/",
        "https://graph.example.evil.example/",
        "https://graph.example:8443/",
        "https://graph.example:0443x/",
        "https://graph.example\\@evil.example/",
        "https://evil.example#@graph.example/",
        "https://evil.example?@graph.example/",
        "https://graph.example%2eevil.example/",
        "https://gr\xc3\xa4ph.example/",
        "https://graph.example /",
        "https://graph.example\r\nX: y",
        "https://graph.example:/",
        "https://graph.example:65536/",
        "https://:443/",
        "https:///graph.example",
        "https:/graph.example/",
        "//graph.example/",
        "/v1.0/users",
        "ftp://graph.example/",
        "",
    };
    struct url_origin graph = origin_of("https://graph.example/");

    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        if (!url_is_of(fg_slice_of(same[i]), &graph))
            fail_msg("\"%s\" is not taken for https://graph.example", same[i]);
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
        if (url_is_of(fg_slice_of(other[i]), &graph))
            fail_msg("\"%s\" is taken for https://graph.example", other[i]);
    assert_false(url_is_of(fg_slice_make("https://graph.example/\0", 23), &graph));
}

static void loopback_is_told_by_address_and_not_by_looks(void **state)
{
    static const char *const near[] = { "http://localhost:1/", "http://127.0.0.1", "http://127.255.0.9:80/",
                                        "http://[::1]:9/" };
    static const char *const far[] = { "http://127.0.0.1.example/", "http://127.0.0/", "http://128.0.0.1/",
                                       "http://127.0.0.256/", "http://localhost.example/", "http://[::2]/",
                                       "http://127.0.0.1.2/", "http://127.0.0.1./" };
    struct url_origin origin;

    for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
        origin = origin_of(near[i]);
        assert_true(url_origin_is_loopback(&origin));
    }
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        origin = origin_of(far[i]);
        if (url_origin_is_loopback(&origin))
            fail_msg("%s is taken for loopback", far[i]);
    }
}

static void text_in_a_url_or_form_is_percent_encoded(void **state)
{
    struct fg_buf out = FG_BUF_INIT(100);

    url_add_encoded(&out, fg_slice_of("a-Z_0.~ &=+/%@\xc3\xa9"));
    assert_string_equal(out.data, "a-Z_0.~%20%26%3D%2B%2F%25%40%C3%A9");
    fg_buf_deinit(&out);
}

static void a_page_gives_its_messages_and_its_link(void **state)
{
    static const char body[] =
        "{\"@odata.context\":\"x\",\"value\":[{\"@odata.etag\":\"W/1\",\"id\":\"AAA=\",\"conversationId\":\"C1\","
        "\"receivedDateTime\":\"2026-01-31T08:15:00Z\",\"body\":{\"id\":\"inner\"}},"
        "{\"id\":\"BBB\",\"@removed\":{\"reason\":\"deleted\"}}],"
        "\"\\u0040odata.nextLink\":\"https:\\/\\/g\\/?$skiptoken=1\"}";
    struct page page;

    assert_int_equal(page_read(fg_slice_of(body), &page, NULL), 0);
    assert_int_equal(page.n, 2);
    assert_true(fg_slice_is(page.messages[0].id, "\"AAA=\""));
    assert_true(fg_slice_is(page.messages[0].conversation, "\"C1\""));
    assert_int_equal(page.messages[0].received_ms, 1769847300000);
    assert_int_equal(page.messages[0].raw.ptr[0], '{');
    assert_false(page.messages[0].removed);
    assert_true(page.messages[1].removed);
    assert_string_equal(page.next, "https://g/?$skiptoken=1");
    assert_null(page.delta);
    page_deinit(&page);
    page_deinit(&page);
}

static void a_page_that_is_not_sound_is_refused_whole(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"value\":{},\"@odata.deltaLink\":\"x\"}",
        "{\"value\":[],\"@odata.deltaLink\":\"x\"",
        "{\"value\":[]}",
        "{\"value\":[],\"@odata.nextLink\":null}",
        "{\"value\":[],\"@odata.nextLink\":\"a\",\"@odata.deltaLink\":\"b\"}",
        "{\"value\":[],\"@odata.nextLink\":7}",
        "{\"value\":[],\"@odata.nextLink\":\"\"}",
        "{\"value\":[],\"@odata.nextLink\":\"a\\u0000b\"}",
        "{\"value\":[{\"id\":\"a\"},3],\"@odata.deltaLink\":\"x\"}",
        "{\"value\":[{\"subject\":\"no id\"}],\"@odata.deltaLink\":\"x\"}",
        "{\"value\":[{\"id\":\"\"}],\"@odata.deltaLink\":\"x\"}",
        "{\"value\":[{\"id\":5}],\"@odata.deltaLink\":\"x\"}",
        "{\"value\":[{\"id\":\"\xff\"}],\"@odata.deltaLink\":\"x\"}",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fg_error err = FG_ERROR_NULL;
        struct page page;
        if (page_read(fg_slice_of(bad[i]), &page, &err) != -FG_E_PROTOCOL)
            fail_msg("a page is taken that should not be: %s", bad[i]);
        assert_int_equal(err.code, FG_E_PROTOCOL);
        assert_null(page.messages);
        assert_null(page.next);
    }
}

static void a_page_of_too_many_items_is_refused(void **state)
{
    struct fg_buf body = FG_BUF_INIT(1u << 20);
    struct page page;

    fg_buf_add_str(&body, "{\"@odata.deltaLink\":\"x\",\"value\":[{\"id\":\"a\"}");
    for (unsigned i = 1; i < PAGE_ITEMS_MAX; i++)
        fg_buf_add_str(&body, ",{\"id\":\"a\"}");
    fg_buf_add_str(&body, "]}");
    assert_int_equal(page_read(fg_buf_slice(&body), &page, NULL), 0);
    assert_int_equal(page.n, PAGE_ITEMS_MAX);
    page_deinit(&page);
    body.len -= 2;
    fg_buf_add_str(&body, ",{\"id\":\"a\"}]}");
    assert_int_equal(page_read(fg_buf_slice(&body), &page, NULL), -FG_E_LIMIT);
    fg_buf_deinit(&body);
}

static void dates_are_read_to_the_millisecond(void **state)
{
    assert_int_equal(page_time_ms(fg_slice_of("1970-01-01T00:00:00Z")), 0);
    assert_int_equal(page_time_ms(fg_slice_of("2000-02-29T23:59:59.25Z")), 951868799250);
    assert_int_equal(page_time_ms(fg_slice_of("2026-12-31T00:00:00.1234567Z")), 1798675200123);
    assert_int_equal(page_time_ms(fg_slice_of("1969-12-31T23:59:59Z")), -1000);
    assert_int_equal(page_time_ms(fg_slice_of("2026-13-01T00:00:00Z")), TIME_UNKNOWN);
    assert_int_equal(page_time_ms(fg_slice_of("2026-01-01T00:00:00+01:00")), TIME_UNKNOWN);
    assert_int_equal(page_time_ms(fg_slice_of("2026-01-01")), TIME_UNKNOWN);
    assert_int_equal(page_time_ms(FG_SLICE_NULL), TIME_UNKNOWN);
}

static void a_change_is_named_by_what_is_known(void **state)
{
    struct message m = { .created_ms = 1000, .modified_ms = 2000 };

    assert_string_equal(message_change(&m, false), "created");
    m.modified_ms = 1000 + NEW_WITHIN_MS + 1;
    assert_string_equal(message_change(&m, false), "updated");
    assert_string_equal(message_change(&m, true), "created");
    m.created_ms = TIME_UNKNOWN;
    assert_string_equal(message_change(&m, false), "updated");
    m.removed = true;
    assert_string_equal(message_change(&m, true), "deleted");
}

static void add_name(void *arg, struct fg_slice address)
{
    fg_buf_printf(arg, "%.*s ", FG_SLICE_ARG(address));
}

static void users_are_known_by_mail_or_by_principal_name(void **state)
{
    static const char body[] = "{\"value\":[{\"mail\":\"info@contoso.example\",\"userPrincipalName\":\"u\"},"
                               "{\"mail\":null,\"userPrincipalName\":\"orders@contoso.example\"},{\"id\":\"3\"},7],"
                               "\"@odata.nextLink\":\"https://g/next\"}";
    struct fg_buf names = FG_BUF_INIT(1000);
    char *next = NULL;

    assert_int_equal(page_read_users(fg_slice_of(body), add_name, &names, &next, NULL), 0);
    assert_string_equal(names.data, "info@contoso.example orders@contoso.example ");
    assert_string_equal(next, "https://g/next");
    free(next);
    fg_buf_deinit(&names);
}

static void each_status_means_what_graph_says_it_means(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum answer answer;
        int code;
    } cases[] = {
        { 401, "{\"error\":{\"code\":\"InvalidAuthenticationToken\"}}", ANSWER_RENEW, FG_E_AUTH },
        { 403, "", ANSWER_REFUSED, FG_E_AUTH },
        { 404, "{\"error\":{\"code\":\"MailboxNotEnabledForRESTAPI\"}}", ANSWER_REFUSED, FG_E_NOT_FOUND },
        { 410, "", ANSWER_RESET, FG_E_EXPIRED },
        { 400, "{\"error\":{\"code\":\"SyncStateNotFound\"}}", ANSWER_RESET, FG_E_EXPIRED },
        { 404, "{\"error\":{\"code\":\"syncStateNotFound\"}}", ANSWER_RESET, FG_E_EXPIRED },
        { 409, "{\"error\":{\"code\":\"resyncRequired\"}}", ANSWER_RESET, FG_E_EXPIRED },
        { 500, "{\"error\":{\"code\":\"resyncRequired\"}}", ANSWER_DOWN, FG_E_UNAVAILABLE },
        { 400, "{\"error\":{\"code\":\"BadRequest\"}}", ANSWER_REFUSED, FG_E_REFUSED },
        { 429, "", ANSWER_THROTTLED, FG_E_THROTTLED },
        { 503, "", ANSWER_THROTTLED, FG_E_THROTTLED },
        { 504, "", ANSWER_HEAVY, FG_E_TIMEOUT },
        { 302, "", ANSWER_REFUSED, FG_E_PROTOCOL },
        { 204, "", ANSWER_REFUSED, FG_E_PROTOCOL },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fg_error err = FG_ERROR_NULL;
        assert_int_equal(answer_read(cases[i].status, fg_slice_of(cases[i].body), 0, &err), cases[i].answer);
        assert_int_equal(err.code, cases[i].code);
    }
}

static void an_answers_text_gets_into_no_error_but_its_code(void **state)
{
    static const char body[] = "{\"error\":{\"code\":\"ErrorAccessDenied\\n[forged]\",\"message\":\"m\"}}";
    struct fg_error err = FG_ERROR_NULL;

    assert_int_equal(answer_read(403, fg_slice_of(body), 7000, &err), ANSWER_REFUSED);
    assert_non_null(strstr(err.text, "ErrorAccessDenied)"));
    assert_null(strstr(err.text, "forged"));
    assert_int_equal(err.retry_after_ms, 7000);
}

static void a_token_is_taken_only_when_it_can_stand_in_a_header(void **state)
{
    static const char good[] = "{\"expires_in\":\"3599\",\"access_token\":\"eyJ.a-b\"}";
    static const char *const bad[] = {
        "{\"access_token\":\"a\\r\\nb\",\"expires_in\":3600}", "{\"access_token\":\"a b\",\"expires_in\":3600}",
        "{\"access_token\":\"\",\"expires_in\":3600}",         "{\"access_token\":5}",
        "{\"access_token\":\"abc\",\"expires_in\":-1}",        "{\"access_token\":\"abc\",\"expires_in\":\"soon\"}",
        "abc",
    };
    struct token_answer answer;
    struct fg_error err = FG_ERROR_NULL;

    assert_int_equal(answer_read_token(200, fg_slice_of(good), 0, &answer, NULL), 0);
    assert_int_equal(answer.life_ms, 3599000);
    assert_true(fg_slice_is(answer.token, "\"eyJ.a-b\""));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (answer_read_token(200, fg_slice_of(bad[i]), 0, &answer, &err) != -FG_E_PROTOCOL)
            fail_msg("taken for a token: %s", bad[i]);
        assert_null(strstr(err.text, "abc"));
    }
}

static void a_refused_secret_is_told_by_its_code_alone(void **state)
{
    static const char body[] = "{\"error\":\"invalid_client\",\"error_description\":\"s3cret\","
                               "\"error_codes\":[7000215]}";
    struct token_answer answer;
    struct fg_error err = FG_ERROR_NULL;

    assert_int_equal(answer_read_token(401, fg_slice_of(body), 0, &answer, &err), -FG_E_AUTH);
    assert_non_null(strstr(err.text, "invalid_client AADSTS7000215"));
    assert_null(strstr(err.text, "s3cret"));
    assert_true(err.retriable);
    assert_int_equal(answer_read_token(503, FG_SLICE_NULL, 2000, &answer, &err), -FG_E_THROTTLED);
    assert_int_equal(err.retry_after_ms, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_links_to_the_same_scheme_host_and_port_are_followed),
        cmocka_unit_test(loopback_is_told_by_address_and_not_by_looks),
        cmocka_unit_test(text_in_a_url_or_form_is_percent_encoded),
        cmocka_unit_test(a_page_gives_its_messages_and_its_link),
        cmocka_unit_test(a_page_that_is_not_sound_is_refused_whole),
        cmocka_unit_test(a_page_of_too_many_items_is_refused),
        cmocka_unit_test(dates_are_read_to_the_millisecond),
        cmocka_unit_test(a_change_is_named_by_what_is_known),
        cmocka_unit_test(users_are_known_by_mail_or_by_principal_name),
        cmocka_unit_test(each_status_means_what_graph_says_it_means),
        cmocka_unit_test(an_answers_text_gets_into_no_error_but_its_code),
        cmocka_unit_test(a_token_is_taken_only_when_it_can_stand_in_a_header),
        cmocka_unit_test(a_refused_secret_is_told_by_its_code_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
