/* SPDX-License-Identifier: Apache-2.0 */
/* The whole transform: a Graph message goes in, a document with its headers comes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>
#include <fake-host.h>


#define SCHEMA_MAX (256u * 1024u)

extern const struct fg_plugin fragua_plugin;

/* The same layout as the plugin's own: its option table says where each member is. */
struct bed {
    struct fake_host *fake;
    char config[256];
    bool emit;
    void *self;
    struct fg_emit out;
    struct fg_error err;
};

static void bed_set(struct bed *b, const char *key, int64_t value)
{
    for (const struct fg_option *o = fragua_plugin.options; o->key; o++)
        if (strcmp(o->key, key) == 0)
            memcpy(b->config + o->offset, &value, sizeof(value));
}

static int bed_up(void **state)
{
    struct bed *b = calloc(1, sizeof(*b));
    const bool *emit = &b->emit;

    assert_non_null(b);
    assert_true(fragua_plugin.config_size <= sizeof(b->config));
    b->fake = fake_host_new();
    b->emit = true;
    bed_set(b, "html-bytes-max", 1024 * 1024);
    bed_set(b, "text-bytes-max", 1024 * 1024);
    bed_set(b, "depth", 512);
    for (const struct fg_option *o = fragua_plugin.options; o->key; o++)
        if (strcmp(o->key, "emit") == 0)
            memcpy(b->config + o->offset, &emit, sizeof(emit));
    assert_int_equal(fragua_plugin.open(&b->fake->host, b->config, &b->self, &b->err), 0);
    *state = b;
    return 0;
}

static int bed_down(void **state)
{
    struct bed *b = *state;

    fake_emit_clear(b->fake, &b->out);
    fragua_plugin.close(b->self);
    fake_host_free(b->fake);
    free(b);
    return 0;
}

static enum fg_verdict bed_apply(struct bed *b, const char *value, const char *change)
{
    struct fg_header headers[] = {
        { FG_SLICE("fragua_mailbox"), FG_SLICE("orders@contoso.example") },
        { FG_SLICE("fragua_folder"), FG_SLICE("inbox") },
        { FG_SLICE("fragua_change"), fg_slice_of(change) },
        { FG_SLICE("traceparent"), FG_SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") },
    };
    struct fg_record_spec spec = { .view = { .key = FG_SLICE("k"), .value = fg_slice_of(value), .headers = headers,
                                             .n_headers = 4, .timestamp_ms = 1000 } };
    struct fg_record *in = NULL;
    enum fg_verdict verdict;

    assert_int_equal(b->fake->svc.record_new(&b->fake->host, &spec, &in, &b->err), 0);
    verdict = fragua_plugin.transform->apply(b->self, in, &b->out, &b->err);
    b->fake->svc.record_unref(in);
    return verdict;
}

/* The one document that came out. */
static cJSON *bed_document(struct bed *b)
{
    const struct fg_record_view *view;
    cJSON *tree;

    assert_int_equal(b->out.n, 1);
    view = b->fake->svc.record_view(b->out.records[0]);
    tree = cJSON_ParseWithLength(view->value.ptr, view->value.len);
    assert_non_null(tree);
    return tree;
}

/* A member, written as JSON without blanks, must be this. */
static void expect_member(const cJSON *tree, const char *name, const char *json)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(tree, name);
    char *text;

    if (!member)
        fail_msg("no member %s", name);
    text = cJSON_PrintUnformatted(member);
    assert_non_null(text);
    if (strcmp(text, json) != 0)
        fail_msg("%s is %s, not %s", name, text, json);
    cJSON_free(text);
}

