/* SPDX-License-Identifier: Apache-2.0 */
/* Topics: what exists, settings, making some. One handle and one lane for the whole bus, made when first needed. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bus/rdkafka/rdkafka-private.h"

#define SETTLE_WAIT_NS 100000000 /* between looks whether a new topic is known by now */
#define LOOK_SLICE_MS 500        /* between looks whether the handle has said why nobody answers */
#define LOOK_PATIENCE_MS 2000    /* a reason that is no refusal may pass by itself for so long */

struct admin_job {
    struct fg_lane_job job;
    struct fg_rd_bus *bus;
    struct fg_bus_topic *topics; /* owned array of n with owned names */
    size_t n;
    fg_bus_topics_cb done;
    fg_bus_inspected_cb inspected; /* instead of done */
    struct fg_bus_cluster cluster; /* for it */
    void *arg;
    int r;
    struct fg_error err;
};

static uint64_t now_ms(void)
{
    return fg_clock_mono_ns(&fg_clock_system) / 1000000;
}

/* A consumer without group: its questions never make topics, as a producer's can. */
static int make_handle(struct fg_rd_bus *bus, struct fg_error *err)
{
    rd_kafka_conf_t *conf;

    if (bus->admin_rk)
        return 0;
    conf = rd_kafka_conf_dup(bus->common);
    (void)rd_kafka_conf_set(conf, "statistics.interval.ms", "0", NULL, 0);
    if (!bus->make_topic) /* the mock brokers do not know the question, and librdkafka would warn of it */
        (void)rd_kafka_conf_set(conf, "allow.auto.create.topics", "false", NULL, 0);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_ERROR);
    fg_trouble_init(&bus->admin_trouble);
    bus->admin_rk = fg_rd_new(bus, RD_KAFKA_CONSUMER, conf, &bus->self, err);
    if (bus->admin_rk)
        return 0;
    fg_trouble_deinit(&bus->admin_trouble);
    return -FG_E_CONFIG;
}

/* Takes in what the handle has said about its brokers. A refused certificate shows nowhere else. */
static void listen_to_handle(struct fg_rd_bus *bus)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_get_main(bus->admin_rk);
    rd_kafka_event_t *event;

    while ((event = rd_kafka_queue_poll(queue, 0))) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
            fg_trouble_hint(&bus->admin_trouble, rd_kafka_event_error(event), rd_kafka_event_error_string(event), true);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
}

/* Asks until there is an answer, the deadline, or a reason why none will come. */
static rd_kafka_resp_err_t look_up_patiently(struct fg_rd_bus *bus, const char *name, uint64_t deadline_ms,
                                             struct fg_rd_topic *ret, struct fg_error *ret_why)
{
    uint64_t began = now_ms();

    for (;;) {
        uint64_t now = now_ms(), left = now < deadline_ms ? deadline_ms - now : 1;
        rd_kafka_resp_err_t rd =
            fg_rd_look_up(bus, bus->admin_rk, name, left < LOOK_SLICE_MS ? (int)left : LOOK_SLICE_MS, ret);
        if (rd != RD_KAFKA_RESP_ERR__TIMED_OUT && rd != RD_KAFKA_RESP_ERR__TRANSPORT) {
            fg_trouble_proved(&bus->admin_trouble, rd == RD_KAFKA_RESP_ERR_NO_ERROR);
            return rd;
        }
        listen_to_handle(bus);
        fg_trouble_why(&bus->admin_trouble, ret_why);
        if (ret_why->code == FG_E_AUTH || (ret_why->code != FG_E_NONE && now_ms() - began >= LOOK_PATIENCE_MS) ||
            now_ms() >= deadline_ms)
            return rd;
    }
}

rd_kafka_resp_err_t fg_rd_look_up(struct fg_rd_bus *bus, rd_kafka_t *rk, const char *name, int timeout_ms,
                                  struct fg_rd_topic *ret)
{
    const struct rd_kafka_metadata *metadata = NULL;
    /* The mock brokers make any topic that they are asked about by name, so they are asked for all. */
    rd_kafka_topic_t *rkt = bus->make_topic ? NULL : rd_kafka_topic_new(rk, name, NULL);
    rd_kafka_resp_err_t rd;

