// pointwise_s8.c - functions of two int8 by Helium: four elements in a vector.
// SPDX-License-Identifier: Apache-2.0
#include "core/format.h"
#include "helium.h"

#if defined(TODY_HAS_HELIUM)

#define INLINE static inline __attribute__((always_inline))  // what is the same for all elements is a constant after inlining

INLINE int32x4_t apply(const tody_binary_s8 *b, const tody_ends_helium *ends, const uint32_t fn2, int32x4_t x, int32x4_t y) {
    if (fn2 == TODY_FN2_MIN) return vminq_s32(x, y);
    if (fn2 == TODY_FN2_MAX) return vmaxq_s32(x, y);
    const int32x4_t of_x = vsubq_n_s32(x, b->x_zero), of_y = vsubq_n_s32(y, b->y_zero);
    if (fn2 == TODY_FN2_MUL) return tody_end_helium(vmulq_n_f32(vcvtq_f32_s32(vmulq_s32(of_x, of_y)), b->x_scale), ends);
    const float32x4_t p = vmulq_n_f32(vcvtq_f32_s32(of_x), b->x_scale), q = vmulq_n_f32(vcvtq_f32_s32(of_y), b->y_scale);
    return tody_end_helium(fn2 == TODY_FN2_ADD ? vaddq_f32(p, q) : vsubq_f32(p, q), ends);
}

INLINE void map(const tody_binary_s8 *args, const uint32_t fn2, const int8_t *x, const int8_t *y, int8_t *z, size_t count) {
    const tody_binary_s8 b = *args;
    const tody_ends_helium ends = tody_ends_of_helium(&b.finish);
    for (size_t whole = count / 4; whole > 0; whole--, x += 4, y += 4, z += 4) {
        vstrbq_s32(z, apply(&b, &ends, fn2, vldrbq_s32(x), vldrbq_s32(y)));
    }
    const mve_pred16_t there = vctp32q((uint32_t)count % 4);
    vstrbq_p_s32(z, apply(&b, &ends, fn2, vldrbq_z_s32(x, there), vldrbq_z_s32(y, there)), there);
}

void tody_binary_s8_helium(const tody_binary_s8 *b, const int8_t *x, const int8_t *y, int8_t *z, size_t count) {
    switch (b->fn2) {
        case TODY_FN2_ADD: map(b, TODY_FN2_ADD, x, y, z, count); break;
        case TODY_FN2_SUB: map(b, TODY_FN2_SUB, x, y, z, count); break;
        case TODY_FN2_MUL: map(b, TODY_FN2_MUL, x, y, z, count); break;
        case TODY_FN2_MIN: map(b, TODY_FN2_MIN, x, y, z, count); break;
        default: map(b, TODY_FN2_MAX, x, y, z, count); break;
    }
}

#endif
