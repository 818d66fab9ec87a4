/* SPDX-License-Identifier: Apache-2.0 */
/* Has an option table with the same key twice. */
#include "minimal.h"

struct config {
    int64_t count;
};

static const struct fg_option options[] = {
    { .key = "count", .type = FG_OPTION_INTEGER, .offset = offsetof(struct config, count), .summary = "how many" },
    { .key = "count", .type = FG_OPTION_INTEGER, .offset = offsetof(struct config, count), .summary = "how many" },
    FG_OPTION_END,
};

FG_PLUGIN(.name = "bad-options", .options = options, .config_size = sizeof(struct config), .open = minimal_open,
          MINIMAL);
