/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets, wiped when they go. */
#include "base/secret.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/mem.h"

struct fg_secret {
    size_t len;
    char *text; /* owned, len bytes and a NUL */
};

struct fg_secret *fg_secret_new(struct fg_slice text)
{
    struct fg_secret *secret = fg_calloc(1, sizeof(*secret));

    secret->len = text.len;
    secret->text = fg_slice_dup(text);
    return secret;
}

struct fg_secret *fg_secret_free(struct fg_secret *secret)
{
    if (!secret)
        return NULL;
    OPENSSL_cleanse(secret->text, secret->len);
    free(secret->text);
    free(secret);
    return NULL;
}

struct fg_slice fg_secret_text(const struct fg_secret *secret)
{
    return fg_slice_make(secret->text, secret->len);
}
