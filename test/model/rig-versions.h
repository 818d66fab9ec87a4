/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages of which a pipeline may have several versions, one after the other: each says on its records which one it was,
 * and ends the test when it is used after its release. And workers that hang as long as the test wants.
 */
#pragma once

#include "flow-rig.h"

#define RIG_BOXES 3u

struct rig_version {
    struct rig *rig;
    const char *stamp; /* the transform puts it behind each value, the sink too, the source at a mail's end */
    bool released;     /* nobody may use it any more */
    void *selves[RIG_WORKERS];
    struct fg_stage source, transform, sink;
    struct fg_pipeline_stages stages;

    unsigned n_applied;
    bool wrecked; /* the transform says that it cannot go on */

    uint32_t answer_ms;  /* the sink takes so long; 0: it answers within the call */
    bool hangs;          /* it answers nothing, */
    uint32_t retry_after_ms; /* or 429 with this; 0: all is well */
    struct fg_delivery *asked[64];
    size_t n_asked, n_delivered, n_cancelled;
    uint64_t first_ms, last_ms; /* when it was asked */

    struct {
        char name[16], key[32];
        bool mine;
        unsigned at;
    } boxes[RIG_BOXES];
    unsigned *totals; /* borrowed array of RIG_BOXES: mails there are */
    unsigned n_assigned, n_revoked, n_rewound;
    struct fg_batch *fill;
    bool keeps; /* does not fill, and does not give back what it has at a revoke() */
};

/* Its stages are all there; which of them the pipeline has is up to the test. It must lie still. */
void rig_version_init(struct rig_version *v, struct rig *rig, const char *stamp);
void rig_version_use(struct rig_version *v, bool transform, bool sink); /* in the rig's config, before rig_open() */
void rig_version_use_source(struct rig_version *v, unsigned *totals);
/* What rig_use_...() chose, in this version; commit settings as in the rig's config. */
const struct fg_pipeline_stages *rig_version_stages(struct rig_version *v);
void rig_version_mail(struct rig_version *v);   /* fills and submits, if it has a batch and there is mail */

/* A reload as the host does it. All zeroes but for what rig_reload_begin() sets. */
struct rig_reload {
    struct rig *rig;
    struct rig_version *old, *new; /* new NULL: nothing is swapped */
    bool stay;                     /* held, it waits for the test */
    unsigned n_held, n_released;
    bool drained;
    uint64_t asked_ms, held_ms;
};
void rig_reload_begin(struct rig_reload *r, struct rig *rig, struct rig_version *old, struct rig_version *new,
                      uint32_t drain_ms);
void rig_reload_swap(struct rig_reload *r);    /* while it stays */
void rig_reload_released(void *arg);           /* for swaps of the test's own: `old` is stopped, as the host does it */
bool rig_reload_until_held(struct rig_reload *r, uint64_t limit_ms);
bool rig_reload_until_released(struct rig_reload *r, uint64_t limit_ms);

/* Workers that the test lets go. */
struct rig_workers {
    struct fg_env_ops ops;
    const struct fg_env_ops *real;
    struct fg_env *env;
    bool hang;
    struct fg_list hung;
};
void rig_workers_init(struct rig_workers *workers, struct rig *rig); /* before rig_open() */
void rig_workers_let_go(struct rig_workers *workers);
