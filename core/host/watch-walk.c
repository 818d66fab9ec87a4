/* SPDX-License-Identifier: Apache-2.0 */
/* A path, name by name and link by link; and what stands at its end. */
#include "host/watch-private.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pem.h"
#include "base/str.h"
#include "host/watch.h"

#define LINKS_MAX   40 /* as the kernel's own limit */
#define LISTING_MAX (16u * 1024u * 1024u) /* bytes of names and hashes of one folder: about 150000 files */

struct walk {
    fg_watch_step_cb step;
    void *arg;
    char at[PATH_MAX];       /* a folder without links; "" is the root */
    char rest[2 * PATH_MAX]; /* names still to go */
    int links;
};

bool fg_watch_is_certificate(const char *name)
{
    return fg_pem_is_name(name);
}

static const char *folder(const struct walk *w)
{
    return w->at[0] ? w->at : "/";
}

/* Takes the first name off the rest; false: there is none, or it is too long to be one. */
static bool next_name(struct walk *w, char ret[NAME_MAX + 1])
{
    size_t skip = strspn(w->rest, "/"), len = strcspn(w->rest + skip, "/");

    if (len == 0 || len > NAME_MAX)
        return false;
    memcpy(ret, w->rest + skip, len);
    ret[len] = '\0';
    memmove(w->rest, w->rest + skip + len, strlen(w->rest + skip + len) + 1);
    return true;
}

static bool put_before(struct walk *w, const char *target)
{
    char rest[sizeof(w->rest)];
    int n = snprintf(rest, sizeof(rest), "%s/%s", target, w->rest);

    if (n < 0 || (size_t)n >= sizeof(rest) || ++w->links > LINKS_MAX)
        return false;
    memcpy(w->rest, rest, (size_t)n + 1);
    if (target[0] == '/')
        w->at[0] = '\0';
    return true;
}

/* Goes one name further; false: the way ends here. */
static bool go(struct walk *w, const char *name)
{
    char path[PATH_MAX + NAME_MAX + 2], target[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s", w->at, name);
    struct stat st;
    bool there;

    w->step(w->arg, folder(w), name, FG_WATCH_PASSED);
    there = lstat(path, &st) == 0;
    if (there && S_ISDIR(st.st_mode) && (size_t)n < sizeof(w->at)) {
        memcpy(w->at, path, (size_t)n + 1);
        return true;
    }
    w->step(w->arg, folder(w), name, FG_WATCH_DECIDES);
    if (there && S_ISLNK(st.st_mode)) {
        ssize_t len = readlink(path, target, sizeof(target) - 1);
        if (len <= 0)
            return false;
        target[len] = '\0';
        return put_before(w, target);
    }
    return false;
}

static bool walk(struct walk *w)
{
    char name[NAME_MAX + 1];

    while (next_name(w, name)) {
        if (strcmp(name, ".") == 0)
            continue;
        if (strcmp(name, "..") == 0) {
            char *slash = strrchr(w->at, '/');
            w->at[slash ? slash - w->at : 0] = '\0';
        } else if (!go(w, name)) {
            return false;
        }
    }
    return w->rest[strspn(w->rest, "/")] == '\0';
}

static bool begin(struct walk *w, const char *path)
{
    char here[PATH_MAX];
    int n;

    if (path[0] == '/')
        n = snprintf(w->rest, sizeof(w->rest), "%s", path);
    else if (getcwd(here, sizeof(here)))
        n = snprintf(w->rest, sizeof(w->rest), "%s/%s", here, path);
    else
        return false;
    return n > 0 && (size_t)n < sizeof(w->rest);
}

/* Links in a folder of certificates lead elsewhere: as in a mounted Secret, or in /etc/ssl/certs. */
static void walk_links(const char *path, fg_watch_step_cb step, void *arg)
{
    DIR *dir = opendir(path);

    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct walk w = { .step = step, .arg = arg };
        char link[PATH_MAX];
        int n = snprintf(link, sizeof(link), "%s/%s", path, entry->d_name);

        if ((entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) || !fg_watch_is_certificate(entry->d_name))
            continue;
        if (n > 0 && (size_t)n < sizeof(link) && begin(&w, link))
            (void)walk(&w);
    }
    (void)closedir(dir);
}

void fg_watch_walk(const char *path, fg_watch_step_cb step, void *arg)
{
    struct walk w = { .step = step, .arg = arg };

    if (!begin(&w, path) || !walk(&w))
        return;
    step(arg, folder(&w), NULL, FG_WATCH_FOLDER);
    walk_links(folder(&w), step, arg);
}

static void file_content(const char *path, const struct stat *st, char ret[FG_SHA256_HEX_SIZE])
{
    char text[128];
    int n;

    if (st->st_size > FG_WATCH_FILE_MAX) {
        n = snprintf(text, sizeof(text), "%lld %lld.%ld %lld.%ld", (long long)st->st_size,
                     (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec,
                     st->st_ctim.tv_nsec);
        fg_sha256_hex(fg_slice_make(text, (size_t)n), ret);
    } else if (fg_sha256_file_hex(path, ret) < 0) {
        (void)snprintf(ret, FG_SHA256_HEX_SIZE, "cannot be read: %d", errno);
    }
}

static int is_certificate(const struct dirent *entry)
{
    return fg_watch_is_certificate(entry->d_name);
}

static void folder_content(const char *path, char ret[FG_SHA256_HEX_SIZE])
{
    struct fg_buf listing = FG_BUF_INIT(LISTING_MAX);
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, is_certificate, alphasort);

    for (int i = 0; i < n; i++) {
        char file[PATH_MAX], content[FG_SHA256_HEX_SIZE] = "";
        struct stat st;
        int len = snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);

        if (len > 0 && (size_t)len < sizeof(file) && stat(file, &st) == 0 && S_ISREG(st.st_mode))
            file_content(file, &st, content);
        fg_buf_printf(&listing, "%s/%s\n", entries[i]->d_name, content);
        free(entries[i]);
    }
    free(entries);
    if (n < 0)
        (void)snprintf(ret, FG_SHA256_HEX_SIZE, "cannot be listed: %d", errno);
    else
        fg_sha256_hex(fg_buf_slice(&listing), ret);
    fg_buf_deinit(&listing);
}

void fg_watch_content(const char *path, char ret[FG_SHA256_HEX_SIZE])
{
    struct stat st;

    if (stat(path, &st) < 0)
        (void)snprintf(ret, FG_SHA256_HEX_SIZE, "not there: %d", errno);
    else if (S_ISDIR(st.st_mode))
        folder_content(path, ret);
    else if (S_ISREG(st.st_mode))
        file_content(path, &st, ret);
    else
        (void)snprintf(ret, FG_SHA256_HEX_SIZE, "no file and no folder");
}
