// gemm_s8_avx2.c - int8 matrix product on panels of 16 columns: 4 or 6 rows by 2 vectors of 8 int32 in registers.
// SPDX-License-Identifier: Apache-2.0
//
// Exact. vpmaddubsw multiplies bytes, unsigned by signed, and adds two products in int16, which saturates unless both weights
// are within [-64, 64]: 2 * 64 * 255 < 2^15. Quantisers that know of it leave one bit of the weights unused. Such weights are
// mostly so small that the products of two groups fit into int16 together, which saves one multiplication in four: where the
// positive and the negative ones of four weights add up to 128 at most each. Where a panel has larger weights, rows are widened
// to int16 and products of two pairs added in int32 (vpmaddwd). Four values a, b, c, d then stand as a, c, b, d: even and odd
// bytes of the weights, which are cheap to take apart, meet a pair each.
#include "vector_s8_avx2.h"

enum { TILE = 6, SHIFT = 128 };
enum { GROUPS = 64 };   // of which the weights stay in the first-level cache for the second pass
enum { NARROW = 64 };   // the largest weight that vpmaddubsw can take
enum { FEW = 16 };      // rows
enum { ROWS = 4 };      // of a tile of narrow weights
enum { STARTS = 256 };  // rows whose starts are kept from panel to panel
enum { RUNS = 32 };     // see below; in a line's last one, groups need not be asked

// Rows are bytes with 128 added, and behind all of them is room for the same in 16 bits.
static inline integers dot(integers sum, integers u, integers w) {
    return add_s32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(u, w), _mm256_set1_epi16(1)));
}

// Groups up to `pairs` fit together by twos, those up to `end` are taken one by one; then rows go on `jump` bytes ahead.
typedef struct run {
    uint32_t pairs, end;
    size_t jump;
} run;

#include "gemm_s8_bytes.h"
#include "pack_s8_avx2.h"

INLINE sums add_pair(sums s, const int8_t *pair, sums w) {
    const integers x = four(pair);
    return (sums){add_s32(s.low, _mm256_madd_epi16(w.low, x)), add_s32(s.high, _mm256_madd_epi16(w.high, x))};
}

// Even or odd bytes of 64 weights in 16 bits. `odd` is a constant after inlining.
INLINE sums weights(const int8_t *w, const bool odd) {
    const sums v = load_bytes(w);
    if (odd) return (sums){_mm256_srai_epi16(v.low, 8), _mm256_srai_epi16(v.high, 8)};
    return (sums){_mm256_srai_epi16(_mm256_slli_epi16(v.low, 8), 8), _mm256_srai_epi16(_mm256_slli_epi16(v.high, 8), 8)};
}

// Even and odd bytes go by one after the other: together, compilers would add their products up first and run out of registers.
// Sums are variables of their own: an array of them, or one structure, gcc 12 would keep in memory.
INLINE void half(const int8_t *x, size_t stride, const int8_t *w, size_t groups, const uint32_t rows, const bool odd, sums *s0,
                 sums *s1, sums *s2, sums *s3, sums *s4, sums *s5) {
    const int8_t *y = x + 3 * stride;
    for (const int8_t *end = w + groups * 64; w < end; x += 8, y += 8, w += 64) {
        const sums v = weights(w, odd);
        *s0 = add_pair(*s0, x, v);
        if (rows > 1) *s1 = add_pair(*s1, x + stride, v);
        if (rows > 2) *s2 = add_pair(*s2, x + 2 * stride, v);
        if (rows > 3) *s3 = add_pair(*s3, y, v);
        if (rows > 4) *s4 = add_pair(*s4, y + stride, v);
        if (rows > 5) *s5 = add_pair(*s5, y + 2 * stride, v);
    }
}

INLINE void wide_tile_of(const tody_gemm_s8 *g, const columns *c, const int8_t *a, const uint32_t rows, sums *s) {
    const sums zero = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    const size_t stride = g->packed_stride * 2, line = c->line / 4, jump = (g->line_stride - c->line) * 2;
    sums s0 = zero, s1 = zero, s2 = zero, s3 = zero, s4 = zero, s5 = zero;
    const int8_t *x = c->wide + (a - g->packed) * 2, *w = c->w, *last = w + c->groups * 64;
    for (size_t left = line, groups; w < last; left -= groups) {
        groups = left < GROUPS ? left : GROUPS;
        half(x, stride, w, groups, rows, false, &s0, &s1, &s2, &s3, &s4, &s5);
        half(x + 4, stride, w, groups, rows, true, &s0, &s1, &s2, &s3, &s4, &s5);
        x += groups * 8 + (groups == left ? jump : 0);
        w += groups * 64;
        if (groups == left) left += line;
    }
    s[0] = s0;
    if (rows > 1) s[1] = s1;
    if (rows > 2) s[2] = s2;
    if (rows > 3) s[3] = s3;
    if (rows > 4) s[4] = s4;
    if (rows > 5) s[5] = s5;
}

