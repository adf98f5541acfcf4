// winograd_s8_avx2.c - convolution of 3x3 in int8 by Winograd's way: pairs of int16 (vpmaddwd), 16 columns at a time.
// SPDX-License-Identifier: Apache-2.0
//
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015, in integers: core/kernels_int.h has the scales.
// Weights are transformed in each call, a slice of a panel's depth at a time, and all tiles meet them in the cache. A pair is
// two even or two odd bytes of four, which are cheap to take apart: channels stand as 0, 2, 1, 3.
#include "vector_s8_avx2.h"

#define INLINE static inline __attribute__((always_inline))  // arguments marked const are constants after inlining

enum { EDGE = 6, POSITIONS = 36, OUT = 4, TAPS = 9, ROWS = 6, FEW = 4 };
enum { INVERSE_OF_9 = 0x38E38E39 };

INLINE __m256i add16(__m256i x, __m256i y) { return _mm256_add_epi16(x, y); }
INLINE __m256i sub16(__m256i x, __m256i y) { return _mm256_sub_epi16(x, y); }
INLINE __m256i times16(__m256i x, const short factor) { return _mm256_mullo_epi16(x, _mm256_set1_epi16(factor)); }
INLINE __m256i load_all(const void *x) { return _mm256_loadu_si256(x); }
INLINE void store_all(void *x, __m256i value) { _mm256_storeu_si256(x, value); }

// What a line of the image is at each point.
INLINE void points_of(const __m256i *d, __m256i *v) {
    const __m256i near = sub16(d[4], d[2]), far = sub16(d[3], d[1]), twice = add16(far, far);
    const __m256i even = sub16(d[4], _mm256_slli_epi16(d[2], 2)), odd = sub16(d[3], _mm256_slli_epi16(d[1], 2));
    v[0] = add16(near, _mm256_slli_epi16(sub16(d[0], d[2]), 2));
    v[1] = add16(even, odd);
    v[2] = sub16(even, odd);
    v[3] = add16(near, twice);
    v[4] = sub16(near, twice);
    v[5] = sub16(sub16(d[5], d[3]), _mm256_slli_epi16(far, 2));
}

// 16 channels of a tile, from k on: position p goes to v[p * stride].
static void image_of(const int8_t *const *a, size_t k, __m256i zero, int16_t *v, size_t stride) {
    const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    __m256i half[EDGE][EDGE];
    for (uint32_t x = 0; x < EDGE; x++) {
        __m256i line[EDGE], points[EDGE];
#pragma GCC unroll 6
        for (uint32_t y = 0; y < EDGE; y++) {
            const __m128i d = _mm_shuffle_epi8(load_s8(a[y * EDGE + x] + k, COLUMNS), order);
            line[y] = sub16(_mm256_cvtepi8_epi16(d), zero);
        }
        points_of(line, points);
#pragma GCC unroll 6
        for (uint32_t y = 0; y < EDGE; y++) half[y][x] = points[y];
    }
    for (uint32_t y = 0; y < EDGE; y++) {
        __m256i points[EDGE];
        points_of(half[y], points);
#pragma GCC unroll 6
        for (uint32_t x = 0; x < EDGE; x++, v += stride) store_all(v, points[x]);
    }
}

// The `count` channels from k on, and zeros.
static void image_of_some(const int8_t *const *a, size_t k, size_t count, int32_t zero, int16_t *v, size_t stride) {
    int8_t pixels[POSITIONS][COLUMNS];
    const int8_t *b[POSITIONS];
    memset(pixels, zero, sizeof pixels);
    for (uint32_t p = 0; p < POSITIONS; p++) b[p] = memcpy(pixels[p], a[p] + k, count);
    image_of(b, 0, _mm256_set1_epi16((short)zero), v, stride);
}

// What a call works with: strides, from one position to the next, are odd numbers of cache lines, as far apart as can be.
typedef struct work {
    size_t depth, groups;  // values that a transformed row takes; of four channels
    size_t v_stride, m_stride;
    int16_t *v;  // v[p * v_stride + t * depth + k]
    int32_t *m;  // m[p * m_stride + t * 16 + j]
    int16_t *u;  // u[p * U_STRIDE + k / 2 * 32 + j * 2 + k % 2]
} work;

enum { LINE = 32, U_STRIDE = TODY_WINOGRAD_SLICE * COLUMNS + LINE };  // values of a line of the cache

// The last 16 channels may be some of those before, in whole groups.
static void transform_images(const tody_winograd_s8 *w, const work *k) {
    const size_t channels = w->channels, whole = channels % 4 ? channels / 16 * 16 : channels;
    const __m256i zero = _mm256_set1_epi16((short)w->layer.x_zero);
    int16_t *v = k->v;
    for (uint32_t t = 0; t < w->tiles; t++, v += k->depth) {
        const int8_t *const *a = w->a + t * POSITIONS;
        size_t c = 0;
        for (size_t from; channels >= 16 && c < whole; c += 16) {
            from = c + 16 <= whole ? c : whole - 16;
            image_of(a, from, zero, v + from, k->v_stride);
        }
        if (c < channels) image_of_some(a, c, channels - c, w->layer.x_zero, v + c, k->v_stride);
    }
}

