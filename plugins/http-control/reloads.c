/* SPDX-License-Identifier: Apache-2.0 */
/* Reloads by the API: asked for, waited for, tried without doing anything, and told of. */
#include "reloads.h"

#include <stdlib.h>

#include <fragua/kit/json.h>
#include <fragua/kit/str.h>

#include "control.h"

#define GENERATION_DIGITS 19

static const char json_type[] = "application/json";

/* A request whose answer is what the host will say. */
struct wait {
    struct control *c;
    struct fg_exchange *x;
    bool dry;
    struct wait *prev, *next; /* in reloads->waits */
};

static struct wait *wait_new(struct control *c, struct fg_exchange *x, bool dry)
{
    struct wait *wait = calloc(1, sizeof(*wait));

    if (!wait)
        return NULL;
    *wait = (struct wait){ .c = c, .x = x, .dry = dry, .next = c->reloads.waits };
    if (wait->next)
        wait->next->prev = wait;
    c->reloads.waits = wait;
    return wait;
}

static void wait_free(struct wait *wait)
{
    if (wait->prev)
        wait->prev->next = wait->next;
    else
        wait->c->reloads.waits = wait->next;
    if (wait->next)
        wait->next->prev = wait->prev;
    free(wait);
}

static void on_gone(void *arg)
{
    struct wait *wait = arg;

    wait->c->host->svc->reload_forget(wait->c->host, wait);
    wait_free(wait);
}

/* A refused file is the asker's to mend, one that was taken back by the server is not. */
static int status_of(int code, struct fg_slice report)
{
    struct fg_slice result = fg_json_find(report, "/result").raw;

    if (code == FG_E_NONE)
        return 200;
    if (code == FG_E_CANCELLED)
        return 503; /* the process stops */
    return fg_json_string_is(result, "refused") ? 422 : 500;
}

static void on_done(void *arg, int code, struct fg_slice report)
{
    struct wait *wait = arg;
    struct control *c = wait->c;
    struct fg_exchange *x = wait->x;
    int status = wait->dry ? 200 : status_of(code, report);

    wait_free(wait);
    if (report.len)
        c->host->svc->exchange_reply(x, status, json_type, report);
    else
        c->host->svc->exchange_problem(x, 500, "no report", "see the log, and GET /v1/reloads");
}

static void on_done_unwaited(void *arg, int code, struct fg_slice report)
{
    struct control *c = arg;

    (void)code;
    (void)report;
    c->reloads.asked = false;
}

static void reply_asked(struct control *c, struct fg_exchange *x)
{
    c->host->svc->exchange_set_header(x, "Location", "/v1/reloads");
    c->host->svc->exchange_reply(x, 202, json_type, (struct fg_slice)FG_SLICE("{\"location\":\"/v1/reloads\"}"));
}

static void reply_not_now(struct control *c, struct fg_exchange *x, const struct fg_error *err)
{
    c->host->svc->exchange_problem(x, 409, "not possible now", err->text);
}

/* ?wait=false; true where it is absent. false: it is neither, and a 400 has been sent. */
static bool read_wait(struct control *c, struct fg_exchange *x, bool *ret)
{
    struct fg_slice text = c->host->svc->exchange_query(x, "wait");

    *ret = !fg_slice_is(text, "false");
    if (*ret && text.len && !fg_slice_is(text, "true")) {
        c->host->svc->exchange_problem(x, 400, "bad query", "`wait` is true or false");
        return false;
    }
    return true;
}

static bool can_reload(struct control *c, struct fg_exchange *x)
{
    if (CONTROL_CAN(c, reload) && CONTROL_CAN(c, dry_run) && CONTROL_CAN(c, reload_forget))
        return true;
    c->host->svc->exchange_problem(x, 501, "not supported", "this server cannot reload");
    return false;
}

void post_reload(void *self, struct fg_exchange *x)
{
    struct control *c = self;
    const struct fg_services *svc = c->host->svc;
    struct fg_error err = FG_ERROR_NULL;
    struct wait *wait = NULL;
    bool waits;

    if (!can_reload(c, x) || !read_wait(c, x, &waits))
        return;
    if (!waits) {
        /* one that is asked for while another is asked for is the same one: the host joins them */
        svc->reload_forget(c->host, c);
        c->reloads.asked = svc->reload(c->host, on_done_unwaited, c, &err) >= 0;
        if (c->reloads.asked)
            reply_asked(c, x);
        else
            reply_not_now(c, x, &err);
        return;
    }
    wait = wait_new(c, x, false);
    if (!wait) {
        svc->exchange_problem(x, 503, "no memory", "not reloaded");
    } else if (svc->reload(c->host, on_done, wait, &err) < 0) {
        wait_free(wait);
        reply_not_now(c, x, &err);
    } else {
        svc->exchange_on_gone(x, on_gone, wait);
    }
}

void post_validate(void *self, struct fg_exchange *x)
{
    struct control *c = self;
    const struct fg_services *svc = c->host->svc;
    struct fg_error err = FG_ERROR_NULL;
    struct fg_slice text = svc->exchange_body(x);
    struct wait *wait = NULL;

    if (!can_reload(c, x))
        return;
    if (text.len == 0) {
        svc->exchange_problem(x, 400, "empty body", "the body is the text of a pipeline file");
        return;
    }
    wait = wait_new(c, x, true);
    if (!wait) {
        svc->exchange_problem(x, 503, "no memory", "not tried");
    } else if (svc->dry_run(c->host, text, on_done, wait, &err) < 0) {
        wait_free(wait);
        reply_not_now(c, x, &err);
    } else {
        svc->exchange_on_gone(x, on_gone, wait);
    }
}

void get_reloads(void *self, struct fg_exchange *x)
{
    if (can_reload(self, x))
        control_report(self, x, FG_REPORT_RELOADS, NULL, 200, json_type);
}

void get_reload(void *self, struct fg_exchange *x)
{
    struct control *c = self;
    struct fg_slice text = c->host->svc->exchange_param(x, "generation");
    char name[GENERATION_DIGITS + 1];
    int64_t generation = 0;

    if (!can_reload(c, x))
        return;
    if (text.len > GENERATION_DIGITS || !fg_parse_int(text, &generation) || generation < 1) {
        c->host->svc->exchange_problem(x, 404, "not found", "a generation is a number from 1");
        return;
    }
    memcpy(name, text.ptr, text.len);
    name[text.len] = '\0';
    control_report(c, x, FG_REPORT_RELOADS, name, 200, json_type);
}

void reloads_stop(struct control *c)
{
    if (c->reloads.asked)
        c->host->svc->reload_forget(c->host, c);
    c->reloads.asked = false;
    for (struct wait *wait; (wait = c->reloads.waits);) {
        struct fg_exchange *x = wait->x;
        bool dry = wait->dry;

        c->host->svc->reload_forget(c->host, wait);
        c->reloads.waits = wait->next;
        if (wait->next)
            wait->next->prev = NULL;
        free(wait);
        if (dry)
            c->host->svc->exchange_problem(x, 503, "stopping", "the server stops; ask again");
        else
            reply_asked(c, x);
    }
}
