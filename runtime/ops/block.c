// block.c - a block of rows of a product: how many stay in cache, the kernel's tiles of them, and the panels that they meet.
// SPDX-License-Identifier: Apache-2.0
#include "block.h"

#include <string.h>

#include "pack.h"
#include "tiles.h"

enum {
    BLOCK_ROWS = 198,          // rows of A that meet one panel before the next panel is fetched
    MAX_TILES = 66,            // of a block: no kernel of float32 or int16 takes fewer than three rows
    BLOCK_BYTES = 1 << 18,     // of packed A in a block: a quarter of a MiB stays in the second-level cache
    BLOCK_BYTES_S8 = 5 << 16,  // the same of int8: 64 windows of 3x3 over 512 channels
    PLAIN_BYTES = 16,          // that kernels load at once of rows which are not packed
    BLOCK_POINTERS = 1024,     // to A in a block: fewer rows where a filter is large
};

static uint32_t panels_of(const tody_gemm *g) { return tody_div_up(g->cols, TODY_PANEL); }

static bool packs(const tody_kernels *k, tody_dtype dtype) { return TODY_PACKS_S8 && tody_is_s8(dtype) && k->pack_s8; }

uint32_t tody_block_tile(const tody_kernels *k, tody_dtype dtype) {
    return tody_is_f32(dtype) ? k->gemm_f32_rows : tody_is_s16(dtype) ? k->gemm_s16_rows : k->gemm_s8_rows;
}

// Rows of float32 in a block, at most.
static uint32_t block_rows_f32(const tody_kernels *k, uint32_t taps, uint32_t depth) {
    if (!tody_packs_f32(k)) return BLOCK_ROWS;
    return tody_min_u32(BLOCK_ROWS, BLOCK_BYTES / sizeof(float) / tody_slice_values(taps, depth));
}

uint32_t tody_block_rows(const tody_kernels *k, tody_dtype dtype, uint32_t taps, uint32_t depth) {
    const uint32_t tile = tody_block_tile(k, dtype);
    if (packs(k, dtype)) {
        const size_t fit = BLOCK_BYTES_S8 / tody_packed_stride(taps, depth);
        return tody_max_u32((uint32_t)(fit < k->gemm_s8_block ? fit : k->gemm_s8_block) / tile, 1) * tile;
    }
    if (tody_is_s8(dtype)) return tile;
    const uint32_t most = tody_min_u32(block_rows_f32(k, taps, depth), BLOCK_POINTERS / taps);
    return tody_max_u32(most / tile, 1) * tile;
}

// Of the pointers of a block, also of fewer taps: those of a part of a transposed convolution.
static size_t pointer_bytes(const tody_kernels *k, tody_dtype dtype, uint32_t taps, uint32_t depth, size_t bytes) {
    const uint64_t rows = tody_block_rows(k, dtype, 1, depth), least = (uint64_t)taps * tody_block_tile(k, dtype);
    const uint64_t all = taps * rows < BLOCK_POINTERS ? taps * rows : BLOCK_POINTERS;
    const uint64_t packed = (uint64_t)taps * tody_max_u32(k->pack_s8_rows, 1);
    if (packs(k, dtype)) return tody_scratch_bytes((packed < BLOCK_POINTERS ? BLOCK_POINTERS : packed) * bytes);
    return tody_scratch_bytes((all > least ? all : least) * bytes);
}

