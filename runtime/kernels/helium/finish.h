// finish.h - the end of int8 products: sums become results.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_KERNELS_HELIUM_FINISH_H
#define TODY_KERNELS_HELIUM_FINISH_H

#include "core/kernels.h"

// For i < rows, j < cols: c[i][j] is tody_result_s8 of its sum, scale[j] and addend[i][j]. Rows are in tiles of three: the sum
// is sums[i / 3 * tile_step + i % 3 + j * step].
typedef struct tody_finish_helium {
    uint32_t rows, cols;
    const int32_t *sums;
    uint32_t step, tile_step;
    const float *scale;
    const int8_t *addend;  // or NULL; may be c
    size_t addend_stride;
    int8_t *c;
    size_t c_stride;
    const tody_layer_s8 *layer;
} tody_finish_helium;

void tody_finish_sums_helium(const tody_finish_helium *args);

#endif
