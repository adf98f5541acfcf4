// left_out.c - takes the place of strassen.c, winograd.c and winograd_weights.c of runtime/ops, and of the kernels for them:
// firmware prepares nothing at open. Never called.
// SPDX-License-Identifier: Apache-2.0
#include "kernels/portable/portable.h"
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

tody_tiling tody_winograd_tiling(const tody_kernels *kernels, const tody_window *window, const tody_tensor *y, uint32_t depth,
                                 uint32_t tile) {
    (void)kernels, (void)window, (void)y, (void)depth, (void)tile;
    return (tody_tiling){0};
}

size_t tody_winograd_prepared(const tody_call *call, const tody_tensor *w, tody_tiling tiling) {
    (void)call, (void)w, (void)tiling;
    return 0;
}

void tody_winograd_prepare(const tody_call *call, const tody_tensor *w, tody_tiling tiling) {
    (void)call, (void)w, (void)tiling;
}

size_t tody_winograd_scratch(const tody_call *call, const tody_tensor *w, const tody_tensor *y, tody_tiling tiling) {
    (void)call, (void)w, (void)y, (void)tiling;
    return 0;
}

void tody_winograd_run(const tody_call *call, const tody_gemm *gemm, const tody_slide *slide, tody_tiling tiling,
                       uint8_t *scratch) {
    (void)call, (void)gemm, (void)slide, (void)tiling, (void)scratch;
}

void tody_portable_strassen_in_f32(const tody_strassen_in *args) { (void)args; }
void tody_portable_strassen_out_f32(const tody_strassen_out *args) { (void)args; }
void tody_portable_winograd_weights_f32(const tody_winograd_weights *args) { (void)args; }
void tody_portable_winograd_in_f32(const tody_winograd_in *args) { (void)args; }
void tody_portable_winograd_out_f32(const tody_winograd_out *args) { (void)args; }
