/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records, and what stages do with them.
 *
 * A record is immutable once made and reference counted across threads. Its creator owns the first reference; a
 * receiver borrows it until it returns or answers, and takes a reference to keep it longer.
 *
 * Functions that act on a record go through the host's service table (host.h), so a plugin has no undefined symbols.
 */
#pragma once

#include <fragua/slice.h>

#include <stdint.h>

struct fg_record;   /* opaque */
struct fg_emit;     /* where a transform puts what it makes; lives for one apply() */
struct fg_batch;    /* what a source fills; lives from pull() to fg_batch_submit() or _cancel() */
struct fg_delivery; /* what a sink answers; lives until each of its records is answered */

struct fg_header {
    struct fg_slice name;  /* UTF-8, 1..255 bytes */
    struct fg_slice value; /* bytes */
};

/* What a record looks like from outside. Slices live as long as the record. */
struct fg_record_view {
    struct fg_slice key; /* bytes; decides the partition and the order; may be empty */
    struct fg_slice value;
    const struct fg_header *headers; /* array of n_headers; order is kept, names may repeat */
    size_t n_headers;
    int64_t timestamp_ms; /* Unix time of the event */
    struct fg_slice output; /* output name; empty: the default output */
};

/* How to make a record. Slices are copied, but those inside the parent's bytes: they are referenced. */
struct fg_record_spec {
    struct fg_record_view view;
    struct fg_record *parent; /* borrowed; a reference is taken. NULL: none */
};

/* The movement of one of a source's cursors, which are its pipeline's own. Bytes are copied. */
struct fg_cursor {
    struct fg_slice key;   /* "<owner>/<rest>", UTF-8, at most 1 KiB: what has one owner is together on one replica */
    struct fg_slice value; /* UTF-8, opaque to the host; at most 64 KiB; empty: from the start */
};

/* A transform's answer about one record. */
enum fg_verdict {
    FG_KEEP,  /* what was emitted takes its place; nothing emitted: it goes on as it is */
    FG_DROP,  /* it ends here, on purpose */
    FG_DEAD,  /* it can't be handled: dead letter, err says why */
    FG_RETRY, /* try again later, attempts are counted */
};
