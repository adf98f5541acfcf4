// winograd.h - the transforms of Winograd's images and results, once for all sets, in vectors of channels.
// SPDX-License-Identifier: Apache-2.0
//
// A set defines, before it includes this: WIDTH, UNROLL (6, or 1 to be short), the same of the lines of results, UNROLL_LINES,
// vector, all(x), add, sub, mul, add_product(x, y, sum) = sum + x * y, less_product(x, y, sum) = sum - x * y; kept(x), which is
// x, where compilers would load a constant anew wherever it is met in a register; mask, first(count), load_part and
// store_part(.., whole, mask); load_next(&p, step) and store_next(&p, step, x), which move p on by `step` elements; and
// finish(c, count, sum, addend, lo, hi), which stores the first `count` elements of clamp(sum + addend).
#ifndef TODY_KERNELS_WINOGRAD_H
#define TODY_KERNELS_WINOGRAD_H

#include "winograd_points.h"

static const float a2b2 = (float)(A * A * B * B), sum_a2b2 = (float)(A * A + B * B);

// The image at zero comes divided by a2b2, and what filters are to be divided by at other points is left to the result: so a
// filter takes the fewest steps. near and far: what the products of points A and -A, B and -B count in each output.
static const float zero_2 = (float)((A * A + B * B) / (A * A * B * B)), zero_4 = (float)(1 / (A * A * B * B));
static const float near[TILE] = {(float)(1 / (2 * A * A * (A * A - B * B))), (float)(1 / (2 * A * (A * A - B * B))),
                                 (float)(1 / (2 * (A * A - B * B))), (float)(A / (2 * (A * A - B * B))),
                                 (float)(A *A / (2 * (A * A - B * B)))};
static const float far[TILE] = {(float)(1 / (2 * B * B * (B * B - A * A))), (float)(1 / (2 * B * (B * B - A * A))),
                                (float)(1 / (2 * (B * B - A * A))), (float)(B / (2 * (B * B - A * A))),
                                (float)(B *B / (2 * (B * B - A * A)))};

#undef A
#undef B

// The constants of a transform, of an image and of a result.
typedef struct image_factors {
    float a1, b1, a2, b2, a2b2, sum_a2b2, zero_2, zero_4;
} image_factors;

typedef struct result_factors {
    float near[TILE], far[TILE];
} result_factors;

INLINE image_factors keep_image_factors(void) {
    return (image_factors){kept(a1), kept(b1), kept(a2), kept(b2), kept(a2b2), kept(sum_a2b2), kept(zero_2), kept(zero_4)};
}

INLINE result_factors keep_result_factors(const uint32_t edge, const uint32_t tile) {
    result_factors f;
#pragma GCC unroll UNROLL
    for (uint32_t i = 0; i < tile; i++) {
        f.near[i] = edge == 4 ? 0.5f : kept(near[i]);
        if (edge > 4) f.far[i] = kept(far[i]);
    }
    return f;
}

// What a line d of the image is at each point; `edge` is a constant after inlining, as are `taps` and `tile` below. Points of
// either sign share the even and the odd powers.
INLINE void points_of_image(const uint32_t edge, const image_factors *f, const vector *d, vector *v) {
    if (edge == 4) {
        v[0] = sub(d[3], d[1]);
        v[1] = sub(d[0], d[2]);
        v[2] = add(d[1], d[2]);
        v[3] = sub(d[2], d[1]);
        return;
    }
    v[0] = add_product(all(f->a2b2), d[1], less_product(all(f->sum_a2b2), d[3], d[5]));
    v[1] = add_product(all(f->zero_4), d[4], less_product(all(f->zero_2), d[2], d[0]));
    const vector even_a = less_product(all(f->b2), d[2], d[4]), odd_a = less_product(all(f->b2), d[1], d[3]);
    const vector even_b = less_product(all(f->a2), d[2], d[4]), odd_b = less_product(all(f->a2), d[1], d[3]);
    v[2] = add_product(all(f->a1), odd_a, even_a);
    v[3] = less_product(all(f->a1), odd_a, even_a);
    v[4] = add_product(all(f->b1), odd_b, even_b);
    v[5] = less_product(all(f->b1), odd_b, even_b);
}

