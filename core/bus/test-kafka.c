/* SPDX-License-Identifier: Apache-2.0 */
/* The bus on a real Kafka: what it is for. See test-kafka.h. */
#include "bus/test-kafka.h"

#define OFFSETS_PARTITIONS 4 /* of __consumer_offsets, as test/kafka has it */

static void test_offsets_in_transactions(void **state)
{
    struct reader r = { 0 }, out = { 0 };
    char from[64], to[64];
    struct writer p;
    struct world w;

    begin(&w);
    make_topic(&w, "from", 1, from);
    make_topic(&w, "to", 1, to);
    writer_open(&p, &w, from, from);
    writer_write(&p, from, 0, 10, 3);
    reader_open(&r, &w, from, from);
    until(&w, r.n == 10);
    struct fg_bus_position at = { .topic = from, .offset = 4 };
    publish_one(&p, to, r.consumer, &at, NULL, FG_BUS_DONE);
    reader_close(&r);
    r = (struct reader){ 0 };
    reader_open(&r, &w, from, from);
    until(&w, r.n == 6);
    assert_int_equal(r.messages[0]->offset, 4);
    reader_open(&out, &w, "out", to);
    until(&w, out.n == 1 && out.ends > 0);
    reader_close(&out);
    reader_close(&r);
    writer_close(&p);
    world_end(&w);
}

/* What a reader of cursors begins behind: one past each partition's last, whatever else was written with them. */
static void test_cursors_are_accounted_for_with_their_records(void **state)
{
    struct reader r = { 0 };
    struct writer p;
    struct world w;
    char topic[64];

    begin(&w);
    make_topic(&w, "accounted", 1, topic);
    writer_open(&p, &w, topic, topic);
    reader_open(&r, &w, topic, topic);
    until(&w, r.assignments == 1);
    assert_int_equal(ask_committed(&r, topic).offset, FG_BUS_UNKNOWN);
    publish_one(&p, topic, r.consumer, NULL, topic, FG_BUS_DONE);
    assert_int_equal(ask_committed(&r, topic).offset, 1);
    for (int i = 0; i < 20; i++)
        publish_one(&p, topic, r.consumer, NULL, topic, FG_BUS_DONE);
    assert_int_equal(ask_committed(&r, topic).offset, 41); /* each transaction ends with a mark of its own */
    reader_close(&r);
    writer_close(&p);
    world_end(&w);
}

static void test_zombie_producer_is_dead(void **state)
{
    struct writer old, new;
    struct world w;
    char topic[64];

    begin(&w);
    make_topic(&w, "zombie", 1, topic);
    writer_open(&old, &w, topic, topic);
    publish_one(&old, topic, NULL, NULL, NULL, FG_BUS_DONE);
    writer_open(&new, &w, topic, topic);
    publish_one(&old, topic, NULL, NULL, NULL, FG_BUS_DEAD);
    assert_int_equal(old.err.code, FG_E_FENCED);
    publish_one(&new, topic, NULL, NULL, NULL, FG_BUS_DONE);
    assert_int_equal(count_records(&w, topic), 2); /* the zombie's record stays unseen */
    writer_close(&old);
    writer_close(&new);
    world_end(&w);
}

/* @isolation: read_committed: ends are stable ones; read_uncommitted: they are what is there. */
static rd_kafka_t *asker_of_ends(const char *isolation)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *rk;

    rd_kafka_conf_set(conf, "bootstrap.servers", getenv("FRAGUA_KAFKA_PLAIN"), NULL, 0);
    rd_kafka_conf_set(conf, "isolation.level", isolation, NULL, 0);
    rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, NULL, 0);
    assert_non_null(rk);
    return rk;
}

/* The last stable offset; asked for until it is so far, because markers come after the answer to their commit. */
static int64_t await_stable(const char *topic, int32_t partition, int64_t wanted)
{
    rd_kafka_t *rk = asker_of_ends("read_committed");
    int64_t low = 0, high = 0;

    for (int tries = 0; high < wanted && tries < PATIENCE_MS / 10; tries++) {
        assert_int_equal(rd_kafka_query_watermark_offsets(rk, topic, partition, &low, &high, 10000), 0);
        if (high < wanted)
            (void)usleep(10 * 1000); /* it can only be asked */
    }
    rd_kafka_destroy(rk);
    return high;
}

