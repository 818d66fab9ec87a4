/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deliberate bugs, so that a test can show that the tests would notice them: built in by -Dmutants=true alone, and then
 * one at a time by the environment (FRAGUA_MUTANT=name). What they are stands in test/chaos/mutants.md.
 */
#pragma once

#include <stdbool.h>

#ifdef FG_MUTANTS
bool fg_mutant(const char *name); /* [any thread] this bug is asked for */
#else
static inline bool fg_mutant(const char *name)
{
    (void)name;
    return false;
}
#endif
