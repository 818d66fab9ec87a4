/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors inside core.
 *
 * A function returns int. 0: it worked. Negative: it failed; the caller forwards the value unchanged and never matches
 * on it (what to do is decided from struct fg_error). Positive: a condition of that one function, listed in its enum,
 * that the caller handles and never forwards.
 *
 * fg_raise() begins a failure, fg_pass() forwards one, fg_fold() turns an unexpected positive code into a failure. Each
 * notes where it stood in a small ring of the thread, which the log prints at debug level beside the error: a path
 * without exceptions. The ring is per thread like errno, and the only such state in core.
 */
#pragma once

#include <errno.h>

#include "fragua/error.h"

#define fg_raise(r) fg_err_note_((r), 'r', __FILE__, __LINE__, __func__)
#define fg_pass(r) fg_err_note_((r), 'p', __FILE__, __LINE__, __func__)
#define fg_fold(r) fg_err_note_((r) > 0 ? -FG_E_INTERNAL : (r), 'f', __FILE__, __LINE__, __func__)

int fg_err_note_(int r, char kind, const char *file, int line, const char *func);

/*
 * fg_err_path() - write the noted path of this thread's last failure and forget it
 * @ret: array of size bytes; "" when nothing was noted; e.g. "conf/yaml.c:120 parse < conf/tree.c:88 load"
 */
void fg_err_path(char *ret, size_t size);

/* errno's text, untranslated; static storage. [any thread] */
const char *fg_errno_text(int error_number);
/* The name of an enum fg_code, negated or not: "not-found"; "unknown" for what is none. Static storage. */
const char *fg_code_name(int code);
const char *fg_code_label(int code); /* the same as a label of a metric, or a value of a header: "not_found" */
