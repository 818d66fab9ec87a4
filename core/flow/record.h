/* SPDX-License-Identifier: Apache-2.0 */
/* Records as core sees them. [any thread]; immutable once made; charged to the budget from birth to last unref. */
#pragma once

#include "base/budget.h"
#include "bus/bus.h"
#include "fragua/record.h"

/*
 * fg_record_new() - make a record, copying what the spec's parent does not already hold
 * @budget: borrowed, must outlive the record
 * @must: true: charge it even over the limit; false: -FG_E_NO_ROOM when there is no room
 */
int fg_record_new(struct fg_budget *budget, const struct fg_record_spec *spec, bool must, struct fg_record **ret,
                  struct fg_error *err);
/* Takes over the message; slices point into it. Charged over the limit if it must be: it is here already. */
struct fg_record *fg_record_from_message(struct fg_budget *budget, struct fg_bus_message *message);
/*
 * Takes over malloc'ed bytes as a record's value, and the charge that was made for them. What that is more than their
 * size stays charged until the first unref: by then there are records of their parts.
 */
struct fg_record *fg_record_adopt(struct fg_budget *budget, char *bytes, size_t len, size_t charged);
struct fg_record *fg_record_ref(struct fg_record *record);
struct fg_record *fg_record_unref(struct fg_record *record); /* NULL allowed; returns NULL */
const struct fg_record_view *fg_record_view(const struct fg_record *record);
size_t fg_record_bytes(const struct fg_record *record); /* its size, with what it borrows of its parent */
/* Where it came from, "topic/partition/offset"; NULL: made here. */
const struct fg_bus_position *fg_record_origin(const struct fg_record *record);
