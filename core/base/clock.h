/* SPDX-License-Identifier: Apache-2.0 */
/* Monotonic and wall time through a table, so that a test can stand in for both; RFC 3339 and HTTP dates. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fragua/slice.h"

struct fg_clock {
    uint64_t (*mono_ns)(void *arg); /* [any thread] */
    int64_t (*wall_ms)(void *arg);  /* [any thread] Unix time */
    void *arg;
};

extern const struct fg_clock fg_clock_system;

static inline uint64_t fg_clock_mono_ns(const struct fg_clock *c)
{
    return c->mono_ns(c->arg);
}

static inline int64_t fg_clock_wall_ms(const struct fg_clock *c)
{
    return c->wall_ms(c->arg);
}

#define FG_RFC3339_MAX 32
/* "2026-11-23T08:47:11.250Z" (milliseconds only where not 0); years 1970..9999. */
void fg_rfc3339(int64_t unix_ms, char ret[FG_RFC3339_MAX]);
bool fg_rfc3339_parse(struct fg_slice s, int64_t *ret_unix_ms); /* any offset, any fraction */
bool fg_http_date_parse(struct fg_slice s, int64_t *ret_unix_ms); /* IMF-fixdate of RFC 9110 */
