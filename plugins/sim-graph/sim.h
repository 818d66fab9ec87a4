/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of sim-graph's glue share: the instance, and how a call begins and ends.
 *
 *   calls      sign-in, faults, answers
 *   delta      changes of a folder, page by page
 *   sim-graph  the other routes, options, the host's side
 */
#pragma once

#include <fragua/plugin.h>

#include <fragua/kit/json.h>

#include "faults.h"
#include "generate.h"
#include "store.h"

#define ANSWER_MAX (256u * 1024u * 1024u)
#define TOKENS_MAX 64u
#define PAGE_MAX 1000

struct config {
    const char *mails, *client;
    const struct generate *generate; /* NULL: none */
    const struct fg_secret *secret;
    int64_t initial, arrive, rescan, page, token_lifetime;
};

/* An access token. */
struct token {
    char text[64];
    uint64_t until_ms;
};

struct sim {
    struct fg_host *host;
    const struct config *config;
    struct store store;
    struct generated generated;
    struct faults faults;
    struct token tokens[TOKENS_MAX];
    size_t next_token;
    struct fg_timer *arrive, *rescan;
    struct late *late;      /* owned list: calls whose answer waits */
    const struct fault *resumed; /* of the late call that goes on now; NULL: none does */
    bool cut;               /* the answer being made ends in the middle */
    uint64_t issue;         /* delta tokens given out */
    uint64_t expired_all;   /* tokens up to this one are no longer known */
    uint64_t n_tokens, n_users, n_delta, n_messages; /* requests */
    uint64_t n_faults, n_duplicated, n_expired;      /* played; pages with repeats; tokens refused as expired */
};

typedef void (*sim_handler)(void *self, struct fg_exchange *x);

/* calls.c */
/* Each answers and ends the exchange; the buffer is freed. */
void sim_reply(struct sim *s, struct fg_exchange *x, int status, struct fg_buf *buf);
void sim_reply_error(struct sim *s, struct fg_exchange *x, int status, const char *code, const char *message);
/*
 * sim_begin() - first in the handler of a simulated call: plays the fault that is due, and asks for the token
 * @handle: the handler itself, called anew when the answer has waited long enough
 * @ret: what is left of the fault for the handler to play
 *
 * Return: false: the exchange is dealt with, or comes again.
 */
bool sim_begin(struct sim *s, struct fg_exchange *x, enum call_kind kind, sim_handler handle, struct fault *ret);
void sim_late_drop(struct sim *s); /* cuts what waits */
void sim_post_token(void *self, struct fg_exchange *x);

/* delta.c */
void sim_get_delta(void *self, struct fg_exchange *x);
/* No token given out so far is known any more; mailbox empty: in any mailbox. */
void sim_expire(struct sim *s, struct fg_slice mailbox);
