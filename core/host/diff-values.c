/* SPDX-License-Identifier: Apache-2.0 */
/* Two structs that option tables have filled, compared member by member; the files' trees are asked on a difference. */
#include "host/diff-private.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/str.h"

#define PATH_MAX_BYTES 1024u /* of a key's path; a longer one is named by its beginning */

/* Where a map of options stands below the one that the comparison began with. */
struct scope {
    const struct scope *up; /* NULL: the outermost, without a key */
    const char *key;
    size_t index; /* GROUPS: of the entry; SIZE_MAX: none */
};

struct compare {
    struct fg_diff_keys *keys;
    const struct fg_digests *old_digests, *new_digests;
};

/* One option on both sides; members point into the structs. */
struct pair {
    const struct scope *scope;
    const struct fg_option *old, *new;
    const void *old_member, *new_member;
    const struct fg_conf_node *old_map, *new_map;
};

static void compare_tables(struct compare *c, const struct scope *scope, const struct fg_diff_side *old,
                           const struct fg_diff_side *new);

void fg_diff_keys_deinit(struct fg_diff_keys *keys)
{
    for (size_t i = 0; i < keys->n; i++)
        free(keys->items[i].path);
    free(keys->items);
    *keys = (struct fg_diff_keys){ .n = 0 };
}

static void write_scope(const struct scope *scope, struct fg_buf *out)
{
    if (!scope)
        return;
    write_scope(scope->up, out);
    fg_buf_add_str(out, scope->key);
    fg_buf_add_char(out, '.');
    if (scope->index != SIZE_MAX)
        fg_buf_printf(out, "%zu.", scope->index);
}

static void add_key(struct compare *c, const struct scope *scope, const char *key, bool secret)
{
    struct fg_diff_keys *keys = c->keys;
    struct fg_buf path = FG_BUF_INIT(PATH_MAX_BYTES);

    write_scope(scope, &path);
    fg_buf_add_str(&path, key);
    keys->items = fg_grow(keys->items, keys->n, sizeof(*keys->items));
    keys->items[keys->n++] = (struct fg_diff_key){
        .path = fg_strdup_slice(path.data ? fg_buf_slice(&path) : fg_slice_of(key)),
        .secret = secret,
    };
    fg_buf_deinit(&path);
}

static bool comes_from_file(const struct fg_conf_node *node)
{
    if (!node)
        return false;
    for (size_t i = 0; i < node->n_members; i++)
        if (comes_from_file(node->members[i].node))
            return true;
    return node->from_file;
}

/* Where neither file has the key, a default differs: that is the plugin file's change. */
static void add_option(struct compare *c, const struct pair *p)
{
    const struct fg_conf_node *old = fg_conf_get(p->old_map, p->new->key);
    const struct fg_conf_node *new = fg_conf_get(p->new_map, p->new->key);
    bool secret = p->new->flags & FG_OPTION_SECRET;

    if (old || new)
        add_key(c, p->scope, p->new->key, secret || comes_from_file(old) || comes_from_file(new));
}

static bool texts_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool secrets_equal(const struct fg_secret *a, const struct fg_secret *b)
{
    return a && b ? fg_equal_constant_time(fg_secret_text(a), fg_secret_text(b)) : a == b;
}

static bool lists_equal(const struct fg_strings *a, const struct fg_strings *b)
{
    bool equal = a->len == b->len;

    for (size_t i = 0; equal && i < a->len; i++)
        equal = texts_equal(a->items[i], b->items[i]);
    return equal;
}

static const char *choice_of(const struct fg_option *o, const void *member)
{
    int choice = *(const int *)member;

    return choice < 0 ? NULL : o->choices[choice];
}

/*
 * false: they differ. Types that hold maps are none of these. Without a default: the compiler names a new type that is
 * forgotten here.
 */
