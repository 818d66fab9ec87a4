/* SPDX-License-Identifier: Apache-2.0 */
/* source-folder against a host in memory and a folder on disk: once, in order, and what changes under its hands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fake-host.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern const struct fg_plugin fragua_plugin;

#define KEYS 16u
#define HOUR 3600000

/* As the option table fills it. */
struct config {
    const char *folder;
    int64_t poll, settle, max_bytes;
};

struct bed {
    struct fake_host *fake;
    struct config config;
    void *self;
    char folder[64];
    struct fg_cursor cursors[KEYS]; /* owned texts: where it stands */
    size_t n_keys;
    bool stopped;
};

static const struct fg_source_ops *ops(void)
{
    return fragua_plugin.source;
}

static void key_named(void *arg, struct fg_slice key)
{
    struct bed *bed = arg;

    assert_true(bed->n_keys < KEYS);
    bed->cursors[bed->n_keys++] = (struct fg_cursor){ fg_slice_of(strndup(key.ptr, key.len)), FG_SLICE_NULL };
}

static void open_it(struct bed *bed)
{
    assert_int_equal(fragua_plugin.open(&bed->fake->host, &bed->config, &bed->self, NULL), 0);
    ops()->assign(bed->self, bed->cursors, KEYS);
}

static void stopped(void *arg)
{
    ((struct bed *)arg)->stopped = true;
}

static void close_it(struct bed *bed)
{
    bed->stopped = false;
    fragua_plugin.stop(bed->self, stopped, bed);
    fake_host_work(bed->fake);
    assert_true(bed->stopped);
    fragua_plugin.close(bed->self);
}

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    struct timespec now;

    assert_non_null(bed);
    (void)snprintf(bed->folder, sizeof(bed->folder), "/tmp/source-folder.XXXXXX");
    assert_non_null(mkdtemp(bed->folder));
    bed->config = (struct config){ bed->folder, 1000, 2000, 1000 };
    bed->fake = fake_host_new();
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    bed->fake->wall_ms = (int64_t)now.tv_sec * 1000 + HOUR; /* all that is there has settled */
    assert_int_equal(fragua_plugin.open(&bed->fake->host, &bed->config, &bed->self, NULL), 0);
    ops()->keys(bed->self, key_named, bed);
    assert_int_equal(bed->n_keys, KEYS);
    ops()->assign(bed->self, bed->cursors, KEYS);
    *state = bed;
    return 0;
}

static const char *path_of(const struct bed *bed, const char *name, char *buf, size_t size)
{
    (void)snprintf(buf, size, "%s/%s", bed->folder, name);
    return buf;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    char command[128];

    close_it(bed);
    fake_host_free(bed->fake);
    for (size_t i = 0; i < KEYS; i++) {
        free((char *)bed->cursors[i].key.ptr);
        free((char *)bed->cursors[i].value.ptr);
    }
    (void)snprintf(command, sizeof(command), "rm -rf %s", bed->folder);
    assert_int_equal(system(command), 0);
    free(bed);
    return 0;
}

/* @age_s: how long ago it was modified */
static void put(const struct bed *bed, const char *name, const char *text, int age_s)
{
    char path[512];
    int fd = open(path_of(bed, name, path, sizeof(path)), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 1700000000 - age_s } };

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(futimens(fd, times), 0);
    assert_int_equal(close(fd), 0);
}

static struct fg_batch *pull(struct bed *bed)
{
    struct fg_batch *batch = fake_batch_new(bed->fake);

    ops()->pull(bed->self, batch);
    fake_host_work(bed->fake);
    return batch;
}

/* As the host does once the batch is committed. */
static void keep_cursors(struct bed *bed, const struct fg_batch *batch)
{
    for (size_t i = 0; i < KEYS; i++) {
        const char *value = fake_batch_cursor(batch, bed->cursors[i].key.ptr);
        if (!value)
            continue;
        free((char *)bed->cursors[i].value.ptr);
        bed->cursors[i].value = fg_slice_of(strdup(value));
    }
}

