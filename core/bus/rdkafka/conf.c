/* SPDX-License-Identifier: Apache-2.0 */
/* fragua's settings as librdkafka's properties. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/rdkafka/rdkafka-private.h"

#define CLIENT_ID_MAX        64 /* long ones crash librdkafka before 2.5.0 (librdkafka#4689) */
#define CONSUMER_QUEUE_BYTES 4194304u
/* Without fetch.queue.backoff.ms a full queue costs up to a second, so that its size is the throughput in bytes a
 * second. */
#define CONSUMER_QUEUE_BYTES_SLOW 16777216u
/* The same bounds in records, each of which costs librdkafka some 400 bytes beside its own. */
#define CONSUMER_QUEUE_RECORDS      "10000"
#define CONSUMER_QUEUE_RECORDS_SLOW "40000"
#define FETCH_BYTES_MIN             1048576u /* of one answer, of each broker; comes on top of the queue */
#define FETCH_BYTES_MAX             4194304u
/* A producer's largest record; brokers refuse more than 1 MiB unless the topic says otherwise (max.message.bytes). */
#define RECORD_BYTES_MAX   "33554432"
#define RECORD_QUEUE_EXTRA 1048576u /* beside the largest record, so that it fits into the queue at all */
#define PLAIN_DELIVERY_MS  60000u /* without transactions: after it a record counts as not delivered */
#define SCRAM_SINCE        0x020601ffu /* SCRAM logins fail before (librdkafka#4895) */

int fg_rd_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct fg_error *err)
{
    char text[256];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
        return 0;
    return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "kafka: %s", text));
}

static int set_number(rd_kafka_conf_t *conf, const char *name, uint64_t value, struct fg_error *err)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return fg_rd_conf_set(conf, name, text, err);
}

size_t fg_rd_conf_number(const rd_kafka_conf_t *conf, const char *name)
{
    char text[32];
    size_t size = sizeof(text);
    int64_t number = 0;

    if (rd_kafka_conf_get(conf, name, text, &size) != RD_KAFKA_CONF_OK ||
        !fg_parse_int(fg_slice_of(text), &number) || number < 0)
        return 0;
    return (size_t)number;
}

struct setting {
    const char *name, *value;
};

static int set_all(rd_kafka_conf_t *conf, const struct setting *settings, size_t n, struct fg_error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++)
        r = fg_rd_conf_set(conf, settings[i].name, settings[i].value, err);
    return r;
}

/*
 * Defaults that suit fragua better than librdkafka's; the user may set them. Time limits are such that all goes on at
 * most 15 s after a fault has ended, whatever it was; README.md has the sum.
 */
static const struct setting defaults[] = {
    {"linger.ms", "5"},
    {"reconnect.backoff.max.ms", "1000"},
    {"socket.connection.setup.timeout.ms", "8000"},
    {"socket.timeout.ms", "10000"},
    {"transaction.timeout.ms", "10000"},
    {"session.timeout.ms", "6000"}, /* brokers take no less unless told to (group.min.session.timeout.ms) */
    {"heartbeat.interval.ms", "2000"},
    /* For a loop that hangs: a pipeline that waits is asked for its events each second all the same. */
    {"max.poll.interval.ms", "30000"},
    {"socket.nagle.disable", "true"},
    {"socket.keepalive.enable", "true"},
    {"message.max.bytes", RECORD_BYTES_MAX},
};

static const struct setting consumer_fixed[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"isolation.level", "read_committed"},
    {"auto.offset.reset", "error"},
    {"partition.assignment.strategy", "range,roundrobin"},
    /* Says nothing about reading, but must be at most fetch.max.bytes. Larger records are read all the same. */
    {"message.max.bytes", "1000000"},
};

static const struct setting producer_fixed[] = {
    {"enable.idempotence", "true"},
    {"partitioner", "murmur2_random"},
    {"delivery.report.only.error", "false"},
};

int fg_bus_rdkafka_check_sasl(const char *mechanism, int version, struct fg_error *err)
{
    unsigned v = (unsigned)(version ? version : rd_kafka_version());

    if (strcmp(mechanism, "PLAIN") != 0 && strcmp(mechanism, "SCRAM-SHA-256") != 0 &&
        strcmp(mechanism, "SCRAM-SHA-512") != 0)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0,
                                     "kafka: sasl mechanism \"%s\" is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512",
                                     mechanism));
    if (mechanism[0] == 'S' && v < SCRAM_SINCE)
        return fg_raise(
            fg_error_set(err, FG_E_CONFIG, 0,
                         "kafka: librdkafka %u.%u.%u cannot log in by %s: brokers refuse it with the right "
                         "password; use librdkafka 2.6.1 or later, or sasl PLAIN over TLS, or client certificates",
                         v >> 24, v >> 16 & 0xff, v >> 8 & 0xff, mechanism));
    return 0;
}

