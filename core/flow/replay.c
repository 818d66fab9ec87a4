/* SPDX-License-Identifier: Apache-2.0 */
/* A replay's life: handles, committed offsets, reading up to the end, one transaction after the other. */
#include "flow/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "flow/replay-private.h"

#define BATCH_RECORDS  500u
#define BATCH_BYTES    (4u << 20)
#define PATIENCE_MS    30000u
#define TRIES_MAX      10u  /* aborts of one batch, and dead producers, in a row */
#define PAUSE_BASE_MS  100u /* before another try: full jitter, doubled each time */
#define PAUSE_CAP_MS   5000u
#define ASK_AGAIN_MS   200u /* for committed offsets that were not told */

static void advance(struct fg_replay *r);

/* Something happened: decide about it in a turn of its own. */
static void wake(struct fg_replay *r)
{
    r->alive_ms = fg_env_now_ms(r->c.env);
    r->c.env->ops->timer_start(r->turn, 0);
}

static void on_turn(void *arg)
{
    advance(arg);
}

static void fail(struct fg_replay *r, const struct fg_error *err)
{
    if (r->err.code == FG_E_NONE)
        r->err = *err;
    r->phase = REPLAY_CLOSE;
}

__attribute__((format(printf, 3, 4))) static void failf(struct fg_replay *r, int code, const char *format, ...)
{
    struct fg_error err = FG_ERROR_NULL;
    char text[FG_ERROR_TEXT_MAX];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    (void)fg_error_set(&err, code, 0, "%s", text);
    fail(r, &err);
}

/* ---- which topics are there ---- */

static void add_topic(struct fg_replay *r, const char *topic)
{
    for (size_t i = 0; i < r->n_topics; i++)
        if (strcmp(r->topics[i], topic) == 0)
            return;
    r->topics = reallocarray(r->topics, r->n_topics + 1, sizeof(*r->topics));
    fg_assert(r->topics);
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
        fail(r, err);
    } else if (r->phase == REPLAY_CHECK && topics[0].partitions <= 0) {
        failf(r, FG_E_NOT_FOUND, "topic \"%s\" does not exist: there are no dead letters", r->c.dead_topic);
    } else if (r->phase == REPLAY_CHECK) {
        for (size_t i = 0; i < n; i++)
            r->there[i] = topics[i].partitions > 0;
        r->n_parts = (size_t)topics[0].partitions;
        r->parts = fg_calloc(r->n_parts, sizeof(*r->parts));
        for (size_t i = 0; i < r->n_parts; i++)
            r->parts[i] = (struct replay_part){.partition = (int32_t)i, .end = -1};
        r->phase = REPLAY_OPEN;
    }
    wake(r);
}

/* ---- handles ---- */

static void on_trouble(struct fg_replay *r, const struct fg_error *err)
{
    r->trouble = err ? *err : FG_ERROR_NULL;
    if (err && (err->code == FG_E_AUTH || err->code == FG_E_CONFIG) && r->phase != REPLAY_CLOSE)
        fail(r, err);
    r->c.env->ops->timer_start(r->turn, 0); /* no sign of life */
}

static void on_producer_ready(void *arg)
{
    struct fg_replay *r = arg;

    r->producer_ready = true;
    wake(r);
}

static void on_producer_trouble(void *arg, const struct fg_error *err)
{
    struct fg_replay *r = arg;

    if (err && err->fatal)
        r->producer_dead = true;
    if (err && err->code == FG_E_AUTH && r->phase != REPLAY_CLOSE)
        failf(r, FG_E_AUTH, "as transactional id \"%.80s\": %.150s", r->group, err->text);
    on_trouble(r, err);
}

static void on_closed(void *arg)
{
    struct fg_replay *r = arg;

    r->closing--;
    wake(r);
}

