/* SPDX-License-Identifier: Apache-2.0 */
/* A transform that puts its build's number and its option on each record, and misbehaves where it is told to. */
#include <fragua/plugin.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_MAX 128 /* bytes of "STAMP/mark" */

enum fault {
    NONE,
    CHECK_FAILS,
    CHECK_CRASHES,
    CHECK_HANGS,
    OPEN_FAILS,
    OPEN_CRASHES,
    OPEN_HANGS,
    START_FAILS,
    APPLY_FAILS,
};

struct config {
    const char *mark, *header;
    struct fg_secret *secret;
    int fault;
};

struct stamp {
    struct fg_host *host;
    const struct config *config;
};

/* Neither returns nor lets itself be woken. */
static void hang(void)
{
    (void)signal(SIGALRM, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    while (pause() < 0)
        ;
}

/* "1/mark"; with a secret "1/mark/" and what it is now, so that a test sees a rotation. */
static struct fg_slice value_of(const struct stamp *s, char *to)
{
    struct fg_slice secret = FG_SLICE("");
    int n;

    if (s->config->secret)
        secret = s->host->svc->secret_get(s->host, s->config->secret);
    n = snprintf(to, VALUE_MAX, "%s/%s%s%.*s", STAMP, s->config->mark, secret.len ? "/" : "", FG_SLICE_ARG(secret));
    return fg_slice_make(to, n < VALUE_MAX ? (size_t)n : VALUE_MAX - 1);
}

static enum fg_verdict apply(void *self, struct fg_record *in, struct fg_emit *emit, struct fg_error *err)
{
    struct stamp *s = self;
    const struct fg_services *svc = s->host->svc;
    struct fg_record_spec spec = { .view = *svc->record_view(in), .parent = in };
    struct fg_header *headers;
    struct fg_record *made = NULL;
    char value[VALUE_MAX];
    int r;

    if (s->config->fault == APPLY_FAILS) {
        fg_error_set(err, FG_E_INTERNAL, FG_ERROR_FATAL, "told to fail at each record");
        return FG_RETRY;
    }
    headers = calloc(spec.view.n_headers + 1, sizeof(*headers));
    if (!headers) {
        fg_error_set(err, FG_E_LIMIT, FG_ERROR_RETRIABLE, "no memory");
        return FG_RETRY;
    }
    /* first, so that it counts where a sink takes the first of a name */
    headers[0] = (struct fg_header){ fg_slice_of(s->config->header), value_of(s, value) };
    if (spec.view.n_headers)
        memcpy(headers + 1, spec.view.headers, spec.view.n_headers * sizeof(*headers));
    spec.view.headers = headers;
    spec.view.n_headers++;
    r = svc->record_new(s->host, &spec, &made, err);
    free(headers);
    if (r < 0)
        return FG_DEAD;
    svc->emit(emit, made);
    return FG_KEEP;
}

static int check(const void *config, struct fg_error *err)
{
    const struct config *c = config;

    if (c->fault == CHECK_FAILS)
        return fg_error_set(err, FG_E_CONFIG, 0, "told to find fault with its options");
    if (c->fault == CHECK_CRASHES)
        abort();
    if (c->fault == CHECK_HANGS)
        hang();
    return 0;
}

static int open_stamp(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    const struct config *c = config;
    struct stamp *s;

    if (c->fault == OPEN_CRASHES)
        abort();
    if (c->fault == OPEN_HANGS)
        hang();
    if (c->fault == OPEN_FAILS)
        return fg_error_set(err, FG_E_UNAVAILABLE, 0, "told to fail when it is opened");
    s = calloc(1, sizeof(*s));
    if (!s)
        return fg_error_set(err, FG_E_LIMIT, 0, "no memory");
    s->host = host;
    s->config = c;
    *ret_self = s;
    return 0;
}

static int start(void *self, struct fg_error *err)
{
    struct stamp *s = self;

    if (s->config->fault == START_FAILS)
        return fg_error_set(err, FG_E_UNAVAILABLE, 0, "told to fail when it is started");
    return 0;
}

static const char *const faults[] = { "none",       "check-fails",  "check-crashes", "check-hangs", "open-fails",
                                      "open-crashes", "open-hangs", "start-fails",   "apply-fails", NULL };

static const struct fg_option options[] = {
    { .key = "mark", .type = FG_OPTION_STRING, .fallback = "", .offset = offsetof(struct config, mark),
      .summary = "what stands behind the build's number" },
    { .key = "header", .type = FG_OPTION_STRING, .fallback = "stamp", .offset = offsetof(struct config, header),
      .summary = "the header that it writes" },
    { .key = "secret", .type = FG_OPTION_STRING, .flags = FG_OPTION_SECRET,
      .offset = offsetof(struct config, secret), .summary = "what stands behind the mark" },
    { .key = "fault", .type = FG_OPTION_ENUM, .choices = faults, .fallback = "none",
      .offset = offsetof(struct config, fault), .summary = "how it misbehaves" },
    FG_OPTION_END,
};

static const struct fg_transform_ops transform = { apply };

FG_PLUGIN(.kind = FG_KIND_TRANSFORM, .name = "transform-stamp", .version = STAMP,
          .summary = "puts its build's number on each record", .options = options,
          .config_size = sizeof(struct config), .check = check, .open = open_stamp, .start = start, .close = free,
          .transform = &transform);
