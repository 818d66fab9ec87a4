/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the simulated Graph over its routes: sign-in, paging, links, faults, and mails that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <fragua/kit/json.h>

#include <fake-host.h>

extern const struct fg_plugin fragua_plugin;

#define FORM  "grant_type=client_credentials&client_id=sim&client_secret=s%26crt"
#define DELTA "/v1.0/users/{mailbox}/mailFolders/{folder}/messages/delta"
#define POST  "/sim/v1/mails/{mailbox}/{folder}"
#define ODD   "mailbox=a%22b%25@contoso.example&folder=in%2Fbox 1"

struct bed {
    struct fake_host *fake;
    void *self;
    char *config;
    struct fg_secret secret;
    char headers[256];
    struct fg_exchange *x; /* the last one */
    bool stopped;
};

static void stopped(void *arg)
{
    ((struct bed *)arg)->stopped = true;
}

static void *member(struct bed *bed, const char *key)
{
    const struct fg_option *o = fragua_plugin.options;

    while (o->key && strcmp(o->key, key) != 0)
        o++;
    assert_non_null(o->key);
    return bed->config + o->offset;
}

/* The answer's body; fails the test when the status is another one. */
static struct fg_slice ask(struct bed *bed, const char *method, const char *path, const char *params, const char *query,
                           const char *body, int status)
{
    const struct fg_control_ops *ops = fragua_plugin.control;
    size_t i = 0;

    while (i < ops->n_routes && (strcmp(ops->routes[i].method, method) || strcmp(ops->routes[i].path, path)))
        i++;
    assert_true(i < ops->n_routes);
    fake_exchange_free(bed->x);
    bed->x = fake_exchange_new(method, path, query, body);
    bed->x->params = params;
    bed->x->headers = bed->headers;
    ops->routes[i].handle(bed->self, bed->x);
    assert_int_equal(bed->x->status, status);
    return fg_buf_slice(&bed->x->answer);
}

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    struct fg_slice answer, token;

    assert_non_null(bed);
    bed->fake = fake_host_new();
    bed->config = calloc(1, fragua_plugin.config_size);
    assert_non_null(bed->config);
    bed->secret = (struct fg_secret){"s&crt"};
    *(const char **)member(bed, "client") = "sim";
    *(const struct fg_secret **)member(bed, "secret") = &bed->secret;
    *(int64_t *)member(bed, "initial") = -1;
    *(int64_t *)member(bed, "page") = 2;
    *(int64_t *)member(bed, "token-lifetime") = 3600000;
    assert_int_equal(fragua_plugin.open(&bed->fake->host, bed->config, &bed->self, NULL), 0);
    assert_int_equal(fragua_plugin.start(bed->self, NULL), 0);
    answer = ask(bed, "POST", "/{tenant}/oauth2/v2.0/token", "tenant=t", NULL, FORM, 200);
    token = fg_json_find(answer, "/access_token").raw;
    (void)snprintf(bed->headers, sizeof(bed->headers),
                   "Host: 127.0.0.1:9\nContent-Type: application/json\nAuthorization: Bearer %.*s\n",
                   (int)token.len - 2, token.ptr + 1);
    *state = bed;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;

    if (!bed->stopped)
        fragua_plugin.stop(bed->self, stopped, bed);
    assert_true(bed->stopped);
    fake_exchange_free(bed->x);
    fragua_plugin.close(bed->self);
    fake_host_free(bed->fake);
    free(bed->config);
    free(bed);
    return 0;
}

static void only_who_signs_in_is_let_in(void **state)
{
    struct bed *bed = *state;

    (void)ask(bed, "GET", "/v1.0/users", NULL, NULL, NULL, 200);
    fake_host_advance(bed->fake, 3600000);
    (void)ask(bed, "GET", "/v1.0/users", NULL, NULL, NULL, 401); /* the token has expired */
    bed->headers[0] = '\0';
    (void)ask(bed, "GET", "/v1.0/users", NULL, NULL, NULL, 401);
    (void)ask(bed, "POST", "/{tenant}/oauth2/v2.0/token", NULL, NULL, "grant_type=client_credentials&client_id=sim",
              401);
    (void)ask(bed, "POST", "/{tenant}/oauth2/v2.0/token", NULL, NULL, NULL, 401);
}

