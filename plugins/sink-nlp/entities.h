/* SPDX-License-Identifier: Apache-2.0 */
/* From a document and a service's spans to the value of an entities record. Knows nothing of the host. */
#pragma once

#include "service.h"

struct entities_input {
    struct fg_slice document;  /* the document record's value, JSON */
    struct fg_slice text;      /* its text, decoded UTF-8 */
    const char *service;       /* "spacy" */
    const char *url_host;
    const char *model;         /* configured; NULL: what the answer says, if anything */
    int64_t elapsed_ms;
};

/*
 * entities_write() - check every span against the text and write the record's value
 * @answer: its spans are put in order of start, longer ones first; those that were dropped are gone from it
 * @out: `failed` after it: too large, or no memory
 * @ret_dropped: spans outside of the text, empty, or whose given text is not what stands there
 */
void entities_write(const struct entities_input *in, struct answer *answer, struct fg_buf *out, size_t *ret_dropped);
