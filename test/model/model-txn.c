/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coordinator of transactions. Writes are open until the end is decided; then each partition shows the decision at
 * a time of its own, and so do the offsets. Until the last of them has, the next transaction of this id waits.
 */
#include <stdio.h>
#include <stdlib.h>

#include "model-private.h"

struct model_txn *model_txn(struct model_bus *model, const char *id)
{
    struct model_txn *txn;

    for (struct fg_list *l = model->transactions.next; l != &model->transactions; l = l->next) {
        txn = fg_container_of(l, struct model_txn, link);
        if (strcmp(txn->id, id) == 0)
            return txn;
    }
    txn = fg_calloc(1, sizeof(*txn));
    txn->model = model;
    fg_list_init(&txn->late);
    (void)snprintf(txn->id, sizeof(txn->id), "%s", id);
    fg_list_append(&model->transactions, &txn->link);
    return txn;
}

/* What has been shown goes, and what is left is of ends that were forgotten. */
static void forget(struct model_txn *txn)
{
    size_t n = 0;

    for (size_t i = 0; i < txn->n_written; i++)
        if (txn->written[i].partition)
            txn->written[n++] = txn->written[i];
    txn->n_left_written = txn->n_written = n;
    n = 0;
    for (size_t i = 0; i < txn->n_promised; i++)
        if (txn->promised[i].offset)
            txn->promised[n++] = txn->promised[i];
        else
            free(txn->promised[i].metadata);
    txn->n_left_promised = txn->n_promised = n;
}

struct late {
    struct fg_list link; /* model_txn::late */
    struct model_txn *txn;
    unsigned epoch;
};

void model_txn_free(struct model_txn *txn)
{
    struct fg_list *l;

    while ((l = fg_list_pop(&txn->late)))
        free(fg_container_of(l, struct late, link));
    for (size_t i = 0; i < txn->n_promised; i++)
        free(txn->promised[i].metadata);
    free(txn->written);
    free(txn->promised);
    free(txn->markers);
    free(txn);
}

static void show_records(struct model_txn *txn, struct model_partition *partition)
{
    for (size_t i = 0; i < txn->n_written; i++) {
        if (txn->written[i].partition != partition)
            continue;
        partition->records[txn->written[i].offset].state = txn->committing ? MODEL_COMMITTED : MODEL_ABORTED;
        txn->written[i].partition = NULL;
    }
    model_append(partition, NULL, MODEL_CONTROL);
    model_data(txn->model);
}

static void show_offsets(struct model_txn *txn)
{
    for (size_t i = 0; i < txn->n_promised; i++) {
        struct model_promised *promised = &txn->promised[i];
        if (!promised->offset)
            continue;
        promised->offset->n_pending--;
        if (txn->committing)
            model_offset_set(promised->offset, promised->value, promised->metadata);
        promised->offset = NULL;
    }
}

void model_txn_abort_left(struct model_txn *txn)
{
    if (txn->open || txn->n_unmarked)
        return;
    txn->committing = false;
    for (size_t i = 0; i < txn->n_written; i++)
        if (txn->written[i].partition)
            show_records(txn, txn->written[i].partition);
    show_offsets(txn);
    forget(txn);
}

static void mark(void *arg)
{
    struct model_marker *marker = arg;
    struct model_txn *txn = marker->txn;

    if (txn->model->away) {
        sim_post(txn->model->sim, 50, mark, marker);
        return;
    }
    if (marker->partition)
        show_records(txn, marker->partition);
    else
        show_offsets(txn);
    if (--txn->n_unmarked == 0)
        forget(txn);
}

static void decide(struct model_txn *txn, bool commit)
{
    struct sim *sim = txn->model->sim;

    sim_trace(&sim->self, "%s: %s of %zu records, %zu offsets", txn->id, commit ? "commit" : "abort", txn->n_written,
              txn->n_promised);
    txn->open = false;
    txn->committing = commit;
    free(txn->markers);
    txn->markers = fg_calloc(txn->n_written + 1, sizeof(*txn->markers));
    txn->n_markers = 0;
    if (txn->forgets) {
        txn->forgets = false;
        txn->n_left_written = txn->n_written;
        txn->n_left_promised = txn->n_promised;
        return;
    }
    for (size_t i = txn->n_left_written; i < txn->n_written; i++) {
        bool first = true;
        for (size_t k = 0; k < txn->n_markers && first; k++)
            first = txn->markers[k].partition != txn->written[i].partition;
        if (first)
            txn->markers[txn->n_markers++] = (struct model_marker){txn, txn->written[i].partition};
    }
    if (txn->n_promised > txn->n_left_promised)
        txn->markers[txn->n_markers++] = (struct model_marker){txn, NULL};
    txn->n_unmarked = txn->n_markers;
    for (size_t i = 0; i < txn->n_markers; i++)
        sim_post(sim, sim_random(sim, txn->model->marker_ms_max + 1), mark, &txn->markers[i]);
}

