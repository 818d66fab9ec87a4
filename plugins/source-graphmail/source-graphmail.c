/* SPDX-License-Identifier: Apache-2.0 */
/* source-graphmail: mail of Microsoft 365 mailboxes by Graph's delta queries. Options, and the host's side of it. */
#include "source.h"

#include <stdlib.h>

#include <fragua/kit/str.h>

static const char *const body_names[] = { [BODY_HTML] = "html", [BODY_TEXT] = "text", NULL };

uint64_t source_jitter(struct source *s, uint64_t base_ms, uint64_t cap_ms, unsigned attempt)
{
    uint64_t most = attempt < 20 && base_ms << attempt < cap_ms ? base_ms << attempt : cap_ms;

    return 1 + s->host->svc->random(s->host) % most;
}

void source_trouble(struct source *s)
{
    bool all_fail = s->n_polled > 0 && s->n_failing == s->n_polled;
    struct fg_error why = s->token.err.code && !s->token.header         ? s->token.err
                          : s->directory.err.code && s->n_polled == 0   ? s->directory.err
                          : all_fail                                    ? s->last_err
                                                                        : FG_ERROR_NULL;

    if (why.code == s->told.code && strcmp(why.text, s->told.text) == 0)
        return;
    why.retriable = true;
    why.fatal = false;
    s->told = why;
    s->host->svc->trouble(s->host, why.code ? &s->told : NULL);
}

void source_wake(struct source *s)
{
    directory_step(s);
    poll_step(s);
    source_trouble(s);
}

static void time_over(void *arg)
{
    source_wake(arg);
}

/* The host voids a batch with each revoke and rewind, and gives a new one for the old. */
static void give_batch_back(struct source *s)
{
    struct fg_batch *batch = s->batch;

    s->batch = NULL;
    if (batch)
        s->host->svc->batch_cancel(batch, NULL);
}

/* The folder that a cursor belongs to; NULL: none of ours. *ret_slot: as by cursor_key_read(). */
static struct folder *folder_of(struct source *s, struct fg_slice key, int64_t *ret_slot)
{
    struct fg_slice owner, name;
    struct mailbox *m = cursor_key_read(key, &owner, &name, ret_slot) ? mailbox_get(s, owner) : NULL;

    return m ? folder_get(m, name) : NULL;
}

/* Takes over a folder's link, whatever was known before. */
static void take_link(struct folder *f, struct fg_slice link, bool assign)
{
    struct source *s = f->mailbox->source;

    if (!link.len)
        memory_blank(&f->memory); /* somebody took the link away, so that all is read anew */
    poll_forget(f);
    poll_set_cursor(f, link);
    f->assigned = f->assigned || assign;
    f->failing = false;
    f->attempt = 0;
    f->due_ms = s->host->svc->now_ms(s->host);
    folder_count(f);
    poll_arrange(f->mailbox);
}

static void take_slot(struct source *s, struct folder *f, int64_t slot, const struct fg_cursor *cursor)
{
    if (!s->config->remember || !f->wanted)
        return;
    if (!memory_load(&f->memory, (uint32_t)slot, cursor->value))
        s->host->svc->log(s->host, FG_LOG_WARN, "cursor \"%.*s\" is no list of seen mails: what it held may come again",
                          FG_SLICE_ARG(cursor->key));
}

/* What is remembered first: an empty link means that it does not count. */
static void take_cursors(struct source *s, const struct fg_cursor *cursors, size_t n, bool assign)
{
    struct folder *f;
    int64_t slot;

    for (size_t i = 0; i < n; i++) {
        f = folder_of(s, cursors[i].key, &slot);
        if (f && !assign)
            memory_clear(&f->memory);
        else if (!f)
            s->host->svc->log(s->host, FG_LOG_WARN, "cursor \"%.*s\" is left alone: it names no mailbox and folder",
                              FG_SLICE_ARG(cursors[i].key));
    }
    for (size_t i = 0; i < n; i++)
        if ((f = folder_of(s, cursors[i].key, &slot)) && slot >= 0)
            take_slot(s, f, slot, &cursors[i]);
    for (size_t i = 0; i < n; i++)
        if ((f = folder_of(s, cursors[i].key, &slot)))
            memory_settle(&f->memory, (size_t)s->config->remember);
    for (size_t i = 0; i < n; i++)
        if ((f = folder_of(s, cursors[i].key, &slot)) && slot < 0)
            take_link(f, cursors[i].value, assign);
}

