/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/events: what happens, as server-sent events (WHATWG HTML, 9.2), to any number of readers. */
#include "events.h"

#include <stdlib.h>

#include <fragua/kit/buf.h>
#include <fragua/kit/str.h>

#include "control.h"

static const char *const kind_names[_EVENT_KIND_N] = { "reload", "pipeline", "document", "entities" };

struct stream {
    struct control *c;
    struct fg_exchange *x; /* NULL: the reader is gone */
    unsigned kinds;        /* a bit for each event_kind */
    struct fg_buf pending;
    struct stream *prev, *next; /* in events->streams */
};

/* While nobody reads, no timer runs. */
static void rest(struct control *c)
{
    c->host->svc->timer_stop(c->events.heartbeat);
    c->host->svc->timer_stop(c->events.gather);
    c->events.gathering = false;
}

static void stream_free(struct stream *s)
{
    struct control *c = s->c;

    if (s->prev)
        s->prev->next = s->next;
    else
        c->events.streams = s->next;
    if (s->next)
        s->next->prev = s->prev;
    fg_buf_deinit(&s->pending);
    free(s);
    if (!c->events.streams)
        rest(c);
}

/* A call to the host may find out that a reader is gone, and say so at once: from enter() to leave() none is freed. */
static void enter(struct control *c)
{
    c->events.busy++;
}

static void leave(struct control *c)
{
    if (--c->events.busy)
        return;
    for (struct stream *s = c->events.streams, *next; s; s = next) {
        next = s->next;
        if (!s->x)
            stream_free(s);
    }
}

static void on_gone(void *arg)
{
    struct stream *s = arg;
    struct control *c = s->c;

    enter(c);
    s->x = NULL;
    leave(c);
}

/* false from the host: the reader is gone or too slow, and on_gone() comes. */
static void flush(struct stream *s)
{
    if (s->x && s->pending.len)
        (void)s->c->host->svc->exchange_write(s->x, fg_buf_slice(&s->pending));
    fg_buf_clear(&s->pending);
}

static void flush_all(struct control *c)
{
    enter(c);
    for (struct stream *s = c->events.streams; s; s = s->next)
        flush(s);
    leave(c);
}

static void on_gathered(void *arg)
{
    struct control *c = arg;

    c->events.gathering = false;
    flush_all(c);
}

static void on_heartbeat(void *arg)
{
    struct control *c = arg;

    for (struct stream *s = c->events.streams; s; s = s->next)
        fg_buf_add_str(&s->pending, ":\n\n");
    c->host->svc->timer_start(c->events.heartbeat, EVENTS_HEARTBEAT_MS);
    flush_all(c);
}

/* One that is too large is left out. */
static void add(struct stream *s, enum event_kind kind, struct fg_slice data)
{
    size_t before = s->pending.len;

    fg_buf_printf(&s->pending, "event: %s\ndata: ", kind_names[kind]);
    fg_buf_add_slice(&s->pending, data);
    fg_buf_add_str(&s->pending, "\n\n");
    if (!s->pending.failed)
        return;
    s->pending.failed = false;
    s->pending.len = before;
}

static void send_event(struct control *c, enum event_kind kind, struct fg_slice data, bool at_once)
{
    enter(c);
    for (struct stream *s = c->events.streams; s; s = s->next) {
        if (!(s->kinds & 1u << kind))
            continue;
        add(s, kind, data);
        if (at_once || s->pending.len >= EVENTS_GATHER_BYTES)
            flush(s);
    }
    leave(c);
    if (at_once || c->events.gathering || !c->events.streams)
        return;
    c->events.gathering = true;
    c->host->svc->timer_start(c->events.gather, EVENTS_GATHER_MS);
}

static void on_event(void *arg, const char *event, struct fg_slice data)
{
    struct control *c = arg;

    for (unsigned kind = EVENT_RELOAD; kind <= EVENT_PIPELINE; kind++)
        if (strcmp(event, kind_names[kind]) == 0)
            send_event(c, kind, data, true);
    if (strcmp(event, kind_names[EVENT_RELOAD]) == 0)
        control_follow(c);
}