static void expect(const struct bed *bed, const struct fg_batch *batch, size_t i, const char *name, const char *text)
{
    const struct fg_record_view *view;

    assert_int_equal(batch->state, FAKE_BATCH_SUBMITTED);
    assert_true(i < batch->n_records);
    view = bed->fake->svc.record_view(batch->records[i]);
    assert_true(fg_slice_is(view->key, name));
    assert_true(fg_slice_is(view->value, text));
}

static void each_file_is_a_record_once_oldest_first(void **state)
{
    struct bed *bed = *state;
    struct fg_batch *batch;
    char path[512];

    put(bed, "b", "second", 10);
    put(bed, "a", "third", 5);
    put(bed, "c", "first", 20);
    put(bed, ".d", "hidden", 0);
    assert_int_equal(mkdir(path_of(bed, "folder", path, sizeof(path)), 0700), 0);
    assert_int_equal(symlink("a", path_of(bed, "link", path, sizeof(path))), 0);
    batch = pull(bed);
    assert_int_equal(batch->n_records, 3);
    expect(bed, batch, 0, "c", "first");
    expect(bed, batch, 1, "b", "second");
    expect(bed, batch, 2, "a", "third");
    assert_string_equal(fake_record_header(batch->records[0], "file_name"), "c");
    assert_int_equal(strlen(fake_record_header(batch->records[0], "file_id")), 16);
    assert_true(bed->fake->svc.record_view(batch->records[0])->timestamp_ms == (1700000000 - 20) * INT64_C(1000));

    batch = pull(bed);
    fake_host_advance(bed->fake, 5000);
    assert_int_equal(batch->state, FAKE_BATCH_OPEN);
    put(bed, "b", "second, changed", 9);
    fake_host_advance(bed->fake, 5000);
    assert_int_equal(batch->n_records, 1);
    expect(bed, batch, 0, "b", "second, changed");
}

static void it_goes_on_from_its_cursors(void **state)
{
    struct bed *bed = *state;
    struct fg_batch *batch;
    char path[512];

    put(bed, "a", "1", 3);
    put(bed, "b", "2", 2);
    keep_cursors(bed, pull(bed));
    close_it(bed);
    assert_int_equal(unlink(path_of(bed, "a", path, sizeof(path))), 0);
    put(bed, "c", "3", 1);
    open_it(bed);
    batch = pull(bed);
    assert_int_equal(batch->n_records, 1);
    expect(bed, batch, 0, "c", "3");
}

static void a_file_that_is_still_written_waits(void **state)
{
    struct bed *bed = *state;
    struct fg_batch *batch;

    put(bed, "a", "half", 1000);
    bed->fake->wall_ms -= HOUR; /* as old as it says, but it was changed just now */
    batch = pull(bed);
    assert_int_equal(batch->state, FAKE_BATCH_OPEN);
    put(bed, "a", "whole", 1000);
    fake_host_advance(bed->fake, HOUR);
    expect(bed, batch, 0, "a", "whole");
}

static void a_name_that_is_not_utf8_stays_as_it_is_in_the_key(void **state)
{
    struct bed *bed = *state;
    struct fg_batch *batch;

    put(bed, "caf\xe9", "x", 1);
    batch = pull(bed);
    expect(bed, batch, 0, "caf\xe9", "x");
    assert_string_equal(fake_record_header(batch->records[0], "file_name"), "caf\xef\xbf\xbd");
}

