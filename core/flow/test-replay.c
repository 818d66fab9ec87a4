/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters back to where they came from, on simulated Kafka. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../../test/model/flow-rig.h"
#include "flow/replay.h"

#define GROUP "fragua-replay-dead"
#define MAX_NEWS 4096
#define LATE_MS  30000 /* by then every commit that a dead producer left under way has come, or was refused */

struct run {
    struct rig *rig;
    struct sim_process process; /* of its own, where it is to be killed */
    struct model_client client;
    bool own;
    struct fg_replay_config config;
    struct fg_replay_route routes[2];
    struct fg_letter_condition conditions[4];
    struct fg_replay *replay;
    bool done;
    struct fg_replay_counts counts;
    struct fg_error err;
    char fates[MAX_NEWS]; /* 's' sent, 'l' left */
    char why[FG_ERROR_TEXT_MAX]; /* of the last one that was left */
    char topic[32];       /* of the last one that was sent */
    size_t n_news, n_records;
    void (*told)(struct run *run);
};

static void on_told(void *arg, const struct fg_replay_news *news)
{
    struct run *run = arg;

    assert_true(run->n_news < MAX_NEWS);
    run->fates[run->n_news++] = news->fate == FG_REPLAY_SENT ? 's' : 'l';
    run->n_records += news->n_records;
    if (news->fate == FG_REPLAY_LEFT)
        (void)snprintf(run->why, sizeof(run->why), "%s", news->why->text);
    else
        (void)snprintf(run->topic, sizeof(run->topic), "%s", news->topic ? news->topic : "-");
    if (run->told)
        run->told(run);
}

static void on_done(void *arg, const struct fg_replay_counts *counts, const struct fg_error *err)
{
    struct run *run = arg;

    assert_false(run->done);
    run->done = true;
    run->counts = *counts;
    run->err = err ? *err : FG_ERROR_NULL;
    run->replay = fg_replay_free(run->replay);
}

/* Pipeline "p" reads "in"; pipeline "s" has a source, the rig's transform, and outputs "out" and "rows". */
static void init(struct run *run, struct rig *rig)
{
    *run = (struct run){.rig = rig};
    rig_use_transform(rig);
    run->routes[0] = (struct fg_replay_route){.pipeline = "p", .inputs = rig->topics, .n_inputs = 1};
    run->routes[1] = (struct fg_replay_route){.pipeline = "s", .source = true, .transforms = &rig->transform,
                                              .n_transforms = 1, .outputs = rig->outputs, .n_outputs = 2};
    run->config = (struct fg_replay_config){
        .env = &rig->sim.env,
        .bus = &rig->bus.bus,
        .budget = &rig->budget,
        .dead_topic = "dead",
        .routes = run->routes,
        .n_routes = 2,
        .conditions = run->conditions,
        .told = on_told,
        .done = on_done,
        .arg = run,
    };
}

/* A process and a connection of its own. */
static void init_apart(struct run *run, struct rig *rig, const char *name)
{
    init(run, rig);
    run->own = true;
    sim_process_init(&rig->sim, &run->process, name, RIG_WORKERS);
    model_client_init(&rig->bus, &run->client, &run->process);
    run->config.env = &run->process.env;
    run->config.bus = &run->client.bus;
}

static void deinit(struct run *run)
{
    if (!run->own)
        return;
    sim_run_for(&run->rig->sim, 1000);
    sim_process_deinit(&run->process);
}

static void choose(struct run *run, const char *filter)
{
    struct fg_letter_condition *condition = &run->conditions[run->config.n_conditions++];
    struct fg_error err;

    assert_int_equal(fg_letter_condition_read(filter, run->rig->sim.wall_start_ms, condition, &err), 0);
}

static bool is_done(void *arg)
{
    return ((struct run *)arg)->done;
}

static void begin(struct run *run)
{
    run->replay = fg_replay_start(&run->config);
}

static void finish(struct run *run)
{
    if (!run->replay && !run->done)
        begin(run);
    assert_true(sim_run_until(&run->rig->sim, 600000, is_done, run));
    sim_run_for(&run->rig->sim, LATE_MS);
}

static void expect_no_error(const struct run *run)
{
    if (run->err.code)
        fail_msg("%s", run->err.text);
}

