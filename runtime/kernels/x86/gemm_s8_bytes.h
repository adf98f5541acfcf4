// gemm_s8_bytes.h - what zero points add to the sums of products of bytes, to which packing has added SHIFT.
// SPDX-License-Identifier: Apache-2.0
//
// The including file has a vector_s8_*.h, TILE, SHIFT and `dot`, whose first operand is unsigned.
#ifndef TODY_X86_GEMM_S8_BYTES_H
#define TODY_X86_GEMM_S8_BYTES_H

#include "gemm_s8.h"

INLINE integers four(const int8_t *x) {
    int32_t value;
    memcpy(&value, x, sizeof value);
    return all_s32(value);
}

// Sums of the weights of each column: four at once, because each waits for itself.
static sums weight_sums(const columns *c) {
    const integers ones = all_s32(0x01010101);
    const sums none = {all_s32(0), all_s32(0)};
    const bool both = c->count > 16;
    sums s[4] = {none, none, none, none};
    for (size_t at = 0; at < c->groups; at += 4) {
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++) {
            const size_t group = at + i < c->groups ? at + i : at;
            const sums v = load_weights(c->w + group * 64, c->w_stride, both);
            if (at + i < c->groups) s[i] = (sums){dot(s[i].low, ones, v.low), dot(s[i].high, ones, v.high)};
        }
    }
    return (sums){add_s32(add_s32(s[0].low, s[1].low), add_s32(s[2].low, s[3].low)),
                  add_s32(add_s32(s[0].high, s[1].high), add_s32(s[2].high, s[3].high))};
}

// The bias, less what x_zero and SHIFT add.
static sums start_of(const tody_gemm_s8 *g, const columns *c) {
    const sums bias = bias_s8(g->bias ? g->bias + c->first : NULL, c->count);
    if (g->layer.x_zero + SHIFT == 0) return bias;
    const sums w = weight_sums(c);
    const integers zero = all_s32(g->layer.x_zero + SHIFT);
    return (sums){sub_s32(bias.low, mul_s32(w.low, zero)), sub_s32(bias.high, mul_s32(w.high, zero))};
}

// Adds bytes of a row, as many as a vector has, four to each sum.
INLINE integers add_bytes(integers sum, const void *bytes) {
    integers v;
    memcpy(&v, bytes, sizeof v);
    return SHIFT ? dot(sum, v, all_s32(0x01010101)) : dot(sum, all_s32(0x01010101), v);
}

// Not inlined: few products have a w_zero.
static __attribute__((noinline)) int32_t row_start(const tody_gemm_s8 *g, uint32_t row) {
    const int8_t *line = g->packed + row / g->width * g->width_stride + row % g->width * g->packed_stride;
    const size_t count = g->depth / g->lines;
    integers sums = all_s32(0);
    for (uint32_t l = 0; l < g->lines; l++, line += g->line_stride) {
        size_t k = 0;
        for (; k + sizeof sums <= count; k += sizeof sums) sums = add_bytes(sums, line + k);
        int8_t rest[sizeof sums] = {0};
        memcpy(rest, line + k, count - k);
        if (k < count) sums = add_bytes(sums, rest);
    }
    uint32_t part[sizeof sums / sizeof(uint32_t)], sum = 0u - g->depth * (uint32_t)(SHIFT + g->layer.x_zero);
    memcpy(part, &sums, sizeof sums);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) sum += part[i];
    return (int32_t)(0u - (uint32_t)g->layer.w_zero * sum);
}

#endif
