/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin on a fake host: the way of mail from pages into batches, and who may hold it up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fake-host.h>

#include "test-bed.h"

#define MAIL(id) "{\"id\":\"" id "\",\"conversationId\":\"C-" id "\",\"receivedDateTime\":\"2026-01-31T08:15:00Z\"}"

static void the_token_is_asked_for_with_encoded_secret_and_sent_as_bearer(void **state)
{
    struct bed *bed = *state;
    struct fg_http_call *call;

    bed_open(bed);
    bed_assign(bed, INFO "/inbox", "");
    assert_int_equal(fake_call_count(bed->fake), 0); /* nothing is fetched before the host pulls */
    bed_pull(bed);
    call = fake_call_expect(bed->fake, "POST", "");
    assert_string_equal(call->url, "https://login.example/contoso.example/oauth2/v2.0/token");
    assert_string_equal(call->body, "grant_type=client_credentials&client_id=1111-2222&scope=https%3A%2F%2Fgraph"
                                    ".example%2F.default&client_secret=s3cr%26t%20%2B");
    assert_false(call->allow_private);
    bed_token(bed, "token-1");
    call = bed_call(bed, GRAPH "/v1.0/users/info%40contoso.example/mailFolders/inbox/messages/delta?$select=");
    assert_non_null(strstr(call->headers, "Authorization: Bearer token-1\n"));
    assert_non_null(strstr(call->headers, "IdType=\"ImmutableId\""));
    assert_non_null(strstr(call->headers, "odata.maxpagesize=50"));
    assert_non_null(strstr(call->headers, "outlook.body-content-type=\"html\""));
}

static void the_token_is_renewed_before_it_expires_and_used_until_then(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    bed_page(bed, "info", "", "deltaLink", GRAPH "/d?info1");
    bed_page(bed, "orders", MAIL("1"), "deltaLink", GRAPH "/d?orders1");
    bed_pull(bed); /* the page of orders goes there */
    fake_host_advance(bed->fake, 3301 * 1000);
    bed_pull(bed);
    assert_true(bed_asks(bed, "/token"));
    assert_non_null(strstr(bed_call(bed, "info1")->headers, "Bearer token-1\n"));
    bed_token(bed, "token-2");
    bed_page(bed, "info1", MAIL("2"), "deltaLink", GRAPH "/d?info2");
    bed_pull(bed);
    fake_host_advance(bed->fake, 11000);
    assert_non_null(strstr(bed_call(bed, "info2")->headers, "Bearer token-2\n"));
}

static void a_refused_secret_is_the_pipelines_trouble_until_a_token_comes(void **state)
{
    struct bed *bed = *state;

    bed_open(bed);
    bed_assign(bed, INFO "/inbox", "");
    bed_pull(bed);
    fake_call_answer(fake_call_expect(bed->fake, "POST", "/token"), 401, NULL, "{\"error\":\"invalid_client\"}");
    assert_int_equal(bed->fake->trouble.code, FG_E_AUTH);
    assert_true(bed->fake->trouble.retriable);
    assert_int_equal(fake_call_count(bed->fake), 0);
    fake_host_advance(bed->fake, 1000);
    bed_token(bed, "token-1");
    assert_int_equal(bed->fake->trouble.code, FG_E_NONE);
    assert_true(bed_asks(bed, "/mailFolders/"));
}

