// window.c - windows that slide over an image.
// SPDX-License-Identifier: Apache-2.0
#include "window.h"

#include <string.h>

#include "layer.h"

enum { MOST_PIXELS = 1 << 30 };  // of a side of the image with its padding and a window's span: so 32 bits count them

// An output pixel.
typedef struct spot {
    uint32_t image, y, x;
} spot;

// Where its window stands: its first tap, which may lie outside the image.
typedef struct place {
    const uint8_t *image;
    int32_t top, left;
} place;

// From a window's first tap to its last in dimension d.
static uint32_t span_of(const tody_window *w, uint32_t d) { return (w->kernel[d] - 1) * w->dilation[d]; }

static bool in_range(uint32_t value, uint32_t least) { return value >= least && value <= UINT16_MAX; }

tody_status tody_check_images(const tody_window *window, const tody_tensor *x, const tody_tensor *y) {
    if (!tody_is_real(x) || !tody_is_real(y) || x->dtype != y->dtype) return TODY_ERR_DTYPE;
    if (x->rank != 4 || y->rank != 4 || x->shape[TODY_BATCH] != y->shape[TODY_BATCH]) return TODY_ERR_SHAPE;
    for (uint32_t d = 0; d < 2; d++) {
        bool sound = in_range(window->kernel[d], 1) && in_range(window->stride[d], 1) && in_range(window->dilation[d], 1) &&
                     in_range(window->pad[d], 0) && in_range(window->pad[d + 2], 0);
        if (!sound) return TODY_ERR_PARAM;
        const uint64_t side = (uint64_t)x->shape[TODY_HEIGHT + d] + window->pad[d] + window->pad[d + 2];
        if (side + span_of(window, d) > MOST_PIXELS) return TODY_ERR_PARAM;
    }
    return (uint64_t)window->kernel[0] * window->kernel[1] > INT32_MAX ? TODY_ERR_PARAM : TODY_OK;
}

tody_status tody_check_window(const tody_window *window, const tody_tensor *x, const tody_tensor *y) {
    tody_status status = tody_check_images(window, x, y);
    if (status) return status;
    for (uint32_t d = 0; d < 2; d++) {
        const uint32_t padded = x->shape[TODY_HEIGHT + d] + window->pad[d] + window->pad[d + 2], span = span_of(window, d) + 1;
        if (padded < span || y->shape[TODY_HEIGHT + d] != (padded - span) / window->stride[d] + 1) return TODY_ERR_SHAPE;
    }
    return TODY_OK;
}

tody_status tody_check_filters(const tody_call *call, const tody_conv_params *params, uint32_t addends) {
    const tody_tensor x = tody_in(call, 0), w = tody_in(call, 1), y = tody_out(call, 0);
    if (!tody_is_matrix(&w, x.dtype)) return TODY_ERR_DTYPE;
    if (w.rank != 4 || w.shape[0] != params->groups || w.shape[2] != tody_taps(&params->window)) return TODY_ERR_SHAPE;
    if (x.shape[TODY_CHANNELS] != w.shape[0] * w.shape[3] || y.shape[TODY_CHANNELS] != w.shape[0] * w.shape[1])
        return TODY_ERR_SHAPE;
    return tody_check_layer(call, addends, &params->activation);
}

tody_slide tody_slide_over(const tody_tensor *x, const tody_tensor *y, const tody_window *window, const void *outside) {
    return (tody_slide){
        .x = x->data,
        .outside = outside,
        .window = *window,
        .height = x->shape[TODY_HEIGHT],
        .width = x->shape[TODY_WIDTH],
        .channels = x->shape[TODY_CHANNELS],
        .pixel_bytes = tody_pitch(x) * tody_dtype_bytes(x->dtype),
        .out_height = y->shape[TODY_HEIGHT],
        .out_width = y->shape[TODY_WIDTH],
    };
}

// Divisions take as long as the pointers of a few windows: one where there is but one image.
static spot spot_of(const tody_slide *s, uint32_t pixel) {
    const uint32_t line = pixel / s->out_width, image = line < s->out_height ? 0 : line / s->out_height;
    return (spot){image, line - image * s->out_height, pixel - line * s->out_width};
}

// `count` pixels on, at most to the end of the line.
static void advance(const tody_slide *s, spot *p, uint32_t count) {
    p->x += count;
    if (p->x < s->out_width) return;
    p->x = 0;
    if (++p->y < s->out_height) return;
    p->y = 0;
    p->image++;
}

