/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's events to a tree: one small handler for each kind of event, an explicit stack, every fault noted. */
#include "conf/conf-private.h"

#include <stdlib.h>
#include <yaml.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "conf/yaml-text.h"

/* A list or map that is still open. */
struct frame {
    struct fg_conf_node *node; /* owned */
    bool as_key;               /* stands where a key belongs: a fault, read to its end and dropped */
    bool has_key;              /* MAP: the next node is a value */
    char *key;                 /* owned; NULL with has_key: the value is to be dropped */
    unsigned key_line, key_column;
};

struct load {
    yaml_parser_t parser;
    struct fg_conf_text text;
    const char *name;
    unsigned column; /* added on the first line */
    bool interpolate;
    struct fg_conf_faults *faults;
    struct frame frames[FG_CONF_DEPTH_MAX];
    unsigned depth; /* frames in use */
    struct fg_conf_node *root;
    unsigned documents;
    size_t n_nodes;
    size_t replaced; /* bytes of texts that ${...} took part in */
    size_t tab_line; /* lines before this one were looked at */
};

static unsigned line_of(const yaml_mark_t *mark)
{
    return (unsigned)mark->line + 1;
}

static unsigned column_of(const struct load *l, const yaml_mark_t *mark)
{
    return (unsigned)mark->column + 1 + (mark->line == 0 ? l->column : 0);
}

/* A fault at an event's or libyaml's own mark. */
#define FAULT_AT(l, mark, ...)                                                                                         \
    fg_conf_fault_add((l)->faults, (l)->name, line_of(mark), column_of((l), (mark)), __VA_ARGS__)

static struct frame *top(struct load *l)
{
    return l->depth > 0 ? &l->frames[l->depth - 1] : NULL;
}

static bool wants_key(struct load *l)
{
    struct frame *f = top(l);

    return f && f->node->kind == FG_CONF_MAP && !f->has_key;
}

/* A whole node goes where it belongs; taken over. */
static void place(struct load *l, struct fg_conf_node *node)
{
    struct frame *f = top(l);

    if (!f) {
        fg_conf_node_free(l->root); /* a second document's, which is a fault */
        l->root = node;
        return;
    }
    if (f->node->kind == FG_CONF_MAP && !f->key) {
        fg_conf_node_free(node);
    } else {
        fg_conf_node_add(f->node, f->key, f->key_line, f->key_column, node);
        f->key = NULL;
    }
    f->has_key = false;
}

static int compare_members(const void *a, const void *b)
{
    const struct fg_conf_member *x = *(const struct fg_conf_member *const *)a;
    const struct fg_conf_member *y = *(const struct fg_conf_member *const *)b;
    int r = strcmp(x->key, y->key);

    return r != 0 ? r : (x > y) - (x < y);
}

/* By sorting: comparing each with each would take minutes for a hostile file. */
static void check_duplicates(struct load *l, const struct fg_conf_node *map)
{
    const struct fg_conf_member **sorted, *first;
    char shown[FG_CONF_SHOWN_MAX];

    if (map->kind != FG_CONF_MAP || map->n_members < 2)
        return;
    sorted = fg_calloc(map->n_members, sizeof(const struct fg_conf_member *));
    for (size_t i = 0; i < map->n_members; i++)
        sorted[i] = &map->members[i];
    qsort(sorted, map->n_members, sizeof(const struct fg_conf_member *), compare_members);
    first = sorted[0];
    for (size_t i = 1; i < map->n_members; i++) {
        if (strcmp(sorted[i]->key, first->key) != 0) {
            first = sorted[i];
            continue;
        }
        fg_conf_fault_add(l->faults, l->name, sorted[i]->key_line, sorted[i]->key_column,
                          "the key %s is here twice: the first is on line %u",
                          fg_conf_show(fg_slice_of(first->key), shown), first->key_line);
    }
    free(sorted);
}

static void check_tab(struct load *l, const yaml_mark_t *mark)
{
    size_t tab;

    if (mark->line < l->tab_line)
        return;
    l->tab_line = mark->line + 1;
    if (fg_conf_text_indent_tab(&l->text, mark->line, mark->column, &tab))
        fg_conf_fault_add(l->faults, l->name, line_of(mark), (unsigned)tab + 1 + (mark->line == 0 ? l->column : 0),
                          "a tab is used for indentation: use spaces");
}

static void check_properties(struct load *l, const yaml_event_t *e, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    char shown[FG_CONF_SHOWN_MAX];

    check_tab(l, &e->start_mark);
    if (anchor)
        FAULT_AT(l, &e->start_mark, "the anchor %s is refused: write values out, or put a text with '&' in quotes",
                 fg_conf_show(fg_slice_of((const char *)anchor), shown));
    if (tag)
        FAULT_AT(l, &e->start_mark, "the tag %s is refused: put a text with '!' in quotes",
                 fg_conf_show(fg_slice_of((const char *)tag), shown));
}

