/* SPDX-License-Identifier: Apache-2.0 */
/* URLs as far as safety needs them: whose server one points to, and text put into one. Knows nothing of the host. */
#pragma once

#include <fragua/kit/buf.h>

#define URL_HOST_MAX 255u
#define URL_MAX 65536u /* bytes of a link that is followed or kept as a cursor: the host's limit for cursors */

/* Scheme, host and port: two URLs with the same origin go to the same server (RFC 6454). */
struct url_origin {
    bool https;
    unsigned port;               /* 1..65535, the scheme's own where the URL names none */
    char host[URL_HOST_MAX + 1]; /* lower case; IPv6 with its brackets */
};

/*
 * url_origin_read() - the origin of an absolute URL
 *
 * Strict on purpose, because a token is sent to what it says: user parts, backslashes, spaces, control characters,
 * non-ASCII hosts and more than URL_MAX bytes are refused, since two parsers may read such URLs differently.
 * Return: false, *ret untouched: not a URL that is safe to follow.
 */
bool url_origin_read(struct fg_slice url, struct url_origin *ret);
bool url_origin_is_loopback(const struct url_origin *origin); /* localhost, 127.0.0.0/8, [::1] */
/* Whether a link leads to this origin and nowhere else. */
bool url_is_of(struct fg_slice url, const struct url_origin *origin);
/* Appends with all but RFC 3986's unreserved characters percent-encoded: fit for a path segment and for a form. */
void url_add_encoded(struct fg_buf *out, struct fg_slice s);
