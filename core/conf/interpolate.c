/* SPDX-License-Identifier: Apache-2.0 */
/* ${env:NAME}, ${env:NAME:-default} and ${file:PATH} in values. */
#include "conf/conf-private.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

#define PATH_BYTES_MAX 4096

struct work {
    const char *name;
    struct fg_buf *out;
    bool *from_file;
    fg_conf_interpolate_cb fault;
    fg_conf_file_cb file; /* told in place of reading, replacing and finding fault; NULL: do these */
    void *arg;
    size_t ordinal;
};

__attribute__((format(printf, 2, 3))) static void tell(struct work *w, const char *format, ...)
{
    struct fg_buf text = FG_BUF_INIT(1024);
    va_list ap;

    if (!w->fault)
        return;
    va_start(ap, format);
    fg_buf_vprintf(&text, format, ap);
    va_end(ap);
    w->fault(w->arg, w->ordinal, text.failed || !text.data ? "this ${...} cannot be replaced" : text.data);
    fg_buf_deinit(&text);
}

static bool is_name(struct fg_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return s.len > 0;
}

/* Borrowed from the environment; NULL: not set. */
static const char *environment(struct fg_slice name)
{
    char *key = fg_slice_dup(name);
    const char *value = getenv(key);

    free(key);
    return value;
}

/* body: NAME or NAME:-default */
static void replace_env(struct work *w, struct fg_slice body)
{
    ptrdiff_t split = fg_slice_find(body, fg_slice_of(":-"));
    struct fg_slice name = split < 0 ? body : fg_slice_sub(body, 0, (size_t)split);
    char shown[FG_CONF_SHOWN_MAX];
    const char *value;

    if (w->file)
        return;
    if (!is_name(name)) {
        tell(w, "%s is no name of an environment variable: write ${env:NAME} or ${env:NAME:-default}",
             fg_conf_show(name, shown));
        return;
    }
    value = environment(name);
    if (split >= 0 && (!value || !*value)) {
        fg_buf_add_slice(w->out, fg_slice_sub(body, (size_t)split + 2, body.len));
        return;
    }
    if (!value) {
        tell(w, "the environment variable %s is not set: set it, or give a default by ${env:%.*s:-default}",
             fg_conf_show(name, shown), (int)name.len, name.ptr);
        return;
    }
    if (!fg_utf8_valid(fg_slice_of(value))) {
        tell(w, "the environment variable %s is not valid UTF-8", fg_conf_show(name, shown));
        return;
    }
    fg_buf_add_str(w->out, value);
}

/* Relative to the folder of the file that names it. */
static bool find_path(const struct work *w, struct fg_slice path, struct fg_buf *out)
{
    const char *slash = strrchr(w->name, '/');

    if (path.ptr[0] != '/' && slash)
        fg_buf_add(out, w->name, (size_t)(slash - w->name) + 1);
    fg_buf_add_slice(out, path);
    return !out->failed;
}

static void replace_file(struct work *w, struct fg_slice body)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf path = FG_BUF_INIT(PATH_BYTES_MAX);
    FG_CLEANUP(fg_buf_deinit) struct fg_buf content = FG_BUF_INIT(FG_CONF_FILE_BYTES_MAX);
    struct fg_error err = FG_ERROR_NULL;
    struct fg_slice text;
    struct stat st;

    if (body.len == 0) {
        tell(w, "the path is missing: write ${file:PATH}");
        return;
    }
    *w->from_file = true;
    if (!find_path(w, body, &path)) {
        tell(w, "the path of this ${file:} is longer than %d bytes", PATH_BYTES_MAX);
        return;
    }
    if (w->file) {
        w->file(w->arg, path.data);
        return;
    }
    if (stat(path.data, &st) == 0 && !S_ISREG(st.st_mode)) {
        tell(w, "cannot read \"%s\": it is not a regular file", path.data); /* a FIFO would hold up the start */
        return;
    }
    if (fg_read_file(path.data, FG_CONF_FILE_BYTES_MAX, &content, &err) < 0) {
        tell(w, "%s", err.text);
        return;
    }
    text = fg_buf_slice(&content);
    if (fg_slice_ends(text, fg_slice_of("\n")))
        text.len -= fg_slice_ends(text, fg_slice_of("\r\n")) ? 2 : 1;
    if (text.len > 0 && memchr(text.ptr, '\0', text.len))
        tell(w, "the file \"%s\" has a NUL byte in it: only text can be a value", path.data);
    else if (!fg_utf8_valid(text))
        tell(w, "the file \"%s\" is not valid UTF-8: only text can be a value", path.data);
    else
        fg_buf_add_slice(w->out, text);
    if (content.data)
        explicit_bzero(content.data, content.len); /* most such files hold secrets */
}

static const struct scheme {
    struct fg_slice prefix;
    void (*replace)(struct work *w, struct fg_slice body);
} schemes[] = {
    { FG_SLICE("env:"), replace_env },
    { FG_SLICE("file:"), replace_file },
};

/* inner: what stands between "${" and "}" */
static void replace(struct work *w, struct fg_slice inner)
{
    char shown[FG_CONF_SHOWN_MAX];

    if (fg_slice_find(inner, fg_slice_of("${")) >= 0) {
        tell(w, "a ${...} cannot stand inside another, or a '}' is missing");
        return;
    }
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (!fg_slice_starts(inner, schemes[i].prefix))
            continue;
        schemes[i].replace(w, fg_slice_sub(inner, schemes[i].prefix.len, inner.len));
        return;
    }
    tell(w, "%s is neither env:NAME nor file:PATH; for a literal ${ write $${", fg_conf_show(inner, shown));
}

static void run(struct work *w, struct fg_slice text)
{
    static const struct fg_slice open = FG_SLICE("${");
    ptrdiff_t at;

    for (; (at = fg_slice_find(text, open)) >= 0; w->ordinal++) {
        bool literal = at > 0 && text.ptr[at - 1] == '$';
        struct fg_slice rest = fg_slice_sub(text, (size_t)at + 2, text.len);
        ptrdiff_t end = fg_slice_find(rest, fg_slice_of("}"));

        fg_buf_add(w->out, text.ptr, (size_t)at - (literal ? 1 : 0));
        text = rest;
        if (literal) {
            fg_buf_add_slice(w->out, open);
            continue;
        }
        if (end < 0) {
            tell(w, "this ${ is never closed: a '}' is missing; for a literal ${ write $${");
            return;
        }
        replace(w, fg_slice_sub(rest, 0, (size_t)end));
        for (size_t i = 0; i + 1 < (size_t)end; i++)
            w->ordinal += rest.ptr[i] == '$' && rest.ptr[i + 1] == '{';
        text = fg_slice_sub(rest, (size_t)end + 1, rest.len);
    }
    fg_buf_add_slice(w->out, text);
}

void fg_conf_interpolate(struct fg_slice text, const char *name, struct fg_buf *out, bool *ret_from_file,
                         fg_conf_interpolate_cb fault, void *arg)
{
    struct work w = { .name = name, .out = out, .from_file = ret_from_file, .fault = fault, .arg = arg };

    run(&w, text);
}

void fg_conf_interpolate_files(struct fg_slice text, const char *name, fg_conf_file_cb each, void *arg)
{
    struct fg_buf unread = FG_BUF_INIT(FG_CONF_BYTES_MAX);
    bool from_file = false;
    struct work w = { .name = name, .out = &unread, .from_file = &from_file, .file = each, .arg = arg };

    run(&w, text);
    fg_buf_deinit(&unread);
}
