/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Schema 2020-12 of a table, and a tree as JSON. */
#include "conf/conf-private.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

/* Every value may come from outside instead: a pattern binds strings only, so it stands beside other types. */
#define REPLACED "\\$\\{(env|file):"

static void write_object(struct fg_json_writer *w, const struct fg_option *table, unsigned depth,
                         void (*extra)(struct fg_json_writer *w, void *arg), void *arg);

/* "type": [...]; NULL ends */
static void write_types(struct fg_json_writer *w, const char *a, const char *b, const char *c)
{
    fg_json_key(w, "type");
    fg_json_array(w);
    fg_json_cstr(w, a);
    if (b)
        fg_json_cstr(w, b);
    if (c)
        fg_json_cstr(w, c);
    fg_json_array_end(w);
}

/* The scalars that count as text in a YAML file. */
static void write_text_types(struct fg_json_writer *w)
{
    write_types(w, "string", "number", "boolean");
}

static void write_limits(struct fg_json_writer *w, const struct fg_option *o, const char *min, const char *max)
{
    if (!fg_conf_has_bounds(o))
        return;
    if (o->min != INT64_MIN)
        fg_json_kv_int(w, min, o->min);
    if (o->max != INT64_MAX)
        fg_json_kv_int(w, max, o->max);
}

static void write_bool(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    write_types(w, "boolean", "string", NULL);
    fg_json_kv_cstr(w, "pattern", REPLACED);
}

static void write_integer(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    write_types(w, "integer", "string", NULL);
    fg_json_kv_cstr(w, "pattern", REPLACED);
    write_limits(w, o, "minimum", "maximum");
}

static void write_number(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    write_types(w, "number", "string", NULL);
    fg_json_kv_cstr(w, "pattern", REPLACED);
    write_limits(w, o, "minimum", "maximum");
}

static void write_string(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    write_text_types(w);
    if (o->flags & FG_OPTION_REQUIRED)
        fg_json_kv_int(w, "minLength", 1);
    if (o->flags & FG_OPTION_SECRET)
        fg_json_kv_bool(w, "writeOnly", true);
}

static void write_enum(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    fg_json_key(w, "anyOf");
    fg_json_array(w);
    fg_json_object(w);
    fg_json_key(w, "enum");
    fg_json_array(w);
    for (size_t i = 0; o->choices[i]; i++)
        fg_json_cstr(w, o->choices[i]);
    fg_json_array_end(w);
    fg_json_object_end(w);
    fg_json_object(w);
    fg_json_kv_cstr(w, "type", "string");
    fg_json_kv_cstr(w, "pattern", REPLACED);
    fg_json_object_end(w);
    fg_json_array_end(w);
}

/* Bounds of durations cannot be said by a pattern; the description tells them. A bare 0 is the only number. */
static void write_duration(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    bool zero = !fg_conf_has_bounds(o) || o->min <= 0;

    write_types(w, "string", zero ? "integer" : NULL, NULL);
    if (zero)
        fg_json_kv_int(w, "minimum", 0);
    if (zero)
        fg_json_kv_int(w, "maximum", 0);
    fg_json_kv_cstr(w, "pattern", "^(0|[0-9]+(ms|s|m|h|d))$|" REPLACED);
}

static void write_size(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    write_types(w, "string", "integer", NULL);
    if (fg_conf_has_bounds(o))
        write_limits(w, o, "minimum", "maximum");
    else
        fg_json_kv_int(w, "minimum", 0);
    fg_json_kv_cstr(w, "pattern", "^[0-9]+(B|KiB|MiB|GiB)?$|" REPLACED);
}

static void write_url(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    fg_json_kv_cstr(w, "type", "string");
    fg_json_kv_cstr(w, "pattern", "^[Hh][Tt][Tt][Pp][Ss]?://[^@/?#]+([/?][^@#]*)?$|" REPLACED);
}

static void write_path(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    write_text_types(w);
    fg_json_kv_int(w, "minLength", 1);
}

static void write_pointer(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    fg_json_kv_cstr(w, "type", "string");
    fg_json_kv_cstr(w, "pattern", "^(/([^~/]|~[01])*)*$|" REPLACED);
}

/* A single scalar stands for a list of one. */
static void write_strings(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    write_types(w, "array", fg_conf_has_bounds(o) && o->min > 1 ? NULL : "string", NULL);
    fg_json_key(w, "items");
    fg_json_object(w);
    write_text_types(w);
    fg_json_object_end(w);
    write_limits(w, o, "minItems", "maxItems");
}

static void write_pairs(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    fg_json_kv_cstr(w, "type", "object");
    fg_json_key(w, "additionalProperties");
    fg_json_object(w);
    write_text_types(w);
    fg_json_object_end(w);
}

static void write_group(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    write_object(w, o->members, depth + 1, NULL, NULL);
}

static void write_groups(struct fg_json_writer *w, const struct fg_option *o, unsigned depth)
{
    fg_json_kv_cstr(w, "type", "array");
    write_limits(w, o, "minItems", "maxItems");
    fg_json_key(w, "items");
    fg_json_object(w);
    write_object(w, o->members, depth + 1, NULL, NULL);
    fg_json_object_end(w);
}