/* Follows nextLink until the deltaLink; returns how many changes came. */
static size_t sync(struct bed *bed, char *token, size_t size)
{
    size_t n = 0;

    for (;;) {
        struct fg_slice answer = ask(bed, "GET", DELTA, ODD, token, NULL, 200), change, link;
        struct fg_json_value one;
        size_t pos = 0;
        const char *prefix =
            "\"http://127.0.0.1:9/v1.0/users/a%22b%25@contoso.example/mailFolders/in%2Fbox%201/messages/delta?";
        bool more;

        assert_true(fg_json_valid(answer));
        while (fg_json_each(fg_json_find(answer, "/value"), &pos, &change, &one))
            n++;
        more = fg_json_find(answer, "/@odata.nextLink").kind == FG_JSON_STRING;
        link = fg_json_find(answer, more ? "/@odata.nextLink" : "/@odata.deltaLink").raw;
        assert_true(link.len > strlen(prefix));
        assert_memory_equal(link.ptr, prefix, strlen(prefix)); /* names are percent-encoded */
        (void)snprintf(token, size, "%.*s", (int)(link.len - strlen(prefix) - 1), link.ptr + strlen(prefix));
        if (!more)
            return n;
    }
}

static void pages_follow_each_other_and_changes_come_once(void **state)
{
    struct bed *bed = *state;
    char token[128] = "";

    (void)ask(bed, "GET", DELTA, ODD, NULL, NULL, 404);
    for (int i = 0; i < 5; i++) {
        char body[64];
        (void)snprintf(body, sizeof(body), "{\"id\":\"m%d\"}", i);
        (void)ask(bed, "POST", POST, ODD, NULL, body, 201);
    }
    assert_int_equal(sync(bed, token, sizeof(token)), 5);
    assert_int_equal(sync(bed, token, sizeof(token)), 0);
    (void)ask(bed, "POST", POST, ODD, NULL, "{\"id\":\"m1\",\"v\":2}", 201); /* an update */
    (void)ask(bed, "DELETE", "/sim/v1/mails/{id}", "id=m2", NULL, NULL, 200);
    (void)ask(bed, "DELETE", "/sim/v1/mails/{id}", "id=m2", NULL, NULL, 404);
    assert_int_equal(sync(bed, token, sizeof(token)), 2);
    assert_non_null(strstr(bed->x->answer.data, "{\"id\":\"m2\",\"@removed\":{\"reason\":\"deleted\"}}"));
    assert_non_null(strstr(bed->x->answer.data, "{\"id\":\"m1\",\"v\":2}"));
    (void)ask(bed, "GET", DELTA, ODD, "$deltatoken=999", NULL, 410);
    (void)ask(bed, "GET", DELTA, ODD, "$deltatoken=x", NULL, 410);
    (void)ask(bed, "GET", "/v1.0/users/{mailbox}/messages/{id}", "mailbox=a%22b%25@contoso.example&id=m1", NULL, NULL,
              200);
    (void)ask(bed, "GET", "/v1.0/users/{mailbox}/messages/{id}", "mailbox=a%22b%25@contoso.example&id=m2", NULL, NULL,
              404);
    (void)ask(bed, "GET", "/v1.0/users/{mailbox}", "mailbox=a%22b%25@contoso.example", NULL, NULL, 200);
    assert_true(fg_json_valid(fg_buf_slice(&bed->x->answer)));
    (void)ask(bed, "GET", "/v1.0/users/{mailbox}/mailFolders", "mailbox=a%22b%25@contoso.example", NULL, NULL, 200);
    assert_non_null(strstr(bed->x->answer.data, "\"in/box 1\""));
    (void)ask(bed, "POST", POST, ODD, NULL, "{}", 400);
}

