// winograd.h - convolution of 3x3, stride 1 and one group by Winograd's way, with weights that were prepared for it.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_WINOGRAD_H
#define TODY_OPS_WINOGRAD_H

#include "gemm.h"
#include "window.h"

// Bytes of the prepared weights, for tiles of 2 or 4 pixels square and plain panels w.
size_t tody_winograd_prepared(const tody_call *call, const tody_tensor *w, uint32_t tile);

// Fills call->prepared, on all threads.
void tody_winograd_prepare(const tody_call *call, const tody_tensor *w, uint32_t tile);

// Bytes of scratch for all threads; a multiple of TODY_ALIGN.
size_t tody_winograd_scratch(const tody_call *call, const tody_tensor *w, const tody_tensor *y, uint32_t tile);

// The whole convolution, with call->prepared, on all threads. `gemm` is the product of the direct way, of one group; `slide` is
// over the image; `scratch` has the bytes that tody_winograd_scratch says.
void tody_winograd_run(const tody_call *call, const tody_gemm *gemm, const tody_slide *slide, uint32_t tile, uint8_t *scratch);

#endif
