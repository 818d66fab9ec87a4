/* SPDX-License-Identifier: Apache-2.0 */
/* What each entity service wants to be asked, and what its answers mean. Knows nothing of the host. */
#pragma once

#include <fragua/error.h>
#include <fragua/kit/json.h>

enum service { SERVICE_SPACY, SERVICE_GENERIC, _SERVICE_N };
extern const char *const service_names[]; /* NULL-ended, in the order of enum service */

/* An entity as a service gave it: a span of the text in code points, end exclusive. Slices are raw JSON or empty. */
struct span {
    int64_t start, end;
    struct fg_slice type;       /* string with quotes; never empty */
    struct fg_slice text;       /* string with quotes; empty: not given */
    struct fg_slice normalized; /* string, number or boolean; empty: not given */
    struct fg_slice score;      /* number that fits a double; empty: not given */
};

struct answer {
    struct span *spans; /* array of n; freed by the caller */
    size_t n, cap;
    struct fg_slice model; /* string with quotes; empty: not given */
    size_t malformed;      /* entities without usable start, end or type */
};

#define SPANS_MAX 10000u  /* of one answer; more is an error */
#define TYPE_RAW_MAX 512u /* bytes of a type's JSON; an entity with a longer one is malformed */

/* Writes the request's body. @language_raw: JSON string with its quotes, or empty; @model: NULL allowed. */
void service_request(enum service service, struct fg_slice text, struct fg_slice language_raw, const char *model,
                     struct fg_buf *out);
/* Reads an answer with status 200. @ret->spans is allocated by malloc; freed by the caller, also on failure. */
int service_answer(enum service service, struct fg_slice body, struct answer *ret, struct fg_error *err);
/* What an HTTP status other than 200 means for the record. Always negative. */
int service_refusal(int status, uint32_t retry_after_ms, const char *host, struct fg_error *err);