static void wide_tile(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, sums *s) {
    switch (rows) {
        case 1: wide_tile_of(g, c, a, 1, s); break;
        case 2: wide_tile_of(g, c, a, 2, s); break;
        case 3: wide_tile_of(g, c, a, 3, s); break;
        case 4: wide_tile_of(g, c, a, 4, s); break;
        case 5: wide_tile_of(g, c, a, 5, s); break;
        default: wide_tile_of(g, c, a, TILE, s); break;
    }
}

INLINE sums add_one(sums s, const int8_t *x, sums w) {
    const integers u = four(x);
    return (sums){dot(s.low, u, w.low), dot(s.high, u, w.high)};
}

// The products of two groups; u and t are four values of a row each.
INLINE integers dot_two(integers sum, integers u, integers v, integers t, integers w) {
    const integers both = _mm256_add_epi16(_mm256_maddubs_epi16(u, v), _mm256_maddubs_epi16(t, w));
    return add_s32(sum, _mm256_madd_epi16(both, _mm256_set1_epi16(1)));
}

INLINE sums add_two(sums s, const int8_t *x, sums v, sums w) {
    const integers u = four(x), t = four(x + 4);
    return (sums){dot_two(s.low, u, v.low, t, w.low), dot_two(s.high, u, v.high, t, w.high)};
}

// Sums are variables of this function, and not a block: gcc 12 would keep that in memory.
INLINE void narrow_tile_of(const tody_gemm_s8 *g, const columns *c, const int8_t *a, const uint32_t rows, sums *s) {
    const sums zero = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    const size_t stride = g->packed_stride;
    const int8_t *w = c->w, *last = w + c->groups * 64;
    sums s0 = zero, s1 = zero, s2 = zero, s3 = zero;
    for (const run *r = c->runs; w < last; a += r++->jump) {
        for (const int8_t *end = c->w + (size_t)r->pairs * 64; w < end; a += 8, w += 128) {
            const sums v = load_bytes(w), z = load_bytes(w + 64);
            s0 = add_two(s0, a, v, z);
            if (rows > 1) s1 = add_two(s1, a + stride, v, z);
            if (rows > 2) s2 = add_two(s2, a + 2 * stride, v, z);
            if (rows > 3) s3 = add_two(s3, a + 3 * stride, v, z);
        }
        for (const int8_t *end = c->w + (size_t)r->end * 64; w < end; a += 4, w += 64) {
            const sums v = load_bytes(w);
            s0 = add_one(s0, a, v);
            if (rows > 1) s1 = add_one(s1, a + stride, v);
            if (rows > 2) s2 = add_one(s2, a + 2 * stride, v);
            if (rows > 3) s3 = add_one(s3, a + 3 * stride, v);
        }
    }
    s[0] = s0;
    if (rows > 1) s[1] = s1;
    if (rows > 2) s[2] = s2;
    if (rows > 3) s[3] = s3;
}

static void narrow_tile(const tody_gemm_s8 *g, const columns *c, const int8_t *a, uint32_t rows, sums *s) {
    switch (rows) {
        case 1: narrow_tile_of(g, c, a, 1, s); break;
        case 2: narrow_tile_of(g, c, a, 2, s); break;
        case 3: narrow_tile_of(g, c, a, 3, s); break;
        default: narrow_tile_of(g, c, a, ROWS, s); break;
    }
}

// For each four weights of two groups twice what their positive or their negative ones add up to, whichever is more.
INLINE __m256i twice_the_more(__m256i v, __m256i w) {
    const __m256i one = _mm256_set1_epi8(1), a = _mm256_abs_epi8(v), b = _mm256_abs_epi8(w);
    const __m256i all = _mm256_add_epi16(_mm256_maddubs_epi16(one, v), _mm256_maddubs_epi16(one, w));
    return _mm256_add_epi16(_mm256_abs_epi16(all), _mm256_maddubs_epi16(_mm256_add_epi8(a, b), one));
}

