/* SPDX-License-Identifier: Apache-2.0 */
/* From a mail's body, HTML or plain, to plain text as a person would read it. Knows nothing of the host. */
#pragma once

#include "html-guard.h"

struct text_limits {
    size_t html_bytes_max; /* of HTML that is read; the rest is cut off; at most HTML_BYTES_MAX */
    size_t text_bytes_max; /* of text that comes out */
    unsigned depth_max;    /* 1..HTML_DEPTH_MAX */
};

/* libxml2 itself refuses text nodes of 10 MB without its HUGE option, which is never set here. */
#define HTML_BYTES_MAX (8u * 1024u * 1024u)

/*
 * html_to_text() - the text of an HTML body: blocks and table rows are lines, cells are parted by tabs
 * @html: bytes; what is not UTF-8 becomes U+FFFD
 * @scratch: a buffer whose memory is reused from call to call; its maximum is set here
 * @out: emptied, then filled; at most text_bytes_max bytes of valid UTF-8, cut between code points
 * @ret_truncated: set when a limit cut something off; otherwise left as it is
 *
 * Linear in time. Nothing is fetched. [any thread], once html_text_start() was called.
 *
 * Return: false: no memory.
 */
bool html_to_text(struct fg_slice html, const struct text_limits *limits, struct fg_buf *scratch, struct fg_buf *out,
                  bool *ret_truncated);

/* The same for a body that is text already: line ends become LF, blanks at line ends and blank lines around go away. */
bool plain_to_text(struct fg_slice plain, const struct text_limits *limits, struct fg_buf *out, bool *ret_truncated);

/* Readies libxml2 for use by many threads. Loop thread, any number of times. */
void html_text_start(void);