void events_record(struct control *c, enum event_kind kind, struct fg_slice id, struct fg_slice mailbox)
{
    struct fg_buf data = FG_BUF_INIT(EVENTS_PENDING_MAX);

    if (!c->events.streams)
        return;
    fg_buf_add_str(&data, "{\"id\":");
    fg_buf_add_slice(&data, id);
    if (mailbox.len) {
        fg_buf_add_str(&data, ",\"mailbox\":");
        fg_buf_add_slice(&data, mailbox);
    }
    fg_buf_add_char(&data, '}');
    if (!data.failed)
        send_event(c, kind, fg_buf_slice(&data), false);
    fg_buf_deinit(&data);
}

/* "?kinds=reload,document"; absent: all of them. 0: there is an unknown one. */
static unsigned read_kinds(struct fg_slice list)
{
    unsigned kinds = 0;

    if (!list.len)
        return (1u << _EVENT_KIND_N) - 1;
    while (list.len) {
        struct fg_slice name;
        unsigned kind = 0;
        (void)fg_slice_cut(list, ',', &name, &list);
        while (kind < _EVENT_KIND_N && !fg_slice_is(name, kind_names[kind]))
            kind++;
        if (kind == _EVENT_KIND_N)
            return 0;
        kinds |= 1u << kind;
    }
    return kinds;
}

static struct stream *stream_new(struct control *c, struct fg_exchange *x, unsigned kinds)
{
    struct stream *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    *s = (struct stream){ .c = c, .x = x, .kinds = kinds, .pending = FG_BUF_INIT(EVENTS_PENDING_MAX),
                          .next = c->events.streams };
    if (s->next)
        s->next->prev = s;
    c->events.streams = s;
    return s;
}

void get_events(void *self, struct fg_exchange *x)
{
    struct control *c = self;
    const struct fg_services *svc = c->host->svc;
    unsigned kinds = read_kinds(svc->exchange_query(x, "kinds"));
    struct stream *s = NULL;

    if (!kinds) {
        svc->exchange_problem(x, 400, "bad query", "`kinds` is a list of reload, pipeline, document, entities");
        return;
    }
    s = stream_new(c, x, kinds);
    if (!s) {
        svc->exchange_problem(x, 503, "no memory", "ask again");
        return;
    }
    enter(c);
    if (!s->next)
        svc->timer_start(c->events.heartbeat, EVENTS_HEARTBEAT_MS);
    svc->exchange_on_gone(x, on_gone, s);
    svc->exchange_begin(x, 200, "text/event-stream");
    fg_buf_add_str(&s->pending, "retry: 1000\n\n");
    flush(s);
    leave(c);
}

void events_start(struct control *c)
{
    if (CONTROL_CAN(c, events) && CONTROL_CAN(c, events_stop))
        c->events.host = c->host->svc->events(c->host, on_event, c);
}

void events_stop(struct control *c)
{
    if (c->events.host)
        c->host->svc->events_stop(c->events.host);
    c->events.host = NULL;
    enter(c);
    for (struct stream *s = c->events.streams; s; s = s->next) {
        struct fg_exchange *x = NULL;
        flush(s);
        x = s->x; /* if it is still there */
        s->x = NULL;
        if (x)
            c->host->svc->exchange_end(x);
    }
    leave(c);
}

bool events_init(struct control *c)
{
    c->events.heartbeat = c->host->svc->timer_new(c->host, on_heartbeat, c);
    c->events.gather = c->host->svc->timer_new(c->host, on_gathered, c);
    return c->events.heartbeat && c->events.gather;
}

void events_deinit(struct control *c)
{
    c->host->svc->timer_free(c->events.heartbeat);
    c->host->svc->timer_free(c->events.gather);
}
