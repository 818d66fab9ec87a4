/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which mailboxes a domain has: GET /users, page by page, again and again.
 *
 * What a page names is known at once. What no page of a whole walk has named is dropped at its end; a walk that breaks
 * off drops nothing.
 */
#include <stdlib.h>

#include <fragua/kit/str.h>

#include "source.h"

#define USERS_PAGE 999u /* the most that Graph gives */
#define USERS_BYTES_MAX (8u << 20) /* of one page */

static void set_link(struct directory *d, char *link)
{
    free(d->link);
    d->link = link;
}

static void next_after(struct source *s, uint64_t wait_ms)
{
    s->host->svc->timer_start(s->directory.timer, wait_ms);
}

static void failed(struct source *s, const struct fg_error *err)
{
    struct directory *d = &s->directory;
    uint64_t wait = err->retry_after_ms ? err->retry_after_ms
                                        : source_jitter(s, RETRY_BASE_MS, RETRY_CAP_MS, d->attempt);

    if (d->err.code != err->code)
        s->host->svc->log(s->host, FG_LOG_WARN, "cannot list the mailboxes of \"%s\": %s; trying again in %llu ms",
                          s->config->mailboxes->domain, err->text, (unsigned long long)wait);
    d->err = *err;
    d->attempt++;
    set_link(d, NULL);
    next_after(s, wait);
    source_wake(s);
}

static void found(void *arg, struct fg_slice address)
{
    struct source *s = arg;
    struct fg_slice domain = fg_slice_of(s->config->mailboxes->domain), name, rest = address;
    struct mailbox *m;

    while (fg_slice_cut(rest, '@', &name, &rest) && memchr(rest.ptr ? rest.ptr : "", '@', rest.len))
        ; /* the domain is behind the last '@' */
    if (!fg_slice_ieq(rest, domain) || address.len == rest.len || !mailbox_name_ok(address))
        return;
    m = mailbox_get(s, address);
    if (!m) {
        s->host->svc->log(s->host, FG_LOG_WARN, "more than %u mailboxes: \"%.*s\" is left out", MAILBOXES_MAX,
                          FG_SLICE_ARG(address));
        return;
    }
    m->walk = s->directory.walk;
    mailbox_list(m, true);
}

static void walk_over(struct source *s)
{
    struct directory *d = &s->directory;
    size_t n = 0;

    for (struct mailbox *m = NULL; (m = mailbox_next(s, m));) {
        if (m->listed && m->walk != d->walk) {
            s->host->svc->log(s->host, FG_LOG_INFO, "mailbox \"%s\" is gone from \"%s\"", m->name,
                              s->config->mailboxes->domain);
            mailbox_list(m, false);
        }
        n += m->listed;
    }
    s->host->svc->log(s->host, d->walk == 1 || d->err.code ? FG_LOG_INFO : FG_LOG_DEBUG, "%zu mailboxes in \"%s\"", n,
                      s->config->mailboxes->domain);
    d->attempt = 0;
    d->err = FG_ERROR_NULL;
    next_after(s, DIRECTORY_MS);
}

static void page(struct source *s, struct fg_slice body)
{
    struct directory *d = &s->directory;
    struct fg_error err = FG_ERROR_NULL;
    char *next = NULL;

    if (page_read_users(body, found, s, &next, &err) < 0) {
        failed(s, &err);
    } else if (next && !url_is_of(fg_slice_of(next), &s->graph)) {
        (void)fg_error_set(&err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "the link to the next page leads away from %s",
                           s->config->graph);
        free(next);
        failed(s, &err);
    } else {
        set_link(d, next);
        if (next)
            d->due = true;
        else
            walk_over(s);
        source_wake(s);
    }
}

static void answered(void *arg, const struct fg_http_response *res, const struct fg_error *err)
{
    struct source *s = arg;
    struct directory *d = &s->directory;
    struct fg_error why = FG_ERROR_NULL;
    enum answer answer;

    d->call = NULL;
    if (!res) {
        failed(s, err);
        return;
    }
    answer = answer_read(res->status, res->body, res->retry_after_ms, &why);
    if (answer == ANSWER_OK) {
        page(s, res->body);
    } else if (answer == ANSWER_RENEW && token_refused(s, d->serial)) {
        d->due = true;
        source_wake(s);
    } else {
        failed(s, &why);
    }
}

void directory_step(struct source *s)
{
    struct directory *d = &s->directory;
    struct fg_buf url = FG_BUF_INIT(URL_MAX);
    struct fg_error err = FG_ERROR_NULL;
    uint64_t now = s->host->svc->now_ms(s->host);
    const char *token;

    if (!d->due || d->call)
        return;
    if (now < s->hold_ms) {
        next_after(s, s->hold_ms - now);
        return;
    }
    if (!(token = token_get(s, &d->serial)))
        return;
    d->due = false;
    if (!d->link)
        d->walk++;
    if (d->link)
        fg_buf_add_str(&url, d->link);
    else
        fg_buf_printf(&url, "%s/v1.0/users?$select=id,mail,userPrincipalName&$top=%u", s->graph_base, USERS_PAGE);
    if (url.failed) {
        (void)fg_error_set(&err, FG_E_LIMIT, 0, "a URL of more than %u bytes", URL_MAX);
    } else {
        const struct fg_header headers[] = { { FG_SLICE("Authorization"), fg_slice_of(token) },
                                             { FG_SLICE("Accept"), FG_SLICE("application/json") } };
        struct fg_http_request req = { .method = "GET", .url = url.data, .headers = headers, .n_headers = 2,
                                       .timeout_ms = REQUEST_TIMEOUT_MS, .body_max = USERS_BYTES_MAX,
                                       .allow_private = url_origin_is_loopback(&s->graph) };
        d->call = s->host->svc->http_send(s->host, &req, answered, s, &err);
    }
    fg_buf_deinit(&url);
    if (!d->call)
        failed(s, &err);
}

static void time_over(void *arg)
{
    struct source *s = arg;

    s->directory.due = true;
    directory_step(s);
}

void directory_start(struct source *s)
{
    if (!s->config->mailboxes->domain)
        return;
    s->directory.timer = s->host->svc->timer_new(s->host, time_over, s);
    s->directory.due = true;
    directory_step(s);
}

void directory_stop(struct source *s)
{
    struct directory *d = &s->directory;

    if (d->call)
        s->host->svc->http_cancel(d->call);
    s->host->svc->timer_free(d->timer);
    set_link(d, NULL);
    *d = (struct directory){ .walk = d->walk };
}
