/* SPDX-License-Identifier: Apache-2.0 */
/* Two pipeline files, place by place. */
#include "host/diff.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/diff-private.h"

#define DETAIL_MAX      4096u /* bytes of a detail */
#define DETAIL_KEYS_MAX 16u   /* keys that it names; the rest is counted */
#define SHORT_HASH      12    /* hex digits of a plugin file that a detail shows */

struct making {
    const struct fg_config *old, *new;
    enum fg_role role;
    struct fg_diff *diff;
    bool cursors_topic; /* concerns pipelines with a source */
};

static const char *const reason_names[_FG_CHANGE_REASON_N] = {
    [FG_CHANGE_OPTION] = "option", [FG_CHANGE_PLUGIN_FILE] = "plugin file", [FG_CHANGE_SECRET] = "secret",
    [FG_CHANGE_ADDED] = "added",   [FG_CHANGE_REMOVED] = "removed",         [FG_CHANGE_MOVED] = "moved",
};

static const char *const how_names[_FG_PIPELINE_HOW_N] = {
    [FG_PIPELINE_SAME] = "same",   [FG_PIPELINE_SWAP] = "swap",       [FG_PIPELINE_REOPEN] = "reopen",
    [FG_PIPELINE_ADDED] = "added", [FG_PIPELINE_REMOVED] = "removed",
};

const char *fg_change_reason_name(enum fg_change_reason reason)
{
    return reason_names[reason];
}

const char *fg_pipeline_how_name(enum fg_pipeline_how how)
{
    return how_names[how];
}

static char *text_of(struct fg_buf *buf)
{
    char *text = fg_strdup_slice(fg_buf_slice(buf));

    fg_buf_deinit(buf);
    return text;
}

/* Where a change is: a pipeline's node, the pipeline itself (node NULL), or a section (pipeline NULL). */
struct place {
    const char *pipeline, *node;
};

__attribute__((format(printf, 4, 5))) static void add_change(struct making *m, struct place place,
                                                             enum fg_change_reason reason, const char *format, ...)
{
    struct fg_buf detail = FG_BUF_INIT(DETAIL_MAX), where = FG_BUF_INIT(DETAIL_MAX);
    va_list ap;

    fg_buf_printf(&where, "%s%s%s", place.pipeline ? place.pipeline : "", place.pipeline && place.node ? "." : "",
                  place.node ? place.node : "");
    va_start(ap, format);
    fg_buf_vprintf(&detail, format, ap);
    va_end(ap);
    m->diff->changes = fg_grow(m->diff->changes, m->diff->n_changes, sizeof(*m->diff->changes));
    m->diff->changes[m->diff->n_changes++] = (struct fg_change){ text_of(&where), reason, text_of(&detail) };
}

/* A key is free text below a map of free keys: it stays on its line. */
static void write_key(struct fg_buf *out, const char *key)
{
    for (; *key; key++)
        fg_buf_add_char(out, (unsigned char)*key < ' ' || *key == 0x7f ? '?' : *key);
}

static void add_keys_of(struct making *m, struct place place, const struct fg_diff_keys *keys, bool secret)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf names = FG_BUF_INIT(DETAIL_MAX / 2);
    size_t n = 0;

    for (size_t i = 0; i < keys->n; i++) {
        if (keys->items[i].secret != secret || ++n > DETAIL_KEYS_MAX)
            continue;
        fg_buf_add_str(&names, n > 1 ? ", " : "");
        write_key(&names, keys->items[i].path);
    }
    if (n > DETAIL_KEYS_MAX)
        fg_buf_printf(&names, " and %zu more", n - DETAIL_KEYS_MAX);
    if (n > 0)
        add_change(m, place, secret ? FG_CHANGE_SECRET : FG_CHANGE_OPTION, "%s",
                   names.failed ? "many keys" : names.data);
}

static void add_keys(struct making *m, struct place place, const struct fg_diff_keys *keys)
{
    add_keys_of(m, place, keys, false);
    add_keys_of(m, place, keys, true);
}