static const char full[] =
    "{\"@odata.etag\":\"W/1\",\"id\":\"AAMk=\",\"changeKey\":\"CQ\\u0041\",\"conversationId\":\"C1\",\"subject\":\"Re: "
    "\\\"Pedido\\\" \\u00e9\xC3\xA9\","
    "\"internetMessageId\":\"<m2@fabrikam.example>\",\"importance\":\"high\",\"categories\":[\"red\",\"blue\"],"
    "\"sentDateTime\":\"2026-03-02T10:19:00+01:00\",\"receivedDateTime\":\"2026-03-02T09:19:02Z\","
    "\"from\":{\"emailAddress\":{\"name\":\"Purchasing\",\"address\":\"purchasing@fabrikam.example\"}},"
    "\"sender\":{\"emailAddress\":{\"address\":\"other@fabrikam.example\"}},"
    "\"toRecipients\":[{\"emailAddress\":{\"name\":\"\",\"address\":\"orders@contoso.example\"}},"
    "{\"emailAddress\":{}}],"
    "\"ccRecipients\":[{\"emailAddress\":{\"name\":\"Only a name\"}}],\"bccRecipients\":[],\"replyTo\":null,"
    "\"body\":{\"contentType\":\"html\",\"content\":\"<p>Hello &amp; \\uD83D\\uDE00</p>\\r\\n<p>bye</p>\"},"
    "\"hasAttachments\":true,\"attachments\":[{\"@odata.type\":\"#microsoft.graph.fileAttachment\",\"id\":\"AT1\","
    "\"name\":\"order.pdf\",\"contentType\":\"application/pdf\",\"size\":1234,\"isInline\":false},{\"isInline\":true}],"
    "\"internetMessageHeaders\":[{\"name\":\"In-Reply-To\",\"value\":\"<m1@fabrikam.example>\"},"
    "{\"name\":\"References\",\"value\":\"<m0@fabrikam.example> <m1@fabrikam.example>\"},"
    "{\"name\":\"Content-Language\",\"value\":\"es-ES, en\"}]}";

static void a_whole_message_becomes_a_whole_document(void **state)
{
    struct bed *b = *state;
    cJSON *d;

    assert_int_equal(bed_apply(b, full, "created"), FG_KEEP);
    d = bed_document(b);
    expect_member(d, "id", "\"AAMk=:CQA\"");
    expect_member(d, "mailbox", "\"orders@contoso.example\"");
    expect_member(d, "folder", "\"inbox\"");
    expect_member(d, "change", "\"created\"");
    expect_member(d, "internet_message_id", "\"<m2@fabrikam.example>\"");
    expect_member(d, "subject", "\"Re: \\\"Pedido\\\" \xC3\xA9\xC3\xA9\"");
    expect_member(d, "from", "{\"name\":\"Purchasing\",\"address\":\"purchasing@fabrikam.example\"}");
    expect_member(d, "to", "[{\"name\":null,\"address\":\"orders@contoso.example\"}]");
    expect_member(d, "cc", "[{\"name\":\"Only a name\",\"address\":null}]");
    expect_member(d, "bcc", "[]");
    expect_member(d, "reply_to", "[]");
    expect_member(d, "sent_at", "\"2026-03-02T09:19:00Z\"");
    expect_member(d, "received_at", "\"2026-03-02T09:19:02Z\"");
    expect_member(d, "importance", "\"high\"");
    expect_member(d, "categories", "[\"red\",\"blue\"]");
    expect_member(d, "language", "\"es-ES\"");
    expect_member(d, "text", "\"Hello & \xF0\x9F\x98\x80\\n\\nbye\"");
    expect_member(d, "body_text", "\"Hello & \xF0\x9F\x98\x80\\n\\nbye\"");
    expect_member(d, "html_truncated", "false");
    expect_member(d, "parts", "[]");
    expect_member(d, "fields", "[]");
    expect_member(d, "tables", "[]");
    expect_member(d, "signature", "null");
    expect_member(d, "thread",
                  "{\"id\":\"C1\",\"root\":\"<m0@fabrikam.example>\",\"parent\":\"<m1@fabrikam.example>\","
                  "\"references\":[\"<m0@fabrikam.example>\",\"<m1@fabrikam.example>\"],\"position\":null}");
    expect_member(d, "relations",
                  "[{\"type\":\"reply\",\"target\":\"<m1@fabrikam.example>\",\"resolved\":false}]");
    expect_member(d, "attachments",
                  "[{\"id\":\"AT1\",\"name\":\"order.pdf\",\"media_type\":\"application/pdf\",\"size\":1234,"
                  "\"inline\":false},{\"id\":null,\"name\":null,\"media_type\":null,\"size\":null,\"inline\":true}]");
    assert_int_equal(cJSON_GetArraySize(d), 26);
    cJSON_Delete(d);
}

static cJSON *read_schema(void)
{
    char *text = calloc(1, SCHEMA_MAX);
    FILE *f = fopen(getenv("SCHEMA"), "rb");
    cJSON *tree;

    assert_non_null(f);
    assert_non_null(text);
    assert_true(fread(text, 1, SCHEMA_MAX - 1, f) > 0);
    (void)fclose(f);
    tree = cJSON_Parse(text);
    assert_non_null(tree);
    free(text);
    return tree;
}

