/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of reloads stand on: one rig, three versions of its stages, one reload at a time. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../../test/model/rig-versions.h"
#include "base/str.h"

static struct rig rig;
static struct rig_version v1, v2, v3;
static struct rig_reload reload;

static inline void begin(struct rig_version *old, struct rig_version *new, uint32_t drain_ms)
{
    rig_reload_begin(&reload, &rig, old, new, drain_ms);
}

/* The first version has the pipeline; rig_open() is up to the test. */
static inline void rig_up(uint64_t seed, bool transform, bool sink)
{
    rig_init(&rig, seed);
    rig_version_init(&v1, &rig, "v1");
    rig_version_init(&v2, &rig, "v2");
    rig_version_init(&v3, &rig, "v3");
    rig_version_use(&v1, transform, sink);
}

/* After one reload. */
static inline void rig_down(void)
{
    rig_stop(&rig, false);
    assert_int_equal(reload.n_held, 1);
    rig_deinit(&rig);
}
