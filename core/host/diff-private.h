/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which keys differ between two maps of options, by their values: what diff.c is told by diff-values.c. Loop thread
 * only.
 */
#pragma once

#include "host/config.h"

struct fg_diff_key {
    char *path;  /* owned: "commit.records", "tokens.0.scopes" */
    bool secret; /* of a secret option, of a ${file:}, or the content of the file that a path option names */
};

/* All zero at first. */
struct fg_diff_keys {
    struct fg_diff_key *items; /* owned array of n, in the order of the tables */
    size_t n;
};

/* One side of the comparison. All borrowed for the call. */
struct fg_diff_side {
    const struct fg_option *table; /* NULL: no options */
    const void *values;            /* the struct that was filled by it; NULL: no options */
    const struct fg_conf_node *map; /* that it was filled from; NULL: it was left out */
    const struct fg_digests *digests;
};

void fg_diff_keys_deinit(struct fg_diff_keys *keys); /* repeatable */
/*
 * Appends every key whose value differs. What was left out has its default's value. Tables of two builds of a plugin
 * may differ: a key counts where the files say something else, a default that changed does not.
 */
void fg_diff_keys_add(struct fg_diff_keys *keys, const struct fg_diff_side *old, const struct fg_diff_side *new);
