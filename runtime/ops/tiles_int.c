// tiles_int.c - tiles of rows in panels of integer weights: no slices, because so small panels stay in cache whole.
// SPDX-License-Identifier: Apache-2.0
#include "shape.h"
#include "tiles.h"

// All but what the rows are: results from row `first` on, in the panels from `panel` to `end`.
static tody_gemm_s8 args_s8(const tody_gemm *g, uint32_t panel, uint32_t end, uint32_t first) {
    const uint32_t column = panel * TODY_PANEL;
    return (tody_gemm_s8){
        .cols = tody_min_u32(g->cols, end * TODY_PANEL) - column,
        .w = (const int8_t *)g->w + panel * g->w_stride_bytes,
        .w_stride = g->w_stride_bytes,
        .bias = g->bias ? (const int32_t *)g->bias + column : NULL,
        .scale = g->scale + panel * g->scale_stride,
        .scale_stride = g->scale_stride,
        .addend = g->addend ? (const int8_t *)g->addend + first * g->addend_stride + column : NULL,
        .addend_stride = g->addend_stride,
        .c = (int8_t *)g->c + first * g->c_stride + column,
        .c_stride = g->c_stride,
        .layer = g->layer,
    };
}

void tody_gemm_tile_s8(const tody_kernels *kernels, const tody_gemm *g, uint32_t panel, uint32_t end, const tody_tile *t) {
    const uint32_t together = kernels->gemm_s8_panels;
    for (uint32_t p = panel; p < end; p += together) {
        tody_gemm_s8 args = args_s8(g, p, tody_min_u32(p + together, end), t->first);
        args.rows = t->rows;
        args.taps = g->taps / t->joined;
        args.depth = g->depth * t->joined;
        args.a = (const int8_t *const *)t->a;
        args.work = t->work;
        kernels->gemm_s8(&args);
    }
}

void tody_gemm_packed_s8(const tody_kernels *kernels, const tody_gemm *g, uint32_t panel, uint32_t end, uint32_t first,
                         const tody_packed_s8 *rows) {
    tody_gemm_s8 args = args_s8(g, panel, end, first);
    args.rows = rows->count;
    args.taps = 1;
    args.depth = g->taps * tody_div_up(g->depth, TODY_GROUP_S8) * TODY_GROUP_S8;
    args.packed = rows->packed;
    args.packed_stride = rows->stride;
    args.width = rows->width;
    args.lines = rows->lines;
    args.width_stride = rows->width_stride;
    args.line_stride = rows->line_stride;
    kernels->gemm_s8(&args);
}

void tody_gemm_tiles_s16(const tody_kernels *kernels, const tody_gemm *g, uint32_t panel, uint32_t end, const tody_tile *tiles,
                         uint32_t count) {
    const uint32_t together = kernels->gemm_s16_panels;
    for (uint32_t p = panel; p < end; p += together) {
        const uint32_t column = p * TODY_PANEL;
        tody_gemm_s16 args = {
            .cols = tody_min_u32(g->cols, tody_min_u32(p + together, end) * TODY_PANEL) - column,
            .w = (const int16_t *)(const void *)((const uint8_t *)g->w + p * g->w_stride_bytes),
            .w_stride = g->w_stride_bytes / sizeof(int16_t),
            .bias = g->bias ? (const int32_t *)g->bias + column : NULL,
            .scale = g->scale + column,
            .addend_stride = g->addend_stride,
            .c_stride = g->c_stride,
            .layer = g->layer,
        };
        for (const tody_tile *t = tiles; t < tiles + count; t++) {
            args.rows = t->rows;
            args.taps = t->joined == 1 ? g->taps : g->taps / t->joined;  // a division takes as long as half of a small tile
            args.depth = g->depth * t->joined;
            args.a = (const int16_t *const *)t->a;
            args.addend = g->addend ? (const int16_t *)g->addend + t->first * g->addend_stride + column : NULL;
            args.c = (int16_t *)g->c + t->first * g->c_stride + column;
            kernels->gemm_s16(&args);
        }
    }
}
