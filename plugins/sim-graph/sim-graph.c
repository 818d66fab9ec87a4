/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim-graph: a simulated Microsoft Graph over a folder of mails: token, users, folders, message delta, single messages;
 * mails that arrive while it runs, and faults on request.
 */
#include "sim.h"

#include <stdlib.h>

#include <fragua/kit/str.h>

static void write_user(struct fg_json_writer *w, const char *mailbox)
{
    fg_json_object(w);
    fg_json_kv_cstr(w, "id", mailbox);
    fg_json_kv_cstr(w, "mail", mailbox);
    fg_json_kv_cstr(w, "userPrincipalName", mailbox);
    fg_json_object_end(w);
}

static void get_users(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fault fault;
    struct fg_buf buf = FG_BUF_INIT(ANSWER_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);

    s->n_users += !s->resumed;
    if (!sim_begin(s, x, CALL_USERS, get_users, &fault))
        return;
    fg_json_object(&w);
    fg_json_key(&w, "value");
    fg_json_array(&w);
    for (size_t i = 0; i < s->store.n_folders; i++)
        if (s->store.folders[i].first)
            write_user(&w, s->store.folders[i].mailbox);
    fg_json_array_end(&w);
    fg_json_object_end(&w);
    sim_reply(s, x, 200, &buf);
}

static void get_user(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fault fault;
    struct fg_slice mailbox = s->host->svc->exchange_param(x, "mailbox");
    struct fg_buf buf = FG_BUF_INIT(4096);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    char *name;

    s->n_users += !s->resumed;
    if (!sim_begin(s, x, CALL_USERS, get_user, &fault))
        return;
    if (!store_has_mailbox(&s->store, mailbox)) {
        sim_reply_error(s, x, 404, "Request_ResourceNotFound", "Resource does not exist.");
        return;
    }
    name = fg_strdup_slice(mailbox);
    write_user(&w, name ? name : "");
    free(name);
    sim_reply(s, x, 200, &buf);
}

static void get_folders(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fault fault;
    struct fg_slice mailbox = s->host->svc->exchange_param(x, "mailbox");
    struct fg_buf buf = FG_BUF_INIT(ANSWER_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);

    if (!sim_begin(s, x, CALL_USERS, get_folders, &fault))
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
    sim_reply(s, x, 200, &buf);
}

