/* SPDX-License-Identifier: Apache-2.0 */
/* What the host may do to the plugin at any time: revoke, rewind, refuse room, stop; and the list of a domain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fake-host.h>

#include "test-bed.h"

#define MAIL(id) "{\"id\":\"" id "\",\"conversationId\":\"C-" id "\"}"

static void revoke(struct bed *bed, const char *owner)
{
    struct fg_slice owners[] = { fg_slice_of(owner) };

    fragua_plugin.source->revoke(bed->self, owners, 1);
}

static void rewind_key(struct bed *bed, const char *key, const char *cursor)
{
    struct fg_cursor c = { fg_slice_of(key), fg_slice_of(cursor) };

    fragua_plugin.source->rewind(bed->self, &c, 1);
}

/* A page of one mail that is too large to be read on the loop. */
static void answer_large(struct bed *bed, const char *url_part)
{
    struct fg_buf item = FG_BUF_INIT(1u << 20);

    fg_buf_add_str(&item, "{\"id\":\"large\",\"body\":\"");
    for (unsigned i = 0; i < INLINE_MAX; i++)
        fg_buf_add_char(&item, 'x');
    fg_buf_add_str(&item, "\"}");
    bed_page(bed, url_part, item.data, "deltaLink", GRAPH "/d?large");
    fg_buf_deinit(&item);
}

static void a_large_page_is_read_by_a_worker(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    answer_large(bed, "/users/info");
    assert_int_equal(bed->batch->state, FAKE_BATCH_OPEN);
    fake_host_work(bed->fake);
    assert_int_equal(bed->batch->state, FAKE_BATCH_SUBMITTED);
    assert_int_equal(bed->batch->n_records, 1);
}

static void what_is_revoked_stops_at_once_and_the_batch_goes_back(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    revoke(bed, INFO);
    assert_int_equal(bed->batch->state, FAKE_BATCH_CANCELLED);
    assert_int_equal(bed->batch->err.code, FG_E_NONE);
    assert_false(bed_asks(bed, "/users/info"));
    assert_true(bed_asks(bed, "/users/orders"));
    bed_pull(bed);
    fake_host_advance(bed->fake, 100000);
    assert_false(bed_asks(bed, "/users/info"));
    bed_assign(bed, INFO "/inbox", GRAPH "/d?back");
    assert_true(bed_asks(bed, "/d?back"));
}

static void revoked_pages_that_were_read_or_wait_are_dropped(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    answer_large(bed, "/users/info");
    revoke(bed, INFO); /* while a worker reads it */
    fake_host_work(bed->fake);
    bed_page(bed, "/users/orders", MAIL("1"), "nextLink", GRAPH "/d?orders"); /* ready, without a batch */
    revoke(bed, ORDERS);
    bed_pull(bed);
    assert_int_equal(bed->batch->state, FAKE_BATCH_OPEN);
    assert_int_equal(fake_call_count(bed->fake), 0);
}

/* Whatever was under way or waited when it was revoked, a day later nothing was asked for it. */
static void assert_left_alone(struct bed *bed, const char *url_part)
{
    bed_pull(bed);
    for (unsigned hour = 0; hour < 24; hour++) {
        while (bed_asks(bed, "/oauth2/"))
            bed_token(bed, "token-n");
        assert_false(bed_asks(bed, url_part));
        fake_host_advance(bed->fake, 3600000);
    }
}

static void revoked_while_the_token_is_on_its_way_it_is_not_asked_for(void **state)
{
    struct bed *bed = *state;

    bed_open(bed);
    bed_assign(bed, INFO "/inbox", "");
    bed_pull(bed);
    assert_true(bed_asks(bed, "/oauth2/"));
    revoke(bed, INFO);
    assert_left_alone(bed, "/users/");
}

