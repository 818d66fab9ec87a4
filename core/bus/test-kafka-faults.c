/* SPDX-License-Identifier: Apache-2.0 */
/* The bus on a real Kafka when something goes wrong: what an outcome says is what a reader sees. See test-kafka.h. */
#include "bus/rdkafka/producer-private.h"
#include "bus/test-proxy.h"

/* An input topic with records, its reader, and a producer for the output topic, the last one behind the proxy. */
struct bed {
    struct world w;
    struct proxy proxy;
    struct fg_bus *behind; /* its clients go through the proxy, those of w.bus don't */
    struct reader in;
    struct writer out;
    char from[64], to[64];
    struct fg_bus_outgoing record; /* what is being published */
    struct fg_bus_position at;
    char number[24];
};

static void open_behind(struct bed *b)
{
    struct fg_bus_rdkafka_config config = { .loop = &b->w.loop, .bootstrap_servers = getenv("FRAGUA_KAFKA_PLAIN") };
    struct fg_error err;

    proxy_start(&b->proxy);
    if (fg_bus_rdkafka_new(&config, &b->behind, &err) < 0)
        fail_msg("%s", err.text);
    proxy_redirect(b->behind);
}

/* @timeout_ms: of transactions; 0: the default */
static void begin_writer(struct bed *b, struct writer *p, struct fg_bus *bus, const char *id, uint32_t timeout_ms)
{
    const char *topic = b->to;
    const struct fg_bus_producer_config config = { .transactional_id = id, .transaction_timeout_ms = timeout_ms,
                                                   .topics = &topic, .n_topics = 1 };

    writer_begin_as(p, &b->w, bus, &config);
}

static void open_writer(struct bed *b, struct writer *p, struct fg_bus *bus, const char *id, uint32_t timeout_ms)
{
    begin_writer(b, p, bus, id, timeout_ms);
    until(&b->w, p->ready);
}

static struct bed *bed_open(const char *what, uint32_t timeout_ms)
{
    struct bed *b = fg_calloc(1, sizeof(*b));
    struct writer filler;

    begin(&b->w);
    open_behind(b);
    make_topic(&b->w, what, 1, b->from);
    make_topic(&b->w, what, 1, b->to);
    writer_open(&filler, &b->w, NULL, b->from);
    writer_write(&filler, b->from, 0, 10, 1);
    writer_close(&filler);
    reader_open(&b->in, &b->w, b->from, b->from);
    until(&b->w, b->in.n == 10);
    open_writer(b, &b->out, b->behind, b->to, timeout_ms);
    return b;
}

static void bed_close(struct bed *b)
{
    bool closed = false;

    reader_close(&b->in);
    if (b->out.producer)
        writer_close(&b->out);
    b->behind->ops->close(b->behind, note, &closed);
    until(&b->w, closed);
    proxy_end(&b->proxy);
    world_end(&b->w);
    free(b);
}

/* One record, the input's offset, which is its value too; does not wait. */
static void begin_publish(struct bed *b, struct writer *p, int64_t next)
{
    snprintf(b->number, sizeof(b->number), "%lld", (long long)next);
    b->record = (struct fg_bus_outgoing){ .topic = b->to, .key = FG_SLICE("k"), .value = fg_slice_of(b->number) };
    b->at = (struct fg_bus_position){ .topic = b->from, .offset = next };
    const struct fg_bus_publish publish = { .messages = &b->record, .n_messages = 1, .consumer = b->in.consumer,
                                            .offsets = &b->at, .n_offsets = 1 };
    writer_publish(p, &publish);
}

static void publish_next(struct bed *b, int64_t next, enum fg_bus_outcome expected)
{
    begin_publish(b, &b->out, next);
    until(&b->w, b->out.done);
    if (b->out.outcome != expected)
        fail_msg("outcome %d: %s", b->out.outcome, b->out.err.text);
}

static void expect_state(struct bed *b, int64_t committed, size_t records)
{
    assert_int_equal(ask_committed(&b->in, b->from).offset, committed);
    assert_int_equal(count_records(&b->w, b->to), records);
}

/* ---- aborts ---- */

#define ABORTS 150

/*
 * Refused by the client itself, while what was before it is just on its way. Each right behind a commit, whose marks
 * the broker may not have written yet: then it puts off the registration of partitions, and the abort overtakes it.
 */