INLINE bool fit_together(sums v, sums w) {
    const __m256i most = _mm256_max_epi16(twice_the_more(v.low, w.low), twice_the_more(v.high, w.high));
    const __m256i large = _mm256_cmpgt_epi16(most, _mm256_set1_epi16(4 * NARROW));
    return _mm256_testz_si256(large, large);
}

INLINE __m256i largest(__m256i most, sums v) {
    return _mm256_max_epu8(most, _mm256_max_epu8(_mm256_abs_epi8(v.low), _mm256_abs_epi8(v.high)));
}

// The runs of a line's groups, at most `room`; where they end. Where `few`, for rows that are not worth the search, there is
// one without pairs.
static run *find_runs(const columns *c, uint32_t first, uint32_t end, bool few, uint32_t room, run *r, __m256i *most) {
    const run *last = r + room - 1;
    bool pairs = !few;
    *r = (run){few ? first : end, end, 0};
    for (uint32_t at = first; at < end; at += 2) {
        const bool pair = at + 1 < end;
        const sums v = load_bytes(c->w + (size_t)at * 64), w = pair ? load_bytes(c->w + (size_t)at * 64 + 64) : v;
        *most = largest(largest(*most, v), w);
        if (few || (!pairs && r == last) || (pair && fit_together(v, w)) == pairs) continue;
        pairs = !pairs;
        if (pairs) {
            r++->end = at;
            *r = (run){end, end, 0};
        } else {
            r->pairs = at;
        }
    }
    return r + 1;
}

// The runs of all lines. False if there are wide weights.
static bool find_all_runs(const tody_gemm_s8 *g, const columns *c, run *runs) {
    const uint32_t line = (uint32_t)c->line / 4;
    __m256i most = _mm256_setzero_si256();
    for (uint32_t l = 0; l < g->lines; l++) {
        runs = find_runs(c, l * line, (l + 1) * line, g->rows < FEW, RUNS / g->lines, runs, &most);
        runs[-1].jump = g->line_stride - c->line;
    }
    const __m256i large = _mm256_subs_epu8(most, _mm256_set1_epi8(NARROW));
    return _mm256_testz_si256(large, large);
}

// Sixteen values, which become words as they are loaded: it costs more to move from one half of a vector to the other.
static inline void widen(int8_t *to, const int8_t *x) {
    const __m256i order = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
    const __m256i wide = _mm256_cvtepu8_epi16(load_s8(x, 16));
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_shuffle_epi8(wide, order));
}

// Bytes from the first packed row to the end of the last one.
static size_t extent(const tody_gemm_s8 *g) {
    return (g->rows / g->width - 1) * g->width_stride + (g->lines - 1) * g->line_stride + (g->width - 1) * g->packed_stride +
           g->depth / g->lines;
}

// The last sixteen values may be some of those before, again.
static void widen_rows(const tody_gemm_s8 *g) {
    const size_t count = extent(g);
    int8_t *to = g->packed + count, some[32];
    if (count < 16) {
        widen(some, g->packed);  // there is as much to read
        memcpy(to, some, count * 2);
        return;
    }
    for (size_t k = 0; k < count; k += 16) {
        const size_t at = k + 16 <= count ? k : count - 16;
        widen(to + at * 2, g->packed + at);
    }
}

void tody_gemm_s8_avx2(const tody_gemm_s8 *args) {
    bool widened = false;
    run runs[RUNS];
    int32_t starts[STARTS];
    const bool keeps = args->layer.w_zero && args->rows <= STARTS;
    for (uint32_t i = 0; keeps && i < args->rows; i++) starts[i] = row_start(args, i);
    for (uint32_t column = 0; column < args->cols; column += COLUMNS) {
        columns c = columns_of(args, column);
        const bool narrow = find_all_runs(args, &c, runs);
        c.runs = runs;
        c.row_starts = keeps ? starts : NULL;
        c.wide = args->packed + extent(args);
        c.tile = narrow ? ROWS : TILE;
        if (!narrow && !widened) widen_rows(args);
        widened |= !narrow;
        run_rows(args, &c, narrow ? narrow_tile : wide_tile);
    }
}

void tody_pack_s8_avx2(const tody_pack_s8 *args) { pack_rows(args); }
