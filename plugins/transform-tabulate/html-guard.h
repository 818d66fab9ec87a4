/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linear pre-scan before the HTML parser: rewrites hostile or sloppy HTML so that nothing the parser does with it
 * takes more than linear time.
 *
 * libxml2 is quadratic in the attributes of one tag and in open elements times end tags, so both are bounded here. The
 * tokens are those of the HTML standard (13.2.5), as far as text needs them.
 */
#pragma once

#include <fragua/kit/buf.h>

#define HTML_DEPTH_MAX      512u /* elements open at a time; what browsers allow too */
#define HTML_TAG_BYTES_MAX  (64u * 1024u)
#define HTML_ATTRIBUTES_MAX 256u /* of one tag */

struct html_guard_limits {
    size_t bytes_max;   /* of the input; the rest is cut off */
    unsigned depth_max; /* 1..HTML_DEPTH_MAX; deeper elements lose their tags, their text stays where it is */
};

/*
 * html_guard() - rewrite HTML into tags that nest, each closed, none too large
 * @html: valid UTF-8
 * @out: appended to; a byte may become five, so its maximum should be html_guard_max()
 * @ret_truncated: set when a limit cut something off; otherwise left as it is
 *
 * Comments, declarations, NUL bytes and the contents of script, style, title and their like are left out; so are the
 * tags html, head and body, which the parser makes itself. Windows-1252 numbers of character references (&#150;) become
 * the characters they mean in browsers.
 */
void html_guard(struct fg_slice html, const struct html_guard_limits *limits, struct fg_buf *out, bool *ret_truncated);

/* How large html_guard()'s output for an input of so many bytes may become. */
size_t html_guard_max(size_t bytes);
