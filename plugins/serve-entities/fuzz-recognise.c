/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the recogniser: entities are ordered slices of the text at character bounds, and their offsets agree. */
#include <stdint.h>
#include <stdlib.h>

#include <fragua/kit/utf8.h>

#include "recognise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

struct seen {
    struct fg_slice text;
    size_t byte, point; /* the end of the last entity */
};

static void check(void *arg, const struct entity *e)
{
    struct seen *s = arg;
    struct fg_slice before = { s->text.ptr + s->byte, e->start - s->byte };
    struct fg_slice inside = { s->text.ptr + e->start, e->end - e->start };

    require(e->start >= s->byte && e->end > e->start && e->end <= s->text.len);
    require(e->type < _ENTITY_TYPE_N);
    require(fg_utf8_valid(before) && fg_utf8_valid(inside));
    require(e->start_point == s->point + fg_utf8_count(before));
    require(e->end_point == e->start_point + fg_utf8_count(inside));
    require(memchr(e->normalized, '\0', sizeof(e->normalized)));
    s->byte = e->end;
    s->point = e->end_point;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fg_buf text = FG_BUF_INIT(4 * size + 16);
    struct seen seen = { .byte = 0 };

    fg_utf8_repair(fg_slice_make(data, size), &text);
    seen.text = fg_buf_slice(&text);
    (void)recognise(seen.text, check, &seen);
    fg_buf_deinit(&text);
    return 0;
}