/* The names of an object's members are those of the schema's properties, all the required ones among them. */
static void expect_shape(const cJSON *object, const cJSON *schema)
{
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(schema, "properties"), *item;

    assert_true(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(schema, "additionalProperties")));
    cJSON_ArrayForEach (item, object)
        if (!cJSON_GetObjectItemCaseSensitive(properties, item->string))
            fail_msg("the schema has no %s", item->string);
    cJSON_ArrayForEach (item, cJSON_GetObjectItemCaseSensitive(schema, "required"))
        if (!cJSON_GetObjectItemCaseSensitive(object, item->valuestring))
            fail_msg("the document has no %s", item->valuestring);
}

static const cJSON *first_of(const cJSON *tree, const char *name)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(tree, name), 0);
}

static void the_document_has_the_shape_of_its_schema(void **state)
{
    static const char *const lists[] = { "relations", "attachments" };
    struct bed *b = *state;
    cJSON *schema = read_schema(), *d;
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(schema, "properties");
    const cJSON *definitions = cJSON_GetObjectItemCaseSensitive(schema, "$defs");

    assert_int_equal(bed_apply(b, full, "created"), FG_KEEP);
    d = bed_document(b);
    expect_shape(d, schema);
    expect_shape(first_of(d, "to"), cJSON_GetObjectItemCaseSensitive(definitions, "person"));
    expect_shape(cJSON_GetObjectItemCaseSensitive(d, "thread"), cJSON_GetObjectItemCaseSensitive(properties, "thread"));
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(properties, lists[i]);
        expect_shape(first_of(d, lists[i]), cJSON_GetObjectItemCaseSensitive(list, "items"));
    }
    cJSON_Delete(d);
    cJSON_Delete(schema);
}

