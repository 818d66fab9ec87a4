/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether nobody but root can have had a hand in a plugin file: neither in it, nor in what stands at its path. The path
 * is walked name by name, through every link, because whoever can write to a folder on the way decides what is there.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "host/loader-private.h"

#define LINKS_MAX 40 /* as in the kernel */

struct walk {
    const char *name;        /* of the plugin */
    char done[PATH_MAX];     /* without links; "" is the root */
    char rest[PATH_MAX];     /* what comes after it */
    unsigned links;
    struct stat folder;      /* of done */
};

static int check_owner(const char *name, const char *what, const char *path, const struct stat *st,
                       struct fg_error *err)
{
    if (st->st_uid != 0)
        return REFUSAL("plugin \"%s\": its %s \"%s\" belongs to user %lu, and `plugins.owner` is root: chown root "
                       "\"%s\"",
                       name, what, path, (unsigned long)st->st_uid, path);
    if (!S_ISLNK(st->st_mode) && (st->st_mode & (S_IWGRP | S_IWOTH)))
        return REFUSAL("plugin \"%s\": its %s \"%s\" can be written by others than root, and `plugins.owner` is root: "
                       "chmod go-w \"%s\"",
                       name, what, path, path);
    return 0;
}

static int check_folder(struct walk *w, struct fg_error *err)
{
    const char *path = *w->done ? w->done : "/";
    struct stat st;

    if (lstat(path, &st) != 0)
        return REFUSAL("plugin \"%s\": cannot look at \"%s\": %s", w->name, path, fg_errno_text(errno));
    w->folder = st;
    if (st.st_mode & S_ISVTX) /* others cannot take away what is root's in it */
        st.st_mode &= ~(mode_t)(S_IWGRP | S_IWOTH);
    return fg_pass(check_owner(w->name, "folder", path, &st, err));
}

/* Puts a link's target before the rest of the path. */
static int follow(struct walk *w, const char *link, const struct stat *st, struct fg_error *err)
{
    char target[PATH_MAX], rest[PATH_MAX];
    ssize_t n = readlink(link, target, sizeof(target) - 1);
    int r = check_owner(w->name, "link", link, st, err);

    if (r < 0)
        return fg_pass(r);
    if (n <= 0 || ++w->links > LINKS_MAX)
        return REFUSAL("plugin \"%s\": cannot follow the link \"%s\"", w->name, link);
    target[n] = '\0';
    if (*target == '/')
        w->done[0] = '\0';
    if (snprintf(rest, sizeof(rest), "%s/%s", target, w->rest) >= (int)sizeof(rest))
        return REFUSAL("plugin \"%s\": the path behind \"%s\" is too long", w->name, link);
    memcpy(w->rest, rest, sizeof(rest));
    return 0;
}

/* Takes the next name off the rest. 0, or negative; the file itself is reached when nothing is left of it. */
static int step(struct walk *w, struct fg_error *err)
{
    char next[PATH_MAX];
    size_t skip = strspn(w->rest, "/"), n = strcspn(w->rest + skip, "/");
    char *slash = strrchr(w->done, '/');
    struct stat st;
    int r;

    if (snprintf(next, sizeof(next), "%s/%.*s", w->done, (int)n, w->rest + skip) >= (int)sizeof(next))
        return REFUSAL("plugin \"%s\": its path is too long", w->name);
    memmove(w->rest, w->rest + skip + n, strlen(w->rest + skip + n) + 1);
    if (n == 0 || strcmp(next + strlen(w->done), "/.") == 0)
        return 0;
    if (strcmp(next + strlen(w->done), "/..") == 0) {
        if (slash)
            *slash = '\0';
        return 0;
    }
    r = check_folder(w, err);
    if (r < 0)
        return fg_pass(r);
    if (lstat(next, &st) != 0)
        return REFUSAL("plugin \"%s\": cannot look at \"%s\": %s", w->name, next, fg_errno_text(errno));
    if (S_ISLNK(st.st_mode))
        return fg_pass(follow(w, next, &st, err));
    memcpy(w->done, next, sizeof(next));
    return 0;
}

/* In the file's own folder nobody else may write at all, sticky or not. */
static int check_own_folder(const struct walk *w, struct fg_error *err)
{
    const char *slash = strrchr(w->done, '/');
    char folder[PATH_MAX];

    (void)snprintf(folder, sizeof(folder), "%.*s", slash > w->done ? (int)(slash - w->done) : 1, slash ? w->done : "/");
    return fg_pass(check_owner(w->name, "folder", folder, &w->folder, err));
}

static int begin(struct walk *w, const char *path, struct fg_error *err)
{
    char here[PATH_MAX] = "";

    if (*path != '/' && !getcwd(here, sizeof(here)))
        return REFUSAL("plugin \"%s\": cannot tell the current folder: %s", w->name, fg_errno_text(errno));
    if (snprintf(w->rest, sizeof(w->rest), "%s/%s", here, path) >= (int)sizeof(w->rest))
        return REFUSAL("plugin \"%s\": its path is too long", w->name);
    return 0;
}

int fg_plugin_open_of_root(const char *path, const char *name, struct fg_error *err)
{
    struct walk w = { .name = name };
    struct stat st;
    int fd, r = begin(&w, path, err);

    while (r == 0 && w.rest[strspn(w.rest, "/")])
        r = step(&w, err);
    if (r == 0)
        r = check_own_folder(&w, err);
    if (r < 0)
        return fg_pass(r);
    fd = open(w.done, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0)
        r = fg_raise(fg_error_set(err, FG_E_NOT_FOUND, 0, "cannot read \"%s\": %s", path, fg_errno_text(errno)));
    else
        r = check_owner(name, "file", w.done, &st, err);
    if (r == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return fg_pass(r);
}
