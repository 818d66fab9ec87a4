/* SPDX-License-Identifier: Apache-2.0 */
/* Events of folders, a quiet moment after them, and then hashes. */
#include "host/watch.h"

#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/mem.h"
#include "host/watch-private.h"

#define EVENTS_SIZE 16384u /* bytes of one read */
#define READS_MAX   64u    /* in one turn of the loop: more than a full queue of the kernel's default length */

#define PLACES (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
#define WRITES (IN_MODIFY | IN_CLOSE_WRITE)

/* A name in a folder that decides what a path holds. */
struct spot {
    int wd;
    size_t path; /* index of the entry */
    char *name;  /* owned; NULL: every certificate */
};

struct entry {
    char *path; /* owned */
    char seen[FG_SHA256_HEX_SIZE];
    bool dirty; /* something happened since it was looked at */
    bool moved; /* and it may lead elsewhere now */
    bool blind; /* events of it cannot be had */
    bool tell;
};

struct spots {
    struct spot *items; /* owned */
    size_t n;
};

struct fg_watch {
    struct fg_watch_config config;
    uv_poll_t poll;
    uv_timer_t settle, look;
    int fd, n_handles; /* fd -1: no inotify */
    struct entry *entries;
    size_t n_entries;
    struct spots spots; /* those of one entry stand together */
    size_t walking;     /* the entry that on_step() is about */
    uint64_t settle_by; /* loop's time; 0: nothing happened */
    bool warned, closing;
    fg_done_cb closed;
    void *closed_arg;
};

/* Said once for each time that it begins. */
static void warn_blind(struct fg_watch *watch, const char *what, int error)
{
    const char *raise = error == ENOSPC   ? " (raise fs.inotify.max_user_watches)"
                        : error == EMFILE ? " (raise fs.inotify.max_user_instances or the limit of open files)"
                                          : "";

    if (watch->warned)
        return;
    watch->warned = true;
    fg_logf(&watch->config.logger, FG_LOG_WARN,
            "cannot watch \"%s\" for changes: %s%s; its files are looked at every %llu ms instead", what,
            fg_errno_text(error), raise, (unsigned long long)watch->config.look_ms);
}

static void add_spot(struct spots *spots, int wd, size_t path, const char *name)
{
    for (size_t i = spots->n; i > 0 && spots->items[i - 1].path == path; i--) {
        const struct spot *other = &spots->items[i - 1];
        if (other->wd == wd && (name && other->name ? strcmp(name, other->name) == 0 : name == other->name))
            return;
    }
    spots->items = fg_grow(spots->items, spots->n, sizeof(*spots->items));
    spots->items[spots->n++] = (struct spot){ .wd = wd, .path = path, .name = fg_strdup(name) };
}

static void on_step(void *arg, const char *folder, const char *name, enum fg_watch_step step)
{
    struct fg_watch *watch = arg;
    uint32_t mask = PLACES | (step == FG_WATCH_PASSED ? 0u : (uint32_t)WRITES);
    int wd = inotify_add_watch(watch->fd, folder, mask | IN_MASK_ADD | IN_ONLYDIR | IN_DONT_FOLLOW);

    if (wd >= 0) {
        add_spot(&watch->spots, wd, watch->walking, name);
    } else if (errno == ENOSPC || (step != FG_WATCH_PASSED && errno != ENOENT && errno != ENOTDIR)) {
        /* a folder that is gone by now is an event of the one above; one above that may not be read is not needed */
        watch->entries[watch->walking].blind = true;
        warn_blind(watch, folder, errno);
    }
}

static void drop_watches(struct fg_watch *watch, struct spots *old)
{
    for (size_t i = 0; i < old->n; i++) {
        bool used = false;
        for (size_t k = 0; k < watch->spots.n && !used; k++)
            used = watch->spots.items[k].wd == old->items[i].wd;
        for (size_t k = 0; k < i && !used; k++)
            used = old->items[k].wd == old->items[i].wd;
        if (!used && watch->fd >= 0)
            (void)inotify_rm_watch(watch->fd, old->items[i].wd);
        free(old->items[i].name);
    }
    free(old->items);
    *old = (struct spots){ 0 };
}

static void walk(struct fg_watch *watch, size_t i)
{
    watch->walking = i;
    watch->entries[i].moved = false;
    watch->entries[i].blind = watch->fd < 0;
    if (watch->fd >= 0)
        fg_watch_walk(watch->entries[i].path, on_step, watch);
}

