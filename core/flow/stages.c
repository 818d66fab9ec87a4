/* SPDX-License-Identifier: Apache-2.0 */
/* Transforms: each record goes through all of them, in order, on one worker; then its result comes home to its slot. */
#include <stdlib.h>

#include "flow/chain.h"
#include "flow/pipeline-private.h"

#define WORKS_PER_WORKER 2u /* pieces of work out at a time: one runs, one is at hand */

struct fg_flow_job {
    struct fg_slot *slot; /* looked at on the loop only; NULL: it is gone, nobody wants the result */
    struct fg_record *in; /* owned reference */
    struct fg_emit out;   /* what it became */
    enum fg_verdict verdict;
    size_t stage; /* where it ended, if not KEEP */
    struct fg_error err;
};

struct flow_work {
    struct fg_work work;
    struct fg_pipeline *p; /* outlives it: works_out counts */
    struct fg_flow_stages *set; /* as well */
    size_t n;
    struct fg_flow_job jobs[];
};

static void run_job(const struct fg_flow_stages *set, struct fg_flow_job *job, unsigned worker)
{
    job->verdict =
        fg_chain_run(set->transforms, set->n_transforms, worker, job->in, &job->out, &job->stage, &job->err);
}

static void run(struct fg_work *work, unsigned worker)
{
    struct flow_work *w = fg_container_of(work, struct flow_work, work);

    for (size_t i = 0; i < w->n && !atomic_load_explicit(&w->set->is_over, memory_order_relaxed); i++)
        run_job(w->set, &w->jobs[i], worker);
}

static void retry(struct fg_slot *slot, const struct fg_flow_job *job)
{
    struct fg_pipeline *p = slot->batch->p;
    const struct fg_stage *stage = &p->c.transforms[job->stage];

    slot->attempts = slot->stage == job->stage ? slot->attempts + 1 : 1;
    slot->stage = job->stage;
    if (!fg_flow_may_retry(p, slot->attempts)) {
        fg_metric_add(p->m.stages[job->stage][FG_STAGE_DEAD], 1);
        fg_flow_slot_dead(slot, stage->node, slot->attempts, &job->err);
        return;
    }
    fg_metric_add(p->m.stages[job->stage][FG_STAGE_RETRIED], 1);
    slot->due_ms = fg_flow_retry_at(p, slot->attempts, NULL); /* a transform asks nobody who could tell it to wait */
    fg_list_append(&p->work_retries, &slot->queue);
}

static void come_home(struct fg_slot *slot, struct fg_flow_job *job)
{
    struct fg_pipeline *p = slot->batch->p;
    const struct fg_stage *stage = &p->c.transforms[job->stage];

    slot->job = NULL;
    if (job->err.fatal) {
        fg_flow_fail(p, stage->node, &job->err); /* the slot waits for its end, which is near */
        return;
    }
    switch (job->verdict) {
    case FG_DROP:
        fg_metric_add(p->m.stages[job->stage][FG_STAGE_DROPPED], 1);
        fg_flow_slot_dropped(slot);
        break;
    case FG_RETRY: retry(slot, job); break;
    case FG_DEAD:
        fg_metric_add(p->m.stages[job->stage][FG_STAGE_DEAD], 1);
        fg_flow_slot_dead(slot, stage->node, slot->stage == job->stage ? slot->attempts + 1 : 1, &job->err);
        break;
    case FG_KEEP:
    default:
        for (size_t s = 0; s < p->c.n_transforms; s++)
            fg_metric_add(p->m.stages[s][FG_STAGE_KEPT], 1);
        fg_flow_slot_items(slot, job->out.records, job->out.n);
        job->out.n = 0; /* taken over */
        break;
    }
}

void fg_flow_job_forget(struct fg_flow_job *job)
{
    job->slot = NULL;
}

static void done(struct fg_work *work)
{
    struct flow_work *w = fg_container_of(work, struct flow_work, work);
    struct fg_pipeline *p = w->p;

    p->works_out--;
    w->set->works_out--;
    for (size_t i = 0; i < w->n; i++) {
        struct fg_flow_job *job = &w->jobs[i];
        if (job->slot)
            come_home(job->slot, job);
        else
            fg_budget_wake(p->c.budget);
        fg_emit_deinit(&job->out);
        fg_record_unref(job->in);
    }
    free(w);
    fg_flow_kick(p);
}

/* The next record for a worker; NULL: none may go now. */
static struct fg_slot *next_slot(struct fg_pipeline *p)
{
    while (!fg_list_empty(&p->to_work)) {
        struct fg_slot *slot = fg_container_of(p->to_work.next, struct fg_slot, queue);
        if (fg_flow_may_handle(p, slot))
            return slot;
        if (slot->state == FG_SLOT_WORK)
            return NULL;
    }
    return NULL;
}

static void submit(struct fg_pipeline *p)
{
    size_t cap = p->n_to_work < FG_FLOW_WORK_RECORDS ? p->n_to_work : FG_FLOW_WORK_RECORDS;
    struct flow_work *w = fg_calloc(1, sizeof(*w) + cap * sizeof(struct fg_flow_job));
    struct fg_slot *slot;
    size_t bytes = 0;

    w->work.run = run;
    w->work.done = done;
    w->p = p;
    w->set = p->set;
    while (w->n < cap && bytes < FG_FLOW_WORK_BYTES && (slot = next_slot(p))) {
        struct fg_flow_job *job = &w->jobs[w->n++];
        fg_list_remove(&slot->queue);
        job->slot = slot;
        slot->job = job;
        job->in = fg_record_ref(slot->in);
        bytes += fg_record_bytes(slot->in);
        p->n_to_work--;
        if (p->careful_left)
            break;
    }
    p->works_out++;
    p->set->works_out++;
    p->env->ops->submit(p->env, &w->work);
}

/* Into the queue at its place: what comes back is older than what waits, and in careful times nobody goes before it. */
static void enqueue(struct fg_pipeline *p, struct fg_slot *slot)
{
    struct fg_list *at = p->to_work.next;

    while (at != &p->to_work && fg_container_of(at, struct fg_slot, queue)->seq < slot->seq)
        at = at->next;
    fg_list_append(at, &slot->queue); /* before `at` */
    p->n_to_work++;
}

void fg_flow_step_work(struct fg_pipeline *p)
{
    struct fg_list *l, *next;

    fg_list_for_each_safe(l, next, &p->work_retries)
    {
        struct fg_slot *slot = fg_container_of(l, struct fg_slot, queue);
        if (p->now_ms < slot->due_ms) {
            fg_flow_due(p, slot->due_ms);
            continue;
        }
        fg_list_remove(l);
        enqueue(p, slot);
    }
    while (p->works_out < WORKS_PER_WORKER * p->env->n_workers && next_slot(p))
        submit(p);
}
