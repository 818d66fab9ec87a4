/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns: a mailbox whose turn it is has one page of one folder fetched, read, and put into a batch with its cursor.
 *
 * A turn begins only while the host waits for a batch, and holds one of `concurrency` places until its page is
 * submitted. So at most that many pages are in memory, and a host without room stops the fetching by not pulling.
 */
#include <stdlib.h>

#include <fragua/kit/str.h>

#include "source.h"

static const char fields[] = "id,changeKey,conversationId,conversationIndex,internetMessageId,createdDateTime,"
                             "lastModifiedDateTime,receivedDateTime,sentDateTime,subject,from,sender,toRecipients,"
                             "ccRecipients,bccRecipients,replyTo,importance,categories,isDraft,isRead,hasAttachments,"
                             "parentFolderId,internetMessageHeaders,body";

static bool is_polled(const struct folder *f)
{
    return f->assigned && f->wanted && f->mailbox->listed;
}

/* The folder that waits longest. */
static struct folder *next_folder(const struct mailbox *m)
{
    struct folder *best = NULL;

    for (struct folder *f = m->folders; f; f = f->next)
        if (is_polled(f) && (!best || f->due_ms < best->due_ms))
            best = f;
    return best;
}

void poll_arrange(struct mailbox *m)
{
    struct folder *f = m->busy ? NULL : next_folder(m);

    if (f)
        schedule_put(&m->source->schedule, m, f->due_ms > m->not_before_ms ? f->due_ms : m->not_before_ms);
    else
        schedule_remove(&m->source->schedule, m);
}

void poll_set_cursor(struct folder *f, struct fg_slice cursor)
{
    free(f->cursor);
    free(f->restart);
    f->cursor = cursor.len ? text_copy(cursor) : NULL;
    f->restart = NULL;
    f->first_walk = cursor.len == 0 && memory_count(&f->memory) == 0;
    f->delta_saved = cursor.len > 0; /* what the host hands out, it has */
    f->saved_ms = f->mailbox->source->host->svc->now_ms(f->mailbox->source->host);
}

static void fetched_free(struct fetched *fetched)
{
    page_deinit(&fetched->page);
    fetched->source->host->svc->record_unref(fetched->whole);
    free(fetched);
}

static void turn_over(struct folder *f)
{
    f->state = FOLDER_IDLE;
    f->mailbox->busy = false;
    f->mailbox->source->n_busy--;
    poll_arrange(f->mailbox);
}

static void ready_remove(struct folder *f)
{
    struct source *s = f->mailbox->source;
    struct folder **at = &s->ready;

    while (*at != f)
        at = &(*at)->ready_next;
    *at = f->ready_next;
    f->ready_next = NULL;
    if (s->ready_end == &f->ready_next)
        s->ready_end = at;
}

void poll_forget(struct folder *f)
{
    struct source *s = f->mailbox->source;

    switch (f->state) {
    case FOLDER_IDLE:
        return;
    case FOLDER_ASKING:
        s->host->svc->http_cancel(f->call);
        f->call = NULL;
        break;
    case FOLDER_READING:
        f->fetched->folder = NULL; /* its work frees it */
        break;
    case FOLDER_READY:
        ready_remove(f);
        fetched_free(f->fetched);
        break;
    }
    f->fetched = NULL;
    memory_drop_pending(&f->memory);
    turn_over(f);
}

/* Polls are spread: a tenth of the interval to either side. */
static uint64_t next_poll_ms(struct source *s)
{
    uint64_t poll = (uint64_t)s->config->poll;

    return s->host->svc->now_ms(s->host) + poll - poll / 10 + s->host->svc->random(s->host) % (poll / 5 + 1);
}

/* The page is done with: its link is where the folder goes on. */
static void advance(struct folder *f)
{
    struct source *s = f->mailbox->source;
    struct page *page = &f->fetched->page;
    bool last = page->delta != NULL;

    free(f->cursor);
    free(f->restart);
    f->restart = NULL;
    f->cursor = last ? page->delta : page->next;
    page->next = page->delta = NULL;
    if (last)
        f->first_walk = false;
    f->due_ms = last ? next_poll_ms(s) : s->host->svc->now_ms(s->host);
    fetched_free(f->fetched);
    f->fetched = NULL;
    turn_over(f);
}

#define TRACE_SIZE 56u

static struct fg_slice trace_parent(struct source *s, char ret[TRACE_SIZE])
{
    unsigned long long a = s->host->svc->random(s->host), b = s->host->svc->random(s->host);
    unsigned long long c = s->host->svc->random(s->host);

