// pack_s8.c - rows of int8 products, one after the other in memory: taps joined, each filled up to groups of four.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "neon.h"

enum { VECTOR = 16 };

static int8_t *copy(int8_t *to, const int8_t *from, size_t count) {
    size_t i = 0;
    for (; i + 4 * VECTOR <= count; i += 4 * VECTOR) {
        const int8x16_t x0 = vld1q_s8(from + i), x1 = vld1q_s8(from + i + VECTOR);
        const int8x16_t x2 = vld1q_s8(from + i + 2 * VECTOR), x3 = vld1q_s8(from + i + 3 * VECTOR);
        vst1q_s8(to + i, x0);
        vst1q_s8(to + i + VECTOR, x1);
        vst1q_s8(to + i + 2 * VECTOR, x2);
        vst1q_s8(to + i + 3 * VECTOR, x3);
    }
    for (; i + VECTOR <= count; i += VECTOR) vst1q_s8(to + i, vld1q_s8(from + i));
    if (i < count && count >= VECTOR)
        vst1q_s8(to + count - VECTOR, vld1q_s8(from + count - VECTOR));
    else
        for (; i < count; i++) to[i] = from[i];
    return to + count;
}

// A line of `run` taps, each of `depth` values.
static int8_t *pack_line(const tody_pack_s8 *p, const int8_t *from, int8_t *to) {
    const uint32_t left = p->depth % 4;
    if (left == 0) return copy(to, from, (size_t)p->run * p->depth);
    for (uint32_t tap = 0; tap < p->run; tap++, from += p->depth) {
        to = copy(to, from, p->depth);
        for (uint32_t k = left; k < 4; k++) *to++ = (int8_t)p->x_zero;
    }
    return to;
}

// Rows from `first` on.
static void pack_rows(const tody_pack_s8 *p, uint32_t first) {
    for (uint32_t i = first; i < p->rows; i++) {
        int8_t *to = p->packed + i * p->stride;
        for (uint32_t l = 0; l < p->lines; l++) to = pack_line(p, p->a[(size_t)l * p->rows + i], to);
    }
}

#if defined(__aarch64__)

// Narrow taps, of fewer than four values, go four at a time through a table.
enum { TAPS = VECTOR / 4 };

// How they go: `places` of values in a vector of whole taps, then in up to four of the end of a line, where x_zero stands in
// 255. An end has fewer than 16 bytes: the first ones and the last ones, eight or four, which may overlap, are loaded instead.
typedef struct narrow {
    uint32_t end, end_bytes, half;  // taps at the end, their bytes, those of one load
    uint8_t places[5][VECTOR];
} narrow;

static narrow narrow_of(const tody_pack_s8 *p) {
    narrow n = {.end = p->run};
    while (n.end * p->depth >= VECTOR) n.end -= TAPS;
    n.end_bytes = n.end * p->depth;
    n.half = n.end_bytes >= 8 ? 8 : n.end_bytes >= 4 ? 4 : n.end_bytes;
    for (uint32_t i = 0; i < VECTOR; i++) {
        const bool fill = i % 4 >= p->depth;
        n.places[0][i] = (uint8_t)(fill ? 255 : i / 4 * p->depth + i % 4);
        for (uint32_t v = 0; v < 4; v++) {
            const uint32_t at = (v * TAPS + i / 4) * p->depth + i % 4;
            const uint32_t place = at < n.half ? at : 8 + at + n.half - n.end_bytes;
            n.places[v + 1][i] = (uint8_t)(fill || at >= n.end_bytes ? 255 : place);
        }
    }
    return n;
}

static int8x16_t load_end(const int8_t *from, const narrow *n) {
    int8_t part[VECTOR] = {0};
    if (n->half == 8) return vcombine_s8(vld1_s8(from), vld1_s8(from + n->end_bytes - 8));
    if (n->half == 4) {
        memcpy(part, from, 4);
        memcpy(part + 8, from + n->end_bytes - 4, 4);
    } else {
        for (uint32_t i = 0; i < n->half; i++) part[i] = from[i];
    }
    return vld1q_s8(part);
}

// Stores up to 15 bytes more.
static int8_t *pack_narrow(const tody_pack_s8 *p, const narrow *n, const int8_t *from, int8_t *to) {
    const int8x16_t zero = vdupq_n_s8((int8_t)p->x_zero);
    uint32_t taps = p->run;
    for (; taps > n->end; taps -= TAPS, from += TAPS * p->depth, to += VECTOR)
        vst1q_s8(to, vqtbx1q_s8(zero, vld1q_s8(from), vld1q_u8(n->places[0])));
    if (taps == 0) return to;
    const int8x16_t end = load_end(from, n);
    for (uint32_t v = 0; v * TAPS < taps; v++) vst1q_s8(to + v * VECTOR, vqtbx1q_s8(zero, end, vld1q_u8(n->places[v + 1])));
    return to + taps * 4;
}

