/* SPDX-License-Identifier: Apache-2.0 */
/* transform-upper: makes a record's value upper case and stamps it with a header. It shows how a record is replaced. */
#include <fragua/plugin.h>

#include <stdlib.h>
#include <string.h>

struct config {
    const char *header, *value;
};

struct upper {
    struct fg_host *host;
    const struct config *config;
};

/* Headers of the record and one more, for the caller to free; NULL: no memory. */
static struct fg_header *stamped_headers(const struct upper *u, const struct fg_record_view *view)
{
    struct fg_header *headers = calloc(view->n_headers + 1, sizeof(*headers));

    if (!headers)
        return NULL;
    if (view->n_headers)
        memcpy(headers, view->headers, view->n_headers * sizeof(*headers));
    headers[view->n_headers] =
        (struct fg_header){ fg_slice_of(u->config->header), fg_slice_of(u->config->value) };
    return headers;
}

static char *upper_case(struct fg_slice s)
{
    char *text = malloc(s.len ? s.len : 1);

    for (size_t i = 0; text && i < s.len; i++)
        text[i] = s.ptr[i] >= 'a' && s.ptr[i] <= 'z' ? (char)(s.ptr[i] - 32) : s.ptr[i];
    return text;
}

/* On a worker thread, an instance each: nothing here is shared, and the answer depends on the record only. */
static enum fg_verdict apply(void *self, struct fg_record *in, struct fg_emit *emit, struct fg_error *err)
{
    struct upper *u = self;
    const struct fg_services *svc = u->host->svc;
    struct fg_record_spec spec = { .view = *svc->record_view(in) };
    struct fg_header *headers = stamped_headers(u, &spec.view);
    char *text = upper_case(spec.view.value);
    struct fg_record *made = NULL;
    enum fg_verdict verdict = FG_KEEP;

    if (!headers || !text) {
        fg_error_set(err, FG_E_LIMIT, FG_ERROR_RETRIABLE, "no memory");
        verdict = FG_RETRY;
    } else {
        spec.view.headers = headers;
        spec.view.n_headers++;
        spec.view.value.ptr = text;
        if (svc->record_new(u->host, &spec, &made, err) < 0)
            verdict = FG_DEAD; /* err says why */
        else
            svc->emit(emit, made); /* takes the place of `in` */
    }
    free(headers);
    free(text);
    return verdict;
}

static int open_upper(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct upper *u = calloc(1, sizeof(*u));

    if (!u)
        return fg_error_set(err, FG_E_LIMIT, 0, "no memory");
    u->host = host;
    u->config = config;
    *ret_self = u;
    return 0;
}

/* What the table cannot say. Pure: it may run in another process. */
static int check(const void *config, struct fg_error *err)
{
    const struct config *c = config;

    if (!c->header[0] || strlen(c->header) > 255)
        return fg_error_set(err, FG_E_CONFIG, 0, "`header` is a name of 1 to 255 bytes");
    return 0;
}

static const struct fg_transform_ops ops = { .apply = apply };

static const struct fg_option options[] = {
    { .key = "header", .type = FG_OPTION_STRING, .fallback = "case", .offset = offsetof(struct config, header),
      .summary = "name of the header that is added" },
    { .key = "value", .type = FG_OPTION_STRING, .fallback = "upper", .offset = offsetof(struct config, value),
      .summary = "its value" },
    FG_OPTION_END,
};

FG_PLUGIN(.kind = FG_KIND_TRANSFORM, .name = "transform-upper", .version = "1.0",
          .summary = "makes values upper case", .options = options, .config_size = sizeof(struct config),
          .check = check, .open = open_upper, .close = free, .transform = &ops);
