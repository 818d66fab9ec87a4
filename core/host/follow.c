/* SPDX-License-Identifier: Apache-2.0 */
/* Following a topic: a reader without group or offsets, for the API and the demo. */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "host/process-private.h"

#define RETRY_MS 1000u

struct fg_follow {
    struct fg_list link; /* fg_process::follows */
    struct fg_process *process;
    char *topic; /* owned */
    int64_t tail;
    fg_follow_cb cb; /* NULL: stopped */
    void *arg;
    struct fg_kafka *kafka; /* a reference: what the reader is opened on */
    struct fg_bus_consumer *consumer;
    int64_t *next; /* owned array of n_next: where to go on in each partition; < 0: nothing was seen of it */
    size_t n_next;
    struct fg_env_timer *retry;
    bool describing; /* the bus will still call back: freed there */
    bool moving;     /* the reader is being closed, to be opened on another Kafka */
};

static void begin_again(struct fg_follow *f);

static void follow_free(struct fg_follow *f)
{
    struct fg_process *process = f->process;

    fg_kafka_unref(f->kafka);
    free(f->next);
    free(f->topic);
    free(f);
    fg_process_part_gone(process, FG_PART_FOLLOW);
}

static void nothing(void *arg, const struct fg_bus_position *partitions, size_t n)
{
    (void)arg;
    (void)partitions;
    (void)n;
}

static void nothing_revoked(void *arg, const struct fg_bus_position *partitions, size_t n, bool lost)
{
    (void)lost;
    nothing(arg, partitions, n);
}

static void on_message(void *arg, struct fg_bus_message *m)
{
    struct fg_follow *f = arg;
    struct fg_record_view view = { .key = m->key, .value = m->value, .headers = m->headers,
                                   .n_headers = m->n_headers, .timestamp_ms = m->timestamp_ms };

    if (m->partition >= 0 && (size_t)m->partition < f->n_next)
        f->next[m->partition] = m->offset + 1;
    if (f->cb && !f->moving)
        f->cb(f->arg, &view, m->partition, m->offset);
    fg_bus_message_free(m);
}

static void on_trouble(void *arg, const struct fg_error *err)
{
    struct fg_follow *f = arg;

    if (err)
        fg_log_error(&f->process->logger, FG_LOG_DEBUG, "following a topic", err);
}

static const struct fg_bus_consumer_events events = {
    .assigned = nothing,
    .revoked = nothing_revoked,
    .message = on_message,
    .trouble = on_trouble,
};

static int64_t begin_at(const struct fg_follow *f, int32_t partition)
{
    if (f->next[partition] >= 0)
        return f->next[partition];
    return f->tail > 0 ? FG_BUS_TAIL(f->tail) : FG_BUS_END;
}

static void remember_partitions(struct fg_follow *f, size_t n)
{
    if (n == f->n_next)
        return;
    free(f->next);
    f->next = fg_calloc(n + 1, sizeof(*f->next));
    f->n_next = n;
    for (size_t i = 0; i < n; i++)
        f->next[i] = -1;
}

static int open_reader(struct fg_follow *f, int32_t partitions)
{
    struct fg_bus *bus = f->kafka->bus;
    struct fg_bus_position *positions;
    const struct fg_bus_consumer_config config = { .queue_bytes_max = 1024 * 1024, .passing = true };
    struct fg_error err = FG_ERROR_NULL;

    if (fg_bus_consumer_open(bus, &config, &events, f, &f->consumer, &err) < 0) {
        fg_log_error(&f->process->logger, FG_LOG_WARN, "cannot follow a topic", &err);
        return -1;
    }
    remember_partitions(f, (size_t)partitions);
    positions = fg_calloc((size_t)partitions, sizeof(*positions));
    for (int32_t i = 0; i < partitions; i++)
        positions[i] = (struct fg_bus_position){ f->topic, i, begin_at(f, i) };
    bus->ops->consumer_assign(f->consumer, positions, (size_t)partitions);
    free(positions);
    return 0;
}

