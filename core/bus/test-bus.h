/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the bus share: a loop that runs until something is so, and a reader that keeps what came. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <cmocka.h>

#include "base/mem.h"
#include "bus/embedded/embedded.h"

#define PATIENCE_MS 30000 /* a test that waits longer has failed */

struct world {
    uv_loop_t loop;
    uv_timer_t timer;
    bool late;
    struct fg_bus *bus;
};

static inline void world_late(uv_timer_t *timer)
{
    ((struct world *)timer->data)->late = true;
}

static inline void world_init(struct world *w)
{
    memset(w, 0, sizeof(*w));
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(uv_timer_init(&w->loop, &w->timer), 0);
    w->timer.data = w;
}

/* Runs the loop until the condition holds, or fails the test. */
#define until_ms(w, ms, condition)                                                                                     \
    do {                                                                                                               \
        (w)->late = false;                                                                                             \
        uv_timer_start(&(w)->timer, world_late, (ms), 0);                                                              \
        while (!(condition) && !(w)->late)                                                                             \
            uv_run(&(w)->loop, UV_RUN_ONCE);                                                                           \
        uv_timer_stop(&(w)->timer);                                                                                    \
        if (!(condition))                                                                                              \
            fail_msg("not within %d ms: %s", (int)(ms), #condition);                                                   \
    } while (0)
#define until(w, condition) until_ms(w, PATIENCE_MS, condition)
/* Runs the loop for a while, for what must not happen. */
#define for_ms(w, ms)                                                                                                  \
    do {                                                                                                               \
        (w)->late = false;                                                                                             \
        uv_timer_start(&(w)->timer, world_late, (ms), 0);                                                              \
        while (!(w)->late)                                                                                             \
            uv_run(&(w)->loop, UV_RUN_ONCE);                                                                           \
    } while (0)

static inline void note(void *flag)
{
    *(bool *)flag = true;
}

static inline void bus_end(struct world *w)
{
    bool closed = false;

    w->bus->ops->close(w->bus, note, &closed);
    until(w, closed);
    w->bus = NULL;
}

static inline void world_end(struct world *w)
{
    if (w->bus)
        bus_end(w);
    uv_close((uv_handle_t *)&w->timer, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0); /* every handle was closed */
}

#define READER_PARTITIONS 16

struct reader {
    struct world *w;
    struct fg_bus_consumer *consumer;
    struct fg_bus_message **messages; /* owned array of n owned ones */
    size_t n, cap;
    bool keep_none;        /* count only */
    size_t pause_at;       /* pause when so many have come; 0: never */
    int64_t start;         /* where an assignment begins; 0: where the group is, else at the beginning */
    unsigned assignments, revocations;
    unsigned asked; /* questions for the group's offsets without an answer yet */
    bool lost;
    bool hold_revoke, hold_assign; /* do not answer revoked(), assigned() */
    struct fg_bus_position parts[READER_PARTITIONS]; /* topics borrowed from the test */
    size_t n_parts;
    int64_t end[READER_PARTITIONS]; /* -1: not there */
    unsigned ends;
    struct fg_error trouble; /* NONE: none */
    unsigned troubles;
    const char *topic;
};

static inline void reader_ask(struct reader *r);

static inline void reader_begin(struct reader *r)
{
    if (!r->hold_assign)
        r->w->bus->ops->consumer_assign(r->consumer, r->parts, r->n_parts);
    r->assignments++;
}

static inline void reader_answered(void *arg, const struct fg_bus_position *positions, size_t n,
                                   const struct fg_error *err)
{
    struct reader *r = arg;

    if (--r->asked > 0 || r->n_parts == 0 || (err && err->code == FG_E_CANCELLED))
        return;
    if (err) {
        reader_ask(r);
        return;
    }
    for (size_t i = 0; i < n; i++)
        r->parts[i].offset = positions[i].offset >= 0 ? positions[i].offset : FG_BUS_BEGINNING;
    reader_begin(r);
}

static inline void reader_ask(struct reader *r)
{
    r->asked++;
    r->w->bus->ops->consumer_committed(r->consumer, r->parts, r->n_parts, reader_answered, r);
}

static inline void reader_assigned(void *arg, const struct fg_bus_position *partitions, size_t n)
{
    struct reader *r = arg;

    r->n_parts = n;
    for (size_t i = 0; i < n; i++)
        r->parts[i] = (struct fg_bus_position){ .topic = r->topic, .partition = partitions[i].partition,
                                                 .offset = r->start };
    if (r->hold_assign || r->start)
        reader_begin(r);
    else
        reader_ask(r);
}

static inline void reader_revoked(void *arg, const struct fg_bus_position *partitions, size_t n, bool lost)
{
    struct reader *r = arg;

    (void)partitions, (void)n;
    r->revocations++;
    r->lost = lost;
    r->n_parts = 0;
    if (!r->hold_revoke)
        r->w->bus->ops->consumer_unassign(r->consumer);
}

static inline void reader_message(void *arg, struct fg_bus_message *message)
{
    struct reader *r = arg;

    if (r->keep_none) {
        r->n++;
        fg_bus_message_free(message);
    } else {
        if (r->n == r->cap) {
            r->cap = r->cap ? 2 * r->cap : 64;
            r->messages = realloc(r->messages, r->cap * sizeof(*r->messages));
            assert_non_null(r->messages);
        }
        r->messages[r->n++] = message;
    }
    if (r->pause_at && r->n == r->pause_at)
        r->w->bus->ops->consumer_pause(r->consumer, true);
}

static inline void reader_end(void *arg, const struct fg_bus_position *position)
{
    struct reader *r = arg;

    r->end[position->partition] = position->offset;
    r->ends++;
}

static inline void reader_trouble(void *arg, const struct fg_error *err)
{
    struct reader *r = arg;

    r->trouble = err ? *err : FG_ERROR_NULL;
    r->troubles++;
}

static const struct fg_bus_consumer_events reader_events = {
    .assigned = reader_assigned,
    .revoked = reader_revoked,
    .message = reader_message,
    .end = reader_end,
    .trouble = reader_trouble,
};

/* @group NULL: the test assigns. @r may have start, keep_none, pause_at set. */
static inline void reader_open(struct reader *r, struct world *w, const char *group, const char *topic)
{
    struct fg_bus_consumer_config config = { .group = group, .topics = &topic, .n_topics = 1, .want_end = true,
                                             .session_timeout_ms = 6000 };
    struct fg_error err = FG_ERROR_NULL;

    r->w = w;
    r->topic = topic;
    for (size_t i = 0; i < READER_PARTITIONS; i++)
        r->end[i] = -1;
    if (fg_bus_consumer_open(w->bus, &config, &reader_events, r, &r->consumer, &err) < 0)
        fail_msg("%s", err.text);
}

static inline void reader_forget(struct reader *r)
{
    for (size_t i = 0; i < r->n && !r->keep_none; i++)
        fg_bus_message_free(r->messages[i]);
    free(r->messages);
    r->messages = NULL;
    r->n = r->cap = 0;
}

static inline void reader_close(struct reader *r)
{
    bool closed = false;

    r->w->bus->ops->consumer_close(r->consumer, note, &closed);
    until(r->w, closed);
    reader_forget(r);
}

struct writer {
    struct world *w;
    struct fg_bus_producer *producer;
    bool ready, done;
    enum fg_bus_outcome outcome;
    struct fg_error err, trouble;
    unsigned troubles;
};

static inline void writer_ready(void *arg)
{
    ((struct writer *)arg)->ready = true;
}

static inline void writer_trouble(void *arg, const struct fg_error *err)
{
    struct writer *p = arg;

    p->trouble = err ? *err : FG_ERROR_NULL;
    p->troubles++;
}

static inline void writer_published(void *arg, enum fg_bus_outcome outcome, const struct fg_error *err)
{
    struct writer *p = arg;

    p->done = true;
    p->outcome = outcome;
    p->err = err ? *err : FG_ERROR_NULL;
}

/* @bus: the world's, or one beside it. */
static inline void writer_begin_as(struct writer *p, struct world *w, struct fg_bus *bus,
                                   const struct fg_bus_producer_config *config)
{
    static const struct fg_bus_producer_events events = { .ready = writer_ready, .trouble = writer_trouble };
    struct fg_error err = FG_ERROR_NULL;

    *p = (struct writer){ .w = w };
    if (fg_bus_producer_open(bus, config, &events, p, &p->producer, &err) < 0)
        fail_msg("%s", err.text);
}

static inline void writer_begin(struct writer *p, struct world *w, const char *transactional_id, const char *topic)
{
    const struct fg_bus_producer_config config = { .transactional_id = transactional_id, .topics = &topic,
                                                   .n_topics = topic ? 1 : 0 };

    writer_begin_as(p, w, w->bus, &config);
}

static inline void writer_open(struct writer *p, struct world *w, const char *transactional_id, const char *topic)
{
    writer_begin(p, w, transactional_id, topic);
    until(w, p->ready);
}

static inline void writer_publish(struct writer *p, const struct fg_bus_publish *publish)
{
    p->done = false;
    p->w->bus->ops->producer_publish(p->producer, publish, writer_published, p);
}

/* n records "v0".. with keys "k<i % keys>", partition by key; waits, and expects them to count. */
static inline void writer_write(struct writer *p, const char *topic, size_t from, size_t n, size_t keys)
{
    struct fg_bus_outgoing *m = calloc(n, sizeof(*m));
    char(*text)[2][24] = calloc(n, sizeof(*text));
    struct fg_bus_publish publish = { .messages = m, .n_messages = n };

    assert_non_null(m);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) {
        snprintf(text[i][0], 24, "k%zu", (from + i) % keys);
        snprintf(text[i][1], 24, "v%zu", from + i);
        m[i] = (struct fg_bus_outgoing){ .topic = topic, .key = fg_slice_of(text[i][0]),
                                         .value = fg_slice_of(text[i][1]), .timestamp_ms = 1700000000000 + (int64_t)i,
                                         .partition = -1 };
    }
    writer_publish(p, &publish);
    until(p->w, p->done);
    if (p->outcome != FG_BUS_DONE)
        fail_msg("%s", p->err.text);
    free(m);
    free(text);
}

static inline void writer_close(struct writer *p)
{
    bool closed = false;

    p->w->bus->ops->producer_close(p->producer, note, &closed);
    until(p->w, closed);
}
