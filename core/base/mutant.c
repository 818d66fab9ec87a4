/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mutant.h"

#include <stdlib.h>
#include <string.h>

#ifdef FG_MUTANTS
bool fg_mutant(const char *name)
{
    const char *asked = getenv("FRAGUA_MUTANT");
    return asked && strcmp(asked, name) == 0;
}
#endif
