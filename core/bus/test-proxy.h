/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between librdkafka and a broker, so that a test can lose exactly the request or the answer that it means: one thread
 * that passes Kafka's frames on, counts requests by their kind, and swallows what its rule says.
 *
 * librdkafka connects to the addresses that brokers tell, so proxy_redirect() takes over its connect() instead.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bus/rdkafka/rdkafka-private.h"
#include "bus/test-kafka.h"

enum { API_PRODUCE = 0, API_METADATA = 3, API_END_TXN = 26, API_MAX = 128 };
enum proxy_rule { PASS, LOSE_REQUESTS, LOSE_ANSWERS, LOSE_ALL };

#define PROXY_LINKS   64
#define PROXY_PENDING 1024 /* requests of one connection without answer; librdkafka sends far fewer */

/* One direction of a connection: bytes of a frame that is not complete. */
struct proxy_way {
    uint8_t *bytes; /* owned */
    size_t len, cap;
};

struct proxy_link {
    int client, broker; /* -1: unused */
    struct proxy_way up, down;
    int16_t pending[PROXY_PENDING]; /* kinds of the requests passed on, in order, as their answers come */
    size_t asked, answered;
};

struct proxy {
    int listener;
    struct sockaddr_in address, broker;
    pthread_t thread;
    atomic_bool end;
    atomic_int rule, api;        /* what is swallowed, of which kind */
    atomic_uint seen[API_MAX];   /* requests that came, swallowed or not */
    atomic_uint lost;            /* requests or answers swallowed */
    struct proxy_link links[PROXY_LINKS];
};

static inline void proxy_drop(struct proxy_link *l)
{
    close(l->client);
    close(l->broker);
    free(l->up.bytes);
    free(l->down.bytes);
    memset(l, 0, sizeof(*l));
    l->client = l->broker = -1;
}