// The transform of a filter's line, times 24; of the last point times 6.
INLINE void filter_of(const __m256i *g, const size_t step, __m256i *u) {
    const __m256i a = g[0], b = g[step], c = g[2 * step], ends = add16(a, c), twice = add16(b, b);
    const __m256i some = add16(a, _mm256_slli_epi16(c, 2));
    u[0] = times16(a, 6);
    u[1] = times16(add16(ends, b), -4);
    u[2] = times16(sub16(ends, b), -4);
    u[3] = add16(some, twice);
    u[4] = sub16(some, twice);
    u[5] = times16(c, 6);
}

// A pair of channels of 8 columns.
INLINE void weights_of(const __m256i *taps, int16_t *u) {
    __m256i half[3][EDGE];
#pragma GCC unroll 3
    for (uint32_t x = 0; x < 3; x++) filter_of(taps + x, 3, half[x]);
#pragma GCC unroll 6
    for (uint32_t y = 0; y < EDGE; y++) {
        const __m256i line[3] = {half[0][y], half[1][y], half[2][y]};
        __m256i points[EDGE];
        filter_of(line, 1, points);
#pragma GCC unroll 6
        for (uint32_t x = 0; x < EDGE; x++, u += U_STRIDE) store_all(u, points[x]);
    }
}

// `count` groups of a panel, from w on.
static void transform_weights(const int8_t *w, size_t groups, size_t count, int16_t *u) {
    for (size_t i = 0; i < count * 4; i++) {
        const bool odd = i / 2 % 2;
        const int8_t *bytes = w + i / 4 * 64 + i % 2 * 32;
        __m256i taps[TAPS];
#pragma GCC unroll 9
        for (uint32_t t = 0; t < TAPS; t++)
            taps[t] = _mm256_srai_epi16(_mm256_sll_epi16(load_all(bytes + t * groups * 64), _mm_cvtsi32_si128(odd ? 0 : 8)), 8);
        weights_of(taps, u + i * 16);
    }
}

INLINE sums add_pair(sums s, const int16_t *pair, sums w) {
    int32_t both;
    memcpy(&both, pair, sizeof both);
    const __m256i x = all_s32(both);
    return (sums){add_s32(s.low, _mm256_madd_epi16(w.low, x)), add_s32(s.high, _mm256_madd_epi16(w.high, x))};
}

INLINE sums load_sums(const int32_t *m) { return (sums){load_all(m), load_all(m + 8)}; }

INLINE void store_sums(int32_t *m, sums s) {
    store_all(m, s.low);
    store_all(m + 8, s.high);
}

// Where rows are that follow each other in memory; of fewer than there could be, the last one stands for those that lack.
typedef struct places {
    size_t d1, d2, d3, d4, d5;
} places;

INLINE places places_of(uint32_t n, size_t d) {
    const size_t d1 = n > 1 ? d : 0, d2 = n > 2 ? 2 * d : d1, d3 = n > 3 ? 3 * d : d2, d4 = n > 4 ? 4 * d : d3;
    return (places){d1, d2, d3, d4, n > 5 ? 5 * d : d4};
}

// The products of up to `some` tiles with a slice, for a position. Sums are variables, and not an array, which gcc 12 would
// keep in memory.
INLINE void multiply_some(const work *k, const int16_t *v, const int16_t *u, size_t pairs, int32_t *m, uint32_t tiles,
                          bool more, const uint32_t some) {
    const places at = places_of(tiles, k->depth), to = places_of(tiles, COLUMNS);
    const sums zero = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    sums s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero;
    if (more) {
        s0 = load_sums(m);
        s1 = load_sums(m + to.d1);
        s2 = load_sums(m + to.d2);
        s3 = load_sums(m + to.d3);
        if (some > FEW) s4 = load_sums(m + to.d4);
        if (some > FEW) s5 = load_sums(m + to.d5);
    }
    for (const int16_t *end = v + pairs * 2; v < end; v += 2, u += 32) {
        sums w = {load_all(u), load_all(u + 16)};
        __asm__("" : "+x"(w.low), "+x"(w.high));  // else gcc 12 loads both again for each tile: more loads than products
        s0 = add_pair(s0, v, w);
        s1 = add_pair(s1, v + at.d1, w);
        s2 = add_pair(s2, v + at.d2, w);
        s3 = add_pair(s3, v + at.d3, w);
        if (some > FEW) s4 = add_pair(s4, v + at.d4, w);
        if (some > FEW) s5 = add_pair(s5, v + at.d5, w);
    }
    if (some > FEW) store_sums(m + to.d5, s5);
    if (some > FEW) store_sums(m + to.d4, s4);
    store_sums(m + to.d3, s3);
    store_sums(m + to.d2, s2);
    store_sums(m + to.d1, s1);
    store_sums(m, s0);
}

