/* SPDX-License-Identifier: Apache-2.0 */
/* Which files of a folder are certificates, and in which order. */
#include "base/pem.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/str.h"

bool fg_pem_is_name(const char *name)
{
    struct fg_slice s = fg_slice_of(name);

    return name[0] != '.' && (fg_slice_ends(s, fg_slice_of(".crt")) || fg_slice_ends(s, fg_slice_of(".pem")));
}

static int counts(const struct dirent *entry)
{
    return fg_pem_is_name(entry->d_name);
}

static int call_for(const char *what, const char *folder, const char *name, fg_pem_cb cb, void *arg,
                    struct fg_error *err)
{
    char path[4096]; /* PATH_MAX: no longer one can be opened */

    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return fg_raise(
            fg_error_set(err, FG_E_CONFIG, 0, "%s: the path of a file in the folder \"%s\" is too long", what, folder));
    return fg_pass(cb(arg, path, err));
}

static int each_in_folder(const char *what, const char *path, fg_pem_cb cb, void *arg, struct fg_error *err)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, counts, alphasort), r = 0;

    if (n < 0)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "%s: cannot read the folder \"%s\": %s", what, path,
                                     fg_errno_text(errno)));
    if (n == 0)
        r = fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "%s: no *.crt or *.pem in the folder \"%s\"", what, path));
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = call_for(what, path, entries[i]->d_name, cb, arg, err);
        free(entries[i]);
    }
    free(entries);
    return r;
}

int fg_pem_each(const char *what, const char *path, fg_pem_cb cb, void *arg, struct fg_error *err)
{
    struct stat st;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return fg_pass(each_in_folder(what, path, cb, arg, err));
    return fg_pass(cb(arg, path, err));
}
