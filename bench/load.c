/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents into Kafka, entities out of it, both timed:
 *
 *   load topics BROKERS PARTITIONS TOPIC...      make topics
 *   load fill BROKERS TOPIC N                    write N documents as quickly as they go
 *   load count BROKERS TOPIC N                   read N new entities; says when (seconds of CLOCK_MONOTONIC) the first,
 *                                                the 10th, the 90th and the 100th percent of them were there
 *   load rate BROKERS IN OUT PER_SECOND SECONDS  write documents, open loop, at random moments (Poisson); prints the
 *                                                milliseconds from each one's writing until its entities were read
 *   load trace BROKERS IN OUT PER_SECOND SECONDS as rate, but prints when each was written and when it was there
 *
 * The reader sees committed transactions only. `count` and `rate` print "ready" once they read.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "load.h"

#define TEXT_MEAN 5600u /* bytes; with what is around it a document is about 6 KB */
#define TEXT_MAX  20000u
#define WARM_S    0.5   /* seconds at the beginning of `rate`, not measured */
#define LATE_MS   15000 /* what has not come then is lost */

static const char words[] = "Dear colleagues, please find attached the report on order 4711 of the second quarter with "
                            "the figures that we agreed on in Tuesday's meeting in Lisbon; the invoice over 1.842,75 "
                            "EUR is due on 16 March 2026 and goes to accounts@fabrikam.example as always.\\nKind "
                            "regards from all of us in Malm\xc3\xb6, and thanks for the quick answer.\\n";

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* In (0, 1]. */
static double uniform(uint64_t *state)
{
    return (double)((next_random(state) >> 11) + 1) / 9007199254740992.0;
}

/* ---- documents ---- */

struct documents {
    rd_kafka_t *rk;
    const char *topic;
    uint64_t token; /* of this run */
    uint64_t random;
    char value[TEXT_MAX + 1024];
    atomic_size_t failed;
};

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct documents *d = opaque;

    if (m->err)
        atomic_fetch_add(&d->failed, 1);
}

static size_t add_text(char *out, size_t len)
{
    size_t n = 0;

    /* whole rounds only: no escape is cut in two */
    while (n == 0 || n + sizeof(words) - 1 <= len) {
        memcpy(out + n, words, sizeof(words) - 1);
        n += sizeof(words) - 1;
    }
    return n;
}

