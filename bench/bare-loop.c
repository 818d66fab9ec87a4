/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fragua's consumer is compared with: Kafka -> HTTP -> Kafka with librdkafka and libcurl and as little as possible
 * between them. No retries, no dead letters, no budget, no rewind: any error ends it.
 *
 *   bare-loop BROKERS IN OUT GROUP URL IN_FLIGHT [TRANSACTION_MS]
 *
 * With TRANSACTION_MS: transactions of that length, offsets inside, from the first record that is ready. Without:
 * offsets of what was delivered are committed every 100 ms. Prints "ready" when it has partitions. Ends on SIGTERM.
 */
#include <curl/curl.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "load.h"

#define RING       8192u /* records between being read and being delivered; a power of two */
#define COMMIT_MS  100u
#define ANSWER_MAX 65536u
#define BODY_MAX   65536u

enum state { ASKED, ANSWERED, SENT, DELIVERED };

struct place {
    rd_kafka_message_t *in;
    char *out; /* the entities record, owned */
    size_t out_len;
    enum state state;
};

struct call {
    CURL *easy;
    struct call *next_free;
    size_t place;
    size_t answer_len, body_len;
    char answer[ANSWER_MAX], body[BODY_MAX];
};

struct loop {
    rd_kafka_t *consumer, *producer;
    rd_kafka_queue_t *queue;
    CURLM *multi;
    struct curl_slist *headers;
    struct call *free_calls;
    const char *out_topic;
    int wake[2];
    /* [done, out) is with the producer, [out, in) with the service; counted for ever, taken modulo RING */
    size_t done, out, in;
    struct place ring[RING];
    uint64_t transaction_ns; /* 0: none */
    uint64_t began_ns;       /* of the open transaction, or the last commit */
    bool open;
    rd_kafka_topic_partition_list_t *offsets; /* to be committed */
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    ended = 1;
}

static void check(rd_kafka_error_t *error, const char *what)
{
    if (error)
        bench_die("%s: %s", what, rd_kafka_error_string(error));
}

static void rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t rd, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    if (rd != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        (void)rd_kafka_assign(rk, NULL);
        return;
    }
    (void)rd_kafka_assign(rk, list);
    (void)printf("ready\n");
    (void)fflush(stdout);
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct loop *l = opaque;

    if (m->err)
        bench_die("not delivered: %s", rd_kafka_err2str(m->err));
    l->ring[(size_t)(uintptr_t)m->_private % RING].state = DELIVERED;
}

static void note_offset(struct loop *l, const rd_kafka_message_t *m)
{
    const char *topic = rd_kafka_topic_name(m->rkt);
    rd_kafka_topic_partition_t *tp = rd_kafka_topic_partition_list_find(l->offsets, topic, m->partition);

    if (!tp)
        tp = rd_kafka_topic_partition_list_add(l->offsets, topic, m->partition);
    tp->offset = m->offset + 1;
}

/* ---- one record ---- */

static size_t on_answer(char *bytes, size_t size, size_t n, void *arg)
{
    struct call *c = arg;

    if (c->answer_len + n > sizeof(c->answer))
        return 0;
    memcpy(c->answer + c->answer_len, bytes, n);
    c->answer_len += n;
    return n;
}

/* The text as it stands in the document, in quotes: good enough for documents that load.c has written. */
static const char *find_text(const rd_kafka_message_t *m, size_t *ret_len)
{
    const char *end = (const char *)m->payload + m->len;
    const char *text = memmem(m->payload, m->len, "\"text\":\"", 8), *p;

    if (!text)
        bench_die("a document without text");
    text += 7;
    for (p = text + 1; p < end && *p != '"'; p++)
        p += *p == '\\';
    *ret_len = (size_t)(p + 1 - text);
    return text;
}

static void ask(struct loop *l, rd_kafka_message_t *m)
{
    struct call *c = l->free_calls;
    size_t len;
    const char *text = find_text(m, &len);

    if (len > BODY_MAX - 32)
        bench_die("a text of %zu bytes", len);
    l->free_calls = c->next_free;
    l->ring[l->in % RING] = (struct place){.in = m};
    c->place = l->in++;
    c->answer_len = 0;
    memcpy(c->body, "{\"text\":", 8);
    memcpy(c->body + 8, text, len);
    memcpy(c->body + 8 + len, ",\"language\":\"en\"}", 17);
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE, (long)(len + 25));
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->body);
    curl_multi_add_handle(l->multi, c->easy);
}

