/* SPDX-License-Identifier: Apache-2.0 */
/* The owner of everything that a filled struct points to. */
#include "conf/conf-private.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"

struct block {
    struct block *next; /* owned */
    max_align_t bytes[];
};

struct held_secret {
    struct held_secret *next; /* owned */
    struct fg_secret *secret; /* a reference of ours */
};

struct fg_conf_values {
    struct block *blocks;
    struct held_secret *secrets;
};

struct fg_conf_values *fg_conf_values_new(void)
{
    return fg_calloc(1, sizeof(struct fg_conf_values));
}

struct fg_conf_values *fg_conf_values_free(struct fg_conf_values *values)
{
    if (!values)
        return NULL;
    while (values->blocks) {
        struct block *block = values->blocks;
        values->blocks = block->next;
        free(block);
    }
    while (values->secrets) {
        struct held_secret *held = values->secrets;
        values->secrets = held->next;
        fg_secret_free(held->secret);
        free(held);
    }
    free(values);
    return NULL;
}

void *fg_conf_values_alloc(struct fg_conf_values *values, size_t size)
{
    struct block *block = fg_calloc(1, sizeof(*block) + size);

    block->next = values->blocks;
    values->blocks = block;
    return block->bytes;
}

char *fg_conf_values_strdup(struct fg_conf_values *values, struct fg_slice s)
{
    char *copy = fg_conf_values_alloc(values, s.len + 1);

    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

struct fg_secret *fg_conf_values_secret(struct fg_conf_values *values, struct fg_slice text)
{
    struct held_secret *held = fg_calloc(1, sizeof(*held));

    held->secret = fg_secret_new(text);
    held->next = values->secrets;
    values->secrets = held;
    return held->secret;
}

void fg_conf_values_secrets(const struct fg_conf_values *values, fg_write_cb cb, void *arg)
{
    for (const struct held_secret *held = values ? values->secrets : NULL; held; held = held->next)
        cb(arg, fg_secret_text(held->secret));
}
