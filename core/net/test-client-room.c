/* SPDX-License-Identifier: Apache-2.0 */
/* Answers and the byte budget: charged, held back, let in, given up, handed on. */
#include "net/test-client-bed.h"

#define BIG 100000u /* of the peer's /big */

static struct fg_http_request input(void)
{
    struct fg_http_request req = request_to(NULL);

    req.body_max = 10 * BIG;
    return req;
}

/* An answer of @len bytes whose length nobody announces. */
static void set_raw(struct bed *bed, struct fg_buf *raw, size_t len)
{
    *raw = FG_BUF_INIT(1u << 20);
    fg_buf_add_str(raw, "HTTP/1.1 200 OK\r\n\r\n");
    while (len-- > 0)
        fg_buf_add_char(raw, 'x');
    bed->peer.raw = raw->data;
}

/* Runs the loop until that many transfers wait for room. */
static void wait_paused(struct bed *bed, size_t n)
{
    struct fg_http_client_depth depth = { 0 };

    while (depth.paused < n) {
        uv_run(&bed->loop, UV_RUN_ONCE);
        fg_http_client_depth(bed->client, &depth);
    }
    assert_int_equal(depth.paused, n);
    assert_true(fg_budget_used(&bed->budget) <= bed->budget.limit);
}

struct look {
    struct bed *bed;
    size_t calls, used;
};

static void look(void *arg, const struct fg_http_response *res, const struct fg_error *err)
{
    struct look *seen = arg;

    assert_null(err);
    assert_int_equal(res->body.len, BIG);
    if (fg_budget_used(&seen->bed->budget) > seen->used)
        seen->used = fg_budget_used(&seen->bed->budget);
    seen->calls++;
}

static struct fg_http_call *send_to(struct bed *bed, const char *path, fg_http_done_cb done, void *arg)
{
    struct fg_http_request req = input();
    struct fg_error err = FG_ERROR_NULL;
    char url[64];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", bed->peer.port, path);
    req.url = url;
    return fg_http_client_send(bed->client, &req, FG_SLICE_NULL, done, arg, &err);
}

static void an_answer_is_charged_until_it_was_looked_at(void **state)
{
    struct bed bed;
    struct look seen = { .bed = &bed };

    bed_start_within(&bed, 0, 0, 10 * BIG, 0);
    send_to(&bed, "/big", look, &seen);
    bed_wait(&bed, &seen.calls, 1);
    assert_true(seen.used > 2 * BIG); /* with what may become of it */
    assert_int_equal(fg_budget_used(&bed.budget), 0);
    bed_stop(&bed);
}

static void a_request_is_charged_while_its_body_is_lent(void **state)
{
    struct bed bed;
    struct seen seen = { 0 };
    struct fg_http_request req = input();
    struct fg_http_call *call;

    req.method = "POST";
    req.body = (struct fg_slice)FG_SLICE("0123456789");
    bed_start_within(&bed, 0, 0, 5, 0);
    call = bed_send(&bed, &req, "/ok", &seen);
    fg_http_client_must(call);
    assert_int_equal(fg_budget_used(&bed.budget), 10); /* it is there already, room or not */
    bed_wait(&bed, &seen.calls, 1);
    assert_int_equal(seen.status, 200);
    assert_int_equal(fg_budget_used(&bed.budget), 0);
    bed_send(&bed, &req, "/silent", &seen);
    assert_int_equal(fg_budget_used(&bed.budget), 10);
    bed_stop(&bed);
    assert_int_equal(fg_budget_used(&bed.budget), 0);
}

