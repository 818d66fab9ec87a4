/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a folder after its turn: when it is asked again, and what people are told. */
#include <stdlib.h>

#include "source.h"

void folder_count(struct folder *f)
{
    struct source *s = f->mailbox->source;
    bool polled = f->assigned && f->wanted && f->mailbox->listed;
    bool failing = polled && f->failing;

    s->n_polled += (size_t)polled - (size_t)f->counted;
    s->n_failing += (size_t)failing - (size_t)f->counted_failing;
    f->counted = polled;
    f->counted_failing = failing;
}

/* Asks for smaller pages from now on. */
static void lighten(struct folder *f)
{
    if (f->page_size > 1)
        f->page_size /= 2;
    f->good_pages = 0;
}

/* How long the folder rests. What Retry-After says is the mailbox's matter, because it counts for all its folders. */
static uint64_t rest_ms(struct folder *f, enum answer answer, const struct fg_error *err)
{
    struct source *s = f->mailbox->source;
    uint64_t park;

    if (answer == ANSWER_REFUSED) {
        park = PARK_BASE_MS / 2 + source_jitter(s, PARK_BASE_MS, PARK_CAP_MS, f->attempt);
        return park > err->retry_after_ms ? park : err->retry_after_ms;
    }
    if (err->retry_after_ms)
        return err->retry_after_ms;
    return source_jitter(s, RETRY_BASE_MS, RETRY_CAP_MS, f->attempt);
}

/* One bad mailbox is its own matter; many bad answers without a good one between are everybody's. */
static void hold_all(struct source *s, uint64_t now, const struct fg_error *err)
{
    bool held = now < s->hold_ms; /* so it was asked before all were to wait, and is no further bad answer in a row */
    uint64_t wait;

    if (held ? !err->retry_after_ms : ++s->bad_in_row < HOLD_AFTER)
        return;
    wait = err->retry_after_ms ? err->retry_after_ms
                               : source_jitter(s, RETRY_BASE_MS, RETRY_CAP_MS, s->bad_in_row - HOLD_AFTER);
    if (now + wait > s->hold_ms)
        s->hold_ms = now + wait;
}

static void tell(struct folder *f, const struct fg_error *err, uint64_t rest)
{
    struct source *s = f->mailbox->source;
    enum fg_log_level level = f->failing ? FG_LOG_DEBUG : err->code == FG_E_THROTTLED ? FG_LOG_INFO : FG_LOG_WARN;

    s->host->svc->log(s->host, level, "mailbox \"%s\", folder \"%s\": %s; trying again in %llu s", f->mailbox->name,
                      f->name, err->text, (unsigned long long)((rest + 999) / 1000));
}

/* Nothing is wrong with Graph, and waiting would not help. */
static void too_large(struct folder *f, const struct fg_error *err)
{
    struct source *s = f->mailbox->source;

    f->page_size = f->page_size > PAGE_CUT ? f->page_size / PAGE_CUT : 1;
    f->good_pages = 0;
    f->due_ms = s->host->svc->now_ms(s->host);
    s->host->svc->log(s->host, FG_LOG_DEBUG, "mailbox \"%s\", folder \"%s\": %s; asking for %d messages at a time",
                      f->mailbox->name, f->name, err->text, f->page_size);
}

void turn_failed(struct folder *f, enum answer answer, const struct fg_error *err)
{
    struct source *s = f->mailbox->source;
    uint64_t now = s->host->svc->now_ms(s->host), rest;

    if (answer == ANSWER_HEAVY && err->code == FG_E_LIMIT) {
        if (f->page_size > 1) {
            too_large(f, err);
            return;
        }
        answer = ANSWER_REFUSED; /* one message alone is too large: asking often does not help */
    }
    if (answer == ANSWER_HEAVY)
        lighten(f);
    rest = rest_ms(f, answer, err);
    tell(f, err, rest);
    if (answer == ANSWER_THROTTLED)
        s->host->svc->metric_add(s->m_throttled, 1);
    if (answer == ANSWER_THROTTLED || err->retry_after_ms)
        f->mailbox->not_before_ms = now + rest;
    if (answer == ANSWER_THROTTLED || answer == ANSWER_DOWN || answer == ANSWER_RENEW)
        hold_all(s, now, err);
    f->due_ms = now + rest;
    f->attempt++;
    f->failing = true;
    folder_count(f);
    s->last_err = *err;
    source_trouble(s);
}

void turn_reset(struct folder *f, struct fg_slice location)
{
    struct source *s = f->mailbox->source;
    struct fg_error err = FG_ERROR_NULL;
    size_t known;

    if (location.len && !url_is_of(location, &s->graph)) {
        (void)fg_error_set(&err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE,
                           "the link for starting again leads away from %s: not followed", s->config->graph);
        turn_failed(f, ANSWER_REFUSED, &err);
        return;
    }
    if (f->restart)
        location = FG_SLICE_NULL; /* what Graph told us to begin with has failed: begin in our own way */
    else if (!f->cursor) {
        (void)fg_error_set(&err, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "Graph calls a walk expired that only begins");
        turn_failed(f, ANSWER_REFUSED, &err);
        return;
    }
    known = memory_count(&f->memory);
    s->host->svc->log(s->host, known ? FG_LOG_INFO : FG_LOG_WARN,
                      "mailbox \"%s\", folder \"%s\": Graph no longer knows the cursor: reading the whole folder "
                      "again%s",
                      f->mailbox->name, f->name, known ? ", past what is known of it" : "");
    poll_set_cursor(f, FG_SLICE_NULL);
    if (location.len)
        f->restart = text_copy(location);
    f->due_ms = s->host->svc->now_ms(s->host);
}

void turn_good(struct folder *f)
{
    struct source *s = f->mailbox->source;

    if (f->failing)
        s->host->svc->log(s->host, FG_LOG_INFO, "mailbox \"%s\", folder \"%s\" works again", f->mailbox->name, f->name);
    f->failing = false;
    f->attempt = 0;
    s->bad_in_row = 0;
    if (++f->good_pages >= PAGES_BEFORE_GROWTH && f->page_size < s->config->page_size) {
        f->page_size = f->page_size * 2 < s->config->page_size ? f->page_size * 2 : (int)s->config->page_size;
        f->good_pages = 0;
    }
    folder_count(f);
    source_trouble(s);
}
