// winograd.h - convolution of one group by Winograd's way, with weights that were prepared for it or not.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_WINOGRAD_H
#define TODY_OPS_WINOGRAD_H

#include "gemm.h"
#include "window.h"

// How the file wants a convolution tiled. Pixels whose lines, and whose columns, have one remainder by the step of the window
// are a phase of the image: there every step-th tap is a window that moves by 1. Products of all phases are added up.
typedef struct tody_tiling {
    uint32_t tile;          // edge of what is computed together; 0: not at all
    uint32_t edge;          // of the square of products that this takes
    uint32_t kernel, step;  // edge of the window, and by how much it moves
    bool fleeting;          // weights are transformed in each run, a few at a time
} tody_tiling;

// The same for a window that is a square, from a record's `tile`, which is not 0.
static inline tody_tiling tody_tiling_of(const tody_window *window, uint32_t tile) {
    tody_tiling t = {tile & ~(uint32_t)TODY_TILE_FLEETING, 0, window->kernel[0], window->stride[0], tile & TODY_TILE_FLEETING};
    t.edge = t.tile + tody_div_up(t.kernel, t.step) - 1;
    return t;
}

// Tiles of the result y.
static inline uint32_t tody_count_tiles(const tody_tensor *y, uint32_t tile) {
    return y->shape[TODY_BATCH] * tody_div_up(y->shape[TODY_HEIGHT], tile) * tody_div_up(y->shape[TODY_WIDTH], tile);
}

// What a kernel set makes of that, for `depth` channels and the result y: not at all if there are too few fleeting tiles, or if
// sums are so short that phases do not pay.
tody_tiling tody_winograd_tiling(const tody_kernels *kernels, const tody_window *window, const tody_tensor *y, uint32_t depth,
                                 uint32_t tile);

// Bytes of the prepared weights, for plain panels w.
size_t tody_winograd_prepared(const tody_call *call, const tody_tensor *w, tody_tiling tiling);

// Fills call->prepared, on all threads. Not of what is fleeting.
void tody_winograd_prepare(const tody_call *call, const tody_tensor *w, tody_tiling tiling);

// Bytes of scratch for all threads; a multiple of TODY_ALIGN.
size_t tody_winograd_scratch(const tody_call *call, const tody_tensor *w, const tody_tensor *y, tody_tiling tiling);

// The whole convolution, with call->prepared unless it is fleeting, on all threads. `gemm` is the product of the direct way, of
// one group; `slide` is over the image; `scratch` has the bytes that tody_winograd_scratch says.
void tody_winograd_run(const tody_call *call, const tody_gemm *gemm, const tody_slide *slide, tody_tiling tiling,
                       uint8_t *scratch);

// Bytes of the prepared weights of a convolution of int8 with 3x3, stride 1 and one group, in tiles of 4; 0 where it is not to
// be tiled. That depends on the kernel set, so it is not for the file to say.
size_t tody_winograd_s8_prepared(const tody_call *call, const tody_tensor *w, const tody_tensor *y);

// The same as above, for tiles of 4 in int8.
void tody_winograd_s8_prepare(const tody_call *call, const tody_tensor *w);
size_t tody_winograd_s8_scratch(const tody_call *call, const tody_tensor *w, const tody_tensor *y);

// False if the weights do not allow it: `gemm` has to be computed directly then.
bool tody_winograd_s8_run(const tody_call *call, const tody_gemm *gemm, const tody_slide *slide, uint8_t *scratch);

#endif