static void a_file_that_is_too_large_is_a_dead_letter(void **state)
{
    struct bed *bed = *state;
    struct fg_batch *batch;

    put(bed, "large", "123456", 2);
    put(bed, "small", "12345", 1);
    bed->config.max_bytes = 5;
    batch = pull(bed);
    expect(bed, batch, 0, "small", "12345");
    assert_int_equal(batch->n_dead, 1);
    assert_int_equal(batch->dead[0].err.code, FG_E_LIMIT);
    assert_string_equal(batch->dead[0].err.text, "the file has 6 bytes, `max-bytes` lets 5 in");
    assert_true(fg_slice_is(bed->fake->svc.record_view(batch->dead[0].record)->key, "large"));
    assert_int_equal(pull(bed)->state, FAKE_BATCH_OPEN); /* once */
}

static void a_file_that_never_has_room_is_one_too(void **state)
{
    struct bed *bed = *state;
    struct fg_batch *batch;

    put(bed, "large", "123456", 2);
    bed->fake->value_max = 5;
    batch = pull(bed);
    assert_int_equal(batch->state, FAKE_BATCH_SUBMITTED);
    assert_int_equal(batch->n_records, 0);
    assert_int_equal(batch->n_dead, 1);
    assert_string_equal(batch->dead[0].err.text, "there is never room for it");
    assert_int_equal(bed->fake->svc.record_view(batch->dead[0].record)->value.len, 0);
}

static void put_many(const struct bed *bed, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%04u", i);
        put(bed, name, name, 1000 - (int)i);
    }
}

static void a_file_that_is_gone_or_changed_since_it_was_listed_is_passed_over(void **state)
{
    struct bed *bed = *state;
    struct fg_batch *batch;
    char path[512];

    put_many(bed, 103);
    assert_int_equal(pull(bed)->n_records, 100);
    assert_int_equal(unlink(path_of(bed, "0100", path, sizeof(path))), 0);
    put(bed, "0101", "changed", 0);
    batch = pull(bed);
    assert_int_equal(batch->n_records, 1);
    expect(bed, batch, 0, "0102", "0102");
    batch = pull(bed);
    assert_int_equal(batch->n_records, 1);
    expect(bed, batch, 0, "0101", "changed");
    assert_int_equal(bed->fake->n_troubles, 0);
}

static void without_room_it_submits_what_it_has_and_loses_nothing(void **state)
{
    struct bed *bed = *state;
    struct fg_batch *batch;

    put_many(bed, 3);
    bed->fake->records_left = 1;
    batch = pull(bed);
    assert_int_equal(batch->n_records, 1);
    expect(bed, batch, 0, "0000", "0000");
    assert_int_equal(pull(bed)->state, FAKE_BATCH_CANCELLED);
    bed->fake->records_left = UINT_MAX;
    batch = pull(bed);
    assert_int_equal(batch->n_records, 2);
    expect(bed, batch, 0, "0001", "0001");
}

static void a_rewind_while_it_reads_begins_anew(void **state)
{
    struct bed *bed = *state;
    struct fg_batch *first = fake_batch_new(bed->fake), *second = fake_batch_new(bed->fake);

    put_many(bed, 2);
    ops()->pull(bed->self, first);
    ops()->rewind(bed->self, bed->cursors, KEYS);
    assert_int_equal(first->state, FAKE_BATCH_CANCELLED);
    ops()->pull(bed->self, second);
    assert_int_equal(second->state, FAKE_BATCH_OPEN);
    fake_host_work(bed->fake);
    assert_int_equal(second->n_records, 2);
    ops()->rewind(bed->self, bed->cursors, KEYS); /* it did not count: none was committed */
    assert_int_equal(pull(bed)->n_records, 2);
}

static void what_was_revoked_is_not_read(void **state)
{
    struct bed *bed = *state;
    const struct fg_slice owner = FG_SLICE("folder");
    struct fg_batch *batch = fake_batch_new(bed->fake);

    put_many(bed, 2);
    ops()->pull(bed->self, batch);
    ops()->revoke(bed->self, &owner, 1);
    assert_int_equal(batch->state, FAKE_BATCH_CANCELLED);
    fake_host_work(bed->fake);
    batch = pull(bed);
    assert_int_equal(batch->state, FAKE_BATCH_OPEN);
    ops()->assign(bed->self, bed->cursors, KEYS);
    assert_int_equal(batch->state, FAKE_BATCH_CANCELLED);
    assert_int_equal(pull(bed)->n_records, 2);
}

