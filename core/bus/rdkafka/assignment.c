/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which partitions a consumer reads, and from where. Each change is one rd_kafka_assign() of everything on the lane: it
 * works in every state of a partition (seek does not), and messages fetched before it are known as outdated by
 * librdkafka and never come out of a queue again. Until it is done nothing is delivered.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bus/rdkafka/rdkafka-private.h"

#define LOOKUP_TIMEOUT_MS 1000 /* of one try to learn offsets by time; tried until it works or nobody wants them */

#define FORWARD_TICKS 3 /* ticks after a change on which the partitions are forwarded once more */

struct assign_job {
    struct fg_lane_job job;
    struct fg_bus_consumer *c;
    unsigned epoch;
    unsigned assigns;
    bool fresh;                            /* a new assignment: learn the membership */
    rd_kafka_topic_partition_list_t *list; /* owned; NULL: unassign */
};

/* ---- membership ---- */

struct fg_rd_membership *fg_rd_membership_get(struct fg_bus_consumer *c)
{
    struct fg_rd_membership *m;

    pthread_mutex_lock(&c->membership_lock);
    m = c->membership;
    if (m)
        atomic_fetch_add(&m->refs, 1);
    pthread_mutex_unlock(&c->membership_lock);
    return m;
}

void fg_rd_membership_unref(struct fg_rd_membership *m)
{
    if (m && atomic_fetch_sub(&m->refs, 1) == 1) {
        rd_kafka_consumer_group_metadata_destroy(m->metadata);
        free(m);
    }
}

/*
 * [lane] Kept for the whole assignment: one that is asked for at commit time could be of a later generation, which did
 * not give us the partition, and the broker would take our offsets all the same.
 */
static void learn_membership(struct fg_bus_consumer *c, unsigned assigns)
{
    struct fg_rd_membership *m = NULL, *old;
    rd_kafka_consumer_group_metadata_t *metadata = rd_kafka_consumer_group_metadata(c->rk);

    if (metadata) {
        m = fg_calloc(1, sizeof(*m));
        atomic_init(&m->refs, 1);
        m->metadata = metadata;
        m->assigns = assigns;
    }
    pthread_mutex_lock(&c->membership_lock);
    old = c->membership;
    c->membership = m;
    pthread_mutex_unlock(&c->membership_lock);
    fg_rd_membership_unref(old);
}

/* ---- on the lane ---- */

static bool is_wanted(const struct assign_job *job)
{
    return atomic_load(&job->c->epoch) == job->epoch;
}

static bool has_error(const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].err)
            return true;
    return false;
}

static bool is_time(int64_t offset)
{
    return offset >= FG_BUS_SINCE(0) && offset < FG_BUS_SINCE(INT64_MAX / 2);
}

/* Positions by time become offsets. false: not known now. */
static bool find_times(struct fg_bus_consumer *c, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_partition_list_t *ask = rd_kafka_topic_partition_list_new(list->cnt + 1);
    rd_kafka_resp_err_t rd = RD_KAFKA_RESP_ERR_NO_ERROR;
    bool all;

    for (int i = 0; i < list->cnt; i++)
        if (is_time(list->elems[i].offset))
            rd_kafka_topic_partition_list_add(ask, list->elems[i].topic, list->elems[i].partition)->offset =
                list->elems[i].offset - FG_BUS_SINCE(0);
    if (ask->cnt > 0 && (rd = rd_kafka_offsets_for_times(c->rk, ask, LOOKUP_TIMEOUT_MS)))
        fg_trouble_hint(&c->trouble, rd, "no answer to the question for offsets by time", false);
    all = !rd && !has_error(ask);
    for (int i = 0; all && i < ask->cnt; i++)
        rd_kafka_topic_partition_list_find(list, ask->elems[i].topic, ask->elems[i].partition)->offset =
            ask->elems[i].offset >= 0 ? ask->elems[i].offset : FG_BUS_END;
    rd_kafka_topic_partition_list_destroy(ask);
    return all;
}

