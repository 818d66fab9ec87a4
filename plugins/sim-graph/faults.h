/* SPDX-License-Identifier: Apache-2.0 */
/* Faults on request: which of the next calls fail, and how. Knows nothing of the host. */
#pragma once

#include <fragua/error.h>
#include <fragua/slice.h>

#define FAULTS_MAX 64u
#define FAULT_SLOW_MAX_MS 600000

enum call_kind { CALL_ANY, CALL_TOKEN, CALL_USERS, CALL_DELTA, CALL_MESSAGE };

enum fault_act {
    ACT_NONE,       /* a good answer, late where slow_ms says so */
    ACT_FAIL,       /* `status` with `code`, and Retry-After */
    ACT_CUT,        /* the answer's body ends in the middle */
    ACT_GARBAGE,    /* 200 with something that is no JSON */
    ACT_DUPLICATE,  /* delta: items come again in the page, those of earlier ones, and the page as a whole */
    ACT_EXPIRE,     /* delta with a token: its folder's tokens are no longer known */
    ACT_EXPIRE_ALL, /* at once, and not for a call: every token so far is no longer known */
};

struct fault {
    enum call_kind kind;
    enum fault_act act;
    int64_t status;      /* HTTP */
    char code[64];       /* Graph's error code */
    int64_t retry_after; /* seconds; -1: no header */
    int64_t slow_ms;     /* how long the answer waits */
    int64_t percent;     /* how many of a hundred matching calls it hits, 1..100 */
    int64_t count;       /* how many calls more */
    char mailbox[321];   /* calls for this one only, in any case of letters; "": for any */
};

struct faults {
    struct fault items[FAULTS_MAX]; /* array of n, the oldest first */
    size_t n;
};

/* What is called. */
struct call {
    enum call_kind kind;
    struct fg_slice mailbox; /* empty: none */
    bool token;              /* delta: it goes on from a token */
    uint64_t random;         /* decides for `percent` */
};

/*
 * fault_read() - {"call":"delta","status":429,"code":"...","retry_after":2,"count":3}; every member is optional
 *
 * Instead of status: "cut":true, "garbage":true, "duplicate":true, "expire":true or "expire":"all". With any of them,
 * or alone: "slow":MS. "mailbox" and "percent" say which calls.
 */
int fault_read(struct fg_slice json, struct fault *ret, struct fg_error *err);
int faults_add(struct faults *f, const struct fault *fault, struct fg_error *err); /* -FG_E_LIMIT: FAULTS_MAX wait */
/* The oldest fault that hits this call, counted down. false: none, *ret is ACT_NONE. */
bool faults_take(struct faults *f, const struct call *call, struct fault *ret);
