/* SPDX-License-Identifier: Apache-2.0 */
/* The log: lines are put together on the stack, redacted, cut, and written by one write(). */
#include "base/log.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

/* A whole line with its newline. A pipe takes this much in one piece (PIPE_BUF), so lines of two threads never mix. */
#define LINE_MAX_BYTES 4096
/* Room kept for what follows the message: pipeline, node, code, path. */
#define TAIL_MAX_BYTES 1536
/* Room for a key, quotes and one escape: where there is less, the whole field is left out and the line stays sound. */
#define FIELD_MIN_BYTES 64
/* A pipeline's or node's name is cut here. */
#define NAME_MAX_BYTES 256
#define PATH_MAX_BYTES 512
/* Messages up to here are made without the heap. */
#define SHORT_MESSAGE_BYTES 1024
/* Rotation adds secrets for as long as the process lives: past this many, the oldest is forgotten. */
#define SECRETS_MAX 1024
#define SECRET_MIN_BYTES 4
/* How long a full non-blocking descriptor is waited for before the rest of a line is dropped. */
#define FULL_WAIT_MS 1000

#define BLANK     "***"
#define BLANK_LEN 3

struct secrets {
    struct fg_slice texts[SECRETS_MAX]; /* owned */
    size_t len;
    size_t next; /* which one is replaced when all places are taken */
    bool begins[256]; /* some secret begins with this byte */
};

struct fg_log {
    int fd; /* borrowed */
    enum fg_log_format format;
    bool colour;
    enum fg_log_level level;
    const struct fg_clock *clock; /* borrowed */
    atomic_bool has_secrets;      /* the fast path: most processes log before or without any */
    pthread_mutex_t lock;         /* guards secrets; no other lock is taken under it */
    struct secrets secrets;
};

/* A line or a part of one. What does not fit is left out; `cut` says so. */
struct line {
    char text[LINE_MAX_BYTES];
    size_t len, max;
    bool cut;
};

struct event {
    const struct fg_logger *logger;
    enum fg_log_level level;
    const char *message; /* redacted */
    const struct fg_error *err; /* NULL: none */
    const char *path;    /* NULL: none */
};

struct look {
    const char *name, *colour;
};

static const struct look looks[] = {
    [FG_LOG_ERROR] = { "error", "\x1b[31m" },
    [FG_LOG_WARN] = { "warn", "\x1b[33m" },
    [FG_LOG_INFO] = { "info", "\x1b[32m" },
    [FG_LOG_DEBUG] = { "debug", "\x1b[2m" },
};

struct fg_log *fg_log_new(int fd, enum fg_log_format format, bool colour, enum fg_log_level level,
                          const struct fg_clock *clock)
{
    struct fg_log *log = calloc(1, sizeof(*log));

    if (!log)
        return NULL;
    if (pthread_mutex_init(&log->lock, NULL) != 0) {
        free(log);
        return NULL;
    }
    log->fd = fd;
    log->format = format;
    log->colour = colour && format == FG_LOG_LOGFMT;
    log->clock = clock;
    log->level = level;
    atomic_init(&log->has_secrets, false);
    return log;
}

static void forget(struct fg_slice *secret)
{
    char *text = (char *)(uintptr_t)secret->ptr;

    if (text)
        OPENSSL_cleanse(text, secret->len);
    free(text);
    *secret = FG_SLICE_NULL;
}

struct fg_log *fg_log_free(struct fg_log *log)
{
    if (!log)
        return NULL;
    for (size_t i = 0; i < log->secrets.len; i++)
        forget(&log->secrets.texts[i]);
    (void)pthread_mutex_destroy(&log->lock);
    free(log);
    return NULL;
}

static bool is_enabled(const struct fg_log *log, enum fg_log_level level)
{
    return log && level <= log->level;
}

static bool is_known(const struct secrets *secrets, struct fg_slice secret)
{
    for (size_t i = 0; i < secrets->len; i++) {
        if (fg_slice_eq(secrets->texts[i], secret))
            return true;
    }
    return false;
}

void fg_log_add_secret(struct fg_log *log, struct fg_slice secret)
{
    struct secrets *secrets;

    if (!log || secret.len < SECRET_MIN_BYTES)
        return;
    secrets = &log->secrets;
    (void)pthread_mutex_lock(&log->lock);
    if (!is_known(secrets, secret)) {
        char *copy = fg_malloc(secret.len);
        memcpy(copy, secret.ptr, secret.len);
        if (secrets->len < SECRETS_MAX)
            secrets->len++;
        forget(&secrets->texts[secrets->next]);
        secrets->texts[secrets->next] = fg_slice_make(copy, secret.len);
        secrets->next = (secrets->next + 1) % SECRETS_MAX;
        secrets->begins[(uint8_t)copy[0]] = true;
        atomic_store_explicit(&log->has_secrets, true, memory_order_release);
    }
    (void)pthread_mutex_unlock(&log->lock);
}

