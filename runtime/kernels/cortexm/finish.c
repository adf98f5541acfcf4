// finish.c - the end of int8 products: sums become results.
// SPDX-License-Identifier: Apache-2.0
#include "finish.h"

#include "cortexm.h"

#if defined(TODY_HAS_DSP)
#include "dsp.h"

#define INLINE static inline __attribute__((always_inline))

// Four sums, `step` apart, by four multipliers, within all of int8. Side by side, because a conversion that waits for the one
// before takes longer.
#if defined(__ARM_FP)
INLINE void four(const int32_t *sum, size_t step, const float scale[4], int32_t zero, int8_t *c) {
    float p0, p1, p2, p3;
    int32_t y0, y1, y2, y3;
    __asm__ volatile(
        "vldr %4, [%8]          \n"
        "vldr %5, [%8, %9]      \n"
        "vldr %6, [%8, %10]     \n"
        "vldr %7, [%8, %11]     \n"
        "vcvt.f32.s32 %4, %4    \n"
        "vcvt.f32.s32 %5, %5    \n"
        "vcvt.f32.s32 %6, %6    \n"
        "vcvt.f32.s32 %7, %7    \n"
        "vmul.f32 %4, %4, %12   \n"
        "vmul.f32 %5, %5, %13   \n"
        "vmul.f32 %6, %6, %14   \n"
        "vmul.f32 %7, %7, %15   \n"
        "vcvtr.s32.f32 %4, %4   \n"
        "vcvtr.s32.f32 %5, %5   \n"
        "vcvtr.s32.f32 %6, %6   \n"
        "vcvtr.s32.f32 %7, %7   \n"
        "vmov %0, %4            \n"
        "vmov %1, %5            \n"
        "vmov %2, %6            \n"
        "vmov %3, %7            \n"
        "qadd %0, %0, %16       \n"
        "qadd %1, %1, %16       \n"
        "qadd %2, %2, %16       \n"
        "qadd %3, %3, %16       \n"
        "ssat %0, #8, %0        \n"
        "ssat %1, #8, %1        \n"
        "ssat %2, #8, %2        \n"
        "ssat %3, #8, %3        \n"
        "strb %0, [%17]         \n"
        "strb %1, [%17, #1]     \n"
        "strb %2, [%17, #2]     \n"
        "strb %3, [%17, #3]     \n"
        : "=&r"(y0), "=&r"(y1), "=&r"(y2), "=&r"(y3), "=&t"(p0), "=&t"(p1), "=&t"(p2), "=&t"(p3)
        : "r"(sum), "i"(4 * step), "i"(8 * step), "i"(12 * step), "t"(scale[0]), "t"(scale[1]), "t"(scale[2]), "t"(scale[3]),
          "r"(zero), "r"(c)
        : "memory");
}
#else
INLINE void four(const int32_t *sum, size_t step, const float scale[4], int32_t zero, int8_t *c) {
    for (uint32_t j = 0; j < 4; j++) c[j] = (int8_t)tody_shifted(tody_nearest((float)sum[j * step] * scale[j]), zero);
}
#endif

// All rows of four columns at a time, without addends, within all of int8. Returns how many columns.
INLINE uint32_t plain(const tody_finish_dsp *f, size_t row_step, size_t col_step) {
    const int32_t zero = f->layer->finish.zero;
    const size_t stride = f->c_stride;
    uint32_t j = 0;
    for (; j + 4 <= f->cols; j += 4) {
        const float *from = f->scale + j, scale[4] = {from[0], from[1], from[2], from[3]};
        const int32_t *sum = f->sums + j * col_step;
        int8_t *c = f->c + j;
        uint32_t rows = f->rows;
        do {
            four(sum, col_step, scale, zero, c);
            sum += row_step, c += stride;
        } while (--rows);
    }
    return j;
}

// tody_add_s8.
static inline float add(float p, int8_t addend, const tody_layer_s8 *q) {
    const int32_t zero = q->inner.zero;
    if (q->rounds) p = (float)(tody_shifted(tody_nearest(p), zero) - zero) * q->inner_scale;
    return p + (float)(addend - q->addend_zero) * q->addend_scale;
}

// Columns of a row from `from` on.
static void one_row(const tody_finish_dsp *f, uint32_t i, uint32_t from) {
    const tody_layer_s8 *q = f->layer;
    const tody_ends ends = tody_ends_of(q);
    const size_t col_step = f->by_rows ? 1 : TODY_FINISH_STEP, row_step = f->by_rows ? TODY_FINISH_STEP : 1;
    const int32_t *sum = f->sums + i * row_step + from * col_step;
    const float *scale = f->scale + from, *const end = f->scale + f->cols;
    const int8_t *addend = f->addend ? f->addend + i * f->addend_stride + from : NULL;
    int8_t *c = f->c + i * f->c_stride + from;
    for (; scale < end; sum += col_step) {
        float p = (float)*sum * *scale;
        if (addend) p = add(p, *addend++, q);
        if (q->slopes) p = tody_leak(p, scale[q->slopes]);
        scale++;
        *c++ = (int8_t)tody_end(p, &ends);
    }
}

void tody_finish_sums_dsp(const tody_finish_dsp *f) {
    uint32_t done = 0;
    if (tody_is_plain(f->addend, f->layer) && tody_is_whole(f->layer))
        done = f->by_rows ? plain(f, TODY_FINISH_STEP, 1) : plain(f, 1, TODY_FINISH_STEP);
    for (uint32_t i = 0; done < f->cols && i < f->rows; i++) one_row(f, i, done);
}

#endif