static void assign(void *self, const struct fg_cursor *cursors, size_t n)
{
    take_cursors(self, cursors, n, true);
    source_wake(self);
}

static void rewind_to(void *self, const struct fg_cursor *cursors, size_t n)
{
    struct source *s = self;

    take_cursors(s, cursors, n, false);
    give_batch_back(s);
    source_wake(s);
}

static void drop_mailbox(struct mailbox *m)
{
    for (struct folder *f = m->folders; f; f = f->next) {
        poll_forget(f);
        memory_clear(&f->memory);
        f->assigned = f->failing = false;
        folder_count(f);
    }
    poll_arrange(m);
}

static void revoke(void *self, const struct fg_slice *owners, size_t n)
{
    struct source *s = self;

    for (size_t i = 0; i < n; i++) {
        struct mailbox *m = mailbox_name_ok(owners[i]) ? mailbox_get(s, owners[i]) : NULL;
        if (m)
            drop_mailbox(m);
    }
    give_batch_back(s);
    source_wake(s);
}

static void pull(void *self, struct fg_batch *batch)
{
    struct source *s = self;

    s->batch = batch;
    poll_fill(s);
    source_wake(s);
}

static void keys(void *self, fg_key_cb cb, void *arg)
{
    struct source *s = self;

    for (struct mailbox *m = NULL; (m = mailbox_next(s, m));)
        for (struct folder *f = m->listed ? m->folders : NULL; f; f = f->next)
            if (f->wanted)
                cb(arg, fg_slice_of(f->key));
}

static char *base_of(const char *url)
{
    struct fg_slice base = fg_slice_of(url);

    while (base.len && base.ptr[base.len - 1] == '/')
        base.len--;
    return text_copy(base);
}

static void list_mailboxes(struct source *s)
{
    const struct mailboxes *o = s->config->mailboxes;

    for (size_t i = 0; i < o->exclude.len; i++) {
        struct mailbox *m = mailbox_get(s, fg_slice_of(o->exclude.items[i]));
        if (m)
            m->excluded = true;
    }
    for (size_t i = 0; i < o->list.len; i++) {
        struct mailbox *m = mailbox_get(s, fg_slice_of(o->list.items[i]));
        if (m)
            mailbox_list(m, true);
    }
}

static int open_source(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct source *s = calloc(1, sizeof(*s));

    if (!s)
        return fg_error_set(err, FG_E_INTERNAL, FG_ERROR_RETRIABLE, "no memory");
    s->host = host;
    s->config = config;
    s->ready_end = &s->ready;
    (void)url_origin_read(fg_slice_of(s->config->graph), &s->graph); /* check() made sure */
    (void)url_origin_read(fg_slice_of(s->config->login), &s->login);
    s->graph_base = base_of(s->config->graph);
    s->login_base = base_of(s->config->login);
    s->m_pages = host->svc->metric(host, FG_METRIC_COUNTER, "graph_pages_total", "delta pages read");
    s->m_messages = host->svc->metric(host, FG_METRIC_COUNTER, "graph_messages_total", "messages handed on");
    s->m_repeats = host->svc->metric(host, FG_METRIC_COUNTER, "graph_repeats_total",
                                     "messages that Graph repeated and that were passed over");
    s->m_throttled = host->svc->metric(host, FG_METRIC_COUNTER, "graph_throttled_total",
                                         "answers that asked for patience");
    list_mailboxes(s);
    *ret_self = s;
    return 0;
}

static int start_source(void *self, struct fg_error *err)
{
    struct source *s = self;

    s->running = true;
    s->timer = s->host->svc->timer_new(s->host, time_over, s);
    token_start(s);
    directory_start(s);
    source_wake(s);
    return 0;
}

static void stop_source(void *self, fg_done_cb done, void *arg)
{
    struct source *s = self;

    s->running = false;
    for (struct mailbox *m = NULL; (m = mailbox_next(s, m));)
        drop_mailbox(m);
    directory_stop(s);
    token_stop(s);
    s->host->svc->timer_free(s->timer);
    s->timer = NULL;
    give_batch_back(s);
    if (s->n_reading == 0) {
        done(arg);
        return;
    }
    s->stopped = done;
    s->stopped_arg = arg;
}

