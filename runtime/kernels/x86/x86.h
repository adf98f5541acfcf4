// x86.h - the AVX2 and AVX-512 kernels.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_X86_H
#define TODY_X86_H

#include "core/kernels.h"

// Rows of a full tile and pixels of a strip, where the kernel and its set find them.
enum { GEMM_F32_ROWS_AVX2 = 6, GEMM_F32_ROWS_AVX512 = 14, DWCONV_F32_STRIP = 7 };

void tody_gemm_f32_avx2(const tody_gemm_f32 *args);
void tody_dwconv_f32_avx2(const tody_dwconv_f32 *args);
void tody_winograd_weights_f32_avx2(const tody_winograd_weights *args);
void tody_winograd_in_f32_avx2(const tody_winograd_in *args);
void tody_winograd_out_f32_avx2(const tody_winograd_out *args);
void tody_strassen_in_f32_avx2(const tody_strassen_in *args);
void tody_strassen_out_f32_avx2(const tody_strassen_out *args);
void tody_max_pool_f32_avx2(const tody_pool_f32 *args);
void tody_sum_pool_f32_avx2(const tody_pool_f32 *args);
void tody_unary_f32_avx2(uint32_t fn, float a, float b, const float *x, float *y, size_t count);
void tody_binary_f32_avx2(uint32_t fn2, const float *x, size_t x_step, const float *y, size_t y_step, float *z, size_t count,
                          float lo, float hi);
void tody_softmax_f32_avx2(const float *x, float *y, size_t count);
void tody_blend_f32_avx2(const float *const *a, const float *w, uint32_t taps, float *y, size_t count);
void tody_transpose_b32_avx2(const uint32_t *x, size_t x_stride, uint32_t *y, size_t y_stride, size_t rows, size_t cols);
void tody_moments_f32_avx2(const float *x, size_t count, float mean, float sums[2]);
void tody_column_moments_f32_avx2(const tody_columns_f32 *args);
void tody_norm_f32_avx2(const tody_norm_f32 *args);
void tody_gemm_s8_avx2(const tody_gemm_s8 *args);
void tody_pack_s8_avx2(const tody_pack_s8 *args);
void tody_winograd_s8_avx2(const tody_winograd_s8 *args);
void tody_dwconv_s8_avx2(const tody_dwconv_s8 *args);
void tody_binary_s8_avx2(const tody_binary_s8 *args, const int8_t *x, const int8_t *y, int8_t *z, size_t count);
void tody_lut_s8_avx2(const int8_t *table, const int8_t *x, int8_t *y, size_t count);
void tody_max_s8_avx2(const int8_t *const *a, uint32_t taps, uint32_t channels, int8_t *y);
void tody_gemm_s16_avx2(const tody_gemm_s16 *args);
void tody_dwconv_s16_avx2(const tody_dwconv_s16 *args);
void tody_words_s8_avx2(const tody_words_s8 *args);
void tody_sparse_s8_avx2(const tody_sparse_s8 *args);

void tody_gemm_s8_avxvnni(const tody_gemm_s8 *args);
void tody_gemm_s16_avxvnni(const tody_gemm_s16 *args);
void tody_words_s8_avxvnni(const tody_words_s8 *args);
void tody_sparse_s8_avxvnni(const tody_sparse_s8 *args);

void tody_gemm_f32_avx512(const tody_gemm_f32 *args);
void tody_dwconv_f32_avx512(const tody_dwconv_f32 *args);
void tody_winograd_in_f32_avx512(const tody_winograd_in *args);
void tody_winograd_out_f32_avx512(const tody_winograd_out *args);
void tody_strassen_in_f32_avx512(const tody_strassen_in *args);
void tody_strassen_out_f32_avx512(const tody_strassen_out *args);
void tody_unary_f32_avx512(uint32_t fn, float a, float b, const float *x, float *y, size_t count);
void tody_binary_f32_avx512(uint32_t fn2, const float *x, size_t x_step, const float *y, size_t y_step, float *z, size_t count,
                            float lo, float hi);
void tody_softmax_f32_avx512(const float *x, float *y, size_t count);
void tody_moments_f32_avx512(const float *x, size_t count, float mean, float sums[2]);
void tody_column_moments_f32_avx512(const tody_columns_f32 *args);
void tody_norm_f32_avx512(const tody_norm_f32 *args);

void tody_gemm_s8_avx512vnni(const tody_gemm_s8 *args);
void tody_pack_s8_avx512vnni(const tody_pack_s8 *args);
void tody_dwconv_s8_avx512vnni(const tody_dwconv_s8 *args);
void tody_binary_s8_avx512vnni(const tody_binary_s8 *args, const int8_t *x, const int8_t *y, int8_t *z, size_t count);
void tody_lut_s8_avx512vnni(const int8_t *table, const int8_t *x, int8_t *y, size_t count);
void tody_gemm_s16_avx512vnni(const tody_gemm_s16 *args);
void tody_words_s8_avx512vnni(const tody_words_s8 *args);
void tody_sparse_s8_avx512vnni(const tody_sparse_s8 *args);

void tody_gemm_s8_amx(const tody_gemm_s8 *args);
void tody_pack_s8_amx(const tody_pack_s8 *args);

#endif