/* What fg_conf_interpolate() complains about, and where the text stands. */
struct place_of_text {
    struct load *l;
    const yaml_event_t *e;
};

static void on_interpolate_fault(void *arg, size_t ordinal, const char *text)
{
    const struct place_of_text *p = arg;
    struct load *l = p->l;
    size_t line = p->e->start_mark.line, column = p->e->start_mark.column;

    if (l->faults->len < FG_CONF_FAULTS_MAX)
        fg_conf_text_find_open(&l->text, ordinal, &line, &column);
    fg_conf_fault_add(l->faults, l->name, (unsigned)line + 1,
                      (unsigned)column + 1 + (line == 0 ? l->column : 0), "%s", text);
}

static bool replace(struct load *l, const yaml_event_t *e, struct fg_conf_node *node, struct fg_slice text)
{
    struct fg_buf out = FG_BUF_INIT(FG_CONF_REPLACED_BYTES_MAX - l->replaced);
    struct place_of_text where = { l, e };
    bool ok;

    node->written = fg_slice_dup(text);
    fg_conf_interpolate(text, l->name, &out, &node->from_file, on_interpolate_fault, &where);
    ok = !out.failed;
    l->replaced += out.len;
    node->text_len = out.len;
    node->text = ok && out.len > 0 ? fg_buf_steal(&out, NULL) : fg_slice_dup(FG_SLICE_NULL);
    if (!ok) {
        node->text_len = 0;
        FAULT_AT(l, &e->start_mark, "with what ${...} brings in, the file's texts are larger than %u bytes",
                 FG_CONF_REPLACED_BYTES_MAX);
    }
    fg_buf_deinit(&out);
    return ok;
}

static bool set_text(struct load *l, const yaml_event_t *e, struct fg_conf_node *node, struct fg_slice text)
{
    if (l->interpolate && fg_slice_find(text, fg_slice_of("${")) >= 0)
        return replace(l, e, node, text);
    node->text = fg_slice_dup(text);
    node->text_len = text.len;
    return true;
}

static bool count_node(struct load *l, const yaml_event_t *e)
{
    if (l->n_nodes++ < FG_CONF_NODES_MAX)
        return true;
    FAULT_AT(l, &e->start_mark, "there are more than %u values in the file", FG_CONF_NODES_MAX);
    return false;
}

static bool take_key(struct load *l, const yaml_event_t *e, struct fg_slice text, bool plain)
{
    struct frame *f = top(l);

    f->has_key = true;
    f->key_line = line_of(&e->start_mark);
    f->key_column = column_of(l, &e->start_mark);
    if (text.len == 0)
        FAULT_AT(l, &e->start_mark, "a key is missing here, before the ':'");
    else if (plain && fg_slice_is(text, "<<"))
        FAULT_AT(l, &e->start_mark, "the merge key \"<<\" is refused: write the keys out");
    else
        f->key = fg_slice_dup(text);
    return true;
}

static bool on_scalar(struct load *l, const yaml_event_t *e)
{
    struct fg_slice text = fg_slice_make(e->data.scalar.value, e->data.scalar.length);
    bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    struct fg_conf_node *node;
    bool ok;

    check_properties(l, e, e->data.scalar.anchor, e->data.scalar.tag);
    if (!count_node(l, e))
        return false;
    if (text.len > 0 && memchr(text.ptr, '\0', text.len)) {
        FAULT_AT(l, &e->start_mark, "a text cannot have the character \\0 in it");
        text = fg_slice_of("\\0");
    }
    if (wants_key(l))
        return take_key(l, e, text, plain);
    node = fg_conf_node_new(FG_CONF_SCALAR, l->name, line_of(&e->start_mark), column_of(l, &e->start_mark));
    node->quoted = !plain;
    l->text.node_line = e->start_mark.line;
    l->text.node_column = e->start_mark.column;
    ok = set_text(l, e, node, text);
    place(l, node);
    return ok;
}

static bool open_frame(struct load *l, const yaml_event_t *e, enum fg_conf_kind kind)
{
    bool as_key = wants_key(l);

    if (as_key)
        FAULT_AT(l, &e->start_mark, "a %s cannot be a key: put it in quotes, or is a value with ${...} meant?",
                 kind == FG_CONF_MAP ? "map" : "list");
    if (l->depth == FG_CONF_DEPTH_MAX) {
        FAULT_AT(l, &e->start_mark, "lists and maps stand inside each other deeper than %u", FG_CONF_DEPTH_MAX);
        return false;
    }
    if (!count_node(l, e))
        return false;
    l->frames[l->depth++] = (struct frame){
        .node = fg_conf_node_new(kind, l->name, line_of(&e->start_mark), column_of(l, &e->start_mark)),
        .as_key = as_key,
    };
    return true;
}

