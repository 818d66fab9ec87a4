/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the making of a message resource from any bytes: always valid JSON with an id and a body. */
#include <stdint.h>
#include <stdlib.h>

#include "message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fg_buf out = FG_BUF_INIT(64u << 20);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&out);

    message_from_rfc5322(fg_slice_make(size ? (const char *)data : "", size), "id", "key", &w);
    require(!out.failed && fg_json_valid(fg_buf_slice(&out)));
    require(fg_json_find(fg_buf_slice(&out), "/body/content").kind == FG_JSON_STRING);
    fg_buf_deinit(&out);
    return 0;
}
