/* SPDX-License-Identifier: Apache-2.0 */
/* A Graph message (https://learn.microsoft.com/graph/api/resources/message) as slices of its JSON, in one pass. */
#pragma once

#include <fragua/error.h>
#include <fragua/kit/json.h>

#define MESSAGE_TIME_MAX 32

/* A moment, in UTC. */
struct message_time {
    char text[MESSAGE_TIME_MAX]; /* RFC 3339 with Z; empty: the message does not say */
    int64_t ms;                  /* Unix time */
};

/*
 * Strings are raw JSON, quotes included, as struct fg_json_value of kind STRING; NONE where the message has none or
 * null. Lists are of kind ARRAY or NONE. All borrowed from the document given to message_read().
 */
struct message {
    struct fg_json_value id, change_key, conversation_id, internet_message_id, subject, importance;
    struct fg_json_value from, sender;         /* objects: recipients */
    struct fg_json_value to, cc, bcc, reply_to; /* arrays of recipients */
    struct fg_json_value categories, attachments, headers;
    struct fg_json_value body_content, body_type;
    struct message_time sent_at, received_at;
    struct fg_json_value modified_at; /* string as it stands, for the version */
    bool removed;                     /* Graph's "@removed": the message is gone */
};

struct message_recipient {
    struct fg_json_value name, address; /* strings or NONE */
};

/*
 * message_read() - find a message's members
 * @doc: the JSON object as Graph sends it
 *
 * Return: 0; -FG_E_DATA: it is no JSON object, has no id, or a member is of the wrong type, and err names it.
 */
int message_read(struct fg_slice doc, struct message *ret, struct fg_error *err);

/* Name and address of a recipient object ({"emailAddress": {"name", "address"}}); false: it has neither. */
bool message_recipient(struct fg_json_value value, struct message_recipient *ret);

/* Puts the value of the first internet header of that name, in any case, behind what is in out; false: none. */
bool message_header(const struct message *m, const char *name, struct fg_buf *out);

/* Reads RFC 3339 with any offset. false: it is no such time, or outside of the years 1 to 9999. */
bool message_time_parse(struct fg_slice text, struct message_time *ret);
/* Unix milliseconds as RFC 3339 in UTC; false: outside of the years 1 to 9999. */
bool message_time_format(int64_t ms, struct message_time *ret);
