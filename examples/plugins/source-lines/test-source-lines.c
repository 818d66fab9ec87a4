/* SPDX-License-Identifier: Apache-2.0 */
/* source-lines against a host in memory: cursors, no room, rewinding, revoking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fake-host.h>

extern const struct fg_plugin fragua_plugin;

/* As the option table fills it. */
static const char *const lines[] = { "one", "two", "three" };
static const struct fg_strings config = { lines, 3 };

static const struct fg_source_ops *ops(void)
{
    return fragua_plugin.source;
}

static void *open_it(struct fake_host *fake)
{
    void *self = NULL;

    assert_int_equal(fragua_plugin.open(&fake->host, &config, &self, NULL), 0);
    return self;
}

static void nothing(void *arg)
{
}

static void close_it(struct fake_host *fake, void *self)
{
    fragua_plugin.stop(self, nothing, NULL);
    fragua_plugin.close(self);
    fake_host_free(fake);
}

static struct fg_cursor cursor(const char *value)
{
    return (struct fg_cursor){ FG_SLICE("list/lines"), fg_slice_of(value) };
}

static void a_new_owner_gets_every_line_and_the_cursor_moves(void **state)
{
    struct fake_host *fake = fake_host_new();
    void *self = open_it(fake);
    struct fg_batch *batch = fake_batch_new(fake);
    struct fg_cursor start = cursor("");

    ops()->assign(self, &start, 1);
    ops()->pull(self, batch);
    assert_int_equal(batch->state, FAKE_BATCH_SUBMITTED);
    assert_int_equal(batch->n_records, 3);
    assert_true(fg_slice_is(fake->svc.record_view(batch->records[2])->value, "three"));
    assert_string_equal(fake_batch_cursor(batch, "list/lines"), "3");
    close_it(fake, self);
}

static void it_goes_on_from_its_cursor_and_keeps_an_empty_batch(void **state)
{
    struct fake_host *fake = fake_host_new();
    void *self = open_it(fake);
    struct fg_batch *rest = fake_batch_new(fake), *none = fake_batch_new(fake);
    struct fg_cursor at = cursor("2"), back = cursor("1");

    ops()->assign(self, &at, 1);
    ops()->pull(self, rest);
    assert_int_equal(rest->n_records, 1);
    ops()->pull(self, none);
    assert_int_equal(none->state, FAKE_BATCH_OPEN);
    ops()->rewind(self, &back, 1);
    assert_int_equal(none->state, FAKE_BATCH_CANCELLED);
    rest = fake_batch_new(fake);
    ops()->pull(self, rest);
    assert_int_equal(rest->n_records, 2);
    close_it(fake, self);
}

static void without_room_it_submits_what_it_has_and_cancels_nothing_made(void **state)
{
    struct fake_host *fake = fake_host_new();
    void *self = open_it(fake);
    struct fg_batch *some = fake_batch_new(fake), *none = fake_batch_new(fake);
    struct fg_cursor start = cursor("");

    ops()->assign(self, &start, 1);
    fake->records_left = 2;
    ops()->pull(self, some);
    assert_int_equal(some->state, FAKE_BATCH_SUBMITTED);
    assert_string_equal(fake_batch_cursor(some, "list/lines"), "2");
    ops()->pull(self, none);
    assert_int_equal(none->state, FAKE_BATCH_CANCELLED);
    assert_int_equal(none->n_records, 0);
    close_it(fake, self);
}

static void what_is_not_owned_is_not_sent(void **state)
{
    struct fake_host *fake = fake_host_new();
    void *self = open_it(fake);
    struct fg_batch *batch = fake_batch_new(fake);
    struct fg_slice owner = FG_SLICE("list");
    struct fg_cursor start = cursor("");

    ops()->pull(self, batch);
    assert_int_equal(batch->state, FAKE_BATCH_OPEN);
    ops()->assign(self, &start, 1);
    assert_int_equal(batch->state, FAKE_BATCH_CANCELLED);
    ops()->revoke(self, &owner, 1);
    batch = fake_batch_new(fake);
    ops()->pull(self, batch);
    assert_int_equal(batch->state, FAKE_BATCH_OPEN);
    close_it(fake, self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_owner_gets_every_line_and_the_cursor_moves),
        cmocka_unit_test(it_goes_on_from_its_cursor_and_keeps_an_empty_batch),
        cmocka_unit_test(without_room_it_submits_what_it_has_and_cancels_nothing_made),
        cmocka_unit_test(what_is_not_owned_is_not_sent),
    };

    return cmocka_run_group_tests_name("source-lines", tests, NULL, NULL);
}
