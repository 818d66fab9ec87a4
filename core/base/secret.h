/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets: a text that must never show, kept while it is needed and wiped then. Does not change: [any thread] */
#pragma once

#include "fragua/option.h"
#include "fragua/slice.h"

struct fg_secret;

struct fg_secret *fg_secret_new(struct fg_slice text);      /* @text: copied. Never NULL */
struct fg_secret *fg_secret_free(struct fg_secret *secret); /* wiped first; NULL allowed; returns NULL */
struct fg_slice fg_secret_text(const struct fg_secret *secret);
