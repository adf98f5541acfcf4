// nest.h - loops that operators share: ranges of elements for threads, and nests over strided operands.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_NEST_H
#define TODY_OPS_NEST_H

#include "core/op.h"

#define TODY_GRAIN 2048u  // elements of simple work below which another thread costs more than it saves

// Work on elements [begin, end).
typedef void (*tody_range)(const void *context, uint32_t begin, uint32_t end, uint32_t thread);

// Cut [0, count) into ranges for the threads, the same share for each, so that what one thread writes it reads in the next
// operator: lines of another core's cache cost more than the work does. They begin at multiples of `grain`: where that is a
// multiple of 64 elements, what a kernel does in vectors and what it does one by one does not depend on the number of threads.
void tody_for_ranges(const tody_call *call, uint32_t count, uint32_t grain, tody_range range, const void *context);

// Work on `count` elements that follow each other from element x of the input and from element y of the output on.
typedef void (*tody_stretch)(const void *context, size_t x, size_t y, uint32_t count);

// All elements of x and y, which have one shape: for functions of one element. Either may be a slice.
void tody_for_stretches(const tody_call *call, const tody_tensor *x, const tody_tensor *y, tody_stretch stretch,
                        const void *context);

// Up to three operands under one index: element (i0, i1, ..) of operand k lies at sum of i_d * stride[k][d].
typedef struct tody_nest {
    uint32_t rank;
    uint32_t shape[TODY_MAX_RANK];
    ptrdiff_t stride[3][TODY_MAX_RANK];  // in elements; 0: broadcast; all zero: no such operand
} tody_nest;

// A nest with the shape of y and no operands yet.
tody_nest tody_nest_like(const tody_tensor *y);

// Operand k is x, whose dimensions equal those of the nest or are 1. False if they are not.
bool tody_nest_broadcast(tody_nest *nest, uint32_t k, const tody_tensor *x);

// Drop dimensions of 1 and merge those that one loop can walk. Afterwards rank is at least 1.
void tody_nest_simplify(tody_nest *nest);

// Offsets of the operands at the element with this row-major index.
void tody_nest_seek(const tody_nest *nest, uint32_t at, ptrdiff_t offset[3]);

// Walk elements [begin, end) in row-major order: row() gets stretches of the innermost dimension.
typedef void (*tody_row)(const void *context, const ptrdiff_t offset[3], uint32_t at, uint32_t count);
void tody_nest_walk(const tody_nest *nest, uint32_t begin, uint32_t end, tody_row row, const void *context);

#endif
