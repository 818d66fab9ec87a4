/* SPDX-License-Identifier: Apache-2.0 */
/* From the file's `kafka` section to a bus, and the topics of an embedded broker. */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/secret.h"
#include "bus/embedded/embedded.h"
#include "host/process-private.h"

#define EMBEDDED_PARTITIONS 8 /* each keeps 5 MiB: enough for a demo's mail */

/* What Kafka's clients may hold, together the fourth part of limits.memory; the rest is the budget of records. */
#define QUEUES_PART        4u
#define CONSUMER_WEIGHT    2u /* what it fetches ahead, and as much again that arrives while that is full */
#define CONSUMER_BYTES_MAX ((size_t)32 << 20)
#define PRODUCER_BYTES_MAX ((size_t)16 << 20)
#define QUEUE_BYTES_MIN    ((size_t)1 << 20)

static size_t between(size_t bytes, size_t max)
{
    return bytes < QUEUE_BYTES_MIN ? QUEUE_BYTES_MIN : bytes > max ? max : bytes;
}

size_t fg_process_kafka_bytes(struct fg_process *process, const struct fg_config *config)
{
    size_t weights = 0, bytes = 0, memory = (size_t)config->limits.memory;

    for (size_t i = 0; i < config->n_pipelines; i++)
        if (fg_process_runs(process, &config->pipelines[i]))
            weights += 1 + (config->pipelines[i].source.file ? 0 : CONSUMER_WEIGHT);
    if (weights == 0)
        return 0;
    process->producer_queue_bytes = between(memory / QUEUES_PART / weights, PRODUCER_BYTES_MAX);
    process->consumer_queue_bytes = between(CONSUMER_WEIGHT * memory / QUEUES_PART / weights, CONSUMER_BYTES_MAX);
    for (size_t i = 0; i < config->n_pipelines; i++)
        if (fg_process_runs(process, &config->pipelines[i]))
            bytes += process->producer_queue_bytes +
                     (config->pipelines[i].source.file ? CURSORS_QUEUE_BYTES : process->consumer_queue_bytes);
    process->consumer_queue_bytes /= CONSUMER_WEIGHT;
    return bytes < memory / 2 ? bytes : memory / 2;
}

static struct fg_bus_topic *embedded_topics(const struct fg_config *config, size_t *ret_n)
{
    const char *role, *pipeline, *topic;
    struct fg_bus_topic *topics;
    size_t n = 0, cap = 0;

    while (fg_config_topic_at(config, cap, &role, &pipeline))
        cap++;
    topics = fg_calloc(cap ? cap : 1, sizeof(*topics));
    for (size_t k = 0; (topic = fg_config_topic_at(config, k, &role, &pipeline)); k++) {
        size_t j = 0;
        while (j < n && strcmp(topics[j].name, topic) != 0)
            j++;
        if (j == n)
            topics[n++] = (struct fg_bus_topic){ .name = topic, .partitions = EMBEDDED_PARTITIONS, .replication = 1 };
    }
    *ret_n = n;
    return topics;
}

static int open_bus(struct fg_process *process, const struct fg_config *from, struct fg_bus **ret, struct fg_error *err)
{
    const struct fg_config_kafka *k = &from->kafka;
    struct fg_bus_rdkafka_config config = {
        .loop = process->loop,
        .metrics = process->metrics,
        .logger = { .log = process->log, .node = "kafka" },
        .bootstrap_servers = k->bootstrap_servers,
        .tls = k->tls,
        .properties = k->properties.items,
        .n_properties = k->properties.len,
    };
    struct fg_bus_topic *topics;
    size_t n;
    int r;

    if (k->sasl) {
        config.sasl_mechanism = fg_config_sasl_mechanisms[k->sasl->mechanism];
        config.sasl_username = k->sasl->username;
        config.sasl_password = fg_secret_text(k->sasl->password);
    }
    if (!k->embedded)
        return fg_pass(fg_bus_rdkafka_new(&config, ret, err));
    topics = embedded_topics(from, &n);
    r = fg_bus_embedded_new(&config, topics, n, ret, err);
    free(topics);
    return fg_pass(r);
}

int fg_kafka_new(struct fg_process *process, struct fg_config *config, struct fg_kafka **ret, struct fg_error *err)
{
    struct fg_bus *bus;

    *ret = NULL;
    if (!config->kafka.embedded && !config->kafka.bootstrap_servers)
        return 0;
    if (open_bus(process, config, &bus, err) < 0)
        return fg_pass(-1);
    *ret = fg_calloc(1, sizeof(**ret));
    **ret = (struct fg_kafka){ .process = process, .bus = bus, .config = fg_config_ref(config), .refs = 1 };
    process->parts[FG_PART_KAFKA]++;
    return 0;
}

struct fg_kafka *fg_kafka_ref(struct fg_kafka *kafka)
{
    if (kafka)
        kafka->refs++;
    return kafka;
}

static void bus_closed(void *arg)
{
    struct fg_kafka *kafka = arg;
    struct fg_process *process = kafka->process;

    fg_config_unref(kafka->config);
    free(kafka);
    fg_process_part_gone(process, FG_PART_KAFKA);
}

struct fg_kafka *fg_kafka_unref(struct fg_kafka *kafka)
{
    if (kafka && --kafka->refs == 0)
        kafka->bus->ops->close(kafka->bus, bus_closed, kafka);
    return NULL;
}

static void topics_made(void *arg, const struct fg_bus_topic *topics, size_t n, const struct fg_error *err)
{
    struct fg_process *process = arg;

    (void)topics;
    (void)n;
    if (err)
        fg_log_error(&process->logger, FG_LOG_WARN, "cannot make topics in the embedded broker", err);
}

void fg_kafka_make_topics(struct fg_process *process, const struct fg_config *config)
{
    struct fg_bus_topic *topics;
    size_t n;

    if (!process->kafka || !config->kafka.embedded)
        return;
    topics = embedded_topics(config, &n);
    process->kafka->bus->ops->create(process->kafka->bus, topics, n, topics_made, process);
    free(topics);
}
