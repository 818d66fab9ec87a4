/* SPDX-License-Identifier: Apache-2.0 */
/* What a folder remembers: each version once, across restarts, within its limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "memory.h"

#define SLOTS 64u

/* A memory and what is saved of it. */
struct bed {
    struct memory memory;
    char *slots[SLOTS]; /* owned; NULL: never written */
    size_t limit, n_written, bytes_written;
};

static void save(struct bed *bed)
{
    struct fg_buf text = FG_BUF_INIT(MEMORY_TEXT_MAX);
    uint32_t slot;

    memory_keep(&bed->memory, bed->limit);
    while (memory_save(&bed->memory, &slot, &text)) {
        assert_in_range(slot, 0, SLOTS - 1);
        assert_false(text.failed);
        assert_in_range(text.len, 0, 3000);
        free(bed->slots[slot]);
        bed->slots[slot] = calloc(1, text.len + 1);
        assert_non_null(bed->slots[slot]);
        if (text.len)
            memcpy(bed->slots[slot], text.data, text.len);
        bed->n_written++;
        bed->bytes_written += text.len;
    }
    fg_buf_deinit(&text);
}

/* As after a restart or a rewind: only what was saved counts. */
static void reload(struct bed *bed)
{
    memory_clear(&bed->memory);
    for (uint32_t i = SLOTS; i > 0; i--)
        if (bed->slots[i - 1])
            assert_true(memory_load(&bed->memory, i - 1, fg_slice_of(bed->slots[i - 1])));
    memory_settle(&bed->memory, bed->limit);
}

static void bed_end(struct bed *bed)
{
    memory_clear(&bed->memory);
    for (uint32_t i = 0; i < SLOTS; i++)
        free(bed->slots[i]);
}

static struct memory_marks item(unsigned mail, unsigned version)
{
    char id[32], key[32];

    (void)snprintf(id, sizeof(id), "mail-%u", mail);
    (void)snprintf(key, sizeof(key), "key-%u", version);
    return memory_marks_of(fg_slice_of(id), version ? fg_slice_of(key) : FG_SLICE_NULL, true);
}

static bool take(struct bed *bed, unsigned mail, unsigned version)
{
    return memory_take(&bed->memory, item(mail, version));
}

static void a_version_is_new_once(void **state)
{
    struct bed bed = { .limit = 1000 };

    (void)state;
    assert_true(take(&bed, 1, 1));
    assert_false(take(&bed, 1, 1)); /* within the page */
    assert_true(take(&bed, 1, 2));
    assert_true(take(&bed, 2, 1));
    save(&bed);
    assert_false(take(&bed, 1, 1));
    assert_false(take(&bed, 1, 2));
    assert_false(take(&bed, 2, 1));
    assert_true(take(&bed, 3, 1));
    memory_drop_pending(&bed.memory);
    assert_true(take(&bed, 3, 1));
    bed_end(&bed);
}

static void a_removal_is_new_once_and_again_after_the_mail_was_back(void **state)
{
    struct bed bed = { .limit = 1000 };

    (void)state;
    assert_true(take(&bed, 1, 1));
    for (unsigned version = 2; version < 700; version++) { /* over more than one chunk */
        assert_true(take(&bed, 1, 0));
        assert_false(take(&bed, 1, 0));
        save(&bed);
        assert_false(take(&bed, 1, 0));
        assert_false(take(&bed, 1, version - 1)); /* a repeat does not bring it back */
        assert_false(take(&bed, 1, 0));
        assert_true(take(&bed, 1, version));
        save(&bed);
        if (version % 50 == 0)
            reload(&bed);
    }
    assert_true(take(&bed, 2, 0)); /* never seen alive */
    bed_end(&bed);
}

