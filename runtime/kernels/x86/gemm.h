// gemm.h - float32 matrix product on panels of 16 columns: some rows by two vectors of columns in registers.
// SPDX-License-Identifier: Apache-2.0
//
// The including file defines ROWS and NARROW, the most rows of two vectors and of one, and STEPS, how many steps in depth a
// round of the loop makes for a full tile of two vectors: 2 or 4.
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
INLINE size_t weights_at(const tody_gemm_f32 *g, const uint32_t v) { return v * WIDTH / 16 * g->w_stride + v * WIDTH % 16; }

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
        accumulate(&sums[i].v[0], x, w0);
        if (vectors > 1) accumulate(&sums[i].v[1], x, w1);
    }
}

// The addend first and by itself: in one loop with the rest the compiler would make all of it twice.
INLINE void add_rows(const tody_gemm_f32 *g, sum *sums, const float *addend, const uint32_t rows, const uint32_t vectors,
                     bool whole, mask m) {
#pragma GCC unroll 16
    for (uint32_t i = 0; i < rows; i++, addend += g->addend_stride) {
#pragma GCC unroll 2
        for (uint32_t v = 0; v < vectors; v++) {
            const bool last = v + 1 == vectors;
            sums[i].v[v] = add(sums[i].v[v], load_part(addend + v * WIDTH, whole || !last, m));
        }
    }
}

// Where the kernel has come to: what of its arguments goes on from tile to tile.
typedef struct place {
    const float *const *a;
    const float *next, *addend;
    float *c;
} place;

INLINE void finish_rows(const tody_gemm_f32 *g, const place *at, sum *sums, const uint32_t rows, const uint32_t vectors) {
    const vector lo = all(g->lo), hi = all(g->hi);
    const bool whole = WIDTH < 16 && g->cols >= vectors * WIDTH;  // masks of AVX-512 cost nothing but code without them
    const mask m = first(g->cols - (vectors - 1) * WIDTH);
    float *c = at->c;
    if (at->addend) add_rows(g, sums, at->addend, rows, vectors, whole, m);
#pragma GCC unroll 16
    for (uint32_t i = 0; i < rows; i++, c += g->c_stride) {
#pragma GCC unroll 2
        for (uint32_t v = 0; v < vectors; v++) {
            const bool last = v + 1 == vectors;
            store_part(c + v * WIDTH, whole || !last, m, clamp(sums[i].v[v], lo, hi));
        }
    }
}

// As many tiles of so many rows as go into the registers together. The depth of a lone row is dealt out to four parts, because
// a sum takes one addition every four cycles while the CPU could do eight; of more rows some steps are made at a time, and two
// lines fetched, which keeps the loop's own instructions out of the way. Arrays are registers after unrolling.
INLINE void tile(const tody_gemm_f32 *g, place *at, const uint32_t tiles, const uint32_t rows, const uint32_t vectors) {
    const bool full = rows == ROWS && vectors > 1;
    const uint32_t all_rows = tiles * rows, parts = all_rows == 1 ? 4 : 1, steps = full ? STEPS : parts > 1 ? 4 : 2;
    const bool fetches = rows > 1 && vectors > 1;  // else the CPU has no register left for it, or meets its weights once
    const sum bias = start(g, vectors), zero = {{all(0.0f), all(0.0f)}};
    sum sums[NARROW];
#pragma GCC unroll 16
    for (uint32_t i = 0; i < all_rows * parts; i++) sums[i] = i < all_rows ? bias : zero;
    const float *w = g->w, *next = at->next;
    const size_t second = weights_at(g, 1), next_step = g->next_step;
    for (uint32_t t = 0; t < g->taps; t++) {
        const float *a[NARROW];
#pragma GCC unroll 16
        for (uint32_t i = 0; i < all_rows; i++) a[i] = at->a[i / rows * g->a_step + (size_t)t * rows + i % rows];
        size_t k = 0;
        for (; k + steps <= g->depth; k += steps, w += 16 * steps) {
#pragma GCC unroll 4
            for (uint32_t s = 0; s < steps; s++) {
                if (fetches && s % (steps / 2) == 0) _mm_prefetch((const char *)(next + s * next_step), _MM_HINT_T0);
                add_depth(sums + s % parts * all_rows, a, k + s, w + 16 * s, second, all_rows, vectors);
            }
            if (fetches) next += steps * next_step;
        }
        for (; k < g->depth; k++, w += 16) add_depth(sums, a, k, w, second, all_rows, vectors);
    }
#pragma GCC unroll 16
    for (uint32_t i = all_rows; i < all_rows * parts; i++) {
        sums[0].v[0] = add(sums[0].v[0], sums[i].v[0]);
        sums[0].v[1] = add(sums[0].v[1], sums[i].v[1]);
    }
    finish_rows(g, at, sums, all_rows, vectors);
    *at = (place){at->a + tiles * g->a_step, next, at->addend ? at->addend + all_rows * g->addend_stride : NULL,
                  at->c + all_rows * g->c_stride};
}

#endif
