// gemm.h - rows times weight panels: what conv, deconv, dense, matmul and the recurrent operators have in common.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_GEMM_H
#define TODY_OPS_GEMM_H

#include "core/kernels.h"
#include "core/op.h"

// Write pointers for rows [first, first + rows) of A: a[t * rows + i] points to the `depth` values of row first + i and tap t.
typedef void (*tody_gather)(const void *source, uint32_t first, uint32_t rows, const float **a);

// c[i][n] = activation(bias[n] + sum over taps and depth of a[i] * w[n] + addend[i][n]) for i < rows, n < cols
typedef struct tody_gemm {
    uint32_t rows, cols, taps, depth;  // at least 1
    tody_gather gather;                // where the rows of A are; tody_gather_matrix for a plain matrix
    const void *source;                // given to gather
    const float *w;                    // panels of 16 columns, each taps * depth * 16 values
    size_t w_stride;                   // from one panel to the next; taps * depth * 16 where the panels are whole
    const float *bias;                 // panels, or NULL
    const float *addend;               // or NULL; may be c
    size_t addend_stride;
    float *c;
    size_t c_stride;
    tody_activation activation;
    const float **pointers;  // scratch of tody_gemm_scratch(call, taps, depth) bytes, aligned to a pointer
} tody_gemm;

// A matrix in rows, for tody_gather_matrix.
typedef struct tody_matrix {
    const float *data;
    size_t stride;
} tody_matrix;

void tody_gather_matrix(const void *matrix, uint32_t first, uint32_t rows, const float **a);

// Bytes of scratch for the pointers of all threads; a multiple of TODY_ALIGN.
size_t tody_gemm_scratch(const tody_call *call, uint32_t taps, uint32_t depth);

// The whole product, on all threads.
void tody_gemm_run(const tody_call *call, const tody_gemm *gemm);

// The whole product inside a task: in the thread `thread`.
void tody_gemm_here(const tody_call *call, const tody_gemm *gemm, uint32_t thread);

// Distance in floats from one panel matrix of `cols` columns to the next (groups, directions of a recurrent operator).
static inline size_t tody_panels_floats(uint32_t cols, uint32_t taps, uint32_t depth) {
    return ((size_t)cols + TODY_PANEL - 1) / TODY_PANEL * TODY_PANEL * taps * depth;
}

#endif