static void every_page_becomes_a_batch_with_its_cursor(void **state)
{
    struct bed *bed = *state;
    const struct fg_record_view *view;

    bed_run(bed);
    bed_page(bed, "/users/info", MAIL("1") "," MAIL("2"), "nextLink", GRAPH "/d?$skiptoken=1");
    assert_int_equal(bed->batch->state, FAKE_BATCH_SUBMITTED);
    assert_int_equal(bed->batch->n_records, 2);
    assert_string_equal(fake_batch_cursor(bed->batch, INFO "/inbox"), GRAPH "/d?$skiptoken=1");
    view = bed->fake->svc.record_view(bed->batch->records[1]);
    assert_true(fg_slice_is(view->key, "C-2"));
    assert_true(fg_slice_is(view->value, MAIL("2")));
    assert_int_equal(view->timestamp_ms, 1769847300000);
    assert_string_equal(fake_record_header(bed->batch->records[1], "fragua_mailbox"), INFO);
    assert_string_equal(fake_record_header(bed->batch->records[1], "fragua_folder"), "inbox");
    assert_string_equal(fake_record_header(bed->batch->records[1], "fragua_change"), "created");
    assert_int_equal(strlen(fake_record_header(bed->batch->records[1], "traceparent")), 55);
    bed_pull(bed);
    bed_page(bed, "$skiptoken=1", "{\"id\":\"3\",\"@removed\":{\"reason\":\"deleted\"}}", "deltaLink",
             GRAPH "/d?$deltatoken=2");
    assert_int_equal(bed->batch->n_records, 1);
    assert_string_equal(fake_record_header(bed->batch->records[0], "fragua_change"), "deleted");
    assert_string_equal(bed->fake->svc.record_view(bed->batch->records[0])->key.ptr, "3");
    assert_string_equal(fake_batch_cursor(bed->batch, INFO "/inbox"), GRAPH "/d?$deltatoken=2");
    bed_pull(bed);
    assert_false(bed_asks(bed, "$deltatoken=2"));
    fake_host_advance(bed->fake, 11000);
    bed_page(bed, "$deltatoken=2", MAIL("4"), "deltaLink", GRAPH "/d?$deltatoken=3");
    assert_int_equal(bed->batch->n_records, 1);
    assert_string_equal(fake_record_header(bed->batch->records[0], "fragua_change"), "updated");
}

static void an_assigned_cursor_is_where_it_goes_on(void **state)
{
    struct bed *bed = *state;

    bed_open(bed);
    bed_assign(bed, INFO "/inbox", GRAPH "/d?$skiptoken=9");
    bed_assign(bed, "unknown@contoso.example/inbox", GRAPH "/d?unknown");
    bed_assign(bed, INFO "/archive", GRAPH "/d?unwanted");
    bed_pull(bed);
    bed_token(bed, "token-1");
    assert_string_equal(bed_call(bed, "")->url, GRAPH "/d?$skiptoken=9");
    assert_int_equal(fake_call_count(bed->fake), 1);
}

static void an_empty_page_with_a_next_link_is_walked_past(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    bed_page(bed, "/users/info", "", "nextLink", GRAPH "/d?$skiptoken=1");
    assert_int_equal(bed->batch->state, FAKE_BATCH_OPEN);
    bed_page(bed, "$skiptoken=1", "", "nextLink", GRAPH "/d?$skiptoken=2");
    bed_page(bed, "$skiptoken=2", MAIL("1"), "deltaLink", GRAPH "/d?$deltatoken=1");
    assert_int_equal(bed->batch->state, FAKE_BATCH_SUBMITTED);
    assert_int_equal(bed->batch->n_records, 1);
}

static void a_round_without_mail_is_saved_once_in_ten_minutes(void **state)
{
    struct bed *bed = *state;
    unsigned rounds = 0;

    bed_open(bed);
    bed_assign(bed, INFO "/inbox", GRAPH "/d?old");
    bed_pull(bed);
    bed_token(bed, "token-1");
    while (bed->batch->state == FAKE_BATCH_OPEN && rounds < 1000) {
        bed_page(bed, "/d?", "", "deltaLink", GRAPH "/d?newer");
        rounds++;
        if (bed->batch->state == FAKE_BATCH_OPEN)
            fake_host_advance(bed->fake, 10000);
    }
    assert_in_range(rounds, 60, 62);
    assert_int_equal(bed->batch->n_records, 0);
    assert_string_equal(fake_batch_cursor(bed->batch, INFO "/inbox"), GRAPH "/d?newer");
}

