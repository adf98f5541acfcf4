// vector.h - the widest vectors of the instruction set that a file is compiled for.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_VECTOR_H
#define TODY_VECTOR_H

#ifdef __AVX512F__
#include "vector_avx512.h"
#else
#include "vector_avx2.h"
#endif

// kernels/winograd.h
typedef const float *factors;
static inline factors keep_factors(const float *x) { return x; }
static inline vector factor(const factors *f, uint32_t i) { return all((*f)[i]); }

// A vector that is wholly there, which the compiler knows, or what is in the mask.
static inline __attribute__((always_inline)) vector load_part(const float *x, bool whole, mask m) {
    return whole ? load(x) : load_some(x, m);
}

static inline __attribute__((always_inline)) void store_part(float *y, bool whole, mask m, vector v) {
    if (whole)
        store(y, v);
    else
        store_some(y, m, v);
}

#endif
