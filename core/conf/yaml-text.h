/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a YAML file itself: whether libyaml may see it, and what stands at a line and column. Private to conf. */
#pragma once

#include <stdint.h>

#include "conf/tree.h"

/* Lines and columns count from 0 here, as libyaml's marks do. */
struct fg_conf_text {
    struct fg_slice all;
    size_t line, offset; /* where the last line that was asked for begins */
    size_t node_line, node_column; /* of the scalar at hand */
};

/*
 * Too large, not UTF-8, or with characters that YAML forbids: one fault, and libyaml is not asked at all. A byte order
 * mark is cut off.
 */
bool fg_conf_text_check(struct fg_slice *text, const char *name, unsigned column, struct fg_conf_faults *faults);
/* The character there; 0: the end. */
uint32_t fg_conf_text_at(struct fg_conf_text *text, size_t line, size_t column);
/* libyaml puts the end on a line of its own even where the last line has no break: back to that line's end. */
void fg_conf_text_clamp(struct fg_conf_text *text, size_t *line, size_t *column);
/* Whether only blanks stand before the column, and a tab among them. */
bool fg_conf_text_indent_tab(struct fg_conf_text *text, size_t line, size_t column, size_t *ret_tab);
/* Moves line and column to the ordinal-th "${" at or after the scalar at hand; leaves them where there is none. */
void fg_conf_text_find_open(struct fg_conf_text *text, size_t ordinal, size_t *line, size_t *column);