static void the_end_of_an_empty_folders_first_walk_is_saved(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    bed_page(bed, "/users/info", "", "deltaLink", GRAPH "/d?$deltatoken=1");
    assert_int_equal(bed->batch->state, FAKE_BATCH_SUBMITTED);
    assert_string_equal(fake_batch_cursor(bed->batch, INFO "/inbox"), GRAPH "/d?$deltatoken=1");
}

static void nothing_is_fetched_without_room_at_the_host(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    bed_page(bed, "/users/info", MAIL("1"), "nextLink", GRAPH "/d?next");
    assert_false(bed_asks(bed, "/d?next"));
    fake_host_advance(bed->fake, 60000);
    assert_false(bed_asks(bed, "/d?next"));
    bed_page(bed, "/users/orders", MAIL("2"), "nextLink", GRAPH "/d?other"); /* asked for before: waits for the pull */
    bed_pull(bed);
    assert_int_equal(bed->batch->state, FAKE_BATCH_SUBMITTED);
    assert_non_null(fake_batch_cursor(bed->batch, ORDERS "/inbox"));
    bed_pull(bed);
    assert_true(bed_asks(bed, "/d?next"));
}

static void no_more_than_concurrency_mailboxes_are_read_at_a_time(void **state)
{
    struct bed *bed = *state;

    bed->config.concurrency = 1;
    bed_open(bed);
    bed_assign(bed, INFO "/inbox", "");
    bed_assign(bed, ORDERS "/inbox", "");
    bed_pull(bed);
    bed_token(bed, "token-1");
    assert_int_equal(fake_call_count(bed->fake), 1);
    bed_page(bed, "/users/info", MAIL("1"), "nextLink", GRAPH "/d?next");
    bed_pull(bed);
    assert_int_equal(fake_call_count(bed->fake), 1);
    bed_page(bed, "/users/orders", "", "nextLink", GRAPH "/d?other"); /* its turn comes before info's next page */
    assert_true(bed_asks(bed, "/d?next"));
}

static void a_link_off_the_graph_host_is_not_followed(void **state)
{
    static const char *const links[] = { "https://graph.example@evil.example/d", "https://evil.example/d",
                                         "https://graph.example:444/d", "http://graph.example/d",
                                         "https://graph.example.evil.example/d", "//evil.example/d", "d?relative" };
    struct bed *bed = *state;

    bed_run(bed);
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        bed_page(bed, "/users/info", MAIL("1"), i % 2 ? "nextLink" : "deltaLink", links[i]);
        assert_int_equal(bed->batch->state, FAKE_BATCH_OPEN);
        assert_false(bed_asks(bed, "/users/info"));
        fake_host_advance(bed->fake, PARK_BASE_MS);
    }
    assert_true(fake_host_logged(bed->fake, "leads away from " GRAPH));
    assert_true(bed_asks(bed, "/users/orders"));
    assert_int_equal(bed->fake->trouble.code, FG_E_NONE); /* the other mailbox is fine */
}

static void a_saved_cursor_for_another_host_is_not_followed(void **state)
{
    struct bed *bed = *state;

    bed_open(bed);
    bed_assign(bed, INFO "/inbox", "https://graph.elsewhere.example/d?1");
    bed_pull(bed);
    bed_token(bed, "token-1");
    assert_int_equal(fake_call_count(bed->fake), 0);
    assert_true(fake_host_logged(bed->fake, "the saved cursor leads away"));
    assert_int_equal(bed->fake->trouble.code, FG_E_PROTOCOL);
}

static void an_expired_cursor_means_the_whole_folder_again(void **state)
{
    struct bed *bed = *state;

    bed_open(bed);
    bed_assign(bed, INFO "/inbox", GRAPH "/d?old");
    bed_assign(bed, ORDERS "/inbox", GRAPH "/d?stale");
    bed_pull(bed);
    bed_token(bed, "token-1");
    fake_call_answer(bed_call(bed, "/d?old"), 410, NULL, "");
    assert_true(bed_asks(bed, "info%40contoso.example/mailFolders/inbox/messages/delta?"));
    fake_call_answer(bed_call(bed, "/d?stale"), 400, NULL, "{\"error\":{\"code\":\"syncStateNotFound\"}}");
    bed_page(bed, "/users/orders", MAIL("1"), "deltaLink", GRAPH "/d?fresh");
    assert_string_equal(fake_batch_cursor(bed->batch, ORDERS "/inbox"), GRAPH "/d?fresh");
}

