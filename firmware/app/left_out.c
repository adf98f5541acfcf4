// left_out.c - takes the place of runtime/ops/strassen.c and winograd.c: firmware prepares nothing at open. Never called.
// SPDX-License-Identifier: Apache-2.0
#include "ops/strassen.h"
#include "ops/winograd.h"

bool tody_strassen_gains(const tody_call *call) {
    (void)call;
    return false;
}

size_t tody_strassen_prepared(const tody_call *call) {
    (void)call;
    return 0;
}

void tody_strassen_prepare(const tody_call *call) { (void)call; }

size_t tody_strassen_scratch(const tody_call *call) {
    (void)call;
    return 0;
}

void tody_strassen_run(const tody_call *call, const tody_gemm *gemm) { (void)call, (void)gemm; }

tody_tiling tody_winograd_tiling(const tody_kernels *kernels, const tody_tensor *y, uint32_t tile) {
    (void)kernels, (void)y, (void)tile;
    return (tody_tiling){0};
}

size_t tody_winograd_prepared(const tody_call *call, const tody_tensor *w, tody_tiling tiling) {
    (void)call, (void)w, (void)tiling;
    return 0;
}

void tody_winograd_prepare(const tody_call *call, const tody_tensor *w, uint32_t tile) { (void)call, (void)w, (void)tile; }

size_t tody_winograd_scratch(const tody_call *call, const tody_tensor *w, const tody_tensor *y, tody_tiling tiling) {
    (void)call, (void)w, (void)y, (void)tiling;
    return 0;
}

void tody_winograd_run(const tody_call *call, const tody_gemm *gemm, const tody_slide *slide, tody_tiling tiling,
                       uint8_t *scratch) {
    (void)call, (void)gemm, (void)slide, (void)tiling, (void)scratch;
}
