// winograd.h - the transforms of Winograd's images and results, once for all sets, in vectors of channels.
// SPDX-License-Identifier: Apache-2.0
//
// A set defines, before it includes this: WIDTH, UNROLL (6, or 1 to be short), the same of the lines of results, UNROLL_LINES;
// BY_TWOS: whether lines of results are made every second one at a time, which meets most products twice and wants no registers
// for a square; vector, all(x), add, sub, mul, add_product(x, y, sum) = sum + x * y, less_product(x, y, sum) = sum - x * y,
// at_least(lo, x), at_most(hi, x); factors, which keep_factors(x) makes of 12 constants, and factor(&f, i), a vector of one;
// mask, first(count), load_part and store_part(.., whole, mask); load_next(&p, step) and store_next(&p, step, x), which move p
// on by `step` elements; and finish(c, count, sum, addend, lo, hi), which stores the first `count` elements of
// clamp(sum + addend).
#ifndef TODY_KERNELS_WINOGRAD_H
#define TODY_KERNELS_WINOGRAD_H

#include "winograd_points.h"

// The image at zero comes divided by A^2 B^2, and what filters are to be divided by at other points is left to the result: so a
// filter takes the fewest steps.
enum { A1, B1, A2, B2, A2B2, SUM_A2B2, ZERO_2, ZERO_4 };
static const float of_image[12] = {
    [A1] = (float)A,
    [B1] = (float)B,
    [A2] = (float)(A * A),
    [B2] = (float)(B * B),
    [A2B2] = (float)(A * A * B * B),
    [SUM_A2B2] = (float)(A * A + B * B),
    [ZERO_2] = (float)((A * A + B * B) / (A * A * B * B)),
    [ZERO_4] = (float)(1 / (A * A * B * B)),
};

// What the products of points A and -A, B and -B count in output i: those of four outputs fill a vector.
#define NEAR(i) ((i) < 4 ? (i) : 8)
#define FAR(i) ((i) < 4 ? 4 + (i) : 9)
static const float of_result[12] = {
    [NEAR(0)] = (float)(1 / (2 * A * A * (A * A - B * B))), [FAR(0)] = (float)(1 / (2 * B * B * (B * B - A * A))),
    [NEAR(1)] = (float)(1 / (2 * A * (A * A - B * B))),     [FAR(1)] = (float)(1 / (2 * B * (B * B - A * A))),
    [NEAR(2)] = (float)(1 / (2 * (A * A - B * B))),         [FAR(2)] = (float)(1 / (2 * (B * B - A * A))),
    [NEAR(3)] = (float)(A / (2 * (A * A - B * B))),         [FAR(3)] = (float)(B / (2 * (B * B - A * A))),
    [NEAR(4)] = (float)(A * A / (2 * (A * A - B * B))),     [FAR(4)] = (float)(B * B / (2 * (B * B - A * A))),
};

#undef A
#undef B

// What a line d of the image is at each point; `edge` is a constant after inlining, as are `taps` and `tile` below. Points of
// either sign share the even and the odd powers.
INLINE void points_of_image(const uint32_t edge, const factors *f, const vector *d, vector *v) {
    if (edge == 4) {
        v[0] = sub(d[3], d[1]);
        v[1] = sub(d[0], d[2]);
        v[2] = add(d[1], d[2]);
        v[3] = sub(d[2], d[1]);
        return;
    }
    v[0] = add_product(factor(f, A2B2), d[1], less_product(factor(f, SUM_A2B2), d[3], d[5]));
    v[1] = add_product(factor(f, ZERO_4), d[4], less_product(factor(f, ZERO_2), d[2], d[0]));
    const vector even_a = less_product(factor(f, B2), d[2], d[4]), odd_a = less_product(factor(f, B2), d[1], d[3]);
    const vector even_b = less_product(factor(f, A2), d[2], d[4]), odd_b = less_product(factor(f, A2), d[1], d[3]);
    v[2] = add_product(factor(f, A1), odd_a, even_a);
    v[3] = less_product(factor(f, A1), odd_a, even_a);
    v[4] = add_product(factor(f, B1), odd_b, even_b);
    v[5] = less_product(factor(f, B1), odd_b, even_b);
}

INLINE uint32_t pairs_of(const uint32_t edge) { return (edge - 2) / 2; }

// Output i of a line: a and *b are what its pairs of points, if there are two, add up to, or differ by where i is odd; `alone`
// is what the first output has of the point 0, and the last of infinity.
INLINE vector output_of(const uint32_t edge, const uint32_t tile, const factors *f, const uint32_t i, vector a, const vector *b,
                        vector alone) {
    const bool ends = i == 0 || i == tile - 1;
    const vector near = edge == 4 ? all(0.5f) : factor(f, NEAR(i));
    const vector y = ends ? add_product(near, a, alone) : mul(near, a);
    return edge > 4 ? add_product(factor(f, FAR(i)), *b, y) : y;
}