static void answered(struct loop *l, struct call *c)
{
    struct place *place = &l->ring[c->place % RING];
    const char *id = memmem(place->in->payload, place->in->len, "\"id\":\"", 6);
    size_t id_len = id ? strcspn(id + 6, "\"") + 7 : 0;

    place->out = fg_malloc(c->answer_len + id_len + 64);
    place->out_len = (size_t)snprintf(place->out, c->answer_len + id_len + 64,
                                      "{\"document\":{\"id\":%.*s},\"answer\":%.*s}", (int)id_len, id ? id + 5 : "",
                                      (int)c->answer_len, c->answer);
    place->state = ANSWERED;
    c->next_free = l->free_calls;
    l->free_calls = c;
}

static void produce(struct loop *l, size_t n)
{
    struct place *place = &l->ring[n % RING];
    rd_kafka_headers_t *in_headers;
    const void *id = "";
    size_t id_len = 0;
    rd_kafka_resp_err_t rd;

    if (!rd_kafka_message_headers(place->in, &in_headers))
        (void)rd_kafka_header_get_last(in_headers, "ce_id", &id, &id_len);
    do {
        rd = rd_kafka_producev(l->producer, RD_KAFKA_V_TOPIC(l->out_topic),
                               RD_KAFKA_V_KEY(place->in->key, place->in->key_len),
                               RD_KAFKA_V_VALUE(place->out, place->out_len), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                               RD_KAFKA_V_OPAQUE((void *)(uintptr_t)n), RD_KAFKA_V_HEADER("ce_id", id, (ssize_t)id_len),
                               RD_KAFKA_V_HEADER("ce_source", "bench", -1),
                               RD_KAFKA_V_HEADER("ce_type", "fragua.mail.entities.v1", -1), RD_KAFKA_V_END);
        if (rd == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            (void)rd_kafka_poll(l->producer, 10);
    } while (rd == RD_KAFKA_RESP_ERR__QUEUE_FULL);
    if (rd)
        bench_die("cannot write: %s", rd_kafka_err2str(rd));
    free(place->out);
    place->state = SENT;
    if (l->transaction_ns)
        note_offset(l, place->in);
}

/* ---- the turns of the loop ---- */

static void take(struct loop *l)
{
    rd_kafka_message_t *m;

    while (l->free_calls && l->in - l->done < RING && (m = rd_kafka_consumer_poll(l->consumer, 0))) {
        if (m->err)
            bench_die("reading: %s", rd_kafka_message_errstr(m));
        ask(l, m);
    }
}

static void collect(struct loop *l)
{
    CURLMsg *msg;
    int left, running;

    curl_multi_perform(l->multi, &running);
    while ((msg = curl_multi_info_read(l->multi, &left))) {
        CURLcode code = msg->data.result;
        CURL *easy = msg->easy_handle;
        long status = 0;
        struct call *c;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&c);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (code || status != 200)
            bench_die("the service: %s, status %ld", curl_easy_strerror(code), status);
        curl_multi_remove_handle(l->multi, easy);
        answered(l, c);
    }
}

/* Out in the order in which they came in. */
static void give(struct loop *l)
{
    while (l->out < l->in && l->ring[l->out % RING].state == ANSWERED) {
        if (l->transaction_ns && !l->open) {
            check(rd_kafka_begin_transaction(l->producer), "begin");
            l->open = true;
            l->began_ns = bench_now_ns();
        }
        produce(l, l->out++);
    }
    (void)rd_kafka_poll(l->producer, 0);
    while (l->done < l->out && l->ring[l->done % RING].state == DELIVERED) {
        rd_kafka_message_t *m = l->ring[l->done++ % RING].in;
        if (!l->transaction_ns)
            note_offset(l, m);
        rd_kafka_message_destroy(m);
    }
}

static void clear_offsets(struct loop *l)
{
    rd_kafka_topic_partition_list_destroy(l->offsets);
    l->offsets = rd_kafka_topic_partition_list_new(16);
}

static void commit(struct loop *l)
{
    uint64_t now = bench_now_ns(), length = l->transaction_ns ? l->transaction_ns : COMMIT_MS * 1000000u;

    if (now - l->began_ns < length || l->offsets->cnt == 0)
        return;
    if (l->transaction_ns) {
        rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata(l->consumer);
        check(rd_kafka_send_offsets_to_transaction(l->producer, l->offsets, group, -1), "offsets");
        rd_kafka_consumer_group_metadata_destroy(group);
        check(rd_kafka_commit_transaction(l->producer, -1), "commit");
        l->open = false;
    } else {
        (void)rd_kafka_commit(l->consumer, l->offsets, 1);
        l->began_ns = now;
    }
    clear_offsets(l);
}

