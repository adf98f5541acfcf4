// gemm_s8.c - int8 rows times panels by Helium: three rows at a time, panel by panel.
// SPDX-License-Identifier: Apache-2.0
//
// Rows are used where they are if what follows there is long enough, else their taps are put one behind the other first. The
// zero point is taken off by what it adds to the sums of a column: it times the sum of its weights.
#include "helium.h"

#if defined(TODY_HAS_HELIUM)
#include "finish.h"
#include "kernels/sums_s8.h"
#include "tiles.h"

enum {
    ROWS = TODY_TILE_ROWS_HELIUM,
    COLS = TODY_PANEL_F32,
    MOST_TILES = TODY_GEMM_ROWS_HELIUM / ROWS,
    VECTOR = 16,
    LONG = 64,  // taps of that many values are used where they are
};
_Static_assert(TODY_GEMM_ROWS_HELIUM % ROWS == 0, "rows are whole tiles");

// `cols` columns of a panel, at the result's column `col`.
typedef struct panel {
    const int8_t *w;
    uint32_t col, cols, pairs, tiles;
    uint32_t bytes;         // of weights of a column that belong to a tap
    uint32_t room;          // bytes of a row whose taps are put together: three take half of tody_gemm_work or less
    bool apart;             // taps are used where they are
    int32_t *start, *sums;  // [COLS], [tiles][2 * pairs][ROWS]
} panel;

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static size_t tile_sums(const panel *p) { return (size_t)p->pairs * 2 * ROWS; }

// What the sums of columns begin with: bias, less what x_zero adds. Rows that are put together have x_zero behind their depth,
// too, and so what the weights there are does not matter.
static void start_columns(const tody_gemm_s8 *g, panel *p) {
    const int32x4_t none = vdupq_n_s32(0);
    const int32_t zero = -g->layer.x_zero;
    const bool whole = !p->apart || g->depth % 4 == 0;
    const uint32_t runs = whole ? 1 : g->taps, depth = whole ? g->taps * p->bytes : g->depth;
    for (uint32_t j = 0; j < COLS; j += 4) vstrwq_s32(p->start + j, none);
    for (uint32_t t = 0; zero && t < runs; t++) {
        tody_add_weights_helium(p->w + (size_t)t * p->bytes * COLS, depth, p->pairs, p->start);
    }
    for (uint32_t j = 0; j < COLS; j += 4) {
        const int32x4_t bias = g->bias ? vldrwq_s32(g->bias + p->col + j) : none;
        vstrwq_s32(p->start + j, vmlaq_n_s32(bias, vldrwq_s32(p->start + j), zero));
    }
}

// What the sums of tiles begin with. Where there are few columns, the next tile covers what is written beyond them.
static void start_tiles(const panel *p) {
    const uint32x4_t columns = vmulq_n_u32(vidupq_n_u32(0, 1), 4 * ROWS);
    for (uint32_t t = 0; t < p->tiles; t++) {
        uint32x4_t at = vaddq_n_u32(columns, (uint32_t)(uintptr_t)(p->sums + t * tile_sums(p)));
        for (uint32_t j = 0; j < COLS; j += 4) {
            const int32x4_t start = vldrwq_s32(p->start + j);
            vstrwq_scatter_base_s32(at, 0, start);
            vstrwq_scatter_base_s32(at, 4, start);
            vstrwq_scatter_base_s32(at, 8, start);
            at = vaddq_n_u32(at, 4 * 4 * ROWS);
        }
    }
}

// All sums of a lone row, whose weights are added up while they meet it.
static void add_lone_row(const tody_gemm_s8 *g, const panel *p) {
    const uint32x4_t columns = vmulq_n_u32(vidupq_n_u32(0, 1), 4 * ROWS);
    for (uint32_t j = 0; j < COLS * ROWS; j += 4) vstrwq_s32(p->sums + j, vdupq_n_s32(0));
    for (uint32_t t = 0; t < g->taps; t++) {
        tody_add_row_helium(g->a[t], g->depth, p->w + (size_t)t * p->bytes * COLS, p->pairs, p->sums);
    }
    for (uint32_t j = 0; j < p->cols; j += 4) {
        int32_t *sums = p->sums + j * ROWS;
        const int32x4_t start = g->bias ? vldrwq_s32(g->bias + p->col + j) : vdupq_n_s32(0);
        const int32x4_t weights = vldrwq_gather_offset_s32(sums + 1, columns), all = vldrwq_gather_offset_s32(sums, columns);
        vstrwq_scatter_offset_s32(sums, columns, vaddq_s32(all, vmlaq_n_s32(start, weights, -g->layer.x_zero)));
    }
}

static void add(const tody_tiles_helium *tiles) {
    if (tiles->depth <= TODY_THIN_HELIUM)
        tody_add_thin_tiles_helium(tiles);
    else
        tody_add_tiles_helium(tiles);
}

