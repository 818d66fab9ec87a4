/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters back to where they came from, on simulated Kafka. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../test/model/replay-rig.h"

static void a_letter_goes_back_as_the_record_that_it_was(void **state)
{
    const struct model_record *r;
    struct rig_replay run, again;
    struct rig rig;

    rig_init(&rig, 1);
    rig_replay_init(&run, &rig);
    rig_put_letter(&rig, "key", "mail");
    rig_replay_finish(&run);
    rig_replay_expect_no_error(&run);
    assert_int_equal(run.counts.sent, 1);
    assert_string_equal(run.topic, "in");
    r = rig_seen(&rig, "in", "key", 0);
    assert_non_null(r);
    assert_true(fg_slice_is(r->value, "mail"));
    assert_int_equal(r->n_headers, 4);
    assert_true(fg_slice_is(rig_header(r, "ce_type"), "a.type"));
    assert_true(fg_slice_is(rig_header(r, "ce_id"), "mail"));
    assert_true(fg_slice_is(rig_header(r, "fragua_replayed"), "dead/0/0"));
    rig_replay_expect_committed(&rig, 1, "");
    rig_replay_init(&again, &rig);
    rig_replay_finish(&again);
    rig_replay_expect_no_error(&again);
    assert_int_equal(again.counts.sent + again.counts.left + again.counts.already, 0);
    assert_int_equal(rig_count(&rig, "in"), 1);
    rig_deinit(&rig);
}

static void a_tombstone_stays_one(void **state)
{
    const struct fg_header headers[] = {
        {FG_SLICE("fragua_pipeline"), FG_SLICE("p")},
        {FG_SLICE("fragua_origin"), FG_SLICE("in/2/7")},
        {FG_SLICE("ce_type"), FG_SLICE("fragua.dead.v1")},
    };
    struct model_topic *dead;
    struct rig_replay run;
    struct rig rig;

    rig_init(&rig, 2);
    rig_replay_init(&run, &rig);
    model_write(&rig.bus, "dead", 0, fg_slice_of("k"), FG_SLICE_NULL, headers, 3);
    dead = model_topic(&rig.bus, "dead", 1);
    dead->partitions[0].records[0].tombstone = true;
    rig_replay_finish(&run);
    rig_replay_expect_no_error(&run);
    assert_true(rig_seen(&rig, "in", "k", 0)->tombstone);
    assert_int_equal(rig_seen(&rig, "in", "k", 0)->n_headers, 1); /* the type was the letter's */
    rig_deinit(&rig);
}

static void many_letters_go_in_several_transactions(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig_replay run;
        struct rig rig;

        rig_init(&rig, seed);
        rig_replay_init(&run, &rig);
        run.config.batch_records = 7;
        rig_put_letters(&rig, 50);
        rig_replay_finish(&run);
        rig_replay_expect_no_error(&run);
        assert_int_equal(run.counts.sent, 50);
        assert_true(rig.bus.n_publishes >= 8);
        rig_expect_each_replayed_once(&rig, 50);
        rig_deinit(&rig);
    }
}

static void a_dry_run_changes_nothing(void **state)
{
    struct rig_replay run;
    struct rig rig;

    rig_init(&rig, 3);
    rig_replay_init(&run, &rig);
    run.config.dry = true;
    rig_put_letters(&rig, 10);
    rig_replay_finish(&run);
    rig_replay_expect_no_error(&run);
    assert_int_equal(run.counts.sent, 10);
    assert_string_equal(run.topic, "in");
    assert_int_equal(rig_count(&rig, "in"), 0);
    assert_int_equal(rig.bus.n_publishes, 0);
    assert_int_equal(rig.bus.n_opened_producers, 0);
    assert_int_equal(model_members(&rig.bus, RIG_REPLAY_GROUP), 0);
    rig_replay_expect_committed(&rig, FG_BUS_UNKNOWN, "");
    rig_deinit(&rig);
}

static void filters_choose_and_the_rest_is_for_later(void **state)
{
    struct rig_replay some, rest;
    struct rig rig;

    rig_init(&rig, 4);
    rig_replay_init(&some, &rig);
    rig_replay_choose(&some, "key=k1");
    rig_put_letters(&rig, 10);
    rig_replay_finish(&some);
    rig_replay_expect_no_error(&some);
    assert_int_equal(some.counts.sent, 5);
    assert_int_equal(some.counts.passed, 5);
    rig_replay_expect_committed(&rig, 0, "1,3,5,7,9");
    rig_replay_init(&rest, &rig);
    rig_replay_finish(&rest);
    rig_replay_expect_no_error(&rest);
    assert_int_equal(rest.counts.sent, 5);
    assert_int_equal(rest.counts.already, 5);
    rig_replay_expect_committed(&rig, 10, "");
    rig_expect_each_replayed_once(&rig, 10);
    rig_deinit(&rig);
}