static bool is_below(const char *path, const char *key)
{
    size_t len = strlen(key);

    return strncmp(path, key, len) == 0 && (path[len] == '\0' || path[len] == '.');
}

static bool has_key(const struct fg_diff_keys *keys, const char *key)
{
    for (size_t i = 0; i < keys->n; i++)
        if (is_below(keys->items[i].path, key))
            return true;
    return false;
}

static void compare_section(struct making *m, unsigned section, const void *old, const void *new,
                            struct fg_diff_keys *ret)
{
    const struct fg_config_table *t = &fg_config_tables[section];
    const struct fg_diff_side a = { t->table, old, fg_conf_get(m->old->tree, t->path), &m->old->digests };
    const struct fg_diff_side b = { t->table, new, fg_conf_get(m->new->tree, t->path), &m->new->digests };

    *ret = (struct fg_diff_keys){ .n = 0 };
    fg_diff_keys_add(ret, &a, &b);
    add_keys(m, (struct place){ NULL, t->path }, ret);
}

static void compare_kafka(struct making *m)
{
    FG_CLEANUP(fg_diff_keys_deinit) struct fg_diff_keys keys;

    compare_section(m, FG_SECTION_KAFKA, &m->old->kafka, &m->new->kafka, &keys);
    m->cursors_topic = has_key(&keys, "cursors-topic");
    m->diff->kafka = keys.n > (m->cursors_topic ? 1u : 0u);
}

static void compare_http(struct making *m)
{
    FG_CLEANUP(fg_diff_keys_deinit) struct fg_diff_keys keys = { .n = 0 };
    bool was = m->old->http.listen, is = m->new->http.listen;
    const struct fg_config_http_tls *old = m->old->http.tls, *new = m->new->http.tls;

    if (was && is)
        compare_section(m, FG_SECTION_HTTP, &m->old->http, &m->new->http, &keys);
    else if (was || is)
        add_change(m, (struct place){ NULL, "http" }, is ? FG_CHANGE_ADDED : FG_CHANGE_REMOVED, "%s", "");
    m->diff->http_listen = was != is || has_key(&keys, "listen");
    m->diff->http_tls = !old != !new || has_key(&keys, "tls");
    m->diff->http_tokens = (was != is && m->old->http.tokens.len + m->new->http.tokens.len > 0) ||
                           has_key(&keys, "tokens");
}

static void compare_rest(struct making *m)
{
    FG_CLEANUP(fg_diff_keys_deinit) struct fg_diff_keys limits, reload, plugins;

    compare_section(m, FG_SECTION_LIMITS, &m->old->limits, &m->new->limits, &limits);
    compare_section(m, FG_SECTION_RELOAD, &m->old->reload, &m->new->reload, &reload);
    compare_section(m, FG_SECTION_PLUGINS, &m->old->plugins, &m->new->plugins, &plugins);
    m->diff->limits_workers = has_key(&limits, "workers");
}

static bool is_same_plugin(const struct fg_config_node *old, const struct fg_config_node *new)
{
    return strcmp(old->file->plugin.name, new->file->plugin.name) == 0;
}

/* The keys that differ; of different plugins none. */
static void compare_options(const struct making *m, const struct fg_config_node *old, const struct fg_config_node *new,
                            struct fg_diff_keys *ret)
{
    const struct fg_diff_side a = { old->file->plugin.options, old->values_struct, old->map, &m->old->digests };
    const struct fg_diff_side b = { new->file->plugin.options, new->values_struct, new->map, &m->new->digests };

    *ret = (struct fg_diff_keys){ .n = 0 };
    if (is_same_plugin(old, new))
        fg_diff_keys_add(ret, &a, &b);
}

static bool is_same_file(const struct fg_config_node *old, const struct fg_config_node *new)
{
    return is_same_plugin(old, new) && strcmp(old->file->sha256, new->file->sha256) == 0;
}

static bool is_equal(const struct making *m, const struct fg_config_node *old, const struct fg_config_node *new)
{
    FG_CLEANUP(fg_diff_keys_deinit) struct fg_diff_keys keys = { .n = 0 };

    if (!is_same_file(old, new))
        return false;
    compare_options(m, old, new, &keys);
    return keys.n == 0;
}

