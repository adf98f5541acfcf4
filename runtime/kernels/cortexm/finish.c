// finish.c - the end of int8 products: sums[column][row] become results, four rows side by side.
// SPDX-License-Identifier: Apache-2.0
#include "finish.h"

#include "cortexm.h"

#if defined(TODY_HAS_DSP)
#include "dsp.h"

// Columns of four rows without addends, within all of int8.
static void four_rows(const tody_finish_dsp *f) {
    const tody_ends ends = tody_ends_of(f->layer, true);
    const size_t stride = f->c_stride, step = f->sum_stride;
    const float *scale = f->scale, *end = scale + f->cols;
    const int32_t *sum = f->sums;
    int8_t *c = f->c;
    for (; scale < end; sum += step, c++) {
        const float by = *scale++;
        tody_store_four((float)sum[0] * by, (float)sum[1] * by, (float)sum[2] * by, (float)sum[3] * by, &ends, c, stride);
    }
}

static void one_row(const tody_finish_dsp *f, uint32_t i) {
    const tody_ends ends = tody_ends_of(f->layer, false);
    const int32_t *sum = f->sums + i;
    const int8_t *addend = f->addend ? f->addend + i * f->addend_stride : NULL;
    int8_t *c = f->c + i * f->c_stride;
    for (uint32_t j = 0; j < f->cols; j++, sum += f->sum_stride) {
        float p = (float)*sum * f->scale[j];
        if (addend) p = p + tody_addend(addend[j], &ends);
        c[j] = (int8_t)tody_end(p, &ends);
    }
}

void tody_finish_sums_dsp(const tody_finish_dsp *f) {
    if (f->rows == 4 && !f->addend && tody_is_whole(f->layer)) {
        four_rows(f);
        return;
    }
    for (uint32_t i = 0; i < f->rows; i++) one_row(f, i);
}

#endif
