/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a table of options is itself in order. */
#include "conf/conf-private.h"

#include "base/err.h"
#include "base/mem.h"

struct check {
    const struct fg_option *option;
    const struct fg_option *table;
    size_t size; /* of the struct; SIZE_MAX: not known */
    unsigned depth;
    struct fg_error *err;
};

static int check_table(const struct fg_option *table, size_t size, unsigned depth, struct fg_error *err);

static int refuse(const struct check *c, const char *why)
{
    return fg_raise(fg_error_set(c->err, FG_E_CONFIG, 0, "option \"%s\": %s", c->option->key, why));
}

/*
 * Words of a-z and 0-9 joined by '-'; by '.' where the name is another program's ("bootstrap.servers"), by '_' where
 * it is a member of a record ("body_text").
 */
static bool is_key(const char *key)
{
    bool after_word = false;

    if (*key < 'a' || *key > 'z')
        return false;
    for (; *key; key++) {
        bool letter = (*key >= 'a' && *key <= 'z') || (*key >= '0' && *key <= '9');
        if (!letter && ((*key != '-' && *key != '.' && *key != '_') || !after_word))
            return false;
        after_word = letter;
    }
    return after_word;
}

static int check_key(const struct check *c)
{
    if (!is_key(c->option->key))
        return refuse(c, "the key must be lower-case words joined by '-', '.' or '_'");
    for (const struct fg_option *o = c->table; o != c->option; o++) {
        if (strcmp(o->key, c->option->key) == 0)
            return refuse(c, "the key is in the table twice");
    }
    if (!c->option->summary || !*c->option->summary)
        return refuse(c, "it has no summary");
    return 0;
}

static int check_shape(const struct check *c)
{
    const struct fg_option *o = c->option;

    if ((unsigned)o->type >= _FG_OPTION_TYPE_N)
        return refuse(c, "its type is unknown");
    if (c->size != SIZE_MAX && (o->offset > c->size || fg_conf_type_size(o->type) > c->size - o->offset))
        return refuse(c, "its offset lies outside of its struct");
    if ((o->type == FG_OPTION_ENUM) != (o->choices != NULL) || (o->choices && !o->choices[0]))
        return refuse(c, "choices belong to ENUM, which needs at least one");
    if (o->type == FG_OPTION_GROUP || o->type == FG_OPTION_GROUPS) {
        if (!o->members || o->members_size == 0)
            return refuse(c, "a group needs members and members_size");
    } else if (o->members) {
        return refuse(c, "members belong to GROUP and GROUPS");
    }
    return 0;
}

static int check_flags(const struct check *c)
{
    const struct fg_option *o = c->option;

    if ((o->flags & FG_OPTION_SECRET) && o->type != FG_OPTION_STRING)
        return refuse(c, "only a STRING can be secret");
    if ((o->flags & FG_OPTION_SECRET) && o->fallback)
        return refuse(c, "a secret cannot have a default");
    if ((o->flags & FG_OPTION_REQUIRED) && (o->fallback || (o->flags & FG_OPTION_ABSENT_DEFAULTS)))
        return refuse(c, "what is required cannot have a default");
    if (!(o->flags & FG_OPTION_ABSENT_DEFAULTS))
        return 0;
    if (o->type != FG_OPTION_GROUP || o->fallback)
        return refuse(c, "ABSENT_DEFAULTS belongs to a GROUP without a default of its own");
    for (const struct fg_option *m = o->members; m->key; m++) {
        if (m->flags & FG_OPTION_REQUIRED)
            return refuse(c, "with ABSENT_DEFAULTS no member can be required");
    }
    return 0;
}

static int check_bounds(const struct check *c)
{
    static const bool bounded[_FG_OPTION_TYPE_N] = {
        [FG_OPTION_INTEGER] = true, [FG_OPTION_NUMBER] = true,  [FG_OPTION_DURATION] = true,
        [FG_OPTION_SIZE] = true,    [FG_OPTION_STRINGS] = true, [FG_OPTION_GROUPS] = true,
    };
    const struct fg_option *o = c->option;

    if (!fg_conf_has_bounds(o))
        return 0;
    if (!bounded[o->type])
        return refuse(c, "its type has no bounds");
    if (o->min > o->max)
        return refuse(c, "min is larger than max");
    if (o->min < 0 && o->type != FG_OPTION_INTEGER && o->type != FG_OPTION_NUMBER)
        return refuse(c, "min cannot be negative");
    return 0;
}

/* The default goes the way that a value from a file goes, into a table of this one option. */
static int check_fallback(const struct check *c)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_option alone[2] = { *c->option, FG_OPTION_END };
    struct fg_conf_values *values = NULL;
    union {
        max_align_t align;
        char bytes[64];
    } config;
    int r;

    if (!c->option->fallback)
        return 0;
    fg_assert(fg_conf_type_size(c->option->type) <= sizeof(config));
    alone[0].offset = 0;
    r = fg_conf_fill(NULL, NULL, alone, NULL, &config, sizeof(config), &values, &faults);
    if (r < 0)
        r = fg_raise(fg_error_set(c->err, FG_E_CONFIG, 0, "option \"%s\": its default is wrong: %s", c->option->key,
                                  faults.len > 0 ? faults.items[0].text : "unknown"));
    fg_conf_values_free(values);
    fg_conf_faults_deinit(&faults);
    return r;
}

static int check_members(const struct check *c)
{
    if (!c->option->members)
        return 0;
    if (c->depth + 1 > FG_CONF_TABLE_DEPTH_MAX)
        return refuse(c, "groups stand too deep inside each other, or a table contains itself");
    return check_table(c->option->members, c->option->members_size, c->depth + 1, c->err);
}

static int check_table(const struct fg_option *table, size_t size, unsigned depth, struct fg_error *err)
{
    static int (*const checks[])(const struct check *c) = {
        check_key, check_shape, check_flags, check_bounds, check_members, check_fallback,
    };

    for (const struct fg_option *o = table; o->key; o++) {
        struct check c = { o, table, size, depth, err };

        for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
            int r = checks[i](&c);
            if (r < 0)
                return fg_pass(r);
        }
    }
    return 0;
}

int fg_conf_table_check(const struct fg_option *table, struct fg_error *err)
{
    return check_table(table, SIZE_MAX, 0, err);
}