static void open_producer(struct fg_replay *r)
{
    static const struct fg_bus_producer_events events = {.ready = on_producer_ready, .trouble = on_producer_trouble};
    const char **topics = fg_calloc(r->n_topics, sizeof(*topics));
    struct fg_bus_producer_config config = {.topics = topics};
    struct fg_error err = FG_ERROR_NULL;

    if (r->c.bus->traits.transactional)
        config.transactional_id = r->group;
    for (size_t i = 1; i < r->n_topics; i++)
        if (r->there[i])
            topics[config.n_topics++] = r->topics[i];
    r->producer_ready = r->producer_dead = false;
    if (fg_bus_producer_open(r->c.bus, &config, &events, r, &r->producer, &err) < 0) {
        r->producer = NULL;
        fail(r, &err);
    }
    free(topics);
}

static void close_producer(struct fg_replay *r)
{
    struct fg_bus_producer *producer = r->producer;

    r->producer = NULL;
    r->producer_ready = r->producer_dead = false;
    if (!producer)
        return;
    r->closing++;
    r->c.bus->ops->producer_close(producer, on_closed, r);
}

static struct replay_part *part_of(struct fg_replay *r, int32_t partition)
{
    return partition >= 0 && (size_t)partition < r->n_parts ? &r->parts[partition] : NULL;
}

static void end_part(struct fg_replay *r, struct replay_part *part)
{
    if (part->ended)
        return;
    part->ended = true;
    r->parts_open--;
}

static bool batch_is_full(const struct fg_replay *r)
{
    return r->batch.n >= r->c.batch_records || r->batch.bytes >= r->c.batch_bytes;
}

/* One that is chosen and not replayed yet goes into the batch. */
static void take_letter(struct fg_replay *r, struct replay_part *part, struct fg_bus_message *m)
{
    const struct fg_record_view view = {.key = m->key, .value = m->value, .headers = m->headers,
                                        .n_headers = m->n_headers, .timestamp_ms = m->timestamp_ms};
    const struct fg_bus_position at = {r->c.dead_topic, m->partition, m->offset, NULL};
    struct fg_letter letter;

    fg_letter_read(&view, &at, &letter);
    if (fg_account_has(&part->account, m->offset)) {
        r->counts.already++;
    } else if (!fg_letter_is_chosen(&letter, r->c.conditions, r->c.n_conditions)) {
        r->counts.passed++;
    } else {
        r->taken++;
        replay_batch_add(r, part, m);
        return;
    }
    fg_bus_message_free(m);
}

static void on_message(void *arg, struct fg_bus_message *m)
{
    struct fg_replay *r = arg;
    struct replay_part *part = part_of(r, m->partition);
    int64_t offset = m->offset;

    /* anything else is of an assignment that only asked for the end, or came after it */
    if (r->phase != REPLAY_READ || !part || part->ended || offset >= part->end || offset <= part->seen) {
        if (r->phase == REPLAY_READ && part && offset >= part->end)
            end_part(r, part);
        fg_bus_message_free(m);
    } else {
        take_letter(r, part, m);
        part->seen = offset;
        if (offset + 1 >= part->end)
            end_part(r, part);
        for (size_t i = 0; r->c.limit && r->taken >= r->c.limit && i < r->n_parts; i++)
            end_part(r, &r->parts[i]);
    }
    wake(r);
    if (batch_is_full(r))
        r->c.bus->ops->consumer_pause(r->consumer, true);
}

static void on_end(void *arg, const struct fg_bus_position *at)
{
    struct fg_replay *r = arg;
    struct replay_part *part = part_of(r, at->partition);

    if (part && r->phase == REPLAY_END && part->end < 0)
        part->end = at->offset;
    else if (part && r->phase == REPLAY_READ && at->offset >= part->end)
        end_part(r, part);
    wake(r);
}

static void on_consumer_trouble(void *arg, const struct fg_error *err)
{
    on_trouble(arg, err);
}

static void on_assigned(void *arg, const struct fg_bus_position *partitions, size_t n)
{
}

