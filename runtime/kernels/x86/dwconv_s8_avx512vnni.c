// dwconv_s8_avx512vnni.c - depthwise convolution of int8 with AVX-512 dot products: four rows of a column at a time.
// SPDX-License-Identifier: Apache-2.0
#include "vector_s8_avx512.h"

enum { ROWS = 4, PIXELS = 8, PART = 0, LARGE = 1 };

typedef tody_dwconv_s8 dwconv;
typedef int8_t value;

#include "dwconv_row.h"

typedef __m512i total;
typedef __m512i term;  // for each of 16 channels the bytes of four rows, unsigned of activations: with 128 added

static inline __mmask16 bytes_mask(size_t count) { return (__mmask16)(count < 16 ? (1u << count) - 1 : 0xFFFFu); }

static inline __attribute__((always_inline)) __m128i load_row(const int8_t *x, size_t count) {
    return count >= 16 ? _mm_loadu_si128((const __m128i *)(const void *)x) : _mm_maskz_loadu_epi8(bytes_mask(count), x);
}

// From four rows of 16 to 16 channels of four.
static inline __attribute__((always_inline)) term interleave(__m512i rows) {
    const __m512i order =
        _mm512_set_epi32(0x3F2F1F0F, 0x3E2E1E0E, 0x3D2D1D0D, 0x3C2C1C0C, 0x3B2B1B0B, 0x3A2A1A0A, 0x39291909, 0x38281808,
                         0x37271707, 0x36261606, 0x35251505, 0x34241404, 0x33231303, 0x32221202, 0x31211101, 0x30201000);
    return _mm512_permutexvar_epi8(order, rows);
}

static inline __attribute__((always_inline)) __m512i stack(const int8_t *r0, const int8_t *r1, const int8_t *r2,
                                                           const int8_t *r3, uint32_t rows, size_t count) {
    __m512i x = _mm512_zextsi128_si512(load_row(r0, count));
    if (rows > 1) x = _mm512_mask_broadcast_i32x4(x, 0x00F0, load_row(r1, count));
    if (rows > 2) x = _mm512_mask_broadcast_i32x4(x, 0x0F00, load_row(r2, count));
    if (rows > 3) x = _mm512_mask_broadcast_i32x4(x, 0xF000, load_row(r3, count));
    return x;
}

static inline __attribute__((always_inline)) term load_filter(const int8_t *w, size_t stride, uint32_t rows, size_t count) {
    return interleave(
        stack(w, w + (rows > 1 ? stride : 0), w + (rows > 2 ? 2 * stride : 0), w + (rows > 3 ? 3 * stride : 0), rows, count));
}

static inline __attribute__((always_inline)) term load_pixels(const int8_t *const *a, uint32_t rows, size_t k, size_t count) {
    const __m512i x =
        stack(a[0] + k, rows > 1 ? a[1] + k : NULL, rows > 2 ? a[2] + k : NULL, rows > 3 ? a[3] + k : NULL, rows, count);
    return interleave(_mm512_xor_si512(x, _mm512_set1_epi8((char)0x80)));
}

static inline term all_zero(const tody_dwconv_s8 *d) { return _mm512_set1_epi8((char)(d->layer.x_zero + 128)); }
static inline total add_term(total t, term x, term w) { return _mm512_dpbusd_epi32(t, x, w); }
static inline total take_term(total t, term x, term w) { return sub_s32(t, _mm512_dpbusd_epi32(all_s32(0), x, w)); }

static inline total start_of(const tody_dwconv_s8 *d, size_t k, size_t count) {
    return d->bias ? _mm512_maskz_loadu_epi32(bytes_mask(count), d->bias + k) : all_s32(0);
}

#include "dwconv_strips.h"

// Pixels go by in pairs.
static __attribute__((noinline)) void store_pixels(const tody_dwconv_s8 *d, size_t k, size_t count, size_t first,
                                                   uint32_t pixels, const total *t) {
    const __mmask16 m = bytes_mask(count);
    const tody_layer_s8 layer = d->layer;
    const __m512i scale = _mm512_maskz_loadu_epi32(m, d->scale + k);
    const __m512i slope = _mm512_maskz_loadu_epi32(m, d->scale + k + layer.slopes);
    const factors f = {{scale, scale}, {slope, slope}};
    for (uint32_t p = 0; p < pixels; p += 2) {
        const __mmask16 m2 = p + 1 < pixels ? m : 0;
        int8_t *c = d->c + (first + p) * d->c_stride + k;
        __m256i added = _mm256_setzero_si256();
        if (d->addend) {
            const int8_t *addend = d->addend + (first + p) * d->addend_stride + k;
            added = _mm256_set_m128i(_mm_maskz_loadu_epi8(m2, addend + d->addend_stride), _mm_maskz_loadu_epi8(m, addend));
        }
        const __m256i y = results_s8((sums){t[p], m2 ? t[p + 1] : t[p]}, &f, d->addend, added, &layer);
        _mm_mask_storeu_epi8(c, m, _mm256_castsi256_si128(y));
        _mm_mask_storeu_epi8(c + d->c_stride, m2, _mm256_extracti128_si256(y, 1));
    }
}

#include "dwconv_s8.h"

void tody_dwconv_s8_avx512vnni(const tody_dwconv_s8 *args) { dwconv_all(args); }
