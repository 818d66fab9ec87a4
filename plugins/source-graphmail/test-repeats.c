/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin on a fake host: each version of a mail goes out once, whatever Graph repeats and the host takes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include <fake-host.h>

#include "test-bed.h"

#define MAIL(id, key) "{\"id\":\"" id "\",\"changeKey\":\"" key "\",\"conversationId\":\"C-" id "\"}"
#define GONE(id)      "{\"id\":\"" id "\",\"@removed\":{\"reason\":\"deleted\"}}"
#define SEEN          INFO "/inbox/seen."

/* The ids of the batch's records. */
static const char *ids(struct bed *bed)
{
    static char text[4096];
    size_t n = 0;

    text[0] = '\0';
    for (size_t i = 0; i < bed->batch->n_records; i++) {
        struct fg_json_value id = fg_json_find(bed->fake->svc.record_view(bed->batch->records[i])->value, "/id");
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s", i ? " " : "", (int)id.raw.len - 2, id.raw.ptr + 1);
    }
    return text;
}

/* One mailbox alone, from this link and with these chunks of its memory; NULL: none. */
static void run(struct bed *bed, const char *link, const char *seen0, const char *seen1)
{
    struct fg_cursor cursors[] = { { FG_SLICE(SEEN "1"), fg_slice_of(seen1) },
                                   { FG_SLICE(INFO "/inbox"), fg_slice_of(link) },
                                   { FG_SLICE(SEEN "0"), fg_slice_of(seen0) } };

    if (!bed->self) {
        bed_open(bed);
        fragua_plugin.source->assign(bed->self, cursors, 3);
        bed_pull(bed);
        bed_token(bed, "token-1");
    } else {
        fragua_plugin.source->rewind(bed->self, cursors, 3);
        bed_pull(bed);
    }
}

static char *copy(const char *text)
{
    char *copied = text ? strdup(text) : NULL;

    assert_non_null(copied);
    return copied;
}

static void what_a_page_repeats_goes_out_once(void **state)
{
    struct bed *bed = *state;

    run(bed, "", NULL, NULL);
    bed_page(bed, "/users/info", MAIL("1", "a") "," MAIL("2", "a") "," MAIL("1", "a") "," MAIL("1", "b") "," GONE("3")
             "," GONE("3") "," MAIL("2", "a"), "nextLink", GRAPH "/d?2");
    assert_string_equal(ids(bed), "1 2 1 3");
    assert_int_equal(bed->batch->n_cursors, 2);
    bed_pull(bed);
    bed_page(bed, "/d?2", MAIL("2", "a") "," MAIL("4", "a") "," GONE("3"), "nextLink", GRAPH "/d?3");
    assert_string_equal(ids(bed), "4");
    assert_non_null(fake_batch_cursor(bed->batch, SEEN "0"));
    assert_null(fake_batch_cursor(bed->batch, SEEN "1"));
    bed_pull(bed);
    bed_page(bed, "/d?3", MAIL("1", "b") "," MAIL("1", "a"), "nextLink", GRAPH "/d?3"); /* the page once more */
    assert_int_equal(bed->batch->state, FAKE_BATCH_OPEN); /* nothing new: nothing to save */
    bed_page(bed, "/d?3", GONE("1"), "deltaLink", GRAPH "/d?4");
    assert_string_equal(ids(bed), "1");
}

static void a_removal_is_told_again_once_the_mail_was_back(void **state)
{
    struct bed *bed = *state;

    run(bed, "", NULL, NULL);
    bed_page(bed, "/users/info", MAIL("1", "a") "," GONE("1") "," MAIL("1", "b") "," GONE("1") "," GONE("1"),
             "deltaLink", GRAPH "/d?1");
    assert_int_equal(bed->batch->n_records, 4);
}

static void an_expired_link_repeats_nothing_and_loses_nothing(void **state)
{
    struct bed *bed = *state;

    run(bed, "", NULL, NULL);
    bed_page(bed, "/users/info", MAIL("1", "a") "," MAIL("2", "a"), "deltaLink", GRAPH "/d?1");
    bed_pull(bed);
    fake_host_advance(bed->fake, 11000);
    fake_call_answer(bed_call(bed, "/d?1"), 410, NULL, "{\"error\":{\"code\":\"SyncStateNotFound\"}}");
    assert_true(fake_host_logged(bed->fake, "reading the whole folder again, past what is known"));
    bed_page(bed, "/users/info", MAIL("1", "a"), "nextLink", GRAPH "/d?2"); /* all known */
    assert_int_equal(bed->batch->state, FAKE_BATCH_OPEN);
    bed_page(bed, "/d?2", MAIL("2", "b") "," MAIL("3", "a"), "deltaLink", GRAPH "/d?3");
    assert_string_equal(ids(bed), "2 3");
    assert_string_equal(fake_record_header(bed->batch->records[0], "fragua_change"), "updated"); /* no first walk */
    assert_string_equal(fake_batch_cursor(bed->batch, INFO "/inbox"), GRAPH "/d?3");
}

