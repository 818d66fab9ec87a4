/* SPDX-License-Identifier: Apache-2.0 */
/* A map checked against a table of options, into the struct that the table describes. */
#include "conf/conf-private.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define LABEL_MAX 256
#define WHY_MAX   900

/* Where in the table a map stands, so that a fault can say "commit.records". */
struct scope {
    const struct scope *up; /* NULL: the outermost */
    const char *key;
    size_t index; /* GROUPS: of the entry; SIZE_MAX: none */
    unsigned depth;
};

struct fill {
    struct fg_conf_values *values;
    struct fg_conf_faults *faults;
};

static void fill_map(struct fill *f, const struct scope *scope, const struct fg_conf_node *map,
                     const struct fg_conf_node *where, const struct fg_option *table, const char *const *ignore,
                     void *config);

static void write_scope(const struct scope *scope, struct fg_buf *out)
{
    if (!scope)
        return;
    write_scope(scope->up, out);
    if (!scope->key)
        return;
    fg_buf_add_str(out, scope->key);
    if (scope->index != SIZE_MAX)
        fg_buf_printf(out, "[%zu]", scope->index);
    fg_buf_add_char(out, '.');
}

static const char *label(const struct scope *scope, const char *key, char ret[LABEL_MAX])
{
    struct fg_buf out = FG_BUF_INIT(LABEL_MAX - 1);

    write_scope(scope, &out);
    fg_buf_add_str(&out, key);
    (void)snprintf(ret, LABEL_MAX, "%s", out.failed || !out.data ? key : out.data);
    fg_buf_deinit(&out);
    return ret;
}

static void fault_at(struct fill *f, const struct fg_conf_node *node, const struct scope *scope, const char *key,
                     const char *why)
{
    char name[LABEL_MAX];

    fg_conf_fault_add(f->faults, node->file, node->line, node->column, "`%s` %s", label(scope, key, name), why);
}

/* One of several handlers: the value of one option. member points into the struct. */
struct value {
    const struct scope *scope;
    const struct fg_option *option;
    const struct fg_conf_node *node;
    void *member;
};

static bool refuse(struct fill *f, const struct value *v, const struct fg_conf_node *node, const char *why)
{
    fault_at(f, node, v->scope, v->option->key, why);
    return false;
}

/* Scalars that a secret option owns are marked, right or wrong: fg_conf_tree_write() must not show them. */
static void mark_secret(const struct fg_conf_node *node)
{
    ((struct fg_conf_node *)node)->secret = true;
    for (size_t i = 0; i < node->n_members; i++)
        mark_secret(node->members[i].node);
}

static bool is_valued_scalar(struct fill *f, const struct value *v, const struct fg_conf_node *node)
{
    if (node->kind != FG_CONF_SCALAR)
        return refuse(f, v, node, node->kind == FG_CONF_LIST ? "must be a single value, not a list"
                                                             : "must be a single value, not a map");
    if (fg_conf_is_nothing(node))
        return refuse(f, v, node, "has no value: write one, or take the key out");
    return true;
}

static bool fill_secret(struct fill *f, const struct value *v)
{
    mark_secret(v->node);
    if (!is_valued_scalar(f, v, v->node))
        return false;
    if (v->node->text_len == 0 && (v->option->flags & FG_OPTION_REQUIRED))
        return refuse(f, v, v->node, "must not be empty");
    *(struct fg_secret **)v->member =
        fg_conf_values_secret(f->values, fg_slice_make(v->node->text, v->node->text_len));
    return true;
}

