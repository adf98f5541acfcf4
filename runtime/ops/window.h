// window.h - windows that slide over an image: what convolutions and pooling have in common.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_WINDOW_H
#define TODY_OPS_WINDOW_H

#include "core/kernels.h"
#include "shape.h"

// Images are NHWC.
enum { TODY_BATCH = 0, TODY_HEIGHT = 1, TODY_WIDTH = 2, TODY_CHANNELS = 3 };

// An image under a sliding window. Output pixels are counted through all rows and all images of the batch.
typedef struct tody_slide {
    const uint8_t *x;
    const void *outside;  // the pixel that stands for padding
    tody_window window;
    uint32_t height, width, channels;  // of x
    size_t pixel_bytes;                // from one pixel of x to the next: more than the channels take in a slice of them
    uint32_t out_height, out_width;
} tody_slide;

tody_slide tody_slide_over(const tody_tensor *x, const tody_tensor *y, const tody_window *window, const void *outside);

// Pointers to the pixels under the window of output pixels [first, first + count): tap t of pixel first + i goes to
// a[t * tap_step + i * pixel_step].
void tody_slide_gather(const tody_slide *slide, uint32_t first, uint32_t count, size_t tap_step, size_t pixel_step,
                       const void **a);

// Pointers to the lines of the windows of output pixels [first, first + count): line y of pixel first + i goes to
// a[y * count + i]. Columns of a window must be neighbours. Lines that reach out of the image are copied behind the pointers,
// with the bytes of `outside`, which must all be equal, where there is no pixel; `room` is how many bytes there are from `a`
// on. False if there is no room for all.
bool tody_slide_lines(const tody_slide *slide, uint32_t first, uint32_t count, size_t room, const void **a);

// Columns from the window of one output pixel to the next, if windows of a line share theirs as far as they can.
uint32_t tody_slide_step(const tody_window *window);

// Columns of pixels under the windows of output pixels [first, first + count), which are in one line: pointer y of column x of
// pixel first + i goes to a[(i * step + x) * lines + y], with the step of tody_slide_step. More lines than kernel[0] are those
// that follow, of windows without dilation.
void tody_slide_columns(const tody_slide *slide, uint32_t first, uint32_t count, uint32_t lines, const void **a);

// Columns (d = 1) or rows (d = 0) from one window to the next in a grid of pointers.
uint32_t tody_grid_step(const tody_window *window, uint32_t d);

// How many of them the windows of `count` output pixels of a line take.
static inline uint32_t tody_grid_span(const tody_window *window, uint32_t d, uint32_t count) {
    return (count - 1) * tody_grid_step(window, d) + window->kernel[d];
}

// Pointers to the pixels under the windows of `rows` output rows, which are counted through the images of the batch and lie in
// one of them, from `row` on, and of `pixels` output columns from x on: that of tap (ky, kx) of output pixel (i, j) is in row
// i * tody_grid_step(window, 0) + ky, column j * tody_grid_step(window, 1) + kx of a grid whose rows are a_stride apart. The
// pixels may be more than there are.
void tody_slide_grid(const tody_slide *slide, uint32_t row, uint32_t rows, uint32_t x, uint32_t pixels, size_t a_stride,
                     const void **a);

// Pointer to the pixel under one tap of the window of one output pixel; `outside` where there is none.
const void *tody_slide_tap(const tody_slide *slide, uint32_t pixel, uint32_t tap);

// x and y are plain images of one batch size, float32 or quantised int8, the window's values are in range and it fits: every
// window lies in the padded image and no window more would. TODY_OK or what is wrong.
tody_status tody_check_window(const tody_window *window, const tody_tensor *x, const tody_tensor *y);

// The part of tody_check_window that knows nothing of the output's size.
tody_status tody_check_images(const tody_window *window, const tody_tensor *x, const tody_tensor *y);

// Input 1 is the panels or blocks [groups, N, taps, K] that fit x and y, and what follows is as layer.h says.
tody_status tody_check_filters(const tody_call *call, const tody_conv_params *params, uint32_t addends);

// Taps of a checked window.
static inline uint32_t tody_taps(const tody_window *w) { return w->kernel[0] * w->kernel[1]; }

#endif
