// pick.c - one kernel set out of all that this CPU can run: portable, overlaid by the better ones.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "kernels.h"

static void overlay(tody_kernels *k, const tody_kernels *set) {
    k->name = set->name;
    k->needs |= set->needs;
    if (set->gemm_f32) {
        k->gemm_f32 = set->gemm_f32;
        k->gemm_f32_rows = set->gemm_f32_rows;
        k->gemm_f32_panels = set->gemm_f32_panels;
    }
    if (set->dwconv_f32) k->dwconv_f32 = set->dwconv_f32;
    if (set->dwconv_f32_strip) k->dwconv_f32_strip = set->dwconv_f32_strip;
    if (set->winograd_weights_f32) k->winograd_weights_f32 = set->winograd_weights_f32;
    if (set->winograd_in_f32) {
        k->winograd_bytes = set->winograd_bytes;
        k->winograd_in_f32 = set->winograd_in_f32;
        k->winograd_out_f32 = set->winograd_out_f32;
    }
    if (set->max_pool_f32) k->max_pool_f32 = set->max_pool_f32;
    if (set->sum_pool_f32) k->sum_pool_f32 = set->sum_pool_f32;
    if (set->unary_f32) k->unary_f32 = set->unary_f32;
    if (set->binary_f32) k->binary_f32 = set->binary_f32;
    if (set->softmax_f32) k->softmax_f32 = set->softmax_f32;
    if (set->blend_f32) k->blend_f32 = set->blend_f32;
    if (set->transpose_b32) k->transpose_b32 = set->transpose_b32;
    if (set->moments_f32) k->moments_f32 = set->moments_f32;
    if (set->column_moments_f32) k->column_moments_f32 = set->column_moments_f32;
    if (set->norm_f32) k->norm_f32 = set->norm_f32;
    if (set->gemm_s8) {
        k->gemm_s8 = set->gemm_s8;
        k->gemm_s8_rows = set->gemm_s8_rows;
        k->gemm_s8_panels = set->gemm_s8_panels;
        k->gemm_s8_bytes = set->gemm_s8_bytes;
        k->pack_s8 = set->pack_s8;
    }
    if (set->dwconv_s8) k->dwconv_s8 = set->dwconv_s8;
    if (set->binary_s8) k->binary_s8 = set->binary_s8;
    if (set->lut_s8) k->lut_s8 = set->lut_s8;
    if (set->sum_s8) k->sum_s8 = set->sum_s8;
    if (set->max_s8) k->max_s8 = set->max_s8;
    if (set->sparse_s8) {
        k->sparse_s8 = set->sparse_s8;
        k->words_s8 = set->words_s8;
        k->sparse_s8_rows = set->sparse_s8_rows;
        k->sparse_s8_shift = set->sparse_s8_shift;
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
