// golden.h - golden inputs and outputs of a file (docs/format.md, key `golden`) on a device that reads no JSON.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_GOLDEN_H
#define TODY_GOLDEN_H

#include "tody.h"

typedef struct tody_generator {
    uint64_t seed;
    float low, high;
} tody_generator;

// Fill a tensor with the numbers of generator splitmix64. False: not defined for its dtype here.
bool tody_golden_fill(const tody_tensor *tensor, const tody_generator *generator);

// How far elements 0, stride, 2 * stride, .. of a tensor are from stored ones, which need no alignment.
typedef struct tody_difference {
    uint32_t unequal;  // elements whose bytes differ, or that are not finite in one place only
    float largest,
        peak;  // the largest |got - stored|, and the largest |stored|, of finite elements; float32, int8 and uint8 only
} tody_difference;

// `count` elements; (count - 1) * stride must be below tensor->count.
tody_difference tody_golden_compare(const tody_tensor *tensor, const uint8_t *stored, uint32_t count, uint32_t stride);

#endif
