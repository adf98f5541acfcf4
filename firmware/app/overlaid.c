// overlaid.c - takes the place of portable/gemm_s8.c, dwconv_s8.c and sparse_s8.c on chips whose own kernels are in the place
// of these for every model. Never called.
// SPDX-License-Identifier: Apache-2.0
#include "kernels/portable/portable.h"

void tody_portable_gemm_s8(const tody_gemm_s8 *args) { (void)args; }
void tody_portable_dwconv_s8(const tody_dwconv_s8 *args) { (void)args; }
void tody_portable_words_s8(const tody_words_s8 *args) { (void)args; }
void tody_portable_sparse_s8(const tody_sparse_s8 *args) { (void)args; }