static place place_of(const tody_slide *s, const spot *p) {
    return (place){
        .image = s->x + (size_t)p->image * s->height * s->width * s->pixel_bytes,
        .top = (int32_t)(p->y * s->window.stride[0] - s->window.pad[0]),
        .left = (int32_t)(p->x * s->window.stride[1] - s->window.pad[1]),
    };
}

// Whether line y, or column x, is one of `count`: those before the first are large numbers.
static bool within(int32_t at, uint32_t count) { return (uint32_t)at < count; }

static const void *pixel_at(const tody_slide *s, const uint8_t *image, int32_t y, int32_t x) {
    if (!within(y, s->height) || !within(x, s->width)) return s->outside;
    return image + ((size_t)y * s->width + (size_t)x) * s->pixel_bytes;
}

const void *tody_slide_tap(const tody_slide *s, uint32_t pixel, uint32_t tap) {
    const tody_window *w = &s->window;
    const spot p = spot_of(s, pixel);
    const place at = place_of(s, &p);
    const uint32_t ky = tap / w->kernel[1], kx = tap % w->kernel[1];
    return pixel_at(s, at.image, at.top + (int32_t)(ky * w->dilation[0]), at.left + (int32_t)(kx * w->dilation[1]));
}

// How many windows in a row, up to `most`, lie wholly inside the image, from the one at `at` on.
static uint32_t windows_inside(const tody_slide *s, const place *at, uint32_t most) {
    const int32_t bottom = at->top + (int32_t)span_of(&s->window, 0), right = at->left + (int32_t)span_of(&s->window, 1);
    if (at->top < 0 || at->left < 0 || !within(bottom, s->height) || !within(right, s->width)) return 0;
    const uint32_t room = s->width - (uint32_t)right - 1, step = s->window.stride[1];
    return (uint64_t)(most - 1) * step <= room ? most : room / step + 1;
}

static void gather_inside(const tody_slide *s, const place *at, size_t tap_step, const void **a) {
    const tody_window *w = &s->window;
    const size_t right = (size_t)w->dilation[1] * s->pixel_bytes, down = (size_t)w->dilation[0] * s->width * s->pixel_bytes;
    const uint8_t *line = at->image + ((size_t)at->top * s->width + (size_t)at->left) * s->pixel_bytes;
    for (uint32_t ky = 0; ky < w->kernel[0]; ky++, line += down) {
        const uint8_t *pixel = line;
        for (uint32_t kx = 0; kx < w->kernel[1]; kx++, pixel += right, a += tap_step) *a = pixel;
    }
}

// The `count` windows that follow the one at `a` in a line, all of them inside the image.
static void gather_next(const tody_slide *s, uint32_t count, size_t tap_step, size_t pixel_step, const void **a) {
    const size_t right = (size_t)s->window.stride[1] * s->pixel_bytes;
    const uint32_t taps = tody_taps(&s->window);
    for (uint32_t t = 0; t < taps; t++, a += tap_step) {
        const uint8_t *pixel = *a;
        for (uint32_t i = 1; i <= count; i++) a[i * pixel_step] = pixel += right;
    }
}

static void gather_edge(const tody_slide *s, const place *at, size_t tap_step, const void **a) {
    const tody_window *w = &s->window;
    for (uint32_t ky = 0; ky < w->kernel[0]; ky++) {
        const int32_t y = at->top + (int32_t)(ky * w->dilation[0]);
        const uint32_t width = within(y, s->height) ? s->width : 0;
        const uint8_t *line = at->image + (width ? (size_t)y * width * s->pixel_bytes : 0);
        int32_t x = at->left;
        for (uint32_t kx = 0; kx < w->kernel[1]; kx++, a += tap_step, x += (int32_t)w->dilation[1]) {
            *a = within(x, width) ? line + (size_t)x * s->pixel_bytes : s->outside;
        }
    }
}

void tody_slide_gather(const tody_slide *s, uint32_t first, uint32_t count, size_t tap_step, size_t pixel_step,
                       const void **a) {
    spot p = spot_of(s, first);
    for (uint32_t left = count, done; left > 0; left -= done, a += done * pixel_step) {
        const place at = place_of(s, &p);
        const uint32_t inside = windows_inside(s, &at, tody_min_u32(left, s->out_width - p.x));
        if (inside) {
            gather_inside(s, &at, tap_step, a);
            gather_next(s, inside - 1, tap_step, pixel_step, a);
        } else {
            gather_edge(s, &at, tap_step, a);
        }
        done = tody_max_u32(inside, 1);
        advance(s, &p, done);
    }
}