static void put_letter_of(struct rig *rig, const char *key, const char *value, const char *pipeline,
                          const char *origin, const char *reason)
{
    const struct fg_header headers[] = {
        {FG_SLICE("ce_id"), fg_slice_of(value)},
        {FG_SLICE("ce_type"), FG_SLICE("a.type")},
        {FG_SLICE("traceparent"), FG_SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")},
        {FG_SLICE("fragua_replayed"), FG_SLICE("dead/0/999")},
        {FG_SLICE("fragua_reason"), fg_slice_of(reason)},
        {FG_SLICE("fragua_code"), FG_SLICE("refused")},
        {FG_SLICE("fragua_stage"), FG_SLICE("sink")},
        {FG_SLICE("fragua_pipeline"), fg_slice_of(pipeline)},
        {FG_SLICE("fragua_attempts"), FG_SLICE("3")},
        {FG_SLICE("fragua_origin"), fg_slice_of(origin)},
    };
    model_write(&rig->bus, "dead", 0, fg_slice_of(key), fg_slice_of(value), headers, 10);
}

static void put_letter(struct rig *rig, const char *key, const char *value)
{
    put_letter_of(rig, key, value, "p", "in/0/0", "the service refuses this");
}

static void put_letters(struct rig *rig, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char key[16], value[16];
        (void)snprintf(key, sizeof(key), "k%u", i % 2);
        (void)snprintf(value, sizeof(value), "v%u", i);
        put_letter(rig, key, value);
    }
}

static size_t count(struct rig *rig, const char *topic)
{
    return model_count(model_topic(&rig->bus, topic, 1));
}

/* Each of v0..v<n-1> once, those with one key in order. */
static void expect_each_once(struct rig *rig, unsigned n)
{
    assert_int_equal(count(rig, "in"), n);
    for (unsigned i = 0; i < n; i++) {
        char key[16], value[16];
        const struct model_record *r;
        (void)snprintf(key, sizeof(key), "k%u", i % 2);
        (void)snprintf(value, sizeof(value), "v%u", i);
        r = rig_seen(rig, "in", key, i / 2);
        assert_non_null(r);
        assert_true(fg_slice_is(r->value, value));
    }
}

static void expect_committed(struct rig *rig, int64_t next, const char *metadata)
{
    const char *found = model_metadata(&rig->bus, GROUP, "dead", 0);

    assert_int_equal(model_committed(&rig->bus, GROUP, "dead", 0), next);
    assert_string_equal(found ? found : "", metadata);
}

static void a_letter_goes_back_as_the_record_that_it_was(void **state)
{
    const struct model_record *r;
    struct run run, again;
    struct rig rig;

    rig_init(&rig, 1);
    init(&run, &rig);
    put_letter(&rig, "key", "mail");
    finish(&run);
    expect_no_error(&run);
    assert_int_equal(run.counts.sent, 1);
    assert_string_equal(run.topic, "in");
    r = rig_seen(&rig, "in", "key", 0);
    assert_non_null(r);
    assert_true(fg_slice_is(r->value, "mail"));
    assert_int_equal(r->n_headers, 4);
    assert_true(fg_slice_is(rig_header(r, "ce_type"), "a.type"));
    assert_true(fg_slice_is(rig_header(r, "ce_id"), "mail"));
    assert_true(fg_slice_is(rig_header(r, "fragua_replayed"), "dead/0/0"));
    expect_committed(&rig, 1, "");
    init(&again, &rig);
    finish(&again);
    expect_no_error(&again);
    assert_int_equal(again.counts.sent + again.counts.left + again.counts.already, 0);
    assert_int_equal(count(&rig, "in"), 1);
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
    struct run run;
    struct rig rig;

    rig_init(&rig, 2);
    init(&run, &rig);
    model_write(&rig.bus, "dead", 0, fg_slice_of("k"), FG_SLICE_NULL, headers, 3);
    dead = model_topic(&rig.bus, "dead", 1);
    dead->partitions[0].records[0].tombstone = true;
    finish(&run);
    expect_no_error(&run);
    assert_true(rig_seen(&rig, "in", "k", 0)->tombstone);
    assert_int_equal(rig_seen(&rig, "in", "k", 0)->n_headers, 1); /* the type was the letter's */
    rig_deinit(&rig);
}

