// gemm_s8_vnni.h - int8 matrix product by dot products of four: ROWS rows by two vectors of int32 in registers.
// SPDX-License-Identifier: Apache-2.0
//
// vpdpbusd multiplies unsigned by signed bytes. Rows of A are copied with 128 added, which is exact, and what that and x_zero
// add to a sum is the same for all rows: (x_zero + 128) times the sum of the weights, taken off at the end.
//
// The including file has a vector_s8_*.h, ROWS, dot, load_shifted, load_short, load_weights and load_scale.
#ifndef TODY_X86_GEMM_S8_VNNI_H
#define TODY_X86_GEMM_S8_VNNI_H

#include "finish_s8.h"

#define INLINE static inline __attribute__((always_inline))  // arguments marked const are constants after inlining

enum { GROUPS = 128, ROOM = GROUPS * 4 + 64 };  // groups of four values of depth that are copied at a time; bytes of a row

// Rows of A as unsigned bytes. Copies go in whole vectors, and so beyond what there is.
typedef struct shifted {
    uint8_t x[ROWS][ROOM];
} shifted;

typedef struct place {
    uint32_t tap, k;
} place;

// Fill `to` from `at` on and move `at`; how many groups there are now, 0 at the end. Behind the depth there is x_zero.
// Not inlined: one copy serves all tiles.
static __attribute__((noinline)) uint32_t fill(const tody_gemm_s8 *g, place *at, shifted *to) {
    uint32_t groups = 0;
    if (g->depth < 4 && g->taps <= GROUPS && at->tap == 0 && load_short(g, to->x[0], ROOM)) {
        at->tap = g->taps;
        return g->taps;
    }
    while (at->tap < g->taps && groups < GROUPS) {
        const uint32_t room = (GROUPS - groups) * 4, left = g->depth - at->k, count = left < room ? left : room;
        for (uint32_t i = 0; i < g->rows; i++) {
            const int8_t *a = g->a[(size_t)at->tap * g->rows + i] + at->k;
            load_shifted(a, count, g->layer.x_zero, to->x[i] + (size_t)groups * 4);
        }
        groups += (count + 3) / 4;
        at->k += count;
        if (at->k == g->depth) *at = (place){at->tap + 1, 0};
    }
    return groups;
}

INLINE integers four(const uint8_t *x) {
    int32_t value;
    memcpy(&value, x, sizeof value);
    return all_s32(value);
}

// `rows` and `both`, whether there is a second vector, are constants after inlining. Rows beyond those of g give sums that
// nobody takes.
INLINE void tile(const tody_gemm_s8 *g, const uint32_t rows, const bool both) {
    const integers zero = all_s32((int32_t)((uint32_t)(g->layer.x_zero + 128) * 0x01010101u));
    sums s[ROWS], all[ROWS], zeros = {all_s32(0), all_s32(0)};
    shifted a;
    place at = {0, 0};
    const int8_t *w = g->w;
#pragma GCC unroll 12
    for (uint32_t i = 0; i < rows; i++) s[i] = zeros;
    for (uint32_t groups = fill(g, &at, &a); groups > 0; groups = fill(g, &at, &a)) {
        for (const uint8_t *x = a.x[0], *end = x + (size_t)groups * 4; x < end; x += 4, w += 64) {
            const sums v = load_weights(w, g->w_stride, both);
            zeros.low = dot(zeros.low, zero, v.low);
            if (both) zeros.high = dot(zeros.high, zero, v.high);
#pragma GCC unroll 12
            for (uint32_t i = 0; i < rows; i++) {
                const integers u = four(x + (size_t)i * ROOM);
                s[i].low = dot(s[i].low, u, v.low);
                if (both) s[i].high = dot(s[i].high, u, v.high);
            }
        }
    }
#pragma GCC unroll 12
    for (uint32_t i = 0; i < rows; i++) all[i] = s[i];  // so that only a copy must be in memory
    const sums bias = bias_s8(g->bias, g->cols), start = {sub_s32(bias.low, zeros.low), sub_s32(bias.high, zeros.high)};
    finish_rows(g, all, &start);
}

#endif
