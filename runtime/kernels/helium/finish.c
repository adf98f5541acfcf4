// finish.c - the end of int8 products: sums become results, four columns in a vector.
// SPDX-License-Identifier: Apache-2.0
#include "finish.h"

#include "helium.h"

#if defined(TODY_HAS_HELIUM)

#define INLINE static inline __attribute__((always_inline))

enum { TOGETHER = 3 };

// Where four neighbouring columns are.
INLINE uint32x4_t columns_at(const tody_finish_helium *f) { return vmulq_n_u32(vidupq_n_u32(0, 1), f->step * 4); }

// The results of a row: q0 becomes its products, whose sums are in memory at vector 4, then its bytes. q1: multipliers,
// 7 zero point, 5 and 6 limits.
#define ROW(sums, c)                   \
    "vldrw.u32 q0, [%q4, " sums        \
    "] \n"                             \
    "vcvt.f32.s32 q0, q0           \n" \
    "vmul.f32 q0, q0, q1           \n" \
    "vcvtn.s32.f32 q0, q0          \n" \
    "vqadd.s32 q0, q0, %7          \n" \
    "vmax.s32 q0, q0, %q5          \n" \
    "vmin.s32 q0, q0, %q6          \n" \
    "vstrb.32 q0, [" c "], #4      \n"

// The `rows` of a tile, from `first` on, without addends. Those that are not there are written where the last one then is.
static void three(const tody_finish_helium *f, uint32_t first, const int32_t *sums, const tody_ends_helium *ends) {
    const size_t next = f->c_stride, left = f->rows - first;
    uint32x4_t at = vaddq_n_u32(columns_at(f), (uint32_t)(uintptr_t)sums);
    int8_t *a = f->c + first * next, *b = left > 1 ? a + next : a, *c = left > 2 ? b + next : b;
    const float *scale = f->scale;
    __asm__ volatile("dlstp.32 lr, %8          \n"
                     "1:                       \n"
                     "vldrw.u32 q1, [%3], #16  \n"  //
                     ROW("#8", "%2") ROW("#4", "%1") ROW("#0", "%0")
                     "vadd.i32 %q4, %q4, %9    \n"
                     "letp lr, 1b              \n"
                     : "+l"(a), "+l"(b), "+l"(c), "+r"(scale), "+w"(at)
                     : "w"(vdupq_n_s32(ends->lo)), "w"(vdupq_n_s32(ends->hi)), "r"(ends->zero), "r"(f->cols), "r"(f->step * 16)
                     : "q0", "q1", "lr", "memory");
}

// Four columns from j on, of which some may be missing, of the rows of a tile, with addends.
static void four(const tody_finish_helium *f, uint32_t j, uint32_t first, const int32_t *sums, const tody_ends_helium *ends) {
    const uint32x4_t at = columns_at(f);
    const mve_pred16_t there = vctp32q(f->cols - j);
    const float32x4_t scale = vldrwq_z_f32(f->scale + j, there);
    const int32_t *sum = sums + (size_t)j * f->step;
    for (uint32_t i = first; i < f->rows && i < first + TOGETHER; i++, sum++) {
        const int8_t *addend = f->addend + i * f->addend_stride + j;
        const float32x4_t p = vmulq_f32(vcvtq_f32_s32(vldrwq_gather_offset_s32(sum, at)), scale);
        const float32x4_t more = tody_addend_helium(vldrbq_z_s32(addend, there), ends);
        vstrbq_p_s32(f->c + i * f->c_stride + j, tody_end_helium(vaddq_f32(p, more), ends), there);
    }
}

void tody_finish_sums_helium(const tody_finish_helium *f) {
    const tody_ends_helium ends = tody_ends_of_helium(f->layer);
    const int32_t *sums = f->sums;
    for (uint32_t i = 0; i < f->rows; i += TOGETHER, sums += f->tile_step) {
        if (!f->addend) three(f, i, sums, &ends);
        for (uint32_t j = 0; f->addend && j < f->cols; j += 4) four(f, j, i, sums, &ends);
    }
}

#endif