static void many_letters_go_in_several_transactions(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run run;
        struct rig rig;

        rig_init(&rig, seed);
        init(&run, &rig);
        run.config.batch_records = 7;
        put_letters(&rig, 50);
        finish(&run);
        expect_no_error(&run);
        assert_int_equal(run.counts.sent, 50);
        assert_true(rig.bus.n_publishes >= 8);
        expect_each_once(&rig, 50);
        rig_deinit(&rig);
    }
}

static void a_dry_run_changes_nothing(void **state)
{
    struct run run;
    struct rig rig;

    rig_init(&rig, 3);
    init(&run, &rig);
    run.config.dry = true;
    put_letters(&rig, 10);
    finish(&run);
    expect_no_error(&run);
    assert_int_equal(run.counts.sent, 10);
    assert_string_equal(run.topic, "in");
    assert_int_equal(count(&rig, "in"), 0);
    assert_int_equal(rig.bus.n_publishes, 0);
    assert_int_equal(rig.bus.n_opened_producers, 0);
    assert_int_equal(model_members(&rig.bus, GROUP), 0);
    expect_committed(&rig, FG_BUS_UNKNOWN, "");
    rig_deinit(&rig);
}

static void filters_choose_and_the_rest_is_for_later(void **state)
{
    struct run some, rest;
    struct rig rig;

    rig_init(&rig, 4);
    init(&some, &rig);
    choose(&some, "key=k1");
    put_letters(&rig, 10);
    finish(&some);
    expect_no_error(&some);
    assert_int_equal(some.counts.sent, 5);
    assert_int_equal(some.counts.passed, 5);
    expect_committed(&rig, 0, "1,3,5,7,9");
    init(&rest, &rig);
    finish(&rest);
    expect_no_error(&rest);
    assert_int_equal(rest.counts.sent, 5);
    assert_int_equal(rest.counts.already, 5);
    expect_committed(&rig, 10, "");
    expect_each_once(&rig, 10);
    rig_deinit(&rig);
}

static void an_id_chooses_one(void **state)
{
    struct run run;
    struct rig rig;

    rig_init(&rig, 5);
    init(&run, &rig);
    choose(&run, "id=dead/0/3");
    choose(&run, "id=dead/0/4");
    choose(&run, "id=other/0/5");
    put_letters(&rig, 10);
    finish(&run);
    expect_no_error(&run);
    assert_int_equal(run.counts.sent, 2);
    expect_committed(&rig, 0, "3-4");
    rig_deinit(&rig);
}

static void a_limit_ends_it(void **state)
{
    struct run run;
    struct rig rig;

    rig_init(&rig, 6);
    init(&run, &rig);
    run.config.limit = 4;
    put_letters(&rig, 10);
    finish(&run);
    expect_no_error(&run);
    assert_int_equal(run.counts.sent, 4);
    assert_false(run.counts.interrupted);
    expect_committed(&rig, 4, "");
    rig_deinit(&rig);
}

static void put_one_more(struct run *run)
{
    put_letter(run->rig, "new", "dead again");
}

/* What dies again at once must not go round for ever. */
static void it_ends_at_the_end_that_there_was_at_the_start(void **state)
{
    struct run run;
    struct rig rig;

    rig_init(&rig, 7);
    init(&run, &rig);
    run.config.batch_records = 2;
    run.told = put_one_more;
    put_letters(&rig, 10);
    finish(&run);
    expect_no_error(&run);
    assert_int_equal(run.counts.sent, 10);
    assert_null(rig_seen(&rig, "in", "new", 0));
    expect_committed(&rig, 10, "");
    rig_deinit(&rig);
}

static void an_empty_topic_is_soon_done(void **state)
{
    struct run run;
    struct rig rig;

    rig_init(&rig, 8);
    init(&run, &rig);
    finish(&run);
    expect_no_error(&run);
    assert_int_equal(run.counts.sent, 0);
    rig_deinit(&rig);
}

