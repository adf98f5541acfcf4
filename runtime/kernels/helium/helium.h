// helium.h - kernels of the set for microcontrollers with vectors of 128 bits (Armv8.1-M, MVE with floats: Helium).
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_KERNELS_HELIUM_H
#define TODY_KERNELS_HELIUM_H

#include "core/kernels.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)
#define TODY_HAS_HELIUM 1
#include <arm_mve.h>

// What the results of a layer or of a function share.
typedef struct tody_ends_helium {
    int32_t lo, hi, zero;
} tody_ends_helium;

static inline tody_ends_helium tody_ends_of_helium(const tody_finish_s8 *f) {
    return (tody_ends_helium){(int32_t)f->lo + f->zero, (int32_t)f->hi + f->zero, f->zero};
}

// tody_finish of four products: the conversion rounds half to even and stops at the ends of int32, as do the limits later.
static inline int32x4_t tody_end_helium(float32x4_t p, const tody_ends_helium *q) {
    const int32x4_t y = vqaddq_n_s32(vcvtnq_s32_f32(p), q->zero);
    return vminq_s32(vmaxq_s32(y, vdupq_n_s32(q->lo)), vdupq_n_s32(q->hi));
}

// Four of tody_leak.
static inline float32x4_t tody_leak_helium(float32x4_t p, float32x4_t slope) {
    return vmulq_m_f32(p, p, slope, vcmpltq_n_f32(p, 0.0f));
}

// Four of tody_add_s8.
static inline float32x4_t tody_add_helium(float32x4_t p, int32x4_t addend, const tody_layer_s8 *q) {
    if (q->rounds) {
        const int32x4_t lo = vdupq_n_s32((int32_t)q->inner.lo), hi = vdupq_n_s32((int32_t)q->inner.hi);
        p = vmulq_n_f32(vcvtq_f32_s32(vminq_s32(vmaxq_s32(vcvtnq_s32_f32(p), lo), hi)), q->inner_scale);
    }
    return vaddq_f32(p, vmulq_n_f32(vcvtq_f32_s32(vsubq_n_s32(addend, q->addend_zero)), q->addend_scale));
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
