/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a text from outside may make the process read. Faults quote values, so a text that names any file it likes would
 * show that file to whoever may ask for a dry run: only files that the running configuration names already are read.
 */
#include <limits.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/str.h"
#include "host/reload-private.h"

/* As the loader finds it: relative to the folder of the pipeline file. false: there is no such file. */
static bool resolve(const char *origin, struct fg_slice path, char ret[PATH_MAX])
{
    const char *slash = strrchr(origin, '/');
    size_t folder = path.len && path.ptr[0] == '/' ? 0 : slash ? (size_t)(slash - origin) + 1 : 0;
    char joined[PATH_MAX];

    if (folder + path.len >= sizeof(joined) || memchr(path.ptr, '\0', path.len))
        return false;
    memcpy(joined, origin, folder);
    memcpy(joined + folder, path.ptr, path.len);
    joined[folder + path.len] = '\0';
    return realpath(joined, ret) != NULL;
}

static bool is_named(const struct fg_config *config, const char *path)
{
    const char *const *files;
    size_t n = fg_config_files(config, &files);
    char known[PATH_MAX];

    for (size_t i = 0; i < n; i++)
        if (realpath(files[i], known) && strcmp(known, path) == 0)
            return true;
    return false;
}

int fg_reload_dry_check(const struct fg_reload *reload, struct fg_slice text, struct fg_error *err)
{
    static const struct fg_slice begin = FG_SLICE("${file:");
    char path[PATH_MAX];
    ptrdiff_t at;

    while ((at = fg_slice_find(text, begin)) >= 0) {
        struct fg_slice rest = fg_slice_sub(text, (size_t)at + begin.len, text.len);
        ptrdiff_t end = fg_slice_find(rest, fg_slice_of("}"));
        struct fg_slice name = fg_slice_sub(rest, 0, end < 0 ? rest.len : (size_t)end);

        if (!resolve(reload->origin->path, name, path) || !is_named(reload->process->config, path))
            return fg_raise(fg_error_set(err, FG_E_CONFIG, 0,
                                         "`${file:%.*s}` is not read for a text from outside: the running "
                                         "configuration does not name this file. Try the text where the file is, by "
                                         "`fragua validate`",
                                         (int)(name.len < 100 ? name.len : 100), name.ptr));
        text = rest;
    }
    return 0;
}