/* Two plugins at one place. true: they differ, and it was said how. */
static bool compare_nodes(struct making *m, struct place place, const struct fg_config_node *old,
                          const struct fg_config_node *new)
{
    FG_CLEANUP(fg_diff_keys_deinit) struct fg_diff_keys keys;
    bool other = !is_same_file(old, new);
    const char *name = new->file->plugin.name;

    compare_options(m, old, new, &keys);
    if (other && is_same_plugin(old, new))
        add_change(m, place, FG_CHANGE_PLUGIN_FILE, "%s %.*s -> %.*s", name, SHORT_HASH, old->file->sha256, SHORT_HASH,
                   new->file->sha256);
    else if (other)
        add_change(m, place, FG_CHANGE_PLUGIN_FILE, "%s %.*s -> %s %.*s", old->file->plugin.name, SHORT_HASH,
                   old->file->sha256, name, SHORT_HASH, new->file->sha256);
    add_keys(m, place, &keys);
    return other || keys.n > 0;
}

/* One that may be in either file. true: it is another one, or it comes or goes. */
static bool compare_single(struct making *m, const char *pipeline, const struct fg_config_node *old,
                           const struct fg_config_node *new)
{
    const struct fg_config_node *any = new->file ? new : old;
    const struct place place = { pipeline, any->node };

    if (old->file && new->file)
        return compare_nodes(m, place, old, new);
    if (any->file)
        add_change(m, place, new->file ? FG_CHANGE_ADDED : FG_CHANGE_REMOVED, "%s", any->file->plugin.name);
    return any->file;
}

/* A list of plugins in both files. */
struct lists {
    const char *pipeline; /* NULL: control plugins */
    const struct fg_config_node *old, *new;
    size_t n_old, n_new;
    size_t *kept; /* for each new one */
    bool *used;   /* of the old ones: it has its counterpart */
    bool *done;   /* of the new ones */
    bool differ;
};

/* Equal ones that stand elsewhere now. */
static void find_moved(struct making *m, struct lists *l, size_t i)
{
    for (size_t k = 0; k < l->n_old; k++) {
        if (l->used[k] || !is_equal(m, &l->old[k], &l->new[i]))
            continue;
        l->used[k] = l->done[i] = l->differ = true;
        add_change(m, (struct place){ l->pipeline, l->new[i].node }, FG_CHANGE_MOVED, "%s, was %s",
                   l->new[i].file->plugin.name, l->old[k].node);
        return;
    }
}

static void compare_at(struct making *m, struct lists *l, size_t i)
{
    const struct place place = { l->pipeline, l->new[i].node };

    l->differ = true;
    if (i < l->n_old && !l->used[i]) {
        l->used[i] = true;
        (void)compare_nodes(m, place, &l->old[i], &l->new[i]);
    } else {
        add_change(m, place, FG_CHANGE_ADDED, "%s", l->new[i].file->plugin.name);
    }
}

/*
 * What stands where it stood and is equal is kept. What is equal elsewhere has moved: other neighbours, another name in
 * the metrics, so it is made anew. Of what is left, two at one place are one that changed; the others come and go.
 */
static void compare_lists(struct making *m, struct lists *l)
{
    l->kept = fg_calloc(l->n_new + 1, sizeof(*l->kept));
    l->used = fg_calloc(l->n_old + 1, sizeof(*l->used));
    l->done = fg_calloc(l->n_new + 1, sizeof(*l->done));
    for (size_t i = 0; i < l->n_new; i++) {
        l->kept[i] = FG_DIFF_NEW;
        if (i >= l->n_old || !is_equal(m, &l->old[i], &l->new[i]))
            continue;
        l->kept[i] = i;
        l->used[i] = l->done[i] = true;
    }
    for (size_t i = 0; i < l->n_new; i++)
        if (!l->done[i])
            find_moved(m, l, i);
    for (size_t i = 0; i < l->n_new; i++)
        if (!l->done[i])
            compare_at(m, l, i);
    for (size_t k = 0; k < l->n_old; k++) {
        if (l->used[k])
            continue;
        l->differ = true;
        add_change(m, (struct place){ l->pipeline, l->old[k].node }, FG_CHANGE_REMOVED, "%s",
                   l->old[k].file->plugin.name);
    }
    free(l->used);
    free(l->done);
}

