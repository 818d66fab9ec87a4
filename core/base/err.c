/* SPDX-License-Identifier: Apache-2.0 */
/* The path a failure took through core, the names of error codes, and errno's texts. */
#include "base/err.h"

#include <string.h>

/* Deeper paths lose their outer steps: where it began says the most. */
#define STEPS_MAX 12

struct step {
    const char *file; /* static storage, as __FILE__ */
    const char *func; /* static storage, as __func__ */
    int line;
};

struct path {
    struct step steps[STEPS_MAX];
    size_t len;
    bool cut;
};

static _Thread_local struct path path;

/* A word for people, and the same for a label of a metric or a header's value. */
static const struct {
    const char *name, *label;
} codes[_FG_CODE_N] = {
    [FG_E_NONE] = { "none", "none" },
    [FG_E_CONFIG] = { "config", "config" },
    [FG_E_AUTH] = { "auth", "auth" },
    [FG_E_NOT_FOUND] = { "not-found", "not_found" },
    [FG_E_THROTTLED] = { "throttled", "throttled" },
    [FG_E_UNAVAILABLE] = { "unavailable", "unavailable" },
    [FG_E_TIMEOUT] = { "timeout", "timeout" },
    [FG_E_PROTOCOL] = { "protocol", "protocol" },
    [FG_E_REFUSED] = { "refused", "refused" },
    [FG_E_DATA] = { "data", "data" },
    [FG_E_LIMIT] = { "limit", "limit" },
    [FG_E_NO_ROOM] = { "no-room", "no_room" },
    [FG_E_EXPIRED] = { "expired", "expired" },
    [FG_E_CANCELLED] = { "cancelled", "cancelled" },
    [FG_E_FENCED] = { "fenced", "fenced" },
    [FG_E_INTERNAL] = { "internal", "internal" },
};

int fg_err_note_(int r, char kind, const char *file, int line, const char *func)
{
    if (r == 0)
        return 0;
    if (kind == 'r') {
        path.len = 0;
        path.cut = false;
    }
    if (path.len < STEPS_MAX)
        path.steps[path.len++] = (struct step){ .file = file, .func = func, .line = line };
    else
        path.cut = true;
    return r;
}

/* The build hands over "../somewhere/core/net/pool.c"; people want "net/pool.c". */
static const char *short_file(const char *file)
{
    const char *hit, *last = NULL;
    for (hit = strstr(file, "core/"); hit; hit = strstr(hit + 1, "core/"))
        last = hit;
    if (last)
        return last + strlen("core/");
    while (strncmp(file, "../", 3) == 0)
        file += 3;
    return file;
}

void fg_err_path(char *ret, size_t size)
{
    size_t used = 0;

    if (size == 0)
        return;
    ret[0] = '\0';
    for (size_t i = 0; i < path.len && used < size; i++) {
        const struct step *s = &path.steps[i];
        int n = snprintf(ret + used, size - used, "%s%s:%d %s", i ? " < " : "", short_file(s->file), s->line, s->func);
        if (n < 0)
            break;
        used += (size_t)n;
    }
    if (path.cut && used < size)
        (void)snprintf(ret + used, size - used, " < ...");
    path.len = 0;
    path.cut = false;
}

static int index_of(int code)
{
    return code < 0 ? -code : code;
}

const char *fg_code_name(int code)
{
    return index_of(code) < _FG_CODE_N ? codes[index_of(code)].name : "unknown";
}

const char *fg_code_label(int code)
{
    return index_of(code) < _FG_CODE_N ? codes[index_of(code)].label : "unknown";
}

const char *fg_errno_text(int error_number)
{
    const char *text = strerrordesc_np(error_number);
    return text ? text : "unknown error";
}