static void an_id_chooses_one(void **state)
{
    struct rig_replay run;
    struct rig rig;

    rig_init(&rig, 5);
    rig_replay_init(&run, &rig);
    rig_replay_choose(&run, "id=dead/0/3");
    rig_replay_choose(&run, "id=dead/0/4");
    rig_replay_choose(&run, "id=other/0/5");
    rig_put_letters(&rig, 10);
    rig_replay_finish(&run);
    rig_replay_expect_no_error(&run);
    assert_int_equal(run.counts.sent, 2);
    rig_replay_expect_committed(&rig, 0, "3-4");
    rig_deinit(&rig);
}

static void a_limit_ends_it(void **state)
{
    struct rig_replay run;
    struct rig rig;

    rig_init(&rig, 6);
    rig_replay_init(&run, &rig);
    run.config.limit = 4;
    rig_put_letters(&rig, 10);
    rig_replay_finish(&run);
    rig_replay_expect_no_error(&run);
    assert_int_equal(run.counts.sent, 4);
    assert_false(run.counts.interrupted);
    rig_replay_expect_committed(&rig, 4, "");
    rig_deinit(&rig);
}

static void put_one_more(struct rig_replay *run)
{
    rig_put_letter(run->rig, "new", "dead again");
}

/* What dies again at once must not go round for ever. */
static void it_ends_at_the_end_that_there_was_at_the_start(void **state)
{
    struct rig_replay run;
    struct rig rig;

    rig_init(&rig, 7);
    rig_replay_init(&run, &rig);
    run.config.batch_records = 2;
    run.told = put_one_more;
    rig_put_letters(&rig, 10);
    rig_replay_finish(&run);
    rig_replay_expect_no_error(&run);
    assert_int_equal(run.counts.sent, 10);
    assert_null(rig_seen(&rig, "in", "new", 0));
    rig_replay_expect_committed(&rig, 10, "");
    rig_deinit(&rig);
}

static void an_empty_topic_is_soon_done(void **state)
{
    struct rig_replay run;
    struct rig rig;

    rig_init(&rig, 8);
    rig_replay_init(&run, &rig);
    rig_replay_finish(&run);
    rig_replay_expect_no_error(&run);
    assert_int_equal(run.counts.sent, 0);
    rig_deinit(&rig);
}

static void a_sources_letter_goes_through_the_transforms(void **state)
{
    const struct model_record *r;
    struct rig_replay run;
    struct rig rig;

    rig_init(&rig, 9);
    rig_replay_init(&run, &rig);
    rig_put_letter_of(&rig, "a", "mended", "s", "box/inbox", "was bad");
    rig_put_letter_of(&rig, "a", "bad still", "s", "box/inbox", "was bad");
    rig_put_letter_of(&rig, "a", "many", "s", "box/inbox", "was bad");
    rig_put_letter_of(&rig, "a", "drop it", "s", "box/inbox", "was bad");
    rig_put_letter_of(&rig, "a", "again", "s", "box/inbox", "was bad");
    rig_put_letter_of(&rig, "a", "nowhere", "s", "box/inbox", "was bad");
    rig_replay_finish(&run);
    rig_replay_expect_no_error(&run);
    assert_memory_equal(run.fates, "slssll", 6);
    assert_int_equal(run.counts.records, 4); /* one, and three of "many" */
    r = rig_seen(&rig, "out", "a", 0);
    assert_true(fg_slice_is(r->value, "mended"));
    assert_true(fg_slice_is(rig_header(r, "fragua_replayed"), "dead/0/0"));
    assert_true(fg_slice_is(rig_header(r, "fragua_reason"), ""));
    r = rig_seen(&rig, "out", "a", 1);
    assert_true(fg_slice_is(r->value, "many/1"));
    assert_true(rig_header(r, "traceparent").len > 0);
    assert_true(fg_slice_is(rig_header(r, "fragua_replayed"), "dead/0/2"));
    assert_int_equal(rig_count(&rig, "out"), 3);
    assert_int_equal(rig_count(&rig, "rows"), 1);
    assert_int_equal(rig_count(&rig, "in"), 0);
    rig_replay_expect_committed(&rig, 1, "2-3");
    rig_deinit(&rig);
}

static void expect_left(const char *pipeline, const char *origin, const char *value, const char *why)
{
    struct rig_replay run;
    struct rig rig;

    rig_init(&rig, 10);
    rig_replay_init(&run, &rig);
    run.routes[0].n_inputs = 2;
    run.routes[0].inputs = (const char *const[]){"in", "gone"};
    rig_put_letter_of(&rig, "k", value, pipeline, origin, "x");
    rig_put_letter(&rig, "k", "good");
    rig_replay_finish(&run);
    rig_replay_expect_no_error(&run);
    assert_memory_equal(run.fates, "ls", 2);
    assert_string_equal(run.why, why);
    rig_replay_expect_committed(&rig, 0, "1");
    assert_int_equal(rig_count(&rig, "in"), 1);
    rig_deinit(&rig);
}