// The products of a tap of all rows. The last row stands for those that its tile lacks, too.
static void add_tap(const tody_gemm_s8 *g, const panel *p, uint32_t tap) {
    const int8_t *const *a = g->a + (size_t)tap * g->rows;
    const uint32_t whole = g->rows / ROWS, rest = g->rows % ROWS;
    const int8_t *w = p->w + (size_t)tap * p->bytes * COLS;
    const tody_tiles_helium tiles = {a, whole, g->depth, w, p->pairs, p->sums};
    if (whole) add(&tiles);
    if (rest == 0) return;
    a += whole * ROWS;
    const int8_t *const last[ROWS] = {a[0], a[rest - 1], a[rest - 1]};
    const tody_tiles_helium tile = {last, 1, g->depth, w, p->pairs, p->sums + whole * tile_sums(p)};
    add(&tile);
}

// The products of a tile whose taps are put together.
static void add_joined(const tody_gemm_s8 *g, const panel *p, uint32_t tile) {
    const uint32_t first = tile * ROWS, there = least(g->rows - first, ROWS);
    int8_t *work = g->work;
    for (uint32_t i = 0; i < there; i++) {
        tody_join_taps_helium(g->a + first + i, g->rows * (uint32_t)sizeof *g->a, g->taps, g->depth, p->bytes,
                              work + i * p->room);
    }
    const int8_t *const x[ROWS] = {work, work + least(1, there - 1) * p->room, work + (there - 1) * p->room};
    const tody_tiles_helium args = {x, 1, g->taps * p->bytes, p->w, p->pairs, p->sums + tile * tile_sums(p)};
    add(&args);
}

// All sums of rows.
static void add_rows(const tody_gemm_s8 *g, panel *p) {
    start_columns(g, p);
    start_tiles(p);
    for (uint32_t t = 0; p->apart && t < g->taps; t++) add_tap(g, p, t);
    for (uint32_t t = 0; !p->apart && t < p->tiles; t++) add_joined(g, p, t);
}

// What lies behind the depth of joined taps.
static void fill_room(const tody_gemm_s8 *g, uint32_t bytes) {
    const int8x16_t zero = vdupq_n_s8((int8_t)g->layer.x_zero);
    int8_t *const work = g->work;
    for (uint32_t i = 0; i < bytes; i += VECTOR) vstrbq_s8(work + i, zero);
}

// What w_zero adds to each row.
static void add_row_starts(const tody_gemm_s8 *g, const panel *p, const uint32_t *more) {
    for (uint32_t i = 0; i < g->rows; i++) {
        int32_t *sum = p->sums + i / ROWS * tile_sums(p) + i % ROWS;
        for (uint32_t j = 0; j < p->cols; j++, sum += ROWS) *sum = (int32_t)((uint32_t)*sum + more[i]);
    }
}

static void finish(const tody_gemm_s8 *g, const panel *p) {
    const tody_finish_helium args = {
        .rows = g->rows,
        .cols = p->cols,
        .sums = p->sums,
        .step = ROWS,
        .tile_step = (uint32_t)tile_sums(p),
        .scale = g->scale + p->col / COLS * g->scale_stride,
        .addend = g->addend ? g->addend + p->col : NULL,
        .addend_stride = g->addend_stride,
        .c = g->c + p->col,
        .c_stride = g->c_stride,
        .layer = &g->layer,
    };
    tody_finish_sums_helium(&args);
}

void tody_gemm_s8_helium(const tody_gemm_s8 *g) {
    int32_t start[COLS], sums[MOST_TILES * COLS * ROWS];
    uint32_t more[TODY_GEMM_ROWS_HELIUM];
    panel p = {.start = start, .sums = sums, .w = g->w, .bytes = (g->depth + 3) / 4 * 4};
    p.tiles = (g->rows + ROWS - 1) / ROWS;
    p.apart = g->taps == 1 || g->depth >= LONG;
    p.room = (g->taps * p.bytes + VECTOR - 1) / VECTOR * VECTOR;
    if (!p.apart && p.bytes > g->depth) fill_room(g, ROWS * p.room);
    for (uint32_t i = 0; g->layer.w_zero && i < g->rows; i++) more[i] = (uint32_t)tody_row_start_s8(g, i);
    for (; p.col < g->cols; p.col += COLS, p.w += g->w_stride) {
        p.cols = least(g->cols - p.col, COLS);
        p.pairs = (p.cols + 1) / 2;
        if (p.apart && g->rows == 1)
            add_lone_row(g, &p);
        else
            add_rows(g, &p);
        if (g->layer.w_zero) add_row_starts(g, &p, more);
        finish(g, &p);
    }
}

#endif