    if (!rkt && !bus->make_topic)
        return rd_kafka_last_error();
    rd = rd_kafka_metadata(rk, !rkt, rkt, &metadata, timeout_ms);
    if (rkt)
        rd_kafka_topic_destroy(rkt);
    if (rd)
        return rd;
    *ret = (struct fg_rd_topic){.err = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART};
    for (int i = 0; i < metadata->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *t = &metadata->topics[i];
        if (strcmp(t->topic, name) != 0)
            continue;
        ret->err = t->err ? t->err : t->partition_cnt ? 0 : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        ret->partitions = ret->err ? 0 : t->partition_cnt;
        ret->replication = ret->err ? 0 : t->partitions[0].replica_cnt;
    }
    rd_kafka_metadata_destroy(metadata);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static int look_at(struct fg_rd_bus *bus, struct fg_bus_topic *topic, uint64_t deadline_ms, struct fg_error *err)
{
    struct fg_rd_topic found = {0};
    struct fg_error why = FG_ERROR_NULL;
    rd_kafka_resp_err_t rd;
    char what[128];

    (void)snprintf(what, sizeof(what), "Kafka: cannot look up topic \"%.60s\"", topic->name);
    rd = look_up_patiently(bus, topic->name, deadline_ms, &found, &why);
    if (rd && why.code != FG_E_NONE) {
        *err = why;
        return -why.code;
    }
    if (rd == RD_KAFKA_RESP_ERR__TIMED_OUT)
        return fg_rd_error(err, RD_KAFKA_RESP_ERR__TRANSPORT, what, "no broker answers");
    if (rd)
        return fg_rd_error(err, rd, what, NULL);
    topic->partitions = found.partitions;
    topic->replication = found.replication;
    rd = found.err;
    if (rd && rd != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART && rd != RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC &&
        rd != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
        return fg_rd_error(err, rd, what, NULL);
    return 0;
}

static void run_describe(struct fg_lane_job *base)
{
    struct admin_job *job = fg_container_of(base, struct admin_job, job);
    uint64_t deadline_ms = now_ms() + FG_RD_ADMIN_TIMEOUT_MS;

    job->r = make_handle(job->bus, &job->err);
    for (size_t i = 0; job->r == 0 && i < job->n; i++)
        job->r = look_at(job->bus, &job->topics[i], deadline_ms, &job->err);
}

/* ---- create ---- */

static rd_kafka_NewTopic_t *new_topic(const struct fg_bus_topic *topic, struct fg_error *err)
{
    char text[256];
    rd_kafka_NewTopic_t *t =
        rd_kafka_NewTopic_new(topic->name, topic->partitions, topic->replication, text, sizeof(text));

    if (!t) {
        fg_error_set(err, FG_E_CONFIG, 0, "Kafka: topic \"%s\": %s", topic->name, text);
        return NULL;
    }
    if (topic->compacted)
        (void)rd_kafka_NewTopic_set_config(t, "cleanup.policy", "compact");
    return t;
}

static int read_result(rd_kafka_event_t *event, struct fg_error *err)
{
    const rd_kafka_topic_result_t **results;
    rd_kafka_resp_err_t rd;
    char what[128];
    size_t n;

    if (!event)
        return fg_raise(fg_error_set(err, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "Kafka: no answer about new topics"));
    if ((rd = rd_kafka_event_error(event)))
        return fg_rd_error(err, rd, "Kafka: cannot make topics", rd_kafka_event_error_string(event));
    results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);
    for (size_t i = 0; i < n; i++) {
        rd = rd_kafka_topic_result_error(results[i]);
        if (!rd || rd == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            continue;
        (void)snprintf(what, sizeof(what), "Kafka: cannot make topic \"%.60s\"",
                       rd_kafka_topic_result_name(results[i]));
        return fg_rd_error(err, rd, what, rd_kafka_topic_result_error_string(results[i]));
    }
    return 0;
}

static int ask_brokers(struct admin_job *job, rd_kafka_NewTopic_t **topics)
{
    rd_kafka_t *rk = job->bus->admin_rk;
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_event_t *event;
    char text[64];
    int r;

    (void)rd_kafka_AdminOptions_set_request_timeout(options, FG_RD_ADMIN_TIMEOUT_MS, text, sizeof(text));
    rd_kafka_CreateTopics(rk, topics, job->n, options, queue);
    event = rd_kafka_queue_poll(queue, FG_RD_ADMIN_TIMEOUT_MS + 1000);
    r = read_result(event, &job->err);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    return r;
}

static int create_on_brokers(struct admin_job *job)
{
    rd_kafka_NewTopic_t **topics = fg_calloc(job->n, sizeof(rd_kafka_NewTopic_t *));
    size_t n = 0;
    int r = 0;

    while (n < job->n && (topics[n] = new_topic(&job->topics[n], &job->err)))
        n++;
    if (n < job->n)
        r = -FG_E_CONFIG;
    else
        r = ask_brokers(job, topics);
    while (n > 0)
        rd_kafka_NewTopic_destroy(topics[--n]);
    free(topics);
    return r;
}

/* CreateTopics answers before the brokers know the topics (seen: half a second). */
static int wait_until_known(struct admin_job *job)
{
    uint64_t deadline_ms = now_ms() + FG_RD_ADMIN_TIMEOUT_MS;
    struct timespec wait = {.tv_nsec = SETTLE_WAIT_NS};
    int r = 0;

    for (size_t i = 0; r == 0 && i < job->n;) {
        r = look_at(job->bus, &job->topics[i], deadline_ms, &job->err);
        if (job->topics[i].partitions > 0)
            i++;
        else if (r == 0 && now_ms() >= deadline_ms)
            r = fg_raise(fg_error_set(&job->err, FG_E_TIMEOUT, FG_ERROR_RETRIABLE,
                                      "Kafka: topic \"%s\" was made, but the brokers don't know it yet",
                                      job->topics[i].name));
        else if (r == 0)
            (void)nanosleep(&wait, NULL);
    }
    return r;
}

static void run_create(struct fg_lane_job *base)
{
    struct admin_job *job = fg_container_of(base, struct admin_job, job);

    job->r = make_handle(job->bus, &job->err);
    if (job->r < 0 || job->n == 0)
        return;
    if (job->bus->make_topic)
        for (size_t i = 0; job->r == 0 && i < job->n; i++)
            job->r = job->bus->make_topic(job->bus->embedded, &job->topics[i], &job->err);
    else
        job->r = create_on_brokers(job);
    if (job->r == 0)
        job->r = wait_until_known(job);
}

/* ---- inspect ---- */

/* The first broker's number, and how many there are. */
static bool find_brokers(struct admin_job *job, char ret_id[16])
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t rd = rd_kafka_metadata(job->bus->admin_rk, 0, NULL, &metadata, LOOK_SLICE_MS * 4);

    if (rd)
        return false;
    job->cluster.brokers = metadata->broker_cnt;
    if (metadata->broker_cnt > 0)
        (void)snprintf(ret_id, 16, "%d", (int)metadata->brokers[0].id);
    rd_kafka_metadata_destroy(metadata);
    return job->cluster.brokers > 0;
}

static int64_t number_of(const char *value)
{
    return value ? strtoll(value, NULL, 10) : 0;
}

static void take_setting(struct fg_bus_topic *topic, const char *name, const char *value)
{
    if (!value)
        return;
    if (strcmp(name, "cleanup.policy") == 0) {
        topic->compacted = strstr(value, "compact") != NULL;
        topic->deletes = strstr(value, "delete") != NULL;
    } else if (strcmp(name, "min.insync.replicas") == 0) {
        topic->min_insync = (int32_t)number_of(value);
    } else if (strcmp(name, "retention.ms") == 0) {
        topic->retention_ms = number_of(value);
    } else if (strcmp(name, "max.message.bytes") == 0) {
        topic->message_bytes_max = number_of(value);
    }
}

static void take_resource(struct admin_job *job, const rd_kafka_ConfigResource_t *resource)
{
    bool is_topic = rd_kafka_ConfigResource_type(resource) == RD_KAFKA_RESOURCE_TOPIC;
    struct fg_bus_topic *topic = NULL;
    const rd_kafka_ConfigEntry_t **entries;
    size_t n;

    for (size_t i = 0; is_topic && i < job->n; i++)
        if (strcmp(job->topics[i].name, rd_kafka_ConfigResource_name(resource)) == 0)
            topic = &job->topics[i];
    entries = rd_kafka_ConfigResource_configs(resource, &n);
    for (size_t i = 0; i < n; i++) {
        const char *name = rd_kafka_ConfigEntry_name(entries[i]), *value = rd_kafka_ConfigEntry_value(entries[i]);
        if (topic)
            take_setting(topic, name, value);
        else if (!is_topic && strcmp(name, "offsets.retention.minutes") == 0)
            job->cluster.offsets_retention_ms = number_of(value) * 60000;
    }
}

/* true: a topic that is known by now has no settings yet on the broker that answered: ask again. */
static bool take_settings(struct admin_job *job, rd_kafka_event_t *event)
{
    struct fg_error *why = &job->cluster.settings;
    const rd_kafka_ConfigResource_t **resources;
    rd_kafka_resp_err_t rd;
    bool again = false;
    char what[128];
    size_t n;

    *why = FG_ERROR_NULL;
    if (!event || (rd = rd_kafka_event_error(event))) {
        fg_rd_error(why, event ? rd : RD_KAFKA_RESP_ERR__TIMED_OUT, "Kafka: settings cannot be read",
                    event ? rd_kafka_event_error_string(event) : NULL);
        return false;
    }
    resources = rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &n);
    for (size_t i = 0; i < n; i++) {
        rd = rd_kafka_ConfigResource_error(resources[i]);
        again = again || rd == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        if (!rd) {
            take_resource(job, resources[i]);
        } else if (rd_kafka_ConfigResource_type(resources[i]) == RD_KAFKA_RESOURCE_TOPIC) {
            (void)snprintf(what, sizeof(what), "Kafka: settings of topic \"%.60s\" cannot be read",
                           rd_kafka_ConfigResource_name(resources[i]));
            fg_rd_error(why, rd, what, NULL);
        }
    }
    return again;
}

