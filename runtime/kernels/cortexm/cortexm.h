// cortexm.h - kernels of the set for microcontrollers.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_KERNELS_CORTEXM_H
#define TODY_KERNELS_CORTEXM_H

#include "core/kernels.h"

#if defined(__ARM_FEATURE_DSP) && __ARM_ARCH_PROFILE == 'M'
#define TODY_HAS_DSP 1
#endif

void tody_gemm_s8_dsp(const tody_gemm_s8 *args);
void tody_dwconv_s8_dsp(const tody_dwconv_s8 *args);
void tody_words_s8_dsp(const tody_words_s8 *args);
void tody_sparse_s8_dsp(const tody_sparse_s8 *args);

#endif