static void a_sources_letter_goes_through_the_transforms(void **state)
{
    const struct model_record *r;
    struct run run;
    struct rig rig;

    rig_init(&rig, 9);
    init(&run, &rig);
    put_letter_of(&rig, "a", "mended", "s", "box/inbox", "was bad");
    put_letter_of(&rig, "a", "bad still", "s", "box/inbox", "was bad");
    put_letter_of(&rig, "a", "many", "s", "box/inbox", "was bad");
    put_letter_of(&rig, "a", "drop it", "s", "box/inbox", "was bad");
    put_letter_of(&rig, "a", "again", "s", "box/inbox", "was bad");
    put_letter_of(&rig, "a", "nowhere", "s", "box/inbox", "was bad");
    finish(&run);
    expect_no_error(&run);
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
    assert_int_equal(count(&rig, "out"), 3);
    assert_int_equal(count(&rig, "rows"), 1);
    assert_int_equal(count(&rig, "in"), 0);
    expect_committed(&rig, 1, "2-3");
    rig_deinit(&rig);
}

static void expect_left(const char *pipeline, const char *origin, const char *value, const char *why)
{
    struct run run;
    struct rig rig;

    rig_init(&rig, 10);
    init(&run, &rig);
    run.routes[0].n_inputs = 2;
    run.routes[0].inputs = (const char *const[]){"in", "gone"};
    put_letter_of(&rig, "k", value, pipeline, origin, "x");
    put_letter(&rig, "k", "good");
    finish(&run);
    expect_no_error(&run);
    assert_memory_equal(run.fates, "ls", 2);
    assert_string_equal(run.why, why);
    expect_committed(&rig, 0, "1");
    assert_int_equal(count(&rig, "in"), 1);
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
    struct run run;
    struct rig rig;

    rig_init(&rig, 11);
    init(&run, &rig);
    run.config.dead_topic = "nothing";
    finish(&run);
    assert_int_equal(run.err.code, FG_E_NOT_FOUND);
    assert_string_equal(run.err.text, "topic \"nothing\" does not exist: there are no dead letters");
    rig_deinit(&rig);
}

static void faults_cost_and_double_nothing(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct run run;
        struct rig rig;

        rig_init(&rig, seed);
        init(&run, &rig);
        run.config.batch_records = 5;
        rig.bus.abort_percent = 20;
        rig.bus.dead_percent = 20;
        put_letters(&rig, 40);
        finish(&run);
        expect_no_error(&run);
        assert_int_equal(run.counts.sent, 40);
        expect_each_once(&rig, 40);
        rig_deinit(&rig);
    }
}

static void each_way_of_dying_is_survived(void **state)
{
    for (int fault = MODEL_FAULT_ABORT; fault < _MODEL_FAULT_N; fault++) {
        struct run run;
        struct rig rig;

        rig_init(&rig, 12);
        init(&run, &rig);
        choose(&run, "key=k1"); /* so that the ranges are looked at too */
        put_letters(&rig, 10);
        model_fault(&rig.bus, (enum model_fault)fault);
        finish(&run);
        expect_no_error(&run);
        assert_int_equal(run.counts.sent, 5);
        assert_int_equal(count(&rig, "in"), 5);
        expect_committed(&rig, 0, "1,3,5,7,9");
        rig_deinit(&rig);
    }
}

static void one_that_always_fails_ends_with_the_reason(void **state)
{
    struct run run;
    struct rig rig;

    rig_init(&rig, 13);
    init(&run, &rig);
    rig.bus.abort_percent = 100;
    put_letters(&rig, 3);
    finish(&run);
    assert_int_not_equal(run.err.code, FG_E_NONE);
    assert_int_equal(run.counts.sent, 0);
    assert_int_equal(count(&rig, "in"), 0);
    rig_deinit(&rig);
}

/* Killed at any moment and begun again: each letter once. */
static void kill_and_begin_again(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct run first, second;
        struct rig rig;

        rig_init(&rig, seed);
        init_apart(&first, &rig, "first");
        init_apart(&second, &rig, "second");
        first.config.batch_records = second.config.batch_records = 4;
        if (seed % 3 == 0) {
            choose(&first, "key=k1");
            choose(&second, "key=k1");
        }
        put_letters(&rig, 40);
        begin(&first);
        sim_run_for(&rig.sim, sim_random(&rig.sim, 300));
        model_client_cut(&first.client);
        finish(&second);
        expect_no_error(&second);
        if (seed % 3 == 0)
            assert_int_equal(count(&rig, "in"), 20);
        else
            expect_each_once(&rig, 40);
        if (first.replay)
            fg_replay_stop(first.replay);
        assert_true(sim_run_until(&rig.sim, 600000, is_done, &first));
        deinit(&first);
        deinit(&second);
        rig_deinit(&rig);
    }
}

