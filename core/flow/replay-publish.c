/* SPDX-License-Identifier: Apache-2.0 */
/* A replay's batch on its way: transforms, one transaction, another try, another producer. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "flow/replay-private.h"

#define TRIES_MAX     10u  /* aborts of one batch, and dead producers, in a row */
#define PAUSE_BASE_MS 100u /* before another try: full jitter, doubled each time */
#define PAUSE_CAP_MS  5000u

/* ---- the producer ---- */

static void on_producer_ready(void *arg)
{
    struct fg_replay *r = arg;

    r->producer_ready = true;
    replay_wake(r);
}

static void on_producer_trouble(void *arg, const struct fg_error *err)
{
    struct fg_replay *r = arg;

    if (err && err->fatal)
        r->producer_dead = true;
    if (err && err->code == FG_E_AUTH && r->phase != REPLAY_CLOSE)
        replay_failf(r, FG_E_AUTH, "as transactional id \"%.80s\": %.150s", r->group, err->text);
    replay_trouble(r, err);
}

void replay_producer_open(struct fg_replay *r)
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
        replay_fail(r, &err);
    }
    free(topics);
}

void replay_producer_close(struct fg_replay *r)
{
    struct fg_bus_producer *producer = r->producer;

    r->producer = NULL;
    r->producer_ready = r->producer_dead = false;
    if (!producer)
        return;
    r->closing++;
    r->c.bus->ops->producer_close(producer, replay_closed, r);
}

/* ---- transforms ---- */

static void work_run(struct fg_work *work, unsigned worker)
{
    replay_batch_work(fg_container_of(work, struct fg_replay, work), worker);
}

static void work_done(struct fg_work *work)
{
    struct fg_replay *r = fg_container_of(work, struct fg_replay, work);

    r->working = false;
    replay_wake(r);
}

void replay_work_begin(struct fg_replay *r)
{
    r->phase = REPLAY_WORK;
    if (!replay_batch_has_work(r))
        return;
    r->working = true;
    r->work = (struct fg_work){.run = work_run, .done = work_done};
    r->c.env->ops->submit(r->c.env, &r->work);
}

/* ---- the transaction ---- */

static void batch_done(struct fg_replay *r)
{
    r->aborts = r->deaths = 0;
    replay_batch_settle(r);
    if (r->full) {
        replay_failf(r, FG_E_LIMIT,
                     "so many letters were replayed one by one that the list of them is too long to be kept: replay "
                     "(without filters) those that come before them in the topic first");
        return;
    }
    r->phase = REPLAY_READ;
    if (!r->stopping && r->parts_open)
        r->c.bus->ops->consumer_pause(r->consumer, false);
}

static void on_published(void *arg, enum fg_bus_outcome outcome, const struct fg_error *err)
{
    struct fg_replay *r = arg;

    r->publishing = false;
    r->has_outcome = true;
    r->outcome = outcome;
    r->outcome_err = err ? *err : FG_ERROR_NULL;
    replay_wake(r);
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

void replay_step_work(struct fg_replay *r)
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
    uint64_t random = r->c.env->ops->random(r->c.env);

    r->due_ms = fg_env_now_ms(r->c.env) + 1 + fg_backoff_ms(tries, PAUSE_BASE_MS, PAUSE_CAP_MS, random);
    r->phase = REPLAY_PAUSE;
}

void replay_step_publish(struct fg_replay *r)
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
        replay_fail(r, &r->outcome_err);
    } else {
        try_later(r, r->aborts);
    }
}

void replay_step_pause(struct fg_replay *r)
{
    if (r->stopping) {
        replay_fail(r, &r->outcome_err);
    } else if (fg_env_now_ms(r->c.env) >= r->due_ms) {
        r->alive_ms = fg_env_now_ms(r->c.env);
        publish(r);
    }
}

/*
 * A dead producer may have been fenced by another replay, or its transaction took too long, and whether its batch
 * counts is not known. The next producer fences the other one; the offsets then say what counts.
 */
void replay_step_reopen(struct fg_replay *r)
{
    if (r->producer_dead) {
        r->answered = false;
        r->ask_again = r->asking; /* that answer may be older than the next producer */
        replay_producer_close(r);
        if (++r->deaths >= TRIES_MAX)
            replay_fail(r, r->outcome_err.code ? &r->outcome_err : &r->trouble);
    } else if (!r->producer && !r->closing) {
        replay_producer_open(r);
    } else if (r->producer_ready && !r->asking && !r->answered) {
        replay_ask_committed(r);
    } else if (r->answered && r->was_committed) {
        batch_done(r);
    } else if (r->answered && r->was_other) {
        replay_failf(r, FG_E_FENCED,
                     "another replay of \"%s\" is at work: this one ends; every letter is replayed by one of the two",
                     r->c.dead_topic);
    } else if (r->answered) {
        publish(r);
    }
}
