// helium.h - kernels of the set for microcontrollers with vectors of 128 bits (Armv8.1-M, MVE with floats: Helium).
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_KERNELS_HELIUM_H
#define TODY_KERNELS_HELIUM_H

#include "core/kernels.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)
#define TODY_HAS_HELIUM 1
#include <arm_mve.h>

// What the results of a layer, or of a function without addends, share.
typedef struct tody_ends_helium {
    int32_t lo, hi, zero, addend_zero;
    float addend_scale;
} tody_ends_helium;

static inline tody_ends_helium tody_limits_helium(const tody_finish_s8 *f) {
    return (tody_ends_helium){.lo = (int32_t)f->lo + f->zero, .hi = (int32_t)f->hi + f->zero, .zero = f->zero};
}

static inline tody_ends_helium tody_ends_of_helium(const tody_layer_s8 *q) {
    tody_ends_helium ends = tody_limits_helium(&q->finish);
    ends.addend_zero = q->addend_zero;
    ends.addend_scale = q->addend_scale;
    return ends;
}

// tody_finish of four products: the conversion rounds half to even and stops at the ends of int32, as do the limits later.
static inline int32x4_t tody_end_helium(float32x4_t p, const tody_ends_helium *q) {
    const int32x4_t y = vqaddq_n_s32(vcvtnq_s32_f32(p), q->zero);
    return vminq_s32(vmaxq_s32(y, vdupq_n_s32(q->lo)), vdupq_n_s32(q->hi));
}

// What four addends add to the products of sums and scales.
static inline float32x4_t tody_addend_helium(int32x4_t addend, const tody_ends_helium *q) {
    return vmulq_n_f32(vcvtq_f32_s32(vsubq_n_s32(addend, q->addend_zero)), q->addend_scale);
}
#endif

enum { TODY_GEMM_ROWS_HELIUM = 12, TODY_SPARSE_ROWS_HELIUM = 6 };

void tody_gemm_s8_helium(const tody_gemm_s8 *args);
void tody_dwconv_s8_helium(const tody_dwconv_s8 *args);
void tody_binary_s8_helium(const tody_binary_s8 *args, const int8_t *x, const int8_t *y, int8_t *z, size_t count);
void tody_sum_s8_helium(const int8_t *const *a, uint32_t taps, uint32_t channels, uint32_t *sum);
void tody_max_s8_helium(const int8_t *const *a, uint32_t taps, uint32_t channels, int8_t *y);
void tody_words_s8_helium(const tody_words_s8 *args);
void tody_sparse_s8_helium(const tody_sparse_s8 *args);

#endif
