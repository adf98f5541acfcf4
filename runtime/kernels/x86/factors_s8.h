// factors_s8.h - multipliers of an integer layer and the slopes behind them, in vectors. The including file has `sums`, for
// some columns, and bias_s8. SPDX-License-Identifier: Apache-2.0
#ifndef TODY_X86_FACTORS_S8_H
#define TODY_X86_FACTORS_S8_H

// The multipliers of as many columns as `sums` has, and their slopes, if the layer has some.
typedef struct factors {
    sums scale, slope;
} factors;

// Of these columns, or the first `count`.
static inline factors factors_s8(const float *scale, size_t count, const tody_layer_s8 *q) {
    const int32_t *bits = (const int32_t *)(const void *)scale;
    return (factors){bias_s8(bits, count), bias_s8(q->slopes ? bits + q->slopes : NULL, count)};
}

#endif
