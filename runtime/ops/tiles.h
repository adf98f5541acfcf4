// tiles.h - tiles of rows that meet panels of weights: what one call of a kernel makes.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_TILES_H
#define TODY_OPS_TILES_H

#include "gemm.h"

// Rows of a product from `first` on.
typedef struct tody_tile {
    const void **a;
    uint32_t first, rows;
    uint32_t joined;  // taps of the operator in a tap of the kernel
    void *work;       // where a slice of it goes, if the kernel set packs float32; of int8: what gemm_s8 works with
} tody_tile;

// Whether the sums of a float32 product are made in slices, which are cut by taps and so leave these unjoined: not if it is
// only a bit deeper than one.
bool tody_gemm_sliced(const tody_gemm *gemm);

// Values that a packed row takes in a slice, at most.
uint32_t tody_slice_values(uint32_t taps, uint32_t depth);

// A block of rows, `count` tiles, in the panels from `panel` to `end` of a float32 product. The pointers of the tiles are
// moved.
void tody_gemm_tiles(const tody_kernels *kernels, const tody_gemm *gemm, uint32_t panel, uint32_t end, const tody_tile *tiles,
                     uint32_t count);

// The same of an int16 product.
void tody_gemm_tiles_s16(const tody_kernels *kernels, const tody_gemm *gemm, uint32_t panel, uint32_t end,
                         const tody_tile *tiles, uint32_t count);

// A tile in the panels from `panel` to `end` of an int8 product.
void tody_gemm_tile_s8(const tody_kernels *kernels, const tody_gemm *gemm, uint32_t panel, uint32_t end, const tody_tile *tile);

// Rows of int8 that a kernel set has packed: tody_gemm_s8 says where they and their parts are.
typedef struct tody_packed_s8 {
    uint32_t count;
    int8_t *packed;
    size_t stride;
    uint32_t width, lines;
    size_t width_stride, line_stride;
} tody_packed_s8;

// Packed rows, from row `first` of an int8 product on, in the panels from `panel` to `end`.
void tody_gemm_packed_s8(const tody_kernels *kernels, const tody_gemm *gemm, uint32_t panel, uint32_t end, uint32_t first,
                         const tody_packed_s8 *rows);

#endif
