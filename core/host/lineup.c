/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes of a pipeline at one time, in the order in which a record meets them. */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "host/process-private.h"

/* Where the nodes stand in fg_lineup::nodes. */
static size_t at_transform(const struct fg_lineup *l, size_t k)
{
    return (l->source ? 1 : 0) + k;
}

static size_t at_sink(const struct fg_lineup *l)
{
    return at_transform(l, l->n_transforms);
}

static void add(struct fg_lineup *l, struct fg_node *node)
{
    l->stages[l->n] = (struct fg_stage){ node->name, node->ops->name, node->ops, node->selves };
    l->nodes[l->n++] = node;
}

/* @keep: the node of an earlier lineup that stays; NULL: a new one. */
static int add_node(struct fg_lineup *l, struct fg_process *process, struct fg_config *config,
                    const struct fg_config_pipeline *c, struct fg_config_node *place, struct fg_node *keep, unsigned n,
                    struct fg_error *err)
{
    struct fg_node *node;

    if (keep)
        node = fg_node_ref(keep);
    else if (fg_node_new(process, config, place, c, n, &node, err) < 0)
        return fg_pass(-1);
    add(l, node);
    return 0;
}

static struct fg_node *kept_transform(const struct fg_lineup *old, const struct fg_diff_pipeline *d, size_t k)
{
    return old && d->transforms[k] != SIZE_MAX ? old->nodes[at_transform(old, d->transforms[k])] : NULL;
}

static struct fg_lineup *lineup_new(const struct fg_config_pipeline *c)
{
    struct fg_lineup *l = fg_calloc(1, sizeof(*l));

    l->nodes = fg_calloc(c->n_transforms + 2, sizeof(struct fg_node *));
    l->stages = fg_calloc(c->n_transforms + 2, sizeof(*l->stages));
    return l;
}

int fg_lineup_new(struct fg_process *process, struct fg_config *config, struct fg_config_pipeline *c,
                  const struct fg_lineup *old, const struct fg_diff_pipeline *d, unsigned workers,
                  struct fg_lineup **ret, struct fg_error *err)
{
    struct fg_lineup *l = lineup_new(c);
    int r = 0;

    l->source = c->source.file != NULL;
    l->sink = c->sink.file != NULL;
    l->n_transforms = c->n_transforms;
    if (l->source)
        r = add_node(l, process, config, c, &c->source, old && !d->source ? old->nodes[0] : NULL, 1, err);
    for (size_t k = 0; r == 0 && k < c->n_transforms; k++)
        r = add_node(l, process, config, c, &c->transforms[k], kept_transform(old, d, k), workers, err);
    if (r == 0 && l->sink)
        r = add_node(l, process, config, c, &c->sink, old && !d->sink ? old->nodes[at_sink(old)] : NULL, 1, err);
    if (r < 0) {
        fg_lineup_free(l);
        return fg_pass(r);
    }
    *ret = l;
    return 0;
}

int fg_lineup_of_transforms(struct fg_process *process, struct fg_config *config, struct fg_config_pipeline *c,
                            bool wanted, unsigned workers, struct fg_lineup **ret, struct fg_error *err)
{
    struct fg_lineup *l = lineup_new(c);

    for (size_t k = 0; wanted && k < c->n_transforms; k++)
        if (add_node(l, process, config, c, &c->transforms[k], NULL, workers, err) < 0) {
            fg_lineup_free(l);
            return fg_pass(-1);
        }
    l->n_transforms = l->n;
    *ret = l;
    return 0;
}

int fg_lineup_start(struct fg_lineup *l, struct fg_error *err)
{
    for (size_t i = 0; i < l->n; i++)
        if (fg_node_start(l->nodes[i], err) < 0)
            return fg_pass(-1);
    return 0;
}

void fg_lineup_stages(const struct fg_lineup *l, const struct fg_config_pipeline *c, uint32_t stop_ms,
                      struct fg_pipeline_stages *ret)
{
    *ret = (struct fg_pipeline_stages){
        .source = l->source ? &l->stages[0] : NULL,
        .transforms = &l->stages[at_transform(l, 0)],
        .n_transforms = l->n_transforms,
        .sink = l->sink ? &l->stages[at_sink(l)] : NULL,
        .attempts = c->o.dead ? (unsigned)c->o.dead->attempts : 5,
        .commit_records = (size_t)c->o.commit->records,
        .commit_bytes = (size_t)c->o.commit->bytes,
        .commit_interval_ms = (uint32_t)c->o.commit->interval,
        .stop_ms = stop_ms,
    };
}

void fg_lineup_bind(struct fg_lineup *l, struct fg_pipeline *flow)
{
    for (size_t i = 0; i < l->n; i++)
        l->nodes[i]->flow = flow;
}

void fg_lineup_rebase(struct fg_lineup *l, struct fg_config *config, struct fg_config_pipeline *c)
{
    if (l->source)
        fg_node_rebase(l->nodes[0], config, &c->source, c);
    for (size_t k = 0; k < l->n_transforms; k++)
        fg_node_rebase(l->nodes[at_transform(l, k)], config, &c->transforms[k], c);
    if (l->sink)
        fg_node_rebase(l->nodes[at_sink(l)], config, &c->sink, c);
}

struct fg_lineup *fg_lineup_free(struct fg_lineup *l)
{
    if (!l)
        return NULL;
    for (size_t i = 0; i < l->n; i++)
        fg_node_unref(l->nodes[i]);
    free(l->nodes);
    free(l->stages);
    free(l);
    return NULL;
}
