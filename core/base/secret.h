/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets: where a text that must never show comes from, and the text itself while it is needed. */
#pragma once

#include "fragua/option.h"
#include "fragua/slice.h"

struct fg_secret; /* reference counted, [any thread] */

/*
 * @text: copied, cleansed when the last reference goes
 * @origin: "${file:/run/secrets/graph}" as written, or "" (copied)
 * Return: NULL: no memory.
 */
struct fg_secret *fg_secret_new(struct fg_slice text, const char *origin);
struct fg_secret *fg_secret_ref(struct fg_secret *secret);
struct fg_secret *fg_secret_unref(struct fg_secret *secret); /* NULL allowed; returns NULL */
struct fg_slice fg_secret_text(const struct fg_secret *secret);
const char *fg_secret_origin(const struct fg_secret *secret); /* never NULL; may be shown */