static void abort_many_times(struct bed *b)
{
    struct fg_bus_outgoing m[ABORTS];
    struct fg_bus_position at = { .topic = b->from, .offset = 9 };

    for (size_t i = 0; i < ABORTS; i++) {
        size_t before = i % 5 == 0 ? i : i % 5;
        const struct fg_bus_publish publish = { .messages = m, .n_messages = before + 1, .consumer = b->in.consumer,
                                                .offsets = &at, .n_offsets = 1 };
        for (size_t k = 0; k < before; k++)
            m[k] = (struct fg_bus_outgoing){ .topic = b->to, .value = FG_SLICE("unseen"), .partition = 0 };
        m[before] = (struct fg_bus_outgoing){ .topic = b->to, .value = FG_SLICE("nowhere"), .partition = 99 };
        publish_next(b, 2, FG_BUS_DONE);
        writer_publish(&b->out, &publish);
        until(&b->w, b->out.done);
        if (b->out.outcome != FG_BUS_ABORTED)
            fail_msg("abort %zu: outcome %d: %s", i, b->out.outcome, b->out.err.text);
        assert_int_equal(b->out.err.code, FG_E_NOT_FOUND);
    }
}

/* An abort that overtakes the registration of its partitions would end the handle, which needs a flush before. */
static void test_aborts_soon_after_produce_leave_nothing_and_harm_nobody(void **state)
{
    struct bed *b = bed_open("aborts", 0);

    abort_many_times(b);
    expect_state(b, 2, ABORTS);
    publish_next(b, 3, FG_BUS_DONE);
    expect_state(b, 3, ABORTS + 1);
    bed_close(b);
}

/* ---- a transaction past its timeout ---- */

static void test_past_its_timeout_is_dead_and_a_new_producer_goes_on(void **state)
{
    struct bed *b = bed_open("late", 2000);

    publish_next(b, 1, FG_BUS_DONE);
    proxy_lose(&b->proxy, LOSE_REQUESTS, API_END_TXN);
    begin_publish(b, &b->out, 2);
    until(&b->w, atomic_load(&b->proxy.lost) > 0);
    /* its offsets are pending until the broker has aborted it by itself */
    assert_int_equal(ask_committed(&b->in, b->from).offset, 1);
    proxy_lose(&b->proxy, PASS, 0);
    until(&b->w, b->out.done);
    assert_int_equal(b->out.outcome, FG_BUS_DEAD);
    assert_int_equal(b->out.err.code, FG_E_FENCED);
    assert_true(b->out.err.fatal);
    assert_non_null(strstr(b->out.err.text, "longer than its 2000 ms"));
    expect_state(b, 1, 1);
    writer_close(&b->out);
    open_writer(b, &b->out, b->behind, b->to, 2000);
    publish_next(b, 2, FG_BUS_DONE);
    expect_state(b, 2, 2);
    bed_close(b);
}

/* Who waits for them in vain is told why, since brokers have been seen to forget such an end for ever. */
static void test_offsets_that_a_transaction_holds_are_said_to_be_held(void **state)
{
    struct bed *b = bed_open("held", 60000);
    struct fg_bus_position at = { .topic = b->from };
    struct answer a = { 0 };

    publish_next(b, 1, FG_BUS_DONE);
    proxy_lose(&b->proxy, LOSE_REQUESTS, API_END_TXN);
    begin_publish(b, &b->out, 2);
    until(&b->w, atomic_load(&b->proxy.lost) > 0);
    b->w.bus->ops->consumer_committed(b->in.consumer, &at, 1, on_positions, &a);
    until_ms(&b->w, 30000, a.come);
    assert_int_equal(a.err.code, FG_E_FENCED);
    assert_non_null(strstr(a.err.text, "has not ended"));
    writer_close(&b->out);
    proxy_lose(&b->proxy, PASS, 0);
    open_writer(b, &b->out, b->w.bus, b->to, 0); /* ends it */
    expect_state(b, 1, 1);
    bed_close(b);
}

/* ---- dead: did it count? ---- */

/* The commit reaches the broker or not, its answer never comes; the producer is closed, or another one takes over. */
static void die(const char *what, enum proxy_rule rule, bool close)
{
    struct bed *b = bed_open(what, 4000);
    bool counted = rule == LOSE_ANSWERS;
    struct writer next;

    publish_next(b, 1, FG_BUS_DONE);
    proxy_lose(&b->proxy, rule, API_END_TXN);
    begin_publish(b, &b->out, 2);
    until(&b->w, atomic_load(&b->proxy.lost) > 0);
    assert_false(b->out.done);
    if (close) {
        writer_close(&b->out);
        assert_true(b->out.done);
        assert_int_equal(b->out.outcome, FG_BUS_DEAD);
    }
    /* The next one is ready when it is decided. */
    open_writer(b, &next, b->w.bus, b->to, 4000);
    expect_state(b, counted ? 2 : 1, counted ? 2 : 1);
    proxy_lose(&b->proxy, PASS, 0);
    if (!close) {
        until(&b->w, b->out.done);
        assert_int_equal(b->out.outcome, FG_BUS_DEAD);
        assert_int_equal(b->out.err.code, FG_E_FENCED);
        assert_non_null(strstr(b->out.err.text, "another producer has the transactional id"));
        writer_close(&b->out);
    }
    b->out = next;
    publish_next(b, 3, FG_BUS_DONE);
    expect_state(b, 3, counted ? 3 : 2);
    bed_close(b);
}