static void two_at_a_time_double_nothing(void **state)
{
    unsigned n_refused = 0;

    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct run first, second, rest;
        struct rig rig;

        rig_init(&rig, seed);
        init_apart(&first, &rig, "first");
        init_apart(&second, &rig, "second");
        first.config.batch_records = second.config.batch_records = 4;
        put_letters(&rig, 40);
        begin(&first);
        sim_run_for(&rig.sim, sim_random(&rig.sim, 200));
        begin(&second);
        finish(&first);
        finish(&second);
        n_refused += first.err.code == FG_E_FENCED || second.err.code == FG_E_FENCED;
        assert_true(first.err.code == FG_E_NONE || first.err.code == FG_E_FENCED);
        assert_true(second.err.code == FG_E_NONE || second.err.code == FG_E_FENCED);
        init(&rest, &rig); /* should each have ended for the other */
        finish(&rest);
        expect_no_error(&rest);
        expect_each_once(&rig, 40);
        deinit(&first);
        deinit(&second);
        rig_deinit(&rig);
    }
    assert_true(n_refused > 0);
}

static void stopped_in_between_it_goes_on_later(void **state)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct run run, rest;
        struct rig rig;

        rig_init(&rig, seed);
        init(&run, &rig);
        run.config.batch_records = 3;
        put_letters(&rig, 40);
        begin(&run);
        sim_run_for(&rig.sim, sim_random(&rig.sim, 300));
        if (run.replay)
            fg_replay_stop(run.replay);
        assert_true(sim_run_until(&rig.sim, 60000, is_done, &run));
        if (run.err.code == FG_E_NONE && run.counts.sent < 40)
            assert_true(run.counts.interrupted);
        init(&rest, &rig);
        finish(&rest);
        expect_no_error(&rest);
        expect_each_once(&rig, 40);
        rig_deinit(&rig);
    }
}

/* Every second one of very many: the list of ranges would not fit beside the offset. */
static void a_list_that_is_too_long_says_what_to_do(void **state)
{
    struct run some, rest;
    struct rig rig;

    rig_init(&rig, 14);
    init(&some, &rig);
    choose(&some, "key=k1");
    put_letters(&rig, 3000);
    finish(&some);
    assert_int_equal(some.err.code, FG_E_LIMIT);
    assert_non_null(strstr(some.err.text, "replay (without filters) those that come before"));
    assert_true(some.counts.sent > 500 && some.counts.left > 0);
    assert_int_equal(count(&rig, "in"), some.counts.sent);
    init(&rest, &rig);
    finish(&rest);
    expect_no_error(&rest);
    assert_int_equal(rest.counts.sent + some.counts.sent, 3000);
    assert_int_equal(count(&rig, "in"), 3000);
    rig_deinit(&rig);
}

static void letters_that_are_gone_do_not_hold_it_up(void **state)
{
    struct run first, rest;
    struct rig rig;

    rig_init(&rig, 15);
    init(&first, &rig);
    first.config.limit = 2;
    put_letters(&rig, 20);
    finish(&first);
    model_retain(model_topic(&rig.bus, "dead", 1), 0, 10);
    init(&rest, &rig);
    finish(&rest);
    expect_no_error(&rest);
    assert_int_equal(rest.counts.sent, 10);
    expect_committed(&rig, 20, "");
    rig_deinit(&rig);
}

/* Its transforms have mended it by now, but what they make of it is too large for the topic. */
static void a_record_that_kafka_never_takes_is_left(void **state)
{
    struct run run;
    struct rig rig;

    rig_init(&rig, 16);
    init(&run, &rig);
    model_topic(&rig.bus, "in", 3)->message_bytes_max = 1000;
    put_letter(&rig, "k0", "v0");
    char large[2000] = {0};
    memset(large, 'x', sizeof(large) - 1);
    put_letter(&rig, "k1", large);
    put_letter(&rig, "k0", "v2");
    finish(&run);
    expect_no_error(&run);
    assert_memory_equal(run.fates, "sls", 3);
    assert_int_equal(count(&rig, "in"), 2);
    expect_committed(&rig, 1, "2");
    rig_deinit(&rig);
}

