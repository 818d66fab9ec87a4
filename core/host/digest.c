/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that options name, each hashed once a load. */
#include "host/digest.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "host/watch-private.h"

void fg_digests_deinit(struct fg_digests *d)
{
    for (size_t i = 0; i < d->n; i++) {
        free(d->items[i]->path);
        free(d->items[i]);
    }
    for (size_t i = 0; i < d->n_files; i++)
        free(d->files[i]);
    free(d->items);
    free(d->files);
    *d = (struct fg_digests){ .n = 0 };
}

void fg_digests_add_file(struct fg_digests *d, const char *path)
{
    char here[PATH_MAX], whole[2 * PATH_MAX];
    int n = 0;

    while (strncmp(path, "./", 2) == 0)
        path += 2 + strspn(path + 2, "/");
    if (path[0] != '/' && getcwd(here, sizeof(here)))
        n = snprintf(whole, sizeof(whole), "%s/%s", here, path);
    d->files = fg_grow(d->files, d->n_files, sizeof(*d->files));
    d->files[d->n_files++] = fg_strdup_slice(fg_slice_of(n > 0 && (size_t)n < sizeof(whole) ? whole : path));
}

/* Where the path is or belongs. */
static size_t find(const struct fg_digests *d, const char *path, bool *ret_there)
{
    size_t low = 0, high = d->n;

    *ret_there = false;
    while (low < high && !*ret_there) {
        size_t middle = low + (high - low) / 2;
        int r = strcmp(path, d->items[middle]->path);
        *ret_there = r == 0;
        if (r > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return *ret_there ? high : low;
}

static void add_path(struct fg_digests *d, const char *path)
{
    struct fg_digest *new;
    bool there;
    size_t at = find(d, path, &there);

    if (there)
        return;
    new = fg_calloc(1, sizeof(*new));
    new->path = fg_strdup_slice(fg_slice_of(path));
    fg_watch_content(path, new->content);
    d->items = fg_grow(d->items, d->n, sizeof(struct fg_digest *));
    memmove(&d->items[at + 1], &d->items[at], (d->n - at) * sizeof(struct fg_digest *));
    d->items[at] = new;
    d->n++;
    fg_digests_add_file(d, path);
}

static void add_option(struct fg_digests *d, const struct fg_option *o, const void *member)
{
    const struct fg_groups *groups = member;
    const char *path;

    switch (o->type) {
    case FG_OPTION_PATH:
        path = *(const char *const *)member;
        if (path && path[0])
            add_path(d, path);
        break;
    case FG_OPTION_GROUP:
        if (*(const void *const *)member)
            fg_digests_add_options(d, o->members, *(const void *const *)member);
        break;
    case FG_OPTION_GROUPS:
        for (size_t i = 0; i < groups->len; i++)
            fg_digests_add_options(d, o->members, (const char *)groups->items + i * o->members_size);
        break;
    default:
        break;
    }
}

void fg_digests_add_options(struct fg_digests *d, const struct fg_option *table, const void *values)
{
    for (const struct fg_option *o = table; o->key; o++)
        add_option(d, o, (const char *)values + o->offset);
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void fg_digests_end(struct fg_digests *d)
{
    size_t kept = 0;

    if (d->n_files)
        qsort(d->files, d->n_files, sizeof(*d->files), compare_paths);
    for (size_t i = 0; i < d->n_files; i++) {
        if (kept && strcmp(d->files[kept - 1], d->files[i]) == 0)
            free(d->files[i]);
        else
            d->files[kept++] = d->files[i];
    }
    d->n_files = kept;
}

const char *fg_digests_content(const struct fg_digests *d, const char *path)
{
    bool there;
    size_t at = find(d, path, &there);

    return there ? d->items[at]->content : NULL;
}
