/* SPDX-License-Identifier: Apache-2.0 */
/* Reloads by the API: asked for, waited for, tried without doing anything, and told of. */
#pragma once

#include <fragua/host.h>

struct control;

struct reloads {
    struct wait *waits; /* owned list: requests that wait for the host */
    bool asked;         /* for a reload that nobody waits for */
};

/* Ends what waits: what was asked for goes on in the host. */
void reloads_stop(struct control *c);

/* Handlers of routes; self: struct control */
void post_reload(void *self, struct fg_exchange *x);
void post_validate(void *self, struct fg_exchange *x);
void get_reloads(void *self, struct fg_exchange *x);
void get_reload(void *self, struct fg_exchange *x);
