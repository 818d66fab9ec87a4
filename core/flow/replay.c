/* SPDX-License-Identifier: Apache-2.0 */
/* A replay's life: which topics are there, its handles, one step after the other, the end. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "flow/replay-private.h"

#define BATCH_RECORDS 500u
#define BATCH_BYTES   (4u << 20)
#define PATIENCE_MS   30000u

void replay_wake(struct fg_replay *r)
{
    r->alive_ms = fg_env_now_ms(r->c.env);
    r->c.env->ops->timer_start(r->turn, 0);
}

void replay_fail(struct fg_replay *r, const struct fg_error *err)
{
    if (r->err.code == FG_E_NONE)
        r->err = *err;
    r->phase = REPLAY_CLOSE;
}

void replay_failf(struct fg_replay *r, int code, const char *format, ...)
{
    struct fg_error err = FG_ERROR_NULL;
    char text[FG_ERROR_TEXT_MAX];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    (void)fg_error_set(&err, code, 0, "%s", text);
    replay_fail(r, &err);
}

/* ---- which topics are there ---- */

static void add_topic(struct fg_replay *r, const char *topic)
{
    for (size_t i = 0; i < r->n_topics; i++)
        if (strcmp(r->topics[i], topic) == 0)
            return;
    r->topics = fg_reallocarray(r->topics, r->n_topics + 1, sizeof(*r->topics));
    r->topics[r->n_topics++] = topic;
}

static void collect_topics(struct fg_replay *r)
{
    add_topic(r, r->c.dead_topic);
    for (size_t i = 0; i < r->c.n_routes; i++) {
        const struct fg_replay_route *route = &r->c.routes[i];
        for (size_t k = 0; k < route->n_inputs; k++)
            add_topic(r, route->inputs[k]);
        for (size_t k = 0; route->source && k < route->n_outputs; k++)
            add_topic(r, route->outputs[k].topic);
    }
    r->there = fg_calloc(r->n_topics, sizeof(*r->there));
}

static void on_described(void *arg, const struct fg_bus_topic *topics, size_t n, const struct fg_error *err)
{
    struct fg_replay *r = arg;

    r->describing = false;
    if (r->phase == REPLAY_CHECK && err) {
        replay_fail(r, err);
    } else if (r->phase == REPLAY_CHECK && topics[0].partitions <= 0) {
        replay_failf(r, FG_E_NOT_FOUND, "topic \"%s\" does not exist: there are no dead letters", r->c.dead_topic);
    } else if (r->phase == REPLAY_CHECK) {
        for (size_t i = 0; i < n; i++)
            r->there[i] = topics[i].partitions > 0;
        r->n_parts = (size_t)topics[0].partitions;
        r->parts = fg_calloc(r->n_parts, sizeof(*r->parts));
        for (size_t i = 0; i < r->n_parts; i++)
            r->parts[i] = (struct replay_part){.partition = (int32_t)i, .end = -1};
        r->phase = REPLAY_OPEN;
    }
    replay_wake(r);
}

/* ---- handles ---- */

void replay_trouble(struct fg_replay *r, const struct fg_error *err)
{
    r->trouble = err ? *err : FG_ERROR_NULL;
    if (err && (err->code == FG_E_AUTH || err->code == FG_E_CONFIG) && r->phase != REPLAY_CLOSE)
        replay_fail(r, err);
    r->c.env->ops->timer_start(r->turn, 0); /* no sign of life */
}

void replay_closed(void *arg)
{
    struct fg_replay *r = arg;

    r->closing--;
    replay_wake(r);
}

static void step_open(struct fg_replay *r)
{
    if (!r->consumer)
        replay_consumer_open(r);
    if (r->phase == REPLAY_CLOSE)
        return;
    if (r->c.dry) {
        r->phase = REPLAY_ASK;
        return;
    }
    if (!r->producer)
        replay_producer_open(r);
    else if (r->producer_dead)
        replay_fail(r, &r->trouble);
    else if (r->producer_ready)
        r->phase = REPLAY_ASK;
}

/* ---- the end ---- */

static void step_close(struct fg_replay *r)
{
    if (r->working || r->describing || r->asking)
        return; /* bounded, and they would call back */
    replay_producer_close(r);
    replay_consumer_close(r);
    if (r->closing || r->publishing)
        return;
    replay_batch_clear(r);
    r->phase = REPLAY_DONE;
}

/* ---- the turn ---- */