static void close_source(void *self)
{
    struct source *s = self;

    if (!s)
        return;
    schedule_free(&s->schedule);
    mailboxes_free(s);
    free(s->graph_base);
    free(s->login_base);
    free(s);
}

static int check_url(const char *key, const char *url, struct fg_error *err)
{
    struct url_origin origin;

    if (!url_origin_read(fg_slice_of(url), &origin) || strpbrk(url, "?#"))
        return fg_error_set(err, FG_E_CONFIG, 0, "`%s` is \"%.100s\": write scheme and host, as in "
                            "https://graph.microsoft.com", key, url);
    if (!origin.https && !url_origin_is_loopback(&origin))
        return fg_error_set(err, FG_E_CONFIG, 0, "`%s` is \"%.100s\": a token goes there, so plain http is allowed "
                            "towards loopback only; write https", key, url);
    return 0;
}

static int check_names(const char *key, const struct fg_strings *names, bool (*ok)(struct fg_slice name),
                       const char *want, struct fg_error *err)
{
    for (size_t i = 0; i < names->len; i++)
        if (!ok(fg_slice_of(names->items[i])))
            return fg_error_set(err, FG_E_CONFIG, 0, "`%s` has \"%.100s\": %s", key, names->items[i], want);
    return 0;
}

static int check_tenant(const char *tenant, struct fg_error *err)
{
    size_t n = strspn(tenant, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");

    if (n > 0 && n <= 255 && tenant[n] == '\0')
        return 0;
    return fg_error_set(err, FG_E_CONFIG, 0, "`tenant` is \"%.100s\": write its domain or its ID", tenant);
}

static int check(const void *config, struct fg_error *err)
{
    static const char mailbox_want[] = "write an address or object ID, without spaces and slashes";
    static const char folder_want[] = "write a well-known name such as inbox, or a folder ID; paths are not understood";
    const struct config *c = config;
    const struct mailboxes *m = c->mailboxes;
    int r;

    if (!m->domain == !m->list.len)
        return fg_error_set(err, FG_E_CONFIG, 0, "`mailboxes` needs `domain` or `list`, and not both");
    if (m->domain && (!mailbox_name_ok(fg_slice_of(m->domain)) || strchr(m->domain, '@')))
        return fg_error_set(err, FG_E_CONFIG, 0, "`mailboxes.domain` is \"%.100s\": write what stands behind the @",
                            m->domain);
    r = check_tenant(c->tenant, err);
    if (r == 0)
        r = check_url("graph", c->graph, err);
    if (r == 0)
        r = check_url("login", c->login, err);
    if (r == 0)
        r = check_names("mailboxes.list", &m->list, mailbox_name_ok, mailbox_want, err);
    if (r == 0)
        r = check_names("mailboxes.exclude", &m->exclude, mailbox_name_ok, mailbox_want, err);
    if (r == 0)
        r = check_names("folders", &c->folders, folder_name_ok, folder_want, err);
    return r;
}

static const struct fg_option credential_options[] = {
    { .key = "secret", .type = FG_OPTION_STRING, .flags = FG_OPTION_REQUIRED | FG_OPTION_SECRET,
      .offset = offsetof(struct credential, secret), .summary = "the app's client secret" },
    FG_OPTION_END,
};

static const struct fg_option mailboxes_options[] = {
    { .key = "domain", .type = FG_OPTION_STRING, .offset = offsetof(struct mailboxes, domain),
      .summary = "all mailboxes whose address ends with @ and this; listed anew every 10 minutes",
      .detail = "Needs the permission User.ReadBasic.All besides Mail.Read." },
    { .key = "list", .type = FG_OPTION_STRINGS, .max = 100000, .offset = offsetof(struct mailboxes, list),
      .summary = "addresses or object IDs of mailboxes" },
    { .key = "exclude", .type = FG_OPTION_STRINGS, .max = 100000, .offset = offsetof(struct mailboxes, exclude),
      .summary = "addresses that are left out, in any case of letters" },
    FG_OPTION_END,
};

static const struct fg_option options[] = {
    { .key = "tenant", .type = FG_OPTION_STRING, .flags = FG_OPTION_REQUIRED, .offset = offsetof(struct config, tenant),
      .summary = "the tenant's domain or ID" },
    { .key = "client", .type = FG_OPTION_STRING, .flags = FG_OPTION_REQUIRED, .offset = offsetof(struct config, client),
      .summary = "the app registration's client ID" },
    { .key = "credential", .type = FG_OPTION_GROUP, .flags = FG_OPTION_REQUIRED, .members = credential_options,
      .members_size = sizeof(struct credential), .offset = offsetof(struct config, credential),
      .summary = "how the app proves who it is" },
    { .key = "mailboxes", .type = FG_OPTION_GROUP, .flags = FG_OPTION_REQUIRED, .members = mailboxes_options,
      .members_size = sizeof(struct mailboxes), .offset = offsetof(struct config, mailboxes),
      .summary = "which mailboxes are read: a domain's, or those of a list" },
    { .key = "folders", .type = FG_OPTION_STRINGS, .fallback = "[inbox]", .min = 1, .max = 64,
      .offset = offsetof(struct config, folders), .summary = "folders of each mailbox: well-known names or IDs" },
    { .key = "poll", .type = FG_OPTION_DURATION, .fallback = "10s", .min = 100, .max = 86400000, .unit = "ms",
      .offset = offsetof(struct config, poll),
      .summary = "how often each folder is asked for changes, give or take a tenth" },
    { .key = "page-size", .type = FG_OPTION_INTEGER, .fallback = "50", .min = 1, .max = 1000, .unit = "messages",
      .offset = offsetof(struct config, page_size), .summary = "messages asked for at a time",
      .detail = "Halved for a folder whose pages take too long or are too large, and raised again when they are not." },
    { .key = "page-bytes", .type = FG_OPTION_SIZE, .fallback = "64MiB", .min = 65536, .max = 1073741824,
      .unit = "bytes", .offset = offsetof(struct config, page_bytes), .summary = "largest page that is taken",
      .detail = "One larger than this or than `limits.memory` is asked for in smaller parts, down to one mail." },
    { .key = "concurrency", .type = FG_OPTION_INTEGER, .fallback = "4", .min = 1, .max = 256, .unit = "mailboxes",
      .offset = offsetof(struct config, concurrency), .summary = "mailboxes read at a time, each one page at a time" },
    { .key = "remember", .type = FG_OPTION_INTEGER, .fallback = "65536", .min = 0, .max = REMEMBER_MAX,
      .unit = "versions", .offset = offsetof(struct config, remember),
      .summary = "how many versions of a folder's mails are known again when Graph repeats them; 0: none",
      .detail = "Kept in the cursors topic. Each takes 19 bytes of memory here and 11 there." },
    { .key = "body", .type = FG_OPTION_ENUM, .fallback = "html", .choices = body_names,
      .offset = offsetof(struct config, body), .summary = "how Graph gives the messages' bodies" },
    { .key = "attachments", .type = FG_OPTION_BOOL, .fallback = "true", .offset = offsetof(struct config, attachments),
      .summary = "ask for names, types and sizes of attachments, never for their contents" },
    { .key = "graph", .type = FG_OPTION_URL, .fallback = "https://graph.microsoft.com",
      .offset = offsetof(struct config, graph),
      .summary = "Graph's address in your cloud; plain http only to loopback" },
    { .key = "login", .type = FG_OPTION_URL, .fallback = "https://login.microsoftonline.com",
      .offset = offsetof(struct config, login),
      .summary = "the login endpoint's address in your cloud; plain http only to loopback" },
    FG_OPTION_END,
};

static const struct fg_source_ops source_ops = { .assign = assign, .revoke = revoke, .pull = pull, .rewind = rewind_to,
                                                 .keys = keys };

FG_PLUGIN(.kind = FG_KIND_SOURCE, .name = "source-graphmail", .version = FG_VERSION,
          .summary = "reads mail of Microsoft 365 mailboxes by Graph's delta queries", .options = options,
          .config_size = sizeof(struct config), .check = check, .open = open_source, .start = start_source,
          .stop = stop_source, .close = close_source, .source = &source_ops);