/* All that were moved are followed anew: the spots of the others stay. */
static void walk_moved(struct fg_watch *watch)
{
    struct spots old = watch->spots, gone = { 0 };
    bool any = false;

    for (size_t i = 0; i < watch->n_entries; i++)
        any |= watch->entries[i].moved;
    if (!any)
        return;
    watch->spots = (struct spots){ 0 };
    gone.items = fg_calloc(old.n + 1, sizeof(*gone.items));
    for (size_t i = 0, k = 0; i < watch->n_entries; i++) {
        bool moved = watch->entries[i].moved;
        if (moved)
            walk(watch, i);
        for (; k < old.n && old.items[k].path == i; k++) {
            if (!moved)
                add_spot(&watch->spots, old.items[k].wd, i, old.items[k].name);
            gone.items[gone.n++] = old.items[k];
        }
    }
    free(old.items);
    drop_watches(watch, &gone);
}

static void on_look(uv_timer_t *timer);

/* Looks from time to time exactly while there is one whose events cannot be had. */
static void set_look_timer(struct fg_watch *watch)
{
    bool blind = false;

    for (size_t i = 0; i < watch->n_entries; i++)
        blind |= watch->entries[i].blind;
    if (blind && !uv_is_active((uv_handle_t *)&watch->look))
        (void)uv_timer_start(&watch->look, on_look, watch->config.look_ms, watch->config.look_ms);
    if (blind || watch->fd < 0 || watch->n_entries == 0)
        return;
    uv_timer_stop(&watch->look);
    if (watch->warned)
        fg_logf(&watch->config.logger, FG_LOG_INFO, "all files can be watched for changes again");
    watch->warned = false;
}

static bool differs(const struct entry *entry, char ret_content[FG_SHA256_HEX_SIZE])
{
    fg_watch_content(entry->path, ret_content);
    return strcmp(ret_content, entry->seen) != 0;
}

static void tell(struct fg_watch *watch)
{
    for (size_t i = 0; i < watch->n_entries && !watch->closing;) {
        char *path;
        if (!watch->entries[i].tell) {
            i++;
            continue;
        }
        watch->entries[i].tell = false;
        path = fg_strdup(watch->entries[i].path);
        watch->config.changed(watch->config.arg, path);
        free(path);
        i = 0; /* there may be others now */
    }
}

static void look(struct fg_watch *watch)
{
    char content[FG_SHA256_HEX_SIZE];

    watch->settle_by = 0;
    walk_moved(watch);
    set_look_timer(watch);
    for (size_t i = 0; i < watch->n_entries; i++) {
        struct entry *entry = &watch->entries[i];
        if (!entry->dirty)
            continue;
        entry->dirty = false;
        if (!differs(entry, content))
            continue;
        memcpy(entry->seen, content, sizeof(content));
        entry->tell = true;
    }
    tell(watch);
}

static bool note(struct fg_watch *watch, const struct inotify_event *event)
{
    bool any = false;

    for (size_t i = 0; i < watch->spots.n; i++) {
        const struct spot *spot = &watch->spots.items[i];
        if (spot->wd != event->wd)
            continue;
        if (event->len && (spot->name ? strcmp(event->name, spot->name) != 0 : !fg_watch_is_certificate(event->name)))
            continue;
        watch->entries[spot->path].dirty = any = true;
        watch->entries[spot->path].moved |= (event->mask & ~(uint32_t)WRITES) != 0;
    }
    return any;
}

static bool note_all(struct fg_watch *watch)
{
    fg_logf(&watch->config.logger, FG_LOG_WARN,
            "more happened in watched folders than the kernel remembers (raise fs.inotify.max_queued_events): "
            "all files are looked at");
    for (size_t i = 0; i < watch->n_entries; i++)
        watch->entries[i].dirty = watch->entries[i].moved = true;
    return true;
}

/* Reads what happened; false: nothing that matters to a path. */
static bool read_events(struct fg_watch *watch)
{
    _Alignas(struct inotify_event) char buf[EVENTS_SIZE];
    bool any = false;

    for (size_t k = 0; k < READS_MAX && watch->fd >= 0; k++) {
        ssize_t n = read(watch->fd, buf, sizeof(buf));
        if (n <= 0)
            break;
        for (const char *at = buf; at < buf + n;) {
            const struct inotify_event *event = (const void *)at;
            any |= event->mask & IN_Q_OVERFLOW ? note_all(watch) : note(watch, event);
            at += sizeof(*event) + event->len;
        }
    }
    walk_moved(watch);
    return any;
}

static void on_settle(uv_timer_t *timer);

static void settle(struct fg_watch *watch)
{
    uint64_t now = uv_now(watch->config.loop), wait = watch->config.settle_ms;

    if (watch->settle_by == 0)
        watch->settle_by = now + FG_WATCH_SETTLES_MAX * wait;
    if (now + wait > watch->settle_by)
        wait = watch->settle_by > now ? watch->settle_by - now : 0;
    (void)uv_timer_start(&watch->settle, on_settle, wait, 0);
}

/* Timers run before sockets are looked at, so there may be events of this very moment. */
static void on_settle(uv_timer_t *timer)
{
    struct fg_watch *watch = timer->data;

    if (read_events(watch) && uv_now(watch->config.loop) < watch->settle_by)
        settle(watch);
    else
        look(watch);
}