static void a_location_for_starting_again_is_followed_on_the_graph_host_only(void **state)
{
    struct bed *bed = *state;

    bed_open(bed);
    bed_assign(bed, INFO "/inbox", GRAPH "/d?old");
    bed_assign(bed, ORDERS "/inbox", GRAPH "/d?stale");
    bed_pull(bed);
    bed_token(bed, "token-1");
    fake_call_answer(bed_call(bed, "/d?old"), 410, "Location: " GRAPH "/d?restart\n", "");
    fake_call_answer(bed_call(bed, "/d?stale"), 410, "Location: https://evil.example/d\n", "");
    assert_int_equal(fake_call_count(bed->fake), 1);
    fake_call_answer(bed_call(bed, "/d?restart"), 410, "Location: " GRAPH "/d?restart\n", ""); /* no loop */
    fake_call_answer(bed_call(bed, "/users/info"), 410, NULL, "");
    assert_int_equal(fake_call_count(bed->fake), 0);
    assert_int_equal(bed->fake->trouble.code, FG_E_PROTOCOL);
}

static void retry_after_is_waited_for_exactly_and_by_that_mailbox_alone(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    fake_call_answer(bed_call(bed, "/users/info"), 429, "Retry-After: 120\n", "");
    bed_page(bed, "/users/orders", MAIL("1"), "nextLink", GRAPH "/d?orders");
    bed_pull(bed);
    assert_true(bed_asks(bed, "/d?orders"));
    fake_host_advance(bed->fake, 119999);
    assert_false(bed_asks(bed, "/users/info"));
    fake_host_advance(bed->fake, 1);
    assert_true(bed_asks(bed, "/users/info"));
}

static void without_retry_after_the_wait_is_random_and_grows(void **state)
{
    struct bed *bed = *state;

    bed->fake->random_next = UINT64_MAX / 3;
    bed_run(bed);
    for (unsigned attempt = 0; attempt < 10; attempt++) {
        uint64_t most = RETRY_BASE_MS << attempt < RETRY_CAP_MS ? RETRY_BASE_MS << attempt : RETRY_CAP_MS;
        uint64_t wait = 1 + bed->fake->random_next % most;
        bed_page(bed, attempt ? "/d?o" : "/users/orders", "", "nextLink", GRAPH "/d?o"); /* a success between */
        fake_call_answer(bed_call(bed, "/users/info"), 500, NULL, "");
        fake_host_advance(bed->fake, wait - 1);
        assert_false(bed_asks(bed, "/users/info"));
        fake_host_advance(bed->fake, 1);
        assert_true(bed_asks(bed, "/users/info"));
    }
}

static void throttled_again_and_again_everybody_waits(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    fake_call_answer(bed_call(bed, "/users/info"), 429, "Retry-After: 1\n", "");
    fake_call_answer(bed_call(bed, "/users/orders"), 429, "Retry-After: 1\n", "");
    assert_int_equal(bed->fake->trouble.code, FG_E_THROTTLED);
    fake_host_advance(bed->fake, 1000);
    fake_call_answer(bed_call(bed, "/users/info"), 503, "Retry-After: 300\n", "");
    fake_call_answer(bed_call(bed, "/users/orders"), 429, "Retry-After: 1\n", "");
    fake_host_advance(bed->fake, 299999);
    assert_int_equal(fake_call_count(bed->fake), 0);
    fake_host_advance(bed->fake, 1);
    bed_page(bed, "/users/orders", "", "nextLink", GRAPH "/d?o");
    assert_int_equal(bed->fake->trouble.code, FG_E_NONE);
}

