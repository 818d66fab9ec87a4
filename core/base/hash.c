/* SPDX-License-Identifier: Apache-2.0 */
/* murmur2 for partitions, SHA-256 for names and digests, random for waits and ids. */
#include "base/hash.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"

#define CHUNK_BYTES 16384

static uint32_t load_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t fg_murmur2(struct fg_slice s)
{
    const uint32_t m = 0x5bd1e995u, seed = 0x9747b28cu;
    const uint8_t *p = (const uint8_t *)s.ptr;
    size_t left = s.len;
    uint32_t h = seed ^ (uint32_t)s.len;

    for (; left >= 4; p += 4, left -= 4) {
        uint32_t k = load_le32(p) * m;
        k = (k ^ k >> 24) * m;
        h = h * m ^ k;
    }
    if (left >= 3)
        h ^= (uint32_t)p[2] << 16;
    if (left >= 2)
        h ^= (uint32_t)p[1] << 8;
    if (left >= 1)
        h = (h ^ p[0]) * m;
    h = (h ^ h >> 13) * m;
    return h ^ h >> 15;
}

int32_t fg_murmur2_partition(struct fg_slice key, int32_t partitions)
{
    fg_assert(partitions >= 1);
    return (int32_t)(fg_murmur2(key) & 0x7fffffffu) % partitions;
}

void fg_sha256(struct fg_slice s, uint8_t ret[FG_SHA256_SIZE])
{
    unsigned size = 0;
    int ok = EVP_Digest(s.len ? s.ptr : "", s.len, ret, &size, EVP_sha256(), NULL);

    fg_assert(ok == 1);
    fg_assert(size == FG_SHA256_SIZE);
}

static void to_hex(const uint8_t digest[FG_SHA256_SIZE], char ret[FG_SHA256_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < FG_SHA256_SIZE; i++) {
        ret[2 * i] = digits[digest[i] >> 4];
        ret[2 * i + 1] = digits[digest[i] & 15];
    }
    ret[FG_SHA256_HEX_SIZE - 1] = '\0';
}

void fg_sha256_hex(struct fg_slice s, char ret[FG_SHA256_HEX_SIZE])
{
    uint8_t digest[FG_SHA256_SIZE];

    fg_sha256(s, digest);
    to_hex(digest, ret);
}

/* 0, or an errno. */
static int digest_file(int fd, EVP_MD_CTX *ctx)
{
    char chunk[CHUNK_BYTES];

    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return 0;
        if (EVP_DigestUpdate(ctx, chunk, (size_t)n) != 1)
            return ENOMEM;
    }
}

int fg_sha256_file_hex(const char *path, char ret[FG_SHA256_HEX_SIZE])
{
    uint8_t digest[FG_SHA256_SIZE];
    EVP_MD_CTX *ctx = NULL;
    int problem = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return fg_raise(-errno);
    ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
        problem = ENOMEM;
    if (problem == 0)
        problem = digest_file(fd, ctx);
    if (problem == 0 && EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
        problem = ENOMEM;
    EVP_MD_CTX_free(ctx);
    (void)close(fd);
    if (problem != 0) {
        errno = problem;
        return fg_raise(-problem);
    }
    to_hex(digest, ret);
    return 0;
}

bool fg_equal_constant_time(struct fg_slice a, struct fg_slice b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}

uint64_t fg_random_u64(void)
{
    uint64_t value = 0;
    int ok = RAND_bytes((unsigned char *)&value, (int)sizeof(value));

    fg_assert(ok == 1);
    return value;
}

uint64_t fg_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t cap_ms, uint64_t random)
{
    uint64_t limit = attempt < 64 && base_ms <= cap_ms >> attempt ? base_ms << attempt : cap_ms;

    return limit == UINT64_MAX ? random : random % (limit + 1);
}
