/* SPDX-License-Identifier: Apache-2.0 */
/* Whether nobody but root can have had a hand in a plugin file: neither in it, nor in what stands at its path. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "host/loader-private.h"

#define REFUSE(...) return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, __VA_ARGS__))

static int check_owner(const char *name, const char *what, const char *path, const struct stat *st,
                       struct fg_error *err)
{
    if (st->st_uid != 0)
        REFUSE("plugin \"%s\": its %s \"%s\" belongs to user %lu, and `plugins.owner` is root: chown root \"%s\"", name,
               what, path, (unsigned long)st->st_uid, path);
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        REFUSE("plugin \"%s\": its %s \"%s\" can be written by others than root, and `plugins.owner` is root: "
               "chmod go-w \"%s\"", name, what, path, path);
    return 0;
}

/* Who may rename in a folder above puts another folder into its place; a sticky one lets only owners do so. */
static int check_folders(const char *name, char *path, struct fg_error *err)
{
    const char *what = "folder";
    bool own = true; /* the file's own folder */
    struct stat st;
    int r = 0;

    for (char *slash = strrchr(path, '/'); r == 0 && slash; slash = strrchr(path, '/')) {
        *slash = '\0';
        if (stat(*path ? path : "/", &st) != 0)
            REFUSE("plugin \"%s\": cannot look at \"%s\": %s", name, path, fg_errno_text(errno));
        if (!own && (st.st_mode & S_ISVTX))
            st.st_mode &= ~(mode_t)(S_IWGRP | S_IWOTH);
        r = check_owner(name, what, *path ? path : "/", &st, err);
        what = "outer folder";
        own = false;
    }
    return fg_pass(r);
}

int fg_plugin_open_of_root(const char *path, const char *name, struct fg_error *err)
{
    _cleanup_free_ char *real = realpath(path, NULL); /* links are followed first: their targets are what counts */
    struct stat st;
    int fd, r;

    fd = real ? open(real, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK) : -1;
    if (fd < 0 || fstat(fd, &st) != 0) {
        r = fg_raise(fg_error_set(err, FG_E_NOT_FOUND, 0, "cannot read \"%s\": %s", path, fg_errno_text(errno)));
    } else {
        r = check_owner(name, "file", real, &st, err);
        if (r == 0)
            r = check_folders(name, real, err);
    }
    if (r == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return fg_pass(r);
}
