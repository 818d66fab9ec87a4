/* SPDX-License-Identifier: Apache-2.0 */
/* A replay reads: committed offsets, where each partition ends, letters from the one to the other into the batch. */
#include <stdlib.h>

#include "base/mem.h"
#include "flow/replay-private.h"

#define ASK_AGAIN_MS 200u /* for committed offsets that were not told */

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

/* ---- what comes ---- */

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
    replay_wake(r);
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
    replay_wake(r);
}

static void on_consumer_trouble(void *arg, const struct fg_error *err)
{
    replay_trouble(arg, err);
}

static void on_assigned(void *arg, const struct fg_bus_position *partitions, size_t n)
{
}

static void on_revoked(void *arg, const struct fg_bus_position *partitions, size_t n, bool lost)
{
}

void replay_consumer_open(struct fg_replay *r)
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

    if (fg_bus_consumer_open(r->c.bus, &config, &events, r, &r->consumer, &err) < 0) {
        r->consumer = NULL;
        replay_fail(r, &err);
    }
}

void replay_consumer_close(struct fg_replay *r)
{
    struct fg_bus_consumer *consumer = r->consumer;

    r->consumer = NULL;
    if (!consumer)
        return;
    r->closing++;
    r->c.bus->ops->consumer_close(consumer, replay_closed, r);
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
        replay_failf(r, FG_E_DATA, "group \"%s\" keeps \"%.60s\" beside its offset, which is no account of a replay",
                     r->group, at->metadata);
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
        replay_wake(r);
        return;
    }
    /* brokers that come back, an open transaction on them: asked again while patience lasts */
    if (err && err->retriable && err->code != FG_E_AUTH) {
        r->trouble = *err;
        r->c.env->ops->timer_start(r->turn, ASK_AGAIN_MS);
        return;
    }
    if (err)
        replay_fail(r, err);
    r->was_committed = true;
    r->was_other = false;
    for (size_t i = 0; !err && i < n; i++)
        if (!take_committed(r, &positions[i], again))
            break;
    r->answered = true;
    replay_wake(r);
}

void replay_ask_committed(struct fg_replay *r)
{
    struct fg_bus_position *positions = fg_calloc(r->n_parts, sizeof(*positions));

    for (size_t i = 0; i < r->n_parts; i++)
        positions[i] = (struct fg_bus_position){.topic = r->c.dead_topic, .partition = (int32_t)i};
    r->asking = true;
    r->answered = false;
    r->c.bus->ops->consumer_committed(r->consumer, positions, r->n_parts, on_committed, r);
    free(positions);
}

/* ---- steps ---- */

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

void replay_step_ask(struct fg_replay *r)
{
    if (r->asking)
        return;
    if (!r->answered) {
        replay_ask_committed(r);
        return;
    }
    r->phase = REPLAY_END;
    assign(r, false);
}

void replay_step_end(struct fg_replay *r)
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

void replay_step_read(struct fg_replay *r)
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
    replay_work_begin(r);
}
