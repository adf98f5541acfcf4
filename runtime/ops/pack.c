// pack.c - rows of int8 products in the form of a kernel set: lines of windows at once, else tap by tap.
// SPDX-License-Identifier: Apache-2.0
#include "pack.h"

// Of `rows` rows the first ones that a set may pack by themselves.
static uint32_t rows_together(const tody_kernels *k, uint32_t rows) {
    return k->pack_s8_rows ? rows - rows % k->pack_s8_rows : rows;
}

// Pointers to up to `rows` rows from `first` on, to their lines if there is room for copies of those at edges; how many they
// are.
static uint32_t gather_some(const tody_kernels *k, const tody_gemm *g, uint32_t first, uint32_t rows, size_t room,
                            const void **a, tody_pack_s8 *pack) {
    const bool neighbours = g->slide && !g->beside;
    if (neighbours) pack->run = g->slide->window.kernel[1];
    for (uint32_t some = neighbours ? rows : 0; some; some = rows_together(k, some / 2)) {
        if (tody_slide_lines(g->slide, first, some, room, a)) return some;
    }
    pack->run = 1;
    const uint32_t fit = (uint32_t)(room / sizeof *a / g->taps), some = fit < rows ? rows_together(k, fit) : rows;
    g->gather(g->source, first, some, a);
    return some;
}

void tody_gemm_pack(const tody_kernels *k, const tody_gemm *g, uint32_t first, uint32_t rows, size_t room, const void **a,
                    int8_t *packed) {
    tody_pack_s8 pack = {.depth = g->depth,
                         .a = (const int8_t *const *)a,
                         .x_zero = g->layer.x_zero,
                         .packed = packed,
                         .stride = tody_packed_stride(g->taps, g->depth)};
    for (uint32_t at = 0; at < rows; at += pack.rows) {
        pack.rows = gather_some(k, g, first + at, rows - at, room, a, &pack);
        pack.lines = g->taps / pack.run;
        k->pack_s8(&pack);
        pack.packed += pack.rows * pack.stride;
    }
}
