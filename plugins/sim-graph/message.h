/* SPDX-License-Identifier: Apache-2.0 */
/* From an RFC 5322 file to a Graph message in JSON. Knows nothing of the host. */
#pragma once

#include <fragua/kit/json.h>

#define MESSAGE_MAX (64u * 1024u * 1024u)

/*
 * message_from_rfc5322() - write a Graph message resource
 * @bytes: the file
 * @id: what Graph would call it
 * @change_key: its version
 */
void message_from_rfc5322(struct fg_slice bytes, const char *id, const char *change_key, struct fg_json_writer *w);
/* A stable id that looks like Graph's: 32 hex digits of the text behind a prefix. @ret: array of 64 bytes. */
void message_id_of(struct fg_slice text, const char *prefix, char ret[64]);
