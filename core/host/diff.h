/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between two pipeline files, node by node, and what a running process must do about it.
 *
 * Nothing here reads a file, starts or stops anything: both configs are loaded, what their options name on the disk was
 * hashed while they were loaded. Line numbers, comments and the order of a map's keys are no difference; nor is the
 * order of pipelines. A pipeline is known by its name: one that is called otherwise is a removed one and an added one.
 * Loop thread only; a diff borrows from both configs.
 */
#pragma once

#include "host/config.h"

struct fg_json_writer;

/* Why a place of the file counts as changed. */
enum fg_change_reason {
    FG_CHANGE_OPTION,      /* a key's value is another */
    FG_CHANGE_PLUGIN_FILE, /* another plugin file, by name or by content */
    FG_CHANGE_SECRET,      /* a secret or a ${file:} has another text, or a file that an option names another content */
    FG_CHANGE_ADDED,
    FG_CHANGE_REMOVED,
    FG_CHANGE_MOVED, /* the same transform at another place of its list, so between others */
    _FG_CHANGE_REASON_N,
};

struct fg_change {
    char *place; /* owned: "kafka", "http", "http.plugins.0", "limits", "ingest", "ingest.transforms.0" */
    enum fg_change_reason reason;
    /*
     * Owned. The keys that differ ("max-bytes, strip"), the plugin's name with the first 12 hex digits of both files'
     * SHA-256 ("transform-tabulate 1a2b3c4d5e6f -> 3c4d5e6f7a8b"), the plugin's name of a node that comes or goes,
     * where a moved one stood ("from transforms.2"); may be empty. Never a value.
     */
    char *detail;
};

/* What is done with a pipeline; the later, the more it takes. */
enum fg_pipeline_how {
    FG_PIPELINE_SAME,   /* not touched */
    FG_PIPELINE_SWAP,   /* held at a batch boundary while stages are exchanged; consumer and producer stay open */
    FG_PIPELINE_REOPEN, /* drained, closed, made anew */
    FG_PIPELINE_ADDED,
    FG_PIPELINE_REMOVED,
    _FG_PIPELINE_HOW_N,
};

#define FG_DIFF_NEW SIZE_MAX /* in place of an index: there is none, it is made anew */

struct fg_diff_pipeline {
    const char *name; /* borrowed from the new config; of a removed pipeline from the old one */
    enum fg_pipeline_how how;
    size_t new_index; /* in the new config's pipelines; FG_DIFF_NEW: not in it */
    bool source, sink; /* the new file's must be made anew: it comes, or differs from the old; false: kept, or none */
    /* Owned array, one for each transform of the new file: index of the old one that is kept, or FG_DIFF_NEW. */
    size_t *transforms;
    size_t n_transforms;
};

struct fg_diff {
    struct fg_change *changes; /* owned array of n_changes: sections, pipelines as in the new file, removed ones */
    size_t n_changes;
    struct fg_diff_pipeline *pipelines; /* owned array of n_pipelines, those of the role only; unchanged ones too */
    size_t n_pipelines;
    /* Owned array, one for each control plugin of the new file: index of the old one that is kept, or FG_DIFF_NEW. */
    size_t *controls;
    size_t n_controls;
    bool kafka;       /* connection options or their secrets: everything that holds a Kafka handle is reopened */
    bool http_listen; /* another address, or the server comes or goes */
    bool http_tls;    /* paths, or content of certificate, key or client CA; or TLS comes or goes */
    bool http_tokens;
    bool limits_workers;
};

/*
 * fg_diff_make() - compare two configs
 * @old, @new: loaded; both must outlive @ret
 * @role: what this process runs; pipelines of another role do not exist
 * @ret: overwritten; freed by fg_diff_deinit()
 *
 * Takes no more than memory and some comparisons for each node: a file of 100 pipelines takes about a millisecond.
 */
void fg_diff_make(const struct fg_config *old, const struct fg_config *new, enum fg_role role, struct fg_diff *ret);
void fg_diff_deinit(struct fg_diff *diff); /* all zero and repeated calls allowed */
bool fg_diff_empty(const struct fg_diff *diff); /* nothing is to be done, nothing to be told */

const char *fg_change_reason_name(enum fg_change_reason reason); /* "option", "plugin file" ... */
const char *fg_pipeline_how_name(enum fg_pipeline_how how);      /* "same", "swap" ... */

/* The member "changes" of a report, into the object that is open: [{"place","reason","detail"}]. */
void fg_diff_write(struct fg_json_writer *w, const struct fg_diff *diff);
