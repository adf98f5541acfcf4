// pick.c - one kernel set out of all that this CPU can run: portable, overlaid by the better ones.
// SPDX-License-Identifier: Apache-2.0
#include <stddef.h>
#include <string.h>

#include "kernels.h"

// Where the parts of a set begin, and where the last one ends. A part is replaced as a whole by a set that has any of it.
static const uint16_t parts[] = {
    offsetof(tody_kernels, gemm_f32_rows),
    offsetof(tody_kernels, f16),
    offsetof(tody_kernels, dwconv_f32_strip),
    offsetof(tody_kernels, winograd_weights_f32),
    offsetof(tody_kernels, winograd_bytes),
    offsetof(tody_kernels, strassen_least),
    offsetof(tody_kernels, max_pool_f32),
    offsetof(tody_kernels, sum_pool_f32),
    offsetof(tody_kernels, unary_f32),
    offsetof(tody_kernels, binary_f32),
    offsetof(tody_kernels, softmax_f32),
    offsetof(tody_kernels, blend_f32),
    offsetof(tody_kernels, transpose_b32),
    offsetof(tody_kernels, moments_f32),
    offsetof(tody_kernels, column_moments_f32),
    offsetof(tody_kernels, norm_f32),
    offsetof(tody_kernels, gemm_s8_rows),
    offsetof(tody_kernels, dwconv_s8_rows),
    offsetof(tody_kernels, binary_s8),
    offsetof(tody_kernels, lut_s8),
    offsetof(tody_kernels, sum_s8),
    offsetof(tody_kernels, max_s8),
    offsetof(tody_kernels, sparse_s8_rows),
    offsetof(tody_kernels, gemm_s16_rows),
    offsetof(tody_kernels, dwconv_s16),
    sizeof(tody_kernels),
};

static void overlay(tody_kernels *k, const tody_kernels *set) {
    const uint8_t *from = (const uint8_t *)set;
    k->name = set->name;
    k->needs |= set->needs;
    for (const uint16_t *part = parts; *part < sizeof *set; part++) {
        uint8_t any = 0;
        for (size_t i = part[0]; i < part[1]; i++) any |= from[i];
        if (any) memcpy((uint8_t *)k + part[0], from + part[0], (size_t)(part[1] - part[0]));
    }
}

tody_kernels tody_kernels_pick(uint32_t features, const char *limit) {
    tody_kernels kernels = {0};
    for (const tody_kernels *const *set = tody_kernel_sets; *set; set++) {
        if (((*set)->needs & ~features) == 0) overlay(&kernels, *set);
        if (limit && strcmp((*set)->name, limit) == 0) break;
    }
    return kernels;
}
