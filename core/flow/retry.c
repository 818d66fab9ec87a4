/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When something is tried again: every rule of the flow. The steps ask here and obey; what they wait in is theirs.
 *
 *   a record    `attempts` times at a stage, then it is a dead letter
 *   an outage   as long as it takes; costs a record nothing. Whose fault a failure is, is decided here
 *   Kafka       handles, commits and failures of the pipeline: as long as it takes
 *
 * Beside this: what a process leaves behind that ended (marks.c), what Kafka never takes (blame() in commit.c), and a
 * replay, which has a patience of its own. Whether an error is retriable says who made it: bus/rdkafka/trouble.c,
 * net/client-error.c, a plugin.
 */
#include "base/hash.h"
#include "flow/pipeline-private.h"

/* Full jitter: those who failed together come back apart. */
static uint64_t jitter(struct fg_pipeline *p, unsigned attempt, uint32_t cap_ms)
{
    return fg_backoff_ms(attempt, p->c.retry_base_ms, cap_ms, p->env->ops->random(p->env));
}

/* Shorter than a record's: all others wait too, and one question costs little. */
static uint64_t outage_jitter(struct fg_pipeline *p, unsigned attempt)
{
    return jitter(p, attempt,
                  p->c.retry_cap_ms < FG_FLOW_OUTAGE_CAP_MS ? p->c.retry_cap_ms : FG_FLOW_OUTAGE_CAP_MS);
}

/* Our milliseconds are cut off, not rounded: one more, so that nobody is asked too soon by a part of one. */
static uint64_t told_to_wait(const struct fg_error *err)
{
    return err && err->retry_after_ms ? err->retry_after_ms + 1u : 0;
}

bool fg_flow_may_retry(const struct fg_pipeline *p, unsigned attempts)
{
    return attempts < p->c.attempts;
}

uint64_t fg_flow_retry_at(struct fg_pipeline *p, unsigned attempts, const struct fg_error *err)
{
    uint64_t wait = jitter(p, attempts - 1, p->c.retry_cap_ms), told = told_to_wait(err);

    return fg_env_now_ms(p->env) + (wait < told ? told : wait);
}

uint64_t fg_flow_again_ms(struct fg_pipeline *p, unsigned failures, const struct fg_error *err)
{
    uint64_t wait = outage_jitter(p, failures);

    return err && wait < err->retry_after_ms ? err->retry_after_ms : wait;
}

uint64_t fg_flow_outage_until(struct fg_pipeline *p, bool probe, const struct fg_error *err)
{
    uint64_t now = fg_env_now_ms(p->env), until = now + told_to_wait(err);

    if (!p->outage || probe) {
        uint64_t at_least = now + outage_jitter(p, p->outage_attempt);
        p->outage_attempt++;
        if (until < at_least)
            until = at_least;
    }
    return p->outage && until < p->outage_until_ms ? p->outage_until_ms : until;
}

/* Whether its answer would tell what is wrong with `item`: one that cannot go before it tells nothing. */
static bool can_tell(const struct fg_pipeline *p, const struct fg_item *other, const struct fg_item *item)
{
    return !p->sink_limits.key_order || !fg_flow_same_key(other, item);
}

/* Nothing but this record waits for the sink. */
static bool is_last(const struct fg_pipeline *p, const struct fg_item *item)
{
    for (const struct fg_list *l = p->to_sink.next; l != &p->to_sink; l = l->next)
        if (can_tell(p, fg_container_of(l, struct fg_item, link), item))
            return false;
    return p->n_deliveries == 0 && fg_list_empty(&p->sink_retries) && p->n_to_work == 0 && p->works_out == 0;
}

bool fg_flow_is_suspect(const struct fg_item *item)
{
    return item->attempts + item->silences > 0;
}

/* Nobody waits or is on his way who was not silent before. */
static bool all_suspect(const struct fg_pipeline *p, const struct fg_item *item)
{
    if (p->n_to_work || p->works_out)
        return false;
    for (const struct fg_list *l = p->to_sink.next; l != &p->to_sink; l = l->next) {
        const struct fg_item *other = fg_container_of(l, struct fg_item, link);
        if (!fg_flow_is_suspect(other) && can_tell(p, other, item))
            return false;
    }
    for (const struct fg_list *l = p->deliveries.next; l != &p->deliveries; l = l->next) {
        const struct fg_delivery *d = fg_container_of(l, struct fg_delivery, link);
        for (size_t i = 0; i < d->n; i++)
            if (d->entries[i].item && !fg_flow_is_suspect(d->entries[i].item))
                return false;
    }
    return true; /* those in sink_retries have failed already */
}

/*
 * A time-out alone does not tell a service that hangs from a record that it chokes on. It is the record's when others
 * were answered meanwhile; when it is the last one left of several that were, because then nobody else can tell any
 * more; and when all that are left were silent, often, for the same reason.
 */
bool fg_flow_is_outage(const struct fg_pipeline *p, const struct fg_item *item, const struct fg_error *err)
{
    if (fg_error_is_outage(err))
        return true;
    if (err->code != FG_E_TIMEOUT || item->answers_seen != p->sink_answers)
        return false;
    if (item->answers_before != p->sink_answers)
        return false; /* others were answered since the last time: shows where one goes at a time, too */
    if (item->answers_first == p->sink_answers)
        return true;
    return !is_last(p, item) && (item->silences < FG_FLOW_SILENCES || !all_suspect(p, item));
}
