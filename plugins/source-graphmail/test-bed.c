/* SPDX-License-Identifier: Apache-2.0 */
/* The bed of the plugin's own tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include <fake-host.h>

#include "test-bed.h"

int bed_setup(void **state)
{
    static const char *const list[] = { INFO, ORDERS };
    static const char *const folders[] = { "inbox" };
    static const struct fg_secret secret = { "s3cr&t +" };
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    bed->fake = fake_host_new();
    bed->credential.secret = &secret;
    bed->mailboxes.list = (struct fg_strings){ list, 2 };
    bed->config = (struct config){ .tenant = "contoso.example", .client = "1111-2222", .graph = GRAPH "/",
                                   .login = "https://login.example", .credential = &bed->credential,
                                   .mailboxes = &bed->mailboxes, .folders = { folders, 1 }, .poll = 10000,
                                   .page_size = 50, .page_bytes = 64 << 20, .concurrency = 4, .attachments = true,
                                   .remember = 65536 };
    *state = bed;
    return 0;
}

static void set_stopped(void *arg)
{
    ((struct bed *)arg)->stopped = true;
}

void bed_stop(struct bed *bed)
{
    bed->stopped = false;
    fragua_plugin.stop(bed->self, set_stopped, bed);
}

int bed_teardown(void **state)
{
    struct bed *bed = *state;

    if (bed->self && !bed->stopped) {
        bed_stop(bed);
        fake_host_work(bed->fake);
        assert_true(bed->stopped);
    }
    fragua_plugin.close(bed->self);
    assert_false(fake_host_logged(bed->fake, "s3cr"));
    assert_false(fake_host_logged(bed->fake, "token-"));
    fake_host_free(bed->fake);
    free(bed);
    return 0;
}

void bed_open(struct bed *bed)
{
    struct fg_error err = FG_ERROR_NULL;

    if (fragua_plugin.check(&bed->config, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(fragua_plugin.open(&bed->fake->host, &bed->config, &bed->self, &err), 0);
    assert_int_equal(fragua_plugin.start(bed->self, &err), 0);
}

void bed_assign(struct bed *bed, const char *key, const char *cursor)
{
    struct fg_cursor c = { fg_slice_of(key), fg_slice_of(cursor) };

    fragua_plugin.source->assign(bed->self, &c, 1);
}

void bed_pull(struct bed *bed)
{
    bed->batch = fake_batch_new(bed->fake);
    fragua_plugin.source->pull(bed->self, bed->batch);
}

static void assign_key(void *arg, struct fg_slice key)
{
    struct bed *bed = arg;
    struct fg_cursor c = { key, FG_SLICE_NULL };

    fragua_plugin.source->assign(bed->self, &c, 1);
}

void bed_token(struct bed *bed, const char *token)
{
    char body[200];

    (void)snprintf(body, sizeof(body), "{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"%s\"}",
                   token);
    fake_call_answer(fake_call_expect(bed->fake, "POST", "/oauth2/v2.0/token"), 200, NULL, body);
}

void bed_run(struct bed *bed)
{
    bed_open(bed);
    fragua_plugin.source->keys(bed->self, assign_key, bed);
    bed_pull(bed);
    bed_token(bed, "token-1");
}

struct fg_http_call *bed_call(struct bed *bed, const char *url_part)
{
    return fake_call_expect(bed->fake, "GET", url_part);
}

bool bed_asks(struct bed *bed, const char *url_part)
{
    for (const struct fg_http_call *c = bed->fake->calls; c; c = c->next)
        if (strstr(c->url, url_part))
            return true;
    return false;
}

void bed_page(struct bed *bed, const char *url_part, const char *items, const char *link_name, const char *link)
{
    struct fg_buf body = FG_BUF_INIT(4u << 20);

    fg_buf_printf(&body, "{\"value\":[%s],\"@odata.%s\":\"%s\"}", items, link_name, link);
    fake_call_answer(bed_call(bed, url_part), 200, NULL, body.data);
    fg_buf_deinit(&body);
}
