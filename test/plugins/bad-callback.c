/* SPDX-License-Identifier: Apache-2.0 */
/* Lacks the mandatory callback open. */
#include "minimal.h"

FG_PLUGIN(.name = "bad-callback", MINIMAL);