/* Nothing is heard of Kafka: after a while that is the end. A transaction ends by itself. */
static bool watches(const struct fg_replay *r)
{
    return r->phase == REPLAY_OPEN || r->phase == REPLAY_ASK || r->phase == REPLAY_END || r->phase == REPLAY_READ ||
           r->phase == REPLAY_REOPEN;
}

static void look(struct fg_replay *r)
{
    uint64_t now = fg_env_now_ms(r->c.env), until = r->alive_ms + r->c.patience_ms;

    if (r->phase == REPLAY_PAUSE) {
        until = r->due_ms;
    } else if (!watches(r)) {
        r->c.env->ops->timer_stop(r->watch);
        return;
    } else if (now >= until) {
        if (r->trouble.code != FG_E_NONE)
            replay_fail(r, &r->trouble);
        else
            replay_failf(r, FG_E_TIMEOUT, "Kafka has not answered for %u s", r->c.patience_ms / 1000);
        r->c.env->ops->timer_start(r->turn, 0);
        return;
    }
    r->c.env->ops->timer_start(r->watch, until > now ? until - now : 0);
}

static void step(struct fg_replay *r)
{
    switch (r->phase) {
    case REPLAY_OPEN: step_open(r); break;
    case REPLAY_ASK: replay_step_ask(r); break;
    case REPLAY_END: replay_step_end(r); break;
    case REPLAY_READ: replay_step_read(r); break;
    case REPLAY_WORK: replay_step_work(r); break;
    case REPLAY_PUBLISH: replay_step_publish(r); break;
    case REPLAY_PAUSE: replay_step_pause(r); break;
    case REPLAY_REOPEN: replay_step_reopen(r); break;
    case REPLAY_CLOSE: step_close(r); break;
    case REPLAY_CHECK:
    case REPLAY_DONE: break;
    }
}

static void advance(struct fg_replay *r)
{
    enum replay_phase before;

    /* before a batch is there, nothing is lost by ending at once */
    if (r->stopping && (r->phase == REPLAY_CHECK || r->phase == REPLAY_OPEN || r->phase == REPLAY_ASK ||
                        r->phase == REPLAY_END)) {
        r->counts.interrupted = true;
        r->phase = REPLAY_CLOSE;
    }
    do {
        before = r->phase;
        step(r);
    } while (r->phase != before && r->phase != REPLAY_DONE);
    if (r->phase != REPLAY_DONE) {
        look(r);
        return;
    }
    r->c.env->ops->timer_stop(r->turn);
    r->c.env->ops->timer_stop(r->watch);
    r->c.done(r->c.arg, &r->counts, r->err.code == FG_E_NONE ? NULL : &r->err);
}

static void on_turn(void *arg)
{
    advance(arg);
}

struct fg_replay *fg_replay_start(const struct fg_replay_config *config)
{
    struct fg_replay *r = fg_calloc(1, sizeof(*r));

    r->c = *config;
    if (!r->c.batch_records)
        r->c.batch_records = BATCH_RECORDS;
    if (!r->c.batch_bytes)
        r->c.batch_bytes = BATCH_BYTES;
    if (!r->c.patience_ms)
        r->c.patience_ms = PATIENCE_MS;
    if (asprintf(&r->group, "fragua-replay-%s", config->dead_topic) < 0)
        r->group = NULL;
    fg_assert(r->group);
    r->turn = r->c.env->ops->timer_new(r->c.env, on_turn, r);
    r->watch = r->c.env->ops->timer_new(r->c.env, on_turn, r);
    r->alive_ms = fg_env_now_ms(r->c.env);
    collect_topics(r);
    r->describing = true;
    r->c.bus->ops->describe(r->c.bus, r->topics, r->n_topics, on_described, r);
    return r;
}

void fg_replay_stop(struct fg_replay *r)
{
    r->stopping = true;
    if (r->phase != REPLAY_DONE)
        r->c.env->ops->timer_start(r->turn, 0);
}

void fg_replay_counts(const struct fg_replay *r, struct fg_replay_counts *ret)
{
    *ret = r->counts;
}

struct fg_replay *fg_replay_free(struct fg_replay *r)
{
    if (!r)
        return NULL;
    fg_assert(r->phase == REPLAY_DONE);
    for (size_t i = 0; i < r->n_parts; i++) {
        fg_account_deinit(&r->parts[i].account);
        fg_account_deinit(&r->parts[i].ahead);
        free(r->parts[i].text);
    }
    r->c.env->ops->timer_free(r->turn);
    r->c.env->ops->timer_free(r->watch);
    free(r->parts);
    free(r->topics);
    free(r->there);
    free(r->group);
    free(r);
    return NULL;
}