/* Length of the longest secret at the start of text; 0: none. */
static size_t secret_at(const struct secrets *secrets, struct fg_slice text)
{
    size_t longest = 0;

    if (text.len == 0 || !secrets->begins[(uint8_t)text.ptr[0]])
        return 0;
    for (size_t i = 0; i < secrets->len; i++) {
        if (secrets->texts[i].len > longest && fg_slice_starts(text, secrets->texts[i]))
            longest = secrets->texts[i].len;
    }
    return longest;
}

/* The end of the run of secrets that begins at `from`, with those that overlap it; `from`: none begins there. */
static size_t secrets_end(const struct secrets *secrets, struct fg_slice text, size_t from)
{
    size_t end = from + secret_at(secrets, text);

    for (size_t i = from + 1; i < end; i++) {
        size_t len = secret_at(secrets, fg_slice_make(text.ptr + (i - from), text.len - (i - from)));
        if (i + len > end)
            end = i + len;
    }
    return end;
}

void fg_log_redact(struct fg_log *log, char *text)
{
    size_t in = 0, out = 0, len;

    if (!log || !text || !atomic_load_explicit(&log->has_secrets, memory_order_acquire))
        return;
    len = strlen(text);
    (void)pthread_mutex_lock(&log->lock);
    while (in < len) {
        size_t end = secrets_end(&log->secrets, fg_slice_make(text + in, len - in), in);
        if (end > in) {
            memcpy(text + out, BLANK, BLANK_LEN);
            out += BLANK_LEN;
            in = end;
        } else {
            text[out++] = text[in++];
        }
    }
    (void)pthread_mutex_unlock(&log->lock);
    text[out] = '\0';
}

static void line_add(struct line *line, const char *bytes, size_t len)
{
    if (line->cut || len > line->max - line->len) {
        line->cut = true;
        return;
    }
    if (len > 0)
        memcpy(line->text + line->len, bytes, len);
    line->len += len;
}

static void line_str(struct line *line, const char *s)
{
    line_add(line, s, strlen(s));
}

/* Quoted as JSON does; terminals get no control character of either set, nor a bad byte. */
static void line_quoted(struct line *line, struct fg_slice s)
{
    size_t pos = 0;

    line_str(line, "\"");
    while (pos < s.len && !line->cut) {
        char piece[8];
        uint32_t c = fg_utf8_next(s, &pos);
        size_t len;
        if (c == '"' || c == '\\')
            len = (size_t)snprintf(piece, sizeof(piece), "\\%c", (char)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            len = (size_t)snprintf(piece, sizeof(piece), "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c < 0x20 || (c >= 0x7F && c <= 0x9F))
            len = (size_t)snprintf(piece, sizeof(piece), "\\u%04x", (unsigned)c & 0xFFFF);
        else
            len = fg_utf8_encode(c, piece);
        line_add(line, piece, len);
    }
    if (line->cut) {
        line->cut = false;
        line->max += strlen("...");
        line_str(line, "...");
    }
    line->max++;
    line_str(line, "\"");
}

static bool is_bare(const char *s)
{
    return *s != '\0' && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:")] == '\0';
}

/* ` key=value` or `,"key":value`, with the value as text. The caller keeps quotes and dots within the line's room. */
static void line_field(struct line *line, enum fg_log_format format, const char *key, struct fg_slice value, bool bare)
{
    if (line->max - line->len < FIELD_MIN_BYTES + (bare ? value.len : 0))
        return;
    line_str(line, format == FG_LOG_JSON ? ",\"" : " ");
    line_str(line, key);
    line_str(line, format == FG_LOG_JSON ? "\":" : "=");
    if (bare)
        line_add(line, value.ptr, value.len);
    else
        line_quoted(line, value);
}

static void field_name(struct line *line, struct fg_log *log, const char *key, const char *value)
{
    char name[NAME_MAX_BYTES];

    if (!value)
        return;
    (void)snprintf(name, sizeof(name), "%s", value);
    fg_log_redact(log, name);
    line_field(line, log->format, key, fg_slice_of(name), log->format == FG_LOG_LOGFMT && is_bare(name));
}

/* All that follows the message. */
static void make_tail(struct line *line, struct fg_log *log, const struct event *event)
{
    bool json = log->format == FG_LOG_JSON;

    field_name(line, log, "pipeline", event->logger->pipeline);
    field_name(line, log, "node", event->logger->node);
    if (event->err) {
        char wait[16];
        line_field(line, log->format, "code", fg_slice_of(fg_code_name(event->err->code)), !json);
        line_field(line, log->format, "retriable", fg_slice_of(event->err->retriable ? "true" : "false"), true);
        if (event->err->fatal)
            line_field(line, log->format, "fatal", fg_slice_of("true"), true);
        if (event->err->retry_after_ms > 0) {
            (void)snprintf(wait, sizeof(wait), "%u", (unsigned)event->err->retry_after_ms);
            line_field(line, log->format, "retry_after_ms", fg_slice_of(wait), true);
        }
    }
    if (event->path)
        line_field(line, log->format, "path", fg_slice_of(event->path), false);
    line->max += strlen("}\n");
    line_str(line, json ? "}\n" : "\n");
}

static void make_head(struct line *line, const struct fg_log *log, enum fg_log_level level)
{
    char now[FG_RFC3339_MAX];
    bool json = log->format == FG_LOG_JSON;

    fg_rfc3339(fg_clock_wall_ms(log->clock), now);
    line_str(line, json ? "{\"ts\":\"" : "ts=");
    line_str(line, now);
    line_str(line, json ? "\",\"level\":\"" : " level=");
    if (log->colour)
        line_str(line, looks[level].colour);
    line_str(line, looks[level].name);
    if (log->colour)
        line_str(line, "\x1b[0m");
    line_str(line, json ? "\"" : "");
}

static void write_line(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd full = { .fd = fd, .events = POLLOUT };
            if (poll(&full, 1, FULL_WAIT_MS) == 0)
                return;
        } else if (n < 0 && errno != EINTR) {
            return;
        }
    }
}

