// pack.h - rows of int8 products in the form of a kernel set.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_PACK_H
#define TODY_OPS_PACK_H

#include "gemm.h"
#include "shape.h"

enum { TODY_PACK_ALIGN = 64 };  // of packed rows: a line of the cache

// Bytes from one packed row to the next: an odd number of cache lines, so that not all rows meet in a few sets of the cache.
static inline size_t tody_packed_stride(uint32_t taps, uint32_t depth) {
    const size_t values = (size_t)taps * tody_div_up(depth, TODY_GROUP_S8) * TODY_GROUP_S8;
    const size_t lines = (values + TODY_PACK_ALIGN - 1) / TODY_PACK_ALIGN;
    return (lines | 1u) * TODY_PACK_ALIGN;
}

// Pack rows [first, first + rows) of g, as many at a time as `a` has room for: bytes, at least a pointer for each tap.
void tody_gemm_pack(const tody_kernels *k, const tody_gemm *g, uint32_t first, uint32_t rows, size_t room, const void **a,
                    int8_t *packed);

#endif
