/* SPDX-License-Identifier: Apache-2.0 */
/* Logs each callback of its life; its stop takes a while. */
#include <fragua/plugin.h>

#include <stdlib.h>

struct config {
    bool loose;
    const struct fg_secret *secret;
};

struct order {
    struct fg_host *host;
    struct fg_timer *timer;
    fg_done_cb done;
    void *arg;
};

static void say(struct order *o, const char *what)
{
    o->host->svc->log(o->host, FG_LOG_INFO, "callback %s", what);
}

static int check(const void *config, struct fg_error *err)
{
    const struct config *c = config;

    return c->loose ? fg_error_set(err, FG_E_CONFIG, 0, "`loose` is only there to be refused") : 0;
}

static void stopped(void *arg)
{
    struct order *o = arg;

    say(o, "stopped");
    o->host->svc->timer_free(o->timer);
    o->timer = NULL;
    o->done(o->arg);
}

static int open_order(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct order *o = calloc(1, sizeof(*o));

    if (!o)
        return fg_error_set(err, FG_E_LIMIT, 0, "no memory");
    o->host = host;
    *ret_self = o;
    say(o, "open");
    return 0;
}

static int start(void *self, struct fg_error *err)
{
    struct order *o = self;

    o->timer = o->host->svc->timer_new(o->host, stopped, o);
    say(o, "start");
    return 0;
}

static void stop(void *self, fg_done_cb done, void *arg)
{
    struct order *o = self;

    say(o, "stop");
    o->done = done;
    o->arg = arg;
    o->host->svc->timer_start(o->timer, 10);
}

static void close_order(void *self)
{
    struct order *o = self;

    say(o, "close");
    free(o);
}

static const struct fg_option options[] = {
    { .key = "loose", .type = FG_OPTION_BOOL, .fallback = "false", .offset = offsetof(struct config, loose),
      .summary = "is refused" },
    { .key = "secret", .type = FG_OPTION_STRING, .flags = FG_OPTION_SECRET, .offset = offsetof(struct config, secret),
      .summary = "must never show" },
    FG_OPTION_END,
};

static const struct fg_control_ops control = { NULL, 0 };

FG_PLUGIN(.kind = FG_KIND_CONTROL, .name = "good-order", .version = "1.0", .summary = "logs the order of its callbacks",
          .options = options, .config_size = sizeof(struct config), .check = check, .open = open_order, .start = start,
          .stop = stop, .close = close_order, .control = &control);
