// lut_s8.c - tables of int8, a quarter at a time: what lies outside of it keeps what the others found.
// SPDX-License-Identifier: Apache-2.0
#include "neon.h"

#if defined(__aarch64__)

static inline int8x16_t lookup(const int8x16x4_t *quarters, uint8x16_t index) {
    int8x16_t y = vqtbl4q_s8(quarters[0], index);
    y = vqtbx4q_s8(y, quarters[1], vsubq_u8(index, vdupq_n_u8(64)));
    y = vqtbx4q_s8(y, quarters[2], vsubq_u8(index, vdupq_n_u8(128)));
    return vqtbx4q_s8(y, quarters[3], vsubq_u8(index, vdupq_n_u8(192)));
}

void tody_lut_s8_neon(const int8_t *table, const int8_t *x, int8_t *y, size_t count) {
    int8x16x4_t quarters[4];
    for (size_t i = 0; i < 16; i++) quarters[i / 4].val[i % 4] = vld1q_s8(table + i * 16);
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const uint8x16_t index = veorq_u8(vreinterpretq_u8_s8(vld1q_s8(x + i)), vdupq_n_u8(0x80));
        vst1q_s8(y + i, lookup(quarters, index));
    }
    for (; i < count; i++) y[i] = table[x[i] + 128];
}

#endif