/* Should the brokers have forgotten an abort, this one's is the next marker in every partition. */
static void test_after_an_abort_every_partition_gets_another(void **state)
{
    const char *name;
    struct fg_bus_producer_config config = { .topics = &name, .n_topics = 1, .after_abort = true };
    struct writer p;
    struct world w;
    char topic[64];

    begin(&w);
    make_topic(&w, "after-abort", 3, topic);
    set_topic(topic, "cleanup.policy", "compact"); /* wants keys */
    name = config.transactional_id = topic;
    writer_begin_as(&p, &w, w.bus, &config);
    until(&w, p.ready);
    for (int32_t partition = 0; partition < 3; partition++)
        assert_int_equal(await_stable(topic, partition, 2), 2); /* a record of no meaning, and the marker */
    assert_int_equal(count_records(&w, topic), 0); /* in the first */
    publish_one(&p, topic, NULL, NULL, NULL, FG_BUS_DONE);
    writer_close(&p);
    world_end(&w);
}

/* Where the offsets of a group are kept: Java's String.hashCode(), as the broker takes it. */
static int32_t offsets_partition(const char *group, int32_t partitions)
{
    uint32_t hash = 0;

    for (; *group; group++)
        hash = hash * 31 + (unsigned char)*group;
    if (hash > INT32_MAX) /* Math.abs() */
        hash = hash == 0x80000000u ? 0 : 0u - hash;
    return (int32_t)hash % partitions;
}

/*
 * A group whose partition holds nobody's open transaction: others use the brokers too, and what they leave behind keeps
 * the stable end where it is.
 */
static int32_t choose_group(const char *topic, char ret[96])
{
    rd_kafka_t *stable = asker_of_ends("read_committed"), *all = asker_of_ends("read_uncommitted");
    int32_t partition = -1;

    for (unsigned k = 0; partition < 0 && k < 1000; k++) {
        int64_t low, ends[2] = { 0, 1 };
        int32_t at;
        (void)snprintf(ret, 96, "%s-%u", topic, k);
        at = offsets_partition(ret, OFFSETS_PARTITIONS);
        assert_int_equal(rd_kafka_query_watermark_offsets(all, "__consumer_offsets", at, &low, &ends[0], 10000), 0);
        assert_int_equal(rd_kafka_query_watermark_offsets(stable, "__consumer_offsets", at, &low, &ends[1], 10000), 0);
        if (ends[0] == ends[1])
            partition = at;
    }
    rd_kafka_destroy(stable);
    rd_kafka_destroy(all);
    assert_true(partition >= 0);
    return partition;
}

/* Should it be offsets whose end they have forgotten, nobody is told any until there is another end. */
static void test_after_an_abort_the_offsets_get_another(void **state)
{
    const char *name;
    struct fg_bus_producer_config config = { .topics = &name, .n_topics = 1, .after_abort = true };
    struct fg_bus_position at = { .offset = 77 };
    struct reader r = { 0 };
    int64_t before, own;
    int32_t partition;
    struct writer p;
    struct world w;
    char topic[64], group[96];

    begin(&w);
    make_topic(&w, "after-abort", 1, topic);
    partition = choose_group(topic, group);
    writer_open(&p, &w, topic, topic);
    reader_open(&r, &w, group, topic);
    until(&w, r.assignments == 1);
    at.topic = topic;
    publish_one(&p, topic, r.consumer, &at, NULL, FG_BUS_DONE);
    assert_int_equal(ask_committed(&r, topic).offset, 77); /* so it is shown */
    writer_close(&p);
    before = await_stable("__consumer_offsets", partition, 1);
    name = config.transactional_id = config.group_topic = topic;
    config.group = group;
    writer_begin_as(&p, &w, w.bus, &config);
    until(&w, p.ready);
    own = await_stable("__consumer_offsets", partition, before + 2); /* an offset of no meaning, and the marker */
    assert_true(own >= before + 2);
    assert_int_equal(ask_committed(&r, topic).offset, 77);
    publish_one(&p, topic, r.consumer, &at, NULL, FG_BUS_DONE);
    reader_close(&r);
    writer_close(&p);
    world_end(&w);
}

/* ---- certificates that change ---- */

static void append_file(const char *folder, const char *from, const char *to, const char *mode)
{
    char path[300], bytes[16384];
    FILE *in, *out;
    size_t n;

    snprintf(path, sizeof(path), "%s/%s", folder, from);
    in = fopen(path, "r");
    out = fopen(to, mode);
    assert_non_null(in);
    assert_non_null(out);
    n = fread(bytes, 1, sizeof(bytes), in);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    fclose(in);
    fclose(out);
}