static void (*const writers[_FG_OPTION_TYPE_N])(struct fg_json_writer *w, const struct fg_option *o, unsigned depth) = {
    [FG_OPTION_BOOL] = write_bool,         [FG_OPTION_INTEGER] = write_integer, [FG_OPTION_NUMBER] = write_number,
    [FG_OPTION_STRING] = write_string,     [FG_OPTION_ENUM] = write_enum,       [FG_OPTION_DURATION] = write_duration,
    [FG_OPTION_SIZE] = write_size,         [FG_OPTION_URL] = write_url,         [FG_OPTION_PATH] = write_path,
    [FG_OPTION_POINTER] = write_pointer,   [FG_OPTION_STRINGS] = write_strings, [FG_OPTION_PAIRS] = write_pairs,
    [FG_OPTION_GROUP] = write_group,       [FG_OPTION_GROUPS] = write_groups,
};

static void write_description(struct fg_json_writer *w, const struct fg_option *o)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(16384);

    fg_buf_add_str(&text, o->summary ? o->summary : o->key);
    if (fg_conf_has_bounds(o)) {
        fg_buf_add_str(&text, " (");
        fg_conf_bounds_write(o, &text);
        fg_buf_add_str(&text, o->type == FG_OPTION_STRINGS || o->type == FG_OPTION_GROUPS ? " entries)" : ")");
    }
    if (o->detail) {
        fg_buf_add_str(&text, ". ");
        fg_buf_add_str(&text, o->detail);
    }
    fg_json_key(w, "description");
    fg_json_string(w, fg_buf_slice(&text));
}

static void write_default(struct fg_json_writer *w, const struct fg_option *o)
{
    struct fg_conf_faults faults = FG_CONF_FAULTS_NULL;
    struct fg_conf_node *node = fg_conf_fallback_parse(o, &faults);

    if (node) {
        fg_json_key(w, "default");
        fg_conf_tree_write(w, node);
    }
    fg_conf_node_free(node);
    fg_conf_faults_deinit(&faults);
}

static void write_object(struct fg_json_writer *w, const struct fg_option *table, unsigned depth,
                         void (*extra)(struct fg_json_writer *w, void *arg), void *arg)
{
    bool required = false;

    fg_json_kv_cstr(w, "type", "object");
    if (depth > FG_CONF_TABLE_DEPTH_MAX)
        return;
    fg_json_key(w, "properties");
    fg_json_object(w);
    if (extra)
        extra(w, arg);
    for (const struct fg_option *o = table; o->key; o++) {
        required = required || (o->flags & FG_OPTION_REQUIRED);
        fg_json_key(w, o->key);
        fg_json_object(w);
        writers[o->type](w, o, depth);
        write_default(w, o);
        write_description(w, o);
        fg_json_object_end(w);
    }
    fg_json_object_end(w);
    if (required) {
        fg_json_key(w, "required");
        fg_json_array(w);
        for (const struct fg_option *o = table; o->key; o++) {
            if (o->flags & FG_OPTION_REQUIRED)
                fg_json_cstr(w, o->key);
        }
        fg_json_array_end(w);
    }
    fg_json_kv_bool(w, "additionalProperties", false);
}

void fg_conf_schema_write(struct fg_json_writer *w, const struct fg_option *table,
                          void (*extra)(struct fg_json_writer *w, void *arg), void *arg)
{
    fg_json_object(w);
    write_object(w, table, 0, extra, arg);
    fg_json_object_end(w);
}

/* "sasl.password", "client-secret", "token" */
static bool is_secret_key(const char *key)
{
    static const char *const words[] = { "password", "secret", "token", "credential", NULL };
    struct fg_slice s = fg_slice_of(key);

    for (size_t i = 0; words[i]; i++) {
        struct fg_slice word = fg_slice_of(words[i]);
        if (s.len >= word.len && fg_slice_ieq(fg_slice_sub(s, s.len - word.len, s.len), word))
            return true;
    }
    return false;
}

/* Plain true, 5 and 0.5 are what they look like; everything else is a text. */
static void write_scalar(struct fg_json_writer *w, const struct fg_conf_node *node, bool secret)
{
    struct fg_slice text = fg_slice_make(node->text, node->text_len);
    int64_t i;
    double d;

    if (node->written)
        fg_json_cstr(w, node->written);
    else if (fg_conf_is_nothing(node))
        fg_json_null(w);
    else if (secret || node->secret)
        fg_json_cstr(w, "***");
    else if (node->quoted)
        fg_json_string(w, text);
    else if (fg_slice_is(text, "true") || fg_slice_is(text, "false"))
        fg_json_bool(w, text.ptr[0] == 't');
    else if (fg_parse_int(text, &i))
        fg_json_int(w, i);
    else if (fg_parse_double(text, &d))
        fg_json_double(w, d);
    else
        fg_json_string(w, text);
}

static void write_node(struct fg_json_writer *w, const struct fg_conf_node *node, bool secret)
{
    if (node->kind == FG_CONF_SCALAR) {
        write_scalar(w, node, secret);
        return;
    }
    if (node->kind == FG_CONF_LIST)
        fg_json_array(w);
    else
        fg_json_object(w);
    for (size_t i = 0; i < node->n_members; i++) {
        const struct fg_conf_member *m = &node->members[i];

        if (m->key)
            fg_json_key(w, m->key);
        /* the map below "credential" has keys of its own that say what they are */
        write_node(w, m->node, m->key ? is_secret_key(m->key) : secret);
    }
    if (node->kind == FG_CONF_LIST)
        fg_json_array_end(w);
    else
        fg_json_object_end(w);
}

void fg_conf_tree_write(struct fg_json_writer *w, const struct fg_conf_node *node)
{
    write_node(w, node, false);
}
