// winograd_products.h - the products of Winograd's convolution: of each position, phase by phase.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_WINOGRAD_PRODUCTS_H
#define TODY_OPS_WINOGRAD_PRODUCTS_H

#include "winograd_tiles.h"

typedef struct tody_winograd_job {
    const tody_call *call;
    const tody_gemm *gemm;
    const tody_slide *slide;
    tody_tiling tiling;
    uint8_t *scratch;
    tody_tiles tiles;
} tody_winograd_job;

// Tiles that one thread computes, and what it works with; strides are those of tody_tiles.
typedef struct tody_winograd_block {
    uint32_t first, count;
    float *v;  // transformed images: at each position a row of tody_tiles.depth for each tile, packed if the kernel set packs
    float *m;  // products: at each position a row of whole panels for each tile; none for those that do not need the position
    float *u;  // fleeting weights
} tody_winograd_block;

// How rows are dealt out to groups that are multiplied together, as many as the kernel set takes: packed ones so in a block.
typedef struct tody_groups {
    uint32_t count, each, more;  // rows of each group, and how many groups have one more: the first ones
} tody_groups;

static inline tody_groups tody_groups_of(const tody_kernels *k, tody_span rows) {
    const uint32_t all = rows.end - rows.begin, count = tody_div_up(all, k->gemm_f32_rows);
    return count ? (tody_groups){count, all / count, all % count} : (tody_groups){0};
}

// Group i of rows that begin at row `first`.
static inline tody_span tody_group_at(const tody_groups *g, uint32_t i, uint32_t first) {
    const uint32_t begin = first + i * g->each + tody_min_u32(i, g->more);
    return (tody_span){begin, begin + g->each + (i < g->more)};
}

// The number of the group in which row `row` is, counted from their first one.
static inline uint32_t tody_group_of(const tody_groups *g, uint32_t row) {
    const uint32_t larger = g->more * (g->each + 1);
    return row < larger ? row / (g->each + 1) : g->more + (row - larger) / g->each;
}

// The products of a block with so many panels, whose weights are prepared or fleeting.
void tody_winograd_multiply(const tody_winograd_job *job, const tody_winograd_block *block, uint32_t panel, uint32_t panels);

#endif
