/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim-graph: a simulated Microsoft Graph over a folder of mails: token, users, folders, message delta, single messages;
 * mails that arrive while it runs, and faults on request.
 */
#include <fragua/plugin.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <fragua/kit/json.h>
#include <fragua/kit/str.h>

#include "faults.h"
#include "store.h"

#define ANSWER_MAX (256u * 1024u * 1024u)
#define TOKENS_MAX 64u
#define PAGE_MAX 1000

struct config {
    const char *mails, *client;
    const struct fg_secret *secret;
    int64_t initial, arrive, rescan, page, token_lifetime;
};

struct token {
    char text[64];
    uint64_t until_ms;
};

struct sim {
    struct fg_host *host;
    const struct config *config;
    struct store store;
    struct faults faults;
    struct token tokens[TOKENS_MAX];
    size_t next_token;
    struct fg_timer *arrive, *rescan;
    uint64_t n_tokens, n_users, n_delta, n_messages;
};

static void reply_json(struct sim *s, struct fg_exchange *x, int status, struct fg_buf *buf)
{
    if (buf->failed)
        s->host->svc->exchange_problem(x, 500, "too large", "the answer does not fit: ask for smaller pages");
    else
        s->host->svc->exchange_reply(x, status, "application/json; odata.metadata=minimal", fg_buf_slice(buf));
    fg_buf_deinit(buf);
}

/* An error as Graph words it. */
static void reply_error(struct sim *s, struct fg_exchange *x, int status, const char *code, const char *message)
{
    struct fg_buf buf = FG_BUF_INIT(4096);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);

    fg_json_object(&w);
    fg_json_key(&w, "error");
    fg_json_object(&w);
    fg_json_kv_cstr(&w, "code", code);
    fg_json_kv_cstr(&w, "message", message);
    fg_json_object_end(&w);
    fg_json_object_end(&w);
    reply_json(s, x, status, &buf);
}

/* Plays the fault that is due for this kind of call, if any; true: the exchange has been dealt with. */
static bool play_fault(struct sim *s, struct fg_exchange *x, enum call_kind kind)
{
    const struct fault *fault = faults_take(&s->faults, kind);
    char seconds[24];

    if (!fault)
        return false;
    if (fault->cut) {
        s->host->svc->exchange_begin(x, 200, "application/json");
        (void)s->host->svc->exchange_write(x, (struct fg_slice)FG_SLICE("{\"value\":[{\"id\":\"cut off he"));
        s->host->svc->exchange_abort(x);
        return true;
    }
    if (fault->garbage) {
        s->host->svc->exchange_reply(x, 200, "application/json", (struct fg_slice)FG_SLICE("<html>not Graph</html>"));
        return true;
    }
    if (fault->retry_after >= 0) {
        (void)snprintf(seconds, sizeof(seconds), "%" PRId64, fault->retry_after);
        s->host->svc->exchange_set_header(x, "Retry-After", seconds);
    }
    reply_error(s, x, (int)fault->status, fault->code, "a fault that was asked for");
    return true;
}

static bool form_value(struct fg_slice form, const char *name, struct fg_buf *out)
{
    struct fg_slice pair, key, value;

    while (form.len) {
        (void)fg_slice_cut(form, '&', &pair, &form);
        if (!fg_slice_cut(pair, '=', &key, &value) || !fg_slice_is(key, name))
            continue;
        for (size_t i = 0; i < value.len; i++) {
            char hex[3] = { 0 };
            if (value.ptr[i] == '%' && i + 2 < value.len) {
                memcpy(hex, value.ptr + i + 1, 2);
                fg_buf_add_char(out, (char)strtoul(hex, NULL, 16));
                i += 2;
            } else {
                fg_buf_add_char(out, value.ptr[i] == '+' ? ' ' : value.ptr[i]);
            }
        }
        return true;
    }
    return false;
}

