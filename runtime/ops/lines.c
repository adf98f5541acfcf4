// lines.c - int8 products whose rows are windows over lines of an image: lines are packed once, and not a row for each window.
// SPDX-License-Identifier: Apache-2.0
#include "lines.h"

#include "tiles.h"

enum {
    MOST_ROWS = 512,  // of lines that are packed together
    SOME = 32,        // pixels of a group at a time
};

// Bytes of a packed pixel.
static size_t pixel_bytes(const tody_gemm *g) { return (size_t)tody_div_up(g->depth, TODY_GROUP_S8) * TODY_GROUP_S8; }

// Pixels of a line that `width` windows see.
static uint32_t columns_of(const tody_window *w, uint32_t width) { return (width - 1) * w->stride[1] + w->kernel[1]; }

// Lines of the image that the windows of `lines` output lines see.
static uint32_t span_of(const tody_window *w, uint32_t lines) {
    return (lines - 1) * w->stride[0] + (w->kernel[0] - 1) * w->dilation[0] + 1;
}

// How many output lines have room, of which `width` windows are taken. Behind the last one a row more may be read or written.
static uint32_t lines_in(const tody_kernels *k, const tody_gemm *g, uint32_t width, size_t room) {
    const tody_window *w = &g->slide->window;
    const size_t row = w->stride[1] * pixel_bytes(g) + TODY_ALIGN, line = columns_of(w, width) * pixel_bytes(g);
    const size_t fit = room < row * k->gemm_s8_bytes ? 0 : (room / k->gemm_s8_bytes - row) / line, first = span_of(w, 1);
    const uint32_t most = tody_min_u32(tody_max_u32(MOST_ROWS / g->slide->out_width, 1), g->slide->out_height);
    if (fit < first) return 0;
    return fit - first < (size_t)(most - 1) * w->stride[0] ? (uint32_t)(fit - first) / w->stride[0] + 1 : most;
}

// Tiles of rows end with a line, and what they lack is lost in each pass of columns. To pack a row of its own for each window
// takes about as long as a row in one pass.
static bool pays(const tody_kernels *k, const tody_gemm *g, uint32_t width) {
    const uint32_t tiles = tody_div_up(width, k->gemm_s8_rows), least = k->gemm_s8_least ? k->gemm_s8_least : k->gemm_s8_rows;
    const uint64_t rows = (uint64_t)tiles * tody_max_u32(tody_div_up(width, tiles), least);
    return (rows - width) * tody_div_up(g->cols, TODY_PANEL * k->gemm_s8_panels) <= width;
}

tody_lines tody_lines_of(const tody_kernels *k, const tody_gemm *g, size_t room) {
    tody_lines l = {1, 0};
    if (!k->gemm_s8_lines || !g->slide || g->slide->window.kernel[0] > TODY_MAX_LINES) return l;
    const size_t line = g->slide->window.kernel[1] * pixel_bytes(g);
    if (line >= 64 && line % k->gemm_s8_lines != 0) return l;
    l.parts = tody_div_up(g->slide->out_width, MOST_ROWS);
    const uint32_t width = tody_div_up(g->slide->out_width, l.parts);
    if (pays(k, g, width)) l.lines = lines_in(k, g, width, room);
    return l;
}

uint32_t tody_lines_units(const tody_lines *l, const tody_gemm *g) { return g->rows / g->slide->out_width * l->parts; }

uint32_t tody_lines_begin(const tody_lines *l, const tody_gemm *g, uint32_t unit) {
    const uint32_t width = g->slide->out_width;
    return unit / l->parts * width + tody_share(width, unit % l->parts, l->parts);
}

// Pixels that follow each other. Those of a group are parts of the image's.
static void pack_pixels(const tody_kernels *k, const tody_gemm *g, const int8_t *from, uint32_t count, int8_t *to) {
    const int8_t *a[SOME];
    tody_pack_s8 pack = {1, 1, count, g->depth, &from, g->layer.x_zero, to, pixel_bytes(g)};
    if (!g->beside) {
        k->pack_s8(&pack);
        return;
    }
    pack.run = 1;
    pack.a = a;
    for (uint32_t left = count; left > 0; left -= pack.rows, pack.packed += pack.rows * pack.stride) {
        pack.rows = tody_min_u32(left, SOME);
        for (uint32_t i = 0; i < pack.rows; i++, from += g->slide->pixel_bytes) a[i] = from;
        k->pack_s8(&pack);
    }
}

// `columns` pixels of line y of an image, from column x on, and the padding beside it.
static void pack_line(const tody_kernels *k, const tody_gemm *g, const uint8_t *image, int32_t y, int32_t x, uint32_t columns,
                      int8_t *to) {
    const tody_slide *s = g->slide;
    const size_t bytes = pixel_bytes(g);
    const int zero = g->layer.x_zero + k->gemm_s8_shift;
    const uint32_t before = x < 0 ? tody_min_u32((uint32_t)-x, columns) : 0, after = s->width - (uint32_t)x;
    const bool none = (uint32_t)y >= s->height || x >= (int32_t)s->width;
    const uint32_t first = none ? columns : before, end = none ? columns : tody_min_u32(after, columns);
    memset(to, zero, first * bytes);
    if (first < end) {
        const uint8_t *a = image + ((size_t)y * s->width + (size_t)(x + (int32_t)first)) * s->pixel_bytes;
        pack_pixels(k, g, (const int8_t *)a, end - first, to + first * bytes);
    }
    memset(to + end * bytes, zero, (columns - end) * bytes);
}

// The rows from `first` on, that are `width` of each of some lines of one image.
static void run_lines(const tody_kernels *k, const tody_gemm *g, uint32_t first, uint32_t width, uint32_t lines, uint32_t panel,
                      uint32_t end, int8_t *packed) {
    const tody_slide *s = g->slide;
    const tody_window *w = &s->window;
    const uint32_t line = first / s->out_width, columns = columns_of(w, width), span = span_of(w, lines);
    const uint8_t *image = s->x + (size_t)(line / s->out_height) * s->height * s->width * s->pixel_bytes;
    const int32_t top = (int32_t)(line % s->out_height * w->stride[0] - w->pad[0]);
    const int32_t left = (int32_t)(first % s->out_width * w->stride[1] - w->pad[1]);
    const size_t pitch = columns * pixel_bytes(g);
    for (uint32_t i = 0; i < span; i++) pack_line(k, g, image, top + (int32_t)i, left, columns, packed + i * pitch);
    const tody_packed_s8 rows = {.count = width * lines,
                                 .packed = packed,
                                 .stride = w->stride[1] * pixel_bytes(g),
                                 .width = width,
                                 .lines = w->kernel[0],
                                 .width_stride = w->stride[0] * pitch,
                                 .line_stride = w->dilation[0] * pitch};
    tody_gemm_packed_s8(k, g, panel, end, first, &rows);
}

void tody_lines_run(const tody_kernels *k, const tody_gemm *g, const tody_lines *l, uint32_t first, uint32_t rows,
                    uint32_t panel, uint32_t end, int8_t *packed) {
    const uint32_t width = l->parts > 1 ? rows : g->slide->out_width;
    for (uint32_t left = rows / width, some; left > 0; left -= some, first += some * width) {
        some = tody_min_u32(left, g->slide->out_height - first / g->slide->out_width % g->slide->out_height);
        run_lines(k, g, first, width, some, panel, end, packed);
    }
}
