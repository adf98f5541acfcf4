// sets.c - the kernel sets of this build, best last.
// SPDX-License-Identifier: Apache-2.0
#include "core/kernels.h"

#if defined(__x86_64__) || defined(__i386__)
extern const tody_kernels tody_kernels_avx2, tody_kernels_avxvnni, tody_kernels_avx512, tody_kernels_avx512vnni,
    tody_kernels_amx;
const tody_kernels *const tody_kernel_sets[] = {&tody_kernels_portable,
                                                &tody_kernels_avx2,
                                                &tody_kernels_avxvnni,
                                                &tody_kernels_avx512,
                                                &tody_kernels_avx512vnni,
                                                &tody_kernels_amx,
                                                NULL};
#elif defined(__aarch64__)
extern const tody_kernels tody_kernels_neon, tody_kernels_neon_fp16, tody_kernels_neon_dot, tody_kernels_neon_i8mm;
const tody_kernels *const tody_kernel_sets[] = {&tody_kernels_portable, &tody_kernels_neon,      &tody_kernels_neon_fp16,
                                                &tody_kernels_neon_dot, &tody_kernels_neon_i8mm, NULL};
#elif defined(__arm__) && __ARM_ARCH >= 6 && __ARM_ARCH_PROFILE != 'M'
extern const tody_kernels tody_kernels_neon;
const tody_kernels *const tody_kernel_sets[] = {&tody_kernels_portable, &tody_kernels_neon, NULL};
#elif defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2)
extern const tody_kernels tody_kernels_cortexm, tody_kernels_helium;
const tody_kernels *const tody_kernel_sets[] = {&tody_kernels_portable, &tody_kernels_cortexm, &tody_kernels_helium, NULL};
#elif defined(__ARM_FEATURE_DSP) && __ARM_ARCH_PROFILE == 'M'
extern const tody_kernels tody_kernels_cortexm;
const tody_kernels *const tody_kernel_sets[] = {&tody_kernels_portable, &tody_kernels_cortexm, NULL};
#else
const tody_kernels *const tody_kernel_sets[] = {&tody_kernels_portable, NULL};
#endif
