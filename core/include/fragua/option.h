/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables: one declaration gives validation, the filled struct, the JSON Schema and the reference page. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Each type names the C type of the member at `offset`. Everything pointed to belongs to the host and lives until the
 * instance that it was handed to is closed.
 */
enum fg_option_type {
    FG_OPTION_BOOL,     /* bool */
    FG_OPTION_INTEGER,  /* int64_t, between min and max */
    FG_OPTION_NUMBER,   /* double, between min and max */
    FG_OPTION_STRING,   /* const char *, UTF-8, NULL where absent; struct fg_secret * with FG_OPTION_SECRET */
    FG_OPTION_ENUM,     /* int, index into choices; -1 where absent without default */
    FG_OPTION_DURATION, /* int64_t milliseconds; written 100ms 10s 5m 1h 2d */
    FG_OPTION_SIZE,     /* int64_t bytes; written 512 64KiB 4MiB 1GiB */
    FG_OPTION_URL,      /* const char *, absolute http or https URL without user part */
    FG_OPTION_PATH,     /* const char *, a path, taken as written */
    FG_OPTION_POINTER,  /* const char *, RFC 6901 JSON pointer */
    FG_OPTION_STRINGS,  /* struct fg_strings: a list of scalars; a single scalar counts as a list of one */
    FG_OPTION_PAIRS,    /* struct fg_pairs: a map with free keys and scalar values */
    FG_OPTION_GROUP,    /* const struct MEMBERS *: a map with the keys of `members`; NULL where absent */
    FG_OPTION_GROUPS,   /* struct fg_groups: a list of such maps */
    _FG_OPTION_TYPE_N,
};

enum fg_option_flags {
    FG_OPTION_REQUIRED = 1,        /* absent is an error */
    FG_OPTION_SECRET = 2,          /* the value is never shown; STRING only */
    FG_OPTION_ABSENT_DEFAULTS = 4, /* GROUP: where absent, a struct of the members' defaults instead of NULL */
};

struct fg_secret; /* opaque; lent by fg_secret_get() in host.h */

struct fg_strings {
    const char *const *items; /* array of len, each NUL-ended UTF-8 */
    size_t len;
};

struct fg_pair {
    const char *key;
    const char *value;
};

struct fg_pairs {
    const struct fg_pair *items; /* array of len, in the order of the file */
    size_t len;
};

struct fg_groups {
    const void *items; /* array of len structs of members_size bytes each */
    size_t len;
};

struct fg_option {
    const char *key; /* lower-case words joined by '-' ('_' in names of record members); NULL ends the table */
    enum fg_option_type type;
    unsigned flags; /* enum fg_option_flags */
    size_t offset;  /* of the member in the config struct */
    const char *unit; /* for people: "ms", "bytes", "requests"; NULL: none */
    int64_t min, max; /* INTEGER, NUMBER, DURATION, SIZE, and the length of STRINGS/GROUPS; both 0: no bounds */
    const char *fallback; /* the default, written as in the file; NULL: none */
    const char *const *choices; /* ENUM: NULL-ended */
    const struct fg_option *members; /* GROUP, GROUPS: their table */
    size_t members_size; /* GROUP, GROUPS: sizeof their struct */
    const char *summary; /* one line, no full stop */
    const char *detail;  /* a paragraph more; NULL: none */
};

#define FG_OPTION_END { .key = NULL }