/* A bus with the certificate of `who` and that of its authority: a chain. The files are needed until it is made. */
static struct fg_bus *bus_of(struct world *w, const char *who, char paths[2][300])
{
    const char *folder = getenv("FRAGUA_KAFKA_TLS");
    char name[64], ca[300];
    const struct fg_tls tls = { .ca = ca, .certificate = paths[0], .key = paths[1] };
    const struct fg_bus_rdkafka_config config = { .loop = &w->loop, .tls = &tls,
                                                  .bootstrap_servers = getenv("FRAGUA_KAFKA_SSL") };
    struct fg_bus *bus = NULL;
    struct fg_error err;

    snprintf(ca, sizeof(ca), "%s/ca/ca.crt", folder);
    snprintf(name, sizeof(name), "%s/user.crt", who);
    append_file(folder, name, paths[0], "w");
    append_file(folder, "ca/ca.crt", paths[0], "a");
    snprintf(name, sizeof(name), "%s/user.key", who);
    append_file(folder, name, paths[1], "w");
    if (fg_bus_rdkafka_new(&config, &bus, &err) < 0)
        fail_msg("%s", err.text);
    return bus;
}

static void publish_by(struct world *w, struct fg_bus *bus, const char *topic, const char *id)
{
    struct writer p;

    w->bus = bus;
    writer_open(&p, w, id, topic);
    publish_one(&p, topic, NULL, NULL, NULL, FG_BUS_DONE);
    writer_close(&p);
}

static void test_two_buses_of_files_that_changed_live_side_by_side(void **state)
{
    struct fg_bus *plain, *old, *new;
    char topic[64], paths[2][300];
    struct world w;

    begin(&w);
    plain = w.bus;
    make_topic(&w, "rotated", 1, topic);
    for (int i = 0; i < 2; i++)
        snprintf(paths[i], sizeof(paths[i]), "%s/rotated-%d-%d.pem", getenv("FRAGUA_KAFKA_DIR"), (int)getpid(), i);
    old = bus_of(&w, "client", paths);
    new = bus_of(&w, "client2", paths);
    unlink(paths[0]);
    unlink(paths[1]);
    publish_by(&w, old, topic, "rotated-1");
    publish_by(&w, new, topic, "rotated-2");
    w.bus = old;
    bus_end(&w);
    publish_by(&w, new, topic, "rotated-3");
    bus_end(&w);
    w.bus = plain;
    assert_int_equal(count_records(&w, topic), 3);
    world_end(&w);
}

/* KIP-447: who lost the partition cannot commit for it any more, and the producer lives on. */
static void test_cursors_and_offsets_of_an_old_generation_are_refused(void **state)
{
    struct reader first = { .hold_revoke = true }, second = { 0 };
    struct fg_bus_position at = { .offset = 77 };
    int64_t committed;
    struct writer p;
    struct world w;
    char topic[64];

    begin(&w);
    make_topic(&w, "cursors", 2, topic);
    at.topic = topic;
    writer_open(&p, &w, topic, topic);
    reader_open(&first, &w, topic, topic);
    until(&w, first.assignments == 1);
    publish_one(&p, topic, first.consumer, NULL, topic, FG_BUS_DONE);
    until(&w, first.n == 1);
    reader_open(&second, &w, topic, topic);
    until(&w, first.revocations == 1);
    first.hold_assign = true; /* or it would be a member in good standing again */
    w.bus->ops->consumer_unassign(first.consumer);
    until(&w, second.assignments == 1);
    committed = ask_committed(&second, topic).offset;
    publish_one(&p, topic, first.consumer, NULL, topic, FG_BUS_ABORTED);
    assert_int_equal(p.err.code, FG_E_FENCED);
    publish_one(&p, topic, first.consumer, &at, NULL, FG_BUS_ABORTED);
    assert_int_equal(p.err.code, FG_E_FENCED);
    assert_int_equal(ask_committed(&second, topic).offset, committed);
    publish_one(&p, topic, NULL, NULL, NULL, FG_BUS_DONE);
    /* who has the partitions now may */
    publish_one(&p, topic, second.consumer, &at, NULL, FG_BUS_DONE);
    assert_int_equal(ask_committed(&second, topic).offset, 77);
    reader_close(&first);
    reader_close(&second);
    writer_close(&p);
    world_end(&w);
}