static void what_was_not_saved_is_forgotten_by_a_rewind_and_nothing_else(void **state)
{
    struct bed bed = { .limit = 10000 };
    struct memory kept;

    (void)state;
    for (unsigned i = 0; i < 600; i++)
        assert_true(take(&bed, i, 1));
    save(&bed);
    for (unsigned i = 600; i < 900; i++)
        assert_true(take(&bed, i, 1));
    memory_keep(&bed.memory, bed.limit); /* on its way, aborted */
    assert_int_equal(memory_count(&bed.memory), 900);
    reload(&bed);
    kept = bed.memory;
    assert_int_equal(memory_count(&kept), 600);
    for (unsigned i = 0; i < 900; i++)
        assert_int_equal(take(&bed, i, 1), i >= 600);
    bed_end(&bed);
}

static void only_the_last_chunk_is_written_again(void **state)
{
    struct bed bed = { .limit = 65536 };

    (void)state;
    for (unsigned i = 0; i < 2048; i++) {
        assert_true(take(&bed, i, 1));
        save(&bed);
    }
    assert_int_equal(bed.n_written, 2048); /* one cursor a page */
    assert_in_range(bed.bytes_written / 2048, 1200, 1500); /* half a chunk in the mean */
    for (unsigned i = 2048; i < 3048; i++)
        assert_true(take(&bed, i, 1));
    bed.n_written = 0;
    save(&bed);
    assert_int_equal(bed.n_written, 4);
    bed_end(&bed);
}

static void beyond_the_limit_the_oldest_chunk_goes_and_its_slot_is_used_again(void **state)
{
    struct bed bed = { .limit = 1000 };

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        assert_true(take(&bed, i, 1));
        save(&bed);
        if (i % 777 == 0)
            reload(&bed);
        assert_false(take(&bed, i > 999 ? i - 999 : 0, 1));
    }
    assert_in_range(memory_count(&bed.memory), 1000, 1000 + MEMORY_CHUNK);
    assert_non_null(bed.slots[4]);
    assert_null(bed.slots[5]);
    bed.limit = 300; /* the option was changed */
    reload(&bed);
    assert_in_range(memory_count(&bed.memory), 300, 300 + 2 * MEMORY_CHUNK);
    assert_false(take(&bed, 9999, 1));
    assert_true(take(&bed, 10000, 1));
    save(&bed);
    assert_int_equal(strlen(bed.slots[0]) == 0, true);
    reload(&bed);
    assert_false(take(&bed, 10000, 1));
    bed_end(&bed);
}

static void a_page_larger_than_the_memory_ends_well(void **state)
{
    struct bed bed = { .limit = 1 };

    (void)state;
    for (unsigned i = 0; i < 5000; i++)
        assert_true(take(&bed, i, 1));
    save(&bed);
    assert_in_range(memory_count(&bed.memory), 1, 2 * MEMORY_CHUNK);
    assert_null(bed.slots[2]);
    reload(&bed);
    assert_false(take(&bed, 4999, 1));
    bed_end(&bed);
}

static void a_blanked_memory_leaves_empty_slots(void **state)
{
    struct bed bed = { .limit = 1000 };

    (void)state;
    for (unsigned i = 0; i < 600; i++)
        assert_true(take(&bed, i, 1));
    save(&bed);
    memory_blank(&bed.memory);
    assert_int_equal(memory_count(&bed.memory), 0);
    assert_true(take(&bed, 5, 1));
    save(&bed);
    reload(&bed);
    assert_int_equal(memory_count(&bed.memory), 1);
    assert_false(take(&bed, 5, 1));
    assert_true(take(&bed, 6, 1));
    bed_end(&bed);
}

static void texts_that_are_not_ours_are_left_alone(void **state)
{
    static const char *const bad[] = { "1", "1 ", "1 1", "1 1 ", "2 1 AAAAAAAAAAA", "1 0 AAAAAAAAAAA",
                                       "1 x AAAAAAAAAAA",
                                       "1 1 AAAAAAAAAA", "1 1 AAAAAAAAAAAA", "1 1 AAAAAAAAAA+", "1 1 AAAAAAAAAAB",
                                       "https://graph.example/" };
    struct memory m = { .n = 0 };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (memory_load(&m, 0, fg_slice_of(bad[i])))
            fail_msg("\"%s\" was taken", bad[i]);
    assert_int_equal(m.n, 0);
    assert_true(memory_load(&m, 0, fg_slice_of("1 9 AQAAAAAAAAA"))); /* the mark 1 */
    memory_settle(&m, 1000);
    assert_int_equal(memory_count(&m), 1);
    memory_clear(&m);
}