static int wait_ms(const struct loop *l)
{
    uint64_t now = bench_now_ns(), length = l->transaction_ns ? l->transaction_ns : COMMIT_MS * 1000000u;

    if (l->offsets->cnt == 0 && l->done == l->out)
        return 1000;
    if (l->transaction_ns == 0 && l->done < l->out)
        return 2; /* delivery reports come without a wake-up */
    return now - l->began_ns >= length ? 0 : (int)((length - (now - l->began_ns)) / 1000000u) + 1;
}

static void run(struct loop *l)
{
    struct curl_waitfd fd = {.fd = l->wake[0], .events = CURL_WAIT_POLLIN};
    char bytes[256];

    while (!ended) {
        curl_multi_poll(l->multi, &fd, 1, wait_ms(l), NULL);
        while (read(l->wake[0], bytes, sizeof(bytes)) > 0)
            ;
        take(l);
        collect(l);
        give(l);
        commit(l);
        take(l);
    }
}

/* ---- making it ---- */

static void make_calls(struct loop *l, const char *url, size_t n)
{
    l->multi = curl_multi_init();
    curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, (long)n);
    l->headers = curl_slist_append(l->headers, "Content-Type: application/json");
    l->headers = curl_slist_append(l->headers, "Expect:");
    for (size_t i = 0; i < n; i++) {
        struct call *c = fg_calloc(1, sizeof(*c));
        c->easy = curl_easy_init();
        curl_easy_setopt(c->easy, CURLOPT_URL, url);
        curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, l->headers);
        curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_answer);
        curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
        curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
        c->next_free = l->free_calls;
        l->free_calls = c;
    }
}

static void open_kafka(struct loop *l, const char *brokers, const char *in, const char *group)
{
    const char *const to[] = {"bootstrap.servers",
                              brokers,
                              "enable.idempotence",
                              "true",
                              "linger.ms",
                              "5",
                              "partitioner",
                              "murmur2_random",
                              "socket.nagle.disable",
                              "true",
                              l->transaction_ns ? "transactional.id" : NULL,
                              group,
                              NULL};
    const char *const from[] = {"bootstrap.servers",
                                brokers,
                                "group.id",
                                group,
                                "auto.offset.reset",
                                "earliest",
                                "enable.auto.commit",
                                "false",
                                "isolation.level",
                                "read_committed",
                                "socket.nagle.disable",
                                "true",
                                NULL};
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[512];

    l->producer = bench_kafka_new(RD_KAFKA_PRODUCER, to, delivered, l);
    if (l->transaction_ns)
        check(rd_kafka_init_transactions(l->producer, 30000), "init");
    (void)bench_partitions(l->producer, l->out_topic);
    for (const char *const *p = from; *p; p += 2)
        if (rd_kafka_conf_set(conf, p[0], p[1], text, sizeof(text)))
            bench_die("%s", text);
    rd_kafka_conf_set_rebalance_cb(conf, rebalance);
    if (!(l->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text))))
        bench_die("%s", text);
    (void)rd_kafka_poll_set_consumer(l->consumer);
    l->queue = rd_kafka_queue_get_consumer(l->consumer);
    if (pipe2(l->wake, O_NONBLOCK | O_CLOEXEC) < 0)
        bench_die("no pipe");
    rd_kafka_queue_io_event_enable(l->queue, l->wake[1], "1", 1);
    rd_kafka_topic_partition_list_add(topics, in, RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(l->consumer, topics))
        bench_die("cannot subscribe to %s", in);
    rd_kafka_topic_partition_list_destroy(topics);
}

int main(int argc, char **argv)
{
    struct loop *l = fg_calloc(1, sizeof(*l));

    if (argc < 7)
        bench_die("usage: %s BROKERS IN OUT GROUP URL IN_FLIGHT [TRANSACTION_MS]", argv[0]);
    (void)signal(SIGTERM, on_signal);
    (void)signal(SIGPIPE, SIG_IGN);
    l->out_topic = argv[3];
    l->transaction_ns = argc > 7 ? strtoul(argv[7], NULL, 10) * 1000000u : 0;
    l->offsets = rd_kafka_topic_partition_list_new(16);
    make_calls(l, argv[5], strtoul(argv[6], NULL, 10));
    open_kafka(l, argv[1], argv[2], argv[4]);
    run(l);
    /* the process ends here: what is open is read again by the next one */
    _exit(0);
}