    /* all zeroes would be invalid (W3C Trace Context 3.2.2.3) */
    (void)snprintf(ret, TRACE_SIZE, "00-%016llx%016llx-%016llx-01", a, b | 1, c | 1);
    return fg_slice_of(ret);
}

static int make_record(struct folder *f, const struct message *m, struct fg_buf *key, struct fg_record **ret,
                       struct fg_error *err)
{
    struct source *s = f->mailbox->source;
    char trace[TRACE_SIZE];
    const struct fg_header headers[] = {
        { FG_SLICE("fragua_mailbox"), fg_slice_of(f->mailbox->name) },
        { FG_SLICE("fragua_folder"), fg_slice_of(f->name) },
        { FG_SLICE("fragua_change"), fg_slice_of(message_change(m, f->first_walk)) },
        { FG_SLICE("traceparent"), trace_parent(s, trace) },
    };
    struct fg_record_spec spec = { .view = { .value = m->raw, .headers = headers,
                                             .n_headers = sizeof(headers) / sizeof(headers[0]) },
                                   .parent = f->fetched->whole };

    fg_buf_clear(key);
    /* a removed message comes without its conversation: its id then is all there is to order by */
    if (!fg_json_decode_string(m->conversation.len ? m->conversation : m->id, key))
        return fg_error_set(err, FG_E_DATA, 0, "the conversation id of message %.*s cannot be read",
                            (int)(m->id.len < 80 ? m->id.len : 80), m->id.ptr);
    spec.view.key = fg_buf_slice(key);
    spec.view.timestamp_ms = m->received_ms != TIME_UNKNOWN ? m->received_ms : s->host->svc->wall_ms(s->host);
    return s->host->svc->record_new(s->host, &spec, ret, err);
}

static int add_messages(struct folder *f, struct fg_batch *batch, struct fg_error *err)
{
    const struct page *page = &f->fetched->page;
    struct fg_buf key = FG_BUF_INIT(MESSAGE_ID_MAX);
    struct fg_record *record = NULL;
    int r = 0;

    for (size_t i = 0; r == 0 && i < page->n; i++) {
        if (page->messages[i].repeated)
            continue;
        r = make_record(f, &page->messages[i], &key, &record, err);
        if (r == 0)
            f->mailbox->source->host->svc->batch_add(batch, record);
    }
    fg_buf_deinit(&key);
    return r;
}

/* A page goes in whole or not at all, else its cursor would account for what is not there. */
static void fill_failed(struct folder *f, struct fg_batch *batch, const struct fg_error *err)
{
    struct source *s = f->mailbox->source;
    bool patient = err->code == FG_E_NO_ROOM && ++f->fetched->no_room < NO_ROOM_MAX;

    if (!patient) {
        ready_remove(f);
        fetched_free(f->fetched);
        f->fetched = NULL;
        memory_drop_pending(&f->memory);
        turn_failed(f, ANSWER_HEAVY, err);
        turn_over(f);
    }
    s->host->svc->batch_cancel(batch, NULL);
}

/* What the page adds to the folder's memory goes with it. */
static void add_memory(struct folder *f, struct fg_batch *batch)
{
    struct source *s = f->mailbox->source;
    struct fg_buf key = FG_BUF_INIT(MAILBOX_NAME_MAX + FOLDER_NAME_MAX + 32);
    struct fg_buf text = FG_BUF_INIT(MEMORY_TEXT_MAX);
    uint32_t slot;

    memory_keep(&f->memory, (size_t)s->config->remember);
    while (memory_save(&f->memory, &slot, &text)) {
        struct fg_cursor cursor;
        cursor_key_write(f, slot, &key);
        cursor = (struct fg_cursor){ fg_buf_slice(&key), fg_buf_slice(&text) };
        s->host->svc->batch_cursor(batch, &cursor);
    }
    fg_buf_deinit(&key);
    fg_buf_deinit(&text);
}

static void fill(struct folder *f)
{
    struct source *s = f->mailbox->source;
    struct fg_batch *batch = s->batch;
    struct page *page = &f->fetched->page;
    struct fg_cursor cursor = { fg_slice_of(f->key), fg_slice_of(page->delta ? page->delta : page->next) };
    struct fg_error err = FG_ERROR_NULL;

    s->batch = NULL; /* the host may pull again before submit or cancel returns */
    if (add_messages(f, batch, &err) < 0) {
        fill_failed(f, batch, &err);
        return;
    }
    s->host->svc->batch_cursor(batch, &cursor);
    add_memory(f, batch);
    s->host->svc->metric_add(s->m_messages, (double)f->fetched->n_new);
    ready_remove(f);
    f->delta_saved = page->delta != NULL;
    f->saved_ms = s->host->svc->now_ms(s->host);
    advance(f);
    s->host->svc->batch_submit(batch);
}

