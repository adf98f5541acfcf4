// math.h - what compilers ask for where a CPU has no instruction for it.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_MATH_H
#define TODY_MATH_H

float sqrtf(float x);

#endif