static void faults_happen_when_they_are_asked_for(void **state)
{
    struct bed *bed = *state;

    (void)ask(bed, "POST", "/sim/v1/faults", NULL, NULL, "{\"call\":\"users\",\"status\":429,\"retry_after\":3}", 201);
    (void)ask(bed, "GET", "/v1.0/users", NULL, NULL, NULL, 429);
    assert_string_equal(bed->x->answer_headers.data, "Retry-After: 3\n");
    (void)ask(bed, "POST", "/sim/v1/faults", NULL, NULL, "{\"cut\":true}", 201);
    (void)ask(bed, "GET", "/v1.0/users", NULL, NULL, NULL, 200);
    assert_true(bed->x->aborted);
    (void)ask(bed, "POST", "/sim/v1/faults", NULL, NULL, "{\"garbage\":true}", 201);
    assert_false(fg_json_valid(ask(bed, "GET", "/v1.0/users", NULL, NULL, NULL, 200)));
    (void)ask(bed, "POST", "/sim/v1/faults", NULL, NULL, "{\"status\":1}", 400);
    (void)ask(bed, "POST", "/sim/v1/faults", NULL, NULL, "{}", 201);
    (void)ask(bed, "DELETE", "/sim/v1/faults", NULL, NULL, NULL, 200);
    (void)ask(bed, "GET", "/v1.0/users", NULL, NULL, NULL, 200);
    assert_true(fg_json_valid(ask(bed, "GET", "/sim/v1/state", NULL, NULL, NULL, 200)));
}

static void post_mails(struct bed *bed, int from, int to)
{
    for (int i = from; i < to; i++) {
        char body[64];
        (void)snprintf(body, sizeof(body), "{\"id\":\"m%d\"}", i);
        (void)ask(bed, "POST", POST, ODD, NULL, body, 201);
    }
}

static void fault(struct bed *bed, const char *json)
{
    (void)ask(bed, "POST", "/sim/v1/faults", NULL, NULL, json, 201);
}

static size_t times(const struct bed *bed, const char *text)
{
    size_t n = 0;

    for (const char *at = bed->x->answer.data; (at = strstr(at, text)); at++)
        n++;
    return n;
}

static void a_mail_that_comes_back_is_not_shown_as_removed_any_more(void **state)
{
    struct bed *bed = *state;
    char token[128] = "", anew[128] = "";

    post_mails(bed, 0, 1);
    assert_int_equal(sync(bed, token, sizeof(token)), 1);
    (void)ask(bed, "DELETE", "/sim/v1/mails/{id}", "id=m0", NULL, NULL, 200);
    assert_int_equal(sync(bed, token, sizeof(token)), 1);
    assert_int_equal(times(bed, "@removed"), 1);
    post_mails(bed, 0, 1);
    assert_int_equal(sync(bed, token, sizeof(token)), 1);
    assert_int_equal(times(bed, "@removed"), 0);
    assert_int_equal(sync(bed, anew, sizeof(anew)), 1);
    assert_int_equal(times(bed, "@removed"), 0);
}

static void repeats_come_in_the_page_from_earlier_ones_and_again(void **state)
{
    struct bed *bed = *state;
    char token[128] = "";

    post_mails(bed, 0, 4);
    (void)sync(bed, token, sizeof(token));
    post_mails(bed, 4, 6);
    fault(bed, "{\"duplicate\":true}");
    /* three of the past, two new ones twice, and the two under the next link */
    assert_int_equal(sync(bed, token, sizeof(token)), 3 + 2 + 2 + 2);
    assert_int_equal(sync(bed, token, sizeof(token)), 0);
    fault(bed, "{\"duplicate\":true,\"count\":1000000}");
    (void)ask(bed, "GET", DELTA, ODD, token, NULL, 200);
    assert_int_equal(times(bed, "\"m5\""), 1); /* a round without changes repeats the last of them */
    post_mails(bed, 6, 11);
    /* and comes to an end */
    assert_int_equal(sync(bed, token, sizeof(token)), 2 * (3 + 4) + 2 * (3 + 4) + 2 * (3 + 2));
}