// Room for lines that are copied, and the one that is padding alone, if there is one yet.
typedef struct copies {
    uint8_t *to;
    size_t room;
    const uint8_t *blank;
} copies;

// Line ky of a window: where it is, or a copy of it that has the bytes of `outside` where there is no pixel. NULL if no room.
static const void *line_at(const tody_slide *s, const place *at, uint32_t ky, copies *c) {
    const int32_t y = at->top + (int32_t)(ky * s->window.dilation[0]), x = at->left, width = (int32_t)s->width;
    const int32_t after = x + (int32_t)s->window.kernel[1], begin = x < 0 ? 0 : x, end = after < width ? after : width;
    const bool some = within(y, s->height) && begin < end;
    const size_t bytes = s->window.kernel[1] * s->pixel_bytes;
    const uint8_t *from = some ? at->image + ((size_t)y * s->width + (size_t)begin) * s->pixel_bytes : c->blank;
    if (some ? after - x == end - begin : from != NULL) return from;
    if (c->room < bytes) return NULL;
    uint8_t *to = c->to;
    c->to += bytes;
    c->room -= bytes;
    memset(to, *(const uint8_t *)s->outside, bytes);
    if (some)
        memcpy(to + (size_t)(begin - x) * s->pixel_bytes, from, (size_t)(end - begin) * s->pixel_bytes);
    else
        c->blank = to;
    return to;
}

// The lines of one window at an edge. False if there is no room.
static bool lines_at_edge(const tody_slide *s, const place *at, size_t line_step, copies *c, const void **a) {
    for (uint32_t ky = 0; ky < s->window.kernel[0]; ky++, a += line_step) {
        *a = line_at(s, at, ky, c);
        if (!*a) return false;
    }
    return true;
}

// Those of `count` windows in a row, all of them inside the image.
static void lines_inside(const tody_slide *s, const place *at, uint32_t count, size_t line_step, const void **a) {
    const tody_window *w = &s->window;
    const size_t right = w->stride[1] * s->pixel_bytes, down = (size_t)w->dilation[0] * s->width * s->pixel_bytes;
    const uint8_t *line = at->image + ((size_t)at->top * s->width + (size_t)at->left) * s->pixel_bytes;
    for (uint32_t ky = 0; ky < w->kernel[0]; ky++, line += down, a += line_step) {
        for (uint32_t i = 0; i < count; i++) a[i] = line + i * right;
    }
}

bool tody_slide_lines(const tody_slide *s, uint32_t first, uint32_t count, size_t room, const void **a) {
    const size_t pointers = (size_t)s->window.kernel[0] * count;
    if (room < pointers * sizeof *a) return false;
    copies c = {(uint8_t *)(a + pointers), room - pointers * sizeof *a, NULL};
    spot p = spot_of(s, first);
    for (uint32_t i = 0, done; i < count; i += done) {
        const place at = place_of(s, &p);
        const uint32_t inside = windows_inside(s, &at, tody_min_u32(count - i, s->out_width - p.x));
        if (inside)
            lines_inside(s, &at, inside, count, a + i);
        else if (!lines_at_edge(s, &at, count, &c, a + i))
            return false;
        done = tody_max_u32(inside, 1);
        advance(s, &p, done);
    }
    return true;
}

static bool shares_columns(const tody_window *w) { return w->dilation[1] == 1 && w->stride[1] < w->kernel[1]; }

uint32_t tody_slide_step(const tody_window *w) { return shares_columns(w) ? w->stride[1] : w->kernel[1]; }

// `count` columns of one line of the windows, from x on, to pointers `height` apart.
static void gather_line(const tody_slide *s, const place *at, uint32_t ky, int32_t x, uint32_t count, uint32_t height,
                        const void **a) {
    const uint32_t step = s->window.dilation[1];
    const int32_t y = at->top + (int32_t)(ky * s->window.dilation[0]);
    const uint32_t width = within(y, s->height) ? s->width : 0;
    const uint8_t *line = at->image + (width ? (size_t)y * width * s->pixel_bytes : 0);
    const uint32_t before = x < 0 ? tody_min_u32(tody_div_up((uint32_t)-x, step), count) : 0;
    const int32_t left = (int32_t)width - x - (int32_t)(before * step);
    const uint32_t inside = left > 0 ? tody_min_u32(tody_div_up((uint32_t)left, step), count - before) : 0;
    const void *const *first = a + (size_t)before * height, *const *behind = first + (size_t)inside * height;
    const void *const *end = a + (size_t)count * height;
    const uint8_t *pixel = line + ((size_t)before * step + (size_t)x) * s->pixel_bytes;
    for (; a < first; a += height) *a = s->outside;
    for (; a < behind; a += height, pixel += step * s->pixel_bytes) *a = pixel;
    for (; a < end; a += height) *a = s->outside;
}