static void test_closed_while_the_answer_to_a_commit_is_lost(void **state)
{
    die("counted", LOSE_ANSWERS, true);
}

static void test_closed_while_the_commit_itself_is_lost(void **state)
{
    die("uncounted", LOSE_REQUESTS, true);
}

static void test_fenced_while_the_answer_to_a_commit_is_lost(void **state)
{
    die("counted", LOSE_ANSWERS, false);
}

static void test_fenced_while_the_commit_itself_is_lost(void **state)
{
    die("uncounted", LOSE_REQUESTS, false);
}

/* ---- memory that is lent ---- */

enum { LENT = 12, LENT_BYTES = 900000 };

/* LENT records of one large value, and perhaps one that librdkafka refuses at once. */
static struct fg_bus_publish lend(struct bed *b, struct fg_bus_outgoing m[LENT + 1], char **ret_text, bool refused)
{
    char *text = malloc(LENT_BYTES);

    assert_non_null(text);
    memset(text, 'v', LENT_BYTES);
    for (size_t i = 0; i < LENT; i++)
        m[i] = (struct fg_bus_outgoing){ .topic = b->to, .value = { text, LENT_BYTES }, .partition = 0 };
    m[LENT] = (struct fg_bus_outgoing){ .topic = b->to, .value = FG_SLICE("nowhere"), .partition = 99 };
    *ret_text = text;
    return (struct fg_bus_publish){ .messages = m, .n_messages = LENT + refused };
}

/* The values of a publish are its owner's again when it is done, however it ended: nothing sends them any more. */
static void end_of_lending(char *text)
{
    memset(text, '#', LENT_BYTES);
    free(text);
}

static void test_closed_while_large_values_are_on_their_way(void **state)
{
    struct bed *b = bed_open("lent", 0);
    struct fg_bus_outgoing m[LENT + 1];
    struct fg_bus_publish publish;
    bool closed = false;
    char *text;

    publish = lend(b, m, &text, false);
    proxy_lose(&b->proxy, LOSE_REQUESTS, API_PRODUCE);
    writer_publish(&b->out, &publish);
    until(&b->w, atomic_load(&b->proxy.lost) > 0);
    b->behind->ops->producer_close(b->out.producer, note, &closed);
    until(&b->w, b->out.done);
    assert_int_equal(b->out.outcome, FG_BUS_DEAD);
    end_of_lending(text);
    proxy_lose(&b->proxy, PASS, 0);
    until(&b->w, closed);
    b->out.producer = NULL;
    assert_int_equal(count_records(&b->w, b->to), 0);
    bed_close(b);
}

static void test_a_publish_that_fails_waits_for_the_large_values_before(void **state)
{
    struct bed *b = bed_open("lent", 0);
    struct fg_bus_position at = { .topic = b->to, .offset = FG_BUS_BEGINNING };
    struct fg_bus_outgoing m[LENT + 1];
    struct fg_bus_publish publish;
    struct reader r = { 0 };
    struct writer p;
    char *text;

    publish = lend(b, m, &text, true);
    writer_open(&p, &b->w, NULL, b->to);
    writer_publish(&p, &publish);
    until(&b->w, p.done);
    assert_int_equal(p.outcome, FG_BUS_ABORTED);
    end_of_lending(text);
    writer_close(&p);
    reader_open(&r, &b->w, NULL, b->to);
    b->w.bus->ops->consumer_assign(r.consumer, &at, 1);
    until(&b->w, r.n == LENT);
    for (size_t i = 0; i < r.n; i++)
        assert_null(memchr(r.messages[i]->value.ptr, '#', r.messages[i]->value.len));
    reader_close(&r);
    bed_close(b);
}

/* ---- nothing comes through ---- */

