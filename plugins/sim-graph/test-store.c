/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the simulated mailboxes: arrival, changes, deletion, scanning, and the faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/sha.h>

#include <fragua/kit/json.h>

#include "faults.h"
#include "generate.h"
#include "store.h"

#define S(text) ((struct fg_slice)FG_SLICE(text))

static void add(struct store *s, const char *folder, const char *file)
{
    assert_int_equal(
        store_add(s, S("info@contoso.example"), fg_slice_of(folder), file, S("Subject: x\n\ny"), false, NULL), 0);
}

static const struct folder *inbox(const struct store *s)
{
    const struct folder *f = store_folder(s, S("INFO@contoso.example"), S("Inbox"));

    assert_non_null(f);
    return f;
}

static void mails_arrive_by_file_name(void **state)
{
    struct store s = {.mails = NULL};
    const struct mail *m;

    (void)state;
    add(&s, "inbox", "3.eml");
    add(&s, "inbox", "1.eml");
    add(&s, "sent", "2.eml");
    assert_null(store_after(&s, inbox(&s), 0));
    assert_int_equal(store_arrive(&s, 2), 2);
    m = store_after(&s, inbox(&s), 0);
    assert_string_equal(m->file, "1.eml");
    assert_null(store_after(&s, inbox(&s), m->seq));
    add(&s, "inbox", "0.eml");
    assert_int_equal(store_arrive(&s, SIZE_MAX), 2);
    m = store_after(&s, inbox(&s), m->seq);
    assert_string_equal(m->file, "0.eml");
    m = store_after(&s, inbox(&s), m->seq);
    assert_string_equal(m->file, "3.eml");
    assert_int_equal(store_arrive(&s, 1), 0);
    assert_int_equal(s.arrived, 4);
    store_deinit(&s);
}

static void a_change_moves_a_mail_to_the_end(void **state)
{
    struct store s = {.mails = NULL};
    const struct mail *m;
    char id[64];

    (void)state;
    add(&s, "inbox", "1.eml");
    add(&s, "inbox", "2.eml");
    (void)store_arrive(&s, SIZE_MAX);
    (void)snprintf(id, sizeof(id), "%s", store_after(&s, inbox(&s), 0)->id);
    assert_non_null(store_find(&s, S("Info@Contoso.example"), fg_slice_of(id)));
    assert_null(store_find(&s, S("x"), fg_slice_of(id)));
    assert_true(store_delete(&s, fg_slice_of(id)));
    assert_false(store_delete(&s, fg_slice_of(id)));
    assert_null(store_find(&s, FG_SLICE_NULL, fg_slice_of(id)));
    m = store_after(&s, inbox(&s), 0);
    assert_string_equal(m->file, "2.eml");
    m = store_after(&s, inbox(&s), m->seq);
    assert_true(m->deleted);
    assert_null(store_after(&s, inbox(&s), m->seq));
    store_deinit(&s);
}

static void a_message_resource_is_taken_as_it_is_and_replaced_by_its_id(void **state)
{
    struct store s = {.mails = NULL};
    struct fg_error err = FG_ERROR_NULL;
    const struct mail *m;

    (void)state;
    assert_int_equal(
        store_post(&s, S("info@contoso.example"), S("inbox"), S("{\"id\":\"a\\u0062\",\"v\":1}"), true, &err), 0);
    assert_int_equal(store_post(&s, S("info@contoso.example"), S("inbox"), S("{\"id\":\"c\"}"), true, &err), 0);
    assert_int_equal(store_post(&s, S("info@contoso.example"), S("inbox"), S("{\"id\":\"ab\",\"v\":2}"), true, &err),
                     0);
    m = store_after(&s, inbox(&s), 0);
    assert_string_equal(m->id, "c");
    m = store_after(&s, inbox(&s), m->seq);
    assert_string_equal(m->json, "{\"id\":\"ab\",\"v\":2}");
    assert_ptr_equal(store_find(&s, FG_SLICE_NULL, S("ab")), m);
    assert_int_equal(s.arrived, 2);
    assert_int_equal(store_post(&s, S("info@contoso.example"), S("inbox"), S("{}"), true, &err), -FG_E_DATA);
    assert_int_equal(store_post(&s, S("info@contoso.example"), S("inbox"), S("x"), true, &err), -FG_E_DATA);
    assert_int_equal(store_post(&s, S("info@contoso.example"), S("inbox"), S("{\"id\":\"\"}"), true, &err), -FG_E_DATA);
    store_deinit(&s);
}

/* Minutes when anything of it is quadratic. */
static void a_hundred_thousand_mails_are_no_trouble(void **state)
{
    struct store s = {.mails = NULL};
    struct fg_error err = FG_ERROR_NULL;
    const struct mail *m;
    uint64_t seq = 0;
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        char name[32], json[64];
        (void)snprintf(name, sizeof(name), "%06d.json", 99999 - i);
        (void)snprintf(json, sizeof(json), "{\"id\":\"%d\"}", i);
        assert_int_equal(store_add(&s, S("info@contoso.example"), i % 2 ? S("inbox") : S("sent"), name,
                                   fg_slice_of(json), true, &err),
                         0);
    }
    assert_int_equal(store_arrive(&s, SIZE_MAX), 100000);
    while ((m = store_after(&s, inbox(&s), seq))) {
        assert_ptr_equal(store_find(&s, S("info@contoso.example"), fg_slice_of(m->id)), m);
        seq = m->seq;
        n++;
    }
    assert_int_equal(n, 50000);
    store_deinit(&s);
}