static bool fill_scalar(struct fill *f, const struct value *v)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf why = FG_BUF_INIT(WHY_MAX);
    char shown[FG_CONF_SHOWN_MAX];
    struct fg_conf_scalar scalar;

    if (v->option->flags & FG_OPTION_SECRET)
        return fill_secret(f, v);
    if (!is_valued_scalar(f, v, v->node))
        return false;
    scalar = (struct fg_conf_scalar){
        .text = fg_slice_make(v->node->text, v->node->text_len),
        .shown = fg_conf_show_node(v->node, shown),
        .quoted = v->node->quoted && !v->node->written, /* "${env:PORT}" needs its quotes inside {} */
    };
    if (fg_conf_scalar_take(v->option, &scalar, f->values, v->member, &why))
        return true;
    return refuse(f, v, v->node, why.failed || !why.data ? "has a wrong value" : why.data);
}

static bool has_good_length(struct fill *f, const struct value *v, size_t n)
{
    struct fg_buf why = FG_BUF_INIT(WHY_MAX);
    bool ok = !fg_conf_has_bounds(v->option) || ((int64_t)n >= v->option->min && (int64_t)n <= v->option->max);

    if (!ok) {
        fg_buf_add_str(&why, "must have ");
        fg_conf_bounds_write(v->option, &why);
        fg_buf_printf(&why, " entries, not %zu", n);
        refuse(f, v, v->node, why.data);
    }
    fg_buf_deinit(&why);
    return ok;
}

static bool fill_strings(struct fill *f, const struct value *v)
{
    const struct fg_conf_node *list = v->node;
    bool single = list->kind == FG_CONF_SCALAR, ok = true;
    size_t n = single ? 1 : list->n_members;
    const char **items;

    if (list->kind == FG_CONF_MAP)
        return refuse(f, v, list, "must be a list, not a map");
    if (!has_good_length(f, v, n))
        return false;
    items = fg_conf_values_alloc(f->values, n * sizeof(*items));
    for (size_t i = 0; i < n; i++) {
        const struct fg_conf_node *node = single ? list : list->members[i].node;
        if (!is_valued_scalar(f, v, node)) {
            ok = false;
            continue;
        }
        items[i] = fg_conf_values_strdup(f->values, fg_slice_make(node->text, node->text_len));
    }
    *(struct fg_strings *)v->member = (struct fg_strings){ items, n };
    return ok;
}

static bool fill_pairs(struct fill *f, const struct value *v)
{
    const struct fg_conf_node *map = v->node;
    struct fg_pair *items;
    bool ok = true;

    if (map->kind != FG_CONF_MAP)
        return refuse(f, v, map, "must be a map of keys and values");
    items = fg_conf_values_alloc(f->values, map->n_members * sizeof(*items));
    for (size_t i = 0; i < map->n_members; i++) {
        const struct fg_conf_member *m = &map->members[i];
        struct scope inner = { v->scope, v->option->key, SIZE_MAX, 0 };
        struct fg_option pair = { .key = m->key };
        struct value one = { &inner, &pair, m->node, NULL };

        if (!is_valued_scalar(f, &one, m->node)) {
            ok = false;
            continue;
        }
        items[i].key = fg_conf_values_strdup(f->values, fg_slice_of(m->key));
        items[i].value = fg_conf_values_strdup(f->values, fg_slice_make(m->node->text, m->node->text_len));
    }
    *(struct fg_pairs *)v->member = (struct fg_pairs){ items, map->n_members };
    return ok;
}

static bool fill_group_at(struct fill *f, const struct value *v, const struct fg_conf_node *map, size_t index,
                          void *config)
{
    unsigned depth = v->scope ? v->scope->depth + 1 : 1;
    struct scope inner = { v->scope, v->option->key, index, depth };

    if (depth > FG_CONF_TABLE_DEPTH_MAX)
        return refuse(f, v, map, "stands too deep inside other maps");
    if (map->kind != FG_CONF_MAP)
        return refuse(f, v, map, fg_conf_is_nothing(map) ? "has no value: write its keys below it, or {}"
                                                         : "must be a map");
    fill_map(f, &inner, map, map, v->option->members, NULL, config);
    return true;
}