/* One after the other while the network swallows everything now and then: what each says is what is there. */
static void test_a_network_that_swallows_everything(void **state)
{
    struct bed *b = bed_open("hole", 3000);
    enum fg_bus_outcome outcome;
    int64_t next = 1, committed;
    size_t expected = 0;

    for (int i = 0; i < 4; i++) {
        begin_publish(b, &b->out, next);
        if (i % 2 == 1) {
            proxy_lose(&b->proxy, LOSE_ALL, 0);
            for_ms(&b->w, i == 1 ? 1000 : 5000);
            proxy_lose(&b->proxy, PASS, 0);
        }
        until_ms(&b->w, 60000, b->out.done);
        outcome = b->out.outcome;
        if (outcome == FG_BUS_DEAD) {
            writer_close(&b->out);
            open_writer(b, &b->out, b->behind, b->to, 3000);
        }
        committed = ask_committed(&b->in, b->from).offset;
        if (outcome == FG_BUS_DONE)
            assert_int_equal(committed, next);
        if (outcome == FG_BUS_ABORTED)
            assert_int_not_equal(committed, next);
        expected += committed == next;
        next += committed == next;
        assert_int_equal(count_records(&b->w, b->to), expected);
    }
    bed_close(b);
}

/* ---- without transactions ---- */

