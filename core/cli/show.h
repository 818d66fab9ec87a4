/* SPDX-License-Identifier: Apache-2.0 */
/* One record as people or programs read it. */
#pragma once

#include "bus/bus.h"
#include "fragua/kit/buf.h"

/* Appends a block of lines, with an empty one at its end. Outside bytes are made safe for a terminal. */
void fg_show_pretty(const struct fg_bus_message *message, bool colour, struct fg_buf *out);
/*
 * Appends one line: {topic, partition, offset, timestamp, key, headers{}, value}. The value is JSON where it is that,
 * else a string; bytes that are no UTF-8 stand as base64 in key_base64, value_base64. A header that comes more than
 * once is an array.
 */
void fg_show_json(const struct fg_bus_message *message, struct fg_buf *out);
