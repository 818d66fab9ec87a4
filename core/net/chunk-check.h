/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strict look at chunked framing, before the parser decodes it.
 *
 * Debian's http_parser is built without its strict mode: it takes any two bytes for the CRLF behind a chunk, and any
 * byte for the LF behind a size. A proxy that does not would see another message there. Chunk extensions and trailers
 * are checked and dropped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fragua/slice.h"

struct fg_chunks {
    int state;
    unsigned digits;   /* of the size being read */
    uint64_t left;     /* bytes of the chunk being read */
    uint64_t data;     /* bytes of data so far */
    uint64_t overhead; /* bytes of framing, extensions and trailers so far */
};

enum fg_chunks_result {
    FG_CHUNKS_WHOLE = 0,   /* the message ends within these bytes, at *ret_used */
    FG_CHUNKS_MORE = 1,    /* all bytes belong to the message */
    FG_CHUNKS_REFUSED = 2, /* not chunked framing, or framing that costs more than 64 KiB and 8 times the data */
};

#define FG_CHUNKS_INIT ((struct fg_chunks){0})

int fg_chunks_check(struct fg_chunks *chunks, struct fg_slice bytes, size_t *ret_used);