static void on_revoked(void *arg, const struct fg_bus_position *partitions, size_t n, bool lost)
{
}

static void step_open(struct fg_replay *r)
{
    static const struct fg_bus_consumer_events events = {
        .assigned = on_assigned,
        .revoked = on_revoked,
        .message = on_message,
        .end = on_end,
        .trouble = on_consumer_trouble,
    };
    const struct fg_bus_consumer_config config = {.group = r->group, .want_end = true};
    struct fg_error err = FG_ERROR_NULL;

    if (!r->consumer && fg_bus_consumer_open(r->c.bus, &config, &events, r, &r->consumer, &err) < 0) {
        r->consumer = NULL;
        fail(r, &err);
        return;
    }
    if (r->c.dry) {
        r->phase = REPLAY_ASK;
        return;
    }
    if (!r->producer)
        open_producer(r);
    else if (r->producer_dead)
        fail(r, &r->trouble);
    else if (r->producer_ready)
        r->phase = REPLAY_ASK;
}

/* ---- committed offsets ---- */

/* After a producer's death: do the broker's offsets show the batch, or the time before it, or somebody else? */
static void compare(struct fg_replay *r, const struct replay_part *part, const struct fg_account *committed)
{
    if (!fg_account_is(&part->ahead, committed))
        r->was_committed = false;
    if (!fg_account_is(&part->account, committed) && !fg_account_is(&part->ahead, committed))
        r->was_other = true;
}

static bool take_committed(struct fg_replay *r, const struct fg_bus_position *at, bool again)
{
    struct replay_part *part = part_of(r, at->partition);
    struct fg_account committed = {0};

    if (!part)
        return true;
    if (!fg_account_read(&committed, at->offset < 0 ? 0 : at->offset, at->metadata)) {
        failf(r, FG_E_DATA, "group \"%s\" keeps \"%.60s\" beside its offset, which is no account of a replay", r->group,
              at->metadata);
        return false;
    }
    if (again) {
        compare(r, part, &committed);
    } else {
        fg_account_copy(&part->account, &committed);
        part->seen = committed.next - 1;
    }
    fg_account_deinit(&committed);
    return true;
}

static void on_committed(void *arg, const struct fg_bus_position *positions, size_t n, const struct fg_error *err)
{
    struct fg_replay *r = arg;
    bool again = r->phase == REPLAY_REOPEN;

    r->asking = false;
    if (r->phase == REPLAY_CLOSE || r->ask_again) {
        r->ask_again = false;
        wake(r);
        return;
    }
    /* brokers that come back, an open transaction on them: asked again while patience lasts */
    if (err && err->retriable && err->code != FG_E_AUTH) {
        r->trouble = *err;
        r->c.env->ops->timer_start(r->turn, ASK_AGAIN_MS);
        return;
    }
    if (err)
        fail(r, err);
    r->was_committed = true;
    r->was_other = false;
    for (size_t i = 0; !err && i < n; i++)
        if (!take_committed(r, &positions[i], again))
            break;
    r->answered = true;
    wake(r);
}

static void ask_committed(struct fg_replay *r)
{
    struct fg_bus_position *positions = fg_calloc(r->n_parts, sizeof(*positions));

    for (size_t i = 0; i < r->n_parts; i++)
        positions[i] = (struct fg_bus_position){.topic = r->c.dead_topic, .partition = (int32_t)i};
    r->asking = true;
    r->answered = false;
    r->c.bus->ops->consumer_committed(r->consumer, positions, r->n_parts, on_committed, r);
    free(positions);
}

/* ---- reading ---- */