static bool form_is(struct fg_slice form, const char *name, struct fg_slice wanted)
{
    struct fg_buf value = FG_BUF_INIT(4096);
    bool same = form_value(form, name, &value) && fg_slice_eq(fg_buf_slice(&value), wanted);

    fg_buf_deinit(&value);
    return same;
}

static void post_token(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fg_slice form = s->host->svc->exchange_body(x);
    struct fg_buf buf = FG_BUF_INIT(4096);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    struct token *token = &s->tokens[s->next_token++ % TOKENS_MAX];

    s->n_tokens++;
    if (play_fault(s, x, CALL_TOKEN))
        return;
    if (!form_is(form, "grant_type", (struct fg_slice)FG_SLICE("client_credentials")) ||
        !form_is(form, "client_id", fg_slice_of(s->config->client)) ||
        !form_is(form, "client_secret", s->host->svc->secret_get(s->host, s->config->secret))) {
        s->host->svc->exchange_reply(x, 401, "application/json",
                                     (struct fg_slice)FG_SLICE("{\"error\":\"invalid_client\",\"error_description\":"
                                                               "\"AADSTS7000215: Invalid client secret provided.\"}"));
        return;
    }
    (void)snprintf(token->text, sizeof(token->text), "sim-%016" PRIx64 "%016" PRIx64, s->host->svc->random(s->host),
                   s->host->svc->random(s->host));
    token->until_ms = s->host->svc->now_ms(s->host) + (uint64_t)s->config->token_lifetime;
    fg_json_object(&w);
    fg_json_kv_cstr(&w, "token_type", "Bearer");
    fg_json_kv_int(&w, "expires_in", s->config->token_lifetime / 1000);
    fg_json_kv_cstr(&w, "access_token", token->text);
    fg_json_object_end(&w);
    reply_json(s, x, 200, &buf);
}

/* true: let in. Else a 401 has been sent. */
static bool authorised(struct sim *s, struct fg_exchange *x)
{
    struct fg_slice given = s->host->svc->exchange_header(x, "Authorization");
    uint64_t now = s->host->svc->now_ms(s->host);

    if (fg_slice_starts(given, (struct fg_slice)FG_SLICE("Bearer "))) {
        given = fg_slice_sub(given, 7, given.len);
        for (size_t i = 0; i < TOKENS_MAX; i++)
            if (s->tokens[i].text[0] && fg_slice_is(given, s->tokens[i].text) && s->tokens[i].until_ms > now)
                return true;
    }
    reply_error(s, x, 401, "InvalidAuthenticationToken", "Access token is empty, unknown or has expired.");
    return false;
}

static bool begin_call(struct sim *s, struct fg_exchange *x, enum call_kind kind)
{
    return !play_fault(s, x, kind) && authorised(s, x);
}

static void write_user(struct fg_json_writer *w, const char *mailbox)
{
    fg_json_object(w);
    fg_json_kv_cstr(w, "id", mailbox);
    fg_json_kv_cstr(w, "mail", mailbox);
    fg_json_kv_cstr(w, "userPrincipalName", mailbox);
    fg_json_object_end(w);
}

/* The first folder of each mailbox stands for it. */
static bool first_of_mailbox(const struct store *s, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (fg_slice_ieq(fg_slice_of(s->folders[k].mailbox), fg_slice_of(s->folders[i].mailbox)))
            return false;
    return true;
}

static void get_users(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fg_buf buf = FG_BUF_INIT(ANSWER_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);

    s->n_users++;
    if (!begin_call(s, x, CALL_USERS))
        return;
    fg_json_object(&w);
    fg_json_key(&w, "value");
    fg_json_array(&w);
    for (size_t i = 0; i < s->store.n_folders; i++)
        if (first_of_mailbox(&s->store, i))
            write_user(&w, s->store.folders[i].mailbox);
    fg_json_array_end(&w);
    fg_json_object_end(&w);
    reply_json(s, x, 200, &buf);
}

