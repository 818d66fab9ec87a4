/* SPDX-License-Identifier: Apache-2.0 */
/* The model of Kafka keeps the rules that brokers keep: what the flow's tests rest on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "model-bus.h"

#define CLIENTS 3

struct bed;

/* One process with a consumer in group "g" and a producer. */
struct peer {
    struct bed *bed;
    struct sim_process process;
    struct model_client client;
    struct fg_bus_consumer *consumer;
    struct fg_bus_producer *producer;
    char name[8];
    struct fg_bus_position given[16];
    size_t n_given, n_read;
    unsigned n_assigned, n_revoked, n_lost, n_closed, n_published;
    bool ready;
    enum fg_bus_outcome outcome;
    struct fg_error err, trouble;
    int64_t committed;
    size_t culprit;
    char metadata[32];
    bool answered, keeps; /* keeps: does not give up what is taken from it */
};

struct bed {
    struct sim sim;
    struct model_bus bus;
    struct peer peers[CLIENTS];
};

/* Reads from where the group is. */
static void begin(void *arg, const struct fg_bus_position *positions, size_t n, const struct fg_error *err)
{
    struct peer *peer = arg;

    if (err || n != peer->n_given)
        return; /* closed, or assigned anew meanwhile */
    for (size_t i = 0; i < n; i++)
        peer->given[i].offset = positions[i].offset >= 0 ? positions[i].offset : FG_BUS_BEGINNING;
    peer->client.bus.ops->consumer_assign(peer->consumer, peer->given, n);
}

static void assigned(void *arg, const struct fg_bus_position *partitions, size_t n)
{
    struct peer *peer = arg;

    assert_true(n <= 16);
    memcpy(peer->given, partitions, n * sizeof(*partitions));
    peer->n_given = n;
    peer->n_assigned++;
    peer->client.bus.ops->consumer_committed(peer->consumer, peer->given, n, begin, peer);
}

static void revoked(void *arg, const struct fg_bus_position *partitions, size_t n, bool lost)
{
    struct peer *peer = arg;

    peer->n_revoked++;
    peer->n_lost += lost;
    if (!peer->keeps)
        peer->client.bus.ops->consumer_unassign(peer->consumer);
}

static void message(void *arg, struct fg_bus_message *m)
{
    ((struct peer *)arg)->n_read++;
    fg_bus_message_free(m);
}

static void trouble(void *arg, const struct fg_error *err)
{
    if (err)
        ((struct peer *)arg)->trouble = *err;
}

static void ready(void *arg)
{
    ((struct peer *)arg)->ready = true;
}

static void published(void *arg, enum fg_bus_outcome outcome, const struct fg_error *err)
{
    struct peer *peer = arg;
    peer->n_published++;
    peer->outcome = outcome;
    peer->err = err ? *err : FG_ERROR_NULL;
}

static void closed(void *arg)
{
    ((struct peer *)arg)->n_closed++;
}

static void answered(void *arg, const struct fg_bus_position *positions, size_t n, const struct fg_error *err)
{
    struct peer *peer = arg;

    peer->answered = true;
    if (n == 0)
        return;
    peer->committed = positions[0].offset;
    (void)snprintf(peer->metadata, sizeof(peer->metadata), "%s", positions[0].metadata ? positions[0].metadata : "");
}

static void bed_init(struct bed *bed)
{
    *bed = (struct bed){0};
    sim_init(&bed->sim, 1, 1);
    model_init(&bed->bus, &bed->sim, true);
    model_topic(&bed->bus, "in", 4);
    model_topic(&bed->bus, "out", 1)->message_bytes_max = 100;
    for (int i = 0; i < 20; i++)
        model_write(&bed->bus, "in", i % 4, FG_SLICE_NULL, fg_slice_of("x"), NULL, 0);
}

static struct peer *join(struct bed *bed, unsigned k, const char *id)
{
    static const struct fg_bus_consumer_events events = {assigned, revoked, message, NULL, trouble};
    static const struct fg_bus_producer_events producer_events = {ready, trouble};
    static const char *const topics[] = {"in"};
    const struct fg_bus_consumer_config config = {.group = "g", .topics = topics, .n_topics = 1};
    const struct fg_bus_producer_config producer = {.transactional_id = id};
    struct peer *peer = &bed->peers[k];
    struct fg_error err;