static bool fill_group(struct fill *f, const struct value *v)
{
    void *config = fg_conf_values_alloc(f->values, v->option->members_size);

    *(const void **)v->member = config;
    return fill_group_at(f, v, v->node, SIZE_MAX, config);
}

static bool fill_groups(struct fill *f, const struct value *v)
{
    const struct fg_conf_node *list = v->node;
    size_t size = v->option->members_size;
    char *items;

    if (list->kind != FG_CONF_LIST)
        return refuse(f, v, list, "must be a list of maps: begin each with '- '");
    if (!has_good_length(f, v, list->n_members))
        return false;
    items = fg_conf_values_alloc(f->values, list->n_members * size);
    for (size_t i = 0; i < list->n_members; i++)
        fill_group_at(f, v, list->members[i].node, i, items + i * size);
    *(struct fg_groups *)v->member = (struct fg_groups){ items, list->n_members };
    return true;
}

static bool fill_value(struct fill *f, const struct value *v)
{
    static bool (*const fills[_FG_OPTION_TYPE_N])(struct fill *f, const struct value *v) = {
        [FG_OPTION_STRINGS] = fill_strings,
        [FG_OPTION_PAIRS] = fill_pairs,
        [FG_OPTION_GROUP] = fill_group,
        [FG_OPTION_GROUPS] = fill_groups,
    };

    return fills[v->option->type] ? fills[v->option->type](f, v) : fill_scalar(f, v);
}

struct fg_conf_node *fg_conf_fallback_parse(const struct fg_option *option, struct fg_conf_faults *faults)
{
    struct fg_slice text = fg_slice_of(option->fallback);
    struct fg_conf_node *node = NULL;
    bool flow = option->type == FG_OPTION_STRINGS && text.len > 0 && text.ptr[0] == '[';

    if (!option->fallback)
        return NULL;
    if (flow || (option->type != FG_OPTION_STRINGS && !fg_conf_is_scalar_type(option->type))) {
        (void)fg_conf_parse_any(text, "(default)", 0, false, &node, faults);
        return node;
    }
    node = fg_conf_node_new(FG_CONF_SCALAR, "(default)", 1, 1);
    node->text = fg_slice_dup(text);
    node->text_len = text.len;
    /* an empty default is the empty text; a number or boolean is never quoted */
    node->quoted = option->type >= FG_OPTION_STRING;
    return node;
}

static void fill_absent(struct fill *f, const struct scope *scope, const struct fg_conf_node *where,
                        const struct fg_option *option, void *member)
{
    struct value v = { scope, option, NULL, member };
    struct fg_conf_node *fallback;
    char why[LABEL_MAX];

    if (option->flags & FG_OPTION_REQUIRED) {
        (void)snprintf(why, sizeof(why), "is missing in the map that begins here (%s)",
                       option->summary ? option->summary : fg_conf_type_name(option->type));
        fault_at(f, where, scope, option->key, why);
        return;
    }
    if (option->type == FG_OPTION_ENUM)
        *(int *)member = -1;
    if (option->type == FG_OPTION_GROUP && (option->flags & FG_OPTION_ABSENT_DEFAULTS)) {
        unsigned depth = scope ? scope->depth + 1 : 1;
        struct scope inner = { scope, option->key, SIZE_MAX, depth };
        void *config = fg_conf_values_alloc(f->values, option->members_size);

        fg_assert(depth <= FG_CONF_TABLE_DEPTH_MAX);
        *(const void **)member = config;
        fill_map(f, &inner, NULL, where, option->members, NULL, config);
        return;
    }
    fallback = fg_conf_fallback_parse(option, f->faults);
    v.node = fallback;
    if (fallback)
        (void)fill_value(f, &v);
    fg_conf_node_free(fallback);
}

static bool is_known(const struct fg_option *table, const char *const *ignore, const char *key)
{
    for (; table->key; table++) {
        if (strcmp(table->key, key) == 0)
            return true;
    }
    for (; ignore && *ignore; ignore++) {
        if (strcmp(*ignore, key) == 0)
            return true;
    }
    return false;
}

