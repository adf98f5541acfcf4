// gemm.h - float32 matrix product on panels of 16 columns: ROWS rows by two vectors of columns in registers.
// SPDX-License-Identifier: Apache-2.0
//
// The including file defines ROWS.
#ifndef TODY_X86_GEMM_H
#define TODY_X86_GEMM_H

#include "vector.h"

#define INLINE static inline __attribute__((always_inline))  // arguments marked const are constants after inlining

enum { VECTORS = 2 };

// The columns of one row.
typedef struct sum {
    vector v[VECTORS];
} sum;

// Where the weights of vector v are, from those of vector 0 on.
INLINE size_t at(const tody_gemm_f32 *g, const uint32_t v) { return v * WIDTH / 16 * g->w_stride + v * WIDTH % 16; }

INLINE sum start(const tody_gemm_f32 *g, const uint32_t vectors) {
    sum s;
#pragma GCC unroll 2
    for (uint32_t v = 0; v < VECTORS; v++) s.v[v] = g->bias && v < vectors ? load(g->bias + v * WIDTH) : all(0.0f);
    return s;
}

// One step in depth: every row's value a[i][k] times the weights.
INLINE void add_depth(sum *sums, const float *const *a, size_t k, const float *w, size_t second, const uint32_t rows,
                      const uint32_t vectors) {
    const vector w0 = load(w), w1 = vectors > 1 ? load(w + second) : w0;
#pragma GCC unroll 16
    for (uint32_t i = 0; i < rows; i++) {
        const vector x = all(a[i][k]);
        sums[i].v[0] = add_product(x, w0, sums[i].v[0]);
        if (vectors > 1) sums[i].v[1] = add_product(x, w1, sums[i].v[1]);
    }
}

// The addend first and by itself: in one loop with the rest the compiler would make all of it twice.
INLINE void add_rows(const tody_gemm_f32 *g, sum *sums, const uint32_t rows, const uint32_t vectors, bool whole, mask m) {
    const float *addend = g->addend;
#pragma GCC unroll 16
    for (uint32_t i = 0; i < rows; i++, addend += g->addend_stride) {
#pragma GCC unroll 2
        for (uint32_t v = 0; v < vectors; v++) {
            const bool last = v + 1 == vectors;
            sums[i].v[v] = add(sums[i].v[v], load_part(addend + v * WIDTH, whole || !last, m));
        }
    }
}

INLINE void finish_rows(const tody_gemm_f32 *g, sum *sums, const uint32_t rows, const uint32_t vectors) {
    const vector lo = all(g->lo), hi = all(g->hi);
    const bool whole = WIDTH < 16 && g->cols >= vectors * WIDTH;  // masks of AVX-512 cost nothing but code without them
    const mask m = first(g->cols - (vectors - 1) * WIDTH);
    float *c = g->c;
    if (g->addend) add_rows(g, sums, rows, vectors, whole, m);
#pragma GCC unroll 16
    for (uint32_t i = 0; i < rows; i++, c += g->c_stride) {
#pragma GCC unroll 2
        for (uint32_t v = 0; v < vectors; v++) {
            const bool last = v + 1 == vectors;
            store_part(c + v * WIDTH, whole || !last, m, clamp(sums[i].v[v], lo, hi));
        }
    }
}

// The depth of a lone row is dealt out to four parts, because a sum takes one addition every four cycles while the CPU could do
// eight; of more rows two steps are made at a time, which keeps the loop's own instructions out of the way. Arrays are
// registers after unrolling.
INLINE void tile(const tody_gemm_f32 *g, const uint32_t rows, const uint32_t vectors) {
    const uint32_t parts = rows == 1 ? 4 : 1, steps = rows == 1 ? 4 : 2;
    const sum bias = start(g, vectors), zero = {{all(0.0f), all(0.0f)}};
    sum sums[ROWS];
#pragma GCC unroll 16
    for (uint32_t i = 0; i < rows * parts; i++) sums[i] = i < rows ? bias : zero;
    const float *w = g->w, *next = g->next;
    const size_t second = at(g, 1), next_step = g->next_step;
    for (uint32_t t = 0; t < g->taps; t++) {
        const float *a[ROWS];
#pragma GCC unroll 16
        for (uint32_t i = 0; i < rows; i++) a[i] = g->a[(size_t)t * rows + i];
        size_t k = 0;
        for (; k + steps <= g->depth; k += steps, w += 16 * steps) {
#pragma GCC unroll 4
            for (uint32_t s = 0; s < steps; s++) {
                if (rows > 1) _mm_prefetch((const char *)(next + s * next_step), _MM_HINT_T0);
                add_depth(sums + s % parts * rows, a, k + s, w + 16 * s, second, rows, vectors);
            }
            if (rows > 1) next += steps * next_step;
        }
        for (; k < g->depth; k++, w += 16) add_depth(sums, a, k, w, second, rows, vectors);
    }
#pragma GCC unroll 16
    for (uint32_t i = rows; i < rows * parts; i++) {
        sums[0].v[0] = add(sums[0].v[0], sums[i].v[0]);
        sums[0].v[1] = add(sums[0].v[1], sums[i].v[1]);
    }
    finish_rows(g, sums, rows, vectors);
}

#endif
