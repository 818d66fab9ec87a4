/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes reading a Graph message and writing its document: what is written is valid JSON, and no id is empty. */
#include <stdint.h>
#include <stdlib.h>

#include "document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_document(const struct message *m, size_t size, enum document_change change)
{
    struct fg_buf id = FG_BUF_INIT(size + 64), scratch = FG_BUF_INIT(size), out = FG_BUF_INIT(64 * size + 65536);
    struct document_input in = { .message = m, .mailbox = FG_SLICE("a@b.example"), .folder = FG_SLICE("inbox"),
                                 .change = change, .text = FG_SLICE("text"), .with_body_text = true };

    document_id(m, change, &id);
    require(!id.failed && id.len > 0);
    in.id = fg_buf_slice(&id);
    document_write(&in, &scratch, &out);
    require(!out.failed);
    require(fg_json_valid(fg_buf_slice(&out)));
    fg_buf_deinit(&id);
    fg_buf_deinit(&scratch);
    fg_buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fg_slice doc = fg_slice_make(data, size);
    struct fg_error err = FG_ERROR_NULL;
    struct message_time time;
    struct message m;

    if (message_time_parse(doc, &time))
        require(time.text[0] != '\0');
    if (message_read(doc, &m, &err) != 0) {
        require(err.code == FG_E_DATA && err.text[0] != '\0');
        return 0;
    }
    for (int change = 0; change < _DOCUMENT_CHANGE_N; change++)
        check_document(&m, size, (enum document_change)change);
    return 0;
}
