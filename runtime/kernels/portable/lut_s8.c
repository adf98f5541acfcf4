// lut_s8.c - any function of an int8, as a table.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

void tody_portable_lut_s8(const int8_t *table, const int8_t *x, int8_t *y, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] = table[x[i] + 128];
}