static void compare_controls(struct making *m)
{
    struct lists l = { NULL, m->old->controls, m->new->controls, m->old->n_controls, m->new->n_controls };

    compare_lists(m, &l);
    m->diff->controls = l.kept;
    m->diff->n_controls = l.n_new;
}

static const char *role_name(const struct fg_config_pipeline *p)
{
    return p->role == FG_ROLE_PRODUCER ? "producer" : "consumer";
}

/* The pipeline's own options. What is not named here decides which topics are read and written, and how. */
static enum fg_pipeline_how compare_own(struct making *m, const struct fg_config_pipeline *old,
                                        const struct fg_config_pipeline *new)
{
    static const char *const swapped[] = { "commit", "dead-letters.attempts" };
    const struct fg_option *table = fg_config_tables[FG_SECTION_PIPELINE].table;
    const struct fg_diff_side a = { table, &old->o, old->map, &m->old->digests };
    const struct fg_diff_side b = { table, &new->o, new->map, &m->new->digests };
    FG_CLEANUP(fg_diff_keys_deinit) struct fg_diff_keys keys = { .n = 0 };
    enum fg_pipeline_how how = FG_PIPELINE_SAME;
    size_t kept = 0;

    fg_diff_keys_add(&keys, &a, &b);
    for (size_t i = 0; i < keys.n; i++) {
        const char *path = keys.items[i].path;
        if (is_below(path, "role") && old->role == new->role) {
            free(keys.items[i].path); /* it says now what was so by default */
            continue;
        }
        if (!is_below(path, swapped[0]) && !is_below(path, swapped[1]))
            how = FG_PIPELINE_REOPEN;
        else if (how == FG_PIPELINE_SAME)
            how = FG_PIPELINE_SWAP;
        keys.items[kept++] = keys.items[i];
    }
    keys.n = kept;
    add_keys(m, (struct place){ new->name, NULL }, &keys);
    return how;
}

static void compare_pipelines(struct making *m, const struct fg_config_pipeline *old,
                              const struct fg_config_pipeline *new, struct fg_diff_pipeline *ret)
{
    struct lists l = { new->name, old->transforms, new->transforms, old->n_transforms, new->n_transforms };
    enum fg_pipeline_how how = compare_own(m, old, new);

    ret->source = compare_single(m, new->name, &old->source, &new->source) && new->source.file;
    compare_lists(m, &l);
    ret->sink = compare_single(m, new->name, &old->sink, &new->sink) && new->sink.file;
    ret->transforms = l.kept;
    ret->n_transforms = l.n_new;
    for (size_t i = 0; m->diff->limits_workers && i < l.n_new; i++)
        l.kept[i] = FG_DIFF_NEW;
    if (m->diff->kafka || (m->cursors_topic && new->source.file) || !old->source.file != !new->source.file ||
        !old->sink.file != !new->sink.file)
        how = FG_PIPELINE_REOPEN;
    if (how == FG_PIPELINE_SAME &&
        (ret->source || ret->sink || l.differ || (m->diff->limits_workers && l.n_new > 0)))
        how = FG_PIPELINE_SWAP;
    ret->how = how;
}

static void come(struct making *m, const struct fg_config_pipeline *new, struct fg_diff_pipeline *ret)
{
    ret->how = FG_PIPELINE_ADDED;
    ret->source = new->source.file;
    ret->sink = new->sink.file;
    ret->n_transforms = new->n_transforms;
    ret->transforms = fg_calloc(new->n_transforms + 1, sizeof(*ret->transforms));
    for (size_t i = 0; i < new->n_transforms; i++)
        ret->transforms[i] = FG_DIFF_NEW;
    add_change(m, (struct place){ new->name, NULL }, FG_CHANGE_ADDED, "%s", role_name(new));
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const struct fg_config_pipeline *const *)a)->name,
                  (*(const struct fg_config_pipeline *const *)b)->name);
}