/* @read: each from its first letter that was not replayed, else only to learn where it ends. */
static void assign(struct fg_replay *r, bool read)
{
    struct fg_bus_position *positions = fg_calloc(r->n_parts, sizeof(*positions));

    for (size_t i = 0; i < r->n_parts; i++) {
        const struct replay_part *part = &r->parts[i];
        int64_t at = part->seen < 0 || r->from_beginning ? FG_BUS_BEGINNING : part->seen + 1;
        positions[i] = (struct fg_bus_position){.topic = r->c.dead_topic, .partition = (int32_t)i};
        positions[i].offset = !read || part->ended ? FG_BUS_END : at;
    }
    r->c.bus->ops->consumer_assign(r->consumer, positions, r->n_parts);
    free(positions);
}

static void step_ask(struct fg_replay *r)
{
    if (r->asking)
        return;
    if (!r->answered) {
        ask_committed(r);
        return;
    }
    r->phase = REPLAY_END;
    assign(r, false);
}

static void step_end(struct fg_replay *r)
{
    for (size_t i = 0; i < r->n_parts; i++)
        if (r->parts[i].end < 0)
            return;
    r->parts_open = r->n_parts;
    for (size_t i = 0; i < r->n_parts; i++)
        if (r->parts[i].account.next >= r->parts[i].end)
            end_part(r, &r->parts[i]);
    r->phase = REPLAY_READ;
    if (r->parts_open)
        assign(r, true);
}

static void batch_done(struct fg_replay *r)
{
    r->aborts = r->deaths = 0;
    replay_batch_settle(r);
    if (r->full) {
        failf(r, FG_E_LIMIT,
              "so many letters were replayed one by one that the list of them is too long to be kept: replay (without "
              "filters) those that come before them in the topic first");
        return;
    }
    r->phase = REPLAY_READ;
    if (!r->stopping && r->parts_open)
        r->c.bus->ops->consumer_pause(r->consumer, false);
}

static void work_run(struct fg_work *work, unsigned worker)
{
    replay_batch_work(fg_container_of(work, struct fg_replay, work), worker);
}

static void work_done(struct fg_work *work)
{
    struct fg_replay *r = fg_container_of(work, struct fg_replay, work);

    r->working = false;
    wake(r);
}

/* Records that were there when the offset was committed are gone: from what is left, passing over what is done. */
static bool begin_anew(struct fg_replay *r)
{
    if (r->trouble.code != FG_E_EXPIRED || r->from_beginning)
        return false;
    r->from_beginning = true;
    r->trouble = FG_ERROR_NULL;
    assign(r, true);
    return true;
}

static void step_read(struct fg_replay *r)
{
    if (begin_anew(r))
        return;
    if (!r->stopping && r->parts_open && !batch_is_full(r))
        return;
    if (r->batch.n == 0 || r->stopping) {
        r->counts.interrupted = r->stopping && (r->parts_open || r->batch.n);
        r->phase = REPLAY_CLOSE;
        return;
    }
    r->c.bus->ops->consumer_pause(r->consumer, true);
    r->phase = REPLAY_WORK;
    if (!replay_batch_has_work(r))
        return;
    r->working = true;
    r->work = (struct fg_work){.run = work_run, .done = work_done};
    r->c.env->ops->submit(r->c.env, &r->work);
}

/* ---- publishing ---- */

static void on_published(void *arg, enum fg_bus_outcome outcome, const struct fg_error *err)
{
    struct fg_replay *r = arg;

    r->publishing = false;
    r->has_outcome = true;
    r->outcome = outcome;
    r->outcome_err = err ? *err : FG_ERROR_NULL;
    wake(r);
}

static void publish(struct fg_replay *r)
{
    replay_batch_build(r);
    if (r->c.dry || r->batch.n_offsets == 0) {
        batch_done(r);
    } else if (r->producer_dead) {
        r->phase = REPLAY_REOPEN;
    } else {
        r->phase = REPLAY_PUBLISH;
        r->publishing = true;
        r->culprit = SIZE_MAX;
        r->c.bus->ops->producer_publish(r->producer, &r->batch.publish, on_published, r);
    }
}

static void step_work(struct fg_replay *r)
{
    if (r->working)
        return;
    if (r->stopping) {
        r->counts.interrupted = true;
        r->phase = REPLAY_CLOSE;
    } else {
        publish(r);
    }
}