static void get_user(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fg_slice mailbox = s->host->svc->exchange_param(x, "mailbox");
    struct fg_buf buf = FG_BUF_INIT(4096);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    char *name;

    s->n_users++;
    if (!begin_call(s, x, CALL_USERS))
        return;
    if (!store_has_mailbox(&s->store, mailbox)) {
        reply_error(s, x, 404, "Request_ResourceNotFound", "Resource does not exist.");
        return;
    }
    name = fg_strdup_slice(mailbox);
    write_user(&w, name ? name : "");
    free(name);
    reply_json(s, x, 200, &buf);
}

static void get_folders(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fg_slice mailbox = s->host->svc->exchange_param(x, "mailbox");
    struct fg_buf buf = FG_BUF_INIT(ANSWER_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);

    if (!begin_call(s, x, CALL_USERS))
        return;
    fg_json_object(&w);
    fg_json_key(&w, "value");
    fg_json_array(&w);
    for (size_t i = 0; i < s->store.n_folders; i++) {
        const struct folder *f = &s->store.folders[i];
        if (!fg_slice_ieq(mailbox, fg_slice_of(f->mailbox)))
            continue;
        fg_json_object(&w);
        fg_json_kv_cstr(&w, "id", f->name);
        fg_json_kv_cstr(&w, "displayName", f->name);
        fg_json_object_end(&w);
    }
    fg_json_array_end(&w);
    fg_json_object_end(&w);
    reply_json(s, x, 200, &buf);
}

/* A path segment: what RFC 3986 reserves or forbids is percent-encoded. */
static void add_segment(struct fg_buf *link, struct fg_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool letter = ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9');
        if (letter || (c && strchr("-._~@!$'()*,;:", c)))
            fg_buf_add_char(link, c);
        else
            fg_buf_printf(link, "%%%02X", (unsigned)(unsigned char)c);
    }
}

static void write_link(struct sim *s, struct fg_exchange *x, struct fg_json_writer *w, const char *key,
                       const char *token, uint64_t seq)
{
    struct fg_buf link = FG_BUF_INIT(65536);

    fg_buf_printf(&link, "http://%.*s/v1.0/users/", FG_SLICE_ARG(s->host->svc->exchange_header(x, "Host")));
    add_segment(&link, s->host->svc->exchange_param(x, "mailbox"));
    fg_buf_add_str(&link, "/mailFolders/");
    add_segment(&link, s->host->svc->exchange_param(x, "folder"));
    fg_buf_printf(&link, "/messages/delta?%s=%" PRIu64, token, seq);
    fg_json_kv_string(w, key, fg_buf_slice(&link));
    fg_buf_deinit(&link);
}

static void write_change(struct fg_json_writer *w, const struct mail *m)
{
    if (!m->deleted) {
        fg_json_raw(w, fg_slice_make(m->json, m->len));
        return;
    }
    fg_json_object(w);
    fg_json_kv_cstr(w, "id", m->id);
    fg_json_key(w, "@removed");
    fg_json_raw(w, (struct fg_slice)FG_SLICE("{\"reason\":\"deleted\"}"));
    fg_json_object_end(w);
}

/* "Prefer: ..., odata.maxpagesize=N" */
static size_t page_size(struct sim *s, struct fg_exchange *x)
{
    struct fg_slice prefer = s->host->svc->exchange_header(x, "Prefer");
    ptrdiff_t at = fg_slice_find(prefer, (struct fg_slice)FG_SLICE("odata.maxpagesize="));
    struct fg_slice number, rest;
    int64_t n = s->config->page;

    if (at >= 0) {
        (void)fg_slice_cut(fg_slice_sub(prefer, (size_t)at + 18, prefer.len), ',', &number, &rest);
        (void)fg_parse_int(fg_slice_trim(number), &n);
    }
    return n < 1 ? 1 : n > PAGE_MAX ? PAGE_MAX : (size_t)n;
}