// Not inlined, so that there are registers for all of `places`.
static __attribute__((noinline)) void multiply_all(const work *k, const int16_t *v, const int16_t *u, size_t pairs, int32_t *m,
                                                   uint32_t tiles, bool more) {
    multiply_some(k, v, u, pairs, m, tiles, more, ROWS);
}

// All tiles by a slice of `pairs` from channel `first` on.
static void multiply(const work *k, uint32_t tiles, size_t first, size_t pairs) {
    for (uint32_t p = 0; p < POSITIONS; p++) {
        const int16_t *v = k->v + p * k->v_stride + first, *u = k->u + p * U_STRIDE;
        int32_t *m = k->m + p * k->m_stride;
        for (uint32_t t = 0; t < tiles; t += ROWS, v += ROWS * k->depth, m += ROWS * COLUMNS) {
            const uint32_t left = tiles - t;
            if (left > FEW)
                multiply_all(k, v, u, pairs, m, left, first);
            else
                multiply_some(k, v, u, pairs, m, left, first, FEW);
        }
    }
}

// The four results whose products m has.
INLINE void results_of(const __m256i *m, __m256i *y) {
    const __m256i sum = add_s32(m[1], m[2]), difference = sub_s32(m[1], m[2]);
    const __m256i far_sum = add_s32(m[3], m[4]), far_difference = sub_s32(m[3], m[4]);
    y[0] = add_s32(add_s32(m[0], sum), far_sum);
    y[1] = add_s32(difference, add_s32(far_difference, far_difference));
    y[2] = add_s32(sum, _mm256_slli_epi32(far_sum, 2));
    y[3] = add_s32(add_s32(difference, _mm256_slli_epi32(far_difference, 3)), _mm256_slli_epi32(m[5], 2));
}

// Eight columns of a tile: sums of the direct way, with their bias, 16 apart.
static void sums_of(const int32_t *m, size_t stride, __m256i bias, int32_t *y) {
    __m256i half[OUT][EDGE];
    for (uint32_t x = 0; x < EDGE; x++) {
        __m256i line[EDGE], part[OUT];
#pragma GCC unroll 6
        for (uint32_t i = 0; i < EDGE; i++) line[i] = load_all(m + (i * EDGE + x) * stride);
        results_of(line, part);
#pragma GCC unroll 4
        for (uint32_t i = 0; i < OUT; i++) half[i][x] = part[i];
    }
    for (uint32_t i = 0; i < OUT; i++) {
        __m256i part[OUT];
        results_of(half[i], part);
#pragma GCC unroll 4
        for (uint32_t x = 0; x < OUT; x++, y += COLUMNS)
            store_all(y, add_s32(_mm256_srai_epi32(mul_s32(part[x], all_s32(INVERSE_OF_9)), 6), bias));
    }
}

// The columns of a panel, from `first` on, of all tiles.
static void finish_panel(const tody_winograd_s8 *w, const work *k, uint32_t first) {
    const size_t count = w->cols - first < COLUMNS ? w->cols - first : COLUMNS;
    const factors f = factors_s8(w->scale + first / COLUMNS * w->scale_stride, COLUMNS, &w->layer);
    const sums bias = bias_s8(w->bias ? w->bias + first : NULL, COLUMNS);
    const tody_layer_s8 layer = w->layer;
    for (uint32_t t = 0; t < w->tiles; t++) {
        int32_t y[OUT * OUT * COLUMNS];
        sums_of(k->m + t * COLUMNS, k->m_stride, bias.low, y);
        sums_of(k->m + t * COLUMNS + 8, k->m_stride, bias.high, y + 8);
        for (uint32_t i = 0; i < OUT * OUT; i++) {
            const size_t at = w->at[t * OUT * OUT + i];
            if (at == TODY_NOWHERE) continue;
            finish_s8(w->c + at + first, count, load_sums(y + i * COLUMNS), &f, w->addend ? w->addend + at + first : NULL,
                      &layer);
        }
    }
}

void tody_winograd_s8_avx2(const tody_winograd_s8 *args) {
    const tody_winograd_s8 w = *args;
    work k = {.depth = ((size_t)w.channels + 15) / 16 * 16, .groups = ((size_t)w.channels + 3) / 4};
    k.v_stride = ((w.tiles * k.depth + LINE - 1) / LINE | 1) * LINE;
    k.m_stride = ((size_t)w.tiles | 1) * COLUMNS;
    k.v = w.work;
    k.m = (int32_t *)(void *)(k.v + POSITIONS * k.v_stride);
    k.u = (int16_t *)(void *)(k.m + POSITIONS * k.m_stride);
    transform_images(&w, &k);
    const int8_t *panel = w.w;
    for (uint32_t first = 0; first < w.cols; first += COLUMNS, panel += k.groups * TAPS * 64) {
        for (size_t g = 0, some; g < k.groups; g += some) {
            some = k.groups - g < TODY_WINOGRAD_SLICE / 4 ? k.groups - g : TODY_WINOGRAD_SLICE / 4;
            transform_weights(panel + g * 64, k.groups, some, k.u);
            multiply(&k, w.tiles, g * 4, some * 2);
        }
        finish_panel(&w, &k, first);
    }
}