static void consider(const char *candidate, const char *key, const char **best, unsigned *best_distance)
{
    unsigned d = fg_edit_distance(fg_slice_of(key), fg_slice_of(candidate), *best_distance);

    if (d >= *best_distance || d >= strlen(candidate))
        return;
    *best = candidate;
    *best_distance = d;
}

static const char *nearest_key(const struct fg_option *table, const char *const *ignore, const char *key)
{
    unsigned distance = strlen(key) > 4 ? 4 : 3; /* fewer than this many letters differ */
    const char *best = NULL;

    for (; table->key; table++)
        consider(table->key, key, &best, &distance);
    for (; ignore && *ignore; ignore++)
        consider(*ignore, key, &best, &distance);
    return best;
}

static void check_unknown(struct fill *f, const struct scope *scope, const struct fg_conf_node *map,
                          const struct fg_option *table, const char *const *ignore)
{
    for (size_t i = 0; i < map->n_members; i++) {
        const struct fg_conf_member *m = &map->members[i];
        char shown[FG_CONF_SHOWN_MAX], name[LABEL_MAX] = "";
        const char *nearest = NULL;

        if (is_known(table, ignore, m->key))
            continue;
        if (f->faults->len < FG_CONF_FAULTS_MAX)
            nearest = nearest_key(table, ignore, m->key);
        if (scope) {
            label(scope, "", name);
            name[strlen(name) - 1] = '\0'; /* the dot */
        }
        fg_conf_fault_add(f->faults, m->node->file, m->key_line, m->key_column, "unknown key %s%s%s%s%s%s%s",
                          fg_conf_show(fg_slice_of(m->key), shown), *name ? " in `" : "", name, *name ? "`" : "",
                          nearest ? ": did you mean `" : "", nearest ? nearest : "", nearest ? "`?" : "");
    }
}

static void fill_map(struct fill *f, const struct scope *scope, const struct fg_conf_node *map,
                     const struct fg_conf_node *where, const struct fg_option *table, const char *const *ignore,
                     void *config)
{
    if (map)
        check_unknown(f, scope, map, table, ignore);
    for (const struct fg_option *o = table; o->key; o++) {
        void *member = (char *)config + o->offset;
        const struct fg_conf_node *node = fg_conf_get(map, o->key);
        struct value v = { scope, o, node, member };

        if (!node) {
            fill_absent(f, scope, where, o, member);
            continue;
        }
        if (o->type == FG_OPTION_ENUM)
            *(int *)member = -1;
        (void)fill_value(f, &v);
    }
}

int fg_conf_fill(const struct fg_conf_node *map, const struct fg_conf_node *where, const struct fg_option *table,
                 const char *const *ignore, void *config, size_t size, struct fg_conf_values **ret_values,
                 struct fg_conf_faults *faults)
{
    static const struct fg_conf_node nowhere = { .kind = FG_CONF_MAP, .file = "configuration" };
    struct fill f = { .values = fg_conf_values_new(), .faults = faults };
    size_t before = fg_conf_faults_count(faults);

    if (!where)
        where = map ? map : &nowhere;
    if (size > 0)
        memset(config, 0, size);
    if (map && map->kind != FG_CONF_MAP)
        fg_conf_fault_add(faults, map->file, map->line, map->column, "%s",
                          fg_conf_is_nothing(map) ? "the map has no keys: write them below, or {}"
                                                  : "this must be a map of keys");
    else
        fill_map(&f, NULL, map, where, table, ignore, config);
    if (fg_conf_faults_count(faults) > before) {
        fg_conf_values_free(f.values);
        if (size > 0)
            memset(config, 0, size);
        return fg_raise(-FG_E_CONFIG);
    }
    *ret_values = f.values;
    return 0;
}
