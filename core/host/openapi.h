/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAPI 3.1, made from what the mounted routes declare and nothing else. Loop thread only. */
#pragma once

#include "base/json.h"
#include "net/server.h"

void fg_openapi_write(struct fg_json_writer *w, const struct fg_http_server *server);
