// block.h - blocks of rows of a product, each of which meets all its panels while it stays in cache.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_BLOCK_H
#define TODY_OPS_BLOCK_H

#include "gemm.h"
#include "lines.h"
#include "shape.h"

// What the blocks of a product have in common.
typedef struct tody_blocks {
    const tody_gemm *gemm;
    const tody_kernels *kernels;
    tody_lines lines;  // of int8
} tody_blocks;

tody_blocks tody_blocks_of(const tody_kernels *kernels, const tody_gemm *gemm);

static inline bool tody_is_s8(tody_dtype dtype) { return !tody_is_f32(dtype) && !tody_is_s16(dtype); }

static inline bool tody_block_packs_f32(const tody_kernels *k, tody_dtype dtype) {
    return tody_is_f32(dtype) && tody_packs_f32(k);
}

// Rows of a full tile.
uint32_t tody_block_tile(const tody_kernels *kernels, tody_dtype dtype);

// Rows of a block, at most; a whole number of tiles. Of int8 that is not packed, on chips, one: they have no cache for more.
uint32_t tody_block_rows(const tody_kernels *kernels, tody_dtype dtype, uint32_t taps, uint32_t depth);

// Bytes of scratch that a thread works with, pointers being of pointer_bytes: those to a block's rows, and where the kernel set
// packs, its rows; else what its kernel of int8 works with.
size_t tody_block_bytes(const tody_kernels *kernels, tody_dtype dtype, uint32_t taps, uint32_t depth, size_t pointer_bytes);

// The block of `rows` rows from row `first` on, in the panels, with groups beside in the groups, from `from` to `end`. `a` has
// tody_block_bytes.
void tody_block_run(const tody_blocks *blocks, uint32_t first, uint32_t rows, uint32_t from, uint32_t end, const void **a);

#endif