static void watch(void *arg)
{
    struct model_txn *txn = arg;
    struct sim *sim = txn->model->sim;

    txn->watched = false;
    if (!txn->open)
        return;
    if (txn->model->away)
        txn->deadline_ms = sim->now_ms + txn->timeout_ms;
    if (sim->now_ms < txn->deadline_ms) {
        txn->watched = true;
        sim_post(sim, txn->deadline_ms - sim->now_ms, watch, txn);
        return;
    }
    sim_trace(&sim->self, "%s: transaction timed out", txn->id);
    txn->model->n_expired++;
    txn->epoch++; /* its producer is fenced */
    decide(txn, false);
}

enum model_txn_verdict model_txn_begin_session(struct model_txn *txn, uint64_t timeout_ms, unsigned *epoch)
{
    if (txn->open) {
        txn->epoch++; /* from now on the older one can do nothing more */
        decide(txn, false);
    }
    if (txn->n_unmarked)
        return MODEL_TXN_WAIT;
    txn->timeout_ms = timeout_ms;
    *epoch = ++txn->epoch;
    return MODEL_TXN_OK;
}

/* A transaction is open now, and this is its producer's. */
static enum model_txn_verdict enter(struct model_txn *txn, unsigned epoch)
{
    if (epoch != txn->epoch)
        return MODEL_TXN_FENCED;
    if (txn->n_unmarked)
        return MODEL_TXN_WAIT;
    if (txn->open)
        return MODEL_TXN_OK;
    txn->open = true;
    txn->deadline_ms = txn->model->sim->now_ms + txn->timeout_ms;
    if (!txn->watched) {
        txn->watched = true;
        sim_post(txn->model->sim, txn->timeout_ms, watch, txn);
    }
    return MODEL_TXN_OK;
}

enum model_txn_verdict model_txn_write(struct model_txn *txn, unsigned epoch, struct model_partition *partition,
                                       const struct fg_bus_outgoing *m, size_t *ret_offset)
{
    enum model_txn_verdict verdict = enter(txn, epoch);

    if (verdict != MODEL_TXN_OK)
        return verdict;
    if (txn->n_written == txn->cap_written) {
        txn->cap_written = txn->cap_written ? txn->cap_written * 2 : 64;
        txn->written = reallocarray(txn->written, txn->cap_written, sizeof(*txn->written));
        fg_assert(txn->written);
    }
    *ret_offset = model_append(partition, m, MODEL_OPEN);
    txn->written[txn->n_written++] = (struct model_written){partition, *ret_offset};
    return MODEL_TXN_OK;
}

enum model_txn_verdict model_txn_offset(struct model_txn *txn, unsigned epoch, struct model_offset *offset,
                                        int64_t value, const char *metadata)
{
    enum model_txn_verdict verdict = enter(txn, epoch);

    if (verdict != MODEL_TXN_OK)
        return verdict;
    txn->promised = reallocarray(txn->promised, txn->n_promised + 1, sizeof(*txn->promised));
    fg_assert(txn->promised);
    txn->promised[txn->n_promised] = (struct model_promised){offset, value, metadata ? strdup(metadata) : NULL};
    txn->n_promised++;
    offset->n_pending++;
    return MODEL_TXN_OK;
}

enum model_txn_verdict model_txn_end(struct model_txn *txn, unsigned epoch, bool commit)
{
    if (epoch != txn->epoch)
        return MODEL_TXN_FENCED;
    if (txn->n_unmarked)
        return MODEL_TXN_WAIT;
    if (txn->open)
        decide(txn, commit);
    return MODEL_TXN_OK;
}

static void late_arrives(void *arg)
{
    struct late *late = arg;
    enum model_txn_verdict verdict = model_txn_end(late->txn, late->epoch, true);

    sim_trace(&late->txn->model->sim->self, "%s: a late commit arrives%s", late->txn->id,
              verdict == MODEL_TXN_FENCED ? ", too late" : "");
    fg_list_remove(&late->link);
    free(late);
}

void model_txn_end_late(struct model_txn *txn, unsigned epoch, uint64_t after_ms)
{
    struct late *late = fg_calloc(1, sizeof(*late));

    late->txn = txn;
    late->epoch = epoch;
    fg_list_append(&txn->late, &late->link);
    sim_post(txn->model->sim, after_ms, late_arrives, late);
}
