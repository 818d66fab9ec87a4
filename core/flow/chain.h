/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record through all transforms of a pipeline: what the flow does on its workers, and a replay too. On the thread
 * that has the stages' instances, a worker as a rule; records are for any thread.
 */
#pragma once

#include "flow/pipeline.h"
#include "flow/record.h"

/* All zeroes is an empty one. */
struct fg_emit {
    struct fg_record **records; /* owned array of n owned references */
    size_t n, cap;
    bool too_many;
};

void fg_emit_deinit(struct fg_emit *emit); /* drops the references; all zeroes again */
/*
 * fg_chain_run() - apply transforms in order, each to what the one before made
 * @transforms: array of n
 * @worker: which of each stage's instances; the caller is that worker, or holds all of them
 * @in: borrowed
 * @ret: what comes out, in order; empty unless FG_KEEP. The caller's, freed by fg_emit_deinit()
 * @ret_stage: the transform at which it ended, or the last
 * @err: set with FG_DEAD and FG_RETRY
 */
enum fg_verdict fg_chain_run(const struct fg_stage *transforms, size_t n, unsigned worker, struct fg_record *in,
                             struct fg_emit *ret, size_t *ret_stage, struct fg_error *err);
