/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of a tree: made, joined, found, freed. */
#include "conf/conf-private.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

struct fg_conf_node *fg_conf_node_new(enum fg_conf_kind kind, const char *file, unsigned line, unsigned column)
{
    struct fg_conf_node *node = fg_calloc(1, sizeof(*node));

    node->kind = kind;
    node->file = file;
    node->line = line;
    node->column = column;
    return node;
}

/* Scalars are cleansed: any of them may be a secret. Depth is bounded by FG_CONF_DEPTH_MAX, so recursion is too. */
struct fg_conf_node *fg_conf_node_free(struct fg_conf_node *node)
{
    if (!node)
        return NULL;
    for (size_t i = 0; i < node->n_members; i++) {
        free(node->members[i].key);
        fg_conf_node_free(node->members[i].node);
    }
    free(node->members);
    if (node->text)
        explicit_bzero(node->text, node->text_len);
    free(node->text);
    free(node->written);
    free(node->file_owned);
    free(node);
    return NULL;
}

void fg_conf_node_add(struct fg_conf_node *parent, char *key, unsigned key_line, unsigned key_column,
                      struct fg_conf_node *node)
{
    size_t n = parent->n_members;

    /* there is room for the next power of two */
    if ((n & (n - 1)) == 0) {
        size_t cap = n ? 2 * n : 1;
        struct fg_conf_member *grown = realloc(parent->members, cap * sizeof(*grown));
        fg_assert(grown);
        parent->members = grown;
    }
    parent->members[n] = (struct fg_conf_member){ key, key_line, key_column, node };
    parent->n_members = n + 1;
}

bool fg_conf_is_nothing(const struct fg_conf_node *node)
{
    struct fg_slice text = fg_slice_make(node->text, node->text_len);

    if (node->kind != FG_CONF_SCALAR || node->quoted || node->written)
        return false;
    return text.len == 0 || fg_slice_is(text, "~") || fg_slice_is(text, "null");
}

void fg_conf_tree_files(const struct fg_conf_node *node, fg_conf_file_cb each, void *arg)
{
    if (node->from_file)
        fg_conf_interpolate_files(fg_slice_of(node->written), node->file, each, arg);
    for (size_t i = 0; i < node->n_members; i++)
        fg_conf_tree_files(node->members[i].node, each, arg);
}

static const struct fg_conf_node *get(const struct fg_conf_node *map, struct fg_slice key)
{
    if (!map || map->kind != FG_CONF_MAP)
        return NULL;
    for (size_t i = 0; i < map->n_members; i++) {
        if (fg_slice_is(key, map->members[i].key))
            return map->members[i].node;
    }
    return NULL;
}

const struct fg_conf_node *fg_conf_get(const struct fg_conf_node *map, const char *key)
{
    return get(map, fg_slice_of(key));
}

const struct fg_conf_node *fg_conf_step(const struct fg_conf_node *node, struct fg_slice path,
                                        size_t *ret_len, struct fg_slice *ret_key)
{
    const char *quote = path.len > 0 && path.ptr[0] == '"' ? memchr(path.ptr + 1, '"', path.len - 1) : NULL;
    struct fg_slice key = path;
    int64_t index;

    if (quote) {
        *ret_len = (size_t)(quote - path.ptr) + 1;
        *ret_key = fg_slice_make(path.ptr + 1, *ret_len - 2);
        return get(node, *ret_key);
    }
    while (node->kind == FG_CONF_MAP && key.len > 0) {
        const struct fg_conf_node *found = get(node, key);
        const char *dot;

        if (found) {
            *ret_len = key.len;
            *ret_key = key;
            return found;
        }
        dot = memrchr(key.ptr, '.', key.len);
        key.len = dot ? (size_t)(dot - key.ptr) : 0;
    }
    (void)fg_slice_cut(path, '.', ret_key, &key);
    *ret_len = ret_key->len;
    if (node->kind != FG_CONF_LIST)
        return get(node, *ret_key);
    if (!fg_parse_int(*ret_key, &index) || index < 0 || (uint64_t)index >= node->n_members)
        return NULL;
    return node->members[index].node;
}