size_t tody_block_bytes(const tody_kernels *k, tody_dtype dtype, uint32_t taps, uint32_t depth, size_t bytes) {
    const uint64_t pointers = pointer_bytes(k, dtype, taps, depth, bytes);
    if (tody_block_packs_f32(k, dtype)) {
        const uint64_t all = (uint64_t)BLOCK_ROWS * tody_slice_values(taps, depth) * sizeof(float);
        return tody_scratch_bytes(pointers + (all < BLOCK_BYTES ? all : BLOCK_BYTES));
    }
    if (!packs(k, dtype)) return tody_scratch_bytes(pointers + (tody_is_s8(dtype) ? tody_gemm_work(taps, depth) : 0));
    const uint64_t row = tody_packed_stride(taps, depth), least = row * k->gemm_s8_rows, most = row * k->gemm_s8_block;
    const uint64_t block = most < BLOCK_BYTES_S8 ? most : BLOCK_BYTES_S8;
    const uint64_t rows = (block > least ? block : least) * k->gemm_s8_bytes + row * k->gemm_s8_spare;
    return tody_scratch_bytes(pointers + 2 * TODY_PACK_ALIGN + rows);
}

tody_blocks tody_blocks_of(const tody_kernels *k, const tody_gemm *g) {
    tody_blocks blocks = {g, k, {1, 0}};
    if (!packs(k, g->dtype)) return blocks;
    const size_t bytes = tody_block_bytes(k, g->dtype, g->taps, g->depth, sizeof(const void *));
    const size_t room = bytes - pointer_bytes(k, g->dtype, g->taps, g->depth, sizeof(const void *));
    blocks.lines = tody_lines_of(k, g, room - TODY_PACK_ALIGN);
    return blocks;
}

// Whether `run` taps of tap_bytes lie one after the other in memory, for each of `rows` rows and from each run-th tap on.
static bool in_runs(const tody_gemm *g, const void *const *a, uint32_t rows, uint32_t run, size_t tap_bytes) {
    for (uint32_t t = 1; t < g->taps; t++) {
        if (t % run == 0) continue;
        const void *const *tap = a + (size_t)t * rows;
        for (uint32_t i = 0; i < rows; i++) {
            if (tap[i] != (const uint8_t *)*(tap + i - rows) + tap_bytes) return false;
        }
    }
    return true;
}

// Pixels of a line are neighbours in memory: inside the image, so are the taps of a window's line. How many are, or 1.
static uint32_t find_run(const tody_gemm *g, const void *const *a, uint32_t rows) {
    const size_t tap_bytes = g->depth * tody_dtype_bytes(g->dtype);
    uint32_t run = 1;
    while (run < g->taps && a[(size_t)run * rows] == (const uint8_t *)a[(size_t)(run - 1) * rows] + tap_bytes) run++;
    return run > 1 && g->taps % run == 0 && in_runs(g, a, rows, run, tap_bytes) ? run : 1;
}

// Pointers to the rows of a tile, for which there is room. Neighbouring taps become one longer tap: at once where all rows are
// in lines, else their pointers are moved together, unless a panel has gaps between them.
static void make_tile(const tody_gemm *g, tody_tile *tile) {
    const bool f32 = tody_is_f32(g->dtype), lines = f32 && g->slide && !g->beside, whole = f32 && tody_gemm_sliced(g);
    const uint32_t first = tile->first, rows = tile->rows;
    const void **a = tile->a;
    const size_t room = (size_t)g->taps * rows * sizeof *a;
    if (lines && !whole && tody_slide_lines(g->slide, first, rows, room, a)) {
        tile->joined = g->slide->window.kernel[1];
        return;
    }
    g->gather(g->source, first, rows, a);
    if (lines || whole || g->beside || g->depth % tody_group(g->dtype) != 0) return;
    const uint32_t run = find_run(g, a, rows);
    for (uint32_t t = run; run > 1 && t < g->taps; t += run) {
        memcpy(a + (size_t)t / run * rows, a + (size_t)t * rows, rows * sizeof *a);
    }
    tile->joined = run;
}

