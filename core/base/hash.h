/* SPDX-License-Identifier: Apache-2.0 */
/* murmur2 as in Kafka's Java client, SHA-256 by OpenSSL, random bytes. */
#pragma once

#include <stdint.h>

#include "fragua/slice.h"

/* Kafka's murmur2 (org.apache.kafka.common.utils.Utils#murmur2). */
uint32_t fg_murmur2(struct fg_slice s);
/* The partition of a key as every Java client picks it: (murmur2 & 0x7fffffff) % partitions; partitions >= 1. */
int32_t fg_murmur2_partition(struct fg_slice key, int32_t partitions);

#define FG_SHA256_SIZE 32
#define FG_SHA256_HEX_SIZE 65 /* with NUL */
void fg_sha256(struct fg_slice s, uint8_t ret[FG_SHA256_SIZE]);
void fg_sha256_hex(struct fg_slice s, char ret[FG_SHA256_HEX_SIZE]);
int fg_sha256_file_hex(const char *path, char ret[FG_SHA256_HEX_SIZE]); /* negative: cannot be read, errno is set */
bool fg_equal_constant_time(struct fg_slice a, struct fg_slice b);

uint64_t fg_random_u64(void); /* [any thread] cryptographically strong */
/* Full jitter: a uniform wait in [0, min(cap, base << attempt)]; attempt counts from 0. */
uint64_t fg_backoff_ms(unsigned attempt, uint64_t base_ms, uint64_t cap_ms, uint64_t random);
