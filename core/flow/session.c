/* SPDX-License-Identifier: Apache-2.0 */
/* What a pipeline has open towards Kafka: check the topics, open the handles, close them, begin again. */
#include <stdlib.h>

#include "flow/pipeline-private.h"

#define SETTLED_MS 5000u /* up so long without a word: what failed before is over */

struct fg_flow_call *fg_flow_call_new(struct fg_pipeline *p)
{
    struct fg_flow_call *call = fg_calloc(1, sizeof(*call));
    call->p = p;
    fg_list_append(&p->calls, &call->link);
    return call;
}

struct fg_pipeline *fg_flow_call_end(struct fg_flow_call *call)
{
    struct fg_pipeline *p = call->p;
    fg_list_remove(&call->link);
    free(call);
    return p;
}

void fg_flow_calls_forget(struct fg_pipeline *p)
{
    struct fg_list *l;
    while ((l = fg_list_pop(&p->calls)))
        fg_container_of(l, struct fg_flow_call, link)->p = NULL; /* its answer frees it */
}

bool fg_flow_is_stopped(const struct fg_pipeline *p)
{
    return p->phase == FG_PHASE_DOWN && !p->want_run && !fg_list_empty(&p->stops);
}

/* DOWN again, to be tried after a while. */
static void down_for_a_while(struct fg_pipeline *p, enum fg_flow_trouble who, const struct fg_error *err)
{
    uint64_t wait = fg_flow_again_ms(p, p->failures, err);

    p->failures++;
    p->phase = FG_PHASE_DOWN;
    p->retry_ms = fg_env_now_ms(p->env) + wait;
    fg_flow_trouble(p, who, "kafka", err, p->failures, p->retry_ms);
    fg_logf(&p->c.logger, FG_LOG_WARN, "cannot start: %s; trying again in %llu ms", err->text,
            (unsigned long long)wait);
}

static void checked(void *arg, const struct fg_bus_topic *topics, size_t n, const struct fg_error *err)
{
    struct fg_pipeline *p = fg_flow_call_end(arg);
    struct fg_error missing;

    if (!p || p->phase != FG_PHASE_CHECK)
        return;
    if (err) {
        down_for_a_while(p, FG_TROUBLE_CHECK, err);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (topics[i].partitions <= 0) {
            fg_error_set(&missing, FG_E_NOT_FOUND, FG_ERROR_RETRIABLE,
                         "topic \"%s\" does not exist: create it, or run \"fragua topics -c FILE --create\"",
                         topics[i].name);
            down_for_a_while(p, FG_TROUBLE_CHECK, &missing);
            return;
        }
        if (p->c.cursors_topic && strcmp(topics[i].name, p->c.cursors_topic) == 0)
            p->cursors_partitions = topics[i].partitions;
    }
    fg_flow_trouble(p, FG_TROUBLE_CHECK, "", NULL, 0, 0);
    p->phase = FG_PHASE_UP;
    p->up_ms = fg_env_now_ms(p->env);
    fg_flow_kick(p);
}

static void producer_ready(void *arg)
{
    struct fg_pipeline *p = arg;
    p->producer_ready = true;
    p->after_abort = false;
    fg_flow_kick(p);
}

static void producer_trouble(void *arg, const struct fg_error *err)
{
    struct fg_pipeline *p = arg;
    fg_flow_trouble(p, FG_TROUBLE_PRODUCER, "kafka", err, 0, 0);
    if (err && err->fatal)
        p->producer_dead = true;
}

static void producer_closed(void *arg)
{
    struct fg_pipeline *p = arg;
    p->producer_closing = false;
    fg_flow_kick(p);
}

static void consumer_trouble(void *arg, const struct fg_error *err)
{
    struct fg_pipeline *p = arg;
    if (err && err->fatal)
        fg_flow_fail(p, "kafka", err);
    else
        fg_flow_trouble(p, FG_TROUBLE_CONSUMER, "kafka", err, 0, 0);
}

static void consumer_closed(void *arg)
{
    struct fg_pipeline *p = arg;
    p->consumer_closing = false;
    fg_flow_kick(p);
}

