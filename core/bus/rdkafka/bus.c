/* SPDX-License-Identifier: Apache-2.0 */
/* The bus on librdkafka: settings checked at once, handles made from them later. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "bus/rdkafka/rdkafka-private.h"

static void bus_free(struct fg_rd_bus *bus)
{
    if (bus->common)
        rd_kafka_conf_destroy(bus->common);
    if (bus->chain_fd >= 0)
        (void)close(bus->chain_fd);
    free(bus);
}

static void admin_closed(void *arg)
{
    struct fg_rd_bus *bus = arg;
    fg_done_cb closed = bus->closed;
    void *closed_arg = bus->closed_arg;

    bus_free(bus);
    if (closed)
        closed(closed_arg);
}

static void bus_close(struct fg_bus *base, fg_done_cb closed, void *arg)
{
    struct fg_rd_bus *bus = (struct fg_rd_bus *)base;

    fg_assert(bus->handles == 0);
    bus->closed = closed;
    bus->closed_arg = arg;
    fg_rd_admin_close(bus, admin_closed, bus);
}

static const struct fg_bus_ops rdkafka_ops = {
    .consumer_open = fg_rd_consumer_open,
    .consumer_assign = fg_rd_consumer_assign,
    .consumer_unassign = fg_rd_consumer_unassign,
    .consumer_pause = fg_rd_consumer_pause,
    .consumer_rewind = fg_rd_consumer_rewind,
    .consumer_committed = fg_rd_consumer_committed,
    .consumer_commit = fg_rd_consumer_commit,
    .consumer_close = fg_rd_consumer_close,
    .producer_open = fg_rd_producer_open,
    .producer_publish = fg_rd_producer_publish,
    .producer_close = fg_rd_producer_close,
    .describe = fg_rd_describe,
    .create = fg_rd_create,
    .inspect = fg_rd_inspect,
    .close = bus_close,
};

/* Every opaque begins with a pointer to the bus. [any thread] */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    struct fg_rd_bus *const *owner = rd_kafka_opaque(rk);
    /* CONFWARN says that a consumer's property is set for a producer: all share one set of the user's properties. */
    bool warn = level <= 4 && strcmp(facility, "CONFWARN") != 0;

    if (owner)
        fg_logf(&(*owner)->logger, warn ? FG_LOG_WARN : FG_LOG_DEBUG, "librdkafka %s: %s", facility, text);
}

rd_kafka_t *fg_rd_new(struct fg_rd_bus *bus, rd_kafka_type_t type, rd_kafka_conf_t *conf, void *opaque,
                      struct fg_error *err)
{
    char text[256] = "";
    rd_kafka_t *rk;
    sigset_t old;

    (void)bus;
    rd_kafka_conf_set_opaque(conf, opaque);
    rd_kafka_conf_set_log_cb(conf, on_log);
    fg_signals_block(&old);
    rk = rd_kafka_new(type, conf, text, sizeof(text));
    fg_signals_restore(&old);
    if (rk)
        return rk;
    rd_kafka_conf_destroy(conf);
    fg_error_set(err, FG_E_CONFIG, 0, "kafka: %s", text);
    return NULL;
}

/*
 * What only rd_kafka_new() checks: certificates, and properties that exclude each other. Without brokers in its
 * settings a handle connects nowhere.
 */
static int check(struct fg_rd_bus *bus, struct fg_error *err)
{
    struct fg_bus_producer_config producer = {.transactional_id = "fragua-check"};
    struct fg_bus_consumer_config consumer = {.group = "fragua-check"};
    rd_kafka_conf_t *confs[] = {fg_rd_conf_producer(bus, &producer, err), NULL};
    const rd_kafka_type_t types[] = {RD_KAFKA_PRODUCER, RD_KAFKA_CONSUMER};
    rd_kafka_t *rk;

    if (!confs[0])
        return -FG_E_CONFIG;
    if (!(confs[1] = fg_rd_conf_consumer(bus, &consumer, err))) {
        rd_kafka_conf_destroy(confs[0]);
        return -FG_E_CONFIG;
    }
    for (int i = 0; i < 2; i++) {
        (void)rd_kafka_conf_set(confs[i], "bootstrap.servers", "", NULL, 0);
        (void)rd_kafka_conf_set(confs[i], "log_level", "0", NULL, 0);
        if (!(rk = fg_rd_new(bus, types[i], confs[i], &bus->self, err))) {
            if (i == 0)
                rd_kafka_conf_destroy(confs[1]);
            return -FG_E_CONFIG;
        }
        rd_kafka_destroy(rk);
    }
    return 0;
}

int fg_bus_rdkafka_new(const struct fg_bus_rdkafka_config *config, struct fg_bus **ret, struct fg_error *err)
{
    struct fg_rd_bus *bus = fg_calloc(1, sizeof(*bus));
    int r = 0;

    bus->self = bus;
    bus->chain_fd = -1;
    bus->ops = rdkafka_ops;
    bus->base.ops = &bus->ops;
    bus->base.traits = config->traits;
    if (!config->traits.kind)
        bus->base.traits = (struct fg_bus_traits){.kind = "kafka", .durable = true, .transactional = true};
    bus->loop = config->loop;
    bus->metrics = config->metrics;
    bus->logger = config->logger;
    if (!(bus->common = fg_rd_conf_common(config, &bus->chain_fd, err)))
        r = -FG_E_CONFIG;
    else if (config->tls || config->n_properties)
        r = check(bus, err);
    if (r < 0) {
        bus_free(bus);
        return fg_pass(r);
    }
    *ret = &bus->base;
    return 0;
}

const char *fg_bus_rdkafka_version(void)
{
    return rd_kafka_version_str();
}