static bool scalars_equal(const struct pair *p)
{
    const char *const *a = p->old_member, *const *b = p->new_member;

    switch (p->new->type) {
    case FG_OPTION_BOOL:
        return *(const bool *)p->old_member == *(const bool *)p->new_member;
    case FG_OPTION_INTEGER:
    case FG_OPTION_DURATION:
    case FG_OPTION_SIZE:
        return *(const int64_t *)p->old_member == *(const int64_t *)p->new_member;
    case FG_OPTION_NUMBER:
        return memcmp(p->old_member, p->new_member, sizeof(double)) == 0;
    case FG_OPTION_ENUM:
        return texts_equal(choice_of(p->old, p->old_member), choice_of(p->new, p->new_member));
    case FG_OPTION_STRINGS:
        return lists_equal(p->old_member, p->new_member);
    case FG_OPTION_STRING:
    case FG_OPTION_URL:
    case FG_OPTION_PATH:
    case FG_OPTION_POINTER:
        if (p->new->flags & FG_OPTION_SECRET)
            return secrets_equal(*(const struct fg_secret *const *)p->old_member,
                                 *(const struct fg_secret *const *)p->new_member);
        return texts_equal(*a, *b);
    case FG_OPTION_PAIRS:
    case FG_OPTION_GROUP:
    case FG_OPTION_GROUPS:
    case _FG_OPTION_TYPE_N:
        break;
    }
    return false;
}

/* Certificates change in place. */
static void compare_paths(struct compare *c, const struct pair *p)
{
    const char *old = *(const char *const *)p->old_member, *new = *(const char *const *)p->new_member;

    if (!texts_equal(old, new))
        add_option(c, p);
    else if (old && !texts_equal(fg_digests_content(c->old_digests, old), fg_digests_content(c->new_digests, new)))
        add_key(c, p->scope, p->new->key, true);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp((*(const struct fg_pair *const *)a)->key, (*(const struct fg_pair *const *)b)->key);
}

/* The order of a map's keys is none of its meaning. */
static const struct fg_pair **sort_pairs(const struct fg_pairs *pairs)
{
    const struct fg_pair **sorted = fg_calloc(pairs->len + 1, sizeof(const struct fg_pair *));

    for (size_t i = 0; i < pairs->len; i++)
        sorted[i] = &pairs->items[i];
    if (pairs->len)
        qsort(sorted, pairs->len, sizeof(const struct fg_pair *), compare_keys);
    return sorted;
}

static void compare_maps(struct compare *c, const struct pair *p)
{
    const struct fg_pair **old = sort_pairs(p->old_member), **new = sort_pairs(p->new_member);
    const struct fg_conf_node *old_map = fg_conf_get(p->old_map, p->old->key);
    const struct fg_conf_node *new_map = fg_conf_get(p->new_map, p->new->key);
    const struct scope inner = { p->scope, p->new->key, SIZE_MAX };
    size_t i = 0, k = 0;

    while ((old_map || new_map) && (old[i] || new[k])) {
        int r = !old[i] ? 1 : !new[k] ? -1 : strcmp(old[i]->key, new[k]->key);
        const char *key = r <= 0 ? old[i]->key : new[k]->key;

        if (r != 0 || strcmp(old[i]->value, new[k]->value) != 0)
            add_key(c, &inner, key,
                    comes_from_file(fg_conf_get(old_map, key)) || comes_from_file(fg_conf_get(new_map, key)));
        i += r <= 0;
        k += r >= 0;
    }
    free(old);
    free(new);
}

static void compare_group_at(struct compare *c, const struct pair *p, const struct fg_diff_side *old,
                             const struct fg_diff_side *new, size_t index)
{
    const struct scope inner = { p->scope, p->new->key, index };

    compare_tables(c, &inner, old, new);
}

static void compare_group(struct compare *c, const struct pair *p)
{
    const struct fg_diff_side old = { p->old->members, *(const void *const *)p->old_member,
                                      fg_conf_get(p->old_map, p->old->key), NULL };
    const struct fg_diff_side new = { p->new->members, *(const void *const *)p->new_member,
                                      fg_conf_get(p->new_map, p->new->key), NULL };

    if (!old.values != !new.values)
        add_option(c, p);
    else if (old.values)
        compare_group_at(c, p, &old, &new, SIZE_MAX);
}