static void test_a_dead_idempotent_producer_says_so_and_a_new_one_goes_on(void **state)
{
    struct bed *b = bed_open("idempotent", 0);
    struct writer p;

    open_writer(b, &p, b->w.bus, NULL, 0);
    begin_publish(b, &p, 1);
    until(&b->w, p.done);
    assert_int_equal(p.outcome, FG_BUS_DONE);
    assert_int_equal(rd_kafka_test_fatal_error(p.producer->rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "test"),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    until(&b->w, p.trouble.fatal);
    begin_publish(b, &p, 2);
    until(&b->w, p.done);
    assert_int_equal(p.outcome, FG_BUS_DEAD);
    assert_true(p.err.fatal);
    expect_state(b, 1, 1);
    writer_close(&p);
    open_writer(b, &p, b->w.bus, NULL, 0);
    begin_publish(b, &p, 2);
    until(&b->w, p.done);
    assert_int_equal(p.outcome, FG_BUS_DONE);
    expect_state(b, 2, 2);
    writer_close(&p);
    bed_close(b);
}

/* ---- what is not known yet ---- */

static void test_a_topic_just_made_takes_records_at_once(void **state)
{
    struct bed *b = bed_open("new", 0);
    char topic[64];

    for (int i = 0; i < 5; i++) {
        make_topic(&b->w, "just-made", 3, topic);
        publish_one(&b->out, topic, NULL, NULL, NULL, FG_BUS_DONE); /* by one that did not know of it */
    }
    bed_close(b);
}

/* The first record would be up to a second late: whoever is ready knows its topics. */
static void test_a_ready_producer_asks_nothing_before_its_first_record(void **state)
{
    struct bed *b = bed_open("warm", 0);
    unsigned questions = atomic_load(&b->proxy.seen[API_METADATA]);

    assert_true(questions > 0);
    publish_one(&b->out, b->to, NULL, NULL, NULL, FG_BUS_DONE);
    assert_int_equal(atomic_load(&b->proxy.seen[API_METADATA]), questions);
    bed_close(b);
}

/* ---- the broker is killed and comes back ---- */

struct outage {
    pthread_t thread;
    atomic_bool over;
};

static void run_script(const char *command)
{
    char line[1024];

    snprintf(line, sizeof(line), "'%s' %s '%s' 0 </dev/null >/dev/null 2>&1", getenv("FRAGUA_KAFKA_SCRIPT"), command,
             getenv("FRAGUA_KAFKA_DIR"));
    if (system(line) != 0)
        print_message("%s failed\n", line);
}

static void *outage_main(void *arg)
{
    struct outage *o = arg;

    run_script("kill");
    run_script("up");
    atomic_store(&o->over, true);
    return NULL;
}

/* A broker that is killed may forget a commit that it had decided on: its offsets are held for ever then. */
static void end_what_was_forgotten(struct bed *b)
{
    const char *topic = b->to;
    const struct fg_bus_producer_config config = {
        .transactional_id = b->to, .transaction_timeout_ms = 5000, .topics = &topic, .n_topics = 1,
        .after_abort = true, .group = b->from, .group_topic = b->from };

    print_message("offsets are held\n");
    writer_close(&b->out);
    writer_begin_as(&b->out, &b->w, b->behind, &config);
    until_ms(&b->w, 120000, b->out.ready);
}

/* Asks until there is an answer: a coordinator that has just come back has none at first. */
static int64_t committed_at_last(struct bed *b)
{
    struct fg_bus_position at = { .topic = b->from };

    for (;;) {
        struct answer a = { 0 };
        b->w.bus->ops->consumer_committed(b->in.consumer, &at, 1, on_positions, &a);
        until_ms(&b->w, 120000, a.come);
        if (!a.err.code)
            return a.offset;
        if (a.err.code == FG_E_FENCED)
            end_what_was_forgotten(b);
    }
}

/* Publishes what is next, until it counts or not; returns what is next now. */
static int64_t work(struct bed *b, int64_t next, unsigned outcomes[3])
{
    begin_publish(b, &b->out, next);
    until_ms(&b->w, 120000, b->out.done);
    outcomes[b->out.outcome]++;
    if (b->out.outcome == FG_BUS_DONE)
        return next + 1;
    if (b->out.outcome == FG_BUS_DEAD) {
        writer_close(&b->out);
        begin_writer(b, &b->out, b->behind, b->to, 5000);
        until_ms(&b->w, 120000, b->out.ready);
    } else {
        for_ms(&b->w, 100);
    }
    return committed_at_last(b) == next ? next + 1 : next;
}

/* Each number once, in order. */
static void expect_numbers(struct bed *b, int64_t n)
{
    struct fg_bus_position at = { .topic = b->to, .offset = FG_BUS_BEGINNING };
    struct reader r = { 0 };
    char text[24];

    assert_int_equal(count_records(&b->w, b->to), n);
    reader_open(&r, &b->w, NULL, b->to);
    b->w.bus->ops->consumer_assign(r.consumer, &at, 1);
    until(&b->w, r.n > (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        snprintf(text, sizeof(text), "%lld", (long long)i + 1);
        if (!fg_slice_is(r.messages[i]->value, text))
            fail_msg("record %lld is %.*s", (long long)i, (int)r.messages[i]->value.len, r.messages[i]->value.ptr);
    }
    reader_close(&r);
}

static void test_an_outage_of_the_broker_while_publishing(void **state)
{
    struct bed *b = bed_open("outage", 5000);
    struct outage o = { 0 };
    unsigned outcomes[3] = { 0 };
    int64_t next = 1, goal = INT64_MAX;

    /* else a new assignment would ask for offsets, and wait for those that are held, and all behind it */
    b->in.start = FG_BUS_BEGINNING;
    while (next < 20)
        next = work(b, next, outcomes);
    assert_int_equal(pthread_create(&o.thread, NULL, outage_main, &o), 0);
    while (next < goal) {
        next = work(b, next, outcomes);
        if (goal == INT64_MAX && atomic_load(&o.over))
            goal = next + 20;
    }
    pthread_join(o.thread, NULL);
    print_message("%u done, %u aborted, %u dead\n", outcomes[FG_BUS_DONE], outcomes[FG_BUS_ABORTED],
                  outcomes[FG_BUS_DEAD]);
    assert_int_equal(committed_at_last(b), next - 1);
    expect_numbers(b, next - 1);
    bed_close(b);
}

int main(void)
{
    /* For a broker of its own alone, which it kills. */
    const struct CMUnitTest outage[] = { cmocka_unit_test(test_an_outage_of_the_broker_while_publishing) };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aborts_soon_after_produce_leave_nothing_and_harm_nobody),
        cmocka_unit_test(test_past_its_timeout_is_dead_and_a_new_producer_goes_on),
        cmocka_unit_test(test_offsets_that_a_transaction_holds_are_said_to_be_held),
        cmocka_unit_test(test_closed_while_the_answer_to_a_commit_is_lost),
        cmocka_unit_test(test_closed_while_the_commit_itself_is_lost),
        cmocka_unit_test(test_fenced_while_the_answer_to_a_commit_is_lost),
        cmocka_unit_test(test_fenced_while_the_commit_itself_is_lost),
        cmocka_unit_test(test_closed_while_large_values_are_on_their_way),
        cmocka_unit_test(test_a_publish_that_fails_waits_for_the_large_values_before),
        cmocka_unit_test(test_a_network_that_swallows_everything),
        cmocka_unit_test(test_a_dead_idempotent_producer_says_so_and_a_new_one_goes_on),
        cmocka_unit_test(test_a_topic_just_made_takes_records_at_once),
        cmocka_unit_test(test_a_ready_producer_asks_nothing_before_its_first_record),
    };

    if (getenv("FRAGUA_KAFKA_SCRIPT"))
        return run_on_kafka("bus kafka outage", outage);
    return run_on_kafka("bus kafka faults", tests);
}