static void chunks_of_another_size_are_read(void **state)
{
    struct memory m = { .n = 0 };

    (void)state;
    assert_true(memory_load(&m, 1, fg_slice_of("1 2 EAAAAAAAAAA"))); /* 16 */
    assert_true(memory_load(&m, 0, fg_slice_of("1 1 DAAAAAAAAAAIAAAAAAAAAAQAAAAAAAAA"))); /* 12, 8, 4: not sorted */
    memory_settle(&m, 1000);
    for (uint64_t mark = 4; mark <= 16; mark += 4)
        assert_false(memory_take(&m, (struct memory_marks){ .version = mark, .fate = 1 }));
    assert_true(memory_take(&m, (struct memory_marks){ .version = 20, .fate = 1 }));
    memory_clear(&m);
}

static void marks_stay_the_same_for_ever(void **state)
{
    struct memory_marks m = memory_marks_of(fg_slice_of("AAMkAGI2"), fg_slice_of("CQAAABYA"), true);
    struct memory_marks bytes = memory_marks_of(fg_slice_of("AAMkAGI2"), fg_slice_of("CQAAABYA"), false);

    (void)state;
    assert_int_equal(m.version, UINT64_C(0x87ffda1aeca5c53c)); /* else an update would repeat every mail */
    assert_int_equal(m.fate, UINT64_C(0x4c08193550630ed));
    assert_int_equal(m.fate, bytes.fate);
    assert_int_not_equal(m.version, bytes.version);
}

/* Against a plain table of what was emitted, with restarts and rewinds in between. */
static void it_agrees_with_a_plain_table(void **state)
{
    enum { MAILS = 400, VERSIONS = 5 };
    static bool seen[MAILS][VERSIONS], saved[MAILS][VERSIONS], removed[MAILS], saved_removed[MAILS];
    struct bed bed = { .limit = 65536 };

    (void)state;
    srand(4711);
    for (unsigned round = 0; round < 4000; round++) {
        for (int i = rand() % 20; i > 0; i--) {
            unsigned mail = (unsigned)rand() % MAILS, version = (unsigned)rand() % VERSIONS;
            bool is_new = version ? !seen[mail][version] : !removed[mail];
            assert_int_equal(take(&bed, mail, version), is_new);
            if (version)
                seen[mail][version] = true;
            if (is_new)
                removed[mail] = version == 0;
        }
        if (rand() % 4) {
            save(&bed);
            memcpy(saved, seen, sizeof(seen));
            memcpy(saved_removed, removed, sizeof(removed));
        } else {
            if (rand() % 2)
                memory_keep(&bed.memory, bed.limit);
            reload(&bed);
            memcpy(seen, saved, sizeof(seen));
            memcpy(removed, saved_removed, sizeof(removed));
        }
    }
    bed_end(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_is_new_once),
        cmocka_unit_test(a_removal_is_new_once_and_again_after_the_mail_was_back),
        cmocka_unit_test(what_was_not_saved_is_forgotten_by_a_rewind_and_nothing_else),
        cmocka_unit_test(only_the_last_chunk_is_written_again),
        cmocka_unit_test(beyond_the_limit_the_oldest_chunk_goes_and_its_slot_is_used_again),
        cmocka_unit_test(a_page_larger_than_the_memory_ends_well),
        cmocka_unit_test(a_blanked_memory_leaves_empty_slots),
        cmocka_unit_test(texts_that_are_not_ours_are_left_alone),
        cmocka_unit_test(chunks_of_another_size_are_read),
        cmocka_unit_test(marks_stay_the_same_for_ever),
        cmocka_unit_test(it_agrees_with_a_plain_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