static void try_later(struct fg_replay *r, unsigned tries)
{
    uint64_t cap = (uint64_t)PAUSE_BASE_MS << (tries < 8 ? tries : 8);

    if (cap > PAUSE_CAP_MS)
        cap = PAUSE_CAP_MS;
    r->due_ms = fg_env_now_ms(r->c.env) + 1 + r->c.env->ops->random(r->c.env) % cap;
    r->phase = REPLAY_PAUSE;
}

static void step_publish(struct fg_replay *r)
{
    if (!r->has_outcome)
        return;
    r->has_outcome = false;
    if (r->outcome == FG_BUS_DONE) {
        batch_done(r);
    } else if (r->outcome == FG_BUS_DEAD) {
        r->producer_dead = true;
        r->phase = REPLAY_REOPEN;
    } else if (r->culprit < r->batch.n_messages) {
        replay_batch_refuse(r, r->culprit, &r->outcome_err);
        publish(r);
    } else if (++r->aborts >= TRIES_MAX || r->stopping) {
        fail(r, &r->outcome_err);
    } else {
        try_later(r, r->aborts);
    }
}

static void step_pause(struct fg_replay *r)
{
    if (r->stopping) {
        fail(r, &r->outcome_err);
    } else if (fg_env_now_ms(r->c.env) >= r->due_ms) {
        r->alive_ms = fg_env_now_ms(r->c.env);
        publish(r);
    }
}

/*
 * A dead producer may have been fenced by another replay, or its transaction took too long, and whether its batch
 * counts is not known. The next producer fences the other one; the offsets then say what counts.
 */
static void step_reopen(struct fg_replay *r)
{
    if (r->producer_dead) {
        r->answered = false;
        r->ask_again = r->asking; /* that answer may be older than the next producer */
        close_producer(r);
        if (++r->deaths >= TRIES_MAX)
            fail(r, r->outcome_err.code ? &r->outcome_err : &r->trouble);
    } else if (!r->producer && !r->closing) {
        open_producer(r);
    } else if (r->producer_ready && !r->asking && !r->answered) {
        ask_committed(r);
    } else if (r->answered && r->was_committed) {
        batch_done(r);
    } else if (r->answered && r->was_other) {
        failf(r, FG_E_FENCED,
              "another replay of \"%s\" is at work: this one ends; every letter is replayed by one of the two",
              r->c.dead_topic);
    } else if (r->answered) {
        publish(r);
    }
}

/* ---- the end ---- */

static void step_close(struct fg_replay *r)
{
    struct fg_bus_consumer *consumer = r->consumer;

    if (r->working || r->describing || r->asking)
        return; /* bounded, and they would call back */
    close_producer(r);
    r->consumer = NULL;
    if (consumer) {
        r->closing++;
        r->c.bus->ops->consumer_close(consumer, on_closed, r);
    }
    if (r->closing || r->publishing)
        return;
    replay_batch_clear(r);
    r->phase = REPLAY_DONE;
}

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
            fail(r, &r->trouble);
        else
            failf(r, FG_E_TIMEOUT, "Kafka has not answered for %u s", r->c.patience_ms / 1000);
        r->c.env->ops->timer_start(r->turn, 0);
        return;
    }
    r->c.env->ops->timer_start(r->watch, until > now ? until - now : 0);
}

static void step(struct fg_replay *r)
{
    switch (r->phase) {
    case REPLAY_OPEN: step_open(r); break;
    case REPLAY_ASK: step_ask(r); break;
    case REPLAY_END: step_end(r); break;
    case REPLAY_READ: step_read(r); break;
    case REPLAY_WORK: step_work(r); break;
    case REPLAY_PUBLISH: step_publish(r); break;
    case REPLAY_PAUSE: step_pause(r); break;
    case REPLAY_REOPEN: step_reopen(r); break;
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
