/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bodies of answers take of the byte budget.
 *
 * An answer is charged for what it says that it brings, else as it comes, and for what may become of it. Where there
 * is no room its transfer is paused: curl reads no more, so the other side waits. Records in flight leave by themselves
 * and make room. Only answers can hold each other up, those that came in halves and wait for the rest: then the one
 * that came last gives up its part, and is asked for again.
 *
 * What records need in order to leave must come in, over the limit too; one answer at a time.
 */
#include "net/client-private.h"

/* What is charged for a body of so many bytes. Those of inputs become records, and these need room too. */
static size_t price(const struct fg_http_call *call, size_t bytes)
{
    size_t limit = fg_budget_limit(call->client->budget), whole = bytes + FG_BUDGET_GROWTH * bytes;

    if (call->must)
        return bytes;
    return whole < limit ? whole : limit;
}

size_t client_room_announced(const struct fg_http_call *call)
{
    curl_off_t length = -1;

    (void)curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return length > 0 ? (size_t)length : 0;
}

/* How large the body will be at least, as far as is known. */
static size_t expected(const struct fg_http_call *call, size_t need)
{
    size_t length = call->charged == 0 ? client_room_announced(call) : 0;

    if (length >= need)
        return length + 1;
    need = (need + ROOM_STEP) / ROOM_STEP * ROOM_STEP;
    return need < call->body.max ? need : call->body.max + 1;
}

static void note(struct fg_http_call *call, size_t more)
{
    call->charged += more;
    call->client->body_bytes += more;
    if (!call->must)
        call->client->input_bytes += more;
}

static bool may_pass_the_limit(struct fg_http_call *call)
{
    struct fg_http_client *client = call->client;

    if (call->must)
        return !client->over || client->over == call;
    /* alone in the process: there is nothing whose end would make room */
    return fg_budget_used(client->budget) == call->charged;
}

enum client_room client_room_take(struct fg_http_call *call, size_t len)
{
    struct fg_http_client *client = call->client;
    size_t need = call->body.len + len, limit, all, more;

    if (!client->budget || need < call->room)
        return CLIENT_ROOM;
    limit = fg_budget_limit(client->budget);
    need = expected(call, need);
    /* the rest is for what it takes to let it leave */
    if (need > limit - limit / 4 && !call->must)
        return CLIENT_ROOM_NEVER;
    all = price(call, need);
    more = all > call->charged ? all - call->charged : 0;
    if (!fg_budget_try_charge(client->budget, more)) {
        if (!may_pass_the_limit(call))
            return CLIENT_ROOM_LATER;
        fg_budget_charge(client->budget, more);
        if (call->must)
            client->over = call;
    }
    note(call, more);
    call->room = need;
    return CLIENT_ROOM;
}

void client_room_pause(struct fg_http_call *call, size_t len)
{
    uint64_t now = client_now_ms();

    call->held = len;
    if (fg_list_empty(&call->paused)) {
        fg_list_append(&call->client->paused, &call->paused);
        call->left_ms = call->due_ms > now ? call->due_ms - now : 1;
        call->due_ms = now + call->client->room_wait_ms;
        fg_list_remove(&call->due);
        client_call_insert_due(call);
    }
    client_loop_room(call->client, ROOM_LOOK_MS);
}

static void go_on(struct fg_http_call *call)
{
    fg_list_remove(&call->paused);
    fg_list_remove(&call->due);
    call->due_ms = client_now_ms() + call->left_ms;
    client_call_insert_due(call);
    (void)curl_easy_pause(call->easy, CURLPAUSE_CONT); /* what was held comes to on_body() in here, or soon */
}

/* All that is charged are halves of answers: the last one to stop makes room for those before it. */
static void break_tie(struct fg_http_client *client)
{
    struct fg_http_call *last = NULL;

    if (fg_budget_used(client->budget) > client->input_bytes)
        return;
    for (struct fg_list *l = client->paused.next; l != &client->paused; l = l->next) {
        struct fg_http_call *call = fg_container_of(l, struct fg_http_call, paused);
        if (!call->must && call->charged > 0 && l != client->paused.next)
            last = call;
    }
    if (last)
        client_call_fail(last, FG_E_NO_ROOM, FG_ERROR_RETRIABLE,
                         "no room for the rest of the answer beside others (limits.memory)");
}

void client_room_look(struct fg_http_client *client)
{
    struct fg_list held, *l;
    bool any = false;

    fg_list_init(&held);
    while ((l = fg_list_pop(&client->paused)))
        fg_list_append(&held, l);
    while ((l = fg_list_pop(&held))) {
        struct fg_http_call *call = fg_container_of(l, struct fg_http_call, paused);
        fg_list_append(&client->paused, l);
        if (client_room_take(call, call->held) == CLIENT_ROOM_LATER)
            continue;
        any = true;
        go_on(call);
    }
    if (any)
        client_loop_kick(client);
    else
        break_tie(client);
    if (!client->closing && !fg_list_empty(&client->paused))
        client_loop_room(client, ROOM_LOOK_MS);
}

size_t client_room_pass(struct fg_http_call *call)
{
    struct fg_http_client *client = call->client;
    size_t charged = call->charged;

    client->body_bytes -= charged;
    if (!call->must)
        client->input_bytes -= charged;
    if (client->over == call)
        client->over = NULL;
    call->charged = call->room = 0;
    if (!fg_list_empty(&client->paused))
        client_loop_room(client, 0);
    return charged;
}

void client_room_lend(struct fg_http_call *call, size_t bytes)
{
    if (!call->client->budget)
        return;
    fg_budget_charge(call->client->budget, bytes); /* it is there already */
    call->lent = bytes;
    call->client->lent_bytes += bytes;
}

void client_room_give(struct fg_http_call *call)
{
    struct fg_http_client *client = call->client;
    size_t charged = client_room_pass(call) + call->lent;

    client->lent_bytes -= call->lent;
    call->lent = 0;
    if (!charged)
        return;
    fg_budget_credit(client->budget, charged);
    fg_budget_wake(client->budget);
}
