/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lays text out as lines: white space collapsed as browsers do, breaks between blocks, cells of a row on one line.
 *
 *   break   wanted line ends before the next text; 2 make a blank line; at the start and the end of all there are none
 *   cell    one <td>; breaks before its first and after its last text don't count, so that a row stays one line
 */
#pragma once

#include <stdint.h>

#include <fragua/kit/buf.h>

#define TEXT_CELLS_MAX 512u /* nested; deeper ones are laid out as plain blocks */

struct text_cell {
    uint64_t chars;       /* written when it began */
};

struct text_writer {
    struct fg_buf *out;   /* borrowed; its maximum is the writer's limit */
    uint64_t chars;       /* runs of text written so far */
    uint64_t chars_break; /* how many of them stand before the last line end */
    unsigned breaks;      /* line ends due before the next text */
    size_t blanks;        /* blanks due before the next text on the same line */
    unsigned pre;         /* open <pre> elements: white space is kept */
    bool pre_fresh;       /* a line end that comes first in a <pre> does not count */
    bool bullet;          /* an item began and has no text yet */
    bool separator;       /* a cell ended; the next text on this line is another's */
    bool full;            /* the limit is reached, everything later is dropped */
    struct text_cell cells[TEXT_CELLS_MAX];
    unsigned n_cells, n_cells_deep;
};

#define TEXT_WRITER_INIT(buf) ((struct text_writer){ .out = (buf) })

void text_write(struct text_writer *w, struct fg_slice utf8); /* valid UTF-8, as it stands between tags */
void text_break(struct text_writer *w, unsigned lines);       /* at least so many line ends before what follows */
void text_br(struct text_writer *w);                          /* one line end more */
void text_blank(struct text_writer *w);                       /* a blank, unless one stands there */
void text_item(struct text_writer *w);
void text_cell_start(struct text_writer *w);
void text_cell_end(struct text_writer *w);
/* For text that has its lines already. */
void text_line_part(struct text_writer *w, struct fg_slice utf8); /* no line end in it */
void text_line_end(struct text_writer *w);
void text_end(struct text_writer *w); /* last: no blanks and line ends at the end */
