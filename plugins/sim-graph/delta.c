/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of a folder, page by page.
 *
 * A token is "SEQ.ISSUE" or "SEQ.ISSUE.r": the last change the caller has, the token's own number, by which it can
 * expire, and that this page has been answered before. A bare "SEQ" is as good as the first token ever given out.
 */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <fragua/kit/str.h>

#define REPLAYED_MAX 3u /* changes of earlier pages that a page with repeats begins with */

/* Where a caller stands. */
struct place {
    uint64_t seq, issue;
    bool repeated;
};

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

static void add_link(struct sim *s, struct fg_exchange *x, struct fg_buf *link)
{
    fg_buf_printf(link, "http://%.*s/v1.0/users/", FG_SLICE_ARG(s->host->svc->exchange_header(x, "Host")));
    add_segment(link, s->host->svc->exchange_param(x, "mailbox"));
    fg_buf_add_str(link, "/mailFolders/");
    add_segment(link, s->host->svc->exchange_param(x, "folder"));
    fg_buf_add_str(link, "/messages/delta?");
}

static void write_link(struct sim *s, struct fg_exchange *x, struct fg_json_writer *w, bool more, struct place place)
{
    struct fg_buf link = FG_BUF_INIT(65536);

    add_link(s, x, &link);
    fg_buf_printf(&link, "%s=%" PRIu64 ".%" PRIu64 "%s", more ? "$skiptoken" : "$deltatoken", place.seq, ++s->issue,
                  place.repeated ? ".r" : "");
    fg_json_kv_string(w, more ? "@odata.nextLink" : "@odata.deltaLink", fg_buf_slice(&link));
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
    struct fg_slice value, rest;
    int64_t n = s->config->page;

    if (at >= 0) {
        (void)fg_slice_cut(fg_slice_sub(prefer, (size_t)at + 18, prefer.len), ',', &value, &rest);
        (void)fg_parse_int(fg_slice_trim(value), &n);
    }
    return n < 1 ? 1 : n > PAGE_MAX ? PAGE_MAX : (size_t)n;
}

static struct fg_slice token_of(struct sim *s, struct fg_exchange *x)
{
    struct fg_slice token = s->host->svc->exchange_query(x, "$deltatoken");

    return token.len ? token : s->host->svc->exchange_query(x, "$skiptoken");
}

/* false: no token of ours. */
static bool read_token(const struct sim *s, struct fg_slice token, struct place *ret)
{
    struct fg_slice seq, issue, mark, rest;
    int64_t n = 0, k = 0;

    *ret = (struct place){ .seq = 0 };
    if (!token.len)
        return true;
    (void)fg_slice_cut(token, '.', &seq, &rest);
    (void)fg_slice_cut(rest, '.', &issue, &mark);
    if (!fg_parse_int(seq, &n) || n < 0 || (uint64_t)n > s->store.seq)
        return false;
    if (issue.len && (!fg_parse_int(issue, &k) || k < 0))
        return false;
    *ret = (struct place){ (uint64_t)n, (uint64_t)k, fg_slice_is(mark, "r") };
    return true;
}

/* As Graph is documented to say it, and as it does: in one way after the other. */
static void reply_expired(struct sim *s, struct fg_exchange *x)
{
    static const struct {
        const char *code;
        int status;
        bool location;
    } ways[] = {
        { "SyncStateNotFound", 410, false },
        { "resyncRequired", 410, true },
        { "syncStateNotFound", 400, false },
        { "resyncChangesApplyDifferences", 410, true },
    };
    size_t way = s->n_expired++ % (sizeof(ways) / sizeof(ways[0]));
    struct fg_buf link = FG_BUF_INIT(65536);

    if (ways[way].location) {
        add_link(s, x, &link);
        fg_buf_add_str(&link, "$deltatoken=");
        if (!link.failed)
            s->host->svc->exchange_set_header(x, "Location", link.data);
    }
    fg_buf_deinit(&link);
    sim_reply_error(s, x, ways[way].status, ways[way].code, "The sync state generation is not found.");
}

void sim_expire(struct sim *s, struct fg_slice mailbox)
{
    if (!mailbox.len)
        s->expired_all = s->issue + 1;
    for (size_t i = 0; i < s->store.n_folders; i++)
        if (mailbox.len && fg_slice_ieq(mailbox, fg_slice_of(s->store.folders[i].mailbox)))
            s->store.folders[i].expired = s->issue + 1;
    s->issue++;
}

static void write_repeats(struct fg_json_writer *w, const struct mail *const *before, size_t n_before,
                          const struct mail *const *page, size_t n)
{
    for (size_t i = 0; i < n_before; i++)
        write_change(w, before[i]);
    for (size_t i = 0; i < n; i++)
        write_change(w, page[i]);
    for (size_t i = n; i > 0; i--)
        write_change(w, page[i - 1]);
}

/*
 * One page. With repeats, what came last before it stands first, its items come twice, and unless it is the second time
 * already, the next link leads to the same page.
 */
static void write_page(struct sim *s, struct fg_exchange *x, const struct folder *folder, struct place place,
                       bool repeats)
{
    struct fg_buf buf = FG_BUF_INIT(ANSWER_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    const struct mail *page[PAGE_MAX], *before[REPLAYED_MAX], *m;
    size_t size = page_size(s, x), n = 0;
    struct place next = { .seq = place.seq };

    while (n < size && (m = store_after(&s->store, folder, next.seq))) {
        page[n++] = m;
        next.seq = m->seq;
    }
    fg_json_object(&w);
    fg_json_key(&w, "value");
    fg_json_array(&w);
    if (repeats)
        write_repeats(&w, before, store_before(&s->store, folder, place.seq, before, REPLAYED_MAX), page, n);
    for (size_t i = 0; !repeats && i < n; i++)
        write_change(&w, page[i]);
    fg_json_array_end(&w);
    s->n_duplicated += repeats;
    if (repeats && !place.repeated && n > 0)
        write_link(s, x, &w, true, (struct place){ .seq = place.seq, .repeated = true });
    else
        write_link(s, x, &w, store_after(&s->store, folder, next.seq) != NULL, next);
    fg_json_object_end(&w);
    sim_reply(s, x, 200, &buf);
}

void sim_get_delta(void *self, struct fg_exchange *x)
{
    struct sim *s = self;
    struct fg_slice token;
    const struct folder *found;
    struct folder *folder;
    struct place place;
    struct fault fault;

    s->n_delta += !s->resumed;
    if (!sim_begin(s, x, CALL_DELTA, sim_get_delta, &fault))
        return;
    token = token_of(s, x);
    found = store_folder(&s->store, s->host->svc->exchange_param(x, "mailbox"),
                         s->host->svc->exchange_param(x, "folder"));
    if (!found) {
        sim_reply_error(s, x, 404, "ErrorItemNotFound", "The specified object was not found in the store.");
        return;
    }
    folder = &s->store.folders[found - s->store.folders];
    if (fault.act == ACT_EXPIRE)
        folder->expired = ++s->issue;
    if (!read_token(s, token, &place) ||
        (token.len && (place.issue < s->expired_all || place.issue < folder->expired)))
        reply_expired(s, x);
    else
        write_page(s, x, folder, place, fault.act == ACT_DUPLICATE);
}