// Larger tiles first, so that those of one size follow each other. Packed tiles come behind the pointers; a product of one row
// needs none. Where a row has one pointer, those of all tiles are made at once.
static uint32_t gather_block(const tody_blocks *b, uint32_t first, uint32_t rows, const void **a, tody_tile *tiles) {
    const tody_gemm *g = b->gemm;
    const uint32_t count = tody_div_up(rows, tody_block_tile(b->kernels, g->dtype));
    const size_t values = tody_slice_values(g->taps, g->depth);
    float *packed = NULL;
    if (tody_block_packs_f32(b->kernels, g->dtype) && g->rows > 1)
        packed = (float *)(void *)((uint8_t *)a + pointer_bytes(b->kernels, g->dtype, g->taps, g->depth, sizeof *a));
    if (g->taps == 1) g->gather(g->source, first, rows, a);
    for (uint32_t t = 0, row = 0; t < count; row += tiles[t++].rows) {
        const uint32_t some = rows / count + (t < rows % count);
        tiles[t] = (tody_tile){a + (size_t)row * g->taps, first + row, some, 1, packed ? packed + row * values : NULL};
        if (g->taps > 1) make_tile(g, &tiles[t]);
    }
    return count;
}

// Whether rows need no packing; then `all` is where they are.
static bool are_plain(const tody_blocks *b, uint32_t first, uint32_t rows, tody_packed_s8 *all) {
    const tody_gemm *g = b->gemm;
    const bool even = g->gather == tody_gather_matrix || g->gather == tody_gather_pixels;
    const bool inside = g->depth % PLAIN_BYTES == 0 || (g->rows - first - rows) * g->depth >= PLAIN_BYTES;
    if (!TODY_PLAIN_S8 || !b->kernels->gemm_s8_plain || !even || g->depth % TODY_GROUP_S8 != 0 || !inside) return false;
    const void *a[2];
    g->gather(g->source, first, tody_min_u32(rows, 2), a);
    const size_t stride = rows > 1 ? (size_t)((uintptr_t)a[1] - (uintptr_t)a[0]) : 0;
    *all = (tody_packed_s8){.count = rows, .packed = (int8_t *)(uintptr_t)a[0], .stride = stride, .width = rows, .lines = 1};
    return true;
}

// `rows` rows from `first` on, packed once, in all panels from `panel` to `end`.
static void run_packed(const tody_blocks *b, uint32_t first, uint32_t rows, uint32_t panel, uint32_t end, const void **a) {
    const tody_gemm *g = b->gemm;
    const size_t pointers = pointer_bytes(b->kernels, g->dtype, g->taps, g->depth, sizeof *a);
    const uintptr_t after = (uintptr_t)a + pointers + TODY_PACK_ALIGN - 1;
    int8_t *packed = (int8_t *)(after / TODY_PACK_ALIGN * TODY_PACK_ALIGN);
    if (b->lines.lines) {
        tody_lines_run(b->kernels, g, &b->lines, first, rows, panel, end, packed);
        return;
    }
    const size_t stride = tody_packed_stride(g->taps, g->depth);
    tody_packed_s8 all = {.count = rows, .packed = packed, .stride = stride, .width = rows, .lines = 1, .line_stride = stride};
    if (!are_plain(b, first, rows, &all)) tody_gemm_pack(b->kernels, g, first, rows, pointers, a, packed);
    tody_gemm_packed_s8(b->kernels, g, panel, end, first, &all);
}

static void activate(const tody_blocks *b, uint32_t first, uint32_t rows, uint32_t column, uint32_t cols) {
    const tody_gemm *g = b->gemm;
    const tody_activation *f = &g->activation;
    if (!tody_needs_unary(f)) return;
    bool whole = cols == g->c_stride;
    for (uint32_t i = 0; i < (whole ? 1 : rows); i++) {
        float *c = (float *)g->c + (first + i) * g->c_stride + column;
        b->kernels->unary_f32(f->fn, f->a, f->b, c, c, whole ? (size_t)rows * cols : cols);
    }
}

// The pointers of tiles that follow each other go ahead, all of them.
static void advance(const void **a, size_t count, size_t bytes) {
    for (size_t i = 0; i < count; i++) a[i] = (const uint8_t *)a[i] + bytes;
}