static void what_cannot_go_back_is_left_with_the_reason(void **state)
{
    expect_left("s", "box/inbox", "bad", "still at transforms.0: this one is bad");
    expect_left("s", "box/inbox", "nowhere", "the pipeline has no output named \"nope\"");
    expect_left("q", "box/inbox", "x", "the file has no pipeline \"q\", which knows \"box/inbox\"");
    expect_left("p", "elsewhere/0/1", "x", "topic \"elsewhere\" is no input of this file");
    expect_left("p", "gone/0/1", "x", "topic \"gone\" does not exist");
    expect_left("", "in/0/1", "x", "it is no dead letter: it has no headers fragua_pipeline and fragua_origin");
}

static void a_missing_topic_is_told(void **state)
{
    struct rig_replay run;
    struct rig rig;

    rig_init(&rig, 11);
    rig_replay_init(&run, &rig);
    run.config.dead_topic = "nothing";
    rig_replay_finish(&run);
    assert_int_equal(run.err.code, FG_E_NOT_FOUND);
    assert_string_equal(run.err.text, "topic \"nothing\" does not exist: there are no dead letters");
    rig_deinit(&rig);
}

/* Every second one of very many: the list of ranges would not fit beside the offset. */
static void a_list_that_is_too_long_says_what_to_do(void **state)
{
    struct rig_replay some, rest;
    struct rig rig;

    rig_init(&rig, 14);
    rig_replay_init(&some, &rig);
    rig_replay_choose(&some, "key=k1");
    rig_put_letters(&rig, 3000);
    rig_replay_finish(&some);
    assert_int_equal(some.err.code, FG_E_LIMIT);
    assert_non_null(strstr(some.err.text, "replay (without filters) those that come before"));
    assert_true(some.counts.sent > 500 && some.counts.left > 0);
    assert_int_equal(rig_count(&rig, "in"), some.counts.sent);
    rig_replay_init(&rest, &rig);
    rig_replay_finish(&rest);
    rig_replay_expect_no_error(&rest);
    assert_int_equal(rest.counts.sent + some.counts.sent, 3000);
    assert_int_equal(rig_count(&rig, "in"), 3000);
    rig_deinit(&rig);
}

/* Its transforms have mended it by now, but what they make of it is too large for the topic. */
static void a_record_that_kafka_never_takes_is_left(void **state)
{
    struct rig_replay run;
    struct rig rig;

    rig_init(&rig, 16);
    rig_replay_init(&run, &rig);
    model_topic(&rig.bus, "in", 3)->message_bytes_max = 1000;
    rig_put_letter(&rig, "k0", "v0");
    char large[2000] = {0};
    memset(large, 'x', sizeof(large) - 1);
    rig_put_letter(&rig, "k1", large);
    rig_put_letter(&rig, "k0", "v2");
    rig_replay_finish(&run);
    rig_replay_expect_no_error(&run);
    assert_memory_equal(run.fates, "sls", 3);
    assert_int_equal(rig_count(&rig, "in"), 2);
    rig_replay_expect_committed(&rig, 1, "2");
    rig_deinit(&rig);
}

static void without_transactions_it_is_at_least_once(void **state)
{
    struct rig_replay run, again;
    struct rig rig;

    rig_init(&rig, 17);
    rig.bus.bus.traits.transactional = false;
    rig_replay_init(&run, &rig);
    rig_put_letters(&rig, 20);
    rig_replay_finish(&run);
    rig_replay_expect_no_error(&run);
    rig_expect_each_replayed_once(&rig, 20);
    rig_replay_init(&again, &rig);
    rig_replay_finish(&again);
    rig_replay_expect_no_error(&again);
    assert_int_equal(again.counts.sent, 0);
    rig_deinit(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_letter_goes_back_as_the_record_that_it_was),
        cmocka_unit_test(a_tombstone_stays_one),
        cmocka_unit_test(many_letters_go_in_several_transactions),
        cmocka_unit_test(a_dry_run_changes_nothing),
        cmocka_unit_test(filters_choose_and_the_rest_is_for_later),
        cmocka_unit_test(an_id_chooses_one),
        cmocka_unit_test(a_limit_ends_it),
        cmocka_unit_test(it_ends_at_the_end_that_there_was_at_the_start),
        cmocka_unit_test(an_empty_topic_is_soon_done),
        cmocka_unit_test(a_sources_letter_goes_through_the_transforms),
        cmocka_unit_test(what_cannot_go_back_is_left_with_the_reason),
        cmocka_unit_test(a_missing_topic_is_told),
        cmocka_unit_test(a_list_that_is_too_long_says_what_to_do),
        cmocka_unit_test(a_record_that_kafka_never_takes_is_left),
        cmocka_unit_test(without_transactions_it_is_at_least_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
