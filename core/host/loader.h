/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugin files: finding, loading, and the handshake that keeps a wrong one out. Loop thread only; loading reads files
 * and runs what a plugin does when it is loaded, so it blocks for as long as that takes.
 */
#pragma once

#include "fragua/plugin.h"
#include "base/hash.h"
#include "base/list.h"

#define FG_PLUGIN_DIRS_MAX 16
#define FG_PLUGIN_BYTES_MAX ((size_t)256 << 20) /* of one plugin file */

/*
 * The plugin files that are loaded, so that the same content is loaded once. Borrowed by paths; weak: a file leaves it
 * with its last reference. Loop thread only.
 */
struct fg_plugin_registry {
    struct fg_list files; /* of fg_plugin_file::link */
    uint64_t round;
};

void fg_plugin_registry_init(struct fg_plugin_registry *registry);
/* Files that are loaded stay so, and are no longer found. */
void fg_plugin_registry_deinit(struct fg_plugin_registry *registry);
/* From here on each file is read again, once, in however many places its plugin stands. NULL allowed. */
void fg_plugin_registry_round(struct fg_plugin_registry *registry);

/* Where to look, in this order; the first hit counts. */
struct fg_plugin_path {
    char *dirs[FG_PLUGIN_DIRS_MAX]; /* owned */
    size_t n;
    struct fg_plugin_registry *registry; /* borrowed; NULL: each call loads the file anew */
    bool root_only; /* the file and all folders above must be root's, and not writable by others */
    /* told of each file that is about to be used, before anything of it runs; NULL: nobody */
    void (*loading)(void *arg, const char *name, const char *file, const char *sha256);
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
    char *path;              /* owned; where the bytes came from, there may be another file now */
    char sha256[FG_SHA256_HEX_SIZE]; /* of the bytes that run */
    void *handle;
    int fd; /* of the bytes that run: a name that no other file gets while they do */
    unsigned refs;
    struct fg_list link; /* in the registry; null pointers: in none */
    uint64_t round;      /* of the registry, when the file was last read */
};

/*
 * fg_plugin_load() - find NAME.so, load it, and check what it says of itself
 * @sha256: the file's bytes must have this hash, 64 hex digits; looked at before anything of the file runs. NULL: any
 *
 * The bytes are read once, into memory that nobody can write to any more (or a private file without a name, where that
 * is refused), and are looked at and run there: a file that is replaced or overwritten later changes nothing, and its
 * successor is never taken for it. What a plugin brings along must therefore not be named relative to its own folder
 * ($ORIGIN).
 *
 * Each refusal has its own text: no such file (with the folders searched and the nearest name), belongs to others than
 * root or can be written by them, other hash, not a shared object, of another machine, cut off, no symbol
 * `fragua_plugin`, not a plugin (magic), other ABI (both numbers), too small, unknown kind, other name, missing
 * callback (which), bad option table.
 *
 * Return: 0 and one reference, or negative. With a registry, same content at the same path is the same file.
 */
int fg_plugin_load(const struct fg_plugin_path *path, const char *name, const char *sha256,
                   struct fg_plugin_file **ret, struct fg_error *err);
struct fg_plugin_file *fg_plugin_file_ref(struct fg_plugin_file *file);
struct fg_plugin_file *fg_plugin_file_unref(struct fg_plugin_file *file); /* the last one unloads it; NULL allowed */
const char *fg_kind_name(uint32_t kind); /* "source" ...; "unknown" */
