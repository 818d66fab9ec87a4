/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes HTML to text: whatever comes in, what comes out is bounded, valid UTF-8 without NUL, and the same again. */
#include <stdint.h>
#include <stdlib.h>

#include <fragua/kit/utf8.h>

#include "html-text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check(struct fg_slice in, const struct text_limits *limits)
{
    struct fg_buf scratch = FG_BUF_INIT(1), text = FG_BUF_INIT(1), again = FG_BUF_INIT(1);
    bool cut = false, cut_again = false;

    require(html_to_text(in, limits, &scratch, &text, &cut));
    require(text.len <= limits->text_bytes_max);
    require(fg_utf8_valid(fg_buf_slice(&text)));
    require(!text.len || !memchr(text.data, '\0', text.len));
    require(html_to_text(in, limits, &scratch, &again, &cut_again));
    require(cut == cut_again && fg_slice_eq(fg_buf_slice(&text), fg_buf_slice(&again)));
    fg_buf_deinit(&scratch);
    fg_buf_deinit(&text);
    fg_buf_deinit(&again);
}

static void check_plain(struct fg_slice in, const struct text_limits *limits)
{
    struct fg_buf text = FG_BUF_INIT(1);
    bool cut = false;

    require(plain_to_text(in, limits, &text, &cut));
    require(text.len <= limits->text_bytes_max && text.len <= in.len);
    fg_buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct text_limits wide = { .html_bytes_max = HTML_BYTES_MAX, .text_bytes_max = 1 << 24,
                                             .depth_max = HTML_DEPTH_MAX };
    static const struct text_limits tight = { .html_bytes_max = 200, .text_bytes_max = 50, .depth_max = 3 };
    struct fg_slice in = fg_slice_make(data, size);

    html_text_start();
    check(in, &wide);
    check(in, &tight);
    check_plain(in, &wide);
    check_plain(in, &tight);
    return 0;
}