static int check_sasl(const struct fg_bus_rdkafka_config *config, struct fg_error *err)
{
    int r = fg_bus_rdkafka_check_sasl(config->sasl_mechanism, 0, err);

    if (r == 0 && (!config->sasl_username || !config->sasl_password.len))
        r = fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "kafka: sasl needs username and password"));
    return fg_pass(r);
}

static int set_sasl(rd_kafka_conf_t *conf, const struct fg_bus_rdkafka_config *config, struct fg_error *err)
{
    char *password;
    int r = check_sasl(config, err);

    if (r < 0)
        return fg_pass(r);
    if (!(password = fg_strdup_slice(config->sasl_password)))
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "kafka: no memory"));
    r = fg_rd_conf_set(conf, "sasl.mechanisms", config->sasl_mechanism, err);
    if (r == 0)
        r = fg_rd_conf_set(conf, "sasl.username", config->sasl_username, err);
    if (r == 0)
        r = fg_rd_conf_set(conf, "sasl.password", password, err);
    explicit_bzero(password, config->sasl_password.len);
    free(password);
    return r;
}

/* With the user's own words: librdkafka names an alias' target, and not the value. */
static int set_property(rd_kafka_conf_t *conf, const char *name, const char *value, struct fg_error *err)
{
    bool secret = strstr(name, "password") || strstr(name, "secret") || strstr(name, "pem") || strstr(name, "jaas");
    char text[192];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
        return 0;
    return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "kafka: property \"%.60s\": value \"%.40s\": %s", name,
                                 secret ? "***" : value, secret ? "not accepted" : text));
}

int fg_bus_rdkafka_check_property(const char *name, const char *value, struct fg_error *err)
{
    const char *why = fg_rd_property_refused(name);
    rd_kafka_conf_t *conf;
    int r;

    if (why)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "kafka: property \"%s\" cannot be set: %s", name, why));
    conf = rd_kafka_conf_new();
    r = set_property(conf, name, value, err);
    rd_kafka_conf_destroy(conf);
    return r;
}

static int set_user(rd_kafka_conf_t *conf, const struct fg_pair *properties, size_t n, struct fg_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *why = fg_rd_property_refused(properties[i].key);
        int r;
        if (why)
            return fg_raise(
                fg_error_set(err, FG_E_CONFIG, 0, "kafka: property \"%s\" cannot be set: %s", properties[i].key, why));
        if ((r = set_property(conf, properties[i].key, properties[i].value, err)) < 0)
            return fg_pass(r);
    }
    return 0;
}

/* The one property that a file needs before it can be read; NULL: not set. */
static const char *key_password(const struct fg_bus_rdkafka_config *config)
{
    for (size_t i = config->n_properties; i > 0; i--)
        if (strcmp(config->properties[i - 1].key, "ssl.key.password") == 0)
            return config->properties[i - 1].value;
    return NULL;
}

static int fill_common(rd_kafka_conf_t *conf, const struct fg_bus_rdkafka_config *config, int *ret_fd,
                       struct fg_error *err)
{
    const char *client_id = config->client_id ? config->client_id : "fragua";
    const char *protocol = config->tls ? (config->sasl_mechanism ? "sasl_ssl" : "ssl")
                                       : (config->sasl_mechanism ? "sasl_plaintext" : "plaintext");
    char text[256];
    int r;

    if (!config->bootstrap_servers || !*config->bootstrap_servers)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "kafka: bootstrap.servers is missing"));
    if (strlen(client_id) > CLIENT_ID_MAX)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "kafka: the client id \"%s\" is longer than %d bytes",
                                     client_id, CLIENT_ID_MAX));
    if ((r = fg_rd_conf_set(conf, "bootstrap.servers", config->bootstrap_servers, err)) < 0 ||
        (r = fg_rd_conf_set(conf, "client.id", client_id, err)) < 0 ||
        (r = fg_rd_conf_set(conf, "security.protocol", protocol, err)) < 0 ||
        (r = set_number(conf, "statistics.interval.ms", config->metrics ? FG_RD_STATISTICS_MS : 0, err)) < 0 ||
        (r = set_all(conf, defaults, sizeof(defaults) / sizeof(*defaults), err)) < 0)
        return fg_pass(r);
    /* Not in 2.0.2: whether the library that is loaded knows it, only it can say. */
    (void)rd_kafka_conf_set(conf, "fetch.queue.backoff.ms", FG_RD_FETCH_BACKOFF_MS, text, sizeof(text));
    /*
     * Nor this: where all connections break at once, its own value throws all brokers away and begins anew, and in 2.16
     * a transaction's send_offsets then waits for a broker that is gone, for ever and past its own time-out.
     */
    (void)rd_kafka_conf_set(conf, "metadata.recovery.strategy", "none", text, sizeof(text));
    if (config->tls && (r = fg_rd_conf_tls(conf, config->tls, key_password(config), ret_fd, err)) < 0)
        return fg_pass(r);
    if (config->sasl_mechanism && (r = set_sasl(conf, config, err)) < 0)
        return fg_pass(r);
    return set_user(conf, config->properties, config->n_properties, err);
}

