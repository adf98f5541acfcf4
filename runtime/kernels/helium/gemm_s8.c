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

#define INLINE static inline __attribute__((always_inline))

enum {
    ROWS = TODY_TILE_ROWS_HELIUM,
    COLS = TODY_PANEL_F32,
    VECTOR = 16,
    ROOM = 22 * VECTOR,  // of a row whose taps are put together
    LONG = 64,           // taps of that many values are used where they are
};
_Static_assert(ROWS *ROOM + VECTOR <= TODY_GEMM_WORK, "rows are put together in what the kernel works with");

// `cols` columns of a panel, at the result's column `col`.
typedef struct panel {
    const int8_t *w;
    uint32_t col, cols, taps, bytes;  // bytes of weights of a column that belong to a tap
    bool apart;                       // taps are used where they are
    int32_t *start, *sums;            // [COLS], [COLS][ROWS]
} panel;

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

// What the sums of columns begin with: bias, less what x_zero adds. Rows that are put together have x_zero behind their depth,
// too, and so what the weights there are does not matter.
static void start_columns(const tody_gemm_s8 *g, panel *p) {
    const int32x4_t none = vdupq_n_s32(0);
    const int32_t zero = -g->layer.x_zero;
    const bool whole = !p->apart || g->depth % 4 == 0;
    const uint32_t runs = whole ? 1 : p->taps, depth = whole ? p->taps * p->bytes : g->depth;
    for (uint32_t j = 0; j < COLS; j += 4) vstrwq_s32(p->start + j, none);
    for (uint32_t t = 0; zero && t < runs; t++) {
        tody_add_weights_helium(p->w + (size_t)t * p->bytes * COLS, depth, (p->cols + 1) / 2, p->start);
    }
    for (uint32_t j = 0; j < COLS; j += 4) {
        const int32x4_t bias = g->bias ? vldrwq_s32(g->bias + p->col + j) : none;
        vstrwq_s32(p->start + j, vmlaq_n_s32(bias, vldrwq_s32(p->start + j), zero));
    }
}

// What the sums of a tile begin with.
static void start_tile(panel *p) {
    const uint32x4_t at = vmulq_n_u32(vidupq_n_u32(0, 1), ROWS);
    for (uint32_t j = 0; j < COLS; j += 4) {
        const int32x4_t start = vldrwq_s32(p->start + j);
        for (uint32_t i = 0; i < ROWS; i++) vstrwq_scatter_shifted_offset_s32(p->sums + j * ROWS + i, at, start);
    }
}

// A vector of values, `zero` where there is none.
INLINE int8x16_t filled(const int8_t *from, int8x16_t zero, mve_pred16_t there) {
    return vpselq_s8(vldrbq_z_s8(from, there), zero, there);
}

// Taps of a row, `next` pointers apart, one behind the other.
static void put(const int8_t *const *a, uint32_t next, uint32_t taps, uint32_t depth, uint32_t bytes, int8x16_t zero,
                int8_t *to) {
    if (depth <= VECTOR) {
        const mve_pred16_t there = vctp8q(depth);
        for (; taps > 0; taps--, a += next, to += bytes) vstrbq_s8(to, filled(*a, zero, there));
    }
    for (; taps > 0; taps--, a += next, to += bytes) {
        for (uint32_t k = 0; k < depth; k += VECTOR) vstrbq_s8(to + k, filled(*a + k, zero, vctp8q(depth - k)));
    }
}

static void add(const tody_tile_helium *tile) {
    if (tile->depth <= TODY_THIN_HELIUM)
        tody_add_thin_tile_helium(tile);
    else
        tody_add_tile_helium(tile);
}

// The products of rows, of which the last one stands for those that are not there, too.
static void add_rows(const tody_gemm_s8 *g, panel *p, uint32_t first, uint32_t there) {
    const uint32_t most = p->apart ? 1 : ROOM / p->bytes;
    const int8x16_t zero = vdupq_n_s8((int8_t)g->layer.x_zero);
    tody_tile_helium tile = {.pairs = (p->cols + 1) / 2, .sums = p->sums, .w = p->w};
    for (uint32_t tap = 0, taps; tap < p->taps; tap += taps, tile.w += (size_t)taps * p->bytes * COLS) {
        const int8_t *const *a = g->a + (size_t)tap * g->rows + first;
        taps = least(p->taps - tap, most);
        tile.depth = p->apart ? g->depth : taps * p->bytes;
        for (uint32_t i = 0; i < ROWS; i++) {
            const uint32_t row = least(i, there - 1);
            tile.x[i] = p->apart ? a[row] : (int8_t *)g->work + row * ROOM;
            if (!p->apart && i < there) put(a + i, g->rows, taps, g->depth, p->bytes, zero, (int8_t *)g->work + i * ROOM);
        }
        add(&tile);
    }
    for (uint32_t i = 0; g->layer.w_zero && i < there; i++) {
        const uint32_t more = (uint32_t)tody_row_start_s8(g, first + i);
        for (uint32_t j = 0; j < p->cols; j++) p->sums[j * ROWS + i] = (int32_t)((uint32_t)p->sums[j * ROWS + i] + more);
    }
}

static void finish(const tody_gemm_s8 *g, const panel *p, uint32_t first, uint32_t there) {
    const tody_finish_helium args = {
        .rows = there,
        .cols = p->cols,
        .sums = p->sums,
        .step = ROWS,
        .scale = g->scale + p->col / COLS * g->scale_stride,
        .addend = g->addend ? g->addend + first * g->addend_stride + p->col : NULL,
        .addend_stride = g->addend_stride,
        .c = g->c + first * g->c_stride + p->col,
        .c_stride = g->c_stride,
        .layer = &g->layer,
    };
    tody_finish_sums_helium(&args);
}

void tody_gemm_s8_helium(const tody_gemm_s8 *g) {
    int32_t start[COLS], sums[COLS * ROWS];
    panel p = {.start = start, .sums = sums, .w = g->w, .taps = g->taps, .bytes = (g->depth + 3) / 4 * 4};
    p.apart = g->taps == 1 || g->depth >= LONG;
    for (; p.col < g->cols; p.col += COLS, p.w += g->w_stride) {
        p.cols = least(g->cols - p.col, COLS);
        start_columns(g, &p);
        for (uint32_t first = 0, there; first < g->rows; first += there) {
            there = least(g->rows - first, ROWS);
            start_tile(&p);
            add_rows(g, &p, first, there);
            finish(g, &p, first, there);
        }
    }
}

#endif
