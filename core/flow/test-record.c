/* SPDX-License-Identifier: Apache-2.0 */
/* Records: what is copied, what is lent, what is charged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "flow/record.h"

#define LIMIT ((size_t)1 << 20)

static size_t used(struct fg_budget *budget)
{
    return atomic_load(&budget->used);
}

static struct fg_record *make(struct fg_budget *budget, const struct fg_record_spec *spec)
{
    struct fg_error err = FG_ERROR_NULL;
    struct fg_record *record = NULL;
    assert_int_equal(fg_record_new(budget, spec, true, &record, &err), 0);
    return record;
}

static void copies_what_it_is_given(void **state)
{
    char key[] = "conversation", value[] = "hello", name[] = "ce_id", id[] = "42";
    struct fg_header headers[] = {{fg_slice_of(name), fg_slice_of(id)}, {fg_slice_of("empty"), FG_SLICE_NULL}};
    struct fg_record_spec spec = {.view = {.key = fg_slice_of(key),
                                           .value = fg_slice_of(value),
                                           .headers = headers,
                                           .n_headers = 2,
                                           .timestamp_ms = 77,
                                           .output = fg_slice_of("rows")}};
    const struct fg_record_view *v;
    struct fg_budget budget;
    struct fg_record *r;

    fg_budget_init(&budget, LIMIT);
    r = make(&budget, &spec);
    memset(key, 'x', sizeof(key) - 1);
    memset(value, 'x', sizeof(value) - 1);
    memset(name, 'x', sizeof(name) - 1);
    memset(id, 'x', sizeof(id) - 1);
    v = fg_record_view(r);
    assert_true(fg_slice_is(v->key, "conversation"));
    assert_true(fg_slice_is(v->value, "hello"));
    assert_true(fg_slice_is(v->output, "rows"));
    assert_int_equal(v->n_headers, 2);
    assert_true(fg_slice_is(v->headers[0].name, "ce_id"));
    assert_true(fg_slice_is(v->headers[0].value, "42"));
    assert_true(fg_slice_is(v->headers[1].name, "empty"));
    assert_int_equal(v->headers[1].value.len, 0);
    assert_int_equal(v->timestamp_ms, 77);
    assert_null(fg_record_origin(r));
    assert_null(fg_record_unref(r));
    assert_int_equal(used(&budget), 0);
}

static void refers_to_its_parents_bytes(void **state)
{
    char big[4096];
    struct fg_record_spec spec = {.view.value = fg_slice_make(memset(big, 'a', sizeof(big)), sizeof(big))};
    struct fg_record *parent, *child, *grandchild;
    struct fg_budget budget;
    size_t before;

    fg_budget_init(&budget, LIMIT);
    parent = make(&budget, &spec);
    before = used(&budget);
    spec.view.value = fg_slice_make(fg_record_view(parent)->value.ptr + 100, 3000);
    spec.view.key = fg_slice_of("own");
    spec.parent = parent;
    child = make(&budget, &spec);
    assert_true(used(&budget) - before < 1000); /* 3000 bytes are not charged twice */
    assert_ptr_equal(fg_record_view(child)->value.ptr, fg_record_view(parent)->value.ptr + 100);
    fg_record_unref(parent);
    spec.view.value = fg_slice_make(fg_record_view(child)->value.ptr + 5, 7);
    spec.parent = child;
    grandchild = make(&budget, &spec);
    fg_record_unref(child);
    assert_memory_equal(fg_record_view(grandchild)->value.ptr, "aaaaaaa", 7);
    fg_record_unref(grandchild);
    assert_int_equal(used(&budget), 0);
}

static void keeps_no_parent_that_it_does_not_use(void **state)
{
    char big[4096];
    struct fg_record_spec spec = {.view.value = fg_slice_make(memset(big, 'a', sizeof(big)), sizeof(big))};
    struct fg_record *parent, *child;
    struct fg_budget budget;

    fg_budget_init(&budget, LIMIT);
    parent = make(&budget, &spec);
    spec = (struct fg_record_spec){.view.value = fg_slice_of("small"), .parent = parent};
    child = make(&budget, &spec);
    fg_record_unref(parent);
    assert_true(used(&budget) < 1000);
    fg_record_unref(child);
    assert_int_equal(used(&budget), 0);
}

static void is_told_when_there_is_no_room(void **state)
{
    char big[4096];
    struct fg_record_spec spec = {.view.value = fg_slice_make(memset(big, 'a', sizeof(big)), sizeof(big))};
    struct fg_error err = FG_ERROR_NULL;
    struct fg_record *r = NULL;
    struct fg_budget budget;

    fg_budget_init(&budget, 2000);
    assert_int_equal(fg_record_new(&budget, &spec, false, &r, &err), -FG_E_NO_ROOM);
    assert_int_equal(err.code, FG_E_NO_ROOM);
    assert_true(err.retriable);
    assert_null(r);
    assert_int_equal(used(&budget), 0);
    assert_int_equal(fg_record_new(&budget, &spec, true, &r, &err), 0);
    assert_int_equal(used(&budget), fg_record_bytes(r));
    fg_record_unref(r);
}

