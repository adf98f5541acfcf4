// pack_s8.c - rows of int8 products, one after the other in memory: taps joined, each filled up to groups of four.
// SPDX-License-Identifier: Apache-2.0
#include "neon.h"

// Writes up to 15 bytes more.
static int8_t *copy(int8_t *to, const int8_t *from, size_t count) {
    size_t i = 0;
    for (; i + 16 <= count; i += 16) vst1q_s8(to + i, vld1q_s8(from + i));
    for (; i < count; i++) to[i] = from[i];
    return to + count;
}

void tody_pack_s8_neon(const tody_pack_s8 *p) {
    const uint32_t left = p->depth % 4, fill = left ? 4 - left : 0;
    const uint32_t parts = left ? p->run : 1;  // of a line
    const size_t length = left ? p->depth : (size_t)p->run * p->depth;
    for (uint32_t i = 0; i < p->rows; i++) {
        int8_t *to = p->packed + i * p->stride;
        for (uint32_t l = 0; l < p->lines; l++) {
            const int8_t *from = p->a[(size_t)l * p->rows + i];
            for (uint32_t part = 0; part < parts; part++, from += length) {
                to = copy(to, from, length);
                for (uint32_t k = 0; k < fill; k++) *to++ = (int8_t)p->x_zero;
            }
        }
    }
}
