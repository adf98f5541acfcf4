// winograd_fold.h - images of few channels, whose phases are one pixel before Winograd's way transforms them.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_WINOGRAD_FOLD_H
#define TODY_OPS_WINOGRAD_FOLD_H

#include "winograd_products.h"

// Bytes of the folded image under the tiles g, for `depth` channels; 0 if it is not to be folded.
uint64_t tody_fold_bytes(const tody_tiles *g, const tody_tiling *t, uint32_t depth);

// Of a job: what it does as a convolution of the folded image.
typedef struct tody_folded {
    tody_gemm gemm;
    tody_slide slide;
} tody_folded;

// Folds the image to memory of so many bytes, on all threads, and lets the job do with it.
void tody_fold(tody_winograd_job *job, tody_folded *folded, void *memory);

#endif
