/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line an event, logfmt or JSON, to one file descriptor. [any thread]
 *
 * Code below flow returns errors and logs only at debug; host and cli log for people. Lines over 4 KiB are cut, control
 * characters are escaped, and every registered secret that turns up in a line is replaced by "***".
 * errno is left as it was, so that one may log before looking at it.
 */
#pragma once

#include "fragua/host.h"
#include "base/clock.h"

struct fg_log;

enum fg_log_format { FG_LOG_LOGFMT, FG_LOG_JSON };

/* @fd: borrowed, written to with one write() a line. Colour is used for logfmt where @colour. NULL: no memory. */
struct fg_log *fg_log_new(int fd, enum fg_log_format format, bool colour, enum fg_log_level level,
                          const struct fg_clock *clock);
struct fg_log *fg_log_free(struct fg_log *log);
/*
 * From now on this text (copied) never shows. Under 4 bytes it is ignored: it would blank out everything. The last 1024
 * are kept.
 */
void fg_log_add_secret(struct fg_log *log, struct fg_slice secret);
/* Blanks registered secrets in place, for other ways out than the log (API, stderr). text: NUL-ended, never grows. */
void fg_log_redact(struct fg_log *log, char *text);

/* Who speaks. Copied by value; the strings are borrowed. */
struct fg_logger {
    struct fg_log *log; /* NULL: silent */
    const char *pipeline; /* NULL: none */
    const char *node;     /* NULL: none */
};

void fg_logf(const struct fg_logger *logger, enum fg_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void fg_logv(const struct fg_logger *logger, enum fg_log_level level, const char *format, va_list ap)
    __attribute__((format(printf, 3, 0)));
/* Logs err->text with code, and at debug level the path it took (fg_err_path). @what: "cannot start", no full stop. */
void fg_log_error(const struct fg_logger *logger, enum fg_log_level level, const char *what,
                  const struct fg_error *err);