static bool ask_settings(struct admin_job *job, const char *broker)
{
    rd_kafka_t *rk = job->bus->admin_rk;
    rd_kafka_ConfigResource_t **asked = fg_calloc(job->n + 1, sizeof(rd_kafka_ConfigResource_t *));
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_event_t *event;
    size_t n = 0;
    char text[64];
    bool again;

    asked[n++] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_BROKER, broker);
    for (size_t i = 0; i < job->n; i++)
        if (job->topics[i].partitions > 0)
            asked[n++] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, job->topics[i].name);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, FG_RD_ADMIN_TIMEOUT_MS, text, sizeof(text));
    rd_kafka_DescribeConfigs(rk, asked, n, options, queue);
    event = rd_kafka_queue_poll(queue, FG_RD_ADMIN_TIMEOUT_MS + 1000);
    again = take_settings(job, event);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy_array(asked, n);
    free(asked);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    return again;
}

/* Settings are for people: where they cannot be had, the rest is told all the same, and why. */
static void run_inspect(struct fg_lane_job *base)
{
    struct admin_job *job = fg_container_of(base, struct admin_job, job);
    struct timespec wait = {.tv_nsec = SETTLE_WAIT_NS};
    uint64_t deadline_ms;
    char broker[16];

    run_describe(base);
    if (job->r < 0)
        return;
    deadline_ms = now_ms() + FG_RD_ADMIN_TIMEOUT_MS / 2;
    if (job->bus->make_topic) /* the mock brokers have no settings */
        fg_error_set(&job->cluster.settings, FG_E_NOT_FOUND, 0, "embedded brokers have no settings");
    else if (!find_brokers(job, broker))
        fg_error_set(&job->cluster.settings, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "Kafka: no broker answers");
    else
        while (ask_settings(job, broker) && now_ms() < deadline_ms)
            (void)nanosleep(&wait, NULL);
}

