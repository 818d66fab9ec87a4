/* SPDX-License-Identifier: Apache-2.0 */
/* What the contract promises beyond the ordinary: a sink that keeps the order of keys, a letter of a source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../../test/model/flow-rig.h"
#include "base/mem.h"
#include "base/str.h"

static const struct fg_slice mute = FG_SLICE(" mute"); /* what ends so is never answered in time */

#define KEYS    4u
#define RECORDS 80u

/* A sink that asks for the order of keys, fails at random, and looks whether it gets what it asked for. */
struct strict {
    struct rig rig;     /* first: what plugins get as self */
    bool busy[KEYS];    /* a record of the key is here */
    int64_t next[KEYS]; /* the number that the key's next record has */
    size_t n_here, most_here;
    unsigned percent;      /* of answers that are failures */
    unsigned n_fail;       /* so many answers first are */
    uint64_t silent_until; /* nobody is answered before */
    size_t n_cancelled;
};

struct visit {
    struct fg_list link; /* rig::sink_deliveries */
    struct strict *s;
    struct fg_delivery *delivery; /* NULL: cancelled */
    size_t n_left;
};

struct answer {
    struct visit *visit;
    size_t i;
};

static size_t key_of(const struct fg_record *record)
{
    return (size_t)(fg_record_view(record)->key.ptr[1] - '0');
}

static int64_t number_of(const struct fg_record *record)
{
    struct fg_slice head, tail;
    int64_t number = -1;

    assert_true(fg_slice_cut(fg_record_view(record)->value, '-', &head, &tail));
    (void)fg_slice_cut(tail, ' ', &tail, &head);
    assert_true(fg_parse_int(tail, &number));
    return number;
}

static void visit_over(struct visit *v)
{
    v->s->n_here--;
    fg_list_remove(&v->link);
    free(v);
}

static void answer_it(void *arg)
{
    struct answer *a = arg;
    struct visit *v = a->visit;
    struct strict *s = v->s;
    struct fg_delivery *d = v->delivery;
    bool last = --v->n_left == 0;

    if (d) {
        struct fg_record *record = fg_delivery_record(d, a->i);
        struct fg_error err = FG_ERROR_NULL;
        size_t key = key_of(record);
        s->busy[key] = false;
        if (s->rig.sim.now_ms < s->silent_until || fg_slice_ends(fg_record_view(record)->value, mute))
            fg_error_set(&err, FG_E_TIMEOUT, FG_ERROR_RETRIABLE, "no answer in time");
        else if (s->n_fail && s->n_fail--)
            fg_error_set(&err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "failed on this");
        else if (sim_random(&s->rig.sim, 100) < s->percent)
            fg_error_set(&err, sim_random(&s->rig.sim, 2) ? FG_E_PROTOCOL : FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE,
                         "not now");
        else
            assert_int_equal(number_of(record), s->next[key]++);
        fg_delivery_done(d, a->i, NULL, 0, err.code ? &err : NULL);
    }
    free(a);
    if (last)
        visit_over(v);
}

static void deliver(void *self, struct fg_delivery *delivery)
{
    struct strict *s = self;
    struct visit *v = fg_calloc(1, sizeof(*v));

    *v = (struct visit){.s = s, .delivery = delivery, .n_left = fg_delivery_count(delivery)};
    fg_list_append(&s->rig.sink_deliveries, &v->link);
    if (++s->n_here > s->most_here)
        s->most_here = s->n_here;
    for (size_t i = 0; i < fg_delivery_count(delivery); i++) {
        struct answer *a = fg_calloc(1, sizeof(*a));
        const struct fg_record *record = fg_delivery_record(delivery, i);
        assert_false(s->busy[key_of(record)]);
        assert_int_equal(number_of(record), s->next[key_of(record)]); /* none before it is still to come */
        s->busy[key_of(record)] = true;
        *a = (struct answer){v, i};
        sim_post(&s->rig.sim, 1 + sim_random(&s->rig.sim, 20), answer_it, a);
    }
}

