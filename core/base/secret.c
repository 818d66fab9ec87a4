/* SPDX-License-Identifier: Apache-2.0 */
/* Reference counted secrets, wiped when the last reference goes. */
#include "base/secret.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/str.h"

struct fg_secret {
    atomic_uint references;
    size_t len;
    char *text;   /* owned, len bytes and a NUL */
    char *origin; /* owned */
};

struct fg_secret *fg_secret_new(struct fg_slice text, const char *origin)
{
    struct fg_secret *secret = calloc(1, sizeof(*secret));

    if (!secret)
        return NULL;
    atomic_init(&secret->references, 1);
    secret->len = text.len;
    secret->text = fg_strdup_slice(text);
    secret->origin = fg_strdup_slice(fg_slice_of(origin));
    if (!secret->text || !secret->origin)
        return fg_secret_unref(secret);
    return secret;
}

struct fg_secret *fg_secret_ref(struct fg_secret *secret)
{
    unsigned before = atomic_fetch_add_explicit(&secret->references, 1, memory_order_relaxed);
    fg_assert(before > 0);
    return secret;
}

struct fg_secret *fg_secret_unref(struct fg_secret *secret)
{
    unsigned before;

    if (!secret)
        return NULL;
    before = atomic_fetch_sub_explicit(&secret->references, 1, memory_order_acq_rel);
    fg_assert(before > 0);
    if (before > 1)
        return NULL;
    if (secret->text)
        OPENSSL_cleanse(secret->text, secret->len);
    free(secret->text);
    free(secret->origin);
    free(secret);
    return NULL;
}

struct fg_slice fg_secret_text(const struct fg_secret *secret)
{
    return fg_slice_make(secret->text, secret->len);
}

const char *fg_secret_origin(const struct fg_secret *secret)
{
    return secret->origin;
}
