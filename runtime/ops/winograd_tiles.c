// winograd_tiles.c - how an output is cut into the tiles of Winograd's way, and these into blocks that stay in a cache.
// SPDX-License-Identifier: Apache-2.0
//
// A tile makes its first output from the point 0 and all pairs of points, its last one from infinity and these, and those
// between from the pairs alone. So a tile at the end of a line or column that lacks one output needs nothing at infinity, and
// one that lacks more begins an output earlier and needs nothing at 0 either: the same points serve fewer outputs.
#include "winograd_tiles.h"

#include "f16.h"
#include "winograd_weights.h"

enum {
    FEWEST = 2,  // tiles in a block if there are more: a product of one row is summed in another order
    BOTTOM = 0,
    WHOLE,
    RIGHT,
    CORNER,
};

// As many tiles as the kernel set's cache holds, in whole tiles of its product, in blocks that keep all threads busy.
static void cut_blocks(tody_tiles *g, const tody_kernels *k, uint32_t threads) {
    const uint32_t rows = k->gemm_f32_rows, floats = (uint32_t)(k->winograd_bytes / sizeof(float) / g->positions);
    const uint32_t fit = floats / (g->depth + g->panels * TODY_PANEL);
    const uint32_t most = tody_max_u32(fit / rows, 1) * rows;
    g->blocks = tody_div_up(tody_div_up(g->count, most), threads) * threads;
    g->blocks = tody_max_u32(tody_min_u32(g->blocks, g->count / FEWEST), 1);
    g->block = tody_div_up(g->count, g->blocks);
}

// Of the last tile of a line or column of so many outputs.
static uint32_t points_spared(uint32_t outputs, uint32_t tile) {
    return tody_min_u32(tody_div_up(outputs, tile) * tile - outputs, 2);
}

static void cut_regions(tody_tiles *g) {
    const uint32_t down = g->height / g->tile, across = g->width / g->tile;
    const uint32_t bottom = g->height % g->tile > 0, right = g->width % g->tile > 0;
    const uint32_t y = down * g->tile, x = across * g->tile;
    g->regions[BOTTOM] = (tody_tile_region){0, bottom, across, y, 0};
    g->regions[WHOLE] = (tody_tile_region){0, down, across, 0, 0};
    g->regions[RIGHT] = (tody_tile_region){0, down, right, 0, x};
    g->regions[CORNER] = (tody_tile_region){0, bottom, right, y, x};
    g->count = 0;
    for (tody_tile_region *r = g->regions; r < g->regions + TODY_TILE_REGIONS; r++) {
        r->first = g->count;
        g->count += g->images * r->down * r->across;
    }
    g->spared[0] = points_spared(g->height, g->tile);
    g->spared[1] = points_spared(g->width, g->tile);
}

// Two where the kernel set takes as many of such a depth: more would leave less of a cache to tiles.
static uint32_t panels_of(const tody_call *call, const tody_tensor *w, tody_tiling tiling) {
    const tody_kernels *k = call->kernels;
    const bool fit = (size_t)2 * TODY_PANEL * sizeof(float) * w->shape[3] <= k->gemm_f32_bytes;
    return fit && !tiling.fleeting && !tody_f16_wanted(call, w) ? 2 : k->gemm_f32_panels;
}

tody_tiles tody_tiles_of(const tody_call *call, const tody_tensor *w, const tody_tensor *y, tody_tiling tiling) {
    const uint32_t threads = tody_threads(call), all = tody_phases(&tiling);
    const uint32_t phases = tody_is_folded(&tiling, w->shape[3]) ? 1 : all, depth = w->shape[3] * (all / phases);
    tody_tiles g = {
        .tile = tiling.tile,
        .edge = tiling.edge,
        .positions = tiling.edge * tiling.edge,
        .height = y->shape[TODY_HEIGHT],
        .width = y->shape[TODY_WIDTH],
        .images = y->shape[TODY_BATCH],
        .panels = panels_of(call, w, tiling),
        .parts = 1,
    };
    cut_regions(&g);
    g.phase_depth = tody_packs_f32(call->kernels) ? tody_div_up(depth, 4) * 4 : depth;
    g.depth = phases * g.phase_depth;
    if (tiling.fleeting) {
        g.blocks = 1;
        g.block = g.count;
        g.parts = tody_min_u32(tody_div_up(y->shape[TODY_CHANNELS], g.panels * TODY_PANEL), threads);
        g.u_stride = TODY_FLEETING_SLICE * TODY_PANEL + TODY_WINOGRAD_SKEW;
    } else {
        cut_blocks(&g, call->kernels, threads);
    }
    g.v_stride = (size_t)g.block * g.depth + TODY_WINOGRAD_SKEW;
    g.m_stride = (size_t)g.block * g.panels * TODY_PANEL + TODY_WINOGRAD_SKEW;
    return g;
}

uint64_t tody_tiles_bytes(const tody_tiles *g) {
    const uint64_t values = (uint64_t)g->block * ((uint64_t)g->depth + g->panels * TODY_PANEL) + 2 * TODY_WINOGRAD_SKEW;
    return (values + g->panels * g->u_stride) * g->positions * sizeof(float);
}

tody_tile_place tody_tile_at(const tody_tiles *g, uint32_t tile) {
    const tody_tile_region *r = g->regions + CORNER;
    while (tile < r->first) r--;
    const uint32_t at = tile - r->first, line = at / r->across, column = at % r->across;
    tody_tile_place p = {.image = line / r->down, .y = r->y + line % r->down * g->tile, .x = r->x + column * g->tile};
    p.rows = tody_min_u32(g->tile, g->height - p.y);
    p.cols = tody_min_u32(g->tile, g->width - p.x);
    p.top = g->tile - p.rows > 1;
    p.left = g->tile - p.cols > 1;
    p.beside = r->across - column;
    return p;
}

tody_span tody_tiles_needing(const tody_tiles *g, uint32_t y, uint32_t x) {
    const bool bottom = y >= g->spared[0], right = x >= g->spared[1];
    const uint32_t end = bottom ? g->count : g->regions[CORNER].first;
    return (tody_span){bottom ? 0 : g->regions[WHOLE].first, right ? end : g->regions[RIGHT].first};
}
