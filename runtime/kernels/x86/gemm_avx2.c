// gemm_avx2.c - matrix product on panels of 16 columns: 6 rows by 2 vectors of 8 in registers.
// SPDX-License-Identifier: Apache-2.0
#include "vector_avx2.h"

// 16 columns of one row.
typedef struct sum {
    __m256 low, high;
} sum;

static void finish_rows(const tody_gemm_f32 *g, const sum *sums, uint32_t parts) {
    const __m256 lo = _mm256_set1_ps(g->lo), hi = _mm256_set1_ps(g->hi);
    for (uint32_t i = 0; i < g->rows; i++) {
        sum s = sums[i];
        for (uint32_t part = 1; part < parts; part++) {
            s.low = _mm256_add_ps(s.low, sums[part * g->rows + i].low);
            s.high = _mm256_add_ps(s.high, sums[part * g->rows + i].high);
        }
        float *c = g->c + i * g->c_stride;
        const float *addend = g->addend ? g->addend + i * g->addend_stride : NULL;
        finish(c, g->cols, s.low, addend, lo, hi);
        if (g->cols > 8) finish(c + 8, g->cols - 8, s.high, addend ? addend + 8 : NULL, lo, hi);
    }
}

static inline __attribute__((always_inline)) sum add_depth(sum s, const float *a, const float *w) {
    const __m256 x = _mm256_broadcast_ss(a);
    s.low = _mm256_fmadd_ps(x, _mm256_loadu_ps(w), s.low);
    s.high = _mm256_fmadd_ps(x, _mm256_loadu_ps(w + 8), s.high);
    return s;
}

// `rows` and `parts` are constants after inlining. The depth of a lone row is dealt out to four parts, because a sum takes one
// addition every four cycles while the CPU could do eight: sum i is row i % rows, part i / rows. The order of additions is that
// of the NEON kernel, and so are the bits. Variables and not an array, which gcc 12 would keep in memory.
static inline __attribute__((always_inline)) void tile(const tody_gemm_f32 *g, const uint32_t rows, const uint32_t parts) {
    const uint32_t n = rows * parts;
    const sum zero = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    const sum bias = g->bias ? (sum){_mm256_loadu_ps(g->bias), _mm256_loadu_ps(g->bias + 8)} : zero;
    sum s0 = bias, s1 = rows > 1 ? bias : zero, s2 = rows > 2 ? bias : zero, s3 = rows > 3 ? bias : zero,
        s4 = rows > 4 ? bias : zero, s5 = rows > 5 ? bias : zero;
    const float *w = g->w;
    for (uint32_t t = 0; t < g->taps; t++) {
        const float *const *a = g->a + (size_t)t * rows;
        const float *a0 = a[0], *a1 = a[1 % rows] + 1 / rows, *a2 = a[2 % rows] + 2 / rows, *a3 = a[3 % rows] + 3 / rows,
                    *a4 = a[4 % rows] + 4 / rows, *a5 = a[5 % rows] + 5 / rows;
        size_t k = 0;
        for (; k + parts <= g->depth; k += parts, w += 16 * parts) {
            s0 = add_depth(s0, a0 + k, w);
            if (n > 1) s1 = add_depth(s1, a1 + k, w + 1 / rows * 16);
            if (n > 2) s2 = add_depth(s2, a2 + k, w + 2 / rows * 16);
            if (n > 3) s3 = add_depth(s3, a3 + k, w + 3 / rows * 16);
            if (n > 4) s4 = add_depth(s4, a4 + k, w + 4 / rows * 16);
            if (n > 5) s5 = add_depth(s5, a5 + k, w + 5 / rows * 16);
        }
        for (; parts > 1 && k < g->depth; k++, w += 16) s0 = add_depth(s0, a0 + k, w);
    }
    const sum sums[] = {s0, s1, s2, s3, s4, s5};
    finish_rows(g, sums, parts);
}

void tody_gemm_f32_avx2(const tody_gemm_f32 *args) {
    switch (args->rows) {
        case 1: tile(args, 1, 4); break;
        case 2: tile(args, 2, 1); break;
        case 3: tile(args, 3, 1); break;
        case 4: tile(args, 4, 1); break;
        case 5: tile(args, 5, 1); break;
        default: tile(args, 6, 1); break;
    }
}