static void test_refusals_are_told(void **state)
{
    const char *tls = getenv("FRAGUA_KAFKA_TLS"), *user = getenv("FRAGUA_KAFKA_USER");
    char ca[300], stranger_ca[300], cert[300], key[300], other_cert[300], other_key[300];
    struct world w;

    if (!tls || !user)
        skip();
    snprintf(ca, sizeof(ca), "%s/ca/ca.crt", tls);
    snprintf(stranger_ca, sizeof(stranger_ca), "%s/stranger-ca/ca.crt", tls);
    snprintf(cert, sizeof(cert), "%s/client/user.crt", tls);
    snprintf(key, sizeof(key), "%s/client/user.key", tls);
    snprintf(other_cert, sizeof(other_cert), "%s/stranger/user.crt", tls);
    snprintf(other_key, sizeof(other_key), "%s/stranger/user.key", tls);
    const struct fg_tls wrong_ca = { stranger_ca, cert, key }, stranger = { ca, other_cert, other_key },
                        plain = { ca, NULL, NULL };
    const struct fg_bus_rdkafka_config rows[] = {
        { .bootstrap_servers = getenv("FRAGUA_KAFKA_SSL"), .tls = &wrong_ca },
        { .bootstrap_servers = getenv("FRAGUA_KAFKA_SSL"), .tls = &stranger },
        { .bootstrap_servers = getenv("FRAGUA_KAFKA_SSL"), .tls = &plain },
        { .bootstrap_servers = getenv("FRAGUA_KAFKA_SASL_SSL"), .tls = &plain, .sasl_mechanism = "PLAIN",
          .sasl_username = user, .sasl_password = FG_SLICE("wrong-password") },
    };
    const char *const words[] = { "an authority that tls.ca trusts", "refused the client certificate",
                                  "refused the client certificate", "Authentication failed" };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct reader r = { 0 };
        struct writer p;
        open_bus(&w, &rows[i]);
        reader_open(&r, &w, "g", "x");
        until_ms(&w, 10000, r.trouble.code == FG_E_AUTH);
        writer_begin(&p, &w, "t", "x");
        until_ms(&w, 10000, p.trouble.code == FG_E_AUTH);
        if (!strstr(p.trouble.text, words[i]) || !strstr(r.trouble.text, words[i]))
            fail_msg("\"%s\" or \"%s\" does not say \"%s\"", p.trouble.text, r.trouble.text, words[i]);
        assert_null(strstr(p.trouble.text, "wrong-password"));
        reader_close(&r);
        writer_close(&p);
        world_end(&w);
    }
}

static void test_unknown_topic_is_told(void **state)
{
    struct reader r = { 0 };
    struct writer p;
    struct world w;

    begin(&w);
    reader_open(&r, &w, "g-unknown", "no-such-topic");
    writer_begin(&p, &w, "t-unknown", "no-such-topic");
    until(&w, r.trouble.code == FG_E_NOT_FOUND);
    until(&w, p.trouble.code == FG_E_NOT_FOUND);
    reader_close(&r);
    writer_close(&p);
    world_end(&w);
}

/* Offsets of a group that nobody joins move with a transaction; whoever has the transactional id now moves them. */
static void test_a_group_that_is_not_joined_keeps_offsets(void **state)
{
    struct fg_bus_consumer_config config = { 0 };
    struct fg_error err = FG_ERROR_NULL;
    struct reader r = { 0 };
    struct writer old, new;
    struct world w;
    char topic[64];

    begin(&w);
    make_topic(&w, "alone", 1, topic);
    writer_open(&old, &w, topic, topic);
    writer_write(&old, topic, 0, 5, 1);
    config.group = topic;
    config.want_end = true;
    r.w = &w;
    assert_int_equal(fg_bus_consumer_open(w.bus, &config, &reader_events, &r, &r.consumer, &err), 0);
    struct fg_bus_position at = { .topic = topic, .offset = FG_BUS_END };
    w.bus->ops->consumer_assign(r.consumer, &at, 1);
    until(&w, r.end[0] == 6); /* five records and the end of their transaction */
    at.offset = FG_BUS_BEGINNING;
    w.bus->ops->consumer_rewind(r.consumer, &at, 1);
    until(&w, r.n == 5);
    at.offset = 3;
    publish_one(&old, topic, r.consumer, &at, NULL, FG_BUS_DONE);
    writer_open(&new, &w, topic, topic);
    at.offset = 4;
    publish_one(&old, topic, r.consumer, &at, NULL, FG_BUS_DEAD);
    at.offset = ask_committed(&r, topic).offset;
    reader_forget(&r);
    w.bus->ops->consumer_rewind(r.consumer, &at, 1);
    until(&w, r.n == 3); /* 3, 4, and what was written with the offset */
    assert_int_equal(r.messages[0]->offset, 3);
    assert_int_equal(r.assignments, 0);
    reader_close(&r);
    writer_close(&old);
    writer_close(&new);
    world_end(&w);
}

