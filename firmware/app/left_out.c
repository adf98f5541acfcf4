// left_out.c - takes the place of runtime/ops/winograd.c: firmware prepares nothing at open. Never called.
// SPDX-License-Identifier: Apache-2.0
#include "ops/winograd.h"

size_t tody_winograd_prepared(const tody_call *call, const tody_tensor *w, uint32_t tile) {
    (void)call, (void)w, (void)tile;
    return 0;
}

void tody_winograd_prepare(const tody_call *call, const tody_tensor *w, uint32_t tile) { (void)call, (void)w, (void)tile; }

size_t tody_winograd_scratch(const tody_call *call, const tody_tensor *w, const tody_tensor *y, uint32_t tile) {
    (void)call, (void)w, (void)y, (void)tile;
    return 0;
}

void tody_winograd_run(const tody_call *call, const tody_gemm *gemm, const tody_slide *slide, uint32_t tile, uint8_t *scratch) {
    (void)call, (void)gemm, (void)slide, (void)tile, (void)scratch;
}