static void described(void *arg, const struct fg_bus_topic *topics, size_t n, const struct fg_error *err)
{
    struct fg_follow *f = arg;

    f->describing = false;
    if (!f->cb) {
        follow_free(f);
        return;
    }
    if (f->moving) {
        begin_again(f);
        return;
    }
    if (err || n != 1 || topics[0].partitions <= 0 || open_reader(f, topics[0].partitions) < 0)
        f->process->env->ops->timer_start(f->retry, RETRY_MS);
}

static void describe(void *arg)
{
    struct fg_follow *f = arg;
    const char *name = f->topic;

    f->describing = true;
    f->kafka->bus->ops->describe(f->kafka->bus, &name, 1, described, f);
}

/* On the Kafka that the process has now. */
static void begin_again(struct fg_follow *f)
{
    f->moving = false;
    fg_kafka_unref(f->kafka);
    f->kafka = fg_kafka_ref(f->process->kafka);
    if (!f->kafka)
        return;
    if (!f->kafka->bus->traits.durable)
        remember_partitions(f, 0); /* it begins empty */
    describe(f);
}

static bool topic_is_known(const struct fg_process *process, const char *topic)
{
    const char *role, *pipeline, *known;

    for (size_t k = 0; (known = fg_config_topic_at(process->config, k, &role, &pipeline)); k++)
        if (strcmp(known, topic) == 0)
            return true;
    return false;
}

struct fg_follow *fg_process_follow(struct fg_process *process, const char *topic, int64_t tail, fg_follow_cb cb,
                                    void *arg, struct fg_error *err)
{
    struct fg_follow *f;

    if (!process->kafka || !topic_is_known(process, topic)) {
        (void)fg_raise(fg_error_set(err, FG_E_NOT_FOUND, 0, "\"%s\" is no topic of this pipeline file", topic));
        return NULL;
    }
    f = fg_calloc(1, sizeof(*f));
    f->process = process;
    f->topic = fg_strdup(topic);
    f->tail = tail;
    f->cb = cb;
    f->arg = arg;
    f->kafka = fg_kafka_ref(process->kafka);
    f->retry = process->env->ops->timer_new(process->env, describe, f);
    fg_list_append(&process->follows, &f->link);
    process->parts[FG_PART_FOLLOW]++;
    describe(f);
    return f;
}

static void reader_closed(void *arg)
{
    struct fg_follow *f = arg;

    if (f->cb)
        begin_again(f);
    else
        follow_free(f);
}

static void close_reader(struct fg_follow *f)
{
    struct fg_bus_consumer *consumer = f->consumer;

    f->consumer = NULL;
    f->kafka->bus->ops->consumer_close(consumer, reader_closed, f);
}

void fg_follow_stop(struct fg_follow *f)
{
    if (!f || !f->cb)
        return;
    f->cb = NULL;
    fg_list_remove(&f->link);
    f->process->env->ops->timer_free(f->retry);
    f->retry = NULL;
    if (f->consumer)
        close_reader(f);
    else if (!f->describing && !f->moving)
        follow_free(f);
}

void fg_follow_stop_all(struct fg_process *process)
{
    struct fg_list *it, *tmp;

    fg_list_for_each_safe(it, tmp, &process->follows)
        fg_follow_stop(fg_container_of(it, struct fg_follow, link));
}

static void move(struct fg_follow *f)
{
    if (f->moving)
        return; /* it takes what the process has when it comes to it */
    f->process->env->ops->timer_stop(f->retry);
    f->moving = true;
    if (f->consumer)
        close_reader(f);
    else if (!f->describing)
        begin_again(f);
}

void fg_follow_move_all(struct fg_process *process)
{
    struct fg_list *it, *tmp;

    fg_list_for_each_safe(it, tmp, &process->follows)
        move(fg_container_of(it, struct fg_follow, link));
}