/* ---- on the loop ---- */

static void admin_done(struct fg_lane_job *base)
{
    struct admin_job *job = fg_container_of(base, struct admin_job, job);

    if (job->inspected)
        job->inspected(job->arg, &job->cluster, job->r < 0 ? NULL : job->topics, job->r < 0 ? 0 : job->n,
                       job->r < 0 ? &job->err : NULL);
    else if (job->r < 0)
        job->done(job->arg, NULL, 0, &job->err);
    else
        job->done(job->arg, job->topics, job->n, NULL);
    for (size_t i = 0; i < job->n; i++)
        free((char *)(uintptr_t)job->topics[i].name);
    free(job->topics);
    free(job);
}

static struct admin_job *job_new(struct fg_rd_bus *bus, size_t n, fg_bus_topics_cb done, void *arg)
{
    const struct fg_lane_hooks hooks = {0};
    struct admin_job *job = fg_calloc(1, sizeof(*job));

    if (!bus->admin_started) {
        int r = fg_lane_open(&bus->admin, "fg:admin", bus->loop, &hooks);
        fg_assert(r == 0);
        bus->admin_started = true;
    }
    job->job.done = admin_done;
    job->bus = bus;
    job->topics = fg_calloc(n + 1, sizeof(*job->topics));
    job->n = n;
    job->done = done;
    job->arg = arg;
    return job;
}

