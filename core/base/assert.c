/* SPDX-License-Identifier: Apache-2.0 */
/* Where a failed assertion ends: one line on stderr, then abort(). */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void fg_assert_failed(const char *what, const char *file, int line, const char *func)
{
    (void)fprintf(stderr, "fragua: assertion failed: %s (%s:%d, %s)\n", what, file, line, func);
    abort();
}
