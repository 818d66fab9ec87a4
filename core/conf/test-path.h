/* SPDX-License-Identifier: Apache-2.0 */
/* Where a path leads in a tree, as fg_conf_set() takes it. */
#pragma once

#include "base/str.h"
#include "conf/conf-private.h"

/* NULL: nowhere. */
static inline const struct fg_conf_node *at_path(const struct fg_conf_node *root, const char *path)
{
    struct fg_slice rest = fg_slice_of(path), key;
    const struct fg_conf_node *node = root;
    size_t len;

    while (node && rest.len > 0) {
        node = fg_conf_step(node, rest, &len, &key);
        rest = fg_slice_sub(rest, len, rest.len);
        if (rest.len > 0 && rest.ptr[0] != '.')
            return NULL;
        rest = fg_slice_sub(rest, 1, rest.len);
    }
    return node;
}
