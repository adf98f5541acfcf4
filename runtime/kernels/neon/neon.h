// neon.h - what the NEON kernels share, on AArch64 and on ARMv7 with VFPv4.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_NEON_H
#define TODY_NEON_H

#include <arm_neon.h>
#include <stdbool.h>

#include "core/kernels.h"

void tody_gemm_f32_neon(const tody_gemm_f32 *args);
void tody_pack_f32_neon(const tody_pack_f32 *args);
void tody_dwconv_f32_neon(const tody_dwconv_f32 *args);
void tody_winograd_weights_f32_neon(const tody_winograd_weights *args);
void tody_winograd_in_f32_neon(const tody_winograd_in *args);
void tody_winograd_out_f32_neon(const tody_winograd_out *args);
void tody_strassen_in_f32_neon(const tody_strassen_in *args);
void tody_strassen_out_f32_neon(const tody_strassen_out *args);
void tody_max_pool_f32_neon(const tody_pool_f32 *args);
void tody_sum_pool_f32_neon(const tody_pool_f32 *args);
void tody_transpose_b32_neon(const uint32_t *x, size_t x_stride, uint32_t *y, size_t y_stride, size_t rows, size_t cols);
void tody_unary_f32_neon(uint32_t fn, float a, float b, const float *x, float *y, size_t count);
void tody_softmax_f32_neon(const float *x, float *y, size_t count);  // AArch64 only, as the next
void tody_moments_f32_neon(const float *x, size_t count, float mean, float sums[2]);
void tody_column_moments_f32_neon(const tody_columns_f32 *args);
void tody_norm_f32_neon(const tody_norm_f32 *args);
void tody_gemm_s8_neon(const tody_gemm_s8 *args);
void tody_pack_s8_neon(const tody_pack_s8 *args);
void tody_winograd_s8_neon(const tody_winograd_s8 *args);  // AArch64 only
void tody_dwconv_s8_neon(const tody_dwconv_s8 *args);
void tody_gemm_s16_neon(const tody_gemm_s16 *args);
void tody_dwconv_s16_neon(const tody_dwconv_s16 *args);
void tody_lut_s8_neon(const int8_t *table, const int8_t *x, int8_t *y, size_t count);  // AArch64 only
void tody_gemm_s8_neon_dot(const tody_gemm_s8 *args);
enum { TODY_FOUR = 4 };  // rows that the next packs side by side, what is left of them being as tody_pack_s8_neon leaves it
void tody_pack_s8_neon_i8mm(const tody_pack_s8 *args);
void tody_dwconv_s8_neon_dot(const tody_dwconv_s8 *args);
void tody_words_s8_neon_dot(const tody_words_s8 *args);
void tody_sparse_s8_neon_dot(const tody_sparse_s8 *args);

#if defined(__aarch64__)
void tody_pack_f16_neon(const tody_pack_f32 *args);
void tody_round_f16_neon(const float *x, uint16_t *y, size_t count);
#endif

// armv7/ only: compilers vectorise these for AArch64 by themselves.
void tody_binary_f32_neon(uint32_t fn2, const float *x, size_t x_step, const float *y, size_t y_step, float *z, size_t count,
                          float lo, float hi);
void tody_blend_f32_neon(const float *const *a, const float *w, uint32_t taps, float *y, size_t count);
void tody_binary_s8_neon(const tody_binary_s8 *args, const int8_t *x, const int8_t *y, int8_t *z, size_t count);
void tody_sum_s8_neon(const int8_t *const *a, uint32_t taps, uint32_t channels, uint32_t *sum);
void tody_max_s8_neon(const int8_t *const *a, uint32_t taps, uint32_t channels, int8_t *y);

enum { DWCONV_STRIP = 4 };   // pixels taken together
enum { GEMM_S16_ROWS = 4 };  // of a tile

// Windows of 3x3 with step 1 or 2: makes some of the channels, the first ones, and returns how many.
#if defined(__aarch64__)
size_t tody_dwconv_3x3_f32_neon(const tody_dwconv_f32 *args);
#else
static inline size_t tody_dwconv_3x3_f32_neon(const tody_dwconv_f32 *args) { return (void)args, 0; }
#endif

// GEMM_ROWS, GEMM_S8_ROWS: how many rows of 8 sums fit into the registers; WIDE_ROWS of 16. add_scaled: s + w * x, rounded
// once.
#if defined(__aarch64__)
enum { GEMM_ROWS = 8, WIDE_ROWS = 4, GEMM_S8_ROWS = 4 };
static inline float32x4_t add_scaled(float32x4_t s, float32x4_t w, float x) { return vfmaq_n_f32(s, w, x); }
#else
enum { GEMM_ROWS = 4, WIDE_ROWS = 0, GEMM_S8_ROWS = 2 };
static inline float32x4_t add_scaled(float32x4_t s, float32x4_t w, float x) { return vfmaq_f32(s, w, vdupq_n_f32(x)); }
#endif

// min(max(x, lo), hi); NaN stays NaN.
static inline float32x4_t clamp(float32x4_t x, float32x4_t lo, float32x4_t hi) { return vminq_f32(vmaxq_f32(x, lo), hi); }

// Which of the two bounds there are. Slices of a sum have none, most activations one. The compiler does not see how it is made:
// it would compare again for each tile.
enum { RAISED = 1, LOWERED = 2 };
static inline uint32_t bounds_of(float lo, float hi) {
    uint32_t bounds = (lo > -__builtin_inff() ? RAISED : 0u) | (hi < __builtin_inff() ? LOWERED : 0u);
    __asm__("" : "+r"(bounds));
    return bounds;
}

// c = clamp(sum + addend) for `count` elements, at least 1, of which only the first four count; addend may be NULL.
static inline void finish(float *c, size_t count, float32x4_t sum, const float *addend, float32x4_t lo, float32x4_t hi) {
    if (count >= 4) {
        if (addend) sum = vaddq_f32(sum, vld1q_f32(addend));
        vst1q_f32(c, clamp(sum, lo, hi));
        return;
    }
    float rest[4] = {0};
    for (size_t i = 0; addend && i < count; i++) rest[i] = addend[i];
    vst1q_f32(rest, clamp(vaddq_f32(sum, vld1q_f32(rest)), lo, hi));
    for (size_t i = 0; i < count; i++) c[i] = rest[i];
}

#endif
