/* SPDX-License-Identifier: Apache-2.0 */
/* What an answer of Graph or of the token endpoint means for the one who asked. Knows nothing of the host. */
#pragma once

#include <fragua/error.h>
#include <fragua/kit/json.h>

enum answer {
    ANSWER_OK,        /* 200: the body is what was asked for */
    ANSWER_RENEW,     /* the token is refused: get another and ask again, once */
    ANSWER_RESET,     /* the cursor is no longer known: walk the folder again */
    ANSWER_THROTTLED, /* wait, as long as Retry-After says */
    ANSWER_HEAVY,     /* the page took too long or is too large: ask for a smaller one */
    ANSWER_DOWN,      /* Graph is in trouble: wait and ask again */
    ANSWER_REFUSED,   /* this mailbox or folder cannot be read: others can */
};

/*
 * answer_read() - judge an answer by its status and the error's code in its body
 * @err: set unless ANSWER_OK; its text tells the status and Graph's code, and nothing else of the body
 *
 * Source: Graph, "Use delta query" (410 and syncStateNotFound), "Throttling guidance" (429, 503, 504).
 */
enum answer answer_read(int status, struct fg_slice body, uint32_t retry_after_ms, struct fg_error *err);
/* The same for a request that got no answer; @failed: the HTTP client's error. */
enum answer answer_missing(const struct fg_error *failed);

#define TOKEN_MAX 16384u         /* bytes of an access token */
#define TOKEN_LIFE_DEFAULT_S 300 /* where the answer does not say (RFC 6749 5.1 recommends that it does) */
#define TOKEN_LIFE_MAX_S 86400

struct token_answer {
    struct fg_slice token; /* JSON string with quotes, into the body; nothing in it to decode but RFC 6750 characters */
    int64_t life_ms;
};

/* Reads an answer of the token endpoint. The error never holds any of the token, nor the endpoint's free text. */
int answer_read_token(int status, struct fg_slice body, uint32_t retry_after_ms, struct token_answer *ret,
                      struct fg_error *err);