static void expired_tokens_stay_expired_and_a_walk_from_the_start_goes_on(void **state)
{
    struct bed *bed = *state;
    static const int statuses[] = { 410, 410, 400, 410 };
    char token[128] = "", old[128], first[128] = "";

    post_mails(bed, 0, 3);
    (void)sync(bed, first, sizeof(first));
    (void)sync(bed, token, sizeof(token));
    (void)snprintf(old, sizeof(old), "%s", first);
    fault(bed, "{\"expire\":true}");
    for (size_t i = 0; i < 4; i++) {
        (void)ask(bed, "GET", DELTA, ODD, old, NULL, statuses[i]);
        assert_non_null(strstr(bed->x->answer.data, i % 2 ? "\"resync" : "yncStateNotFound\""));
        if (i % 2)
            assert_non_null(strstr(bed->x->answer_headers.data, "/messages/delta?$deltatoken=\n"));
    }
    (void)ask(bed, "GET", DELTA, ODD, token, NULL, 410); /* the folder's later ones too */
    (void)snprintf(token, sizeof(token), "%s", "$deltatoken=");
    assert_int_equal(sync(bed, token, sizeof(token)), 3);
    assert_int_equal(sync(bed, token, sizeof(token)), 0);
    fault(bed, "{\"expire\":\"all\",\"mailbox\":\"other@contoso.example\"}");
    assert_int_equal(sync(bed, token, sizeof(token)), 0);
    fault(bed, "{\"expire\":\"all\"}");
    (void)ask(bed, "GET", DELTA, ODD, token, NULL, 410);
}

static void a_slow_answer_comes_late_and_nobody_is_waited_for(void **state)
{
    struct bed *bed = *state;

    post_mails(bed, 0, 1);
    fault(bed, "{\"slow\":500,\"count\":3}");
    (void)ask(bed, "GET", DELTA, ODD, NULL, NULL, 0);
    fake_host_advance(bed->fake, 499);
    assert_int_equal(bed->x->status, 0);
    fake_host_advance(bed->fake, 1);
    assert_int_equal(bed->x->status, 200);
    assert_int_equal(times(bed, "\"m0\""), 1);
    (void)ask(bed, "GET", DELTA, ODD, NULL, NULL, 0);
    fake_exchange_go(bed->x);
    fake_host_advance(bed->fake, 1000);
    (void)ask(bed, "GET", DELTA, ODD, NULL, NULL, 0); /* cut by the stop */
    fragua_plugin.stop(bed->self, stopped, bed);
    assert_true(bed->x->aborted);
}

static void a_cut_answer_is_half_of_the_right_one(void **state)
{
    struct bed *bed = *state;
    struct fg_slice whole;
    char begin[200];
    size_t len;

    post_mails(bed, 0, 2);
    whole = ask(bed, "GET", DELTA, ODD, NULL, NULL, 200);
    len = whole.len;
    (void)snprintf(begin, sizeof(begin), "%.*s", FG_SLICE_ARG(whole));
    fault(bed, "{\"cut\":true,\"mailbox\":\"A\\\"b%@contoso.example\"}");
    (void)ask(bed, "GET", "/v1.0/users", NULL, NULL, NULL, 200);
    assert_false(bed->x->aborted);
    (void)ask(bed, "GET", DELTA, ODD, NULL, NULL, 200);
    assert_true(bed->x->aborted);
    assert_int_equal(bed->x->answer.len, len / 2);
    assert_memory_equal(bed->x->answer.data, begin, len / 2 < sizeof(begin) ? len / 2 : sizeof(begin) - 1);
}

static void made_up_mails_arrive_at_once(void **state)
{
    struct bed *bed = *state;

    (void)ask(bed, "POST", "/sim/v1/generate", NULL, NULL, "{\"mailboxes\":3,\"mails\":2}", 201);
    (void)ask(bed, "POST", "/sim/v1/generate", NULL, NULL, "{\"mailboxes\":1}", 400);
    (void)ask(bed, "GET", "/v1.0/users", NULL, NULL, NULL, 200);
    assert_int_equal(times(bed, "\"mail\":\"box"), 3);
    (void)ask(bed, "GET", DELTA, "mailbox=box2@contoso.example&folder=inbox", NULL, NULL, 200);
    assert_int_equal(times(bed, "\"changeKey\":\"1\""), 2);
    assert_int_equal(times(bed, "ledger box2@contoso.example conv-2-1 0\\n"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_who_signs_in_is_let_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pages_follow_each_other_and_changes_come_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(faults_happen_when_they_are_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mail_that_comes_back_is_not_shown_as_removed_any_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(repeats_come_in_the_page_from_earlier_ones_and_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(expired_tokens_stay_expired_and_a_walk_from_the_start_goes_on, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_slow_answer_comes_late_and_nobody_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(made_up_mails_arrive_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cut_answer_is_half_of_the_right_one, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
