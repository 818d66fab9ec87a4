/* SPDX-License-Identifier: Apache-2.0 */
/* A record as an HTTP message: its headers, its signature, and what the answer means. Knows nothing of the host. */
#pragma once

#include <fragua/error.h>
#include <fragua/http.h>
#include <fragua/option.h>
#include <fragua/record.h>

#include <fragua/kit/buf.h>

#define MESSAGE_HEADERS_MAX 48u          /* that are sent: more make the record a dead letter, and */
#define MESSAGE_BYTES_MAX   (16u * 1024u) /* so many bytes of them */

struct message {
    struct fg_header headers[MESSAGE_HEADERS_MAX]; /* array of n_headers, slices into text */
    size_t n_headers;
    struct fg_buf text; /* made large enough at once, so that it never moves */
    bool failed;        /* the signature could not be made */
};

/*
 * message_make() - the headers that go with a record
 *
 * As CloudEvents' HTTP binding has it, binary mode: `ce_id` becomes "ce-id", what is not printable ASCII is
 * percent-encoded. content-type, traceparent and those that @more names go along in the same way; the rest stays here.
 * Return: 0; -FG_E_DATA with err set: they are more than fit. message_deinit() is needed either way.
 */
int message_make(struct message *m, const struct fg_record_view *view, const struct fg_strings *more,
                 struct fg_error *err);
/* Adds the headers of standardwebhooks.com. Any thread; @secret: borrowed for the call, @now_s: Unix time. */
void message_sign(struct message *m, const struct fg_record_view *view, int64_t now_s, struct fg_slice secret);
void message_deinit(struct message *m);
bool message_may_pass(const char *name); /* a header that is a token, and not one of the client's own or ours */
/* What a status says: err code 0 for 2xx; an outage, this record's fault, or to be tried again. */
void message_outcome(const struct fg_http_response *res, struct fg_error *err);