static void get_message(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fault fault;
    struct fg_buf buf = FG_BUF_INIT(ANSWER_MAX);
    const struct mail *m;

    s->n_messages += !s->resumed;
    if (!sim_begin(s, x, CALL_MESSAGE, get_message, &fault))
        return;
    m = store_find(&s->store, s->host->svc->exchange_param(x, "mailbox"), s->host->svc->exchange_param(x, "id"));
    if (m) {
        fg_buf_add(&buf, m->json, m->len);
        sim_reply(s, x, 200, &buf);
    } else {
        sim_reply_error(s, x, 404, "ErrorItemNotFound", "The specified object was not found in the store.");
    }
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
    fg_json_kv_int(&w, "faults_played", (int64_t)s->n_faults);
    fg_json_kv_int(&w, "pages_with_repeats", (int64_t)s->n_duplicated);
    fg_json_kv_int(&w, "tokens_expired", (int64_t)s->n_expired);
    fg_json_kv_int(&w, "faults_waiting", (int64_t)s->faults.n);
    fg_json_object_end(&w);
    sim_reply(s, x, 200, &buf);
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

static void post_generate(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fg_error err = FG_ERROR_NULL;
    struct generate wanted;
    int r = generate_read(s->host->svc->exchange_body(x), &wanted, &err);

    if (r == 0)
        r = generate_mails(&s->store, &s->generated, &wanted, &err);
    if (r < 0)
        s->host->svc->exchange_problem(x, err.code == FG_E_DATA ? 400 : 507, "no mails", err.text);
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
    struct fault fault;
    int r = fault_read(s->host->svc->exchange_body(x), &fault, &err);

    if (r == 0 && fault.act == ACT_EXPIRE_ALL)
        sim_expire(s, fg_slice_of(fault.mailbox));
    else if (r == 0)
        r = faults_add(&s->faults, &fault, &err);
    if (r < 0)
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
      sim_post_token, 65536 },
    { "GET", "/v1.0/users", FG_SCOPE_OPEN, "simulated Graph: users", NULL, NULL, get_users, 0 },
    { "GET", "/v1.0/users/{mailbox}", FG_SCOPE_OPEN, "simulated Graph: one user", NULL, NULL, get_user, 0 },
    { "GET", "/v1.0/users/{mailbox}/mailFolders", FG_SCOPE_OPEN, "simulated Graph: folders", NULL, NULL,
      get_folders, 0 },
    { "GET", FOLDER "/messages/delta", FG_SCOPE_OPEN, "simulated Graph: changes of a folder", NULL, NULL,
      sim_get_delta, 0 },
    { "GET", "/v1.0/users/{mailbox}/messages/{id}", FG_SCOPE_OPEN, "simulated Graph: one message", NULL, NULL,
      get_message, 0 },
    { "GET", "/sim/v1/state", FG_SCOPE_OPEN, "what the simulation has seen", NULL, NULL, get_state, 0 },
    { "POST", "/sim/v1/mails/{mailbox}/{folder}", FG_SCOPE_OPEN, "let a mail arrive: RFC 5322, or a message resource",
      NULL, NULL, post_mail, 64 * 1024 * 1024 },
    { "POST", "/sim/v1/generate", FG_SCOPE_OPEN, "let many made-up mails arrive", NULL, NULL, post_generate, 0 },
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

    if (s->config->generate &&
        generate_mails(&s->store, &s->generated, s->config->generate, err) < 0)
        return -1;
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

static void stop(void *self, fg_done_cb done, void *arg)
{
    struct sim *s = self;

    s->host->svc->timer_stop(s->arrive);
    s->host->svc->timer_stop(s->rescan);
    sim_late_drop(s);
    done(arg);
}

static void close_sim(void *self)
{
    struct sim *s = self;

    if (!s)
        return;
    s->host->svc->timer_free(s->arrive);
    s->host->svc->timer_free(s->rescan);
    store_deinit(&s->store);
    generated_deinit(&s->generated);
    free(s);
}

static const struct fg_option generate_options[] = {
    { .key = "mailboxes", .type = FG_OPTION_INTEGER, .flags = FG_OPTION_REQUIRED, .min = 1, .max = STORE_FOLDERS_MAX,
      .unit = "mailboxes", .offset = offsetof(struct generate, mailboxes),
      .summary = "how many mailboxes: box0@contoso.example and so on" },
    { .key = "mails", .type = FG_OPTION_INTEGER, .flags = FG_OPTION_REQUIRED, .min = 0, .max = STORE_MAILS_MAX,
      .unit = "mails", .offset = offsetof(struct generate, mails), .summary = "how many mails each of them has" },
    { .key = "conversations", .type = FG_OPTION_INTEGER, .fallback = "5", .min = 1, .max = GENERATE_CONVERSATIONS_MAX,
      .unit = "conversations", .offset = offsetof(struct generate, conversations),
      .summary = "how many conversations of a mailbox its mails belong to, in turn" },
    { .key = "text", .type = FG_OPTION_SIZE, .fallback = "500", .min = 0, .max = GENERATE_TEXT_MAX, .unit = "bytes",
      .offset = offsetof(struct generate, text), .summary = "how long a mail's text is, about" },
    FG_OPTION_END,
};

static const struct fg_option options[] = {
    { .key = "mails", .type = FG_OPTION_PATH, .offset = offsetof(struct config, mails),
      .summary = "folder of mails: MAILBOX/FOLDER/*.eml (RFC 5322) or *.json (message resources)" },
    { .key = "generate", .type = FG_OPTION_GROUP, .members = generate_options,
      .members_size = sizeof(struct generate), .offset = offsetof(struct config, generate),
      .summary = "made-up mails that are there at the start, the same ones each time" },
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
          .config_size = sizeof(struct config), .open = open_sim, .start = start, .stop = stop, .close = close_sim,
          .control = &control_ops);