static void document_put(struct documents *d, size_t seq)
{
    double len = -log(uniform(&d->random)) * TEXT_MEAN;
    char id[64], key[32];
    rd_kafka_resp_err_t rd;
    size_t n;

    (void)snprintf(id, sizeof(id), "%llx-%zu", (unsigned long long)d->token, seq);
    (void)snprintf(key, sizeof(key), "conversation-%u", (unsigned)(next_random(&d->random) % 5000));
    n = (size_t)snprintf(d->value, 1024,
                         "{\"id\":\"%s\",\"mailbox\":\"anna@contoso.example\",\"folder\":\"inbox\",\"change\":"
                         "\"created\",\"internet_message_id\":\"<%s@contoso.example>\",\"subject\":\"Order 4711\","
                         "\"from\":{\"name\":\"Fabrikam\",\"address\":\"accounts@fabrikam.example\"},"
                         "\"received_at\":\"2026-03-02T08:00:00Z\",\"language\":\"en\",\"text\":\"",
                         id, id);
    n += add_text(d->value + n, len < TEXT_MAX ? (size_t)len : TEXT_MAX);
    n += (size_t)snprintf(d->value + n, 256,
                          "\",\"html_truncated\":false,\"parts\":[],\"fields\":[],\"tables\":[],\"attachments\":[]}");
    while ((rd = rd_kafka_producev(d->rk, RD_KAFKA_V_TOPIC(d->topic), RD_KAFKA_V_KEY(key, strlen(key)),
                                   RD_KAFKA_V_VALUE(d->value, n), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                   RD_KAFKA_V_HEADER("ce_specversion", "1.0", -1), RD_KAFKA_V_HEADER("ce_id", id, -1),
                                   RD_KAFKA_V_HEADER("ce_source", "bench", -1),
                                   RD_KAFKA_V_HEADER("ce_type", "fragua.mail.document.v1", -1),
                                   RD_KAFKA_V_HEADER("content-type", "application/json", -1), RD_KAFKA_V_END)))
        if (rd == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            (void)rd_kafka_poll(d->rk, 10);
        else
            bench_die("topic %s: %s", d->topic, rd_kafka_err2str(rd));
}

static void documents_open(struct documents *d, const char *brokers, const char *topic, const char *linger_ms)
{
    const char *const settings[] = {"bootstrap.servers",
                                    brokers,
                                    "linger.ms",
                                    linger_ms,
                                    "partitioner",
                                    "murmur2_random",
                                    "socket.nagle.disable",
                                    "true",
                                    "queue.buffering.max.kbytes",
                                    "65536",
                                    NULL};

    d->rk = bench_kafka_new(RD_KAFKA_PRODUCER, settings, delivered, d);
    d->topic = topic;
    d->token = bench_now_ns();
    d->random = 88172645463325252u; /* the same documents in every run */
    (void)bench_partitions(d->rk, topic);
}

static void documents_close(struct documents *d)
{
    if (rd_kafka_flush(d->rk, 60000) || atomic_load(&d->failed))
        bench_die("topic %s: %zu documents were not taken", d->topic, atomic_load(&d->failed));
    rd_kafka_destroy(d->rk);
}

/* ---- entities ---- */

struct reader {
    rd_kafka_t *rk;
    int partitions, at_end;
};

/* Where a partition ends; or exit. Of a new topic not every broker knows yet who leads it. */
static int64_t end_of(rd_kafka_t *rk, const char *topic, int partition)
{
    uint64_t give_up = bench_now_ns() + 20000000000u;
    struct timespec wait = {.tv_nsec = 50 * 1000 * 1000};
    rd_kafka_resp_err_t rd;
    int64_t low, high;

    while ((rd = rd_kafka_query_watermark_offsets(rk, topic, partition, &low, &high, 10000))) {
        if (bench_now_ns() > give_up)
            bench_die("topic %s: %s", topic, rd_kafka_err2str(rd));
        (void)nanosleep(&wait, NULL);
    }
    return high;
}

/* Reads from the present end of the topic on. */
static void reader_open(struct reader *r, const char *brokers, const char *topic)
{
    const char *const settings[] = {"bootstrap.servers",
                                    brokers,
                                    "group.id",
                                    "bench-reader",
                                    "isolation.level",
                                    "read_committed",
                                    "enable.auto.commit",
                                    "false",
                                    "socket.nagle.disable",
                                    "true",
                                    "check.crcs",
                                    "false",
                                    "queued.min.messages",
                                    "100000",
                                    NULL};
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);

    r->rk = bench_kafka_new(RD_KAFKA_CONSUMER, settings, NULL, NULL);
    (void)rd_kafka_poll_set_consumer(r->rk);
    r->partitions = bench_partitions(r->rk, topic);
    for (int i = 0; i < r->partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = end_of(r->rk, topic, i);
    if (rd_kafka_assign(r->rk, list))
        bench_die("topic %s: cannot read it", topic);
    rd_kafka_topic_partition_list_destroy(list);
    (void)printf("ready\n");
    (void)fflush(stdout);
}

static rd_kafka_message_t *reader_next(struct reader *r, int timeout_ms)
{
    rd_kafka_message_t *m = rd_kafka_consumer_poll(r->rk, timeout_ms);

    if (m && m->err) {
        (void)fprintf(stderr, "reading: %s\n", rd_kafka_message_errstr(m));
        rd_kafka_message_destroy(m);
        return NULL;
    }
    return m;
}

static void reader_close(struct reader *r)
{
    (void)rd_kafka_consumer_close(r->rk);
    rd_kafka_destroy(r->rk);
}

/* ---- commands ---- */

static void make_topics(const char *brokers, int partitions, char **names, size_t n)
{
    const char *const settings[] = {"bootstrap.servers", brokers, NULL};
    rd_kafka_t *rk = bench_kafka_new(RD_KAFKA_PRODUCER, settings, NULL, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_NewTopic_t **topics = fg_calloc(n + 1, sizeof(rd_kafka_NewTopic_t *));
    char text[256];
    const rd_kafka_topic_result_t **results;
    rd_kafka_event_t *event;
    size_t n_results = 0;

    for (size_t i = 0; i < n; i++)
        if (!(topics[i] = rd_kafka_NewTopic_new(names[i], partitions, 1, text, sizeof(text))))
            bench_die("%s", text);
    rd_kafka_CreateTopics(rk, topics, n, NULL, queue);
    event = rd_kafka_queue_poll(queue, 30000);
    if (!event || rd_kafka_event_error(event))
        bench_die("cannot make topics: %s", event ? rd_kafka_event_error_string(event) : "no answer");
    results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n_results);
    for (size_t i = 0; i < n_results; i++)
        if (rd_kafka_topic_result_error(results[i]))
            bench_die("%s", rd_kafka_topic_result_error_string(results[i]));
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy_array(topics, n);
    free(topics);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static void fill(const char *brokers, const char *topic, size_t n)
{
    struct documents *d = fg_calloc(1, sizeof(*d));

    documents_open(d, brokers, topic, "20");
    for (size_t i = 0; i < n; i++) {
        document_put(d, i);
        (void)rd_kafka_poll(d->rk, 0);
    }
    documents_close(d);
    free(d);
}

static void count(const char *brokers, const char *topic, size_t n)
{
    struct reader r = {0};
    uint64_t heard = bench_now_ns();
    size_t seen = 0;

    reader_open(&r, brokers, topic);
    while (seen < n) {
        rd_kafka_message_t *m = reader_next(&r, 1000);
        uint64_t now = bench_now_ns();
        if (!m && now - heard > 60000000000u)
            bench_die("topic %s: only %zu of %zu entities came", topic, seen, n);
        if (!m)
            continue;
        rd_kafka_message_destroy(m);
        heard = now;
        seen++;
        if (seen == 1 || seen == n / 10 || seen == n - n / 10 || seen == n) {
            (void)printf("%zu %.6f\n", seen, (double)now / 1e9);
            (void)fflush(stdout);
        }
    }
    reader_close(&r);
}

/* One run of `rate`. `sent_ns` of a document is written before it is on its way. */
struct run {
    struct documents documents;
    struct reader reader;
    double per_second;
    size_t n, warm;
    uint64_t *sent_ns, *came_ns; /* arrays of n */
    size_t twice;
    atomic_bool all_sent;
};

static void sleep_until(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
        ;
}

static void *send_all(void *arg)
{
    struct run *run = arg;
    double at = (double)bench_now_ns();

    for (size_t i = 0; i < run->n; i++) {
        at -= log(uniform(&run->documents.random)) * 1e9 / run->per_second;
        sleep_until((uint64_t)at);
        /* from when it should have gone: a late sender must not flatter the figure */
        run->sent_ns[i] = (uint64_t)at;
        document_put(&run->documents, i);
        (void)rd_kafka_poll(run->documents.rk, 0);
    }
    atomic_store(&run->all_sent, true);
    return NULL;
}

/* Which document these entities are of; -1: of another run. */
static long which(const struct run *run, const rd_kafka_message_t *m)
{
    rd_kafka_headers_t *headers;
    const void *value;
    char *end;
    size_t size;

    if (rd_kafka_message_headers(m, &headers) || rd_kafka_header_get_last(headers, "ce_id", &value, &size))
        return -1;
    if (strtoull(value, &end, 16) != run->documents.token || *end != '-')
        return -1;
    return strtol(end + 1, NULL, 10);
}

static void read_all(struct run *run)
{
    uint64_t give_up = 0;

    for (size_t seen = 0; seen < run->n;) {
        rd_kafka_message_t *m = reader_next(&run->reader, 100);
        uint64_t now = bench_now_ns();
        long i = m ? which(run, m) : -1;
        if (m)
            rd_kafka_message_destroy(m);
        if (i >= 0 && (size_t)i < run->n) {
            run->twice += run->came_ns[i] != 0;
            seen += run->came_ns[i] == 0;
            if (!run->came_ns[i])
                run->came_ns[i] = now;
        }
        if (!give_up && atomic_load(&run->all_sent))
            give_up = now + LATE_MS * UINT64_C(1000000);
        if (give_up && now > give_up)
            return;
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* A line: how many are missing, how many came twice; then one for each that came: written, there, in seconds. */
static void print_trace(const struct run *run)
{
    size_t lost = 0;

    for (size_t i = run->warm; i < run->n; i++)
        lost += run->came_ns[i] == 0;
    (void)printf("%zu %zu\n", lost, run->twice);
    for (size_t i = run->warm; i < run->n; i++)
        if (run->came_ns[i])
            (void)printf("%.6f %.6f\n", (double)run->sent_ns[i] / 1e9, (double)run->came_ns[i] / 1e9);
}

/* One line: how many are missing, how many came twice, then all latencies in order. */
static void print_run(const struct run *run)
{
    double *ms = fg_calloc(run->n, sizeof(*ms));
    size_t n = 0, lost = 0;

    for (size_t i = run->warm; i < run->n; i++) {
        lost += run->came_ns[i] == 0;
        if (run->came_ns[i])
            ms[n++] = (double)(run->came_ns[i] - run->sent_ns[i]) / 1e6;
    }
    qsort(ms, n, sizeof(*ms), by_size);
    (void)printf("%zu %zu", lost, run->twice);
    for (size_t i = 0; i < n; i++)
        (void)printf(" %.3f", ms[i]);
    (void)printf("\n");
    free(ms);
}

static void rate(const char *brokers, char **topics, double per_second, double seconds,
                 void (*print)(const struct run *run))
{
    struct run *run = fg_calloc(1, sizeof(*run));
    pthread_t sender;

    if (per_second <= 0 || seconds <= 0)
        bench_die("PER_SECOND and SECONDS must be more than 0");
    run->per_second = per_second;
    run->warm = (size_t)(per_second * WARM_S);
    run->n = run->warm + (size_t)(per_second * seconds);
    run->sent_ns = fg_calloc(run->n, sizeof(*run->sent_ns));
    run->came_ns = fg_calloc(run->n, sizeof(*run->came_ns));
    documents_open(&run->documents, brokers, topics[0], "0");
    reader_open(&run->reader, brokers, topics[1]);
    if (pthread_create(&sender, NULL, send_all, run))
        bench_die("no thread");
    read_all(run);
    (void)pthread_join(sender, NULL);
    documents_close(&run->documents);
    reader_close(&run->reader);
    print(run);
    free(run->sent_ns);
    free(run->came_ns);
    free(run);
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";

    if (strcmp(command, "topics") == 0 && argc > 4)
        make_topics(argv[2], (int)strtol(argv[3], NULL, 10), argv + 4, (size_t)(argc - 4));
    else if (strcmp(command, "fill") == 0 && argc == 5)
        fill(argv[2], argv[3], strtoul(argv[4], NULL, 10));
    else if (strcmp(command, "count") == 0 && argc == 5)
        count(argv[2], argv[3], strtoul(argv[4], NULL, 10));
    else if (strcmp(command, "rate") == 0 && argc == 7)
        rate(argv[2], argv + 3, strtod(argv[5], NULL), strtod(argv[6], NULL), print_run);
    else if (strcmp(command, "trace") == 0 && argc == 7)
        rate(argv[2], argv + 3, strtod(argv[5], NULL), strtod(argv[6], NULL), print_trace);
    else
        bench_die("usage: %s topics|fill|count|rate|trace BROKERS ..., see the head of bench/load.c", argv[0]);
    return 0;
}