static bool on_list(struct load *l, const yaml_event_t *e)
{
    check_properties(l, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
    return open_frame(l, e, FG_CONF_LIST);
}

static bool on_map(struct load *l, const yaml_event_t *e)
{
    check_properties(l, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
    return open_frame(l, e, FG_CONF_MAP);
}

static void close_frame(struct load *l)
{
    struct frame f = *top(l);

    l->depth--;
    check_duplicates(l, f.node);
    free(f.key);
    if (!f.as_key) {
        place(l, f.node);
        return;
    }
    fg_conf_node_free(f.node);
    *top(l) = (struct frame){ .node = top(l)->node, .as_key = top(l)->as_key, .has_key = true };
}

static bool on_end(struct load *l, const yaml_event_t *e)
{
    check_tab(l, &e->start_mark);
    close_frame(l);
    return true;
}

static bool on_alias(struct load *l, const yaml_event_t *e)
{
    char shown[FG_CONF_SHOWN_MAX];

    FAULT_AT(l, &e->start_mark, "the alias %s is refused: write the value out, or put a text with '*' in quotes",
             fg_conf_show(fg_slice_of((const char *)e->data.alias.anchor), shown));
    if (wants_key(l)) {
        top(l)->has_key = true;
        return true;
    }
    place(l, fg_conf_node_new(FG_CONF_LIST, l->name, line_of(&e->start_mark), column_of(l, &e->start_mark)));
    return count_node(l, e);
}

static bool on_document(struct load *l, const yaml_event_t *e)
{
    if (++l->documents == 1)
        return true;
    FAULT_AT(l, &e->start_mark, "a second document begins here: one file holds one");
    return false;
}

static bool on_nothing(struct load *l, const yaml_event_t *e)
{
    return true;
}

static bool (*const handlers[])(struct load *l, const yaml_event_t *e) = {
    [YAML_NO_EVENT] = on_nothing,
    [YAML_STREAM_START_EVENT] = on_nothing,
    [YAML_STREAM_END_EVENT] = on_nothing,
    [YAML_DOCUMENT_START_EVENT] = on_document,
    [YAML_DOCUMENT_END_EVENT] = on_nothing,
    [YAML_ALIAS_EVENT] = on_alias,
    [YAML_SCALAR_EVENT] = on_scalar,
    [YAML_SEQUENCE_START_EVENT] = on_list,
    [YAML_SEQUENCE_END_EVENT] = on_end,
    [YAML_MAPPING_START_EVENT] = on_map,
    [YAML_MAPPING_END_EVENT] = on_end,
};

static void tell_complaint(struct load *l)
{
    const yaml_parser_t *p = &l->parser;
    struct fg_conf_complaint complaint = {
        .problem = p->problem,
        .context = p->context,
        .context_line = line_of(&p->context_mark),
        .at = fg_conf_text_at(&l->text, p->problem_mark.line, p->problem_mark.column),
    };
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(512);
    bool began = fg_conf_complaint_write(&complaint, &text);

    yaml_mark_t mark = began ? p->context_mark : p->problem_mark;

    fg_assert(p->error != YAML_MEMORY_ERROR);
    fg_conf_text_clamp(&l->text, &mark.line, &mark.column);
    FAULT_AT(l, &mark, "%s", text.data);
}

/* Duplicates in maps that a fault left open are told too. */
static void close_all(struct load *l)
{
    while (l->depth > 0)
        close_frame(l);
}

static void run(struct load *l)
{
    bool go = true;

    fg_assert(yaml_parser_initialize(&l->parser));
    yaml_parser_set_encoding(&l->parser, YAML_UTF8_ENCODING);
    /* nothing may be a NULL pointer, and libyaml asserts that it is none */
    yaml_parser_set_input_string(&l->parser, (const unsigned char *)(l->text.all.len ? l->text.all.ptr : ""),
                                 l->text.all.len);
    while (go) {
        yaml_event_t e;

        if (!yaml_parser_parse(&l->parser, &e)) {
            tell_complaint(l);
            break;
        }
        fg_assert((size_t)e.type < sizeof(handlers) / sizeof(handlers[0]));
        go = handlers[e.type](l, &e) && e.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&l->parser);
    close_all(l);
}

int fg_conf_parse_any(struct fg_slice text, const char *name, unsigned column, bool interpolate,
                      struct fg_conf_node **ret, struct fg_conf_faults *faults)
{
    size_t before = fg_conf_faults_count(faults);
    struct load *l;
    struct fg_conf_node *root;

    if (!fg_conf_text_check(&text, name, column, faults))
        return fg_raise(-FG_E_CONFIG);
    l = fg_calloc(1, sizeof(*l));
    l->name = name;
    l->column = column;
    l->interpolate = interpolate;
    l->faults = faults;
    l->text.all = text;
    run(l);
    root = l->root;
    free(l);
    if (fg_conf_faults_count(faults) > before) {
        fg_conf_node_free(root);
        return fg_raise(-FG_E_CONFIG);
    }
    if (!root) {
        root = fg_conf_node_new(FG_CONF_SCALAR, name, 1, column + 1);
        root->text = fg_slice_dup(FG_SLICE_NULL);
    }
    *ret = root;
    return 0;
}
