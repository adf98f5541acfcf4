// sha256.c - SHA-256 as FIPS 180-4 (2015) states it; small rather than fast.
// SPDX-License-Identifier: Apache-2.0
#include "sha256.h"

#include <string.h>

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, uint32_t by) { return x >> by | x << (32 - by); }

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

// Word t of the message schedule, of which the last 16 are kept.
static uint32_t schedule(uint32_t w[16], uint32_t t, const uint8_t *block) {
    if (t < 16) return w[t] = big_endian(block + 4 * t);
    const uint32_t a = w[(t - 15) % 16], b = w[(t - 2) % 16];
    const uint32_t s0 = turn(a, 7) ^ turn(a, 18) ^ a >> 3, s1 = turn(b, 17) ^ turn(b, 19) ^ b >> 10;
    return w[t % 16] += s0 + w[(t - 7) % 16] + s1;
}

static void compress(uint32_t state[8], const uint8_t *block) {
    uint32_t w[16], s[8];
    memcpy(s, state, sizeof s);
    for (uint32_t t = 0; t < 64; t++) {
        const uint32_t a = s[0], e = s[4];
        const uint32_t choose = (e & s[5]) ^ (~e & s[6]), most = (a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]);
        const uint32_t t1 = s[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + choose + constants[t] + schedule(w, t, block);
        const uint32_t t2 = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + most;
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (uint32_t i = 0; i < 8; i++) state[i] += s[i];
}

void tody_sha256_begin(tody_sha256 *sha) {
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(sha->state, start, sizeof start);
    sha->bytes = 0;
}

void tody_sha256_add(tody_sha256 *sha, const void *data, size_t bytes) {
    const uint8_t *from = data;
    while (bytes) {
        const size_t have = (size_t)(sha->bytes % sizeof sha->block), room = sizeof sha->block - have;
        const size_t part = bytes < room ? bytes : room;
        memcpy(sha->block + have, from, part);
        if (part == room) compress(sha->state, sha->block);
        sha->bytes += part;
        from += part;
        bytes -= part;
    }
}

void tody_sha256_end(tody_sha256 *sha, uint8_t out[TODY_SHA256_BYTES]) {
    static const uint8_t padding[64] = {0x80};
    uint8_t length[8];
    for (uint32_t i = 0; i < 8; i++) length[i] = (uint8_t)(sha->bytes * 8 >> (56 - 8 * i));
    tody_sha256_add(sha, padding, 1 + (119 - (size_t)(sha->bytes % 64)) % 64);  // up to 56 modulo 64
    tody_sha256_add(sha, length, sizeof length);
    for (uint32_t i = 0; i < TODY_SHA256_BYTES; i++) out[i] = (uint8_t)(sha->state[i / 4] >> (24 - i % 4 * 8));
}
