/* SPDX-License-Identifier: Apache-2.0 */
/* Plugin files: finding, loading, and the handshake that keeps a wrong one out. */
#include "host/loader.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/options.h"

static const char *const kind_names[] = {
    [FG_KIND_SOURCE] = "source",
    [FG_KIND_TRANSFORM] = "transform",
    [FG_KIND_SINK] = "sink",
    [FG_KIND_CONTROL] = "control",
};

const char *fg_kind_name(uint32_t kind)
{
    return kind >= FG_KIND_SOURCE && kind < _FG_KIND_END ? kind_names[kind] : "unknown";
}

void fg_plugin_path_deinit(struct fg_plugin_path *path)
{
    for (size_t i = 0; i < path->n; i++)
        free(path->dirs[i]);
    path->n = 0;
}

static int path_add(struct fg_plugin_path *path, struct fg_slice dir, struct fg_error *err)
{
    if (dir.len == 0)
        return 0;
    if (path->n == FG_PLUGIN_DIRS_MAX)
        return fg_raise(fg_error_set(err, FG_E_LIMIT, 0, "more than %d plugin folders", FG_PLUGIN_DIRS_MAX));
    path->dirs[path->n++] = fg_strdup_slice(dir);
    return 0;
}

int fg_plugin_path_init(struct fg_plugin_path *path, const char *const *given, size_t n_given, struct fg_error *err)
{
    struct fg_slice rest = fg_slice_of(getenv("FRAGUA_PLUGIN_PATH"));
    int r = 0;

    *path = (struct fg_plugin_path){ .n = 0 };
    for (size_t i = 0; r == 0 && i < n_given; i++)
        r = path_add(path, fg_slice_of(given[i]), err);
    while (r == 0 && rest.len) {
        struct fg_slice head;
        (void)fg_slice_cut(rest, ':', &head, &rest);
        r = path_add(path, head, err);
    }
    if (r == 0)
        r = path_add(path, fg_slice_of(FG_PLUGIN_DIR), err);
    if (r)
        fg_plugin_path_deinit(path);
    return fg_pass(r);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t sort_unique(char **names, size_t n)
{
    size_t kept = 0;

    if (n)
        qsort(names, n, sizeof(*names), compare_names);
    for (size_t i = 0; i < n; i++) {
        if (kept && strcmp(names[kept - 1], names[i]) == 0)
            free(names[i]);
        else
            names[kept++] = names[i];
    }
    return kept;
}

char **fg_plugin_names(const struct fg_plugin_path *path, size_t *ret_n)
{
    char **names = NULL;
    size_t n = 0, cap = 0;

    for (size_t i = 0; i < path->n; i++) {
        DIR *dir = opendir(path->dirs[i]);
        if (!dir)
            continue;
        for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
            struct fg_slice name = fg_slice_of(e->d_name);
            if (!fg_slice_ends(name, (struct fg_slice)FG_SLICE(".so")) || name.len <= 3)
                continue;
            if (n == cap) {
                char **more = fg_calloc(cap ? cap * 2 : 16, sizeof(*names));
                if (n)
                    memcpy(more, names, n * sizeof(*names));
                free(names);
                names = more;
                cap = cap ? cap * 2 : 16;
            }
            names[n++] = fg_strdup_slice(fg_slice_sub(name, 0, name.len - 3));
        }
        closedir(dir);
    }
    *ret_n = sort_unique(names, n);
    return names;
}

void fg_plugin_names_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

static bool name_is_sane(const char *name)
{
    size_t n = strlen(name);

    return n > 0 && n < 64 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static int not_found(const struct fg_plugin_path *path, const char *name, struct fg_error *err)
{
    size_t n, best = SIZE_MAX;
    char **names = fg_plugin_names(path, &n);
    unsigned best_distance = 4;
    int r;

    for (size_t i = 0; i < n; i++) {
        unsigned d = fg_edit_distance(fg_slice_of(name), fg_slice_of(names[i]), 3);
        if (d < best_distance) {
            best_distance = d;
            best = i;
        }
    }
    if (best != SIZE_MAX)
        r = fg_error_set(err, FG_E_NOT_FOUND, 0, "there is no plugin \"%s\"; did you mean \"%s\"?", name, names[best]);
    else
        r = fg_error_set(err, FG_E_NOT_FOUND, 0, "there is no plugin \"%s\" in %zu folder%s, the first being \"%s\"",
                         name, path->n, path->n == 1 ? "" : "s", path->n ? path->dirs[0] : "");
    fg_plugin_names_free(names, n);
    return fg_raise(r);
}

static int find_file(const struct fg_plugin_path *path, const char *name, char **ret, struct fg_error *err)
{
    char file[PATH_MAX];

    if (!name_is_sane(name))
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "\"%s\" is no plugin name: use a-z, 0-9 and '-'", name));
    for (size_t i = 0; i < path->n; i++) {
        int n = snprintf(file, sizeof(file), "%s/%s.so", path->dirs[i], name);
        if (n > 0 && (size_t)n < sizeof(file) && access(file, R_OK) == 0) {
            *ret = fg_strdup_slice(fg_slice_of(file));
            return 0;
        }
    }
    return not_found(path, name, err);
}