/* Those of the role, by name. */
static const struct fg_config_pipeline **sort_pipelines(const struct fg_config *c, enum fg_role role, size_t *ret_n)
{
    const struct fg_config_pipeline **sorted = fg_calloc(c->n_pipelines + 1, sizeof(const struct fg_config_pipeline *));
    size_t n = 0;

    for (size_t i = 0; i < c->n_pipelines; i++)
        if (role == FG_ROLE_BOTH || c->pipelines[i].role == role)
            sorted[n++] = &c->pipelines[i];
    if (n)
        qsort(sorted, n, sizeof(*sorted), compare_names);
    *ret_n = n;
    return sorted;
}

static const struct fg_config_pipeline *find_pipeline(const struct fg_config_pipeline *const *sorted, size_t n,
                                                      const struct fg_config_pipeline *named)
{
    const struct fg_config_pipeline *const *found = bsearch(&named, sorted, n, sizeof(*sorted), compare_names);

    return found ? *found : NULL;
}

static struct fg_diff_pipeline *add_pipeline(struct making *m, const struct fg_config_pipeline *old,
                                             const struct fg_config_pipeline *new)
{
    struct fg_diff_pipeline *p;

    m->diff->pipelines = fg_grow(m->diff->pipelines, m->diff->n_pipelines, sizeof(*p));
    p = &m->diff->pipelines[m->diff->n_pipelines++];
    *p = (struct fg_diff_pipeline){
        .name = new ? new->name : old->name,
        .new_index = new ? (size_t)(new - m->new->pipelines) : FG_DIFF_NEW,
    };
    return p;
}

static void compare_all_pipelines(struct making *m)
{
    size_t n_old, n_new;
    const struct fg_config_pipeline **olds = sort_pipelines(m->old, m->role, &n_old);
    const struct fg_config_pipeline **news = sort_pipelines(m->new, m->role, &n_new);

    for (size_t i = 0; i < m->new->n_pipelines; i++) {
        const struct fg_config_pipeline *new = &m->new->pipelines[i], *old;
        if (m->role != FG_ROLE_BOTH && new->role != m->role)
            continue;
        old = find_pipeline(olds, n_old, new);
        if (old)
            compare_pipelines(m, old, new, add_pipeline(m, old, new));
        else
            come(m, new, add_pipeline(m, NULL, new));
    }
    for (size_t i = 0; i < m->old->n_pipelines; i++) {
        const struct fg_config_pipeline *old = &m->old->pipelines[i];
        if ((m->role != FG_ROLE_BOTH && old->role != m->role) || find_pipeline(news, n_new, old))
            continue;
        add_pipeline(m, old, NULL)->how = FG_PIPELINE_REMOVED;
        add_change(m, (struct place){ old->name, NULL }, FG_CHANGE_REMOVED, "%s", role_name(old));
    }
    free(olds);
    free(news);
}

void fg_diff_make(const struct fg_config *old, const struct fg_config *new, enum fg_role role, struct fg_diff *ret)
{
    struct making m = { .old = old, .new = new, .role = role, .diff = ret };

    *ret = (struct fg_diff){ .n_changes = 0 };
    compare_kafka(&m);
    compare_http(&m);
    compare_rest(&m);
    compare_controls(&m);
    compare_all_pipelines(&m);
}

void fg_diff_deinit(struct fg_diff *diff)
{
    for (size_t i = 0; i < diff->n_changes; i++) {
        free(diff->changes[i].place);
        free(diff->changes[i].detail);
    }
    for (size_t i = 0; i < diff->n_pipelines; i++)
        free(diff->pipelines[i].transforms);
    free(diff->changes);
    free(diff->pipelines);
    free(diff->controls);
    *diff = (struct fg_diff){ .n_changes = 0 };
}

bool fg_diff_empty(const struct fg_diff *diff)
{
    return diff->n_changes == 0;
}
