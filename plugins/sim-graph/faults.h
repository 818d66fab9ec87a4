/* SPDX-License-Identifier: Apache-2.0 */
/* Faults on request: which of the next calls fail, and how. Knows nothing of the host. */
#pragma once

#include <fragua/error.h>
#include <fragua/slice.h>

#define FAULTS_MAX 64u

enum call_kind { CALL_ANY, CALL_TOKEN, CALL_USERS, CALL_DELTA, CALL_MESSAGE };

struct fault {
    enum call_kind kind;
    int64_t status;      /* HTTP */
    char code[64];       /* Graph's error code */
    int64_t retry_after; /* seconds; -1: no header */
    bool cut;            /* the body ends in the middle */
    bool garbage;        /* 200 with something that is no JSON */
    int64_t count;       /* how many calls more */
};

struct faults {
    struct fault items[FAULTS_MAX]; /* array of n, the oldest first */
    size_t n;
    struct fault last; /* the one that faults_take() handed out */
};

/* {"call":"delta","status":429,"code":"...","retry_after":2,"cut":true,"garbage":true,"count":3}; all are optional. */
int faults_add(struct faults *f, struct fg_slice json, struct fg_error *err);
/* The fault for a call of this kind, counted down; NULL: none. Valid until the next call. */
const struct fault *faults_take(struct faults *f, enum call_kind kind);
