/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipeline file, typed: what docs/configuration.md describes, with each node's plugin loaded. Loop thread only.
 * What points into a config lives as long as the config; who needs it longer takes a reference.
 */
#pragma once

#include "conf/options.h"
#include "conf/tree.h"
#include "flow/pipeline.h"
#include "fragua/http.h"
#include "host/digest.h"
#include "host/loader.h"

enum fg_role { FG_ROLE_PRODUCER, FG_ROLE_CONSUMER, FG_ROLE_BOTH };

struct fg_config_sasl {
    int mechanism; /* index into fg_config_sasl_mechanisms */
    const char *username;
    const struct fg_secret *password;
};
extern const char *const fg_config_sasl_mechanisms[];

struct fg_config_kafka {
    const char *bootstrap_servers;
    bool embedded;
    const struct fg_tls *tls;
    const struct fg_config_sasl *sasl;
    struct fg_pairs properties;
    const char *cursors_topic;
};

struct fg_config_http_tls {
    const char *certificate, *key, *client_ca;
};

struct fg_config_token {
    const char *name;
    const char *sha256; /* 64 hex digits */
    struct fg_strings scopes;
};

struct fg_config_http {
    const char *listen;
    const struct fg_config_http_tls *tls;
    struct fg_groups tokens; /* of struct fg_config_token */
};

struct fg_config_limits {
    int64_t memory;  /* bytes */
    int64_t workers; /* 0: as many as cores, at most 64 */
    int64_t stop;    /* ms */
    int64_t drain;   /* ms */
};

struct fg_config_reload {
    int64_t probation; /* ms */
    bool watch;
    int64_t settle; /* ms */
    int64_t check;  /* ms */
};

enum { FG_PLUGINS_OF_ANY, FG_PLUGINS_OF_ROOT };

struct fg_config_plugins {
    int owner; /* FG_PLUGINS_OF_... */
};

/* The sections of the file; all before the pipelines' are filled once, at its root. */
enum {
    FG_SECTION_KAFKA,
    FG_SECTION_HTTP,
    FG_SECTION_LIMITS,
    FG_SECTION_RELOAD,
    FG_SECTION_PLUGINS,
    FG_CONFIG_SECTIONS,
    FG_SECTION_PIPELINE = FG_CONFIG_SECTIONS
};

/* A place in the file where a plugin stands. */
struct fg_config_node {
    const char *node;                /* "source", "transforms.0", "sink", "http.plugins.0"; owned by the config */
    const struct fg_conf_node *map;  /* borrowed from the tree */
    const char *sha256;              /* what the file says its plugin's must be; borrowed from the tree; NULL: any */
    struct fg_plugin_file *file;     /* a reference */
    void *values_struct;             /* the plugin's filled config struct; NULL: no options */
    struct fg_conf_values *values;
};

struct fg_config_commit {
    int64_t records, bytes, interval; /* count, bytes, ms */
};

struct fg_config_input {
    const char *topic;
    struct fg_strings topics;
    const char *group;
    int from; /* 0 beginning, 1 end: for a group without offsets */
};

struct fg_config_dead {
    const char *topic;
    int64_t attempts;
};

struct fg_config_pipeline_options {
    int role, delivery;
    const struct fg_config_commit *commit;
    const struct fg_config_input *input;
    struct fg_pairs output;
    const struct fg_config_dead *dead;
    const char *group;
};

struct fg_config_pipeline {
    const char *name; /* borrowed from the tree */
    const struct fg_conf_node *map;
    struct fg_config_pipeline_options o;
    struct fg_conf_values *values;
    enum fg_role role; /* producer or consumer */
    struct fg_config_node source, sink; /* file NULL: none */
    struct fg_config_node *transforms;  /* array of n_transforms */
    size_t n_transforms;
};

/* Reference counted, loop thread only. Nothing in it changes once it is loaded. */
struct fg_config {
    unsigned refs;
    char *path;                 /* owned */
    struct fg_conf_node *tree;  /* owned */
    struct fg_config_kafka kafka;
    struct fg_config_http http; /* listen NULL: no server */
    struct fg_config_limits limits;
    struct fg_config_reload reload;
    struct fg_config_plugins plugins;
    struct fg_conf_values *values[FG_CONFIG_SECTIONS]; /* of the five above */
    struct fg_config_node *controls;  /* array of n_controls */
    size_t n_controls;
    struct fg_config_pipeline *pipelines; /* array of n_pipelines, in the order of the file */
    size_t n_pipelines;
    struct fg_digests digests; /* of what the path options name */
};

#define FG_CONFIG_PIPELINES_MAX 256u
#define FG_CONFIG_NODES_MAX 64u /* transforms of a pipeline, control plugins */

/*
 * fg_config_load() - read and check a pipeline file
 * @path: the file
 * @text: instead of the file's bytes, named by @path in faults; ptr NULL: read the file
 * @sets: array of n_sets "path=value"
 * @plugins: where plugins are
 * @faults: initialised by the caller; all that is wrong is appended
 *
 * Return: 0 and one reference, or negative with faults. Nothing is connected, started, or listened on. Blocks for as
 * long as the files take; code of the plugins runs in it.
 */
int fg_config_load(const char *path, struct fg_slice text, const char *const *sets, size_t n_sets,
                   const struct fg_plugin_path *plugins, struct fg_config **ret, struct fg_conf_faults *faults);
struct fg_config *fg_config_ref(struct fg_config *config);
/* Drops one reference; the last frees it. NULL allowed; returns NULL. */
struct fg_config *fg_config_unref(struct fg_config *config);
/* Calls cb() for every node: http's, then each pipeline's in the order of the record's way. pipeline NULL: of none. */
typedef void (*fg_config_node_cb)(void *arg, struct fg_config_node *node, const struct fg_config_pipeline *pipeline);
void fg_config_each_node(const struct fg_config *config, fg_config_node_cb cb, void *arg);
/* Every secret text in it, for the log to blank; cb() within the call, texts are borrowed for it. */
void fg_config_secrets(const struct fg_config *config, fg_write_cb cb, void *arg);
/*
 * The files that a change of concerns the config, absolute, sorted, each once: the file itself (not stdin), every
 * ${file:} in it, and the file or folder that each path option names. Return: how many; *ret is the config's.
 */
size_t fg_config_files(const struct fg_config *config, const char *const **ret);

/* The k-th topic of the file and what it is for: "input", "output", "dead-letters", "cursors". NULL past the end. */
const char *fg_config_topic_at(const struct fg_config *config, size_t k, const char **ret_role,
                               const char **ret_pipeline);

/* Where plugins stand: below a key of a section, one or a list of them, all of one kind. */
struct fg_config_place {
    const char *key;  /* "source"; NULL ends the table */
    const char *node; /* what its nodes are called; of a list with ".0" and so on */
    uint32_t kind;    /* enum fg_kind */
    size_t offset;    /* of the struct fg_config_node, or of the pointer to a list of them: in struct fg_config, */
    size_t n_offset;  /* of a pipeline in struct fg_config_pipeline; of the list's length, 0: no list */
};

/* The tables of the file itself, for schema, docs and tests. NULL-name ended. */
struct fg_config_table {
    const char *path; /* "kafka", "http", "limits", "reload", "plugins", "pipelines.*" */
    const struct fg_option *table;
    const struct fg_config_place *places; /* NULL: none */
};
extern const struct fg_config_table fg_config_tables[];
/* JSON Schema of the pipeline file with the plugins found. */
void fg_config_schema(struct fg_json_writer *w, const struct fg_plugin_path *plugins);