static void what_was_committed_is_known_to_the_next_owner(void **state)
{
    struct bed *bed = *state;
    struct fg_slice owners[] = { FG_SLICE(INFO) };
    char *seen;

    run(bed, "", NULL, NULL);
    bed_page(bed, "/users/info", MAIL("1", "a") "," MAIL("2", "a") "," GONE("9"), "nextLink", GRAPH "/d?1");
    seen = copy(fake_batch_cursor(bed->batch, SEEN "0"));
    fragua_plugin.source->revoke(bed->self, owners, 1);
    {
        struct fg_cursor cursors[] = { { FG_SLICE(SEEN "0"), fg_slice_of(seen) },
                                       { FG_SLICE(INFO "/inbox"), FG_SLICE(GRAPH "/d?1") } };
        fragua_plugin.source->assign(bed->self, cursors, 2);
    }
    bed_pull(bed);
    bed_page(bed, "/d?1", MAIL("2", "a") "," MAIL("3", "a") "," GONE("9"), "deltaLink", GRAPH "/d?2");
    assert_string_equal(ids(bed), "3");
    free(seen);
}

static void what_was_not_committed_before_a_revocation_comes_again(void **state)
{
    struct fg_slice owners[] = { FG_SLICE(INFO) };
    struct bed *bed = *state;

    run(bed, GRAPH "/d?0", NULL, NULL);
    bed_page(bed, "/d?0", MAIL("1", "a"), "nextLink", GRAPH "/d?1"); /* its commit was refused: another was the owner */
    fragua_plugin.source->revoke(bed->self, owners, 1);
    bed_assign(bed, INFO "/inbox", GRAPH "/d?0");
    bed_pull(bed);
    bed_page(bed, "/d?0", MAIL("1", "a"), "nextLink", GRAPH "/d?1");
    assert_string_equal(ids(bed), "1");
}

static void a_rewind_takes_back_what_was_not_committed(void **state)
{
    struct bed *bed = *state;
    char *seen;

    run(bed, "", NULL, NULL);
    bed_page(bed, "/users/info", MAIL("1", "a"), "nextLink", GRAPH "/d?1");
    seen = copy(fake_batch_cursor(bed->batch, SEEN "0"));
    bed_pull(bed);
    bed_page(bed, "/d?1", MAIL("2", "a"), "nextLink", GRAPH "/d?2"); /* aborted */
    run(bed, GRAPH "/d?1", seen, NULL);
    bed_page(bed, "/d?1", MAIL("1", "a") "," MAIL("2", "a"), "nextLink", GRAPH "/d?2");
    assert_string_equal(ids(bed), "2");
    run(bed, "", NULL, NULL); /* even the first one is aborted */
    bed_page(bed, "/users/info", MAIL("1", "a"), "nextLink", GRAPH "/d?1");
    assert_string_equal(ids(bed), "1");
    free(seen);
}

static void a_page_without_room_is_not_taken_for_seen(void **state)
{
    struct bed *bed = *state;

    run(bed, "", NULL, NULL);
    bed->fake->records_left = 1;
    bed_page(bed, "/users/info", MAIL("1", "a") "," MAIL("2", "a"), "deltaLink", GRAPH "/d?1");
    assert_int_equal(bed->batch->state, FAKE_BATCH_CANCELLED);
    bed->fake->records_left = 2;
    bed_pull(bed);
    assert_string_equal(ids(bed), "1 2");
}

static void a_page_that_never_fits_is_not_taken_for_seen(void **state)
{
    struct bed *bed = *state;

    run(bed, "", NULL, NULL);
    bed->fake->no_room = true;
    bed_page(bed, "/users/info", MAIL("1", "a") "," MAIL("2", "a"), "deltaLink", GRAPH "/d?1");
    for (unsigned i = 1; i < NO_ROOM_MAX; i++)
        bed_pull(bed);
    bed->fake->no_room = false;
    bed_pull(bed);
    fake_host_advance(bed->fake, 1000);
    bed_page(bed, "/users/info", MAIL("1", "a"), "nextLink", GRAPH "/d?1");
    assert_string_equal(ids(bed), "1");
}

