// int8_products.c - takes the place of runtime/ops/tiles.c, the products of float32, in builds with FLOAT=0. Never called:
// tody_app_load refuses models that would.
// SPDX-License-Identifier: Apache-2.0
#include "ops/tiles.h"

bool tody_gemm_sliced(const tody_gemm *gemm) {
    (void)gemm;
    return false;
}

void tody_gemm_tiles(const tody_kernels *kernels, const tody_gemm *gemm, uint32_t panel, uint32_t end, const tody_tile *tiles,
                     uint32_t count) {
    (void)kernels, (void)gemm, (void)panel, (void)end, (void)tiles, (void)count;
}
