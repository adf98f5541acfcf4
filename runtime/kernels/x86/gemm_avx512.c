// gemm_avx512.c - matrix product on panels of 16 columns, two panels at a time: 12 rows by 2 vectors of 16 in registers.
// SPDX-License-Identifier: Apache-2.0
#include "vector_avx512.h"

enum { ROWS = 12 };

#define INLINE static inline __attribute__((always_inline))

// The columns of one row: `high` belongs to the second panel.
typedef struct sum {
    vector low, high;
} sum;

// Stores what is in `mask`.
INLINE void finish_part(float *c, mask m, vector sum, const float *addend, vector lo, vector hi) {
    if (addend) sum = add(sum, load_some(addend, m));
    store_some(c, m, clamp(sum, lo, hi));
}

INLINE void finish_rows(const tody_gemm_f32 *g, const sum *sums, const uint32_t rows, const uint32_t panels) {
    const vector lo = all(g->lo), hi = all(g->hi);
    const mask low = first(g->cols), high = first(panels > 1 ? g->cols - 16 : 0);
    const size_t c_stride = g->c_stride, addend_stride = g->addend_stride;
    float *c = g->c;
    const float *addend = g->addend;
#pragma GCC unroll 12
    for (uint32_t i = 0; i < rows; i++, c += c_stride) {
        finish_part(c, low, sums[i].low, addend, lo, hi);
        if (panels > 1) finish_part(c + 16, high, sums[i].high, addend ? addend + 16 : NULL, lo, hi);
        if (addend) addend += addend_stride;
    }
}

// One step in depth: every row's value a[i][k] times the 16 weights of each panel.
INLINE void add_depth(sum *sums, const float *const *a, size_t k, const float *w, size_t w_stride, const uint32_t rows,
                      const uint32_t panels) {
    const vector low = load(w), high = panels > 1 ? load(w + w_stride) : low;
#pragma GCC unroll 12
    for (uint32_t i = 0; i < rows; i++) {
        const vector x = all(a[i][k]);
        sums[i].low = add_product(x, low, sums[i].low);
        if (panels > 1) sums[i].high = add_product(x, high, sums[i].high);
    }
}

// `rows`, `panels` and `parts` are constants after inlining, and the small arrays registers after unrolling. The depth of a
// lone row is dealt out to four parts, because a sum takes one addition every four cycles while the CPU could do eight.
INLINE void tile(const tody_gemm_f32 *g, const uint32_t rows, const uint32_t panels, const uint32_t parts) {
    const vector zero = all(0.0f);
    const sum bias = {g->bias ? load(g->bias) : zero, g->bias && panels > 1 ? load(g->bias + 16) : zero};
    sum sums[ROWS];
#pragma GCC unroll 12
    for (uint32_t i = 0; i < rows * parts; i++) sums[i] = i < rows ? bias : (sum){zero, zero};
    const float *w = g->w;
    const size_t ahead = (size_t)(g->next - w);
    for (uint32_t t = 0; t < g->taps; t++) {
        const float *a[ROWS];
#pragma GCC unroll 12
        for (uint32_t i = 0; i < rows; i++) a[i] = g->a[(size_t)t * rows + i];
        size_t k = 0;
        for (; k + parts <= g->depth; k += parts) {
            if (parts == 1) _mm_prefetch((const char *)(w + ahead), _MM_HINT_T1);
#pragma GCC unroll 4
            for (uint32_t part = 0; part < parts; part++, w += 16)
                add_depth(sums + part * rows, a, k + part, w, g->w_stride, rows, panels);
        }
        for (; parts > 1 && k < g->depth; k++, w += 16) add_depth(sums, a, k, w, g->w_stride, rows, panels);
    }
#pragma GCC unroll 12
    for (uint32_t i = rows; i < rows * parts; i++) {
        sums[i % rows].low = add(sums[i % rows].low, sums[i].low);
        sums[i % rows].high = add(sums[i % rows].high, sums[i].high);
    }
    finish_rows(g, sums, rows, panels);
}

INLINE void tile_of(const tody_gemm_f32 *g, const uint32_t panels) {
    switch (g->rows) {
        case 1: tile(g, 1, panels, 4); break;
        case 2: tile(g, 2, panels, 1); break;
        case 3: tile(g, 3, panels, 1); break;
        case 4: tile(g, 4, panels, 1); break;
        case 5: tile(g, 5, panels, 1); break;
        case 6: tile(g, 6, panels, 1); break;
        case 7: tile(g, 7, panels, 1); break;
        case 8: tile(g, 8, panels, 1); break;
        case 9: tile(g, 9, panels, 1); break;
        case 10: tile(g, 10, panels, 1); break;
        case 11: tile(g, 11, panels, 1); break;
        default: tile(g, ROWS, panels, 1); break;
    }
}

void tody_gemm_f32_avx512(const tody_gemm_f32 *args) {
    if (args->cols > 16)
        tile_of(args, 2);
    else
        tile_of(args, 1);
}
