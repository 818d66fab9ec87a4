/* SPDX-License-Identifier: Apache-2.0 */
/* sink-log: writes each record to the log. It shows how a delivery is answered, and how records are passed on. */
#include <fragua/plugin.h>

#include <stdlib.h>

struct config {
    int64_t width;
    bool pass;
};

struct sink {
    struct fg_host *host;
    const struct config *config;
};

static struct fg_slice cut(struct fg_slice s, int64_t width)
{
    return fg_slice_make(s.ptr, s.len < (size_t)width ? s.len : (size_t)width);
}

static void deliver(void *self, struct fg_delivery *delivery)
{
    struct sink *s = self;
    const struct fg_services *svc = s->host->svc;
    size_t n = svc->delivery_count(delivery); /* before the first answer: with the last one the delivery is gone */

    for (size_t i = 0; i < n; i++) {
        struct fg_record *record = svc->delivery_record(delivery, i);
        const struct fg_record_view *view = svc->record_view(record);
        struct fg_slice key = cut(view->key, s->config->width), value = cut(view->value, s->config->width);
        svc->log(s->host, FG_LOG_INFO, "record key=\"%.*s\" value=\"%.*s\"", FG_SLICE_ARG(key), FG_SLICE_ARG(value));
        if (s->config->pass) {
            struct fg_record *result = svc->record_ref(record); /* lent to us, taken over from us */
            svc->delivery_done(delivery, i, &result, 1, NULL);
        } else {
            svc->delivery_done(delivery, i, NULL, 0, NULL);
        }
    }
}

static void cancel(void *self, struct fg_delivery *delivery)
{
    (void)self; /* deliver() answers all at once: nothing of it is ever left over */
    (void)delivery;
}

static void limits(void *self, struct fg_sink_limits *ret)
{
    (void)self;
    *ret = (struct fg_sink_limits){ .records_max = 100, .bytes_max = 1024 * 1024, .in_flight_max = 1 };
}

static int open_sink(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct sink *s = calloc(1, sizeof(*s));

    if (!s)
        return fg_error_set(err, FG_E_LIMIT, 0, "no memory");
    s->host = host;
    s->config = config;
    *ret_self = s;
    return 0;
}

static const struct fg_sink_ops ops = { .deliver = deliver, .cancel = cancel, .limits = limits };

static const struct fg_option options[] = {
    { .key = "width", .type = FG_OPTION_INTEGER, .fallback = "200", .min = 1, .max = 4000, .unit = "bytes",
      .offset = offsetof(struct config, width), .summary = "how much of key and value is shown" },
    { .key = "pass", .type = FG_OPTION_BOOL, .fallback = "false", .offset = offsetof(struct config, pass),
      .summary = "hand the records on to the output" },
    FG_OPTION_END,
};

FG_PLUGIN(.kind = FG_KIND_SINK, .name = "sink-log", .version = "1.0", .summary = "writes records to the log",
          .options = options, .config_size = sizeof(struct config), .open = open_sink, .close = free, .sink = &ops);