static void a_stop_waits_for_the_worker(void **state)
{
    struct bed *bed = *state;

    put_many(bed, 2);
    ops()->pull(bed->self, fake_batch_new(bed->fake));
    fragua_plugin.stop(bed->self, stopped, bed);
    assert_false(bed->stopped);
    fake_host_work(bed->fake);
    assert_true(bed->stopped);
    fragua_plugin.close(bed->self);
    open_it(bed);
}

static void a_missing_folder_is_trouble_until_it_is_there(void **state)
{
    struct bed *bed = *state;
    struct fg_batch *batch;

    assert_int_equal(rmdir(bed->folder), 0);
    batch = pull(bed);
    assert_int_equal(bed->fake->trouble.code, FG_E_NOT_FOUND);
    assert_true(bed->fake->trouble.retriable);
    assert_non_null(strstr(bed->fake->trouble.text, bed->folder));
    assert_int_equal(mkdir(bed->folder, 0700), 0);
    put(bed, "a", "x", 1);
    fake_host_advance(bed->fake, 1000);
    expect(bed, batch, 0, "a", "x");
    assert_int_equal(bed->fake->trouble.code, FG_E_NONE);
}

#define SOMEBODY 65534u

/* Where root runs the test: another has the folder with its files, and is who asks. */
static void become_somebody(struct bed *bed)
{
    char command[128];

    if (geteuid() != 0)
        return;
    (void)snprintf(command, sizeof(command), "chown -R %u %s", SOMEBODY, bed->folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(seteuid(SOMEBODY), 0);
}

static void become_again(void)
{
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
}

static void a_file_that_may_not_be_read_is_trouble_and_holds_up_no_other(void **state)
{
    struct bed *bed = *state;
    struct fg_batch *batch;
    char path[512];

    put(bed, "a", "secret", 2);
    put(bed, "b", "open", 1);
    become_somebody(bed); /* root may read all */
    assert_int_equal(chmod(path_of(bed, "a", path, sizeof(path)), 0), 0);
    batch = pull(bed);
    assert_int_equal(batch->n_records, 1);
    expect(bed, batch, 0, "b", "open");
    assert_string_equal(bed->fake->trouble.text, "cannot read \"a\" of the folder: Permission denied");
    assert_int_equal(chmod(path, 0600), 0);
    batch = pull(bed);
    fake_host_advance(bed->fake, 1000);
    expect(bed, batch, 0, "a", "secret");
    assert_int_equal(bed->fake->trouble.code, FG_E_NONE);
    become_again();
}

static void a_cursor_of_somebody_else_stops_it(void **state)
{
    struct bed *bed = *state;
    struct fg_cursor odd = { bed->cursors[3].key, FG_SLICE("seven") };

    put_many(bed, 1);
    ops()->rewind(bed->self, &odd, 1);
    assert_true(bed->fake->trouble.fatal);
    assert_int_equal(pull(bed)->state, FAKE_BATCH_OPEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_file_is_a_record_once_oldest_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_goes_on_from_its_cursors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_still_written_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_that_is_not_utf8_stays_as_it_is_in_the_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_too_large_is_a_dead_letter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_never_has_room_is_one_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_gone_or_changed_since_it_was_listed_is_passed_over, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_room_it_submits_what_it_has_and_loses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rewind_while_it_reads_begins_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_revoked_is_not_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stop_waits_for_the_worker, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_folder_is_trouble_until_it_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_may_not_be_read_is_trouble_and_holds_up_no_other, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_cursor_of_somebody_else_stops_it, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("source-folder", tests, NULL, NULL);
}