static void revoked_while_it_waits_for_another_try_it_is_not_asked_for(void **state)
{
    static const struct {
        int status;
        const char *headers;
    } answers[] = { { 429, "Retry-After: 5\n" }, { 503, NULL }, { 500, NULL }, { 504, NULL }, { 404, NULL },
                    { 401, NULL }, { 410, NULL } };
    struct bed *bed = *state;

    bed_run(bed);
    revoke(bed, ORDERS);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        bed_pull(bed);
        fake_call_answer(bed_call(bed, "info"), answers[i].status, answers[i].headers, "");
        revoke(bed, INFO);
        assert_left_alone(bed, "/users/");
        bed_assign(bed, INFO "/inbox", GRAPH "/d?info");
        while (bed_asks(bed, "/oauth2/"))
            bed_token(bed, "token-m");
    }
}

static void a_new_assignment_does_not_shorten_retry_after(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    revoke(bed, ORDERS);
    bed_pull(bed);
    fake_call_answer(bed_call(bed, "/users/info"), 429, "Retry-After: 120\n", "");
    fake_host_advance(bed->fake, 20000);
    revoke(bed, INFO);
    bed_assign(bed, INFO "/inbox", "");
    rewind_key(bed, INFO "/inbox", GRAPH "/d?info");
    bed_pull(bed);
    fake_host_advance(bed->fake, 99999);
    assert_int_equal(fake_call_count(bed->fake), 0);
    fake_host_advance(bed->fake, 1);
    assert_true(bed_asks(bed, "/d?info"));
}

static void retry_after_counts_for_all_folders_whatever_the_status(void **state)
{
    static const char *const folders[] = { "inbox", "archive" };
    static const int statuses[] = { 429, 503, 500, 502, 504, 404 };
    struct bed *bed = *state;

    bed->config.folders = (struct fg_strings){ folders, 2 };
    bed_open(bed);
    bed_assign(bed, INFO "/inbox", GRAPH "/d?info");
    bed_assign(bed, INFO "/archive", GRAPH "/d?info");
    bed_pull(bed);
    bed_token(bed, "token-1");
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        assert_int_equal(fake_call_count(bed->fake), 1); /* one folder of a mailbox at a time */
        fake_call_answer(bed_call(bed, "/d?info"), statuses[i], "Retry-After: 300\n", "");
        fake_host_advance(bed->fake, 299999);
        assert_int_equal(fake_call_count(bed->fake), 0);
        fake_host_advance(bed->fake, 1);
        bed_page(bed, "/d?info", "", "nextLink", GRAPH "/d?info"); /* a success: nobody else is held up */
        if (bed->batch->state != FAKE_BATCH_OPEN)
            bed_pull(bed); /* it was time to save the link */
    }
}

static void when_all_wait_the_list_of_the_domain_waits_too(void **state)
{
    struct bed *bed = *state;

    bed->mailboxes = (struct mailboxes){ .domain = "contoso.example" };
    bed_open(bed);
    bed_token(bed, "token-1");
    fake_call_answer(bed_call(bed, "/v1.0/users?"), 200, NULL, "{\"value\":[{\"mail\":\"" INFO "\"}]}");
    bed_assign(bed, INFO "/inbox", "");
    bed_pull(bed);
    fake_host_advance(bed->fake, DIRECTORY_MS - 10000);
    for (unsigned i = 0; i < HOLD_AFTER; i++) {
        fake_call_answer(bed_call(bed, "/users/info"), 429,
                         i + 1 < HOLD_AFTER ? "Retry-After: 1\n" : "Retry-After: 60\n", "");
        if (i + 1 < HOLD_AFTER)
            fake_host_advance(bed->fake, 1000);
    }
    fake_host_advance(bed->fake, 59999);
    assert_int_equal(fake_call_count(bed->fake), 0);
    fake_host_advance(bed->fake, 1);
    assert_true(bed_asks(bed, "/v1.0/users?"));
}