// A vector of channels from k on.
INLINE void image_of(const tody_winograd_in *in, const factors *f, const uint32_t edge, size_t k, const bool whole, mask m) {
    vector half[EDGE][EDGE];
#pragma GCC unroll UNROLL
    for (uint32_t x = 0; x < edge; x++) {
        vector line[EDGE], points[EDGE];
#pragma GCC unroll UNROLL
        for (uint32_t y = 0; y < edge; y++) line[y] = load_part(in->a[y * edge + x] + k, whole, m);
        points_of_image(edge, f, line, points);
#pragma GCC unroll UNROLL
        for (uint32_t y = 0; y < edge; y++) half[y][x] = points[y];
    }
    float *v = in->v + k * in->v_step;
    const size_t v_stride = in->v_stride;
#pragma GCC unroll UNROLL
    for (uint32_t y = 0; y < edge; y++) {
        vector points[EDGE];
        points_of_image(edge, f, half[y], points);
#pragma GCC unroll UNROLL
        for (uint32_t x = 0; x < edge; x++) {
            if (whole) {
                store_next(&v, v_stride, points[x]);
            } else {
                store_part(v, whole, m, points[x]);
                v += v_stride;
            }
        }
    }
}

INLINE void image(const tody_winograd_in *in, const uint32_t edge) {
    const factors f = keep_factors(of_image);
    size_t k = 0;
    for (; k + WIDTH <= in->channels; k += WIDTH) image_of(in, &f, edge, k, true, first(WIDTH));
    if (k < in->channels) image_of(in, &f, edge, k, false, first(in->channels - k));
}

// The outputs whose products m has: the power that an output stands for makes sums of a pair's points, or differences.
INLINE void outputs_of_points(const uint32_t edge, const uint32_t tile, const factors *f, const vector *m, vector *y) {
    vector pair[PAIRS][2];
#pragma GCC unroll UNROLL
    for (uint32_t p = 0; p < pairs_of(edge); p++) {
        pair[p][0] = add(m[2 + 2 * p], m[3 + 2 * p]);
        pair[p][1] = sub(m[2 + 2 * p], m[3 + 2 * p]);
    }
#pragma GCC unroll UNROLL
    for (uint32_t i = 0; i < tile; i++)
        y[i] = output_of(edge, tile, f, i, pair[0][i % 2], &pair[PAIRS - 1][i % 2], i ? m[0] : m[1]);
}

// Which of the bounds outputs have.
typedef struct bounds {
    bool raised, lowered;
} bounds;

// A line of outputs, of what its columns of products came to, to c.
INLINE void result_line(const tody_winograd_out *out, const factors *f, const bounds some, const uint32_t edge,
                        const uint32_t tile, const vector *m, vector bias, const float *addend, float *c) {
    vector y[TILE];
    outputs_of_points(edge, tile, f, m, y);
#pragma GCC unroll UNROLL
    for (uint32_t x = 0; x < tile; x++) y[x] = add(y[x], bias);
    if (addend) {
#pragma GCC unroll UNROLL
        for (uint32_t x = 0; x < tile; x++) y[x] = add(y[x], load_next(&addend, out->c_stride));
    }
    if (some.raised) {
#pragma GCC unroll UNROLL
        for (uint32_t x = 0; x < tile; x++) y[x] = at_least(all(out->lo), y[x]);
    }
    if (some.lowered) {
#pragma GCC unroll UNROLL
        for (uint32_t x = 0; x < tile; x++) y[x] = at_most(all(out->hi), y[x]);
    }
#pragma GCC unroll UNROLL
    for (uint32_t x = 0; x < tile; x++) store_next(&c, out->c_stride, y[x]);
}

// A vector of channels of all outputs, from k on, to c, without regard to what is wanted: columns are transformed first, all of
// them, and then line after line.
INLINE void result_square(const tody_winograd_out *out, const factors *f, const bounds some, const uint32_t edge,
                          const uint32_t tile, size_t k, float *c) {
    vector half[TILE][EDGE];
#pragma GCC unroll UNROLL_LINES
    for (uint32_t x = 0; x < edge; x++) {
        vector column[EDGE], outputs[TILE];
        const float *m = out->m + x * out->m_stride + k;
#pragma GCC unroll UNROLL
        for (uint32_t y = 0; y < edge; y++) column[y] = load_next(&m, edge * out->m_stride);
        outputs_of_points(edge, tile, f, column, outputs);
#pragma GCC unroll UNROLL
        for (uint32_t y = 0; y < tile; y++) half[y][x] = outputs[y];
    }
    const vector bias = out->bias ? load_part(out->bias + k, true, first(WIDTH)) : all(0.0f);
    const float *addend = out->addend ? out->addend + k : NULL;
#pragma GCC unroll UNROLL_LINES
    for (uint32_t y = 0; y < tile; y++, c += out->c_line) {
        result_line(out, f, some, edge, tile, half[y], bias, addend, c);
        if (addend) addend += out->c_line;
    }
}

