/* SPDX-License-Identifier: Apache-2.0 */
/* Small files, whole: configuration, secrets, templates. Blocks; not for the loop thread while serving. */
#pragma once

#include <stddef.h>

#include "fragua/error.h"

struct fg_buf;

/*
 * fg_read_file() - append a whole file to a buffer
 * @path: read through links; a directory is refused
 * @max: bytes taken at most; a larger file is an error, never a part of it
 * @out: its own `max` counts too; left as it was on failure
 * @err: set on failure; names the path. FG_E_NOT_FOUND, FG_E_LIMIT, FG_E_CONFIG (no permission, directory, read error)
 *       or FG_E_INTERNAL (no memory)
 *
 * Return: 0, or negative. [any thread]
 */
int fg_read_file(const char *path, size_t max, struct fg_buf *out, struct fg_error *err);
