/* SPDX-License-Identifier: Apache-2.0 */
/* The least that makes a control plugin, for plugins of which one thing is wrong. */
#pragma once

#include <fragua/plugin.h>

static int minimal_self;

static inline int minimal_open(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    *ret_self = &minimal_self;
    return 0;
}

static inline void minimal_close(void *self)
{
}

static const struct fg_control_ops minimal_control = { NULL, 0 };

#define MINIMAL                                                                                                        \
    .kind = FG_KIND_CONTROL, .version = "1.0", .summary = "has one thing wrong", .close = minimal_close,               \
    .control = &minimal_control
