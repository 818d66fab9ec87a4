/* SPDX-License-Identifier: Apache-2.0 */
/* A request's target taken apart: decoded path, its segments, and the query. RFC 3986 and 9112 section 3.2. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fragua/slice.h"

#define FG_TARGET_SEGMENTS_MAX 24 /* noted; what is deeper can only match a {rest...} */

struct fg_target {
    struct fg_slice path;                         /* decoded, begins with '/' */
    struct fg_slice query_raw;                    /* behind '?' */
    uint32_t segment[FG_TARGET_SEGMENTS_MAX + 1]; /* offsets of the segments in path, each behind its '/' */
    size_t n_segments; /* all of them; those behind FG_TARGET_SEGMENTS_MAX are not in `segment` */
    uint32_t segment_end[FG_TARGET_SEGMENTS_MAX];
};

/*
 * fg_target_parse() - split and decode in place
 * @text: the target as it stands in the head; changed, because a decoded path is never longer
 * Return: false with *ret_why (static): bad percent-encoding, %00, a "." or ".." segment, or neither path nor http URL.
 */
bool fg_target_parse(struct fg_target *target, char *text, size_t len, const char **ret_why);
/* Segment i, i < min(n_segments, FG_TARGET_SEGMENTS_MAX). */
struct fg_slice fg_target_segment(const struct fg_target *target, size_t i);
struct fg_slice fg_target_rest(const struct fg_target *target, size_t i); /* from segment i to the end */

/*
 * fg_query_decode() - make "key\0value\0key\0value\0\0" of a query that fg_target_parse() accepted
 * Return: to be freed by free(); NULL: no memory.
 */
char *fg_query_decode(struct fg_slice query_raw);
/* The first value of that name in such a list; empty with ptr NULL: not there. */
struct fg_slice fg_query_find(const char *decoded, const char *name);