static void rewound_it_goes_on_from_what_counts(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    bed_page(bed, "/users/info", MAIL("1"), "nextLink", GRAPH "/d?2");
    bed_page(bed, "/users/orders", MAIL("2"), "deltaLink", GRAPH "/d?o"); /* waits for a batch */
    rewind_key(bed, INFO "/inbox", GRAPH "/d?1");
    rewind_key(bed, ORDERS "/inbox", "");
    bed_pull(bed);
    assert_int_equal(bed->batch->state, FAKE_BATCH_OPEN);
    assert_string_equal(bed_call(bed, "/d?")->url, GRAPH "/d?1");
    assert_true(bed_asks(bed, "/users/orders"));
    rewind_key(bed, INFO "/inbox", GRAPH "/d?0"); /* in flight, with a batch in hand */
    assert_int_equal(bed->batch->state, FAKE_BATCH_CANCELLED);
    assert_false(bed_asks(bed, "/d?1"));
    bed_pull(bed);
    bed_page(bed, "/d?0", MAIL("1"), "nextLink", GRAPH "/d?1");
    assert_int_equal(bed->batch->n_records, 1);
}

static void a_page_without_room_is_kept_whole_for_the_next_pull(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    bed->fake->records_left = 1;
    bed_page(bed, "/users/info", MAIL("1") "," MAIL("2"), "deltaLink", GRAPH "/d?1");
    assert_int_equal(bed->batch->state, FAKE_BATCH_CANCELLED); /* never half a page */
    assert_int_equal(bed->batch->n_cursors, 0);
    bed_pull(bed);
    assert_int_equal(bed->batch->state, FAKE_BATCH_CANCELLED);
    bed->fake->records_left = 2;
    bed_pull(bed);
    assert_int_equal(bed->batch->state, FAKE_BATCH_SUBMITTED);
    assert_int_equal(bed->batch->n_records, 2);
}

static void a_page_that_never_fits_is_asked_for_in_smaller_parts(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    bed->fake->no_room = true;
    bed_page(bed, "/users/info", MAIL("1") "," MAIL("2"), "deltaLink", GRAPH "/d?1");
    for (unsigned i = 1; i < NO_ROOM_MAX; i++)
        bed_pull(bed);
    assert_false(bed_asks(bed, "/users/info"));
    bed->fake->no_room = false;
    bed_pull(bed);
    fake_host_advance(bed->fake, 1000);
    assert_non_null(strstr(bed_call(bed, "/users/info")->headers, "odata.maxpagesize=25,"));
}

static void it_stops_with_requests_in_flight(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    assert_int_equal(fake_call_count(bed->fake), 2);
    bed_stop(bed);
    assert_true(bed->stopped);
    assert_int_equal(fake_call_count(bed->fake), 0);
    assert_int_equal(bed->batch->state, FAKE_BATCH_CANCELLED);
}

static void it_stops_while_it_waits_for_a_token(void **state)
{
    struct bed *bed = *state;

    bed_open(bed);
    bed_assign(bed, INFO "/inbox", "");
    bed_pull(bed);
    assert_true(bed_asks(bed, "/token"));
    bed_stop(bed);
    assert_true(bed->stopped);
}

static void it_stops_only_after_the_workers_are_done(void **state)
{
    struct bed *bed = *state;

    bed_run(bed);
    answer_large(bed, "/users/info");
    bed_stop(bed);
    assert_false(bed->stopped);
    fake_host_work(bed->fake);
    assert_true(bed->stopped);
}

static void an_instance_that_was_never_started_closes(void **state)
{
    struct bed *bed = *state;

    assert_int_equal(fragua_plugin.open(&bed->fake->host, &bed->config, &bed->self, NULL), 0);
    fragua_plugin.close(bed->self);
    bed->self = NULL;
}

static void add_key(void *arg, struct fg_slice key)
{
    fg_buf_printf(arg, "%.*s ", FG_SLICE_ARG(key));
}

static void assert_keys(struct bed *bed, const char *const *keys, size_t n)
{
    struct fg_buf all = FG_BUF_INIT(4096);
    size_t len = 0;

    fragua_plugin.source->keys(bed->self, add_key, &all);
    for (size_t i = 0; i < n; i++) {
        if (!all.data || !strstr(all.data, keys[i]))
            fail_msg("\"%s\" is not among the keys: %s", keys[i], all.data ? all.data : "(none)");
        len += strlen(keys[i]) + 1;
    }
    assert_int_equal(all.len, len);
    fg_buf_deinit(&all);
}

