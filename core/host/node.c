/* SPDX-License-Identifier: Apache-2.0 */
/* A place of the file at work: a plugin's instances, from open to close, with what they were made of. */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "host/process-private.h"

int fg_node_new(struct fg_process *process, struct fg_config *config, struct fg_config_node *c,
                const struct fg_config_pipeline *pipeline, unsigned n, struct fg_node **ret, struct fg_error *err)
{
    struct fg_node *node = fg_calloc(1, sizeof(*node));

    *node = (struct fg_node){
        .process = process,
        .name = fg_process_name(process, c->node),
        .config = fg_config_ref(config),
        .c = c,
        .ops = &c->file->plugin,
        .pipeline = pipeline ? pipeline->name : NULL,
        .instances = fg_calloc(n, sizeof(*node->instances)),
        .selves = fg_calloc(n, sizeof(*node->selves)),
        .metrics = fg_metric_scope_new(process->metrics),
        .n = n,
        .refs = 1,
    };
    process->parts[FG_PART_NODE]++;
    for (size_t i = 0; i < n; i++) {
        if (fg_instance_open(&node->instances[i], node, err) < 0) {
            fg_node_unref(node);
            return fg_pass(-1);
        }
        node->selves[i] = node->instances[i].self;
    }
    *ret = node;
    return 0;
}

int fg_node_start(struct fg_node *node, struct fg_error *err)
{
    for (size_t i = 0; i < node->n; i++)
        if (!node->instances[i].started && fg_instance_start(&node->instances[i], err) < 0)
            return fg_pass(-1);
    return 0;
}

struct fg_node *fg_node_ref(struct fg_node *node)
{
    node->refs++;
    return node;
}

static void instance_stopped(void *arg)
{
    struct fg_node *node = arg;
    struct fg_process *process = node->process;

    if (--node->stopping > 0)
        return;
    for (size_t i = 0; i < node->n; i++)
        fg_instance_close(&node->instances[i]);
    free(node->instances);
    free(node->selves);
    fg_metric_scope_free(node->metrics);
    fg_config_unref(node->config);
    free(node);
    fg_process_part_gone(process, FG_PART_NODE);
}

struct fg_node *fg_node_unref(struct fg_node *node)
{
    if (!node || --node->refs > 0)
        return NULL;
    node->flow = NULL;
    node->stopping = node->n + 1; /* so that ends reported at once do not free it under the loop */
    for (size_t i = 0; i < node->n; i++)
        fg_instance_stop(&node->instances[i], instance_stopped, node);
    instance_stopped(node);
    return NULL;
}

/* Both say the same; what the plugin was opened with goes to the one that stays. */
static void exchange(struct fg_config_node *a, struct fg_config_node *b)
{
    struct fg_config_node was = *a;

    a->file = b->file;
    a->values_struct = b->values_struct;
    a->values = b->values;
    b->file = was.file;
    b->values_struct = was.values_struct;
    b->values = was.values;
}

void fg_node_rebase(struct fg_node *node, struct fg_config *config, struct fg_config_node *c,
                    const struct fg_config_pipeline *pipeline)
{
    struct fg_config *before = node->config;

    if (before == config)
        return;
    exchange(node->c, c);
    node->config = fg_config_ref(config);
    node->c = c;
    node->pipeline = pipeline ? pipeline->name : NULL;
    fg_config_unref(before);
}