static void the_record_is_a_cloud_event(void **state)
{
    static const struct {
        const char *name, *value;
    } expected[] = {
        { "ce_specversion", "1.0" },
        { "ce_id", "AAMk=:CQA" },
        { "ce_source", "/mailboxes/orders@contoso.example" },
        { "ce_type", "fragua.mail.document.v1" },
        { "ce_time", "2026-03-02T09:19:02Z" },
        { "ce_subject", "AAMk=" },
        { "content-type", "application/json" },
        { "fragua_schema", "fragua.mail.document.v1" },
        { "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
    };
    struct bed *b = *state;
    const struct fg_record_view *view;

    assert_int_equal(bed_apply(b, full, "updated"), FG_KEEP);
    view = b->fake->svc.record_view(b->out.records[0]);
    assert_true(fg_slice_is(view->key, "C1"));
    assert_int_equal(view->timestamp_ms, 1772443142000);
    assert_int_equal(view->n_headers, sizeof(expected) / sizeof(expected[0]));
    for (size_t i = 0; i < view->n_headers; i++) {
        assert_true(fg_slice_is(view->headers[i].name, expected[i].name));
        assert_true(fg_slice_is(view->headers[i].value, expected[i].value));
    }
}

static void the_same_message_gives_the_same_bytes(void **state)
{
    struct bed *b = *state;
    const struct fg_record_view *one, *two;

    assert_int_equal(bed_apply(b, full, "created"), FG_KEEP);
    fake_host_advance(b->fake, 5000);
    assert_int_equal(bed_apply(b, full, "created"), FG_KEEP);
    one = b->fake->svc.record_view(b->out.records[0]);
    two = b->fake->svc.record_view(b->out.records[1]);
    assert_true(fg_slice_eq(one->value, two->value));
    assert_true(fg_slice_eq(one->headers[1].value, two->headers[1].value));
}

static void a_message_of_an_id_alone_is_enough(void **state)
{
    static const char doc[] = "{\"id\":\"A\",\"sender\":{\"emailAddress\":{\"address\":\"a@b.example\"}}}";
    struct bed *b = *state;
    cJSON *d;

    b->emit = false;
    assert_int_equal(bed_apply(b, doc, "updated"), FG_KEEP);
    d = bed_document(b);
    expect_member(d, "id", "\"A:0\"");
    expect_member(d, "change", "\"updated\"");
    expect_member(d, "from", "{\"name\":null,\"address\":\"a@b.example\"}");
    expect_member(d, "subject", "null");
    expect_member(d, "received_at", "null");
    expect_member(d, "text", "\"\"");
    expect_member(d, "relations", "[]");
    assert_null(cJSON_GetObjectItemCaseSensitive(d, "body_text"));
    assert_string_equal(fake_record_header(b->out.records[0], "ce_time"), "1970-01-01T00:00:01Z");
    cJSON_Delete(d);
}

static void a_removed_message_says_only_where_it_was(void **state)
{
    struct bed *b = *state;
    cJSON *d;

    assert_int_equal(bed_apply(b, "{\"id\":\"A\",\"@removed\":{\"reason\":\"deleted\"}}", "deleted"), FG_KEEP);
    d = bed_document(b);
    expect_member(d, "id", "\"A:deleted\"");
    expect_member(d, "mailbox", "\"orders@contoso.example\"");
    expect_member(d, "change", "\"deleted\"");
    expect_member(d, "text", "\"\"");
    expect_member(d, "from", "null");
    expect_member(d, "to", "[]");
    expect_member(d, "thread", "{\"id\":null,\"root\":null,\"parent\":null,\"references\":[],\"position\":null}");
    assert_true(fg_slice_is(b->fake->svc.record_view(b->out.records[0])->key, "k"));
    cJSON_Delete(d);
}

static void text_bodies_are_taken_as_text(void **state)
{
    static const char doc[] = "{\"id\":\"A\",\"body\":{\"contentType\":\"text\",\"content\":"
                              "\"a <b>\\r\\n e\xCC\x81 \xD7\xA9\xD7\x9C \\ud83d\\ude00\\ud800\"}}";
    struct bed *b = *state;
    cJSON *d;

    assert_int_equal(bed_apply(b, doc, "created"), FG_KEEP);
    d = bed_document(b);
    expect_member(d, "text", "\"a <b>\\n e\xCC\x81 \xD7\xA9\xD7\x9C \xF0\x9F\x98\x80\xEF\xBF\xBD\"");
    cJSON_Delete(d);
}

static void a_body_over_the_limit_is_cut_and_says_so(void **state)
{
    static const char doc[] = "{\"id\":\"A\",\"body\":{\"contentType\":\"html\",\"content\":\"<p>abcdefg\"}}";
    struct bed *b = *state;
    cJSON *d;

    bed_set(b, "text-bytes-max", 5);
    assert_int_equal(bed_apply(b, doc, "created"), FG_KEEP);
    d = bed_document(b);
    expect_member(d, "text", "\"abcde\"");
    expect_member(d, "html_truncated", "true");
    cJSON_Delete(d);
}

static void what_is_no_message_becomes_a_dead_letter(void **state)
{
    struct bed *b = *state;

    assert_int_equal(bed_apply(b, "not JSON", "created"), FG_DEAD);
    assert_int_equal(b->err.code, FG_E_DATA);
    assert_non_null(strstr(b->err.text, "not valid JSON"));
    assert_int_equal(bed_apply(b, "{\"id\":\"A\"}", "eaten"), FG_DEAD);
    assert_int_equal(b->err.code, FG_E_DATA);
    assert_non_null(strstr(b->err.text, "\"eaten\""));
    assert_int_equal(b->out.n, 0);
}

static void a_record_without_its_mailbox_becomes_a_dead_letter(void **state)
{
    struct bed *b = *state;
    struct fg_record *in = fake_record_new(b->fake, "k", "{\"id\":\"A\"}");

    assert_int_equal(fragua_plugin.transform->apply(b->self, in, &b->out, &b->err), FG_DEAD);
    assert_int_equal(b->err.code, FG_E_DATA);
    assert_non_null(strstr(b->err.text, "fragua_mailbox"));
    b->fake->svc.record_unref(in);
}

#define IN_BED(f) cmocka_unit_test_setup_teardown(f, bed_up, bed_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BED(a_whole_message_becomes_a_whole_document),
        IN_BED(the_document_has_the_shape_of_its_schema),
        IN_BED(the_record_is_a_cloud_event),
        IN_BED(the_same_message_gives_the_same_bytes),
        IN_BED(a_message_of_an_id_alone_is_enough),
        IN_BED(a_removed_message_says_only_where_it_was),
        IN_BED(text_bodies_are_taken_as_text),
        IN_BED(a_body_over_the_limit_is_cut_and_says_so),
        IN_BED(what_is_no_message_becomes_a_dead_letter),
        IN_BED(a_record_without_its_mailbox_becomes_a_dead_letter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