/* Where the caller stands: the sequence number in its token; -1: the token is none of ours, and 410 has been sent. */
static int64_t read_token(struct sim *s, struct fg_exchange *x)
{
    struct fg_slice token = s->host->svc->exchange_query(x, "$deltatoken");
    int64_t seq = 0;

    if (!token.len)
        token = s->host->svc->exchange_query(x, "$skiptoken");
    if (token.len && (!fg_parse_int(token, &seq) || seq < 0 || (uint64_t)seq > s->store.seq)) {
        reply_error(s, x, 410, "syncStateNotFound", "The sync state generation is not found.");
        return -1;
    }
    return seq;
}

static void get_delta(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    const struct folder *folder;
    struct fg_buf buf = FG_BUF_INIT(ANSWER_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    const struct mail *m;
    size_t left = page_size(s, x);
    int64_t seq;

    s->n_delta++;
    if (!begin_call(s, x, CALL_DELTA) || (seq = read_token(s, x)) < 0)
        return;
    folder = store_folder(&s->store, s->host->svc->exchange_param(x, "mailbox"),
                          s->host->svc->exchange_param(x, "folder"));
    if (!folder) {
        reply_error(s, x, 404, "ErrorItemNotFound", "The specified object was not found in the store.");
        return;
    }
    fg_json_object(&w);
    fg_json_key(&w, "value");
    fg_json_array(&w);
    while (left && (m = store_after(&s->store, folder, (uint64_t)seq))) {
        write_change(&w, m);
        seq = (int64_t)m->seq;
        left--;
    }
    fg_json_array_end(&w);
    if (store_after(&s->store, folder, (uint64_t)seq))
        write_link(s, x, &w, "@odata.nextLink", "$skiptoken", (uint64_t)seq);
    else
        write_link(s, x, &w, "@odata.deltaLink", "$deltatoken", (uint64_t)seq);
    fg_json_object_end(&w);
    reply_json(s, x, 200, &buf);
}

static void get_message(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    const struct mail *m;

    s->n_messages++;
    if (!begin_call(s, x, CALL_MESSAGE))
        return;
    m = store_find(&s->store, s->host->svc->exchange_param(x, "mailbox"), s->host->svc->exchange_param(x, "id"));
    if (m)
        s->host->svc->exchange_reply(x, 200, "application/json", fg_slice_make(m->json, m->len));
    else
        reply_error(s, x, 404, "ErrorItemNotFound", "The specified object was not found in the store.");
}

/* The switches of the simulation itself */

static void get_state(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fg_buf buf = FG_BUF_INIT(4096);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);

    fg_json_object(&w);
    fg_json_kv_int(&w, "mails", (int64_t)s->store.n);
    fg_json_kv_int(&w, "arrived", (int64_t)s->store.arrived);
    fg_json_kv_int(&w, "changes", (int64_t)s->store.seq);
    fg_json_kv_int(&w, "token_requests", (int64_t)s->n_tokens);
    fg_json_kv_int(&w, "user_requests", (int64_t)s->n_users);
    fg_json_kv_int(&w, "delta_requests", (int64_t)s->n_delta);
    fg_json_kv_int(&w, "message_requests", (int64_t)s->n_messages);
    fg_json_kv_int(&w, "faults_waiting", (int64_t)s->faults.n);
    fg_json_object_end(&w);
    reply_json(s, x, 200, &buf);
}

static void post_mail(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fg_slice body = s->host->svc->exchange_body(x);
    struct fg_slice type = s->host->svc->exchange_header(x, "Content-Type");
    struct fg_error err = FG_ERROR_NULL;
    bool json = fg_slice_starts(type, (struct fg_slice)FG_SLICE("application/json"));

    if (store_post(&s->store, s->host->svc->exchange_param(x, "mailbox"),
                   s->host->svc->exchange_param(x, "folder"), body, json, &err) < 0)
        s->host->svc->exchange_problem(x, err.code == FG_E_DATA ? 400 : 507, "no mail", err.text);
    else
        s->host->svc->exchange_reply(x, 201, "application/json", (struct fg_slice)FG_SLICE("{}"));
}

