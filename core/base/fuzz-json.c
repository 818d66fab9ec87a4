/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the JSON scanner: what it takes, cJSON must take too, and what it hands out must be sound. */
#include <stdint.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_string(struct fg_slice raw)
{
    struct fg_buf text = FG_BUF_INIT(1 << 20);
    bool fits = raw.len < text.max;
    bool decoded = fg_json_decode_string(raw, &text);

    fg_assert(decoded || !fits);
    fg_assert(fg_utf8_valid(fg_buf_slice(&text)));
    if (decoded && text.len > 0 && !memchr(text.data, '\0', text.len))
        fg_assert(fg_json_string_is(raw, text.data));
    fg_buf_deinit(&text);
}

/* One level: nested values are found again by the fuzzer's own documents. */
static void check_value(struct fg_json_value value)
{
    struct fg_slice key = FG_SLICE_NULL;
    struct fg_json_value child;
    size_t pos = 0;

    if (value.kind == FG_JSON_STRING)
        check_string(value.raw);
    while (fg_json_each(value, &pos, &key, &child)) {
        if (value.kind == FG_JSON_OBJECT)
            check_string(key);
        if (child.kind == FG_JSON_STRING)
            check_string(child.raw);
        fg_assert(fg_json_valid(child.raw));
    }
}

/* cJSON refuses lone surrogates and \u0000, which the grammar allows: documents with \u are not compared. */
static void compare(struct fg_slice doc)
{
    cJSON *tree = NULL;

    if (memmem(doc.ptr, doc.len, "\\u", 2))
        return;
    tree = cJSON_ParseWithLength(doc.ptr, doc.len);
    fg_assert(tree);
    cJSON_Delete(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fg_slice doc = fg_slice_make(data, size);

    (void)fg_json_find(doc, "/a/0/b~1c");
    check_value(fg_json_find(doc, ""));
    check_value(fg_json_find(doc, "/a"));
    check_string(fg_slice_of("\"\""));
    if (fg_json_valid(doc)) {
        fg_assert(fg_utf8_valid(doc));
        compare(doc);
    }
    return 0;
}