static void open_domain(struct bed *bed)
{
    static const char *const exclude[] = { "Test@contoso.example" };

    bed->mailboxes = (struct mailboxes){ .domain = "Contoso.example", .exclude = { exclude, 1 } };
    bed_open(bed);
    bed_token(bed, "token-1");
}

static void a_domains_mailboxes_are_listed_page_by_page(void **state)
{
    static const char *const first[] = { INFO "/inbox" }, *const both[] = { INFO "/inbox", ORDERS "/inbox" };
    struct bed *bed = *state;

    open_domain(bed);
    assert_keys(bed, NULL, 0);
    bed_page(bed, "/v1.0/users?$select=id,mail,userPrincipalName&$top=",
             "{\"mail\":\"Info@Contoso.example\"},{\"mail\":\"test@contoso.example\"},"
             "{\"mail\":\"guest@elsewhere.example\"},{\"mail\":\"a@contoso.example@elsewhere.example\"},"
             "{\"mail\":\"a/b@contoso.example\"},{\"mail\":\"contoso.example\"}",
             "nextLink", GRAPH "/v1.0/users?$skiptoken=2");
    assert_keys(bed, first, 1);
    fake_call_answer(bed_call(bed, "$skiptoken=2"), 200, NULL, "{\"value\":[{\"userPrincipalName\":\"" ORDERS "\"}]}");
    assert_keys(bed, both, 2);
}

static void a_mailbox_gone_from_the_domain_is_read_no_more(void **state)
{
    static const char *const left[] = { ORDERS "/inbox" };
    struct bed *bed = *state;

    open_domain(bed);
    fake_call_answer(bed_call(bed, "/v1.0/users?"), 200, NULL,
                     "{\"value\":[{\"mail\":\"" INFO "\"},{\"mail\":\"" ORDERS "\"}]}");
    bed_assign(bed, INFO "/inbox", GRAPH "/d?info");
    bed_assign(bed, ORDERS "/inbox", GRAPH "/d?orders");
    fake_host_advance(bed->fake, DIRECTORY_MS);
    fake_call_answer(bed_call(bed, "/v1.0/users?"), 500, NULL, ""); /* tells nothing about who is gone */
    fake_host_advance(bed->fake, 1000);
    fake_call_answer(bed_call(bed, "/v1.0/users?"), 200, NULL, "{\"value\":[{\"mail\":\"" ORDERS "\"}]}");
    assert_keys(bed, left, 1);
    bed_pull(bed);
    assert_true(bed_asks(bed, "/d?orders"));
    assert_false(bed_asks(bed, "/d?info"));
}

static void a_list_that_leads_off_the_graph_host_is_not_followed(void **state)
{
    struct bed *bed = *state;

    open_domain(bed);
    bed_page(bed, "/v1.0/users?", "", "nextLink", "https://graph.example@evil.example/v1.0/users");
    assert_int_equal(fake_call_count(bed->fake), 0);
    assert_int_equal(bed->fake->trouble.code, FG_E_PROTOCOL);
    fake_host_advance(bed->fake, 1000);
    fake_call_answer(bed_call(bed, "/v1.0/users?"), 200, NULL, "{\"value\":[]}");
    assert_int_equal(bed->fake->trouble.code, FG_E_NONE);
}

static void cursors_may_come_before_their_mailbox_is_known(void **state)
{
    struct bed *bed = *state;

    open_domain(bed);
    bed_assign(bed, INFO "/inbox", GRAPH "/d?info");
    bed_pull(bed);
    assert_false(bed_asks(bed, "/d?info"));
    fake_call_answer(bed_call(bed, "/v1.0/users?"), 200, NULL, "{\"value\":[{\"mail\":\"" INFO "\"}]}");
    assert_true(bed_asks(bed, "/d?info"));
}

static void refuses(struct bed *bed, const char *text)
{
    struct fg_error err = FG_ERROR_NULL;

    assert_int_equal(fragua_plugin.check(&bed->config, &err), -FG_E_CONFIG);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
}

