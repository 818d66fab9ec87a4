/* SPDX-License-Identifier: Apache-2.0 */
/* Files that change under a watch, on a real folder, in all the ways that editors, people and Kubernetes have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/watch.h"

#define SETTLE_MS  10
#define PATIENCE_S 10
#define TOLD_MAX   16

struct bed {
    uv_loop_t loop;
    uv_timer_t patience;
    struct fg_watch *watch;
    struct fg_log *log;
    int log_fd;
    char root[64], told[TOLD_MAX][64]; /* told: without the root */
    size_t n_told;
    bool closes, sets, late;
    int closed;
};

static const char *in(const struct bed *bed, const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", bed->root, name);
    return path;
}

static void put(const struct bed *bed, const char *name, const char *text)
{
    int fd = open(in(bed, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void make(const struct bed *bed, const char *folder)
{
    assert_int_equal(mkdir(in(bed, folder), 0700), 0);
}

static void move(const struct bed *bed, const char *from, const char *to)
{
    assert_int_equal(rename(in(bed, from), in(bed, to)), 0);
}

static void link_to(const struct bed *bed, const char *target, const char *name)
{
    assert_int_equal(symlink(target, in(bed, name)), 0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void wipe(const struct bed *bed, const char *name)
{
    assert_int_equal(nftw(in(bed, name), remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void on_late(uv_timer_t *timer)
{
    ((struct bed *)timer->data)->late = true;
}

static void note(void *arg)
{
    ++*(int *)arg;
}

static void set(struct bed *bed, const char *first, const char *second)
{
    const char *paths[2] = { in(bed, first), second ? in(bed, second) : NULL };

    fg_watch_set(bed->watch, paths, second ? 2 : 1);
}

static void on_changed(void *arg, const char *path)
{
    struct bed *bed = arg;

    assert_true(bed->n_told < TOLD_MAX);
    (void)snprintf(bed->told[bed->n_told++], sizeof(bed->told[0]), "%s", path + strlen(bed->root) + 1);
    if (bed->closes)
        fg_watch_close(bed->watch, note, &bed->closed);
    else if (bed->sets)
        set(bed, "b", "c");
}

/* Runs the loop until so many changes were told in all. */
static void await(struct bed *bed, size_t n)
{
    bed->late = false;
    uv_timer_start(&bed->patience, on_late, PATIENCE_S * 1000, 0);
    while (bed->n_told < n && !bed->late)
        uv_run(&bed->loop, UV_RUN_ONCE);
    uv_timer_stop(&bed->patience);
    assert_int_equal(bed->n_told, n);
}

static void expect(struct bed *bed, const char *path)
{
    await(bed, bed->n_told + 1);
    assert_string_equal(bed->told[bed->n_told - 1], path);
}

static void begin_watch(struct bed *bed, uint64_t settle_ms, uint64_t look_ms)
{
    struct fg_watch_config config = { .loop = &bed->loop, .settle_ms = settle_ms, .look_ms = look_ms,
                                      .changed = on_changed, .arg = bed, .logger = { .log = bed->log } };
    struct fg_error err = FG_ERROR_NULL;

    assert_int_equal(fg_watch_new(&config, &bed->watch, &err), 0);
}

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    (void)snprintf(bed->root, sizeof(bed->root), "/tmp/fragua-watch-XXXXXX");
    assert_non_null(mkdtemp(bed->root));
    assert_int_equal(uv_loop_init(&bed->loop), 0);
    uv_timer_init(&bed->loop, &bed->patience);
    bed->patience.data = bed;
    bed->log_fd = memfd_create("log", MFD_CLOEXEC);
    bed->log = fg_log_new(bed->log_fd, FG_LOG_LOGFMT, false, FG_LOG_DEBUG, &fg_clock_system);
    assert_non_null(bed->log);
    begin_watch(bed, SETTLE_MS, 0);
    *state = bed;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;

    if (!bed->closes)
        fg_watch_close(bed->watch, note, &bed->closed);
    uv_close((uv_handle_t *)&bed->patience, NULL);
    uv_run(&bed->loop, UV_RUN_DEFAULT);
    assert_int_equal(bed->closed, 1);
    assert_int_equal(uv_loop_close(&bed->loop), 0);
    fg_log_free(bed->log);
    close(bed->log_fd);
    assert_int_equal(nftw(bed->root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(bed);
    return 0;
}

static bool logged(const struct bed *bed, const char *text)
{
    char lines[8192];
    ssize_t n = pread(bed->log_fd, lines, sizeof(lines) - 1, 0);

    lines[n > 0 ? n : 0] = '\0';
    return strstr(lines, text) != NULL;
}

static void a_file_is_written_renamed_over_removed_and_made_again(void **state)
{
    struct bed *bed = *state;

    put(bed, "a", "1");
    set(bed, "a", NULL);
    put(bed, "a", "2");
    expect(bed, "a");
    put(bed, ".a.swp", "3");
    move(bed, ".a.swp", "a");
    expect(bed, "a");
    put(bed, "a", "4"); /* the new file is watched as the old one was */
    expect(bed, "a");
    wipe(bed, "a");
    expect(bed, "a");
    put(bed, "a", "4");
    expect(bed, "a");
}

static void what_is_the_same_in_the_end_is_not_told(void **state)
{
    struct bed *bed = *state;

    put(bed, "a", "same");
    put(bed, "marker", "1");
    set(bed, "a", "marker");
    put(bed, "a", "other");
    put(bed, "a", "same");
    put(bed, "new", "same");
    move(bed, "new", "a");
    assert_int_equal(utimensat(AT_FDCWD, in(bed, "a"), NULL, 0), 0);
    put(bed, "beside", "x");
    put(bed, "marker", "2");
    expect(bed, "marker");
    wipe(bed, "a");
    put(bed, "a", "same");
    put(bed, "marker", "3");
    expect(bed, "marker");
}

/* A mounted ConfigMap: file -> ..data/file, ..data -> ..1; an update makes ..2 and renames one link. */
static void a_mounted_config_map_is_swapped(void **state)
{
    struct bed *bed = *state;

    make(bed, "map");
    make(bed, "map/..1");
    put(bed, "map/..1/file", "one");
    put(bed, "map/..1/ca.crt", "one");
    link_to(bed, "..1", "map/..data");
    link_to(bed, "..data/file", "map/file");
    link_to(bed, "..data/ca.crt", "map/ca.crt");
    set(bed, "map/file", "map");
    for (int k = 2; k < 5; k++) {
        char dir[32], old[32], file[64];
        (void)snprintf(old, sizeof(old), "map/..%d", k - 1);
        (void)snprintf(dir, sizeof(dir), "map/..%d", k);
        make(bed, dir);
        (void)snprintf(file, sizeof(file), "%s/file", dir);
        put(bed, file, k == 2 ? "two" : "three");
        (void)snprintf(file, sizeof(file), "%s/ca.crt", dir);
        put(bed, file, k == 4 ? "two" : "one");
        link_to(bed, dir + 4, "map/..data_tmp");
        move(bed, "map/..data_tmp", "map/..data");
        wipe(bed, old);
        expect(bed, k == 4 ? "map" : "map/file"); /* only what differs */
    }
}

static void folders_go_and_come_back(void **state)
{
    struct bed *bed = *state;

    make(bed, "a");
    make(bed, "a/b");
    put(bed, "a/b/file", "1");
    set(bed, "a/b/file", NULL);
    wipe(bed, "a");
    expect(bed, "a/b/file");
    make(bed, "a");
    make(bed, "a/b");
    put(bed, "a/b/file", "2");
    expect(bed, "a/b/file");
    make(bed, "new");
    make(bed, "new/b");
    put(bed, "new/b/file", "3");
    move(bed, "a", "old"); /* the folder of the file moves with its parent and knows nothing of it */
    move(bed, "new", "a");
    expect(bed, "a/b/file");
    put(bed, "old/b/file", "4");
    put(bed, "a/b/file", "5");
    expect(bed, "a/b/file");
}

static void links_are_followed_one_by_one(void **state)
{
    struct bed *bed = *state;

    make(bed, "store");
    make(bed, "store/1");
    make(bed, "etc");
    put(bed, "store/1/key", "1");
    link_to(bed, "../store/current", "etc/live");
    link_to(bed, in(bed, "store/1"), "store/current");
    link_to(bed, "live/key", "etc/key");
    set(bed, "etc/key", NULL);
    put(bed, "store/1/key", "2");
    expect(bed, "etc/key");
    make(bed, "store/2");
    put(bed, "store/2/key", "3");
    link_to(bed, "2", "store/next");
    move(bed, "store/next", "store/current");
    expect(bed, "etc/key");
    put(bed, "store/2/key", "4");
    expect(bed, "etc/key");
    wipe(bed, "etc/key");
    link_to(bed, "key", "etc/key"); /* leads nowhere but to itself */
    expect(bed, "etc/key");
    put(bed, "etc/real", "5");
    link_to(bed, "real", "etc/better");
    move(bed, "etc/better", "etc/key");
    expect(bed, "etc/key");
}

static void a_folder_is_its_certificates(void **state)
{
    struct bed *bed = *state;

    make(bed, "ca");
    make(bed, "elsewhere");
    put(bed, "ca/a.crt", "1");
    put(bed, "marker", "1");
    set(bed, "ca", "marker");
    put(bed, "ca/README", "no certificate");
    put(bed, "marker", "2");
    expect(bed, "marker");
    put(bed, "ca/b.pem", "2");
    expect(bed, "ca");
    move(bed, "ca/b.pem", "ca/c.pem");
    expect(bed, "ca");
    put(bed, "elsewhere/d", "3");
    link_to(bed, "../elsewhere/d", "ca/d.crt");
    expect(bed, "ca");
    put(bed, "elsewhere/d", "4");
    expect(bed, "ca");
    wipe(bed, "ca/a.crt");
    expect(bed, "ca");
}

struct writer {
    struct bed *bed;
    uv_timer_t timer;
    unsigned n;
};

static void on_write(uv_timer_t *timer)
{
    struct writer *w = timer->data;
    char text[32];

    (void)snprintf(text, sizeof(text), "%u", ++w->n);
    put(w->bed, "a", text);
}

static void events_without_end_hold_nothing_up(void **state)
{
    struct bed *bed = *state;
    struct writer w = { .bed = bed };

    put(bed, "a", "0");
    set(bed, "a", NULL);
    uv_timer_init(&bed->loop, &w.timer);
    w.timer.data = &w;
    fg_watch_set_settle(bed->watch, 5 * SETTLE_MS);
    uv_timer_start(&w.timer, on_write, 0, 1); /* never quiet for so long, or hardly ever */
    await(bed, 3);
    uv_close((uv_handle_t *)&w.timer, NULL);
    uv_run(&bed->loop, UV_RUN_NOWAIT);
}

static void an_overflow_of_the_queue_loses_nothing(void **state)
{
    struct bed *bed = *state;
    char longest[32] = "";
    int fd = open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY | O_CLOEXEC);
    long n;

    if (fd < 0 || read(fd, longest, sizeof(longest) - 1) <= 0)
        skip();
    close(fd);
    n = strtol(longest, NULL, 10);
    if (n > 200000)
        skip();
    put(bed, "a", "1");
    set(bed, "a", NULL);
    for (long i = 0; i < n / 2 + 2; i++) {
        fd = open(in(bed, "other"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        close(fd);
        assert_int_equal(unlink(in(bed, "other")), 0);
    }
    put(bed, "a", "2");
    expect(bed, "a");
    assert_true(logged(bed, "fs.inotify.max_queued_events"));
    put(bed, "a", "3");
    expect(bed, "a");
}

static void what_was_seen_is_over_and_a_new_list_loses_nothing(void **state)
{
    struct bed *bed = *state;

    put(bed, "a", "1");
    put(bed, "b", "1");
    put(bed, "c", "1");
    set(bed, "a", "b");
    put(bed, "a", "2");
    fg_watch_seen(bed->watch); /* from here on the files are read */
    put(bed, "b", "2");        /* just after it was read */
    put(bed, "c", "2");
    set(bed, "b", "c");
    expect(bed, "b");
    put(bed, "a", "3");
    put(bed, "c", "3");
    expect(bed, "c");
    set(bed, "missing", "c");
    put(bed, "missing", "1");
    expect(bed, "missing");
}

static void all_may_be_asked_from_inside(void **state)
{
    struct bed *bed = *state;

    put(bed, "a", "1");
    put(bed, "b", "1");
    put(bed, "c", "1");
    set(bed, "a", "b");
    bed->sets = true;
    put(bed, "a", "2");
    put(bed, "b", "2");
    await(bed, 2);
    assert_string_equal(bed->told[0], "a");
    assert_string_equal(bed->told[1], "b"); /* it is in the new list too */
    bed->closes = true;
    put(bed, "b", "3");
    put(bed, "c", "3");
    await(bed, 3);
    uv_close((uv_handle_t *)&bed->patience, NULL);
    while (!bed->closed)
        uv_run(&bed->loop, UV_RUN_ONCE);
    assert_int_equal(bed->n_told, 3);
    uv_timer_init(&bed->loop, &bed->patience);
}

/* In a child with a user namespace of its own, whose limits are its own: 2: that is not allowed here. */
static int look_without(const char *limit, const char *value, const char *word)
{
    struct bed *bed;
    void *state;
    int fd;

    if (unshare(CLONE_NEWUSER) < 0 || (fd = open(limit, O_WRONLY | O_CLOEXEC)) < 0)
        return 2;
    if (write(fd, value, strlen(value)) <= 0)
        return 2;
    close(fd);
    (void)set_up(&state);
    bed = state;
    fg_watch_close(bed->watch, note, &bed->closed);
    while (!bed->closed)
        uv_run(&bed->loop, UV_RUN_ONCE);
    bed->closed = 0;
    begin_watch(bed, SETTLE_MS, 20);
    put(bed, "a", "1");
    set(bed, "a", NULL);
    if (!logged(bed, word))
        return 3;
    put(bed, "a", "2");
    expect(bed, "a");
    wipe(bed, "a");
    expect(bed, "a");
    (void)tear_down(&state);
    return 0;
}

static void in_a_child(const char *limit, const char *value, const char *word)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(look_without(limit, value, word));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 2)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void without_room_for_watches_it_looks_by_itself(void **state)
{
    (void)state;
    in_a_child("/proc/sys/user/max_inotify_watches", "1", "fs.inotify.max_user_watches");
}

static void without_inotify_it_looks_by_itself(void **state)
{
    (void)state;
    in_a_child("/proc/sys/user/max_inotify_instances", "0", "fs.inotify.max_user_instances");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_file_is_written_renamed_over_removed_and_made_again),
        CASE(what_is_the_same_in_the_end_is_not_told),
        CASE(a_mounted_config_map_is_swapped),
        CASE(folders_go_and_come_back),
        CASE(links_are_followed_one_by_one),
        CASE(a_folder_is_its_certificates),
        CASE(events_without_end_hold_nothing_up),
        CASE(an_overflow_of_the_queue_loses_nothing),
        CASE(what_was_seen_is_over_and_a_new_list_loses_nothing),
        CASE(all_may_be_asked_from_inside),
        cmocka_unit_test(without_room_for_watches_it_looks_by_itself),
        cmocka_unit_test(without_inotify_it_looks_by_itself),
    };

    return cmocka_run_group_tests_name("host watch", tests, NULL, NULL);
}