    *peer = (struct peer){.bed = bed, .committed = -1};
    (void)snprintf(peer->name, sizeof(peer->name), "p%u", k);
    sim_process_init(&bed->sim, &peer->process, peer->name, 1);
    model_client_init(&bed->bus, &peer->client, &peer->process);
    assert_int_equal(fg_bus_consumer_open(&peer->client.bus, &config, &events, peer, &peer->consumer, &err), 0);
    assert_int_equal(fg_bus_producer_open(&peer->client.bus, &producer, &producer_events, peer, &peer->producer, &err),
                     0);
    return peer;
}

static void leave(struct bed *bed, struct peer *peer)
{
    peer->client.bus.ops->consumer_close(peer->consumer, closed, peer);
    peer->client.bus.ops->producer_close(peer->producer, closed, peer);
    sim_run_for(&bed->sim, 20000);
    assert_int_equal(peer->n_closed, 2);
    sim_process_deinit(&peer->process);
}

static void bed_deinit(struct bed *bed)
{
    model_deinit(&bed->bus);
    sim_deinit(&bed->sim);
}

/* One record to "out", and an offset of the first partition that is the peer's. */
static void publish(struct peer *peer, const struct fg_bus_outgoing *m, const char *metadata)
{
    static struct fg_bus_position at; /* borrowed until it is done */
    static struct fg_bus_publish unit;

    at = (struct fg_bus_position){
        .topic = "in", .partition = peer->given[0].partition, .offset = 3, .metadata = metadata};
    peer->culprit = SIZE_MAX;
    unit = (struct fg_bus_publish){.messages = m,
                                   .n_messages = 1,
                                   .consumer = peer->consumer,
                                   .offsets = &at,
                                   .n_offsets = 1,
                                   .culprit = &peer->culprit};
    peer->client.bus.ops->producer_publish(peer->producer, &unit, published, peer);
}

static const struct fg_bus_outgoing small = {.topic = "out", .value = FG_SLICE("small"), .partition = -1};

static void members_share_the_partitions_and_generations_pass(void **state)
{
    struct bed bed;
    struct peer *a, *b;

    bed_init(&bed);
    a = join(&bed, 0, "a");
    sim_run_for(&bed.sim, 1000);
    assert_int_equal(a->n_given, 4);
    assert_int_equal(a->n_read, 20);
    b = join(&bed, 1, "b");
    sim_run_for(&bed.sim, 8000);
    assert_int_equal(a->n_revoked, 1);
    assert_int_equal(a->n_given, 2);
    assert_int_equal(b->n_given, 2);
    assert_int_not_equal(a->given[0].partition, b->given[0].partition);
    leave(&bed, b);
    assert_int_equal(a->n_given, 4);
    leave(&bed, a);
    bed_deinit(&bed);
}

static void who_is_silent_is_out_after_the_session_and_learns_it(void **state)
{
    struct bed bed;
    struct peer *a, *b;

    bed_init(&bed);
    a = join(&bed, 0, "a");
    b = join(&bed, 1, "b");
    sim_run_for(&bed.sim, 5000);
    assert_int_equal(model_members(&bed.bus, "g"), 2);
    sim_freeze(&a->process);
    sim_run_for(&bed.sim, 18000);
    assert_int_equal(model_members(&bed.bus, "g"), 1);
    assert_int_equal(b->n_given, 4);
    sim_thaw(&a->process);
    publish(a, &small, NULL); /* before it knows */
    sim_run_for(&bed.sim, 8000);
    assert_int_equal(a->n_published, 1);
    assert_int_equal(a->outcome, FG_BUS_ABORTED);
    assert_int_equal(a->err.code, FG_E_FENCED);
    assert_true(a->n_lost >= 1);
    assert_int_equal(a->n_given, 2);
    assert_int_equal(model_count(model_topic(&bed.bus, "out", 1)), 0);
    leave(&bed, a);
    leave(&bed, b);
    bed_deinit(&bed);
}

static void who_does_not_give_up_in_time_is_thrown_out(void **state)
{
    struct bed bed;
    struct peer *a, *b;

    bed_init(&bed);
    bed.bus.rebalance_ms = 5000;
    a = join(&bed, 0, "a");
    sim_run_for(&bed.sim, 1000);
    a->keeps = true;
    b = join(&bed, 1, "b");
    sim_run_for(&bed.sim, 4000);
    assert_int_equal(b->n_assigned, 0); /* the group waits */
    sim_run_for(&bed.sim, 4000);
    assert_int_equal(b->n_given, 4);
    publish(a, &small, NULL);
    sim_run_for(&bed.sim, 100);
    assert_int_equal(a->outcome, FG_BUS_ABORTED);
    leave(&bed, a);
    leave(&bed, b);
    bed_deinit(&bed);
}

