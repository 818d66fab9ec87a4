/* SPDX-License-Identifier: Apache-2.0 */
/* --set path=value: one value put into a tree. */
#include "conf/conf-private.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

static const char set_name[] = "--set";

struct work {
    struct fg_slice assignment, path; /* path: what is left of it */
    struct fg_conf_faults *faults;
    unsigned depth;
};

static unsigned column_of(const struct work *w, const char *at)
{
    return (unsigned)fg_utf8_count(fg_slice_make(w->assignment.ptr, (size_t)(at - w->assignment.ptr))) + 1;
}

/* The '=' that ends the path: the first one outside of quotes. */
static size_t find_equals(struct fg_slice s)
{
    bool quoted = false;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"')
            quoted = !quoted;
        else if (s.ptr[i] == '=' && !quoted)
            return i;
    }
    return s.len;
}

static int refuse_step(struct work *w, const struct fg_conf_node *node, struct fg_slice key)
{
    char shown[FG_CONF_SHOWN_MAX];
    unsigned column = column_of(w, key.ptr);

    fg_conf_show(key, shown);
    if (key.len == 0)
        fg_conf_fault_add(w->faults, set_name, 1, column, "a key is missing here: write path=value, as in a.b.c=5s");
    else if (node->kind == FG_CONF_SCALAR)
        fg_conf_fault_add(w->faults, set_name, 1, column, "%s cannot be set: what stands before it is a single value",
                          shown);
    else
        fg_conf_fault_add(w->faults, set_name, 1, column, "%s is no entry of this list: it has %zu, counted from 0",
                          shown, node->n_members);
    return fg_raise(-FG_E_CONFIG);
}

/* "a:" and "a: null" become a map as soon as something is set below. */
static void make_map(struct fg_conf_node *node)
{
    if (!fg_conf_is_nothing(node))
        return;
    node->kind = FG_CONF_MAP;
    free(node->text);
    node->text = NULL;
    node->text_len = 0;
}

static void put(struct fg_conf_node *parent, struct fg_conf_node *old, struct fg_slice key, unsigned column,
                struct fg_conf_node *node)
{
    for (size_t i = 0; old && i < parent->n_members; i++) {
        if (parent->members[i].node != old)
            continue;
        fg_conf_node_free(old);
        parent->members[i].node = node;
        return;
    }
    fg_conf_node_add(parent, fg_slice_dup(key), 1, column, node);
}

/* Walks one step; *node moves to the member, or becomes NULL once the last step has put the value. */
static int step(struct work *w, struct fg_conf_node **node, struct fg_conf_node **value)
{
    struct fg_conf_node *parent = *node, *member;
    struct fg_slice key;
    size_t len;

    make_map(parent);
    /* the tree is ours to change: root came in without const */
    member = (struct fg_conf_node *)fg_conf_step(parent, w->path, &len, &key);
    if (key.len == 0 || (!member && parent->kind != FG_CONF_MAP))
        return fg_pass(refuse_step(w, parent, key));
    if (++w->depth >= FG_CONF_DEPTH_MAX / 2) {
        fg_conf_fault_add(w->faults, set_name, 1, column_of(w, key.ptr), "the path has more than %u steps",
                          FG_CONF_DEPTH_MAX / 2 - 1);
        return fg_raise(-FG_E_CONFIG);
    }
    w->path = fg_slice_sub(w->path, len, w->path.len);
    if (w->path.len == 0) {
        put(parent, member, key, column_of(w, key.ptr), *value);
        *value = NULL;
        *node = NULL;
        return 0;
    }
    if (w->path.ptr[0] != '.') {
        fg_conf_fault_add(w->faults, set_name, 1, column_of(w, w->path.ptr),
                          "a '.' or '=' is missing after the quotes");
        return fg_raise(-FG_E_CONFIG);
    }
    w->path = fg_slice_make(w->path.ptr + 1, w->path.len - 1);
    if (!member) {
        member = fg_conf_node_new(FG_CONF_MAP, set_name, 1, column_of(w, key.ptr));
        put(parent, NULL, key, column_of(w, key.ptr), member);
    }
    *node = member;
    return 0;
}

int fg_conf_set(struct fg_conf_node *root, const char *assignment, struct fg_conf_faults *faults)
{
    struct work w = { .assignment = fg_slice_of(assignment), .faults = faults };
    struct fg_conf_node *value = NULL, *node = root;
    size_t equals = find_equals(w.assignment);
    int r;

    if (!fg_utf8_valid(w.assignment)) {
        fg_conf_fault_add(faults, set_name, 1, 1, "this is not valid UTF-8");
        return fg_raise(-FG_E_CONFIG);
    }
    if (equals == w.assignment.len) {
        char shown[FG_CONF_SHOWN_MAX];
        fg_conf_fault_add(faults, set_name, 1, 1, "a '=' is missing in %s: write path=value",
                          fg_conf_show(w.assignment, shown));
        return fg_raise(-FG_E_CONFIG);
    }
    w.path = fg_slice_sub(w.assignment, 0, equals);
    r = fg_conf_parse_any(fg_slice_sub(w.assignment, equals + 1, w.assignment.len), set_name,
                          column_of(&w, w.assignment.ptr + equals), true, &value, faults);
    if (r < 0)
        return fg_pass(r);
    do
        r = step(&w, &node, &value);
    while (r == 0 && node);
    fg_conf_node_free(value);
    return r < 0 ? fg_pass(r) : 0;
}