static void on_assigned(void *arg, const struct fg_bus_position *partitions, size_t n)
{
    fg_flow_given(arg, partitions, n);
}

static void on_revoked(void *arg, const struct fg_bus_position *partitions, size_t n, bool lost)
{
    struct fg_pipeline *p = arg;
    p->is_given = false;
    p->revoke_asked = true;
    p->revoke_lost = p->revoke_lost || lost;
    fg_flow_kick(p);
}

static void on_message(void *arg, struct fg_bus_message *message)
{
    struct fg_pipeline *p = arg;
    p->intake->message(p, message);
}

static void on_end(void *arg, const struct fg_bus_position *position)
{
    struct fg_pipeline *p = arg;
    p->intake->end(p, position);
}

/* false: it cannot be opened as things are, and the pipeline fails. */
static bool open_consumer(struct fg_pipeline *p)
{
    static const struct fg_bus_consumer_events events = {
        .assigned = on_assigned,
        .revoked = on_revoked,
        .message = on_message,
        .end = on_end,
        .trouble = consumer_trouble,
    };
    struct fg_bus_consumer_config config = {
        .group = p->c.group,
        .queue_bytes_max = p->c.consumer_queue_bytes,
        .metrics = p->m.own,
    };
    struct fg_error err = FG_ERROR_NULL;

    p->intake->consumer_config(p, &config);
    p->revoke_asked = p->revoke_lost = p->ever_assigned = p->consumer_paused = false;
    if (fg_bus_consumer_open(p->c.bus, &config, &events, p, &p->consumer, &err) == 0)
        return true;
    p->consumer = NULL;
    fg_flow_fail(p, "kafka", &err);
    return false;
}

void fg_flow_consumer_pause(struct fg_pipeline *p, bool paused)
{
    if (p->consumer_paused == paused)
        return;
    p->consumer_paused = paused;
    p->c.bus->ops->consumer_pause(p->consumer, paused);
}

bool fg_flow_producer_ready(const struct fg_pipeline *p)
{
    return p->producer && p->producer_ready && !p->producer_dead;
}

static void open_producer(struct fg_pipeline *p)
{
    static const struct fg_bus_producer_events events = {.ready = producer_ready, .trouble = producer_trouble};
    struct fg_bus_producer_config config = {
        .queue_bytes_max = p->c.producer_queue_bytes,
        .transactional_id = p->exactly_once ? p->transactional_id : NULL,
        .topics = p->out_topics,
        .n_topics = p->n_out_topics,
        .after_abort = p->after_abort,
        .group = p->c.group,
        .group_topic = p->c.source ? p->c.cursors_topic : p->c.topics[0],
        .metrics = p->m.own,
    };
    struct fg_error err = FG_ERROR_NULL;

    p->producer_ready = p->producer_dead = false;
    if (fg_bus_producer_open(p->c.bus, &config, &events, p, &p->producer, &err) < 0) {
        p->producer = NULL;
        fg_flow_fail(p, "kafka", &err);
    }
}

static void close_producer(struct fg_pipeline *p)
{
    struct fg_bus_producer *producer = p->producer;

    p->producer = NULL;
    p->producer_ready = p->producer_dead = false;
    fg_flow_trouble(p, FG_TROUBLE_PRODUCER, "", NULL, 0, 0);
    if (!producer)
        return;
    p->producer_closing = true;
    p->c.bus->ops->producer_close(producer, producer_closed, p);
}

/* A dead producer is a normal event: close it, open another. What is in flight waits for it, unless it was publishing.
 */
static void tend_producer(struct fg_pipeline *p)
{
    if (p->producer && p->producer_dead && !p->publishing) {
        close_producer(p);
        p->counts.handles_recreated++;
        fg_metric_add(p->m.handles, 1);
        p->producer_retry_ms = p->now_ms + fg_flow_again_ms(p, p->aborts_in_row, NULL);
    }
    if (p->producer || p->producer_closing || !p->needs_producer)
        return;
    if (p->now_ms >= p->producer_retry_ms)
        open_producer(p);
    else
        fg_flow_due(p, p->producer_retry_ms);
}

