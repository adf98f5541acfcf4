// f16.h - float32 products in float16 arithmetic: their weights are rounded once, into prepared memory.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OPS_F16_H
#define TODY_OPS_F16_H

#include "gemm.h"
#include "shape.h"

// Whether a product with these weights is to be made in float16.
static inline bool tody_f16_wanted(const tody_call *call, const tody_tensor *w) {
    return TODY_HAS_F16 && call->f16 && tody_panels_f32(w);
}

// Bytes of a panel of rounded weights: what its columns are multiplied by afterwards, then `steps` times 16 values.
static inline size_t tody_f16_panel_bytes(size_t steps) { return TODY_PANEL * (sizeof(float) + steps * sizeof(uint16_t)); }

// The scales of a panel whose values begin at w.
static inline const float *tody_f16_scale(const void *w) { return (const float *)w - TODY_PANEL; }

// Bytes of all panels of w.
size_t tody_f16_prepared(const tody_tensor *w);

// Fills call->prepared, on all threads.
void tody_f16_prepare(const tody_call *call, const tody_tensor *w);

// Let `gemm`, of group 0, take its weights from call->prepared.
void tody_f16_use(const tody_call *call, tody_gemm *gemm);

// largest[i] becomes |x[i]| where that is larger.
void tody_f16_find_largest(const float *x, float *largest, size_t count);

// The largest magnitudes of 16 columns become what these are multiplied by, powers of two, and scale[j] the inverse.
void tody_f16_factors(float *largest, float *scale);

#endif
