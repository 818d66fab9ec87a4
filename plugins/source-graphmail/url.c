/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the origin of a URL, and encodes text for one. */
#include "url.h"

#include <fragua/kit/str.h>

static bool is_plain(struct fg_slice url)
{
    for (size_t i = 0; i < url.len; i++) {
        unsigned char c = (unsigned char)url.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '\\')
            return false;
    }
    return true;
}

static bool read_port(struct fg_slice text, unsigned *ret)
{
    int64_t port;

    if (text.len > 5 || !fg_parse_int(text, &port) || port < 1 || port > 65535)
        return false;
    *ret = (unsigned)port;
    return true;
}

/* Where the host ends and ":port" may begin: behind the bracket of an IPv6 address, else at the first colon. */
static size_t host_end(struct fg_slice authority)
{
    char end = authority.len && authority.ptr[0] == '[' ? ']' : ':';
    const char *at = authority.len ? memchr(authority.ptr, end, authority.len) : NULL;

    if (!at)
        return end == ':' ? authority.len : 0;
    return (size_t)(at - authority.ptr) + (end == ']');
}

static bool host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr(".-_[]:", c);
}

static bool read_authority(struct fg_slice authority, struct url_origin *o)
{
    size_t end = host_end(authority);

    if (end == 0 || end > URL_HOST_MAX)
        return false;
    for (size_t i = 0; i < end; i++) {
        char c = authority.ptr[i];
        o->host[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        if (!host_char(o->host[i]))
            return false; /* '@' and '%' too */
    }
    o->host[end] = '\0';
    if (end == authority.len)
        return true;
    return authority.ptr[end] == ':' && read_port(fg_slice_sub(authority, end + 1, authority.len), &o->port);
}

bool url_origin_read(struct fg_slice url, struct url_origin *ret)
{
    struct url_origin o = { .https = true, .port = 443 };
    size_t from, to;

    if (url.len > URL_MAX || !is_plain(url))
        return false;
    if (fg_slice_ieq(fg_slice_sub(url, 0, 8), (struct fg_slice)FG_SLICE("https://"))) {
        from = 8;
    } else if (fg_slice_ieq(fg_slice_sub(url, 0, 7), (struct fg_slice)FG_SLICE("http://"))) {
        from = 7;
        o = (struct url_origin){ .https = false, .port = 80 };
    } else {
        return false;
    }
    for (to = from; to < url.len && !strchr("/?#", url.ptr[to]); to++)
        ;
    if (!read_authority(fg_slice_sub(url, from, to), &o))
        return false;
    *ret = o;
    return true;
}

static bool is_same_origin(const struct url_origin *a, const struct url_origin *b)
{
    return a->https == b->https && a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* Four decimal numbers with the first one 127: "127.0.0.1.example" is a name like any other. */
static bool is_loopback_v4(const char *host)
{
    struct fg_slice rest = fg_slice_of(host), part;
    int64_t number;
    unsigned n = 0;
    bool more = true;

    for (; more && n < 5; n++) {
        more = fg_slice_cut(rest, '.', &part, &rest);
        if (part.len > 3 || !fg_parse_int(part, &number) || number < 0 || number > 255 || (n == 0 && number != 127))
            return false;
    }
    return n == 4;
}

bool url_origin_is_loopback(const struct url_origin *origin)
{
    return strcmp(origin->host, "localhost") == 0 || strcmp(origin->host, "[::1]") == 0 || is_loopback_v4(origin->host);
}

bool url_is_of(struct fg_slice url, const struct url_origin *origin)
{
    struct url_origin other;

    return url_origin_read(url, &other) && is_same_origin(&other, origin);
}

void url_add_encoded(struct fg_buf *out, struct fg_slice s)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c != '\0' && strchr("-._~", c));
        if (plain) {
            fg_buf_add_char(out, (char)c);
        } else {
            fg_buf_add_char(out, '%');
            fg_buf_add_char(out, hex[c >> 4]);
            fg_buf_add_char(out, hex[c & 15]);
        }
    }
}