/* Brokers that began with this process and that nobody has committed to begin at 0: they need not be asked. */
static bool is_untouched(struct fg_bus_consumer *c)
{
    return c->solo && !atomic_load(&c->bus->committed);
}

/*
 * Where partitions begin. librdkafka would ask by itself, and again only half a second later if it does not know the
 * partition's broker yet. What is not answered is left to it, so that one partition without leader holds up no other.
 */
static void find_beginnings(struct fg_bus_consumer *c, rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_partition_list_t *ask = rd_kafka_topic_partition_list_new(list->cnt + 1);

    for (int i = 0; i < list->cnt && is_untouched(c); i++)
        if (list->elems[i].offset == FG_BUS_BEGINNING)
            list->elems[i].offset = 0;

    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].offset == FG_BUS_BEGINNING) /* which means the same where brokers expect a time */
            rd_kafka_topic_partition_list_add(ask, list->elems[i].topic, list->elems[i].partition)->offset =
                FG_BUS_BEGINNING;
    if (ask->cnt > 0 && !rd_kafka_offsets_for_times(c->rk, ask, LOOKUP_TIMEOUT_MS))
        for (int i = 0; i < ask->cnt; i++)
            if (!ask->elems[i].err && ask->elems[i].offset >= 0)
                rd_kafka_topic_partition_list_find(list, ask->elems[i].topic, ask->elems[i].partition)->offset =
                    ask->elems[i].offset;
    rd_kafka_topic_partition_list_destroy(ask);
}

/* Places become offsets. false: nobody wants them any more. */
static bool look_up(struct assign_job *job)
{
    struct fg_bus_consumer *c = job->c;
    struct timespec wait = {.tv_nsec = 100 * 1000 * 1000};

    while (is_wanted(job) && !find_times(c, job->list)) {
        fg_lane_nudge_loop(&c->lane);
        (void)nanosleep(&wait, NULL);
    }
    if (is_wanted(job))
        find_beginnings(c, job->list);
    return is_wanted(job);
}

void fg_rd_forward(struct fg_bus_consumer *c, const rd_kafka_topic_partition_list_t *list)
{
    fg_assert(!fg_lane_is_loop(&c->lane));
    for (int i = 0; i < list->cnt; i++) {
        rd_kafka_queue_t *queue = rd_kafka_queue_get_partition(c->rk, list->elems[i].topic, list->elems[i].partition);
        if (!queue)
            continue;
        rd_kafka_queue_forward(queue, c->data);
        rd_kafka_queue_destroy(queue);
    }
}

/*
 * Stopping a partition, which rd_kafka_assign() begins and does not wait for, undoes its forwarding (seen in 2.0.2). So
 * it is set again behind the stop: a question to librdkafka's main thread is answered after what was asked before.
 * Messages that were queued meanwhile move along. The consumer's tick repeats it, should a stop have taken longer.
 */
static void forward_again(struct fg_bus_consumer *c, const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_topic_partition_list_t *now;

    for (int i = 0; i < 2; i++) {
        if (!rd_kafka_assignment(c->rk, &now))
            rd_kafka_topic_partition_list_destroy(now);
        fg_rd_forward(c, list);
    }
}

static void run_assign(struct fg_lane_job *base)
{
    struct assign_job *job = fg_container_of(base, struct assign_job, job);
    struct fg_bus_consumer *c = job->c;
    rd_kafka_resp_err_t rd;
    struct fg_error err;

    if (!job->list) {
        (void)rd_kafka_assign(c->rk, NULL);
        return;
    }
    if (!is_wanted(job))
        return;
    if (job->fresh && c->grouped)
        learn_membership(c, job->assigns);
    if (!look_up(job))
        return;
    fg_rd_forward(c, job->list);
    if ((rd = rd_kafka_assign(c->rk, job->list))) {
        fg_rd_error(&err, rd, "Kafka: cannot take the partitions", NULL);
        fg_trouble_state(&c->trouble, &err);
    }
    forward_again(c, job->list);
}

