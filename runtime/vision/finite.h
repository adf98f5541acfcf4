// finite.h - neither infinite nor NaN.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_FINITE_H
#define TODY_FINITE_H

#include <stdbool.h>

static inline bool is_finite(float x) { return x - x == 0.0f; }

#endif
