/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the loader share. Loop thread only. */
#pragma once

#include "base/err.h"
#include "host/loader.h"

/* What a function of the loader returns that refuses a file: with a text in its `err`. */
#define REFUSAL(...) fg_raise(fg_error_set(err, FG_E_CONFIG, 0, __VA_ARGS__))

/* Ways to keep a plugin's bytes where they can run. */
enum { FG_IMAGE_MEMORY = 1, FG_IMAGE_COPY = 2, FG_IMAGE_ANY = 3 };

/* A plugin file's bytes, which nobody writes to any more. */
struct fg_plugin_image {
    int fd; /* owned; -1: none */
    char sha256[FG_SHA256_HEX_SIZE];
};

/*
 * fg_plugin_image_take() - copy a plugin file to where it can run, and look at whether it is a whole shared object
 * @name: of the plugin, for error texts and the memory's name
 * @ways: FG_IMAGE_..., tried in this order
 * @ret: closed by the caller
 */
int fg_plugin_image_take(const char *path, const char *name, bool root_only, unsigned ways,
                         struct fg_plugin_image *ret, struct fg_error *err);

/* Opens a plugin file that belongs to root alone, with all folders above it. Return: its descriptor, or negative. */
int fg_plugin_open_of_root(const char *path, const char *name, struct fg_error *err);

/* A shared object of this machine with nothing missing at its end: dlopen() of one cut off ends the process. */
int fg_plugin_check_elf(struct fg_slice bytes, const char *path, struct fg_error *err);

/* Whether what a plugin exports is of this ABI and whole; 0: *ret is a copy of it, what its ABI lacks is zero. */
int fg_plugin_handshake(const struct fg_plugin *found, const char *name, struct fg_plugin *ret, struct fg_error *err);

/* kind.c */
bool fg_kind_is_known(uint32_t kind);
/* The first mandatory callback that a plugin of a known kind lacks, as the contract writes it; NULL: none. */
const char *fg_kind_missing(const struct fg_plugin *p);