static void on_events(uv_poll_t *poll, int status, int events)
{
    struct fg_watch *watch = poll->data;

    (void)status;
    (void)events;
    if (read_events(watch))
        settle(watch);
}

/* One that is found different is given its quiet moment too: it may be half written. */
static void on_look(uv_timer_t *timer)
{
    struct fg_watch *watch = timer->data;
    char content[FG_SHA256_HEX_SIZE];
    bool any = false;

    for (size_t i = 0; i < watch->n_entries; i++) {
        struct entry *entry = &watch->entries[i];
        entry->moved |= entry->blind; /* there may be room for a watch again */
        if (!entry->dirty && differs(entry, content))
            any = entry->dirty = true;
    }
    walk_moved(watch);
    set_look_timer(watch);
    if (any)
        settle(watch);
}

int fg_watch_new(const struct fg_watch_config *config, struct fg_watch **ret, struct fg_error *err)
{
    struct fg_watch *watch = fg_calloc(1, sizeof(*watch));
    int r;

    watch->config = *config;
    watch->config.look_ms = config->look_ms ? config->look_ms : FG_WATCH_LOOK_MS;
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0)
        warn_blind(watch, "all files", errno);
    else if ((r = uv_poll_init(config->loop, &watch->poll, watch->fd)) < 0) {
        (void)close(watch->fd);
        free(watch);
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "cannot watch files for changes: %s", uv_strerror(r)));
    }
    (void)uv_timer_init(config->loop, &watch->settle);
    (void)uv_timer_init(config->loop, &watch->look);
    watch->poll.data = watch->settle.data = watch->look.data = watch;
    watch->n_handles = 2;
    if (watch->fd >= 0) {
        watch->n_handles = 3;
        (void)uv_poll_start(&watch->poll, UV_READABLE, on_events);
    }
    *ret = watch;
    return 0;
}

void fg_watch_seen(struct fg_watch *watch)
{
    (void)read_events(watch);
    uv_timer_stop(&watch->settle);
    watch->settle_by = 0;
    set_look_timer(watch);
    for (size_t i = 0; i < watch->n_entries; i++) {
        watch->entries[i].dirty = watch->entries[i].tell = false;
        fg_watch_content(watch->entries[i].path, watch->entries[i].seen);
    }
}

/* The entry of this path, taken over from the old ones; NULL: it is among the new ones already. */
static struct entry *take_entry(struct fg_watch *watch, struct entry *old, size_t n_old, const char *path)
{
    struct entry *entry = &watch->entries[watch->n_entries];

    for (size_t i = 0; i < watch->n_entries; i++)
        if (strcmp(watch->entries[i].path, path) == 0)
            return NULL;
    watch->n_entries++;
    for (size_t i = 0; i < n_old; i++) {
        if (!old[i].path || strcmp(old[i].path, path) != 0)
            continue;
        *entry = old[i];
        old[i].path = NULL;
        return entry;
    }
    entry->path = fg_strdup(path);
    return entry;
}

void fg_watch_set(struct fg_watch *watch, const char *const *paths, size_t n)
{
    struct entry *old = watch->entries;
    struct spots old_spots = watch->spots;
    size_t n_old = watch->n_entries;

    watch->entries = fg_calloc(n + 1, sizeof(*watch->entries));
    watch->n_entries = 0;
    watch->spots = (struct spots){ 0 };
    for (size_t i = 0; i < n; i++) {
        struct entry *entry = take_entry(watch, old, n_old, paths[i]);
        if (!entry)
            continue;
        walk(watch, watch->n_entries - 1);
        if (!entry->seen[0])
            fg_watch_content(entry->path, entry->seen);
    }
    drop_watches(watch, &old_spots);
    set_look_timer(watch);
    for (size_t i = 0; i < n_old; i++)
        free(old[i].path);
    free(old);
}

void fg_watch_set_settle(struct fg_watch *watch, uint64_t settle_ms)
{
    watch->config.settle_ms = settle_ms;
}

static void on_closed(uv_handle_t *handle)
{
    struct fg_watch *watch = handle->data;
    fg_done_cb closed = watch->closed;
    void *arg = watch->closed_arg;

    if (--watch->n_handles > 0)
        return;
    if (watch->fd >= 0)
        (void)close(watch->fd);
    free(watch);
    closed(arg);
}

void fg_watch_close(struct fg_watch *watch, fg_done_cb closed, void *arg)
{
    if (!watch) {
        closed(arg);
        return;
    }
    fg_watch_set(watch, NULL, 0);
    free(watch->entries);
    watch->entries = NULL;
    watch->closing = true;
    watch->closed = closed;
    watch->closed_arg = arg;
    uv_close((uv_handle_t *)&watch->settle, on_closed);
    uv_close((uv_handle_t *)&watch->look, on_closed);
    if (watch->fd >= 0)
        uv_close((uv_handle_t *)&watch->poll, on_closed);
}