void poll_fill(struct source *s)
{
    while (s->batch && s->ready)
        fill(s->ready);
}

/* A page without new messages moves the cursor in memory only, unless that should outlive a restart. */
static bool is_worth_saving(const struct folder *f)
{
    const struct page *page = &f->fetched->page;
    struct fg_host *host = f->mailbox->source->host;

    return f->fetched->n_new > 0 || (page->delta && !f->delta_saved) ||
           host->svc->now_ms(host) - f->saved_ms >= SAVE_IDLE_MS;
}

/* Which of the page's messages were not handed on before. */
static void sift(struct folder *f)
{
    struct source *s = f->mailbox->source;
    struct page *page = &f->fetched->page;

    for (size_t i = 0; s->config->remember && i < page->n; i++)
        page->messages[i].repeated = !memory_take(&f->memory, page->messages[i].marks);
    for (size_t i = 0; i < page->n; i++)
        f->fetched->n_new += !page->messages[i].repeated;
    s->host->svc->metric_add(s->m_repeats, (double)(page->n - f->fetched->n_new));
}

static void page_here(struct folder *f)
{
    struct source *s = f->mailbox->source;
    struct fetched *fetched = f->fetched;
    const char *link = fetched->page.next ? fetched->page.next : fetched->page.delta;
    struct fg_error err = fetched->err;
    /* what is no page may come from something on the way, and be over soon; a link that leads away is meant */
    enum answer answer = err.code == FG_E_LIMIT ? ANSWER_HEAVY : err.code ? ANSWER_DOWN : ANSWER_REFUSED;

    if (!err.code && !url_is_of(fg_slice_of(link), &s->graph))
        (void)fg_error_set(&err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE,
                           "the page's link leads away from %.100s: not followed, page not used", s->config->graph);
    if (err.code) {
        fetched_free(fetched);
        f->fetched = NULL;
        turn_failed(f, answer, &err);
        turn_over(f);
        return;
    }
    s->host->svc->metric_add(s->m_pages, 1);
    turn_good(f);
    sift(f);
    if (!is_worth_saving(f)) {
        advance(f);
        return;
    }
    f->state = FOLDER_READY;
    f->ready_next = NULL;
    *s->ready_end = f;
    s->ready_end = &f->ready_next;
    poll_fill(s);
}

static struct fg_slice bytes_of(const struct fetched *fetched)
{
    return fetched->whole ? fetched->source->host->svc->record_view(fetched->whole)->value : FG_SLICE_NULL;
}

/* On a worker. */
static void read_work(void *arg)
{
    struct fetched *fetched = arg;

    (void)page_read(bytes_of(fetched), &fetched->page, &fetched->err);
}

static void read_done(void *arg)
{
    struct fetched *fetched = arg;
    struct source *s = fetched->source;
    fg_done_cb stopped = s->stopped;

    s->n_reading--;
    if (fetched->folder) {
        page_here(fetched->folder);
        source_wake(s);
    } else {
        fetched_free(fetched);
    }
    if (stopped && s->n_reading == 0) {
        s->stopped = NULL;
        stopped(s->stopped_arg);
    }
}

static void read_page(struct folder *f, const struct fg_http_response *res)
{
    struct source *s = f->mailbox->source;
    struct fetched *fetched = calloc(1, sizeof(*fetched));

    if (!fetched)
        abort();
    *fetched = (struct fetched){ .source = s, .folder = f, .whole = s->host->svc->http_take_body(s->host, res) };
    f->fetched = fetched;
    f->state = FOLDER_READING;
    if (res->body.len > INLINE_MAX) {
        s->n_reading++;
        if (s->host->svc->offload(s->host, read_work, read_done, fetched) == 0)
            return;
        s->n_reading--;
    }
    read_work(fetched);
    page_here(f);
}

static struct fg_slice location_of(const struct fg_http_response *res)
{
    static const struct fg_slice location = FG_SLICE("location");

    for (size_t i = 0; i < res->n_headers; i++)
        if (fg_slice_ieq(res->headers[i].name, location))
            return res->headers[i].value;
    return FG_SLICE_NULL;
}