static void cancel(void *self, struct fg_delivery *delivery)
{
    struct strict *s = self;

    for (struct fg_list *l = s->rig.sink_deliveries.next; l != &s->rig.sink_deliveries; l = l->next) {
        struct visit *v = fg_container_of(l, struct visit, link);
        if (v->delivery != delivery)
            continue;
        v->delivery = NULL;
        s->n_cancelled++;
        memset(s->busy, 0, sizeof(s->busy));
    }
}

static void limits(void *self, struct fg_sink_limits *ret)
{
    assert_false(ret->key_order); /* the default */
    ret->records_max = ((struct strict *)self)->rig.limits.records_max;
    ret->in_flight_max = 3;
    ret->key_order = true;
}

static const struct fg_sink_ops strict_ops = {.deliver = deliver, .cancel = cancel, .limits = limits};
static const struct fg_plugin strict_plugin = {.kind = FG_KIND_SINK, .name = "sink-strict", .sink = &strict_ops};

static void set_up(struct strict *s, uint64_t seed)
{
    memset(s, 0, sizeof(*s));
    rig_init(&s->rig, seed);
    rig_use_sink(&s->rig);
    s->rig.sink.ops = &strict_plugin;
    s->rig.sink_self[0] = s;
    s->rig.config.attempts = 100;
}

static bool all_came(void *arg)
{
    const struct strict *s = arg;

    for (size_t k = 0; k < KEYS; k++)
        if (s->next[k] < (int64_t)(RECORDS / KEYS))
            return false;
    return true;
}

static void a_sink_may_have_the_order_of_keys_kept_over_failures(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct strict s;

        set_up(&s, seed);
        s.percent = 10 * (unsigned)(seed % 4);
        s.rig.limits.records_max = 1 + seed % 3;
        rig_put_numbered(&s.rig, 0, RECORDS);
        rig_open(&s.rig);
        assert_true(sim_run_until(&s.rig.sim, 3600000, all_came, &s));
        sim_run_for(&s.rig.sim, 500);
        assert_true(s.most_here > 1); /* different keys at the same time */
        assert_int_equal(model_count(model_topic(&s.rig.bus, "dead", 1)), 0);
        rig_deinit(&s.rig);
    }
}

static void a_key_whose_record_is_given_up_goes_on(void **state)
{
    struct strict s;

    set_up(&s, 7);
    s.rig.config.attempts = 3;
    s.n_fail = 3;
    rig_put(&s.rig, "k0", "k0-0");
    rig_put(&s.rig, "k0", "k0-0"); /* in its place once it is given up */
    rig_open(&s.rig);
    assert_true(rig_until_count(&s.rig, "dead", 1, 60000));
    sim_run_for(&s.rig.sim, 1000);
    assert_int_equal(s.next[0], 1);
    assert_int_equal(model_count(model_topic(&s.rig.bus, "dead", 1)), 1);
    rig_deinit(&s.rig);
}

/* Those behind it with its key wait for it, so they cannot tell that it alone is to blame; another key did before. */
static void a_record_that_is_never_answered_holds_its_key_only_for_a_while(void **state)
{
    struct strict s;

    set_up(&s, 8);
    s.rig.config.attempts = 3;
    rig_put(&s.rig, "k0", "k0-0 mute");
    rig_put(&s.rig, "k0", "k0-0");
    rig_put(&s.rig, "k1", "k1-0");
    rig_open(&s.rig);
    assert_true(rig_until_count(&s.rig, "dead", 1, 600000));
    sim_run_for(&s.rig.sim, 1000);
    assert_int_equal(s.next[0], 1);
    assert_int_equal(s.next[1], 1);
    rig_deinit(&s.rig);
}

static void a_sink_that_is_silent_for_a_while_gives_up_nobody(void **state)
{
    struct strict s;

    set_up(&s, 9);
    s.rig.config.attempts = 2;
    s.silent_until = 20000;
    rig_put_numbered(&s.rig, 0, RECORDS);
    rig_open(&s.rig);
    assert_true(sim_run_until(&s.rig.sim, 3600000, all_came, &s));
    assert_int_equal(model_count(model_topic(&s.rig.bus, "dead", 1)), 0);
    rig_deinit(&s.rig);
}