static void write_file(const char *root, const char *below, const char *text)
{
    char path[512];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", root, below);
    f = fopen(path, "wb");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static void make_folder(const char *root, const char *below)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", root, below);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void folders_are_scanned_again_for_what_is_new(void **state)
{
    char root[] = "/tmp/fragua-store-XXXXXX", command[64];
    struct store s = {.mails = NULL};
    struct fg_error err = FG_ERROR_NULL;

    (void)state;
    assert_non_null(mkdtemp(root));
    make_folder(root, "info@contoso.example");
    make_folder(root, "info@contoso.example/in box");
    make_folder(root, "info@contoso.example/empty");
    write_file(root, "README", "no mailbox");
    write_file(root, "info@contoso.example/notes", "no folder");
    write_file(root, "info@contoso.example/in box/1.eml", "Subject: x\n\ny");
    write_file(root, "info@contoso.example/in box/.hidden.eml", "");
    write_file(root, "info@contoso.example/in box/a.txt", "");
    assert_int_equal(store_scan(&s, root, &err), 0);
    assert_int_equal(s.n, 1);
    assert_non_null(store_folder(&s, S("info@contoso.example"), S("empty")));
    write_file(root, "info@contoso.example/in box/2.json", "{\"id\":\"2\"}");
    assert_int_equal(store_scan(&s, root, &err), 0);
    assert_int_equal(s.n, 2);
    write_file(root, "info@contoso.example/in box/3.json", "{");
    assert_int_equal(store_scan(&s, root, &err), -FG_E_DATA);
    assert_non_null(strstr(err.text, "3.json"));
    assert_int_equal(store_scan(&s, "/nowhere", &err), -FG_E_NOT_FOUND);
    (void)snprintf(command, sizeof(command), "rm -r %s", root);
    assert_int_equal(system(command), 0);
    store_deinit(&s);
}

static int add_fault(struct faults *f, const char *json)
{
    struct fg_error err = FG_ERROR_NULL;
    struct fault fault;
    int r = fault_read(fg_slice_of(json), &fault, &err);

    return r < 0 ? r : faults_add(f, &fault, &err);
}

static bool take(struct faults *f, enum call_kind kind, struct fault *ret)
{
    return faults_take(f, &(struct call){.kind = kind, .mailbox = S("info@contoso.example"), .random = 49}, ret);
}

static void faults_are_taken_in_order_and_counted_down(void **state)
{
    struct faults f = {.n = 0};
    struct fault fault;

    (void)state;
    assert_int_equal(add_fault(&f, "{\"call\":\"delta\",\"status\":429,\"retry_after\":2,\"count\":2}"), 0);
    assert_int_equal(add_fault(&f, "{}"), 0);
    assert_true(take(&f, CALL_TOKEN, &fault));
    assert_int_equal(fault.status, 503);
    assert_false(take(&f, CALL_TOKEN, &fault));
    assert_int_equal(fault.act, ACT_NONE);
    assert_true(take(&f, CALL_DELTA, &fault));
    assert_int_equal(fault.retry_after, 2);
    assert_true(take(&f, CALL_DELTA, &fault));
    assert_string_equal(fault.code, "simulatedFault");
    assert_false(take(&f, CALL_DELTA, &fault));
    for (unsigned i = 0; i < FAULTS_MAX; i++)
        assert_int_equal(add_fault(&f, "{\"garbage\":true}"), 0);
    assert_int_equal(add_fault(&f, "{}"), -FG_E_LIMIT);
}

static void what_is_no_fault_is_refused(void **state)
{
    static const char *const bad[] = { "", "[]", "x", "{\"status\":200}", "{\"count\":0}", "{\"call\":\"x\"}",
                                       "{\"cut\":true,\"expire\":true}", "{\"slow\":-1}", "{\"percent\":0}",
                                       "{\"mailbox\":1}", "{\"expire\":true" };
    struct faults f = {.n = 0};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(add_fault(&f, bad[i]), -FG_E_DATA);
    assert_int_equal(f.n, 0);
}

static void a_fault_hits_whom_it_is_meant_for(void **state)
{
    struct faults f = {.n = 0};
    struct fault fault;
    struct call call = {.kind = CALL_DELTA, .mailbox = S("Info@contoso.example")};

    (void)state;
    assert_int_equal(add_fault(&f, "{\"mailbox\":\"orders@contoso.example\"}"), 0);
    assert_int_equal(add_fault(&f, "{\"expire\":true}"), 0);
    assert_int_equal(add_fault(&f, "{\"slow\":20,\"mailbox\":\"info@contoso.example\"}"), 0);
    assert_true(faults_take(&f, &call, &fault));
    assert_int_equal(fault.act, ACT_NONE);
    assert_int_equal(fault.slow_ms, 20);
    assert_false(faults_take(&f, &call, &fault));
    call.token = true;
    assert_true(faults_take(&f, &call, &fault));
    assert_int_equal(fault.act, ACT_EXPIRE);
    assert_int_equal(f.n, 1);
}

static void percents_are_drawn_for_each_fault_by_itself(void **state)
{
    struct faults f = {.n = 0};
    struct fault fault;
    struct call call = {.kind = CALL_DELTA};
    unsigned n_cut = 0, n_garbage = 0;

    (void)state;
    assert_int_equal(add_fault(&f, "{\"cut\":true,\"percent\":50,\"count\":1000000}"), 0);
    assert_int_equal(add_fault(&f, "{\"garbage\":true,\"percent\":10,\"count\":1000000}"), 0);
    for (unsigned i = 0; i < 10000; i++) {
        call.random = i * UINT64_C(0x9e3779b97f4a7c15);
        if (!faults_take(&f, &call, &fault))
            continue;
        n_cut += fault.act == ACT_CUT;
        n_garbage += fault.act == ACT_GARBAGE;
    }
    assert_in_range(n_cut, 4500, 5500);
    assert_in_range(n_garbage, 400, 600);
}

/* Whether the text's last line is the SHA-256 of what stands before it. */
static void check_text(const struct mail *m, const char *first_line)
{
    struct fg_buf text = FG_BUF_INIT(1u << 20);
    unsigned char hash[SHA256_DIGEST_LENGTH];
    char hex[2 * sizeof(hash) + 1];
    size_t body;

    assert_true(fg_json_decode_string(fg_json_find(fg_slice_make(m->json, m->len), "/body/content").raw, &text));
    assert_int_equal(strncmp(text.data, first_line, strlen(first_line)), 0);
    body = text.len - strlen("\nsha256 ") - 64;
    SHA256((const unsigned char *)text.data, body, hash);
    for (size_t i = 0; i < sizeof(hash); i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    assert_string_equal(text.data + text.len - 64, hex);
    fg_buf_deinit(&text);
}

static void a_hundred_thousand_mails_are_made_up_and_the_same_each_time(void **state)
{
    struct store s = {.mails = NULL}, again = {.mails = NULL};
    struct generated so_far = {.n = 0}, so_far_again = {.n = 0};
    struct generate wanted = {1000, 60, 5, 500}, more = {1000, 40, 5, 500}, all = {1000, 100, 5, 500};
    struct fg_error err = FG_ERROR_NULL;
    const struct mail *m, *same;

    (void)state;
    assert_int_equal(generate_mails(&s, &so_far, &wanted, &err), 0);
    assert_int_equal(generate_mails(&s, &so_far, &more, &err), 0);
    assert_int_equal(generate_mails(&again, &so_far_again, &all, &err), 0);
    assert_int_equal(s.arrived, 100000);
    assert_int_equal(s.n_folders, 1000);
    assert_int_equal(store_folder(&s, S("BOX999@contoso.example"), S("Inbox"))->n, 100);
    m = store_find(&s, S("box999@contoso.example"), S("conv-999-3.19"));
    same = store_find(&again, S("box999@contoso.example"), S("conv-999-3.19"));
    assert_non_null(m);
    assert_string_equal(m->json, same->json);
    assert_in_range(m->len, 500, 2000);
    check_text(m, "ledger box999@contoso.example conv-999-3 19\n");
    store_deinit(&s);
    store_deinit(&again);
    generated_deinit(&so_far);
    generated_deinit(&so_far_again);
}

static void what_cannot_be_made_up_is_refused(void **state)
{
    static const char *const bad[] = { "", "{}", "{\"mailboxes\":0,\"mails\":1}", "{\"mailboxes\":1,\"mails\":-1}",
                                       "{\"mailboxes\":1,\"mails\":1,\"conversations\":0}",
                                       "{\"mailboxes\":1,\"mails\":1,\"text\":\"x\"}" };
    struct generate wanted = {0};
    struct fg_error err = FG_ERROR_NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(generate_read(fg_slice_of(bad[i]), &wanted, &err), -FG_E_DATA);
    assert_int_equal(generate_read(S("{\"mailboxes\":3,\"mails\":0}"), &wanted, &err), 0);
    assert_int_equal(wanted.conversations, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mails_arrive_by_file_name),
        cmocka_unit_test(a_change_moves_a_mail_to_the_end),
        cmocka_unit_test(a_message_resource_is_taken_as_it_is_and_replaced_by_its_id),
        cmocka_unit_test(a_hundred_thousand_mails_are_no_trouble),
        cmocka_unit_test(folders_are_scanned_again_for_what_is_new),
        cmocka_unit_test(faults_are_taken_in_order_and_counted_down),
        cmocka_unit_test(what_is_no_fault_is_refused),
        cmocka_unit_test(a_fault_hits_whom_it_is_meant_for),
        cmocka_unit_test(percents_are_drawn_for_each_fault_by_itself),
        cmocka_unit_test(a_hundred_thousand_mails_are_made_up_and_the_same_each_time),
        cmocka_unit_test(what_cannot_be_made_up_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