static void multiply(const tody_blocks *b, const tody_gemm *g, uint32_t panel, uint32_t end, const tody_tile *tiles,
                     uint32_t count) {
    if (tody_is_f32(g->dtype))
        tody_gemm_tiles(b->kernels, g, panel, end, tiles, count);
    else
        tody_gemm_tiles_s16(b->kernels, g, panel, end, tiles, count);
}

// Groups from `from` to `end`. Their rows are those of group 0 farther on, and so their pointers need not be gathered again.
static void run_groups(const tody_blocks *b, uint32_t from, uint32_t end, const tody_tile *tiles, uint32_t count,
                       size_t pointers) {
    const size_t step = (size_t)b->gemm->depth * tody_dtype_bytes(b->gemm->dtype);
    advance(tiles->a, pointers, from * step);
    for (uint32_t i = from; i < end; i++) {
        const tody_gemm g = tody_gemm_group(b->gemm, i, b->gemm->taps);
        const uint8_t *before = *tiles->a;
        multiply(b, &g, 0, panels_of(&g), tiles, count);
        advance(tiles->a, pointers, step - (size_t)((const uint8_t *)*tiles->a - before));
    }
}

// All rows of a block, of float32 or int16, in the units of the cut from `from` to `end`. Not inlined: int8 needs no stack for
// tiles.
static __attribute__((noinline)) void run_tiles(const tody_blocks *b, uint32_t first, uint32_t rows, uint32_t from,
                                                uint32_t end, const void **a) {
    const tody_gemm *g = b->gemm;
    const uint32_t unit = g->beside ? g->cols : TODY_PANEL;
    tody_tile tiles[MAX_TILES];
    const uint32_t count = gather_block(b, first, rows, a, tiles);
    if (g->beside)
        run_groups(b, from, end, tiles, count, (size_t)rows * g->taps);
    else
        multiply(b, g, from, end, tiles, count);
    if (tody_is_f32(g->dtype))
        activate(b, first, rows, from * unit, tody_min_u32(g->cols * (g->beside + 1), end * unit) - from * unit);
}

// The same of int8 that is not in groups.
static void run_s8(const tody_blocks *b, uint32_t first, uint32_t rows, uint32_t panel, uint32_t end, const void **a) {
    const tody_gemm *g = b->gemm;
    if (packs(b->kernels, g->dtype)) {
        run_packed(b, first, rows, panel, end, a);
        return;
    }
    void *work = (uint8_t *)a + pointer_bytes(b->kernels, g->dtype, g->taps, g->depth, sizeof *a);
    tody_tile tile = {a, first, rows, 1, work};
    make_tile(g, &tile);
    tody_gemm_tile_s8(b->kernels, g, panel, end, &tile);
}

// Groups of int8. Not inlined: a single group needs no stack for another.
static __attribute__((noinline)) void run_groups_s8(const tody_blocks *all, uint32_t first, uint32_t rows, uint32_t from,
                                                    uint32_t end, const void **a) {
    for (uint32_t i = from; i < end; i++) {
        tody_gemm g = tody_gemm_group(all->gemm, i, all->gemm->taps);
        tody_slide slide = *(const tody_slide *)g.source;
        slide.x += (size_t)i * g.depth;
        g.source = &slide;
        if (g.slide) g.slide = &slide;
        tody_blocks b = *all;
        b.gemm = &g;
        run_s8(&b, first, rows, 0, panels_of(&g), a);
    }
}

void tody_block_run(const tody_blocks *b, uint32_t first, uint32_t rows, uint32_t from, uint32_t end, const void **a) {
    const tody_gemm *g = b->gemm;
    if (!tody_is_s8(g->dtype))
        run_tiles(b, first, rows, from, end, a);
    else if (g->beside)
        run_groups_s8(b, first, rows, from, end, a);
    else
        run_s8(b, first, rows, from, end, a);
}