static void refuses_absurd_sizes(void **state)
{
    struct fg_record_spec spec = {.view.value = {"x", SIZE_MAX - 10}};
    struct fg_error err = FG_ERROR_NULL;
    struct fg_record *r = NULL;
    struct fg_budget budget;

    fg_budget_init(&budget, LIMIT);
    assert_int_equal(fg_record_new(&budget, &spec, true, &r, &err), -FG_E_LIMIT);
    spec = (struct fg_record_spec){.view.n_headers = SIZE_MAX / 2};
    assert_int_equal(fg_record_new(&budget, &spec, true, &r, &err), -FG_E_LIMIT);
    assert_int_equal(used(&budget), 0);
}

static unsigned released;

static void release(struct fg_bus_message *message)
{
    released++;
    free(message);
}

static void takes_a_message_over(void **state)
{
    struct fg_bus_message *m = calloc(1, sizeof(*m));
    const struct fg_bus_position *origin;
    struct fg_budget budget;
    struct fg_record *r;

    assert_non_null(m);
    fg_budget_init(&budget, 1); /* it is here already: always charged */
    *m = (struct fg_bus_message){.topic = "mail",
                                 .partition = 3,
                                 .offset = 9,
                                 .timestamp_ms = 5,
                                 .key = FG_SLICE("k"),
                                 .value = FG_SLICE("v"),
                                 .release = release};
    released = 0;
    r = fg_record_from_message(&budget, m);
    assert_true(used(&budget) > 2);
    origin = fg_record_origin(r);
    assert_non_null(origin);
    assert_string_equal(origin->topic, "mail");
    assert_int_equal(origin->partition, 3);
    assert_int_equal(origin->offset, 9);
    assert_true(fg_slice_is(fg_record_view(r)->value, "v"));
    assert_ptr_equal(fg_record_ref(r), r);
    fg_record_unref(r);
    assert_int_equal(released, 0);
    fg_record_unref(r);
    assert_int_equal(released, 1);
    assert_int_equal(used(&budget), 0);
}

static void adopts_bytes_with_the_charge_made_for_them(void **state)
{
    struct fg_budget budget;
    struct fg_record *page, *part;
    struct fg_record_spec spec;
    char *bytes = malloc(1000);

    assert_non_null(bytes);
    memset(bytes, 'p', 1000);
    fg_budget_init(&budget, LIMIT);
    fg_budget_charge(&budget, 4096); /* what was expected to come, and did not */
    page = fg_record_adopt(&budget, bytes, 1000, 4096);
    assert_int_equal(used(&budget), 4096);
    assert_ptr_equal(fg_record_view(page)->value.ptr, bytes);
    spec = (struct fg_record_spec){.view.value = {bytes + 100, 800}, .parent = page};
    part = make(&budget, &spec);
    fg_record_unref(page);
    assert_true(used(&budget) >= 1000);
    assert_true(used(&budget) < 2000);
    assert_ptr_equal(fg_record_view(part)->value.ptr, bytes + 100);
    assert_true(fg_record_bytes(part) >= 800); /* its size, although its parent is charged for it */
    assert_true(used(&budget) < 2000);
    fg_record_unref(part);
    assert_int_equal(used(&budget), 0);
}

static void a_long_chain_of_parents_goes_without_recursion(void **state)
{
    struct fg_record_spec spec = {.view.value = FG_SLICE("chain")};
    struct fg_budget budget;
    struct fg_record *r;

    fg_budget_init(&budget, (size_t)1 << 30);
    r = make(&budget, &spec);
    for (int i = 0; i < 100000; i++) {
        struct fg_record *next;
        spec = (struct fg_record_spec){.view.value = fg_record_view(r)->value, .parent = r};
        next = make(&budget, &spec);
        fg_record_unref(r);
        r = next;
    }
    assert_true(fg_slice_is(fg_record_view(r)->value, "chain"));
    fg_record_unref(r);
    assert_int_equal(used(&budget), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_what_it_is_given),
        cmocka_unit_test(refers_to_its_parents_bytes),
        cmocka_unit_test(keeps_no_parent_that_it_does_not_use),
        cmocka_unit_test(is_told_when_there_is_no_room),
        cmocka_unit_test(refuses_absurd_sizes),
        cmocka_unit_test(takes_a_message_over),
        cmocka_unit_test(adopts_bytes_with_the_charge_made_for_them),
        cmocka_unit_test(a_long_chain_of_parents_goes_without_recursion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
