// finish.c - the end of int8 products: sums become results, four columns in a vector.
// SPDX-License-Identifier: Apache-2.0
#include "finish.h"

#include "helium.h"

#if defined(TODY_HAS_HELIUM)

enum { TOGETHER = 3 };

// Where four neighbouring columns are.
static inline uint32x4_t columns_at(const tody_finish_helium *f) { return vmulq_n_u32(vidupq_n_u32(0, 1), f->step * 4); }

// The rows of a tile, from `first` on, of layers with nothing but products. Those that are not there are written where the last
// one then is. Of the rows, in q0, q2 and q3, each does what the others leave free: loads, floats and integers have a unit
// each.
static void three(const tody_finish_helium *f, uint32_t first, const int32_t *sums, const tody_ends_helium *ends) {
    const size_t next = f->c_stride, left = f->rows - first;
    uint32x4_t at = vaddq_n_u32(columns_at(f), (uint32_t)(uintptr_t)sums);
    int8_t *a = f->c + first * next, *b = left > 1 ? a + next : a, *c = left > 2 ? b + next : b;
    const float *scale = f->scale;
    __asm__ volatile(
        "dlstp.32 lr, %8           \n"
        "1:                        \n"
        "vldrw.u32 q2, [%q4, #4]   \n"
        "vldrw.u32 q3, [%q4]       \n"
        "vcvt.f32.s32 q2, q2       \n"
        "vldrw.u32 q0, [%q4, #8]   \n"
        "vcvt.f32.s32 q0, q0       \n"
        "vldrw.u32 q1, [%3], #16   \n"
        "vcvt.f32.s32 q3, q3       \n"
        "vadd.i32 %q4, %q4, %9     \n"
        "vmul.f32 q0, q0, q1       \n"
        "vcvtn.s32.f32 q0, q0      \n"
        "vmul.f32 q3, q3, q1       \n"
        "vmul.f32 q2, q2, q1       \n"
        "vqadd.s32 q0, q0, %7      \n"
        "vcvtn.s32.f32 q3, q3      \n"
        "vmax.s32 q0, q0, %q5      \n"
        "vcvtn.s32.f32 q2, q2      \n"
        "vqadd.s32 q3, q3, %7      \n"
        "vmin.s32 q0, q0, %q6      \n"
        "vqadd.s32 q2, q2, %7      \n"
        "vmax.s32 q3, q3, %q5      \n"
        "vmax.s32 q2, q2, %q5      \n"
        "vstrb.32 q0, [%2], #4     \n"
        "vmin.s32 q2, q2, %q6      \n"
        "vmin.s32 q3, q3, %q6      \n"
        "vstrb.32 q2, [%1], #4     \n"
        "vstrb.32 q3, [%0], #4     \n"
        "letp lr, 1b               \n"
        : "+l"(a), "+l"(b), "+l"(c), "+r"(scale), "+w"(at)
        : "w"(vdupq_n_s32(ends->lo)), "w"(vdupq_n_s32(ends->hi)), "r"(ends->zero), "r"(f->cols), "r"(f->step * 16)
        : "q0", "q1", "q2", "q3", "lr", "memory");
}

// Four columns from j on, of which some may be missing, of the rows of a tile: of layers with an addend or a leaky ReLU.
static void four(const tody_finish_helium *f, uint32_t j, uint32_t first, const int32_t *sums, const tody_ends_helium *ends) {
    const uint32x4_t at = columns_at(f);
    const mve_pred16_t there = vctp32q(f->cols - j);
    const float32x4_t scale = vldrwq_z_f32(f->scale + j, there), slope = vldrwq_z_f32(f->scale + j + f->layer->slopes, there);
    const int32_t *sum = sums + (size_t)j * f->step;
    for (uint32_t i = first; i < f->rows && i < first + TOGETHER; i++, sum++) {
        float32x4_t p = vmulq_f32(vcvtq_f32_s32(vldrwq_gather_offset_s32(sum, at)), scale);
        if (f->addend) p = tody_add_helium(p, vldrbq_z_s32(f->addend + i * f->addend_stride + j, there), f->layer);
        if (f->layer->slopes) p = tody_leak_helium(p, slope);
        vstrbq_p_s32(f->c + i * f->c_stride + j, tody_end_helium(p, ends), there);
    }
}

void tody_finish_sums_helium(const tody_finish_helium *f) {
    const tody_ends_helium ends = tody_ends_of_helium(&f->layer->finish);
    const int32_t *sums = f->sums;
    const bool plain = tody_is_plain(f->addend, f->layer);
    for (uint32_t i = 0; i < f->rows; i += TOGETHER, sums += f->tile_step) {
        if (plain) three(f, i, sums, &ends);
        for (uint32_t j = 0; !plain && j < f->cols; j += 4) four(f, j, i, sums, &ends);
    }
}

#endif
