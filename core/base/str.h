/* SPDX-License-Identifier: Apache-2.0 */
/* Lent to plugins too, so it lives among the public headers. */
#pragma once

#include "fragua/kit/str.h"
