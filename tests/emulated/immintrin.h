// immintrin.h - stands in for the compiler's, so that kernels for x86 CPUs that are not at hand run on one with AVX2.
// SPDX-License-Identifier: Apache-2.0
//
// The compiler's own headers give what AVX2 and FMA have. What the runtime uses beyond them is a function of the intrinsic's
// name here; what is missing here does not compile. Memory is touched where an instruction would touch it, and nowhere else.
// Source: Intel, "64 and IA-32 architectures software developer's manual", volume 2.
#ifndef TODY_TESTS_EMULATED_IMMINTRIN_H
#define TODY_TESTS_EMULATED_IMMINTRIN_H

#include <nmmintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Parts of <immintrin.h> want to be included by it: so gcc and clang tell that they are.
#define _IMMINTRIN_H_INCLUDED
#define __IMMINTRIN_H
#include <avxintrin.h>
// The types of which these use too:
#include <avx2intrin.h>
#include <fmaintrin.h>

#define EMULATED static inline __attribute__((always_inline, unused))

#include "vnni.h"
#ifdef __AVX512F__
#include "amx.h"
#include "avx512.h"
#include "avx512_bytes.h"

// Kernels tell the compiler what shall be in a register of 512 bits; here there is none.
#define __asm__(...) ((void)0)
#endif

#endif