// The same of lines of one vector and at least eight bytes: three taps of three colours.
static void pack_short_rows(const tody_pack_s8 *p, const narrow *n) {
    const int8x16_t zero = vdupq_n_s8((int8_t)p->x_zero);
    const uint8x16_t places = vld1q_u8(n->places[1]);
    const size_t second = n->end_bytes - 8;
    for (uint32_t i = 0; i < p->rows; i++) {
        int8_t *to = p->packed + i * p->stride;
        const int8_t *const *a = p->a + i, *const *end = a + (size_t)p->lines * p->rows;
        for (; a < end; a += p->rows, to += p->run * 4)
            vst1q_s8(to, vqtbx1q_s8(zero, vcombine_s8(vld1_s8(*a), vld1_s8(*a + second)), places));
    }
}

static void pack_narrow_rows(const tody_pack_s8 *p) {
    const narrow n = narrow_of(p);
    if (n.end == p->run && p->run <= TAPS && n.half == 8) {
        pack_short_rows(p, &n);
        return;
    }
    for (uint32_t i = 0; i < p->rows; i++) {
        int8_t *to = p->packed + i * p->stride;
        for (uint32_t l = 0; l < p->lines; l++) to = pack_narrow(p, &n, p->a[(size_t)l * p->rows + i], to);
    }
}

#else

static void pack_narrow_rows(const tody_pack_s8 *p) { pack_rows(p, 0); }

#endif

void tody_pack_s8_neon(const tody_pack_s8 *args) {
    const tody_pack_s8 p = *args;  // what is stored could be anything else
    if (p.depth < 4)
        pack_narrow_rows(&p);
    else
        pack_rows(&p, 0);
}

#if defined(__aarch64__)

// Eight values of four rows after the next eight: `count` values of each, or up to seven more.
static int8_t *join_four(const int8_t *const *rows, size_t count, int8_t *to) {
    const int8_t *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
    size_t i = 0;
    for (; i + VECTOR <= count; i += VECTOR, to += 4 * VECTOR) {
        const int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(r0 + i)), b = vreinterpretq_s64_s8(vld1q_s8(r1 + i));
        const int64x2_t c = vreinterpretq_s64_s8(vld1q_s8(r2 + i)), d = vreinterpretq_s64_s8(vld1q_s8(r3 + i));
        vst1q_s8(to, vreinterpretq_s8_s64(vzip1q_s64(a, b)));
        vst1q_s8(to + VECTOR, vreinterpretq_s8_s64(vzip1q_s64(c, d)));
        vst1q_s8(to + 2 * VECTOR, vreinterpretq_s8_s64(vzip2q_s64(a, b)));
        vst1q_s8(to + 3 * VECTOR, vreinterpretq_s8_s64(vzip2q_s64(c, d)));
    }
    for (; i < count; i += 8, to += 2 * VECTOR) {
        vst1q_s8(to, vcombine_s8(vld1_s8(r0 + i), vld1_s8(r1 + i)));
        vst1q_s8(to + VECTOR, vcombine_s8(vld1_s8(r2 + i), vld1_s8(r3 + i)));
    }
    return to;
}

// Lines of whole eights are joined where they are. Others are packed first, four rows further on, where those that are joined
// do not come before they are read.
void tody_pack_s8_neon_i8mm(const tody_pack_s8 *args) {
    const tody_pack_s8 p = *args;
    const size_t line = (size_t)p.run * p.depth;
    const uint32_t fours = p.rows / TODY_FOUR * TODY_FOUR;
    const bool even = p.depth % 4 == 0 && line % 8 == 0;
    tody_pack_s8 further = p;
    further.packed += TODY_FOUR * p.stride;
    if (!even) tody_pack_s8_neon(&further);
    for (uint32_t i = 0; i < fours; i += TODY_FOUR) {
        int8_t *to = p.packed + i * p.stride, *from = further.packed + i * p.stride;
        const int8_t *const rows[] = {from, from + p.stride, from + 2 * p.stride, from + 3 * p.stride};
        if (!even) join_four(rows, (size_t)p.lines * p.run * ((p.depth + 3) / 4 * 4), to);
        for (uint32_t l = 0; even && l < p.lines; l++) to = join_four(p.a + (size_t)l * p.rows + i, line, to);
    }
    if (even)
        pack_rows(&p, fours);
    else
        memmove(p.packed + fours * p.stride, further.packed + fours * p.stride, (p.rows - fours) * p.stride);
}

#endif