// The same without a square: first the even lines, of the sums of pairs of points, then the odd ones, of their differences. A
// line is stored before the next one is begun.
INLINE void result_twos(const tody_winograd_out *out, const factors *f, const bounds some, const uint32_t edge,
                        const uint32_t tile, size_t k, float *c) {
    const size_t stride = out->m_stride;
    const vector bias = out->bias ? load_part(out->bias + k, true, first(WIDTH)) : all(0.0f);
#pragma GCC unroll UNROLL
    for (uint32_t odd = 0; odd < 2; odd++) {
        vector pair[PAIRS][EDGE];
        const float *m = out->m + 2 * edge * stride + k, *addend = out->addend ? out->addend + k + odd * out->c_line : NULL;
        float *to = c + odd * out->c_line;
#pragma GCC unroll UNROLL
        for (uint32_t p = 0; p < pairs_of(edge); p++) {
#pragma GCC unroll UNROLL
            for (uint32_t x = 0; x < edge; x++) pair[p][x] = load_next(&m, stride);
#pragma GCC unroll UNROLL
            for (uint32_t x = 0; x < edge; x++) {
                const vector minus = load_next(&m, stride);
                pair[p][x] = odd ? sub(pair[p][x], minus) : add(pair[p][x], minus);
            }
        }
#pragma GCC unroll UNROLL
        for (uint32_t y = odd; y < tile; y += 2, to += 2 * out->c_line) {
            const float *alone = out->m + (y ? 0 : edge * stride) + k;
            vector line[EDGE];
#pragma GCC unroll UNROLL
            for (uint32_t x = 0; x < edge; x++) {
                const bool ends = y == 0 || y == tile - 1;
                const vector one = ends ? load_next(&alone, stride) : pair[0][x];
                line[x] = output_of(edge, tile, f, y, pair[0][x], &pair[PAIRS - 1][x], one);
            }
            result_line(out, f, some, edge, tile, line, bias, addend, to);
            if (addend) addend += 2 * out->c_line;
        }
    }
}

// What is wanted, of a vector of channels from k on; `part` has the outputs without addend.
INLINE void store_wanted(const tody_winograd_out *out, size_t k, const float *part) {
    for (uint32_t y = 0; y < out->rows; y++) {
        for (uint32_t x = 0; x < out->cols; x++) {
            const size_t at = y * out->c_line + x * out->c_stride + k;
            const vector sum = load_part(part + ((out->top + y) * out->tile + out->left + x) * WIDTH, true, first(WIDTH));
            finish(out->c + at, out->channels - k, sum, out->addend ? out->addend + at : NULL, all(out->lo), all(out->hi));
        }
    }
}

// Tiles of which a part is wanted, and channels that do not fill a vector, take a way round.
INLINE void result(const tody_winograd_out *out, const uint32_t edge, const uint32_t tile) {
    const bool inside = out->rows == tile && out->cols == tile;
    const size_t whole = inside ? out->channels / WIDTH * WIDTH : 0;
    float part[TILE * TILE * WIDTH];
    tody_winograd_out to = *out;
    const factors f = keep_factors(of_result);
    bounds some = {out->lo > -__builtin_inff(), out->hi < __builtin_inff()};
    for (size_t k = 0; k < out->channels; k += WIDTH) {
        if (k == whole) {
            to.addend = NULL;
            to.c_line = (size_t)tile * WIDTH;
            to.c_stride = WIDTH;
            some = (bounds){false, false};
        }
        (BY_TWOS ? result_twos : result_square)(&to, &f, some, edge, tile, k, k < whole ? out->c + k : part);
        if (k >= whole) store_wanted(out, k, part);
    }
}

// One lane alone is compiled once for all sizes.
static inline void winograd_in(const tody_winograd_in *in) {
    if (WIDTH == 1)
        image(in, in->edge);
    else if (in->edge == 4)
        image(in, 4);
    else
        image(in, 6);
}

static inline void winograd_out(const tody_winograd_out *out) {
    if (WIDTH == 1) {
        result(out, out->edge, out->tile);
        return;
    }
    if (out->edge == 4) {
        out->tile == 2 ? result(out, 4, 2) : result(out, 4, 3);
        return;
    }
    switch (out->tile) {
        case 2: result(out, 6, 2); break;
        case 3: result(out, 6, 3); break;
        case 4: result(out, 6, 4); break;
        default: result(out, 6, 5);
    }
}

#endif
