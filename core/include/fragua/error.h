/* SPDX-License-Identifier: Apache-2.0 */
/* The error that crosses lines: what happened, whether trying again can help, and a bounded text for people. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What kind of thing went wrong. The flow decides what to do from the code and the two bits of struct fg_error. */
enum fg_code {
    FG_E_NONE = 0,
    FG_E_CONFIG,      /* the configuration is wrong; trying again without a change cannot help */
    FG_E_AUTH,        /* credentials refused */
    FG_E_NOT_FOUND,   /* the thing named does not exist (topic, mailbox, folder, file) */
    FG_E_THROTTLED,   /* the other side asks for patience; retry_after_ms may say how much */
    FG_E_UNAVAILABLE, /* the other side cannot be reached or is down; nothing is wrong with the record */
    FG_E_TIMEOUT,     /* no answer in time */
    FG_E_PROTOCOL,    /* the other side answered something that makes no sense */
    FG_E_REFUSED,     /* the other side understood and said no to this record */
    FG_E_DATA,        /* the record itself cannot be handled */
    FG_E_LIMIT,       /* a limit of ours was reached (size, depth, count) */
    FG_E_NO_ROOM,     /* the byte budget is used up: wait for credit */
    FG_E_EXPIRED,     /* a cursor or token that the other side no longer knows */
    FG_E_CANCELLED,   /* we asked for it */
    FG_E_FENCED,      /* somebody else owns this now */
    FG_E_INTERNAL,    /* our own mistake */
    _FG_CODE_N,
};

#define FG_ERROR_TEXT_MAX 256

struct fg_error {
    int code;                /* enum fg_code */
    bool retriable;          /* the same call may work later */
    bool fatal;              /* the instance that reports it cannot go on */
    uint32_t retry_after_ms; /* not before; 0: no word about it */
    char text[FG_ERROR_TEXT_MAX]; /* UTF-8, NUL-ended, never a secret */
};

#define FG_ERROR_NULL ((struct fg_error){ .code = FG_E_NONE })

enum fg_error_flags {
    FG_ERROR_RETRIABLE = 1,
    FG_ERROR_FATAL = 2,
};

/*
 * fg_error_set() - fill in an error and return a negative value to hand on
 * @err: taken to be a place to write; NULL is allowed and then only the value is returned
 * @code: enum fg_code
 * @flags: enum fg_error_flags
 * @format: printf format; the result is cut at FG_ERROR_TEXT_MAX - 1 bytes, never allocated
 *
 * Return: -@code, always negative, so that `return fg_error_set(err, ...)` reads well.
 */
__attribute__((format(printf, 4, 5))) static inline int
fg_error_set(struct fg_error *err, int code, unsigned flags, const char *format, ...)
{
    if (err) {
        va_list ap;
        err->code = code;
        err->retriable = (flags & FG_ERROR_RETRIABLE) != 0;
        err->fatal = (flags & FG_ERROR_FATAL) != 0;
        err->retry_after_ms = 0;
        va_start(ap, format);
        (void)vsnprintf(err->text, sizeof(err->text), format, ap);
        va_end(ap);
    }
    return -code;
}

/* The outside is in trouble, not this record: wait for as long as it takes, do not count attempts. */
static inline bool fg_error_is_outage(const struct fg_error *err)
{
    return err->code == FG_E_THROTTLED || err->code == FG_E_UNAVAILABLE || err->code == FG_E_AUTH;
}
