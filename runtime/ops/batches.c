// batches.c - products of activations in batches: which matrices belong together, and how one of them becomes panels.
// SPDX-License-Identifier: Apache-2.0
#include "batches.h"

#include <string.h>

#include "shape.h"

bool tody_batches_fit(const tody_tensor *a, const tody_tensor *b, const tody_tensor *y) {
    for (uint32_t d = 0; d + 2 < y->rank; d++) {
        if (a->shape[d] != b->shape[d] && a->shape[d] != 1 && b->shape[d] != 1) return false;
        if (y->shape[d] != tody_max_u32(a->shape[d], b->shape[d])) return false;
    }
    return true;
}

const void *tody_matrix_of(const tody_tensor *x, const tody_tensor *y, uint32_t batch) {
    size_t at = 0, step = 1;
    for (uint32_t d = y->rank - 2; d-- > 0;) {
        if (x->shape[d] > 1) at += batch % y->shape[d] * step;
        batch /= y->shape[d];
        step *= x->shape[d];
    }
    const size_t matrix_bytes = (size_t)x->shape[x->rank - 2] * x->shape[x->rank - 1] * tody_dtype_bytes(x->dtype);
    return (const uint8_t *)x->data + at * matrix_bytes;
}

void tody_pack_columns(const tody_kernels *kernels, const tody_columns *m, uint32_t first, float *panel) {
    const uint32_t cols = tody_min_u32(m->cols - first, TODY_PANEL);
    if (cols < TODY_PANEL) memset(panel, 0, (size_t)m->depth * TODY_PANEL * sizeof(float));
    if (m->transposed) {
        const uint32_t *x = (const uint32_t *)(const void *)(m->data + (size_t)first * m->depth);
        kernels->transpose_b32(x, m->depth, (uint32_t *)(void *)panel, TODY_PANEL, cols, m->depth);
        return;
    }
    for (uint32_t k = 0; k < m->depth; k++, panel += TODY_PANEL) {
        memcpy(panel, m->data + (size_t)k * m->cols + first, cols * sizeof(float));
    }
}

uint32_t tody_parts_of_batch(const tody_call *call, uint32_t batches, uint32_t rows) {
    uint32_t parts = 1;
    while (!tody_shares_well(call, batches * parts)) parts++;
    return rows >= parts * TODY_MAX_ROWS ? parts : 1;
}
