/* SPDX-License-Identifier: Apache-2.0 */
/* From the file's `kafka` section to a bus, and the topics that the file names. */
#include <stdlib.h>

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

static bool is_mine(const struct fg_process *process, const struct fg_config_pipeline *c)
{
    return process->config_role == FG_ROLE_BOTH || process->config_role == c->role;
}

static size_t between(size_t bytes, size_t max)
{
    return bytes < QUEUE_BYTES_MIN ? QUEUE_BYTES_MIN : bytes > max ? max : bytes;
}

size_t fg_process_kafka_bytes(struct fg_process *process)
{
    const struct fg_config *config = process->config;
    size_t weights = 0, bytes = 0, memory = (size_t)config->limits.memory;

    for (size_t i = 0; i < config->n_pipelines; i++)
        if (is_mine(process, &config->pipelines[i]))
            weights += 1 + (config->pipelines[i].source.file ? 0 : CONSUMER_WEIGHT);
    if (weights == 0)
        return 0;
    process->producer_queue_bytes = between(memory / QUEUES_PART / weights, PRODUCER_BYTES_MAX);
    process->consumer_queue_bytes = between(CONSUMER_WEIGHT * memory / QUEUES_PART / weights, CONSUMER_BYTES_MAX);
    for (size_t i = 0; i < config->n_pipelines; i++)
        if (is_mine(process, &config->pipelines[i]))
            bytes += process->producer_queue_bytes +
                     (config->pipelines[i].source.file ? CURSORS_QUEUE_BYTES : process->consumer_queue_bytes);
    process->consumer_queue_bytes /= CONSUMER_WEIGHT;
    return bytes < memory / 2 ? bytes : memory / 2;
}

/* The k-th topic of a pipeline; NULL past its end. */
static const char *pipeline_topic(const struct fg_config *config, const struct fg_config_pipeline *p, size_t k,
                                  const char **ret_role)
{
    const struct fg_config_input *in = p->o.input;

    if (p->source.file) {
        *ret_role = "cursors";
        if (k-- == 0)
            return config->kafka.cursors_topic;
    }
    *ret_role = "input";
    if (in && in->topic && k-- == 0)
        return in->topic;
    if (in && !in->topic) {
        if (k < in->topics.len)
            return in->topics.items[k];
        k -= in->topics.len;
    }
    *ret_role = "output";
    if (k < p->o.output.len)
        return p->o.output.items[k].value;
    k -= p->o.output.len;
    *ret_role = "dead-letters";
    return p->o.dead && k == 0 ? p->o.dead->topic : NULL;
}

const char *fg_config_topic_at(const struct fg_config *config, size_t k, const char **ret_role,
                               const char **ret_pipeline)
{
    for (size_t i = 0; i < config->n_pipelines; i++) {
        const struct fg_config_pipeline *p = &config->pipelines[i];
        const char *topic;
        for (size_t j = 0; (topic = pipeline_topic(config, p, j, ret_role)); j++)
            if (k-- == 0) {
                *ret_pipeline = p->name;
                return topic;
            }
    }
    return NULL;
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

int fg_process_open_bus(struct fg_process *process, struct fg_error *err)
{
    const struct fg_config_kafka *k = &process->config->kafka;
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
        return k->bootstrap_servers ? fg_bus_rdkafka_new(&config, &process->bus, err) : 0;
    topics = embedded_topics(process->config, &n);
    r = fg_bus_embedded_new(&config, topics, n, &process->bus, err);
    free(topics);
    return r;
}