static void an_answer_waits_until_there_is_room(void **state)
{
    static const char *const paths[] = { "/big", "/raw" };

    for (size_t i = 0; i < 2; i++) {
        struct bed bed;
        struct seen seen = { 0 };
        struct fg_http_request req = input();
        struct fg_buf raw;

        req.timeout_ms = 400; /* the wait is none of the other side's time */
        bed_start_within(&bed, 0, 0, 10 * BIG, 0);
        set_raw(&bed, &raw, BIG);
        fg_budget_charge(&bed.budget, 9 * BIG);
        bed_send(&bed, &req, paths[i], &seen);
        wait_paused(&bed, 1);
        for (uint64_t until = uv_hrtime() + UINT64_C(600000000); uv_hrtime() < until;)
            uv_run(&bed.loop, UV_RUN_ONCE);
        assert_int_equal(seen.calls, 0);
        fg_budget_credit(&bed.budget, 9 * BIG);
        bed_wait(&bed, &seen.calls, 1);
        assert_int_equal(seen.status, 200);
        assert_int_equal(seen.body_len, BIG);
        assert_int_equal(fg_budget_used(&bed.budget), 0);
        fg_buf_deinit(&raw);
        bed_stop(&bed);
    }
}

static void an_answer_does_not_wait_for_ever(void **state)
{
    struct bed bed;
    struct seen seen = { 0 };
    struct fg_http_request req = input();

    bed_start_within(&bed, 0, 0, 10 * BIG, 100);
    fg_budget_charge(&bed.budget, 10 * BIG);
    bed_send(&bed, &req, "/big", &seen);
    bed_wait(&bed, &seen.calls, 1);
    assert_int_equal(seen.err.code, FG_E_NO_ROOM);
    assert_true(seen.err.retriable);
    assert_non_null(strstr(seen.err.text, "limits.memory"));
    assert_int_equal(fg_budget_used(&bed.budget), 10 * BIG);
    bed_stop(&bed);
}

static void one_that_can_never_fit_is_refused_and_the_next_comes_through(void **state)
{
    static const char *const paths[] = { "/big", "/raw" };

    for (size_t i = 0; i < 2; i++) {
        struct bed bed;
        struct seen seen = { 0 };
        struct fg_http_request req = input();
        struct fg_buf raw;

        bed_start_within(&bed, 0, 0, BIG * 4 / 3 - 2, 0);
        set_raw(&bed, &raw, BIG);
        bed_send(&bed, &req, paths[i], &seen);
        bed_wait(&bed, &seen.calls, 1);
        assert_int_equal(seen.err.code, FG_E_LIMIT);
        assert_false(seen.err.retriable);
        assert_non_null(strstr(seen.err.text, "limits.memory"));
        assert_int_equal(fg_budget_used(&bed.budget), 0);
        assert_int_equal(bed_get(&bed, "/ok").status, 200);
        fg_buf_deinit(&raw);
        bed_stop(&bed);
    }
}

static void the_largest_that_fits_comes_through_alone(void **state)
{
    struct bed bed;
    struct seen seen = { 0 };
    struct fg_http_request req = input();

    bed_start_within(&bed, 0, 0, BIG * 4 / 3 + 4, 0);
    bed_send(&bed, &req, "/big", &seen);
    bed_wait(&bed, &seen.calls, 1);
    assert_int_equal(seen.body_len, BIG);
    bed_stop(&bed);
}

/* Each holds half of the room and waits for the rest. */
static void of_halves_that_hold_each_other_up_the_first_goes_on(void **state)
{
    struct bed bed;
    struct seen seen[4] = { { 0 } };
    struct fg_http_request req = input();
    struct fg_buf raw;
    size_t whole = 0;

    bed_start_within(&bed, 0, 0, 3 * BIG, 0);
    set_raw(&bed, &raw, BIG);
    for (size_t i = 0; i < 4; i++)
        bed_send(&bed, &req, "/raw", &seen[i]);
    for (size_t i = 0; i < 4; i++)
        bed_wait(&bed, &seen[i].calls, 1);
    for (size_t i = 0; i < 4; i++) {
        whole += seen[i].status == 200;
        if (seen[i].status != 200) {
            assert_int_equal(seen[i].err.code, FG_E_NO_ROOM);
            assert_true(seen[i].err.retriable);
        }
    }
    assert_true(whole >= 1);
    assert_int_equal(fg_budget_used(&bed.budget), 0);
    fg_buf_deinit(&raw);
    bed_stop(&bed);
}