/* What each kind must bring, beside open and close. */
static const char *missing_callback(const struct fg_plugin *p)
{
    if (!p->open)
        return "open";
    if (!p->close)
        return "close";
    switch (p->kind) {
    case FG_KIND_SOURCE:
        if (!p->source)
            return "source";
        return !p->source->assign   ? "source.assign"
               : !p->source->revoke ? "source.revoke"
               : !p->source->pull   ? "source.pull"
               : !p->source->rewind ? "source.rewind"
               : !p->source->keys   ? "source.keys"
                                    : NULL;
    case FG_KIND_TRANSFORM:
        return !p->transform ? "transform" : !p->transform->apply ? "transform.apply" : NULL;
    case FG_KIND_SINK:
        return !p->sink ? "sink" : !p->sink->deliver ? "sink.deliver" : !p->sink->cancel ? "sink.cancel" : NULL;
    default:
        return !p->control ? "control" : p->control->n_routes && !p->control->routes ? "control.routes" : NULL;
    }
}

#define REFUSE(...) return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, __VA_ARGS__))

static int check_options(const struct fg_plugin *p, const char *name, struct fg_error *err)
{
    struct fg_error why = FG_ERROR_NULL;

    if (!p->options)
        return 0;
    if (p->config_size == 0)
        REFUSE("plugin \"%s\" has options but no config_size", name);
    if (fg_conf_table_check(p->options, &why) < 0)
        REFUSE("plugin \"%s\" has a bad option table: %.160s", name, why.text);
    return 0;
}

static int handshake(const struct fg_plugin *found, const char *name, struct fg_plugin *ret, struct fg_error *err)
{
    const char *missing;

    if (found->magic != FG_PLUGIN_MAGIC)
        REFUSE("\"%s.so\" is no fragua plugin: its magic is 0x%08x", name, found->magic);
    if (found->abi != FG_ABI)
        REFUSE("plugin \"%s\" was built for ABI %u, this is ABI %u: build it again", name, found->abi, FG_ABI);
    if (found->size < offsetof(struct fg_plugin, check))
        REFUSE("plugin \"%s\" has a descriptor of %u bytes, too small for ABI %u", name, found->size, FG_ABI);
    *ret = (struct fg_plugin){ .magic = 0 };
    memcpy(ret, found, found->size < sizeof(*ret) ? found->size : sizeof(*ret));
    if (ret->kind < FG_KIND_SOURCE || ret->kind >= _FG_KIND_END)
        REFUSE("plugin \"%s\" is of an unknown kind (%u)", name, ret->kind);
    if (!ret->name || strcmp(ret->name, name) != 0)
        REFUSE("plugin file \"%s.so\" says its name is \"%.64s\"", name, ret->name ? ret->name : "");
    if (!ret->version || !ret->summary)
        REFUSE("plugin \"%s\" lacks its version or summary", name);
    missing = missing_callback(ret);
    if (missing)
        REFUSE("plugin \"%s\" lacks the mandatory callback %s", name, missing);
    return check_options(ret, name, err);
}

static int check_pin(const char *name, const char *wanted, const char *found, struct fg_error *err)
{
    if (strlen(wanted) != FG_SHA256_HEX_SIZE - 1 || strspn(wanted, "0123456789abcdefABCDEF") != FG_SHA256_HEX_SIZE - 1)
        REFUSE("plugin \"%s\": `sha256` is 64 hex digits, as `sha256sum %s.so` prints", name, name);
    if (strcasecmp(wanted, found) != 0)
        REFUSE("plugin \"%s\" is another file than `sha256` says: it has %s", name, found);
    return 0;
}

int fg_plugin_load(const struct fg_plugin_path *path, const char *name, const char *sha256,
                   struct fg_plugin_file **ret, struct fg_error *err)
{
    struct fg_plugin_file *file;
    const struct fg_plugin *found;
    int r;

    file = fg_calloc(1, sizeof(*file));
    file->refs = 1;
    r = find_file(path, name, &file->path, err);
    if (r < 0)
        goto out;
    if (fg_sha256_file_hex(file->path, file->sha256) < 0) {
        r = fg_raise(fg_error_set(err, FG_E_NOT_FOUND, 0, "cannot read \"%s\": %s", file->path, fg_errno_text(errno)));
        goto out;
    }
    r = sha256 ? check_pin(name, sha256, file->sha256, err) : 0;
    if (r < 0)
        goto out;
    if (path->loading)
        path->loading(path->loading_arg, name);
    file->handle = dlopen(file->path, RTLD_NOW | RTLD_LOCAL);
    if (!file->handle) {
        r = fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "cannot load plugin \"%s\": %s", name, dlerror()));
        goto out;
    }
    found = dlsym(file->handle, "fragua_plugin");
    if (!found) {
        r = fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "\"%s\" exports no symbol fragua_plugin", file->path));
        goto out;
    }
    r = handshake(found, name, &file->plugin, err);
out:
    if (r < 0) {
        fg_plugin_file_unref(file);
        return fg_pass(r);
    }
    *ret = file;
    return 0;
}

struct fg_plugin_file *fg_plugin_file_ref(struct fg_plugin_file *file)
{
    file->refs++;
    return file;
}

struct fg_plugin_file *fg_plugin_file_unref(struct fg_plugin_file *file)
{
    if (!file || --file->refs > 0)
        return NULL;
#ifndef FG_SANITIZED
    if (file->handle)
        dlclose(file->handle);
#endif
    free(file->path);
    free(file);
    return NULL;
}
