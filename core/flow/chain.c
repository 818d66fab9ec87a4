/* SPDX-License-Identifier: Apache-2.0 */
/* One record through all transforms of a pipeline. */
#include "flow/chain.h"

#include <stdlib.h>

#include "flow/pipeline-private.h"

void fg_emit_add(struct fg_emit *emit, struct fg_record *record)
{
    if (emit->n >= FG_FLOW_EMITS_MAX) {
        emit->too_many = true;
        fg_record_unref(record);
        return;
    }
    if (emit->n == emit->cap) {
        emit->cap = emit->cap ? emit->cap * 2 : 4;
        emit->records = fg_reallocarray(emit->records, emit->cap, sizeof(struct fg_record *));
    }
    emit->records[emit->n++] = record;
}

static void emit_cut(struct fg_emit *emit, size_t n)
{
    while (emit->n > n)
        fg_record_unref(emit->records[--emit->n]);
}

void fg_emit_deinit(struct fg_emit *emit)
{
    emit_cut(emit, 0);
    free(emit->records);
    *emit = (struct fg_emit){0};
}

/* One record through one transform; what comes of it is appended to `out`. */
static enum fg_verdict apply_one(const struct fg_stage *stage, unsigned worker, struct fg_record *in,
                                 struct fg_emit *out, struct fg_error *err)
{
    size_t before = out->n;
    enum fg_verdict verdict = stage->ops->transform->apply(stage->selves[worker], in, out, err);

    if (out->too_many) {
        fg_error_set(err, FG_E_LIMIT, 0, "plugin \"%s\" made more than %u records of one", stage->plugin,
                     FG_FLOW_EMITS_MAX);
        verdict = FG_DEAD;
    }
    /* what is no verdict must not pass for "dropped on purpose" */
    if (verdict != FG_KEEP && verdict != FG_DROP && verdict != FG_DEAD && verdict != FG_RETRY) {
        fg_error_set(err, FG_E_INTERNAL, 0, "plugin \"%s\" answered with %d, which is no verdict: a mistake in it",
                     stage->plugin, (int)verdict);
        verdict = FG_DEAD;
    }
    if (verdict == FG_KEEP && out->n == before)
        fg_emit_add(out, fg_record_ref(in));
    else if (verdict != FG_KEEP)
        emit_cut(out, before);
    if ((verdict == FG_DEAD || verdict == FG_RETRY) && err->code == FG_E_NONE)
        fg_error_set(err, FG_E_DATA, 0, "plugin \"%s\" refused the record and gave no reason", stage->plugin);
    return verdict;
}

enum fg_verdict fg_chain_run(const struct fg_stage *transforms, size_t n, unsigned worker, struct fg_record *in,
                             struct fg_emit *ret, size_t *ret_stage, struct fg_error *err)
{
    enum fg_verdict verdict = FG_KEEP;
    struct fg_emit now = {0};

    fg_emit_add(&now, fg_record_ref(in));
    for (size_t s = 0; s < n && now.n > 0; s++) {
        struct fg_emit next = {0};
        *ret_stage = s;
        for (size_t i = 0; i < now.n; i++) {
            enum fg_verdict one = apply_one(&transforms[s], worker, now.records[i], &next, err);
            if (one == FG_DEAD || one == FG_RETRY) {
                verdict = one;
                fg_emit_deinit(&next);
                break;
            }
        }
        fg_emit_deinit(&now);
        now = next;
    }
    if (verdict == FG_KEEP && now.n == 0)
        verdict = FG_DROP;
    *ret = now;
    return verdict;
}
