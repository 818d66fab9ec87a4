/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files and folders that a configuration names: which they are, and what they held when it was loaded.
 *
 * Certificates and keys are changed in place, under the same path; so that a later load can tell, the hash of each is
 * kept. It is taken before anybody else reads the file: a change in between shows as a change the next time, never as
 * none. Loop thread only; adding reads files, so it blocks for as long as they take.
 */
#pragma once

#include "base/hash.h"
#include "fragua/option.h"

/* What stands at the path that an option names. */
struct fg_digest {
    char *path;     /* owned, as written */
    char content[FG_SHA256_HEX_SIZE]; /* a hash, or another text for "not there" and "cannot be read" */
};

/* All zero at first. */
struct fg_digests {
    struct fg_digest **items; /* owned array of n, sorted by path, each once */
    size_t n;
    char **files; /* owned array of n_files: absolute paths, sorted and each once after fg_digests_end() */
    size_t n_files;
};

void fg_digests_deinit(struct fg_digests *digests); /* repeatable */
/* Every path option of a filled struct, groups in it too: hashed, unless it is known already, and one of the files. */
void fg_digests_add_options(struct fg_digests *digests, const struct fg_option *table, const void *values);
/* One more of the files (copied), not hashed. */
void fg_digests_add_file(struct fg_digests *digests, const char *path);
void fg_digests_end(struct fg_digests *digests); /* after the last one: sorts */
/* What the path of an option held, borrowed; NULL: it is none of them. */
const char *fg_digests_content(const struct fg_digests *digests, const char *path);
