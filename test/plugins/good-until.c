/* SPDX-License-Identifier: Apache-2.0 */
/* A transform that ends the process when a record holds the word: what a mistake in a plugin's C does. */
#include <fragua/plugin.h>

#include <stdlib.h>
#include <string.h>

struct config {
    const char *word;
};

struct until {
    struct fg_host *host;
    const struct config *config;
};

static int open_until(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct until *u = calloc(1, sizeof(*u));

    if (!u)
        return fg_error_set(err, FG_E_LIMIT, 0, "no memory");
    u->host = host;
    u->config = config;
    *ret_self = u;
    return 0;
}

static void close_until(void *self)
{
    free(self);
}

static enum fg_verdict apply(void *self, struct fg_record *in, struct fg_emit *emit, struct fg_error *err)
{
    const struct until *u = self;
    struct fg_slice value = u->host->svc->record_view(in)->value;

    if (value.len && memmem(value.ptr, value.len, u->config->word, strlen(u->config->word)))
        abort();
    return FG_KEEP;
}

static const struct fg_option options[] = {
    { .key = "word", .type = FG_OPTION_STRING, .fallback = "poison", .offset = offsetof(struct config, word),
      .summary = "what a record must not hold" },
    FG_OPTION_END,
};

static const struct fg_transform_ops transform = { apply };

FG_PLUGIN(.kind = FG_KIND_TRANSFORM, .name = "good-until", .version = "1.0", .summary = "ends the process at a word",
          .options = options, .config_size = sizeof(struct config), .open = open_until, .close = close_until,
          .transform = &transform);