static void options_that_cannot_work_are_refused_with_a_reason(void **state)
{
    static const char *const bad_folders[] = { "Inbox/Orders" }, *const bad_list[] = { "a/b@contoso.example" };
    struct bed *bed = *state;
    const struct config good = bed->config;
    const struct mailboxes boxes = bed->mailboxes;

    bed->config.graph = "http://graph.example";
    refuses(bed, "plain http is allowed towards loopback only");
    bed->config.graph = "http://127.0.0.1:8080/";
    assert_int_equal(fragua_plugin.check(&bed->config, NULL), 0);
    bed->config.graph = "https://graph.example/?x=1";
    refuses(bed, "`graph`");
    bed->config = good;
    bed->config.login = "http://127.0.0.1.example/";
    refuses(bed, "`login`");
    bed->config = good;
    bed->config.tenant = "contoso.example/../common";
    refuses(bed, "`tenant`");
    bed->config = good;
    bed->config.folders = (struct fg_strings){ bad_folders, 1 };
    refuses(bed, "paths are not understood");
    bed->config = good;
    bed->mailboxes.domain = "contoso.example";
    refuses(bed, "not both");
    bed->mailboxes = (struct mailboxes){ .domain = NULL };
    refuses(bed, "`domain` or `list`");
    bed->mailboxes = (struct mailboxes){ .domain = "info@contoso.example" };
    refuses(bed, "behind the @");
    bed->mailboxes = (struct mailboxes){ .list = { bad_list, 1 } };
    refuses(bed, "mailboxes.list");
    bed->mailboxes = boxes;
}

static void a_simulator_on_loopback_may_be_reached(void **state)
{
    struct bed *bed = *state;
    struct fg_http_call *call;

    bed->config.graph = bed->config.login = "http://127.0.0.1:8080";
    bed_open(bed);
    bed_assign(bed, INFO "/inbox", "");
    bed_pull(bed);
    call = fake_call_expect(bed->fake, "POST", "http://127.0.0.1:8080/contoso.example/oauth2/v2.0/token");
    assert_true(call->allow_private);
    assert_non_null(strstr(call->body, "scope=http%3A%2F%2F127.0.0.1%3A8080%2F.default"));
    bed_token(bed, "token-1");
    assert_true(bed_call(bed, "http://127.0.0.1:8080/v1.0/users/info")->allow_private);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define BED_TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
        BED_TEST(a_large_page_is_read_by_a_worker),
        BED_TEST(what_is_revoked_stops_at_once_and_the_batch_goes_back),
        BED_TEST(revoked_pages_that_were_read_or_wait_are_dropped),
        BED_TEST(revoked_while_the_token_is_on_its_way_it_is_not_asked_for),
        BED_TEST(revoked_while_it_waits_for_another_try_it_is_not_asked_for),
        BED_TEST(a_new_assignment_does_not_shorten_retry_after),
        BED_TEST(retry_after_counts_for_all_folders_whatever_the_status),
        BED_TEST(when_all_wait_the_list_of_the_domain_waits_too),
        BED_TEST(rewound_it_goes_on_from_what_counts),
        BED_TEST(a_page_without_room_is_kept_whole_for_the_next_pull),
        BED_TEST(a_page_that_never_fits_is_asked_for_in_smaller_parts),
        BED_TEST(it_stops_with_requests_in_flight),
        BED_TEST(it_stops_while_it_waits_for_a_token),
        BED_TEST(it_stops_only_after_the_workers_are_done),
        BED_TEST(an_instance_that_was_never_started_closes),
        BED_TEST(a_domains_mailboxes_are_listed_page_by_page),
        BED_TEST(a_mailbox_gone_from_the_domain_is_read_no_more),
        BED_TEST(a_list_that_leads_off_the_graph_host_is_not_followed),
        BED_TEST(cursors_may_come_before_their_mailbox_is_known),
        BED_TEST(options_that_cannot_work_are_refused_with_a_reason),
        BED_TEST(a_simulator_on_loopback_may_be_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