/* One that has no such record begins at its end. */
static void test_a_position_by_time(void **state)
{
    struct reader r = { 0 };
    struct writer p;
    struct world w;
    char topic[64];

    begin(&w);
    make_topic(&w, "time", 2, topic);
    writer_open(&p, &w, topic, topic);
    writer_write(&p, topic, 0, 10, 1);
    reader_open(&r, &w, NULL, topic);
    struct fg_bus_position at[] = { { .topic = topic, .offset = FG_BUS_BEGINNING },
                                    { .topic = topic, .partition = 1, .offset = FG_BUS_BEGINNING } };
    w.bus->ops->consumer_assign(r.consumer, at, 2);
    until(&w, r.n == 10); /* a broker says that a transaction is done before all of its partitions know */
    reader_forget(&r);
    at[0].offset = at[1].offset = FG_BUS_SINCE(INT64_C(1700000000006));
    w.bus->ops->consumer_rewind(r.consumer, at, 2);
    until(&w, r.n == 4);
    assert_int_equal(r.messages[0]->timestamp_ms, INT64_C(1700000000006));
    reader_close(&r);
    writer_close(&p);
    world_end(&w);
}

struct inspected {
    bool come;
    struct fg_bus_cluster cluster;
    struct fg_bus_topic topics[2];
};

static void on_inspected(void *arg, const struct fg_bus_cluster *cluster, const struct fg_bus_topic *topics, size_t n,
                         const struct fg_error *err)
{
    struct inspected *i = arg;

    if (err)
        fail_msg("%s", err->text);
    assert_int_equal(n, 2);
    i->come = true;
    i->cluster = *cluster;
    memcpy(i->topics, topics, sizeof(i->topics));
}

static void test_settings_of_topics(void **state)
{
    struct made m = { 0 };
    struct inspected i = { 0 };
    struct world w;
    char name[64];

    begin(&w);
    snprintf(name, sizeof(name), "bus-settings-%d-%llx", (int)getpid(), (unsigned long long)uv_hrtime());
    const struct fg_bus_topic topic = { .name = name, .partitions = -1, .replication = -1, .compacted = true };
    const char *names[] = { name, "no-such-topic" };
    w.bus->ops->create(w.bus, &topic, 1, on_made, &m);
    until(&w, m.come);
    w.bus->ops->inspect(w.bus, names, 2, on_inspected, &i);
    until(&w, i.come);
    assert_int_equal(i.cluster.settings.code, FG_E_NONE);
    assert_int_equal(i.cluster.brokers, 1);
    assert_true(i.cluster.offsets_retention_ms >= 60000);
    assert_true(i.topics[0].partitions >= 1);
    assert_true(i.topics[0].compacted);
    assert_false(i.topics[0].deletes);
    assert_int_equal(i.topics[0].replication, 1);
    assert_int_equal(i.topics[0].min_insync, 1);
    assert_true(i.topics[0].message_bytes_max > 1000);
    assert_true(i.topics[0].retention_ms > 0);
    assert_int_equal(i.topics[1].partitions, 0);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets_in_transactions),
        cmocka_unit_test(test_cursors_are_accounted_for_with_their_records),
        cmocka_unit_test(test_zombie_producer_is_dead),
        cmocka_unit_test(test_two_buses_of_files_that_changed_live_side_by_side),
        cmocka_unit_test(test_after_an_abort_every_partition_gets_another),
        cmocka_unit_test(test_after_an_abort_the_offsets_get_another),
        cmocka_unit_test(test_cursors_and_offsets_of_an_old_generation_are_refused),
        cmocka_unit_test(test_refusals_are_told),
        cmocka_unit_test(test_unknown_topic_is_told),
        cmocka_unit_test(test_a_group_that_is_not_joined_keeps_offsets),
        cmocka_unit_test(test_a_position_by_time),
        cmocka_unit_test(test_settings_of_topics),
    };

    return run_on_kafka("bus kafka", tests);
}
