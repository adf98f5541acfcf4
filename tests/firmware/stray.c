// stray.c - a kernel set that is wrong: it writes one byte behind its results, and that is all that kernels.c has to notice.
// SPDX-License-Identifier: Apache-2.0
#include "core/kernels.h"

static void max_and_more(const int8_t *const *a, uint32_t taps, uint32_t channels, int8_t *y) {
    tody_kernels_portable.max_s8(a, taps, channels, y);
    y[channels] = 0;
}

const tody_kernels tody_kernels_stray = {.name = "stray", .max_s8 = max_and_more};
