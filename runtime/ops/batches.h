// batches.h - products of activations in batches: which matrices belong together, and how one of them becomes panels.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_BATCHES_H
#define TODY_OPS_BATCHES_H

#include "gemm.h"

// The second matrix of a product, [depth, cols], or transposed [cols, depth], of float32.
typedef struct tody_columns {
    const float *data;
    uint32_t cols, depth;
    bool transposed;
} tody_columns;

// Whether the dimensions of y before the last two are those of a and b, each equal or 1 in one of these. Ranks are equal.
bool tody_batches_fit(const tody_tensor *a, const tody_tensor *b, const tody_tensor *y);

// Where matrix `batch` of y finds its matrix in x, whose batch dimensions may be 1.
const void *tody_matrix_of(const tody_tensor *x, const tody_tensor *y, uint32_t batch);

// The 16 columns from `first` on side by side, depth by depth; columns that are missing are zero.
void tody_pack_columns(const tody_kernels *kernels, const tody_columns *matrix, uint32_t first, float *panel);

// Tasks that share the rows of each batch, as few as keep all threads busy: each packs what is in panels again.
uint32_t tody_parts_of_batch(const tody_call *call, uint32_t batches, uint32_t rows);

#endif