/* ---- a source that gives up one of three ---- */

static void fill(struct rig *rig, struct fg_batch *batch)
{
    static const char *const values[] = {"one", "two", "three"};
    struct fg_error err = FG_ERROR_NULL;

    fg_error_set(&err, FG_E_LIMIT, 0, "it is too large");
    for (size_t i = 0; i < 3; i++) {
        struct fg_record_spec spec = {.view = {.key = FG_SLICE("a"), .value = fg_slice_of(values[i])}};
        struct fg_record *record = NULL;
        assert_int_equal(fg_record_new(&rig->budget, &spec, false, &record, NULL), 0);
        if (i == 1)
            fg_batch_dead(batch, record, &err);
        else
            fg_batch_add(batch, record);
    }
    fg_batch_cursor(batch, &(struct fg_cursor){fg_slice_of(rig->owners[0].key), FG_SLICE("3")});
    fg_batch_submit(batch);
}

static void go_on(void *self, const struct fg_cursor *cursors, size_t n)
{
    struct rig *rig = self;

    rig->owners[0].at = fg_slice_is(cursors[0].value, "3") ? 3 : 0;
    if (rig->fill)
        fg_batch_cancel(rig->fill, NULL);
    rig->fill = NULL;
}

static void revoke(void *self, const struct fg_slice *owners, size_t n)
{
}

static void pull(void *self, struct fg_batch *batch)
{
    struct rig *rig = self;

    if (rig->owners[0].at == 3) {
        rig->fill = batch; /* nothing more; rig_stop() gives it back */
        return;
    }
    rig->owners[0].at = 3;
    fill(rig, batch);
}

static void keys(void *self, fg_key_cb cb, void *arg)
{
    cb(arg, fg_slice_of(((struct rig *)self)->owners[0].key));
}

static const struct fg_source_ops three_ops = {
    .assign = go_on, .revoke = revoke, .pull = pull, .rewind = go_on, .keys = keys};
static const struct fg_plugin three_plugin = {.kind = FG_KIND_SOURCE, .name = "source-three", .source = &three_ops};

static void three(struct rig *rig, bool transform, bool sink)
{
    rig_init(rig, 3);
    rig_use_source(rig, 1, 0);
    if (transform)
        rig_use_transform(rig);
    if (sink)
        rig_use_sink(rig);
    rig->source.ops = &three_plugin;
    rig_open(rig);
}

static void a_source_may_give_up_a_record_which_no_stage_sees(void **state)
{
    for (unsigned with = 0; with < 4; with++) {
        const struct model_record *dead;
        struct rig rig;

        three(&rig, with & 1, with & 2);
        assert_true(rig_until_count(&rig, "out", 2, 20000));
        assert_true(rig_until_count(&rig, "dead", 1, 20000));
        dead = rig_seen(&rig, "dead", "a", 0);
        assert_true(fg_slice_is(dead->value, "two"));
        assert_true(fg_slice_is(rig_header(dead, "fragua_reason"), "it is too large"));
        assert_true(fg_slice_is(rig_header(dead, "fragua_code"), "limit"));
        assert_true(fg_slice_is(rig_header(dead, "fragua_stage"), "source"));
        assert_true(fg_slice_is(rig_header(dead, "fragua_origin"), rig.owners[0].key));
        sim_run_for(&rig.sim, 500);
        assert_int_equal(model_count(model_topic(&rig.bus, "out", 1)), 2);
        assert_int_equal(rig_status(&rig).records_dead, 1);
        assert_int_equal(rig_status(&rig).state, FG_PIPELINE_RUNNING);
        rig_deinit(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sink_may_have_the_order_of_keys_kept_over_failures),
        cmocka_unit_test(a_key_whose_record_is_given_up_goes_on),
        cmocka_unit_test(a_record_that_is_never_answered_holds_its_key_only_for_a_while),
        cmocka_unit_test(a_sink_that_is_silent_for_a_while_gives_up_nobody),
        cmocka_unit_test(a_source_may_give_up_a_record_which_no_stage_sees),
    };

    return cmocka_run_group_tests_name("flow contract", tests, NULL, NULL);
}