static void write_event(struct fg_log *log, const struct event *event)
{
    struct line tail, line;

    tail.len = 0;
    tail.cut = false;
    tail.max = TAIL_MAX_BYTES;
    make_tail(&tail, log, event);
    line.len = 0;
    line.cut = false;
    line.max = sizeof(line.text) - tail.len - strlen("...\"");
    make_head(&line, log, event->level);
    line_field(&line, log->format, "msg", fg_slice_of(event->message), false);
    line.max = sizeof(line.text);
    line_add(&line, tail.text, tail.len);
    write_line(log->fd, line.text, line.len);
}

__attribute__((format(printf, 3, 0))) static void log_event(const struct fg_logger *logger, struct event event,
                                                            const char *format, va_list ap)
{
    char small[SHORT_MESSAGE_BYTES];
    _cleanup_free_ char *large = NULL;
    char *message = small;
    int before = errno;
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(small, sizeof(small), format, ap);
    /* redacted while whole: a secret that is cut in two would not be known again */
    if (n >= (int)sizeof(small)) {
        large = malloc((size_t)n + 1);
        if (large)
            (void)vsnprintf(large, (size_t)n + 1, format, again);
        else
            (void)snprintf(small, sizeof(small), "%s", "a message that there was no memory for");
        message = large ? large : small;
    } else if (n < 0) {
        (void)snprintf(small, sizeof(small), "%s", "a message that could not be formatted");
    }
    va_end(again);
    fg_log_redact(logger->log, message);
    event.logger = logger;
    event.message = message;
    write_event(logger->log, &event);
    errno = before;
}

void fg_logv(const struct fg_logger *logger, enum fg_log_level level, const char *format, va_list ap)
{
    if (is_enabled(logger->log, level))
        log_event(logger, (struct event){ .level = level }, format, ap);
}

void fg_logf(const struct fg_logger *logger, enum fg_log_level level, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fg_logv(logger, level, format, ap);
    va_end(ap);
}

__attribute__((format(printf, 3, 4))) static void log_event_f(const struct fg_logger *logger, struct event event,
                                                              const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    log_event(logger, event, format, ap);
    va_end(ap);
}

void fg_log_error(const struct fg_logger *logger, enum fg_log_level level, const char *what,
                  const struct fg_error *err)
{
    struct event event = { .level = level, .err = err };
    char path[PATH_MAX_BYTES];

    if (!is_enabled(logger->log, level))
        return;
    if (is_enabled(logger->log, FG_LOG_DEBUG)) {
        fg_err_path(path, sizeof(path));
        event.path = path[0] ? path : NULL;
    }
    log_event_f(logger, event, "%s: %s", what, err->text);
}
