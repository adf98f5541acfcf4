// portable.h - the portable kernels, one function per slot of a kernel set. Contracts: core/kernels.h.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_PORTABLE_H
#define TODY_PORTABLE_H

#include "core/kernels.h"

void tody_portable_gemm_f32(const tody_gemm_f32 *args);
void tody_portable_dwconv_f32(const tody_dwconv_f32 *args);
void tody_portable_winograd_weights_f32(const tody_winograd_weights *args);
void tody_portable_winograd_in_f32(const tody_winograd_in *args);
void tody_portable_winograd_out_f32(const tody_winograd_out *args);
void tody_portable_strassen_in_f32(const tody_strassen_in *args);
void tody_portable_strassen_out_f32(const tody_strassen_out *args);
void tody_portable_max_pool_f32(const tody_pool_f32 *args);
void tody_portable_sum_pool_f32(const tody_pool_f32 *args);
void tody_portable_unary_f32(uint32_t fn, float a, float b, const float *x, float *y, size_t count);
void tody_portable_binary_f32(uint32_t fn2, const float *x, size_t x_step, const float *y, size_t y_step, float *z,
                              size_t count, float lo, float hi);
void tody_portable_softmax_f32(const float *x, float *y, size_t count);
void tody_portable_blend_f32(const float *const *a, const float *w, uint32_t taps, float *y, size_t count);
void tody_portable_transpose_b32(const uint32_t *x, size_t x_stride, uint32_t *y, size_t y_stride, size_t rows, size_t cols);
void tody_portable_moments_f32(const float *x, size_t count, float mean, float sums[2]);
void tody_portable_column_moments_f32(const tody_columns_f32 *args);
void tody_portable_norm_f32(const tody_norm_f32 *args);
void tody_portable_gemm_s8(const tody_gemm_s8 *args);
void tody_portable_dwconv_s8(const tody_dwconv_s8 *args);
void tody_portable_binary_s8(const tody_binary_s8 *args, const int8_t *x, const int8_t *y, int8_t *z, size_t count);
void tody_portable_lut_s8(const int8_t *table, const int8_t *x, int8_t *y, size_t count);
void tody_portable_sum_s8(const int8_t *const *a, uint32_t taps, uint32_t channels, uint32_t *sum);
void tody_portable_max_s8(const int8_t *const *a, uint32_t taps, uint32_t channels, int8_t *y);
void tody_portable_words_s8(const tody_words_s8 *args);
void tody_portable_sparse_s8(const tody_sparse_s8 *args);
void tody_portable_gemm_s16(const tody_gemm_s16 *args);
void tody_portable_dwconv_s16(const tody_dwconv_s16 *args);

#endif