static void delete_mail(void *self, struct fg_exchange *x)
{
    struct sim *s = self;

    if (store_delete(&s->store, s->host->svc->exchange_param(x, "id")))
        s->host->svc->exchange_reply(x, 200, "application/json", (struct fg_slice)FG_SLICE("{}"));
    else
        s->host->svc->exchange_problem(x, 404, "not found", "no such mail has arrived");
}

static void post_fault(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fg_error err = FG_ERROR_NULL;

    if (faults_add(&s->faults, s->host->svc->exchange_body(x), &err) < 0)
        s->host->svc->exchange_problem(x, 400, "no fault", err.text);
    else
        s->host->svc->exchange_reply(x, 201, "application/json", (struct fg_slice)FG_SLICE("{}"));
}

static void delete_faults(void *self, struct fg_exchange *x)
{
    struct sim *s = self;

    s->faults.n = 0;
    s->host->svc->exchange_reply(x, 200, "application/json", (struct fg_slice)FG_SLICE("{}"));
}

#define FOLDER "/v1.0/users/{mailbox}/mailFolders/{folder}"

static const struct fg_route routes[] = {
    { "POST", "/{tenant}/oauth2/v2.0/token", FG_SCOPE_OPEN, "simulated sign-in: client credentials", NULL, NULL,
      post_token, 65536 },
    { "GET", "/v1.0/users", FG_SCOPE_OPEN, "simulated Graph: users", NULL, NULL, get_users, 0 },
    { "GET", "/v1.0/users/{mailbox}", FG_SCOPE_OPEN, "simulated Graph: one user", NULL, NULL, get_user, 0 },
    { "GET", "/v1.0/users/{mailbox}/mailFolders", FG_SCOPE_OPEN, "simulated Graph: folders", NULL, NULL,
      get_folders, 0 },
    { "GET", FOLDER "/messages/delta", FG_SCOPE_OPEN, "simulated Graph: changes of a folder", NULL, NULL,
      get_delta, 0 },
    { "GET", "/v1.0/users/{mailbox}/messages/{id}", FG_SCOPE_OPEN, "simulated Graph: one message", NULL, NULL,
      get_message, 0 },
    { "GET", "/sim/v1/state", FG_SCOPE_OPEN, "what the simulation has seen", NULL, NULL, get_state, 0 },
    { "POST", "/sim/v1/mails/{mailbox}/{folder}", FG_SCOPE_OPEN, "let a mail arrive: RFC 5322, or a message resource",
      NULL, NULL, post_mail, 64 * 1024 * 1024 },
    { "DELETE", "/sim/v1/mails/{id}", FG_SCOPE_OPEN, "delete a mail", NULL, NULL, delete_mail, 0 },
    { "POST", "/sim/v1/faults", FG_SCOPE_OPEN, "let the next calls fail", NULL, NULL, post_fault, 0 },
    { "DELETE", "/sim/v1/faults", FG_SCOPE_OPEN, "no more faults", NULL, NULL, delete_faults, 0 },
};

static void arrive(void *arg)
{
    struct sim *s = arg;

    (void)store_arrive(&s->store, 1);
    s->host->svc->timer_start(s->arrive, (uint64_t)s->config->arrive);
}

/*
 * A simulator may read its folder on the loop: files are local, a folder that did not change is not read again, and
 * nothing else of weight runs where it does.
 */
