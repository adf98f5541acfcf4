// dwconv_row.h - depthwise convolution of sets that take one row of pixels at a time.
// SPDX-License-Identifier: Apache-2.0
//
// The including file has `dwconv` and `value`: what dwconv_s8.h asks for of them is here.
#ifndef TODY_X86_DWCONV_ROW_H
#define TODY_X86_DWCONV_ROW_H

static inline uint32_t rows_of(const dwconv *d) {
    (void)d;
    return 1;
}

static inline uint32_t lines_of(const dwconv *d) { return d->height; }

static inline const value *const *window_of(const dwconv *d, uint32_t row, uint32_t pixel) {
    (void)row;
    return d->a + (size_t)pixel * d->step * d->height;
}

#endif