static const struct fg_conf_node *entry_of(const struct fg_conf_node *list, size_t i)
{
    return list && i < list->n_members ? list->members[i].node : NULL;
}

static void compare_groups(struct compare *c, const struct pair *p)
{
    const struct fg_groups *old = p->old_member, *new = p->new_member;
    const struct fg_conf_node *old_list = fg_conf_get(p->old_map, p->old->key);
    const struct fg_conf_node *new_list = fg_conf_get(p->new_map, p->new->key);

    if (old->len != new->len) {
        add_option(c, p);
        return;
    }
    for (size_t i = 0; i < new->len; i++) {
        const struct fg_diff_side a = { p->old->members, (const char *)old->items + i * p->old->members_size,
                                        entry_of(old_list, i), NULL };
        const struct fg_diff_side b = { p->new->members, (const char *)new->items + i * p->new->members_size,
                                        entry_of(new_list, i), NULL };
        compare_group_at(c, p, &a, &b, i);
    }
}

static void compare_option(struct compare *c, const struct pair *p)
{
    switch (p->new->type) {
    case FG_OPTION_PAIRS:
        compare_maps(c, p);
        break;
    case FG_OPTION_GROUP:
        compare_group(c, p);
        break;
    case FG_OPTION_GROUPS:
        compare_groups(c, p);
        break;
    case FG_OPTION_PATH:
        compare_paths(c, p);
        break;
    default:
        if (!scalars_equal(p))
            add_option(c, p);
        break;
    }
}

static const struct fg_option *option_of(const struct fg_option *table, const char *key, const struct fg_option *guess)
{
    if (guess && guess->key && strcmp(guess->key, key) == 0)
        return guess;
    for (const struct fg_option *o = table; o && o->key; o++)
        if (strcmp(o->key, key) == 0)
            return o;
    return NULL;
}

static bool is_same_type(const struct fg_option *a, const struct fg_option *b)
{
    return a->type == b->type && (a->flags & FG_OPTION_SECRET) == (b->flags & FG_OPTION_SECRET);
}

/* An option that only one side's table has, or has with another type: it counts where a file has the key. */
static void compare_alone(struct compare *c, const struct scope *scope, const char *key,
                          const struct fg_diff_side *old, const struct fg_diff_side *new)
{
    const struct fg_conf_node *a = fg_conf_get(old->map, key), *b = fg_conf_get(new->map, key);

    if (a || b)
        add_key(c, scope, key, (a && a->secret) || (b && b->secret) || comes_from_file(a) || comes_from_file(b));
}

/* Where tables are equal, the options stand at the same places, so no key is searched. */
static void compare_tables(struct compare *c, const struct scope *scope, const struct fg_diff_side *old,
                           const struct fg_diff_side *new)
{
    const struct fg_option *guess = old->table;
    size_t n_found = 0, n_old = 0;

    for (const struct fg_option *o = new->table; o && o->key; o++) {
        const struct fg_option *was = option_of(old->table, o->key, guess);
        struct pair p = { scope, was, o, NULL, (const char *)new->values + o->offset, old->map, new->map };

        if (!was || !is_same_type(was, o)) {
            compare_alone(c, scope, o->key, old, new);
            continue;
        }
        guess = was + 1;
        n_found++;
        p.old_member = (const char *)old->values + was->offset;
        compare_option(c, &p);
    }
    while (old->table && old->table[n_old].key)
        n_old++;
    for (size_t i = 0; n_found < n_old && i < n_old; i++)
        if (!option_of(new->table, old->table[i].key, NULL))
            compare_alone(c, scope, old->table[i].key, old, new);
}

void fg_diff_keys_add(struct fg_diff_keys *keys, const struct fg_diff_side *old, const struct fg_diff_side *new)
{
    struct compare c = { keys, old->digests, new->digests };

    compare_tables(&c, NULL, old, new);
}