rd_kafka_conf_t *fg_rd_conf_common(const struct fg_bus_rdkafka_config *config, int *ret_fd, struct fg_error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    if (fill_common(conf, config, ret_fd, err) == 0)
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

static bool knows_backoff(const rd_kafka_conf_t *conf)
{
    size_t size = 0;

    return rd_kafka_conf_get(conf, "fetch.queue.backoff.ms", NULL, &size) == RD_KAFKA_CONF_OK;
}

static int set_fetching(rd_kafka_conf_t *conf, const struct fg_bus_consumer_config *config, struct fg_error *err)
{
    bool quick = knows_backoff(conf);
    size_t bytes = config->queue_bytes_max, fetch;
    int r;

    if (!bytes)
        bytes = quick ? CONSUMER_QUEUE_BYTES : CONSUMER_QUEUE_BYTES_SLOW;
    fetch = bytes < FETCH_BYTES_MIN ? FETCH_BYTES_MIN : bytes > FETCH_BYTES_MAX ? FETCH_BYTES_MAX : bytes;
    if ((r = set_number(conf, "queued.max.messages.kbytes", bytes < 1024 ? 1 : bytes / 1024, err)) < 0 ||
        (r = set_number(conf, "fetch.max.bytes", fetch, err)) < 0)
        return fg_pass(r);
    return fg_rd_conf_set(conf, "queued.min.messages", quick ? CONSUMER_QUEUE_RECORDS : CONSUMER_QUEUE_RECORDS_SLOW,
                          err);
}

static int fill_consumer(rd_kafka_conf_t *conf, const struct fg_bus_consumer_config *config, struct fg_error *err)
{
    uint64_t session_ms = config->session_timeout_ms;
    int r;

    if ((r = set_all(conf, consumer_fixed, sizeof(consumer_fixed) / sizeof(*consumer_fixed), err)) < 0)
        return fg_pass(r);
    /* librdkafka assigns partitions only to a consumer with a group; this one neither joins it nor commits. */
    if ((r = fg_rd_conf_set(conf, "group.id", config->group ? config->group : "fragua-reader", err)) < 0 ||
        (r = fg_rd_conf_set(conf, "enable.partition.eof", config->want_end ? "true" : "false", err)) < 0 ||
        (r = set_fetching(conf, config, err)) < 0)
        return fg_pass(r);
    if (session_ms && ((r = set_number(conf, "session.timeout.ms", session_ms, err)) < 0 ||
                       (r = set_number(conf, "heartbeat.interval.ms", session_ms / 3, err)) < 0))
        return fg_pass(r);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_FETCH | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_REBALANCE |
                                       RD_KAFKA_EVENT_STATS | RD_KAFKA_EVENT_OFFSET_COMMIT);
    return 0;
}

rd_kafka_conf_t *fg_rd_conf_consumer(const struct fg_rd_bus *bus, const struct fg_bus_consumer_config *config,
                                     struct fg_error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(bus->common);

    if (fill_consumer(conf, config, err) == 0)
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

static int set_transactions(rd_kafka_conf_t *conf, const struct fg_bus_producer_config *config, struct fg_error *err)
{
    size_t timeout_ms = config->transaction_timeout_ms;
    int r = fg_rd_conf_set(conf, "transactional.id", config->transactional_id, err);

    if (!timeout_ms)
        timeout_ms = fg_rd_conf_number(conf, "transaction.timeout.ms");
    if (r < 0 || (r = set_number(conf, "transaction.timeout.ms", timeout_ms, err)) < 0)
        return fg_pass(r);
    if (fg_rd_conf_number(conf, "socket.timeout.ms") > timeout_ms &&
        (r = set_number(conf, "socket.timeout.ms", timeout_ms, err)) < 0)
        return fg_pass(r);
    /* A record that is late for its transaction is no use: librdkafka wants this to be at most the transaction's. */
    return set_number(conf, "message.timeout.ms", timeout_ms, err);
}

static int fill_producer(rd_kafka_conf_t *conf, const struct fg_bus_producer_config *config, bool transactional,
                         struct fg_error *err)
{
    /* The bound of memory is produce.c's, which lets one record pass that is larger. */
    size_t bytes = fg_rd_conf_number(conf, "message.max.bytes") + RECORD_QUEUE_EXTRA;
    int r = set_all(conf, producer_fixed, sizeof(producer_fixed) / sizeof(*producer_fixed), err);

    if (bytes < config->queue_bytes_max)
        bytes = config->queue_bytes_max;
    if (r < 0 || (r = set_number(conf, "queue.buffering.max.kbytes", bytes / 1024, err)) < 0)
        return fg_pass(r);
    return transactional ? set_transactions(conf, config, err)
                         : set_number(conf, "message.timeout.ms", PLAIN_DELIVERY_MS, err);
}

rd_kafka_conf_t *fg_rd_conf_producer(const struct fg_rd_bus *bus, const struct fg_bus_producer_config *config,
                                     struct fg_error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(bus->common);

    if (fill_producer(conf, config, config->transactional_id && bus->base.traits.transactional, err) == 0)
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}
