/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what reads Graph's answers: pages, users, errors, tokens, links; and what a folder's memory was saved as. What
 * is taken must be sound.
 */
#include <stdint.h>
#include <stdlib.h>

#include <fragua/kit/utf8.h>

#include "answer.h"
#include "memory.h"
#include "page.h"
#include "url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
    if (!holds)
        abort();
}

static bool is_inside(struct fg_slice part, struct fg_slice whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_link(const char *link)
{
    struct url_origin origin;

    demand(link[0] != '\0' && fg_utf8_valid(fg_slice_of(link)));
    if (url_origin_read(fg_slice_of(link), &origin)) {
        demand(origin.port > 0 && origin.port < 65536 && origin.host[0] && !strchr(origin.host, '@'));
        demand(url_is_of(fg_slice_of(link), &origin));
    }
}

static void check_page(struct fg_slice body)
{
    struct fg_error err = FG_ERROR_NULL;
    struct page page;

    if (page_read(body, &page, &err) < 0) {
        demand(err.code != FG_E_NONE && err.text[0] != '\0');
        demand(!page.messages && !page.next && !page.delta);
        return;
    }
    demand(!page.next != !page.delta);
    check_link(page.next ? page.next : page.delta);
    for (size_t i = 0; i < page.n; i++) {
        const struct message *m = &page.messages[i];
        demand(is_inside(m->raw, body) && is_inside(m->id, m->raw) && is_inside(m->conversation, m->raw));
        demand(fg_json_valid(m->raw) && m->raw.ptr[0] == '{');
        demand(m->id.len > 2 && m->id.len <= MESSAGE_ID_MAX);
        (void)message_change(m, i & 1);
    }
    page_deinit(&page);
}

/* What is taken is written as it was read, and changes nothing for what it does not hold. */
static void check_memory(struct fg_slice body)
{
    struct fg_buf text = FG_BUF_INIT(MEMORY_TEXT_MAX);
    struct memory m = { .n = 0 };
    uint32_t slot;

    demand(memory_load(&m, 3, body) || m.n == 0);
    memory_settle(&m, 1000);
    demand(memory_take(&m, (struct memory_marks){ .version = 4, .fate = 1 }) ||
           (m.n == 1 && m.chunks[0].marks && memory_count(&m) > 0));
    memory_keep(&m, 1000);
    while (memory_save(&m, &slot, &text))
        demand(!text.failed && memory_load(&m, slot, fg_buf_slice(&text)));
    memory_settle(&m, 1000);
    demand(!memory_take(&m, (struct memory_marks){ .version = 4, .fate = 1 }));
    memory_clear(&m);
    fg_buf_deinit(&text);
}

static void check_user(void *arg, struct fg_slice address)
{
    demand(address.len > 0 && fg_utf8_valid(address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fg_slice body = size ? fg_slice_make(data, size) : (struct fg_slice)FG_SLICE("");
    struct token_answer token;
    struct fg_error err = FG_ERROR_NULL;
    char *next = NULL;

    check_page(body);
    check_memory(body);
    if (page_read_users(body, check_user, NULL, &next, &err) == 0 && next)
        check_link(next);
    free(next);
    (void)answer_read(400, body, 0, &err);
    demand(fg_utf8_valid(fg_slice_of(err.text)));
    if (answer_read_token(200, body, 0, &token, &err) == 0)
        demand(is_inside(token.token, body) && token.life_ms > 0 && !memchr(token.token.ptr, '\n', token.token.len));
    (void)answer_read_token(401, body, 0, &token, &err);
    (void)page_time_ms(body);
    return 0;
}