static inline bool proxy_send(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* Whether this frame goes on. @request: its kind, or -1 for an answer. */
static inline bool proxy_passes(struct proxy *p, int16_t api, bool request)
{
    int rule = atomic_load(&p->rule);
    bool mine = api == atomic_load(&p->api);
    bool lose = rule == LOSE_ALL || (mine && rule == (request ? LOSE_REQUESTS : LOSE_ANSWERS));

    if (lose)
        atomic_fetch_add(&p->lost, 1);
    return !lose;
}

static inline bool proxy_frame(struct proxy *p, struct proxy_link *l, bool up, const uint8_t *frame, size_t len)
{
    int16_t api;

    if (up) {
        api = (int16_t)(frame[4] << 8 | frame[5]);
        if (api >= 0 && api < API_MAX)
            atomic_fetch_add(&p->seen[api], 1);
        if (!proxy_passes(p, api, true))
            return true;
        l->pending[l->asked++ % PROXY_PENDING] = api;
        return proxy_send(l->broker, frame, len);
    }
    api = l->pending[l->answered++ % PROXY_PENDING];
    return !proxy_passes(p, api, false) || proxy_send(l->client, frame, len);
}

/* false: the connection has ended. */
static inline bool proxy_read(struct proxy *p, struct proxy_link *l, bool up)
{
    struct proxy_way *way = up ? &l->up : &l->down;
    size_t at = 0;
    ssize_t n;

    if (way->cap - way->len < 65536) {
        way->cap = 2 * way->cap + 131072;
        way->bytes = realloc(way->bytes, way->cap);
    }
    n = recv(up ? l->client : l->broker, way->bytes + way->len, way->cap - way->len, 0);
    if (n <= 0)
        return false;
    way->len += (size_t)n;
    while (way->len - at >= 8) {
        const uint8_t *f = way->bytes + at;
        size_t len = ((size_t)f[0] << 24 | (size_t)f[1] << 16 | (size_t)f[2] << 8 | f[3]) + 4;
        if (way->len - at < len)
            break;
        if (!proxy_frame(p, l, up, f, len))
            return false;
        at += len;
    }
    memmove(way->bytes, way->bytes + at, way->len - at);
    way->len -= at;
    return true;
}

static inline void proxy_accept(struct proxy *p)
{
    int client = accept(p->listener, NULL, NULL), broker = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct proxy_link *l = p->links;

    while (l < p->links + PROXY_LINKS && l->client >= 0)
        l++;
    if (client < 0 || l == p->links + PROXY_LINKS ||
        connect(broker, (struct sockaddr *)&p->broker, sizeof(p->broker)) < 0) {
        close(client);
        close(broker);
        return;
    }
    l->client = client;
    l->broker = broker;
}

static inline void *proxy_main(void *arg)
{
    struct proxy *p = arg;
    struct pollfd fds[1 + 2 * PROXY_LINKS];

    while (!atomic_load(&p->end)) {
        fds[0] = (struct pollfd){ .fd = p->listener, .events = POLLIN };
        for (size_t i = 0; i < PROXY_LINKS; i++) {
            fds[1 + 2 * i] = (struct pollfd){ .fd = p->links[i].client, .events = POLLIN };
            fds[2 + 2 * i] = (struct pollfd){ .fd = p->links[i].broker, .events = POLLIN };
        }
        if (poll(fds, 1 + 2 * PROXY_LINKS, 20) <= 0)
            continue;
        for (size_t i = 0; i < PROXY_LINKS; i++)
            if ((fds[1 + 2 * i].revents && !proxy_read(p, &p->links[i], true)) ||
                (fds[2 + 2 * i].revents && !proxy_read(p, &p->links[i], false)))
                proxy_drop(&p->links[i]);
        if (fds[0].revents)
            proxy_accept(p);
    }
    return NULL;
}

/* librdkafka's callback has no place for one of ours: there is one proxy at a time. */
static struct proxy *the_proxy;

static inline int proxy_connect(int fd, const struct sockaddr *address, int len, const char *id, void *opaque)
{
    (void)address, (void)len, (void)id, (void)opaque;
    if (!the_proxy) /* what a failed test left behind */
        return ECONNREFUSED;
    return connect(fd, (struct sockaddr *)&the_proxy->address, sizeof(the_proxy->address)) < 0 && errno != EINPROGRESS
               ? errno
               : 0;
}

static inline void proxy_redirect(struct fg_bus *bus)
{
    rd_kafka_conf_set_connect_cb(((struct fg_rd_bus *)bus)->common, proxy_connect);
}

static inline void proxy_start(struct proxy *p)
{
    const char *broker = getenv("FRAGUA_KAFKA_PLAIN");
    socklen_t len = sizeof(p->address);

    memset(p, 0, sizeof(*p));
    for (size_t i = 0; i < PROXY_LINKS; i++)
        p->links[i].client = p->links[i].broker = -1;
    p->broker = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    p->broker.sin_port = htons((uint16_t)strtoul(strchr(broker, ':') + 1, NULL, 10));
    p->address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&p->address, sizeof(p->address)), 0);
    assert_int_equal(listen(p->listener, 64), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&p->address, &len), 0);
    the_proxy = p;
    assert_int_equal(pthread_create(&p->thread, NULL, proxy_main, p), 0);
}

/* Of this kind, from now on. @api counts for LOSE_REQUESTS and LOSE_ANSWERS alone. */
static inline void proxy_lose(struct proxy *p, enum proxy_rule rule, int api)
{
    atomic_store(&p->lost, 0);
    atomic_store(&p->api, api);
    atomic_store(&p->rule, rule);
}

static inline void proxy_end(struct proxy *p)
{
    atomic_store(&p->end, true);
    pthread_join(p->thread, NULL);
    for (size_t i = 0; i < PROXY_LINKS; i++)
        if (p->links[i].client >= 0)
            proxy_drop(&p->links[i]);
    close(p->listener);
    the_proxy = NULL;
}
