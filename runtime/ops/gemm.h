// gemm.h - rows times weight panels: what conv, deconv, dense, matmul and the recurrent operators have in common.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_GEMM_H
#define TODY_OPS_GEMM_H

#include "core/kernels.h"
#include "window.h"

// Write pointers for rows [first, first + rows) of A: a[t * rows + i] points to the `depth` values of row first + i and tap t.
typedef void (*tody_gather)(const void *source, uint32_t first, uint32_t rows, const void **a);

// c[i][n] = activation(bias[n] + sum over taps and depth of a[i] * w[n] + addend[i][n]) for i < rows, n < cols; of int8 as
// docs/format.md says. Elements of a, w, addend and c are of `dtype`, float32, int8 or int16, and strides are in such elements.
typedef struct tody_gemm {
    tody_dtype dtype;
    uint32_t rows, cols, taps, depth;  // at least 1
    tody_gather gather;                // where the rows of A are; tody_gather_matrix for a plain matrix
    const void *source;                // given to gather
    const tody_slide *slide;           // where rows are windows of which taps of a line are neighbours, or NULL
    uint32_t beside;                   // more groups of a convolution, as tody_gemm_group has them; source is a tody_slide
    const void *outside;               // the row of zeros that gather gives for padding, or NULL
    const void *w;                     // panels of 16 columns; sparse.h: blocks
    bool f16;                          // float32: w is as f16.h has it
    size_t w_stride_bytes;             // from one panel to the next: tody_panel_bytes where the panels are whole
    const void *bias;                  // panels of float32 or int32, or NULL
    const void *addend;                // or NULL; may be c
    size_t addend_stride;
    void *c;
    size_t c_stride;
    tody_activation activation;  // float32; that of integers is in `layer`
    const float *scale;          // integers: multipliers in panels
    size_t scale_stride;         // from the multipliers of one panel to the next: 16, or 0 where all are equal
    tody_layer_s8 layer;
    const void **pointers;  // scratch of tody_gemm_scratch(call, dtype, taps, depth) bytes, aligned to TODY_ALIGN
} tody_gemm;

// Whether a product is made in float16 arithmetic.
static inline bool tody_gemm_is_f16(const tody_gemm *gemm) { return TODY_HAS_F16 && gemm->f16; }

// A matrix in rows, for tody_gather_matrix.
typedef struct tody_matrix {
    const void *data;
    size_t stride_bytes;
} tody_matrix;

// Where rows are equally far from each other: those of a matrix, or the pixels of a slide.
void tody_gather_matrix(const void *matrix, uint32_t first, uint32_t rows, const void **a);
void tody_gather_pixels(const void *slide, uint32_t first, uint32_t rows, const void **a);

// Bytes of scratch for the pointers of all threads; a multiple of TODY_ALIGN.
size_t tody_gemm_scratch(const tody_call *call, tody_dtype dtype, uint32_t taps, uint32_t depth);

// The whole product, on all threads.
void tody_gemm_run(const tody_call *call, const tody_gemm *gemm);

// The whole product inside a task: in the thread `thread`.
void tody_gemm_here(const tody_call *call, const tody_gemm *gemm, uint32_t thread);

// Group g of a grouped convolution, whose group 0 is `gemm`: where its weights of `taps` taps, its columns, its bias and its
// row of zeros are.
tody_gemm tody_gemm_group(const tody_gemm *gemm, uint32_t g, uint32_t taps);

// Elements that a row of `cols` takes in panels: of a bias, of multipliers.
static inline size_t tody_panels_length(uint32_t cols) { return ((size_t)cols + TODY_PANEL - 1) / TODY_PANEL * TODY_PANEL; }

// Bytes of one panel of weights.
static inline size_t tody_panel_bytes(tody_dtype dtype, uint32_t taps, uint32_t depth) {
    const size_t group = tody_group(dtype);
    return ((size_t)depth + group - 1) / group * group * tody_dtype_bytes(dtype) * TODY_PANEL * taps;
}

// Bytes from one panel matrix of `cols` columns to the next (groups, directions of a recurrent operator).
static inline size_t tody_panels_bytes(tody_dtype dtype, uint32_t cols, uint32_t taps, uint32_t depth) {
    return tody_panels_length(cols) / TODY_PANEL * tody_panel_bytes(dtype, taps, depth);
}

#endif