static void what_records_need_to_leave_comes_in_over_the_limit_one_at_a_time(void **state)
{
    struct bed bed;
    struct look seen = { .bed = &bed };

    bed_start_within(&bed, 0, 0, 10 * BIG, 0);
    fg_budget_charge(&bed.budget, 10 * BIG);
    for (size_t i = 0; i < 8; i++)
        fg_http_client_must(send_to(&bed, "/big", look, &seen));
    bed_wait(&bed, &seen.calls, 8);
    assert_int_equal(seen.used, 11 * BIG + 1);
    assert_int_equal(fg_budget_used(&bed.budget), 10 * BIG);
    bed_stop(&bed);
}

struct taker {
    size_t calls, len, charged;
    char *bytes;
    bool again;
};

static void take(void *arg, const struct fg_http_response *res, const struct fg_error *err)
{
    struct taker *taker = arg;
    size_t len, charged;

    assert_null(err);
    taker->bytes = fg_http_client_take_body(res, &taker->len, &taker->charged);
    taker->again = fg_http_client_take_body(res, &len, &charged) != NULL;
    assert_int_equal(charged, 0);
    taker->calls++;
}

static void a_body_goes_over_to_its_reader_with_its_charge(void **state)
{
    struct bed bed;
    struct taker taker = { 0 };

    bed_start_within(&bed, 0, 0, 10 * BIG, 0);
    send_to(&bed, "/big", take, &taker);
    bed_wait(&bed, &taker.calls, 1);
    assert_non_null(taker.bytes);
    assert_int_equal(taker.len, BIG);
    assert_false(taker.again);
    assert_true(taker.charged >= BIG);
    assert_int_equal(fg_budget_used(&bed.budget), taker.charged);
    assert_int_equal(bed_get(&bed, "/ok").status, 200); /* the call is used again */
    bed_stop(&bed);
    free(taker.bytes);
}

static void paused_ones_can_be_cancelled_and_closed(void **state)
{
    struct bed bed;
    struct seen seen[3] = { { 0 } };
    struct fg_http_request req = input();
    struct fg_http_call *first;

    bed_start_within(&bed, 0, 0, 10 * BIG, 0);
    fg_budget_charge(&bed.budget, 10 * BIG);
    first = bed_send(&bed, &req, "/big", &seen[0]);
    bed_send(&bed, &req, "/big", &seen[1]);
    bed_send(&bed, &req, "/big", &seen[2]);
    wait_paused(&bed, 3);
    fg_http_client_cancel(first);
    wait_paused(&bed, 2);
    bed_stop(&bed);
    assert_int_equal(seen[0].calls + seen[1].calls + seen[2].calls, 0);
    assert_int_equal(fg_budget_used(&bed.budget), 10 * BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_charged_until_it_was_looked_at),
        cmocka_unit_test(a_request_is_charged_while_its_body_is_lent),
        cmocka_unit_test(an_answer_waits_until_there_is_room),
        cmocka_unit_test(an_answer_does_not_wait_for_ever),
        cmocka_unit_test(one_that_can_never_fit_is_refused_and_the_next_comes_through),
        cmocka_unit_test(the_largest_that_fits_comes_through_alone),
        cmocka_unit_test(of_halves_that_hold_each_other_up_the_first_goes_on),
        cmocka_unit_test(what_records_need_to_leave_comes_in_over_the_limit_one_at_a_time),
        cmocka_unit_test(a_body_goes_over_to_its_reader_with_its_charge),
        cmocka_unit_test(paused_ones_can_be_cancelled_and_closed),
    };
    return cmocka_run_group_tests_name("net client room", tests, NULL, NULL);
}