static void failures_side_by_side_are_not_failures_in_a_row(void **state)
{
    struct bed *bed = *state;
    static const uint64_t waits[] = { 1000, 2000, 4000 };

    bed_run(bed);
    bed->fake->random_next = (RETRY_BASE_MS << 6) - 1; /* the longest waits */
    for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
        fake_call_answer(bed_call(bed, "/users/info"), 500, NULL, "");
        fake_call_answer(bed_call(bed, "/users/orders"), 500, NULL, "");
        fake_host_advance(bed->fake, waits[i] - 1);
        assert_int_equal(fake_call_count(bed->fake), 0);
        fake_host_advance(bed->fake, 1);
        assert_true(bed_asks(bed, "/users/info") && bed_asks(bed, "/users/orders"));
    }
}

static void a_refused_token_is_renewed_once(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    fake_call_answer(bed_call(bed, "/users/info"), 401, NULL, "");
    fake_call_answer(bed_call(bed, "/users/orders"), 401, NULL, ""); /* sent with the same token */
    bed_token(bed, "token-2");
    assert_non_null(strstr(bed_call(bed, "/users/info")->headers, "Bearer token-2\n"));
    bed_page(bed, "/users/orders", MAIL("1"), "nextLink", GRAPH "/d?orders");
    fake_call_answer(bed_call(bed, "/users/info"), 401, NULL, "");
    assert_int_equal(fake_call_count(bed->fake), 0); /* no third token so soon */
    bed_pull(bed);
    assert_true(bed_asks(bed, "/d?orders"));
    fake_host_advance(bed->fake, RETRY_BASE_MS);
    assert_non_null(strstr(bed_call(bed, "/users/info")->headers, "Bearer token-2\n"));
    assert_false(bed_asks(bed, "/oauth2/"));
}

static void a_missing_or_forbidden_mailbox_is_parked_and_the_others_go_on(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    fake_call_answer(bed_call(bed, "/users/info"), 404, NULL, "{\"error\":{\"code\":\"ErrorInvalidUser\"}}");
    assert_true(fake_host_logged(bed->fake,
                                 "WARN mailbox \"" INFO "\", folder \"inbox\": Graph knows no such mailbox"));
    bed_page(bed, "/users/orders", MAIL("1"), "deltaLink", GRAPH "/d?orders");
    assert_int_equal(bed->batch->state, FAKE_BATCH_SUBMITTED);
    bed_pull(bed);
    fake_host_advance(bed->fake, PARK_BASE_MS / 2);
    assert_false(bed_asks(bed, "/users/info"));
    fake_host_advance(bed->fake, PARK_BASE_MS);
    fake_call_answer(bed_call(bed, "/users/info"), 403, NULL, "");
    assert_int_equal(bed->fake->trouble.code, FG_E_NONE);
    fake_call_answer(bed_call(bed, "/d?orders"), 403, NULL, "");
    assert_int_equal(bed->fake->trouble.code, FG_E_AUTH);
    fake_host_advance(bed->fake, PARK_CAP_MS * 2);
    bed_page(bed, "/users/info", "", "nextLink", GRAPH "/d?info");
    assert_true(fake_host_logged(bed->fake, "works again"));
    assert_int_equal(bed->fake->trouble.code, FG_E_NONE);
}

static void a_page_that_makes_no_sense_moves_nothing(void **state)
{
    static const char *const bodies[] = { "", "<html>", "{\"value\":[]}",
                                          "{\"value\":[{}],\"@odata.deltaLink\":\"" GRAPH "/\"}" };
    struct bed *bed = *state;

    bed_run(bed);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        fake_call_answer(bed_call(bed, "/users/info"), 200, NULL, bodies[i]);
        assert_int_equal(bed->batch->state, FAKE_BATCH_OPEN);
        fake_host_advance(bed->fake, RETRY_CAP_MS);
    }
    bed_page(bed, "/users/info", MAIL("1"), "deltaLink", GRAPH "/d?info");
    assert_int_equal(bed->batch->n_records, 1);
}

