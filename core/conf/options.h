/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables (fragua/option.h) at work: tree -> typed struct, JSON Schema, reference text. */
#pragma once

#include "conf/tree.h"
#include "fragua/option.h"
#include "fragua/host.h"

struct fg_buf;
struct fg_conf_values; /* owns everything that a filled struct points to */

/*
 * fg_conf_fill() - check a map against a table and fill the table's struct
 * @map: the map; NULL stands for an empty one at @where
 * @where: node that faults about missing keys point to; NULL: @map
 * @table: ends with FG_OPTION_END
 * @ignore: NULL-ended keys that belong to somebody else ("plugin"); NULL: none
 * @config: zeroed by the function, then filled; size bytes
 * @ret_values: owner of what config points to; freed by fg_conf_values_free() after config's last use
 * @faults: every fault is appended: unknown key (with "did you mean"), wrong type, out of bounds, missing, bad choice
 *
 * Scalars that go to secret options are marked in the tree (node->secret), whether they are right or not.
 * Return: 0, or negative with faults; then config is all zero.
 */
int fg_conf_fill(const struct fg_conf_node *map, const struct fg_conf_node *where, const struct fg_option *table,
                 const char *const *ignore, void *config, size_t size, struct fg_conf_values **ret_values,
                 struct fg_conf_faults *faults);
struct fg_conf_values *fg_conf_values_free(struct fg_conf_values *values);
/* Calls back with each secret text among the values, so that the log can be told to blank it. */
void fg_conf_values_secrets(const struct fg_conf_values *values, fg_write_cb cb, void *arg);

/* A table itself: keys well-formed and unique, bounds sane, fallbacks parse. For tests and the plugin loader. */
int fg_conf_table_check(const struct fg_option *table, struct fg_error *err);

struct fg_json_writer;
/* JSON Schema (2020-12) object for a table; @extra: written into "properties" first by its
 * caller; NULL: none. */
void fg_conf_schema_write(struct fg_json_writer *w, const struct fg_option *table,
                          void (*extra)(struct fg_json_writer *w, void *arg), void *arg);
/* The rows of a reference: text for terminals, a Markdown table, or JSON array. */
enum fg_conf_doc { FG_CONF_DOC_TEXT, FG_CONF_DOC_MARKDOWN, FG_CONF_DOC_JSON };
void fg_conf_doc_write(struct fg_buf *out, const struct fg_option *table, enum fg_conf_doc format);

/*
 * The tree as JSON. A value with ${...} is shown as written. A literal value is shown as "***" where fg_conf_fill() has
 * given it to a secret option, and, filled or not, where the key ends with password, secret, token or credential.
 */
void fg_conf_tree_write(struct fg_json_writer *w, const struct fg_conf_node *node);
