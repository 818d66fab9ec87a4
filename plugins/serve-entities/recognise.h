/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds e-mail addresses, URLs, phone numbers, sums of money, dates and order-like numbers in a text, by scanners that
 * look at a bounded stretch from each place where a word begins: linear in the text. Knows nothing of the host.
 */
#pragma once

#include <fragua/kit/buf.h>

enum entity_type { ENTITY_EMAIL, ENTITY_URL, ENTITY_PHONE, ENTITY_MONEY, ENTITY_DATE, ENTITY_ID, _ENTITY_TYPE_N };
extern const char *const entity_type_names[];

struct entity {
    enum entity_type type;
    size_t start, end;             /* bytes, end exclusive */
    size_t start_point, end_point; /* code points */
    char normalized[64];           /* "" where the words leave it open */
};

typedef void (*entity_cb)(void *arg, const struct entity *entity);

/* @text: UTF-8. Entities come in order and do not overlap. Returns how many. */
size_t recognise(struct fg_slice text, entity_cb cb, void *arg);
