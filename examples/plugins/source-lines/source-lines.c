/* SPDX-License-Identifier: Apache-2.0 */
/* source-lines: makes a record of each line of a configured list. It shows how a source keeps its place. */
#include <fragua/plugin.h>

#include <fragua/kit/str.h>

#include <stdio.h>
#include <stdlib.h>

struct config {
    struct fg_strings lines;
};

/* One cursor, "<owner>/<rest>": who is assigned the owner "list" makes the records. Its value: lines made so far. */
static const struct fg_slice cursor_key = FG_SLICE("list/lines");

struct lines {
    struct fg_host *host;
    const struct config *config;
    int64_t next;           /* 0..lines.len; -1: not ours */
    struct fg_batch *batch; /* waits to be filled; NULL: none */
};

static void cancel_batch(struct lines *l)
{
    struct fg_batch *batch = l->batch;

    l->batch = NULL;
    if (batch)
        l->host->svc->batch_cancel(batch, NULL);
}

static bool add_line(struct lines *l)
{
    const char *line = l->config->lines.items[l->next];
    struct fg_record_spec spec = { .view = { .key = FG_SLICE("list"), .value = fg_slice_of(line),
                                             .timestamp_ms = l->host->svc->wall_ms(l->host) } };
    struct fg_record *record;

    if (l->host->svc->record_new(l->host, &spec, &record, NULL) < 0)
        return false; /* no room: the host pulls again when there is */
    l->host->svc->batch_add(l->batch, record);
    l->next++;
    return true;
}

/* Keeps the batch while there is nothing to say: a source submits when it has something. */
static void fill(struct lines *l)
{
    int64_t from = l->next, len = (int64_t)l->config->lines.len;
    struct fg_batch *batch = l->batch;
    char place[32];

    if (!batch || l->next < 0 || l->next >= len)
        return;
    while (l->next < len && add_line(l))
        ;
    if (l->next == from) {
        cancel_batch(l);
        return;
    }
    l->batch = NULL; /* before the call: it may pull again */
    (void)snprintf(place, sizeof(place), "%lld", (long long)l->next);
    l->host->svc->batch_cursor(batch, &(struct fg_cursor){ cursor_key, fg_slice_of(place) });
    l->host->svc->batch_submit(batch);
}

/* For assign and rewind: what is being filled was begun from another place. The host pulls again. */
static void go_on(void *self, const struct fg_cursor *cursors, size_t n)
{
    struct lines *l = self;

    if (!fg_parse_int(cursors[0].value, &l->next)) /* one key, so one cursor; empty: from the start */
        l->next = 0;
    cancel_batch(l);
}

static void revoke(void *self, const struct fg_slice *owners, size_t n)
{
    ((struct lines *)self)->next = -1; /* there is but one owner, so it is this one */
    cancel_batch(self);
}

static void pull(void *self, struct fg_batch *batch)
{
    struct lines *l = self;

    l->batch = batch;
    fill(l);
}

static void keys(void *self, fg_key_cb cb, void *arg)
{
    cb(arg, cursor_key);
}

static int open_lines(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct lines *l = calloc(1, sizeof(*l));

    if (!l)
        return fg_error_set(err, FG_E_LIMIT, 0, "no memory");
    *l = (struct lines){ .host = host, .config = config, .next = -1 };
    *ret_self = l;
    return 0;
}

static void stop(void *self, fg_done_cb done, void *arg)
{
    cancel_batch(self);
    done(arg);
}

static const struct fg_source_ops ops = { go_on, revoke, pull, go_on, keys };

static const struct fg_option options[] = {
    { .key = "lines", .type = FG_OPTION_STRINGS, .flags = FG_OPTION_REQUIRED, .min = 1, .max = 10000,
      .offset = offsetof(struct config, lines), .summary = "what to send, each a record" },
    FG_OPTION_END,
};

FG_PLUGIN(.kind = FG_KIND_SOURCE, .name = "source-lines", .version = "1.0", .summary = "sends a list of lines",
          .options = options, .config_size = sizeof(struct config), .open = open_lines, .stop = stop, .close = free,
          .source = &ops);