static void judge(struct folder *f, const struct fg_http_response *res)
{
    struct source *s = f->mailbox->source;
    struct fg_error why = FG_ERROR_NULL;
    enum answer answer = answer_read(res->status, res->body, res->retry_after_ms, &why);

    if (answer == ANSWER_OK) {
        read_page(f, res);
        return;
    }
    if (answer == ANSWER_RESET)
        turn_reset(f, location_of(res));
    else if (answer == ANSWER_RENEW && token_refused(s, f->serial))
        f->due_ms = s->host->svc->now_ms(s->host);
    else
        turn_failed(f, answer, &why);
    turn_over(f);
}

static void answered(void *arg, const struct fg_http_response *res, const struct fg_error *err)
{
    struct folder *f = arg;
    struct source *s = f->mailbox->source;

    f->call = NULL;
    if (res) {
        judge(f, res);
    } else {
        turn_failed(f, answer_missing(err), err);
        turn_over(f);
    }
    source_wake(s);
}

static void write_url(const struct folder *f, struct fg_buf *url)
{
    const struct source *s = f->mailbox->source;

    if (f->cursor || f->restart) {
        fg_buf_add_str(url, f->cursor ? f->cursor : f->restart);
        return;
    }
    fg_buf_printf(url, "%s/v1.0/users/", s->graph_base);
    url_add_encoded(url, fg_slice_of(f->mailbox->name));
    fg_buf_add_str(url, "/mailFolders/");
    url_add_encoded(url, fg_slice_of(f->name));
    fg_buf_printf(url, "/messages/delta?$select=%s", fields);
    if (s->config->attachments)
        fg_buf_add_str(url, "&$expand=attachments($select=id,name,contentType,size,isInline)");
}

#define PREFER_SIZE 160u

static struct fg_slice prefer_of(const struct folder *f, char ret[PREFER_SIZE])
{
    const char *body = f->mailbox->source->config->body == BODY_TEXT ? "text" : "html";

    (void)snprintf(ret, PREFER_SIZE, "IdType=\"ImmutableId\", odata.maxpagesize=%d, outlook.body-content-type=\"%s\"",
                   f->page_size, body);
    return fg_slice_of(ret);
}

static struct fg_http_call *send(struct folder *f, const char *token, const char *url, struct fg_error *err)
{
    struct source *s = f->mailbox->source;
    char prefer[PREFER_SIZE];
    const struct fg_header headers[] = {
        { FG_SLICE("Authorization"), fg_slice_of(token) },
        { FG_SLICE("Accept"), FG_SLICE("application/json") },
        { FG_SLICE("Prefer"), prefer_of(f, prefer) },
    };
    struct fg_http_request req = {
        .method = "GET", .url = url, .headers = headers, .n_headers = sizeof(headers) / sizeof(headers[0]),
        .timeout_ms = REQUEST_TIMEOUT_MS, .body_max = (size_t)s->config->page_bytes,
        .allow_private = url_origin_is_loopback(&s->graph),
    };

    return s->host->svc->http_send(s->host, &req, answered, f, err);
}

static void begin(struct folder *f, const char *token)
{
    struct source *s = f->mailbox->source;
    struct fg_buf url = FG_BUF_INIT(URL_MAX);
    struct fg_error err = FG_ERROR_NULL;

    f->mailbox->busy = true;
    s->n_busy++;
    schedule_remove(&s->schedule, f->mailbox);
    f->state = FOLDER_ASKING;
    write_url(f, &url);
    if (url.failed)
        (void)fg_error_set(&err, FG_E_LIMIT, 0, "a URL of more than %u bytes", URL_MAX);
    else if (!url_is_of(fg_buf_slice(&url), &s->graph)) /* a cursor from before `graph` was changed, or made by hand */
        (void)fg_error_set(&err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE,
                           "the saved cursor leads away from %.100s: not followed; reset it to read the folder anew",
                           s->config->graph);
    else
        f->call = send(f, token, url.data, &err);
    fg_buf_deinit(&url);
    if (!f->call) {
        turn_failed(f, ANSWER_REFUSED, &err);
        turn_over(f);
    }
}

void poll_step(struct source *s)
{
    while (s->running && s->batch && s->n_busy < s->config->concurrency) {
        struct mailbox *m = schedule_first(&s->schedule);
        uint64_t now = s->host->svc->now_ms(s->host), due;
        const char *token;
        struct folder *f;

        if (!m)
            return;
        due = m->due_ms > s->hold_ms ? m->due_ms : s->hold_ms;
        if (due > now) {
            s->host->svc->timer_start(s->timer, due - now);
            return;
        }
        f = next_folder(m);
        token = token_get(s, &f->serial);
        if (!token)
            return; /* source_wake() follows */
        begin(f, token);
    }
}