static void rescan(void *arg)
{
    struct sim *s = arg;
    struct fg_error err = FG_ERROR_NULL;

    if (store_scan(&s->store, s->config->mails, &err) < 0)
        s->host->svc->log(s->host, FG_LOG_WARN, "%s", err.text);
    if (!s->config->arrive)
        (void)store_arrive(&s->store, SIZE_MAX);
    s->host->svc->timer_start(s->rescan, (uint64_t)s->config->rescan);
}

static int start(void *self, struct fg_error *err)
{
    struct sim *s = self;

    if (s->config->mails && store_scan(&s->store, s->config->mails, err) < 0)
        return -1;
    (void)store_arrive(&s->store, s->config->initial < 0 ? SIZE_MAX : (size_t)s->config->initial);
    if (s->config->arrive)
        s->host->svc->timer_start(s->arrive, (uint64_t)s->config->arrive);
    if (s->config->rescan && s->config->mails)
        s->host->svc->timer_start(s->rescan, (uint64_t)s->config->rescan);
    return 0;
}

static int open_sim(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct sim *s = calloc(1, sizeof(*s));

    if (!s)
        return fg_error_set(err, FG_E_NO_ROOM, 0, "no memory");
    s->host = host;
    s->config = config;
    s->arrive = host->svc->timer_new(host, arrive, s);
    s->rescan = host->svc->timer_new(host, rescan, s);
    *ret_self = s;
    return 0;
}

static void close_sim(void *self)
{
    struct sim *s = self;

    if (!s)
        return;
    s->host->svc->timer_free(s->arrive);
    s->host->svc->timer_free(s->rescan);
    store_deinit(&s->store);
    free(s);
}

static const struct fg_option options[] = {
    { .key = "mails", .type = FG_OPTION_PATH, .offset = offsetof(struct config, mails),
      .summary = "folder of mails: MAILBOX/FOLDER/*.eml (RFC 5322) or *.json (message resources)" },
    { .key = "initial", .type = FG_OPTION_INTEGER, .fallback = "-1", .min = -1, .max = STORE_MAILS_MAX, .unit = "mails",
      .offset = offsetof(struct config, initial), .summary = "how many are there at the start; -1: all" },
    { .key = "arrive", .type = FG_OPTION_DURATION, .fallback = "0", .min = 0, .max = 86400000, .unit = "ms",
      .offset = offsetof(struct config, arrive), .summary = "time between two of the others; 0: they arrive as found" },
    { .key = "rescan", .type = FG_OPTION_DURATION, .fallback = "1s", .min = 0, .max = 86400000, .unit = "ms",
      .offset = offsetof(struct config, rescan), .summary = "how often to look for new files; 0: never" },
    { .key = "client", .type = FG_OPTION_STRING, .fallback = "sim", .offset = offsetof(struct config, client),
      .summary = "the client id that is let in" },
    { .key = "secret", .type = FG_OPTION_STRING, .flags = FG_OPTION_SECRET | FG_OPTION_REQUIRED,
      .offset = offsetof(struct config, secret), .summary = "its secret" },
    { .key = "page", .type = FG_OPTION_INTEGER, .fallback = "10", .min = 1, .max = PAGE_MAX, .unit = "messages",
      .offset = offsetof(struct config, page), .summary = "messages a page, where the caller does not ask" },
    { .key = "token-lifetime", .type = FG_OPTION_DURATION, .fallback = "1h", .min = 1000, .max = 86400000, .unit = "ms",
      .offset = offsetof(struct config, token_lifetime), .summary = "how long a token is good" },
    FG_OPTION_END,
};

static const struct fg_control_ops control_ops = { .routes = routes, .n_routes = sizeof(routes) / sizeof(routes[0]) };

FG_PLUGIN(.kind = FG_KIND_CONTROL, .name = "sim-graph", .version = FG_VERSION,
          .summary = "a simulated Microsoft Graph over a folder of mails, for trying and testing", .options = options,
          .config_size = sizeof(struct config), .open = open_sim, .start = start, .close = close_sim,
          .control = &control_ops);