static void begin_close(struct fg_pipeline *p)
{
    struct fg_bus_consumer *consumer = p->consumer;

    fg_flow_end_assignment(p);
    fg_flow_forget(p);
    fg_flow_calls_forget(p);
    fg_flow_commit_cut(p);
    p->recovering = false;
    p->phase = FG_PHASE_CLOSE;
    close_producer(p);
    p->consumer = NULL;
    fg_flow_trouble(p, FG_TROUBLE_CONSUMER, "", NULL, 0, 0);
    if (!p->outage) /* one goes on: what the sink asked for, such as Retry-After, is asked for still */
        fg_flow_trouble(p, FG_TROUBLE_SINK, "", NULL, 0, 0);
    fg_flow_trouble(p, FG_TROUBLE_COMMIT, "", NULL, 0, 0);
    if (consumer) {
        p->consumer_closing = true;
        p->c.bus->ops->consumer_close(consumer, consumer_closed, p);
    }
}

static void step_fail(struct fg_pipeline *p)
{
    struct fg_flow_blame *blame = &p->troubles[FG_TROUBLE_FAILED];
    uint64_t wait = fg_flow_again_ms(p, p->failures, &blame->err);

    p->fail = false;
    if (p->phase != FG_PHASE_UP)
        return;
    p->failures++;
    p->retry_ms = p->now_ms + wait;
    blame->next_ms = p->retry_ms;
    blame->attempt = p->failures;
    fg_logf(&p->c.logger, FG_LOG_ERROR, "failed at %s: %s; starting again in %llu ms", blame->node, blame->err.text,
            (unsigned long long)wait);
    begin_close(p);
}

static void step_down(struct fg_pipeline *p)
{
    struct fg_flow_call *call;

    if (!p->want_run)
        return;
    if (p->now_ms < p->retry_ms) {
        fg_flow_due(p, p->retry_ms);
        return;
    }
    p->phase = FG_PHASE_CHECK;
    call = fg_flow_call_new(p);
    p->c.bus->ops->describe(p->c.bus, p->topics, p->n_topics, checked, call);
}

static void step_up(struct fg_pipeline *p)
{
    bool failed = p->troubles[FG_TROUBLE_FAILED].err.code != FG_E_NONE;

    if (!p->want_run &&
        (p->stop_now || p->now_ms >= p->stop_deadline_ms || (p->assignment == FG_ASSIGN_NONE && !p->publishing))) {
        begin_close(p);
        return;
    }
    if (!p->want_run)
        fg_flow_due(p, p->stop_deadline_ms);
    else if (!p->consumer && !open_consumer(p))
        return;
    tend_producer(p);
    if (failed && p->now_ms >= p->up_ms + SETTLED_MS) {
        fg_flow_trouble(p, FG_TROUBLE_FAILED, "", NULL, 0, 0);
        p->failures = 0;
    } else if (failed) {
        fg_flow_due(p, p->up_ms + SETTLED_MS);
    }
}

static void step_closing(struct fg_pipeline *p)
{
    if (p->consumer_closing || p->producer_closing || p->publishing || p->works_out)
        return;
    fg_flow_drop_partitions(p);
    p->phase = FG_PHASE_DOWN;
    fg_flow_kick(p);
}

static void forget_troubles(struct fg_pipeline *p)
{
    for (int i = 0; i < _FG_TROUBLE_N; i++)
        if (p->troubles[i].err.code != FG_E_NONE)
            fg_flow_trouble(p, (enum fg_flow_trouble)i, "", NULL, 0, 0);
}

void fg_flow_step_session(struct fg_pipeline *p)
{
    if (p->fail)
        step_fail(p);
    if (p->phase == FG_PHASE_CHECK && !p->want_run) {
        fg_flow_calls_forget(p);
        p->phase = FG_PHASE_DOWN;
    }
    if (p->phase == FG_PHASE_CLOSE)
        step_closing(p);
    if (p->phase == FG_PHASE_DOWN)
        step_down(p);
    if (p->phase == FG_PHASE_UP)
        step_up(p);
    if (p->phase == FG_PHASE_DOWN && !p->want_run)
        forget_troubles(p);
}
