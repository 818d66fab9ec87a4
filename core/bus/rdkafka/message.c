/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages leave librdkafka as copies. One of its own would pin the whole answer of the broker that it came in (up to
 * megabytes for a small record, seen by no budget), and would have to be freed before the handle can be destroyed.
 */
#include <stdlib.h>
#include <string.h>

#include "bus/rdkafka/rdkafka-private.h"

struct copy {
    struct fg_bus_message message; /* first */
    struct fg_header headers[];    /* then the bytes of everything */
};

static void release(struct fg_bus_message *message)
{
    free(message);
}

static struct fg_slice put(char **at, const void *bytes, size_t len)
{
    struct fg_slice s = {*at, bytes ? len : 0};

    if (s.len)
        memcpy(*at, bytes, s.len);
    *at += s.len;
    return s;
}

static struct fg_slice give(char **at, const void *bytes, size_t len, bool passing)
{
    return passing && len ? fg_slice_make(bytes, len) : put(at, bytes, len);
}

/* Sizes first, then the bytes: the same walk twice. @to NULL: only count. */
static size_t walk_headers(const rd_kafka_headers_t *from, size_t n, struct fg_header *to, char **at)
{
    const char *name;
    const void *value;
    size_t size, bytes = 0;

    for (size_t i = 0; i < n; i++) {
        if (rd_kafka_header_get_all(from, i, &name, &value, &size))
            break;
        bytes += strlen(name) + size;
        if (to) {
            to[i].name = put(at, name, strlen(name));
            to[i].value = put(at, value, size);
        }
    }
    return bytes;
}

struct fg_bus_message *fg_rd_message_copy(const rd_kafka_message_t *m, bool passing)
{
    const char *topic = rd_kafka_topic_name(m->rkt);
    rd_kafka_headers_t *headers = NULL;
    rd_kafka_timestamp_type_t type;
    size_t n = 0, bytes;
    struct copy *copy;
    char *at;

    if (!rd_kafka_message_headers(m, &headers))
        n = rd_kafka_header_cnt(headers);
    bytes = strlen(topic) + 1 + (passing ? 0 : m->key_len + m->len) + walk_headers(headers, n, NULL, NULL);
    if (!(copy = malloc(sizeof(*copy) + n * sizeof(struct fg_header) + bytes)))
        return NULL;
    at = (char *)(copy->headers + n);
    walk_headers(headers, n, copy->headers, &at);
    copy->message = (struct fg_bus_message){
        .partition = m->partition,
        .offset = m->offset,
        .timestamp_ms = rd_kafka_message_timestamp(m, &type),
        .tombstone = !m->payload,
        .headers = copy->headers,
        .n_headers = n,
        .release = release,
    };
    copy->message.key = give(&at, m->key, m->key_len, passing);
    copy->message.value = give(&at, m->payload, m->len, passing);
    copy->message.topic = put(&at, topic, strlen(topic) + 1).ptr;
    return &copy->message;
}
