/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of conf share among themselves.
 *
 * A file is bounded (FG_CONF_BYTES_MAX, FG_CONF_NODES_MAX, FG_CONF_REPLACED_BYTES_MAX), so everything here counts as a
 * small object: memory comes from fg_malloc() and fg_calloc().
 */
#pragma once

#include "base/buf.h"
#include "conf/options.h"
#include "conf/tree.h"

/* Table nesting (GROUP in GROUP) that is filled, checked and documented; a table that contains itself stops here. */
#define FG_CONF_TABLE_DEPTH_MAX 8u

/* A file's values as a fault shows them: in quotes, control characters escaped, cut at 60 characters. */
#define FG_CONF_SHOWN_MAX 512
const char *fg_conf_show(struct fg_slice text, char ret[FG_CONF_SHOWN_MAX]);
/* The same for a scalar; one with ${...} is shown as written, because what came in may be meant for nobody's eyes. */
const char *fg_conf_show_node(const struct fg_conf_node *node, char ret[FG_CONF_SHOWN_MAX]);
/* How many faults there were, kept or not. */
size_t fg_conf_faults_count(const struct fg_conf_faults *faults);

/* Nodes. */
struct fg_conf_node *fg_conf_node_new(enum fg_conf_kind kind, const char *file, unsigned line, unsigned column);
/* Takes over key (NULL in lists) and node. */
void fg_conf_node_add(struct fg_conf_node *parent, char *key, unsigned key_line, unsigned key_column,
                      struct fg_conf_node *node);
bool fg_conf_is_nothing(const struct fg_conf_node *node); /* key: with nothing behind it, or a plain ~ or null */

/*
 * fg_conf_step() - one step of a path from a map or list
 * @ret_len: bytes of path that the step took, quotes included; @ret_key: the key or index, in path
 * Return: the member, or NULL: there is none.
 */
const struct fg_conf_node *fg_conf_step(const struct fg_conf_node *node, struct fg_slice path, size_t *ret_len,
                                        struct fg_slice *ret_key);

/*
 * fg_conf_parse_any() - YAML text to a tree of any kind
 * @name: of the file, in faults and for relative paths; borrowed by the nodes
 * @column: added to the columns of the first line
 * @interpolate: replace ${...}
 * Return: 0, or negative when there is any fault; *ret is owned by the caller.
 */
int fg_conf_parse_any(struct fg_slice text, const char *name, unsigned column, bool interpolate,
                      struct fg_conf_node **ret, struct fg_conf_faults *faults);

/* libyaml's complaint as a sentence for people. @at: the character it stopped at, 0: end of the file. */
struct fg_conf_complaint {
    const char *problem, *context; /* libyaml's words; NULL: none */
    unsigned context_line;         /* from 1 */
    uint32_t at;
};
/* Return: true when the place to name is where the context began, not where libyaml stopped. */
bool fg_conf_complaint_write(const struct fg_conf_complaint *complaint, struct fg_buf *out);

/*
 * fg_conf_interpolate() - replace ${...} in a text
 * @name: relative ${file:} paths are relative to its folder
 * @out: the result is appended; out->failed: it has grown too large
 * @ret_from_file: set to true when a file took part
 * @fault: called for each fault with the ordinal of the "${" in the text, counted from 0
 */
typedef void (*fg_conf_interpolate_cb)(void *arg, size_t ordinal, const char *text);
void fg_conf_interpolate(struct fg_slice text, const char *name, struct fg_buf *out, bool *ret_from_file,
                         fg_conf_interpolate_cb fault, void *arg);

/* The ${file:} in a text that fg_conf_interpolate() had no fault to find in; reads nothing. */
void fg_conf_interpolate_files(struct fg_slice text, const char *name, fg_conf_file_cb each, void *arg);

/* Values: an owner of memory and secrets. */
struct fg_conf_values *fg_conf_values_new(void);
void *fg_conf_values_alloc(struct fg_conf_values *values, size_t size); /* zeroed, never NULL, aligned for any type */
char *fg_conf_values_strdup(struct fg_conf_values *values, struct fg_slice s);
struct fg_secret *fg_conf_values_secret(struct fg_conf_values *values, struct fg_slice text);

/*
 * Scalars. Each checks text and stores to *member (of the type that option.h names), allocating from values; otherwise
 * writes what is wrong, as the end of a sentence that begins with the key: "must be true or false, not \"yes\"".
 * @shown: the value as a fault shows it. @quoted: written in quotes, so that it is no number or boolean.
 */
struct fg_conf_scalar {
    struct fg_slice text;
    const char *shown;
    bool quoted;
};
bool fg_conf_scalar_take(const struct fg_option *option, const struct fg_conf_scalar *scalar,
                         struct fg_conf_values *values, void *member, struct fg_buf *why);
bool fg_conf_is_scalar_type(enum fg_option_type type);
size_t fg_conf_type_size(enum fg_option_type type); /* of the member in the config struct */
const char *fg_conf_type_name(enum fg_option_type type); /* for references: "duration", "list of strings" */
bool fg_conf_has_bounds(const struct fg_option *option);
void fg_conf_bounds_write(const struct fg_option *option, struct fg_buf *out); /* "between 1s and 1h", "at least 1" */
void fg_conf_choices_write(const struct fg_option *option, struct fg_buf *out); /* "a, b or c" */

/* The tree of an option's default, or NULL: it has none, or it does not parse (faults then say so). */
struct fg_conf_node *fg_conf_fallback_parse(const struct fg_option *option, struct fg_conf_faults *faults);
