/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses a request may not reach unless its maker says so: everything that is not a public unicast address. */
#include <arpa/inet.h>

#include "net/client-private.h"

struct range4 {
    uint32_t net;
    unsigned bits;
};

/* Source: IANA IPv4 Special-Purpose Address Registry */
static const struct range4 private4[] = {
    { 0x00000000, 8 },  /* 0.0.0.0/8: this host */
    { 0x0a000000, 8 },  /* 10.0.0.0/8 */
    { 0x64400000, 10 }, /* 100.64.0.0/10: carrier-grade NAT */
    { 0x7f000000, 8 },  /* 127.0.0.0/8 */
    { 0xa9fe0000, 16 }, /* 169.254.0.0/16: link-local, and the metadata services of clouds */
    { 0xac100000, 12 }, /* 172.16.0.0/12 */
    { 0xc0000000, 24 }, /* 192.0.0.0/24: protocol assignments */
    { 0xc0a80000, 16 }, /* 192.168.0.0/16 */
    { 0xc6120000, 15 }, /* 198.18.0.0/15: benchmarks */
    { 0xe0000000, 4 },  /* 224.0.0.0/4: multicast */
    { 0xf0000000, 4 },  /* 240.0.0.0/4: reserved, and broadcast */
};

static bool is_private4(uint32_t address)
{
    for (size_t i = 0; i < sizeof(private4) / sizeof(private4[0]); i++)
        if ((address ^ private4[i].net) >> (32 - private4[i].bits) == 0)
            return true;
    return false;
}

static uint32_t word(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static bool is_private6(const uint8_t b[16])
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
    static const uint8_t zero[12] = { 0 };

    /* an IPv4 address inside is what is really reached; ::, ::1 and the old ::a.b.c.d are below ::/96 */
    if (memcmp(b, mapped, 12) == 0 || memcmp(b, nat64, 12) == 0)
        return is_private4(word(b + 12));
    if (memcmp(b, zero, 12) == 0)
        return true;
    if (b[0] == 0x20 && b[1] == 0x02) /* 2002::/16: 6to4 */
        return is_private4(word(b + 2));
    if (b[0] == 0x00 && b[1] == 0x64 && b[2] == 0xff && b[3] == 0x9b) /* 64:ff9b:1::/48: local NAT64 */
        return true;
    return (b[0] & 0xfe) == 0xfc                         /* fc00::/7: unique local */
           || (b[0] == 0xfe && (b[1] & 0xc0) >= 0x80)    /* fe80::/10 link-local, fec0::/10 once site-local */
           || b[0] == 0xff;                              /* ff00::/8: multicast */
}

bool client_peer_private(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return is_private4(ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6)
        return is_private6(((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr);
    return true;
}

bool client_peer_private_text(const char *address)
{
    struct in_addr four;
    struct in6_addr six;
    char plain[INET6_ADDRSTRLEN];
    size_t len = strcspn(address, "%"); /* a zone may follow */

    if (len >= sizeof(plain))
        return true;
    memcpy(plain, address, len);
    plain[len] = '\0';
    if (inet_pton(AF_INET, plain, &four) == 1)
        return is_private4(ntohl(four.s_addr));
    if (inet_pton(AF_INET6, plain, &six) == 1)
        return is_private6(six.s6_addr);
    return true;
}

void client_peer_text(const struct sockaddr *address, char ret[INET6_ADDRSTRLEN])
{
    const void *bytes = NULL;

    if (address->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    else if (address->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (!bytes || !inet_ntop(address->sa_family, bytes, ret, INET6_ADDRSTRLEN))
        (void)snprintf(ret, INET6_ADDRSTRLEN, "?");
}
