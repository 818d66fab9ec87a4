/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes a service's answer: first byte: which service; up to a NUL: the text; the rest: the answer. Whatever is read
 * becomes a record that is valid JSON, its entities are in order and stand where they say.
 */
#include <stdint.h>
#include <stdlib.h>

#include <fragua/kit/str.h>
#include <fragua/kit/utf8.h>

#include "entities.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static int64_t integer(struct fg_slice entity, const char *pointer)
{
    int64_t n = -1;

    require(fg_parse_int(fg_json_find(entity, pointer).raw, &n));
    return n;
}

static void check_record(struct fg_slice text, struct fg_slice record, size_t n)
{
    struct fg_json_value list = fg_json_find(record, "/entities"), entity;
    int64_t last = 0;
    size_t pos = 0, found = 0;

    require(fg_json_valid(record));
    while (fg_json_each(list, &pos, NULL, &entity)) {
        int64_t start = integer(entity.raw, "/start"), from = integer(entity.raw, "/start_byte");
        int64_t to = integer(entity.raw, "/end_byte");
        struct fg_buf stands = FG_BUF_INIT(text.len + 1);
        require(start >= last && from >= 0 && to > from && (size_t)to <= text.len);
        require(fg_utf8_offset(text, (size_t)start) == (size_t)from);
        require(fg_utf8_offset(text, (size_t)integer(entity.raw, "/end")) == (size_t)to);
        require(fg_json_decode_string(fg_json_find(entity.raw, "/text").raw, &stands));
        require(fg_slice_eq(fg_buf_slice(&stands), fg_slice_sub(text, (size_t)from, (size_t)to)));
        fg_buf_deinit(&stands);
        last = start;
        found++;
    }
    require(found == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fg_slice rest = fg_slice_make(data, size), given, body;
    struct fg_buf text = FG_BUF_INIT(4 * size + 16), out = FG_BUF_INIT(64u << 20);
    struct entities_input in = { .document = FG_SLICE("{\"id\":\"1\"}"), .service = "s", .url_host = "h" };
    struct answer answer = { .spans = NULL };
    struct fg_error err = FG_ERROR_NULL;
    size_t dropped = 0;

    if (size < 1)
        return 0;
    (void)fg_slice_cut(fg_slice_sub(rest, 1, size), '\0', &given, &body);
    fg_utf8_repair(given, &text);
    in.text = fg_buf_slice(&text);
    if (service_answer(data[0] & 1 ? SERVICE_GENERIC : SERVICE_SPACY, body, &answer, &err) == 0) {
        size_t all = answer.n + answer.malformed;
        entities_write(&in, &answer, &out, &dropped);
        require(!out.failed && answer.n + dropped == all);
        check_record(in.text, fg_buf_slice(&out), answer.n);
    } else {
        require(err.code && err.text[0]);
    }
    free(answer.spans);
    fg_buf_deinit(&text);
    fg_buf_deinit(&out);
    return 0;
}
