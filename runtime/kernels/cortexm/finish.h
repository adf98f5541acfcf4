// finish.h - the end of int8 products: sums become results.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_KERNELS_CORTEXM_FINISH_H
#define TODY_KERNELS_CORTEXM_FINISH_H

#include "core/kernels.h"

enum { TODY_FINISH_STEP = 4 };

// For i < rows, j < cols, at least 1: c[i][j] is tody_result_s8 of its sum, scale[j] and addend[i][j]. The sum is sums[j * 4 +
// i], or, by rows, sums[i * 4 + j].
typedef struct tody_finish_dsp {
    uint32_t rows, cols;
    const int32_t *sums;
    bool by_rows;
    const float *scale;
    const int8_t *addend;  // or NULL; may be c
    size_t addend_stride;
    int8_t *c;
    size_t c_stride;
    const tody_layer_s8 *layer;
} tody_finish_dsp;

void tody_finish_sums_dsp(const tody_finish_dsp *args);

#endif