void tody_slide_columns(const tody_slide *s, uint32_t first, uint32_t count, uint32_t lines, const void **a) {
    const tody_window *w = &s->window;
    const spot p = spot_of(s, first);
    const place at = place_of(s, &p);
    const bool shared = shares_columns(w);
    const uint32_t together = shared ? (count - 1) * w->stride[1] + w->kernel[1] : w->kernel[1];
    for (uint32_t i = 0; i < (shared ? 1 : count); i++, a += (size_t)together * lines) {
        for (uint32_t ky = 0; ky < lines; ky++) {
            gather_line(s, &at, ky, at.left + (int32_t)(i * w->stride[1]), together, lines, a + ky);
        }
    }
}

// Windows share the lines and columns of a grid where these are neighbours in the image.
static bool shares(const tody_window *w, uint32_t d) { return w->dilation[d] == 1 && w->stride[d] <= w->kernel[d]; }

uint32_t tody_grid_step(const tody_window *w, uint32_t d) { return shares(w, d) ? w->stride[d] : w->kernel[d]; }

// How far line i of a grid lies from its first one in the image, where windows share none.
static int32_t row_at(const tody_window *w, uint32_t i) {
    return (int32_t)(i / w->kernel[0] * w->stride[0] + i % w->kernel[0] * w->dilation[0]);
}

// Columns of a grid that are neighbours in the image: those from `first` to `end` are inside of it, the first of them `at`
// bytes behind the beginning of a line.
typedef struct inside {
    uint32_t first, end;
    size_t at;
} inside;

static inside columns_inside(const tody_slide *s, int32_t x, uint32_t columns) {
    const uint32_t first = tody_min_u32(x < 0 ? (uint32_t)-x : 0, columns);
    const int32_t there = (int32_t)s->width - x;  // and what is before the first
    const uint32_t end = there <= (int32_t)first ? first : tody_min_u32((uint32_t)there, columns);
    return (inside){first, end, first < end ? (size_t)(x + (int32_t)first) * s->pixel_bytes : 0};
}

static void grid_line(const tody_slide *s, const uint8_t *line, inside there, uint32_t columns, const void **a) {
    const uint8_t *pixel = line + there.at;
    const size_t step = s->pixel_bytes;
    for (uint32_t i = 0; i < there.first; i++) a[i] = s->outside;
    for (uint32_t i = there.first; i < there.end; i++, pixel += step) a[i] = pixel;
    for (uint32_t i = there.end; i < columns; i++) a[i] = s->outside;
}

// The columns of windows that share none.
static void grid_windows(const tody_slide *s, const uint8_t *image, int32_t y, int32_t x, uint32_t columns, const void **a) {
    const tody_window *w = &s->window;
    for (const void **end = a + columns; a < end; x += (int32_t)w->stride[1]) {
        int32_t tap = x;
        for (uint32_t i = 0; i < w->kernel[1]; i++, tap += (int32_t)w->dilation[1]) *a++ = pixel_at(s, image, y, tap);
    }
}

void tody_slide_grid(const tody_slide *s, uint32_t row, uint32_t rows, uint32_t x, uint32_t pixels, size_t a_stride,
                     const void **a) {
    const tody_window *w = &s->window;
    const spot p = {row / s->out_height, row % s->out_height, x};
    const place at = place_of(s, &p);
    const uint32_t lines = tody_grid_span(w, 0, rows), columns = tody_grid_span(w, 1, pixels);
    const bool below = shares(w, 0), beside = shares(w, 1);
    const inside there = columns_inside(s, at.left, columns);
    for (uint32_t i = 0; i < lines; i++, a += a_stride) {
        const int32_t y = at.top + (below ? (int32_t)i : row_at(w, i));
        const uint8_t *line = within(y, s->height) ? at.image + (size_t)y * s->width * s->pixel_bytes : NULL;
        if (!line) {
            for (uint32_t j = 0; j < columns; j++) a[j] = s->outside;
        } else if (beside) {
            grid_line(s, line, there, columns, a);
        } else {
            grid_windows(s, at.image, y, at.left, columns, a);
        }
    }
}