static void a_successor_fences_and_ends_the_transaction_of_the_one_before(void **state)
{
    struct bed bed;
    struct peer *a, *b;

    bed_init(&bed);
    a = join(&bed, 0, "same");
    sim_run_for(&bed.sim, 1000);
    model_fault(&bed.bus, MODEL_FAULT_DEAD); /* its transaction stays open */
    publish(a, &small, NULL);
    sim_run_for(&bed.sim, 100);
    assert_int_equal(a->outcome, FG_BUS_DEAD);
    b = join(&bed, 1, "same");
    sim_run_for(&bed.sim, 100);
    assert_true(b->ready);
    assert_int_equal(model_count(model_topic(&bed.bus, "out", 1)), 0);
    leave(&bed, a);
    leave(&bed, b);
    bed_deinit(&bed);
}

static void a_commit_of_unknown_outcome_is_known_once_offsets_are_asked_for(void **state)
{
    struct bed bed;
    struct peer *a;

    bed_init(&bed);
    bed.bus.marker_ms_max = 2000;
    a = join(&bed, 0, "a");
    sim_run_for(&bed.sim, 1000);
    model_fault(&bed.bus, MODEL_FAULT_COMMITTED);
    publish(a, &small, "beside");
    sim_run_for(&bed.sim, 20);
    assert_int_equal(a->outcome, FG_BUS_DEAD);
    a->client.bus.ops->consumer_committed(a->consumer, a->given, 1, answered, a);
    sim_run_for(&bed.sim, 5000);
    assert_true(a->answered);
    assert_int_equal(a->committed, 3);
    assert_string_equal(a->metadata, "beside");
    assert_int_equal(model_count(model_topic(&bed.bus, "out", 1)), 1);
    leave(&bed, a);
    bed_deinit(&bed);
}

static void a_message_too_large_is_named(void **state)
{
    static char bytes[200];
    const struct fg_bus_outgoing large = {.topic = "out", .value = {bytes, sizeof(bytes)}, .partition = -1};
    struct bed bed;
    struct peer *a;

    bed_init(&bed);
    a = join(&bed, 0, "a");
    sim_run_for(&bed.sim, 1000);
    publish(a, &large, NULL);
    sim_run_for(&bed.sim, 100);
    assert_int_equal(a->outcome, FG_BUS_ABORTED);
    assert_int_equal(a->err.code, FG_E_LIMIT);
    assert_int_equal(a->culprit, 0);
    leave(&bed, a);
    bed_deinit(&bed);
}

static void records_removed_before_they_were_read_are_trouble(void **state)
{
    struct bed bed;
    struct peer *a;

    bed_init(&bed);
    a = join(&bed, 0, "a");
    sim_run_for(&bed.sim, 1000);
    model_retain(model_topic(&bed.bus, "in", 4), 1, 3);
    a->client.bus.ops->consumer_rewind(a->consumer, &(struct fg_bus_position){.topic = "in", .partition = 1}, 1);
    sim_run_for(&bed.sim, 100);
    assert_int_equal(a->trouble.code, FG_E_EXPIRED);
    assert_int_equal(a->n_read, 20);
    leave(&bed, a);
    bed_deinit(&bed);
}

static void who_was_killed_is_missed_after_the_session_only(void **state)
{
    struct bed bed;
    struct peer *a;

    bed_init(&bed);
    a = join(&bed, 0, "a");
    sim_run_for(&bed.sim, 1000);
    publish(a, &small, NULL);
    model_client_cut(&a->client);
    sim_run_for(&bed.sim, 5000);
    assert_int_equal(model_members(&bed.bus, "g"), 1);
    leave(&bed, a);
    assert_int_equal(a->outcome, FG_BUS_DEAD);
    assert_int_equal(model_members(&bed.bus, "g"), 0);
    bed_deinit(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_share_the_partitions_and_generations_pass),
        cmocka_unit_test(who_is_silent_is_out_after_the_session_and_learns_it),
        cmocka_unit_test(who_does_not_give_up_in_time_is_thrown_out),
        cmocka_unit_test(a_successor_fences_and_ends_the_transaction_of_the_one_before),
        cmocka_unit_test(a_commit_of_unknown_outcome_is_known_once_offsets_are_asked_for),
        cmocka_unit_test(a_message_too_large_is_named),
        cmocka_unit_test(records_removed_before_they_were_read_are_trouble),
        cmocka_unit_test(who_was_killed_is_missed_after_the_session_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