static void assign_done(struct fg_lane_job *base)
{
    struct assign_job *job = fg_container_of(base, struct assign_job, job);
    struct fg_bus_consumer *c = job->c;

    c->pending--;
    c->forward_ticks = FORWARD_TICKS;
    if (job->list && is_wanted(job))
        for (int i = 0; i < job->list->cnt; i++) {
            struct fg_rd_part *part = fg_rd_part_find(c, job->list->elems[i].topic, job->list->elems[i].partition);
            if (part)
                part->next = job->list->elems[i].offset;
        }
    if (job->list)
        rd_kafka_topic_partition_list_destroy(job->list);
    free(job);
}

static void post_assign(struct fg_bus_consumer *c, bool fresh, bool none)
{
    struct assign_job *job = fg_calloc(1, sizeof(*job));

    job->job.run = run_assign;
    job->job.done = assign_done;
    job->c = c;
    job->fresh = fresh;
    job->assigns = atomic_load(&c->assigns);
    job->epoch = atomic_fetch_add(&c->epoch, 1) + 1;
    if (!none) {
        job->list = rd_kafka_topic_partition_list_new((int)c->n_parts + 1);
        for (size_t i = 0; i < c->n_parts; i++)
            rd_kafka_topic_partition_list_add(job->list, c->parts[i].topic, c->parts[i].partition)->offset =
                c->parts[i].next;
    }
    c->pending++;
    fg_lane_post(&c->lane, &job->job);
}

/* ---- on the loop ---- */

void fg_rd_parts_free(struct fg_bus_consumer *c)
{
    for (size_t i = 0; i < c->n_parts; i++)
        free(c->parts[i].topic);
    free(c->parts);
    c->parts = NULL;
    c->n_parts = c->last_part = 0;
}

struct fg_rd_part *fg_rd_part_find(struct fg_bus_consumer *c, const char *topic, int32_t partition)
{
    /* Messages come in runs of one partition. */
    for (size_t k = 0; k < c->n_parts; k++) {
        size_t i = (c->last_part + k) % c->n_parts;
        if (c->parts[i].partition == partition && strcmp(c->parts[i].topic, topic) == 0) {
            c->last_part = i;
            return &c->parts[i];
        }
    }
    return NULL;
}

void fg_rd_consumer_assign(struct fg_bus_consumer *c, const struct fg_bus_position *positions, size_t n)
{
    if (c->closing)
        return;
    fg_rd_parts_free(c);
    c->parts = fg_calloc(n + 1, sizeof(*c->parts));
    c->n_parts = n;
    for (size_t i = 0; i < n; i++)
        c->parts[i] = (struct fg_rd_part){fg_strdup(positions[i].topic), positions[i].partition, positions[i].offset};
    c->revoking = false;
    atomic_fetch_add(&c->assignment, 1);
    atomic_fetch_add(&c->assigns, 1);
    fg_trouble_state(&c->trouble, NULL);
    post_assign(c, true, false);
}

void fg_rd_consumer_unassign(struct fg_bus_consumer *c)
{
    if (c->closing)
        return;
    fg_rd_parts_free(c);
    atomic_fetch_add(&c->assignment, 1);
    post_assign(c, false, true);
}

void fg_rd_consumer_rewind(struct fg_bus_consumer *c, const struct fg_bus_position *positions, size_t n)
{
    bool any = false;

    /* While partitions are being taken away nothing is delivered: there is nothing to go back to. */
    if (c->closing || c->revoking)
        return;
    for (size_t i = 0; i < n; i++) {
        struct fg_rd_part *part = fg_rd_part_find(c, positions[i].topic, positions[i].partition);
        if (part) {
            part->next = positions[i].offset;
            any = true;
        }
    }
    if (!any)
        return;
    fg_trouble_state(&c->trouble, NULL);
    post_assign(c, false, false);
}
