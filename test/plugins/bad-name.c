/* SPDX-License-Identifier: Apache-2.0 */
/* Says another name than its file has. */
#include "minimal.h"

FG_PLUGIN(.name = "good-name", .open = minimal_open, MINIMAL);