// The outputs whose products m has: the power that an output stands for makes sums of a pair's points, or differences.
INLINE void outputs_of_points(const uint32_t edge, const uint32_t tile, const result_factors *f, const vector *m, vector *y) {
    vector pair[PAIRS][2];
#pragma GCC unroll UNROLL
    for (uint32_t p = 0; p < (edge - 2) / 2; p++) {
        pair[p][0] = add(m[2 + 2 * p], m[3 + 2 * p]);
        pair[p][1] = sub(m[2 + 2 * p], m[3 + 2 * p]);
    }
#pragma GCC unroll UNROLL
    for (uint32_t i = 0; i < tile; i++) {
        const vector alone = i ? m[0] : m[1];
        const bool ends = i == 0 || i == tile - 1;
        y[i] = ends ? add_product(all(f->near[i]), pair[0][i % 2], alone) : mul(all(f->near[i]), pair[0][i % 2]);
        if (edge > 4) y[i] = add_product(all(f->far[i]), pair[1][i % 2], y[i]);
    }
}

// A vector of channels from k on.
INLINE void image_of(const tody_winograd_in *in, const image_factors *f, const uint32_t edge, size_t k, const bool whole,
                     mask m) {
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
    const image_factors f = keep_image_factors();
    size_t k = 0;
    for (; k + WIDTH <= in->channels; k += WIDTH) image_of(in, &f, edge, k, true, first(WIDTH));
    if (k < in->channels) image_of(in, &f, edge, k, false, first(in->channels - k));
}

// A vector of channels of all outputs, from k on, to c, without regard to what is wanted.
INLINE void result_of(const tody_winograd_out *out, const result_factors *f, const uint32_t edge, const uint32_t tile, size_t k,
                      float *c) {
    vector half[TILE][EDGE];
#pragma GCC unroll UNROLL_LINES
    for (uint32_t x = 0; x < edge; x++) {
        vector line[EDGE], outputs[TILE];
        const float *m = out->m + x * out->m_stride + k;
#pragma GCC unroll UNROLL
        for (uint32_t y = 0; y < edge; y++) line[y] = load_next(&m, edge * out->m_stride);
        outputs_of_points(edge, tile, f, line, outputs);
#pragma GCC unroll UNROLL
        for (uint32_t y = 0; y < tile; y++) half[y][x] = outputs[y];
    }
    const vector bias = out->bias ? load_part(out->bias + k, true, first(WIDTH)) : all(0.0f);
    const vector lo = all(out->lo), hi = all(out->hi);
    const float *addend = out->addend ? out->addend + k : NULL;
#pragma GCC unroll UNROLL_LINES
    for (uint32_t y = 0; y < tile; y++, c += out->c_line) {
        vector outputs[TILE];
        outputs_of_points(edge, tile, f, half[y], outputs);
#pragma GCC unroll UNROLL
        for (uint32_t x = 0; x < tile; x++)
            finish(c + x * out->c_stride, WIDTH, add(outputs[x], bias), addend ? addend + x * out->c_stride : NULL, lo, hi);
        if (addend) addend += out->c_line;
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
    const result_factors f = keep_result_factors(edge, tile);
    for (size_t k = 0; k < out->channels; k += WIDTH) {
        if (k == whole) {
            to.addend = NULL;
            to.c_line = (size_t)tile * WIDTH;
            to.c_stride = WIDTH;
            to.lo = -__builtin_inff();
            to.hi = __builtin_inff();
        }
        result_of(&to, &f, edge, tile, k, k < whole ? out->c + k : part);
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