static void a_link_taken_away_by_hand_means_all_anew(void **state)
{
    struct bed *bed = *state;
    char *seen;

    run(bed, "", NULL, NULL);
    bed_page(bed, "/users/info", MAIL("1", "a"), "deltaLink", GRAPH "/d?1");
    seen = copy(fake_batch_cursor(bed->batch, SEEN "0"));
    run(bed, "", "1 7 AQAAAAAAAAA", seen);
    bed_page(bed, "/users/info", MAIL("1", "a"), "deltaLink", GRAPH "/d?1");
    assert_string_equal(ids(bed), "1");
    assert_string_equal(fake_record_header(bed->batch->records[0], "fragua_change"), "created");
    assert_int_equal(bed->batch->n_cursors, 3); /* the link, a chunk, and the other slot emptied */
    assert_true(!*fake_batch_cursor(bed->batch, SEEN "0") != !*fake_batch_cursor(bed->batch, SEEN "1"));
    free(seen);
}

static void cursors_of_an_earlier_version_go_on(void **state)
{
    struct bed *bed = *state;

    bed_open(bed);
    bed_assign(bed, INFO "/inbox", GRAPH "/d?old");
    bed_pull(bed);
    bed_token(bed, "token-1");
    bed_page(bed, "/d?old", MAIL("1", "a"), "nextLink", GRAPH "/d?1");
    assert_string_equal(ids(bed), "1");
    assert_non_null(fake_batch_cursor(bed->batch, SEEN "0"));
}

static void chunks_that_make_no_sense_are_told_and_left(void **state)
{
    struct bed *bed = *state;

    run(bed, GRAPH "/d?0", "nonsense", NULL);
    assert_true(fake_host_logged(bed->fake, "cursor \"" SEEN "0\" is no list of seen mails"));
    bed_assign(bed, INFO "/inbox/unseen.0", "x");
    assert_true(fake_host_logged(bed->fake, "cursor \"" INFO "/inbox/unseen.0\" is left alone"));
    bed_page(bed, "/d?0", MAIL("1", "a"), "nextLink", GRAPH "/d?1");
    assert_string_equal(ids(bed), "1");
}

static void with_nothing_to_remember_all_goes_out(void **state)
{
    struct bed *bed = *state;

    bed->config.remember = 0;
    run(bed, GRAPH "/d?0", "1 7 AQAAAAAAAAA", NULL);
    bed_page(bed, "/d?0", MAIL("1", "a") "," MAIL("1", "a"), "nextLink", GRAPH "/d?1");
    assert_string_equal(ids(bed), "1 1");
    assert_int_equal(bed->batch->n_cursors, 1);
}

static void a_version_is_the_same_however_it_is_written(void **state)
{
    struct bed *bed = *state;

    run(bed, "", NULL, NULL);
    bed_page(bed, "/users/info", MAIL("a+b/c=", "k+") "," MAIL("a\\u002Bb\\/c=", "k\\u002b") "," MAIL("A+b/c=", "k+"),
             "nextLink", GRAPH "/d?1");
    assert_int_equal(bed->batch->n_records, 2); /* ids differ by case */
    bed_pull(bed);
    bed_page(bed, "/d?1", "{\"id\":\"x\",\"v\":1},{\"id\":\"x\",\"v\":1},{\"id\":\"x\",\"v\":2}", "nextLink",
             GRAPH "/d?2");
    assert_int_equal(bed->batch->n_records, 2); /* without a changeKey the whole item is the version */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define BED_TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
        BED_TEST(what_a_page_repeats_goes_out_once),
        BED_TEST(a_removal_is_told_again_once_the_mail_was_back),
        BED_TEST(an_expired_link_repeats_nothing_and_loses_nothing),
        BED_TEST(what_was_committed_is_known_to_the_next_owner),
        BED_TEST(what_was_not_committed_before_a_revocation_comes_again),
        BED_TEST(a_rewind_takes_back_what_was_not_committed),
        BED_TEST(a_page_without_room_is_not_taken_for_seen),
        BED_TEST(a_page_that_never_fits_is_not_taken_for_seen),
        BED_TEST(a_link_taken_away_by_hand_means_all_anew),
        BED_TEST(cursors_of_an_earlier_version_go_on),
        BED_TEST(chunks_that_make_no_sense_are_told_and_left),
        BED_TEST(with_nothing_to_remember_all_goes_out),
        BED_TEST(a_version_is_the_same_however_it_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
