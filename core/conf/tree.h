/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML file as a tree that remembers line and column of every key and value.
 *
 * Made from libyaml's event API: at most 1 MiB, nesting at most 32, no aliases or anchors, no tags, no duplicate keys,
 * no merge keys, no tabs as indentation, one document. ${env:NAME}, ${env:NAME:-default} and ${file:PATH} are
 * replaced in scalar values while loading ("$${" is a literal "${"); as in a shell, the default stands in for an empty
 * variable too. Every fault found is told, not only the first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "fragua/slice.h"

#define FG_CONF_BYTES_MAX (1024u * 1024u)
#define FG_CONF_DEPTH_MAX 32u
#define FG_CONF_NODES_MAX 65536u /* values in a file: a node takes a hundred times the bytes of "a," */
#define FG_CONF_FAULTS_MAX 100u /* more are counted, not kept */
#define FG_CONF_FILE_BYTES_MAX (64u * 1024u) /* of what one ${file:} names */
#define FG_CONF_REPLACED_BYTES_MAX (4u * 1024u * 1024u) /* all texts of a file that ${...} took part in, together */

/* One fault: "FILE:LINE:COLUMN: message", lines and columns from 1 (columns count characters). */
struct fg_conf_fault {
    char *file; /* owned */
    unsigned line, column; /* line 0: the file as a whole, shown as "FILE: message" */
    char *text; /* owned */
};

struct fg_conf_faults {
    struct fg_conf_fault *items; /* owned, array of len */
    size_t len;
    size_t unkept; /* found past FG_CONF_FAULTS_MAX */
};

#define FG_CONF_FAULTS_NULL ((struct fg_conf_faults){ .items = NULL })

void fg_conf_faults_deinit(struct fg_conf_faults *faults);
void fg_conf_fault_add(struct fg_conf_faults *faults, const char *file, unsigned line, unsigned column,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));
void fg_conf_faults_sort(struct fg_conf_faults *faults); /* by file, line, column */
void fg_conf_faults_print(const struct fg_conf_faults *faults, FILE *out); /* a line each, and how many more */
struct fg_json_writer;
/* The array [{"file","line","column","message"}] of those that are kept. */
void fg_conf_faults_write(struct fg_json_writer *w, const struct fg_conf_faults *faults);

enum fg_conf_kind { FG_CONF_SCALAR, FG_CONF_LIST, FG_CONF_MAP };

struct fg_conf_node;

/* One member of a list or map. */
struct fg_conf_member {
    char *key; /* owned, UTF-8; NULL in lists */
    unsigned key_line, key_column;
    struct fg_conf_node *node; /* owned */
};

struct fg_conf_node {
    enum fg_conf_kind kind;
    unsigned line, column;
    const char *file; /* borrowed from the root; "--set" is static */
    char *file_owned; /* the root: its own and its nodes' file; NULL elsewhere */
    char *text;      /* SCALAR: owned, NUL-ended UTF-8 without NUL inside, after interpolation */
    size_t text_len;
    char *written;   /* SCALAR with ${...}: as it stands in the file, owned; NULL: same as text */
    bool quoted;     /* SCALAR: written in quotes or as a block, so it is a string whatever it looks like */
    bool from_file;  /* a ${file:} took part: the value is to be watched and re-read */
    bool secret;     /* SCALAR: fg_conf_fill() gave it to a secret option; fg_conf_tree_write() blanks it */
    struct fg_conf_member *members; /* LIST, MAP: owned array of n_members */
    size_t n_members;
};

/*
 * fg_conf_load() - read a file into a tree
 * @path: of the file; "-" is stdin
 * @ret: the root map, freed by fg_conf_node_free(); set only when no fault was found
 * @faults: initialised by the caller; faults are appended
 *
 * A relative ${file:} path is relative to the folder of @path. A file's last newline is not part of the value.
 * Return: 0, or negative when there is any fault.
 */
int fg_conf_load(const char *path, struct fg_conf_node **ret, struct fg_conf_faults *faults);
/* The same from memory; @name stands for the file in faults and for relative paths. */
int fg_conf_parse(struct fg_slice text, const char *name, struct fg_conf_node **ret, struct fg_conf_faults *faults);
struct fg_conf_node *fg_conf_node_free(struct fg_conf_node *node);

/*
 * Calls back with the path of every ${file:} in the tree's values as it was opened: absolute, or relative to the
 * working folder. One that stands there twice is told twice. @path: borrowed for the call
 */
typedef void (*fg_conf_file_cb)(void *arg, const char *path);
void fg_conf_tree_files(const struct fg_conf_node *node, fg_conf_file_cb each, void *arg);

/* The member of a map; NULL: not there, or not a map. */
const struct fg_conf_node *fg_conf_get(const struct fg_conf_node *map, const char *key);
/*
 * fg_conf_set() - override one value (--set path=value); missing maps on the way are made
 * @assignment: "pipelines.ingest.source.poll=5s": a path, "a.b.c" through maps and "0" through lists, and YAML flow
 *   text. A key with dots is found as it is (kafka.bootstrap.servers), and the longest key that leads on wins; one that
 *   is not in the file yet needs quotes: kafka."bootstrap.servers"=localhost:9092
 * Faults name "--set" as the file.
 */
int fg_conf_set(struct fg_conf_node *root, const char *assignment, struct fg_conf_faults *faults);
