// strassen.h - products of float32 by Strassen's way: seven products of quarters for eight, where the file asks for it.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_STRASSEN_H
#define TODY_OPS_STRASSEN_H

#include "gemm.h"

// Whether the product of a checked conv or dense, input 1 of which are its weights, goes this way: its record's `tile` says so,
// there is memory for sums of weights, and the kernel set gains by it. It has one group and one tap then.
bool tody_strassen_gains(const tody_call *call);
static inline bool tody_strassen_wanted(const tody_call *call) {
    return TODY_FLOAT && call->prepare && tody_strassen_gains(call);
}

// Bytes of the sums of weights.
size_t tody_strassen_prepared(const tody_call *call);

// Fills call->prepared, on all threads.
void tody_strassen_prepare(const tody_call *call);

// Bytes of scratch for all threads; a multiple of TODY_ALIGN.
size_t tody_strassen_scratch(const tody_call *call);

// The whole product, on all threads, with call->prepared. gemm->pointers has the bytes that tody_strassen_scratch says. Results
// depend on neither the number of threads nor, but for rounding, on what other rows there are.
void tody_strassen_run(const tody_call *call, const tody_gemm *gemm);

#endif