static void post_names(struct admin_job *job, const char *const *names, void (*run)(struct fg_lane_job *))
{
    job->job.run = run;
    for (size_t i = 0; i < job->n; i++)
        job->topics[i].name = fg_strdup(names[i]);
    fg_lane_post(&job->bus->admin, &job->job);
}

void fg_rd_describe(struct fg_bus *bus, const char *const *names, size_t n, fg_bus_topics_cb done, void *arg)
{
    post_names(job_new((struct fg_rd_bus *)bus, n, done, arg), names, run_describe);
}

void fg_rd_inspect(struct fg_bus *bus, const char *const *names, size_t n, fg_bus_inspected_cb done, void *arg)
{
    struct admin_job *job = job_new((struct fg_rd_bus *)bus, n, NULL, arg);

    job->inspected = done;
    post_names(job, names, run_inspect);
}

void fg_rd_create(struct fg_bus *bus, const struct fg_bus_topic *topics, size_t n, fg_bus_topics_cb done, void *arg)
{
    struct admin_job *job = job_new((struct fg_rd_bus *)bus, n, done, arg);

    job->job.run = run_create;
    for (size_t i = 0; i < n; i++) {
        job->topics[i] = topics[i];
        job->topics[i].name = fg_strdup(topics[i].name);
    }
    fg_lane_post(&job->bus->admin, &job->job);
}

static void run_close(struct fg_lane_job *base)
{
    struct fg_rd_bus *bus = fg_container_of(base, struct admin_job, job)->bus;

    if (bus->admin_rk) {
        rd_kafka_destroy(bus->admin_rk);
        fg_trouble_deinit(&bus->admin_trouble);
    }
    if (bus->deinit)
        bus->deinit(bus->embedded);
}

static void close_done(struct fg_lane_job *base)
{
    struct admin_job *job = fg_container_of(base, struct admin_job, job);

    free(job->topics);
    free(job);
}

void fg_rd_admin_close(struct fg_rd_bus *bus, fg_done_cb closed, void *arg)
{
    struct admin_job *job = job_new(bus, 0, NULL, NULL);

    job->job.run = run_close;
    job->job.done = close_done;
    fg_lane_close(&bus->admin, &job->job, closed, arg);
}