static void a_page_too_heavy_is_asked_for_in_smaller_parts(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    fake_call_answer(bed_call(bed, "/users/info"), 504, NULL, "");
    fake_host_advance(bed->fake, 1000);
    assert_non_null(strstr(bed_call(bed, "/users/info")->headers, "odata.maxpagesize=25,"));
    for (unsigned i = 0; i < PAGES_BEFORE_GROWTH; i++)
        bed_page(bed, i ? "/d?n" : "/users/info", "", "nextLink", GRAPH "/d?n");
    assert_non_null(strstr(bed_call(bed, "/d?n")->headers, "odata.maxpagesize=50,"));
}

static void a_page_too_large_is_asked_for_in_smaller_parts_at_once(void **state)
{
    static const char large[] = "the answer's body is larger than 64 MiB";
    struct bed *bed = *state;

    bed_run(bed);
    bed_page(bed, "/users/orders", "", "deltaLink", GRAPH "/d?o");
    bed_pull(bed);
    fake_call_fail(bed_call(bed, "/users/info"), FG_E_LIMIT, large);
    assert_non_null(strstr(bed_call(bed, "/users/info")->headers, "odata.maxpagesize=12,"));
    fake_call_fail(bed_call(bed, "/users/info"), FG_E_LIMIT, large);
    assert_non_null(strstr(bed_call(bed, "/users/info")->headers, "odata.maxpagesize=3,"));
    fake_call_fail(bed_call(bed, "/users/info"), FG_E_LIMIT, large);
    assert_non_null(strstr(bed_call(bed, "/users/info")->headers, "odata.maxpagesize=1,"));
    assert_false(fake_host_logged(bed->fake, "WARN"));
    fake_call_fail(bed_call(bed, "/users/info"), FG_E_LIMIT, large); /* one mail alone: a person must raise the limit */
    assert_true(fake_host_logged(bed->fake, "WARN mailbox \"" INFO "\""));
    assert_false(bed_asks(bed, "/users/info"));
    fake_host_advance(bed->fake, PARK_BASE_MS * 2);
    assert_true(bed_asks(bed, "/users/info"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define BED_TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
        BED_TEST(the_token_is_asked_for_with_encoded_secret_and_sent_as_bearer),
        BED_TEST(the_token_is_renewed_before_it_expires_and_used_until_then),
        BED_TEST(a_refused_secret_is_the_pipelines_trouble_until_a_token_comes),
        BED_TEST(every_page_becomes_a_batch_with_its_cursor),
        BED_TEST(an_assigned_cursor_is_where_it_goes_on),
        BED_TEST(an_empty_page_with_a_next_link_is_walked_past),
        BED_TEST(a_round_without_mail_is_saved_once_in_ten_minutes),
        BED_TEST(the_end_of_an_empty_folders_first_walk_is_saved),
        BED_TEST(nothing_is_fetched_without_room_at_the_host),
        BED_TEST(no_more_than_concurrency_mailboxes_are_read_at_a_time),
        BED_TEST(a_link_off_the_graph_host_is_not_followed),
        BED_TEST(a_saved_cursor_for_another_host_is_not_followed),
        BED_TEST(an_expired_cursor_means_the_whole_folder_again),
        BED_TEST(a_location_for_starting_again_is_followed_on_the_graph_host_only),
        BED_TEST(retry_after_is_waited_for_exactly_and_by_that_mailbox_alone),
        BED_TEST(without_retry_after_the_wait_is_random_and_grows),
        BED_TEST(throttled_again_and_again_everybody_waits),
        BED_TEST(failures_side_by_side_are_not_failures_in_a_row),
        BED_TEST(a_refused_token_is_renewed_once),
        BED_TEST(a_missing_or_forbidden_mailbox_is_parked_and_the_others_go_on),
        BED_TEST(a_page_that_makes_no_sense_moves_nothing),
        BED_TEST(a_page_too_heavy_is_asked_for_in_smaller_parts),
        BED_TEST(a_page_too_large_is_asked_for_in_smaller_parts_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
