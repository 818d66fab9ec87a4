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

static const char *const code_names[_FG_CODE_N] = {
    [FG_E_NONE] = "none",
    [FG_E_CONFIG] = "config",
    [FG_E_AUTH] = "auth",
    [FG_E_NOT_FOUND] = "not-found",
    [FG_E_THROTTLED] = "throttled",
    [FG_E_UNAVAILABLE] = "unavailable",
    [FG_E_TIMEOUT] = "timeout",
    [FG_E_PROTOCOL] = "protocol",
    [FG_E_REFUSED] = "refused",
    [FG_E_DATA] = "data",
    [FG_E_LIMIT] = "limit",
    [FG_E_NO_ROOM] = "no-room",
    [FG_E_EXPIRED] = "expired",
    [FG_E_CANCELLED] = "cancelled",
    [FG_E_FENCED] = "fenced",
    [FG_E_INTERNAL] = "internal",
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

const char *fg_code_name(int code)
{
    if (code < 0)
        code = -code;
    return code < _FG_CODE_N ? code_names[code] : "unknown";
}

const char *fg_errno_text(int error_number)
{
    const char *text = strerrordesc_np(error_number);
    return text ? text : "unknown error";
}
