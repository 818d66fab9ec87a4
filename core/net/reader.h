/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes in, requests out: head check, chunk check and parser behind one state machine, without a socket.
 *
 * push() what arrives, then step() until it says MORE. After HEAD the caller picks body_max and steps on; after WHOLE
 * it answers, and next() drops the message and goes on with what is left. A request that was refused ends the
 * connection.
 */
#pragma once

#include "base/budget.h"
#include "base/buf.h"
#include "net/chunk-check.h"
#include "net/head-check.h"
#include "net/parser.h"

/* One request as it arrived. The head's slices point into `bytes`. */
struct fg_message {
    struct fg_buf bytes; /* the head, and behind it what was not looked at yet */
    struct fg_head head;
    struct fg_buf body; /* decoded */
    struct fg_budget *budget; /* borrowed; NULL: nothing is charged */
    size_t charged;           /* bytes, for the body, as long as it is there */
};

enum fg_reader_step {
    FG_READER_MORE,    /* nothing to do before more bytes come */
    FG_READER_HEAD,    /* the head is whole and good: set body_max, step on */
    FG_READER_WHOLE,   /* the body too */
    FG_READER_REFUSED, /* status and why say what to answer */
};

struct fg_reader {
    const struct fg_head_limits *limits; /* borrowed */
    struct fg_parser *parser;            /* owned */
    struct fg_message *msg;              /* owned, until fg_reader_steal() */
    int phase;
    uint64_t body_left;      /* with Content-Length */
    struct fg_chunks chunks; /* else */
    size_t body_max;         /* bytes; set by the caller after HEAD */
    bool begun;              /* a line end before the request was looked for */
    bool keep_alive;         /* from HEAD on */
    bool body_failed;        /* over body_max, or no memory */
    int status;
    const char *why; /* static */
};

/* The most that may be pushed before step() is called: one read. */
#define FG_READER_PUSH_MAX ((size_t)65536)

bool fg_reader_init(struct fg_reader *reader, const struct fg_head_limits *limits); /* false: no memory */
void fg_reader_deinit(struct fg_reader *reader);
bool fg_reader_push(struct fg_reader *reader, struct fg_slice bytes); /* false: no memory, or too much at once */
enum fg_reader_step fg_reader_step(struct fg_reader *reader);
void fg_reader_next(struct fg_reader *reader);
bool fg_reader_idle(const struct fg_reader *reader);     /* not a byte of the next message is there */
bool fg_reader_has_body(const struct fg_reader *reader); /* from HEAD on: the head announces one */
/* From HEAD on: nothing of the body has arrived, so that asking for it (100 Continue) makes sense. */
bool fg_reader_body_absent(const struct fg_reader *reader);
/* From HEAD on: charges for a body of so many bytes, in all. false: there is no room for it. */
bool fg_reader_charge(struct fg_reader *reader, size_t bytes);
/* The message now belongs to the caller, and the reader can only be deinited. */
struct fg_message *fg_reader_steal(struct fg_reader *reader);
struct fg_message *fg_message_free(struct fg_message *msg); /* NULL allowed; returns NULL */
