// row.c - products of one widened row and weights, the inner loop: four columns in registers.
// SPDX-License-Identifier: Apache-2.0
#include "cortexm.h"

#if defined(TODY_HAS_DSP)
#include "dsp.h"
#include "tiles.h"

void tody_add_row_dsp(const int16x2_t *row, const int16x2_t *end, const int8_t *w, const int32_t *start, uint32_t cols,
                      int32_t *sums) {
    for (uint32_t j = 0; j < cols; j += 4, start += 4, sums += 4, w += 4 * 4) {
        int32_t a = start[0], b = start[1], c = start[2], d = start[3];
        const int8_t *at = w;
        for (const int16x2_t *x = row; x < end; x += 2, at += 4 * TODY_PANEL_F32) {
            const int16x2_t even = x[0], odd = x[1];
            const uint32_t w0 = tody_word(at), w1 = tody_word(at + 4), w2 = tody_word(at + 8), w3 = tody_word(at + 12);
            a = __smlad(odd, tody_odd(w0), __smlad(even, tody_even(w0), a));
            b = __smlad(odd, tody_odd(w1), __smlad(even, tody_even(w1), b));
            c = __smlad(odd, tody_odd(w2), __smlad(even, tody_even(w2), c));
            d = __smlad(odd, tody_odd(w3), __smlad(even, tody_even(w3), d));
        }
        sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
    }
}

#endif
