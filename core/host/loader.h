/* SPDX-License-Identifier: Apache-2.0 */
/* Plugin files: finding, loading, and the handshake that keeps a wrong one out. */
#pragma once

#include "fragua/plugin.h"
#include "base/hash.h"

#define FG_PLUGIN_DIRS_MAX 16

/* Where to look, in this order; the first hit counts. */
struct fg_plugin_path {
    char *dirs[FG_PLUGIN_DIRS_MAX]; /* owned */
    size_t n;
    void (*loading)(void *arg, const char *name); /* told before a file is opened; NULL: nobody */
    void *loading_arg;
};

void fg_plugin_path_deinit(struct fg_plugin_path *path);
/* Folders given on the command line, then those in FRAGUA_PLUGIN_PATH (split at ':'), then the installed one. */
int fg_plugin_path_init(struct fg_plugin_path *path, const char *const *given, size_t n_given, struct fg_error *err);
/* Names of all plugins in the path, sorted, each once. The caller frees by fg_plugin_names_free(). */
char **fg_plugin_names(const struct fg_plugin_path *path, size_t *ret_n);
void fg_plugin_names_free(char **names, size_t n);

/* A loaded plugin file. Reference counted, loop thread only. */
struct fg_plugin_file {
    struct fg_plugin plugin; /* as found, what the file's ABI lacks is zero */
    char *path;              /* owned */
    char sha256[FG_SHA256_HEX_SIZE]; /* of the file */
    void *handle;
    unsigned refs;
};

/*
 * fg_plugin_load() - find NAME.so, load it, and check what it says of itself
 * @sha256: the file's bytes must have this hash, 64 hex digits; looked at before anything of the file runs. NULL: any
 *
 * Each refusal has its own text: no such file (with the folders searched and the nearest name), other hash, not a shared
 * object, no symbol `fragua_plugin`, not a plugin (magic), other ABI (both numbers), too small, unknown kind, other name,
 * missing callback (which), bad option table.
 */
int fg_plugin_load(const struct fg_plugin_path *path, const char *name, const char *sha256,
                   struct fg_plugin_file **ret, struct fg_error *err);
struct fg_plugin_file *fg_plugin_file_ref(struct fg_plugin_file *file);
struct fg_plugin_file *fg_plugin_file_unref(struct fg_plugin_file *file);
const char *fg_kind_name(uint32_t kind); /* "source" ...; "unknown" */
