// sha256.h - SHA-256 (FIPS 180-4).
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_SHA256_H
#define TODY_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define TODY_SHA256_BYTES 32u

typedef struct tody_sha256 {
    uint32_t state[8];
    uint64_t bytes;  // taken so far
    uint8_t block[64];
} tody_sha256;

void tody_sha256_begin(tody_sha256 *sha);
void tody_sha256_add(tody_sha256 *sha, const void *data, size_t bytes);
void tody_sha256_end(tody_sha256 *sha, uint8_t out[TODY_SHA256_BYTES]);

#endif
