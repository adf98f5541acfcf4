// sparse.h - rows times int8 weights of which only the blocks that are not zero are stored: TODY_BLOCKS of the format.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_SPARSE_H
#define TODY_OPS_SPARSE_H

#include "gemm.h"

// Bytes of scratch for all threads, the pointers of the product among them.
size_t tody_sparse_scratch(const tody_call *call, uint32_t cols, uint32_t taps);

// The product that tody_gemm describes, on all threads; `w` holds blocks, and `pointers` tody_sparse_scratch bytes, aligned to
// TODY_ALIGN.
void tody_sparse_run(const tody_call *call, const tody_gemm *gemm);

#endif