static void without_transactions_it_is_at_least_once(void **state)
{
    struct run run, again;
    struct rig rig;

    rig_init(&rig, 17);
    rig.bus.bus.traits.transactional = false;
    init(&run, &rig);
    put_letters(&rig, 20);
    finish(&run);
    expect_no_error(&run);
    expect_each_once(&rig, 20);
    init(&again, &rig);
    finish(&again);
    expect_no_error(&again);
    assert_int_equal(again.counts.sent, 0);
    rig_deinit(&rig);
}

static void a_broker_that_is_away_ends_it(void **state)
{
    struct run run;
    struct rig rig;

    rig_init(&rig, 18);
    init(&run, &rig);
    rig.bus.away = true;
    finish(&run);
    assert_int_equal(run.err.code, FG_E_UNAVAILABLE);
    rig_deinit(&rig);
}

static void filters_are_read_and_hold(void **state)
{
    static const struct {
        const char *filter;
        bool chosen;
    } rows[] = {
        {"reason=REFUSES", true}, {"reason=nothing", false}, {"reason=", true}, {"code=refused", true},
        {"code=ref", false}, {"stage=sink", true}, {"pipeline=p", true}, {"pipeline=", false}, {"key=k", true},
        {"key=K", false}, {"origin=in", true}, {"origin=in/0", true}, {"origin=in/0/7", true}, {"origin=i", false},
        {"id=dead/2/9", true}, {"id=dead/2/8", false}, {"since=2026-03-01T08:00:00Z", true},
        {"since=2026-03-01T08:00:00.001Z", false}, {"until=2026-03-01T08:00:00Z", false}, {"since=2h", true},
        {"since=30m", false}, {"until=30m", true},
    };
    static const char *const bad[] = {"reason", "", "=x", "resaon=x", "since=yesterday", "id=5", "id=dead/x/1"};
    const struct fg_letter letter = {
        .topic = "dead", .partition = 2, .offset = 9, .timestamp_ms = INT64_C(1772352000000), .key = FG_SLICE("k"),
        .reason = FG_SLICE("it Refuses this"), .code = FG_SLICE("refused"), .stage = FG_SLICE("sink"),
        .pipeline = FG_SLICE("p"), .origin = FG_SLICE("in/0/7"),
    };
    struct fg_letter_condition c[3];
    struct fg_error err;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(fg_letter_condition_read(rows[i].filter, letter.timestamp_ms + 3600000, c, &err), 0);
        if (fg_letter_is_chosen(&letter, c, 1) != rows[i].chosen)
            fail_msg("%s", rows[i].filter);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_true(fg_letter_condition_read(bad[i], 0, c, &err) < 0);
    assert_int_equal(fg_letter_condition_read("key=other", 0, &c[0], &err), 0);
    assert_int_equal(fg_letter_condition_read("key=k", 0, &c[1], &err), 0);
    assert_int_equal(fg_letter_condition_read("code=auth", 0, &c[2], &err), 0);
    assert_true(fg_letter_is_chosen(&letter, c, 2));
    assert_false(fg_letter_is_chosen(&letter, c, 3));
    assert_true(fg_letter_is_chosen(&letter, c, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_are_read_and_hold),
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
        cmocka_unit_test(faults_cost_and_double_nothing),
        cmocka_unit_test(each_way_of_dying_is_survived),
        cmocka_unit_test(one_that_always_fails_ends_with_the_reason),
        cmocka_unit_test(kill_and_begin_again),
        cmocka_unit_test(two_at_a_time_double_nothing),
        cmocka_unit_test(stopped_in_between_it_goes_on_later),
        cmocka_unit_test(a_list_that_is_too_long_says_what_to_do),
        cmocka_unit_test(letters_that_are_gone_do_not_hold_it_up),
        cmocka_unit_test(a_record_that_kafka_never_takes_is_left),
        cmocka_unit_test(without_transactions_it_is_at_least_once),
        cmocka_unit_test(a_broker_that_is_away_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
