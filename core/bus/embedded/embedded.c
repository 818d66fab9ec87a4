/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's mock brokers, hosted by a handle of their own that does nothing else. */
#include "bus/embedded/embedded.h"

#include <arpa/inet.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "bus/rdkafka/rdkafka-private.h"

#define BROKERS       1
#define FETCH_WAIT_MS "20"
#define KNOCK_NS      1000000
#define PARTITIONS    8 /* of a topic made without a word about it; each keeps 5 MiB */

struct embedded {
    rd_kafka_t *host;                 /* owned */
    rd_kafka_mock_cluster_t *cluster; /* owned */
};

static int make_topic(void *arg, const struct fg_bus_topic *topic, struct fg_error *err)
{
    struct embedded *e = arg;
    rd_kafka_resp_err_t rd =
        rd_kafka_mock_topic_create(e->cluster, topic->name, topic->partitions > 0 ? topic->partitions : PARTITIONS, 1);

    if (rd && rd != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        return fg_rd_error(err, rd, "cannot make a topic on the embedded broker", topic->name);
    return 0;
}

/*
 * The mock brokers' thread can miss the wake-up of an operation that is queued right behind another one: it empties its
 * wake-up pipe after it has looked at the queue, and then polls for a second. A connection to its port wakes it too, so
 * one thread knocks there for as long as another waits for topics to be made.
 */
struct knocker {
    pthread_t thread;
    struct sockaddr_in address;
    atomic_bool done;
};

static void *knock(void *arg)
{
    struct knocker *k = arg;

    while (!atomic_load(&k->done)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0) {
            (void)connect(fd, (struct sockaddr *)&k->address, sizeof(k->address));
            close(fd);
        }
        (void)nanosleep(&(struct timespec){ .tv_nsec = KNOCK_NS }, NULL);
    }
    return NULL;
}

/* @bootstrap: "127.0.0.1:41207". false: nobody knocks, making topics may take seconds. */
static bool knocker_start(struct knocker *k, const char *bootstrap)
{
    struct fg_slice host, port;
    int64_t number = 0;

    *k = (struct knocker){ .address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
    if (!fg_slice_cut(fg_slice_of(bootstrap), ':', &host, &port) || !fg_parse_int(port, &number))
        return false;
    k->address.sin_port = htons((uint16_t)number);
    return pthread_create(&k->thread, NULL, knock, k) == 0;
}

static void knocker_stop(struct knocker *k)
{
    atomic_store(&k->done, true);
    (void)pthread_join(k->thread, NULL);
}

static int make_topics(struct embedded *e, const struct fg_bus_topic *topics, size_t n, struct fg_error *err)
{
    struct knocker knocker;
    bool knocks = knocker_start(&knocker, rd_kafka_mock_cluster_bootstraps(e->cluster));
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++)
        r = make_topic(e, &topics[i], err);
    if (knocks)
        knocker_stop(&knocker);
    return r;
}

static void deinit(void *arg)
{
    struct embedded *e = arg;

    if (e->cluster)
        rd_kafka_mock_cluster_destroy(e->cluster);
    if (e->host)
        rd_kafka_destroy(e->host);
    free(e);
}

static int start(struct embedded *e, const struct fg_bus_topic *topics, size_t n, struct fg_error *err)
{
    char text[256] = "";
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    sigset_t old;
    int r;

    (void)rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);
    fg_signals_block(&old);
    if (!(e->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text))))
        rd_kafka_conf_destroy(conf);
    else
        e->cluster = rd_kafka_mock_cluster_new(e->host, BROKERS);
    if (e->cluster)
        r = make_topics(e, topics, n, err);
    else
        r = fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "the embedded broker cannot start: %s", text));
    fg_signals_restore(&old);
    return r;
}

int fg_bus_embedded_new(const struct fg_bus_rdkafka_config *config, const struct fg_bus_topic *topics, size_t n,
                        struct fg_bus **ret, struct fg_error *err)
{
    struct fg_bus_rdkafka_config own = *config;
    struct embedded *e = fg_calloc(1, sizeof(*e));
    struct fg_pair *properties = fg_calloc(config->n_properties + 1, sizeof(*properties));
    struct fg_rd_bus *bus;
    int r = start(e, topics, n, err);

    /* the mock brokers let a fetch wait its whole time, also when a record comes meanwhile */
    properties[0] = (struct fg_pair){ "fetch.wait.max.ms", FETCH_WAIT_MS };
    if (config->n_properties)
        memcpy(&properties[1], config->properties, config->n_properties * sizeof(*properties));
    own.properties = properties;
    own.n_properties = config->n_properties + 1;
    if (r == 0) {
        own.bootstrap_servers = rd_kafka_mock_cluster_bootstraps(e->cluster);
        own.tls = NULL;
        own.sasl_mechanism = NULL;
        own.traits = (struct fg_bus_traits){.kind = "embedded", .solo = true};
        r = fg_bus_rdkafka_new(&own, ret, err);
    }
    free(properties);
    if (r < 0) {
        deinit(e);
        return fg_pass(r);
    }
    bus = (struct fg_rd_bus *)*ret;
    bus->make_topic = make_topic;
    bus->deinit = deinit;
    bus->embedded = e;
    return 0;
}
