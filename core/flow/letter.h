/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dead letter as what it is about: who gave it up, why, and where it came from; and choosing among letters. Looks at
 * what it is given, keeps nothing: for any thread.
 */
#pragma once

#include "bus/bus.h"

/* Slices point into the record, which must outlive it. Empty: the header is missing. */
struct fg_letter {
    const char *topic; /* where the letter is; borrowed */
    int32_t partition;
    int64_t offset, timestamp_ms; /* the time at which it was given up */
    struct fg_slice key;
    struct fg_slice reason, code, stage, pipeline, attempts;
    struct fg_slice origin; /* "topic/partition/offset", or the key of a source's cursor */
};

void fg_letter_read(const struct fg_record_view *view, const struct fg_bus_position *at, struct fg_letter *ret);
/*
 * The headers that the record had before it became a letter, in their order: without those of the letter and of an
 * earlier replay. @ret: array with room for view->n_headers. Returns how many.
 */
size_t fg_letter_own_headers(const struct fg_record_view *view, struct fg_header *ret);
/* "topic/partition/offset" taken apart; false: it is none. */
bool fg_letter_place(struct fg_slice text, struct fg_slice *ret_topic, int32_t *ret_partition, int64_t *ret_offset);

enum fg_letter_field {
    FG_LETTER_REASON, /* part of it, any case */
    FG_LETTER_CODE,
    FG_LETTER_STAGE,
    FG_LETTER_PIPELINE,
    FG_LETTER_KEY,
    FG_LETTER_ORIGIN, /* all of it, or what stands before a slash: a topic, a mailbox */
    FG_LETTER_ID,     /* the letter's own place: topic/partition/offset */
    FG_LETTER_SINCE,  /* given up at this time or later */
    FG_LETTER_UNTIL,  /* before this time */
    _FG_LETTER_FIELD_N,
};

struct fg_letter_condition {
    enum fg_letter_field field;
    const char *text; /* borrowed */
    int64_t ms;       /* SINCE, UNTIL: Unix time */
};

/* "field=value"; times are RFC 3339, or a duration before @now_ms. @text: borrowed by the result. */
int fg_letter_condition_read(const char *text, int64_t now_ms, struct fg_letter_condition *ret, struct fg_error *err);
/* Conditions on one field are alternatives, those on different fields must all hold. None: every letter. */
bool fg_letter_is_chosen(const struct fg_letter *letter, const struct fg_letter_condition *conditions, size_t n);
