/* SPDX-License-Identifier: Apache-2.0 */
/* Plugin files: finding, loading, and the handshake that keeps a wrong one out. */
#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/loader-private.h"

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
        r = fg_raise(
            fg_error_set(err, FG_E_NOT_FOUND, 0, "there is no plugin \"%s\"; did you mean \"%s\"?", name, names[best]));
    else
        r = fg_raise(fg_error_set(err, FG_E_NOT_FOUND, 0,
                                  "there is no plugin \"%s\" in %zu folder%s, the first being \"%s\"", name, path->n,
                                  path->n == 1 ? "" : "s", path->n ? path->dirs[0] : ""));
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

void fg_plugin_registry_init(struct fg_plugin_registry *registry)
{
    *registry = (struct fg_plugin_registry){ .round = 0 };
    fg_list_init(&registry->files);
}

void fg_plugin_registry_deinit(struct fg_plugin_registry *registry)
{
    while (registry->files.next && fg_list_pop(&registry->files))
        ;
}

void fg_plugin_registry_round(struct fg_plugin_registry *registry)
{
    if (registry)
        registry->round++;
}

/* A file that is loaded already; @sha256 NULL: and was read in this round. */
static struct fg_plugin_file *find_loaded(struct fg_plugin_registry *registry, const char *path, const char *sha256)
{
    if (!registry)
        return NULL;
    for (struct fg_list *it = registry->files.next; it != &registry->files; it = it->next) {
        struct fg_plugin_file *file = fg_container_of(it, struct fg_plugin_file, link);
        bool same = sha256 ? strcmp(file->sha256, sha256) == 0 : file->round == registry->round;
        if (same && strcmp(file->path, path) == 0)
            return file;
    }
    return NULL;
}

static int check_pin(const char *name, const char *wanted, const char *found, struct fg_error *err)
{
    if (strlen(wanted) != FG_SHA256_HEX_SIZE - 1 || strspn(wanted, "0123456789abcdefABCDEF") != FG_SHA256_HEX_SIZE - 1)
        return REFUSAL("plugin \"%s\": `sha256` is 64 hex digits, as `sha256sum %s.so` prints", name, name);
    if (strcasecmp(wanted, found) != 0)
        return REFUSAL("plugin \"%s\" is another file than `sha256` says: it has %s", name, found);
    return 0;
}

/* With the process's number, not "self": debuggers and profilers read the plugin there too. */
static void name_of_fd(int fd, char *ret, size_t size)
{
    char self[32];
    ssize_t n = readlink("/proc/self", self, sizeof(self) - 1);

    (void)snprintf(ret, size, "/proc/%.*s/fd/%d", n > 0 ? (int)n : 4, n > 0 ? self : "self", fd);
}

static int open_image(struct fg_plugin_file *file, const char *name, struct fg_error *err)
{
    char fd_name[64];
    const struct fg_plugin *found;

    name_of_fd(file->fd, fd_name, sizeof(fd_name));
    file->handle = dlopen(fd_name, RTLD_NOW | RTLD_LOCAL);
    if (!file->handle) {
        const char *why = dlerror();
        size_t n = strlen(fd_name);
        if (strncmp(why, fd_name, n) == 0 && strncmp(why + n, ": ", 2) == 0)
            return REFUSAL("cannot load plugin \"%s\": %s%s", name, file->path, why + n);
        return REFUSAL("cannot load plugin \"%s\": %s", name, why);
    }
    found = dlsym(file->handle, "fragua_plugin");
    if (!found)
        return REFUSAL("\"%s\" exports no symbol fragua_plugin", file->path);
    return fg_pass(fg_plugin_handshake(found, name, &file->plugin, err));
}

/* Loads the file at file->path, or finds that its content is loaded already: then *ret is that one. */
static int load(const struct fg_plugin_path *path, const char *name, const char *sha256, struct fg_plugin_file *file,
                struct fg_plugin_file **ret, struct fg_error *err)
{
    struct fg_plugin_image image;
    int r = fg_plugin_image_take(file->path, name, path->root_only, FG_IMAGE_ANY, &image, err);

    if (r < 0)
        return fg_pass(r);
    file->fd = image.fd;
    memcpy(file->sha256, image.sha256, sizeof(file->sha256));
    r = sha256 ? check_pin(name, sha256, file->sha256, err) : 0;
    *ret = r < 0 ? NULL : find_loaded(path->registry, file->path, file->sha256);
    if (r < 0)
        return fg_pass(r);
    if (path->loading)
        path->loading(path->loading_arg, name, file->path, file->sha256);
    if (*ret)
        return 0;
    r = open_image(file, name, err);
    if (r == 0 && path->registry)
        fg_list_append(&path->registry->files, &file->link);
    *ret = file;
    return fg_pass(r);
}

/* A file that was read in this round already. */
static int reuse(const struct fg_plugin_path *path, const char *name, const char *sha256,
                 const struct fg_plugin_file *file, struct fg_error *err)
{
    int r = sha256 ? check_pin(name, sha256, file->sha256, err) : 0;

    if (r == 0 && path->loading)
        path->loading(path->loading_arg, name, file->path, file->sha256);
    return fg_pass(r);
}

int fg_plugin_load(const struct fg_plugin_path *path, const char *name, const char *sha256,
                   struct fg_plugin_file **ret, struct fg_error *err)
{
    struct fg_plugin_file *file = fg_calloc(1, sizeof(*file)), *found = NULL;
    int r;

    file->refs = 1;
    file->fd = -1;
    r = find_file(path, name, &file->path, err);
    if (r == 0) {
        fg_assert(file->path);
        found = find_loaded(path->registry, file->path, NULL);
    }
    if (found)
        r = reuse(path, name, sha256, found, err);
    else if (r == 0)
        r = load(path, name, sha256, file, &found, err);
    if (r == 0) {
        fg_assert(found);
        found->round = path->registry ? path->registry->round : 0;
        *ret = fg_plugin_file_ref(found);
    }
    fg_plugin_file_unref(file);
    return fg_pass(r);
}

struct fg_plugin_file *fg_plugin_file_ref(struct fg_plugin_file *file)
{
    file->refs++;
    return file;
}

struct fg_plugin_file *fg_plugin_file_unref(struct fg_plugin_file *file)
{
    bool stays = false;

    if (!file || --file->refs > 0)
        return NULL;
    fg_list_remove(&file->link);
#ifdef FG_SANITIZED
    stays = file->handle;
#endif
    if (file->handle && !stays)
        dlclose(file->handle);
    if (file->fd >= 0 && !stays) /* the name may be given anew only when nothing runs under it */
        (void)close(file->fd);
    free(file->path);
    free(file);
    return NULL;
}
