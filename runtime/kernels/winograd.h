// winograd.h - the transforms of Winograd's convolution, once for all sets: in vectors of channels, whatever their width.
// SPDX-License-Identifier: Apache-2.0
//
// A set defines, before it includes this: WIDTH, UNROLL (6, or 1 to be short), vector, all(x), add, sub, mul, add_product(x, y,
// sum) = sum + x * y, less_product(x, y, sum) = sum - x * y; kept(x), which is x, where compilers would load a constant anew
// wherever it is met in a register; mask, first(count), load_part and store_part(.., whole, mask); load_next(&p, step) and
// store_next(&p, step, x), which move p on by `step` elements; and finish(c, count, sum, addend, lo, hi), which stores the
// first `count` elements of clamp(sum + addend).
#ifndef TODY_KERNELS_WINOGRAD_H
#define TODY_KERNELS_WINOGRAD_H

#define INLINE static inline __attribute__((always_inline))

enum { EDGE = TODY_MAX_WINOGRAD_EDGE };

#define A TODY_WINOGRAD_A
#define B TODY_WINOGRAD_B

static const float a1 = (float)A, b1 = (float)B, a2 = (float)(A * A), b2 = (float)(B * B);
static const float a2b2 = (float)(A * A * B * B), sum_a2b2 = (float)(A * A + B * B);

// The image at zero comes divided by a2b2, and what filters are to be divided by at other points is left to the result: so a
// filter takes the fewest steps. near and far: what the products of points A and -A, B and -B count.
static const float zero_2 = (float)((A * A + B * B) / (A * A * B * B)), zero_4 = (float)(1 / (A * A * B * B));
static const float near_0 = (float)(1 / (2 * A * A * (A * A - B * B))), far_0 = (float)(1 / (2 * B * B * (B * B - A * A)));
static const float near_1 = (float)(1 / (2 * A * (A * A - B * B))), far_1 = (float)(1 / (2 * B * (B * B - A * A)));
static const float near_2 = (float)(1 / (2 * (A * A - B * B))), far_2 = (float)(1 / (2 * (B * B - A * A)));
static const float near_3 = (float)(A / (2 * (A * A - B * B))), far_3 = (float)(B / (2 * (B * B - A * A)));

#undef A
#undef B

// The constants of a transform, of an image and of a result.
typedef struct image_factors {
    float a1, b1, a2, b2, a2b2, sum_a2b2, zero_2, zero_4;
} image_factors;

typedef struct result_factors {
    float near_0, near_1, near_2, near_3, far_0, far_1, far_2, far_3;
} result_factors;

INLINE image_factors keep_image_factors(void) {
    return (image_factors){kept(a1), kept(b1), kept(a2), kept(b2), kept(a2b2), kept(sum_a2b2), kept(zero_2), kept(zero_4)};
}

INLINE result_factors keep_result_factors(void) {
    return (result_factors){kept(near_0), kept(near_1), kept(near_2), kept(near_3),
                            kept(far_0),  kept(far_1),  kept(far_2),  kept(far_3)};
}

// What a line d of the image is at each point; `edge`, tile + 2, is a constant after inlining. Points of either sign share the
// even and the odd powers.
INLINE void points_of_image(const uint32_t edge, const image_factors *f, const vector *d, vector *v) {
    if (edge == 4) {
        v[0] = sub(d[0], d[2]);
        v[1] = add(d[1], d[2]);
        v[2] = sub(d[2], d[1]);
        v[3] = sub(d[3], d[1]);
        return;
    }
    v[0] = add_product(all(f->zero_4), d[4], less_product(all(f->zero_2), d[2], d[0]));
    v[5] = add_product(all(f->a2b2), d[1], less_product(all(f->sum_a2b2), d[3], d[5]));
    const vector even_a = less_product(all(f->b2), d[2], d[4]), odd_a = less_product(all(f->b2), d[1], d[3]);
    const vector even_b = less_product(all(f->a2), d[2], d[4]), odd_b = less_product(all(f->a2), d[1], d[3]);
    v[1] = add_product(all(f->a1), odd_a, even_a);
    v[2] = less_product(all(f->a1), odd_a, even_a);
    v[3] = add_product(all(f->b1), odd_b, even_b);
    v[4] = less_product(all(f->b1), odd_b, even_b);
}

// The edge - 2 outputs whose products m has.
INLINE void outputs_of_points(const uint32_t edge, const result_factors *f, const vector *m, vector *y) {
    const vector sum_a = add(m[1], m[2]), difference_a = sub(m[1], m[2]);
    if (edge == 4) {
        y[0] = add(m[0], sum_a);
        y[1] = add(difference_a, m[3]);
        return;
    }
    const vector sum_b = add(m[3], m[4]), difference_b = sub(m[3], m[4]);
    y[0] = add_product(all(f->far_0), sum_b, add_product(all(f->near_0), sum_a, m[0]));
    y[1] = add_product(all(f->far_1), difference_b, mul(all(f->near_1), difference_a));
    y[2] = add_product(all(f->far_2), sum_b, mul(all(f->near_2), sum_a));
    y[3] = add_product(all(f->far_3), difference_b, add_product(all(f->near_3), difference_a, m[5]));
}

// What three taps g of a filter are at each point.
INLINE void points_of_filter(const uint32_t edge, const vector *g, vector *u) {
    u[0] = g[0];
    u[edge - 1] = g[2];
    if (edge == 4) {
        const vector outer = mul(all(0.5f), add(g[0], g[2]));
        u[1] = add_product(all(0.5f), g[1], outer);
        u[2] = add_product(all(-0.5f), g[1], outer);
        return;
    }
    const vector outer_a = add_product(all(a2), g[2], g[0]), outer_b = add_product(all(b2), g[2], g[0]);
    u[1] = add_product(all(a1), g[1], outer_a);
    u[2] = add_product(all(-a1), g[1], outer_a);
    u[3] = add_product(all(b1), g[1], outer_b);
    u[4] = add_product(all(-b1), g[1], outer_b);
}

// A vector of filters, whose taps are at i.
INLINE void filter_of(const uint32_t edge, const float *const *taps, size_t i, float *u, const size_t u_stride) {
    vector half[EDGE][3];
#pragma GCC unroll UNROLL
    for (uint32_t x = 0; x < 3; x++) {
        vector line[3], points[EDGE];
#pragma GCC unroll UNROLL
        for (uint32_t y = 0; y < 3; y++) line[y] = load_part(taps[y * 3 + x] + i, true, first(WIDTH));
        points_of_filter(edge, line, points);
#pragma GCC unroll UNROLL
        for (uint32_t y = 0; y < edge; y++) half[y][x] = points[y];
    }
#pragma GCC unroll UNROLL
    for (uint32_t y = 0; y < edge; y++) {
        vector points[EDGE];
        points_of_filter(edge, half[y], points);
#pragma GCC unroll UNROLL
        for (uint32_t x = 0; x < edge; x++) store_next(&u, u_stride, points[x]);
    }
}

INLINE void filters(const tody_winograd_weights *f, const uint32_t edge) {
    const float *taps[9];
    for (size_t t = 0; t < 9; t++) taps[t] = f->w + t * f->w_stride;
    float *u = f->u;
    const size_t count = f->depth * TODY_PANEL_F32, u_stride = f->u_stride;
    for (size_t i = 0; i < count; i += WIDTH) filter_of(edge, taps, i, u + i, u_stride);
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

// A vector of channels of all outputs, from k on, to c, without regard to what lies inside of the image.
INLINE void result_of(const tody_winograd_out *out, const result_factors *f, const uint32_t edge, size_t k, float *c) {
    vector half[EDGE - 2][EDGE];
#pragma GCC unroll UNROLL
    for (uint32_t x = 0; x < edge; x++) {
        vector line[EDGE], outputs[EDGE - 2];
        const float *m = out->m + x * out->m_stride + k;
#pragma GCC unroll UNROLL
        for (uint32_t y = 0; y < edge; y++) line[y] = load_next(&m, edge * out->m_stride);
        outputs_of_points(edge, f, line, outputs);
#pragma GCC unroll UNROLL
        for (uint32_t y = 0; y < edge - 2; y++) half[y][x] = outputs[y];
    }
    const vector bias = out->bias ? load_part(out->bias + k, true, first(WIDTH)) : all(0.0f);
    const vector lo = all(out->lo), hi = all(out->hi);
    const float *addend = out->addend ? out->addend + k : NULL;
#pragma GCC unroll UNROLL
    for (uint32_t y = 0; y < edge - 2; y++, c += out->c_line) {
        vector outputs[EDGE - 2];
        outputs_of_points(edge, f, half[y], outputs);
#pragma GCC unroll UNROLL
        for (uint32_t x = 0; x < edge - 2; x++)
            finish(c + x * out->c_stride, WIDTH, add(outputs[x], bias), addend ? addend + x * out->c_stride : NULL, lo, hi);
        if (addend) addend += out->c_line;
    }
}

// What lies inside of the image, of a vector of channels from k on; `part` has the outputs without addend.
INLINE void store_inside(const tody_winograd_out *out, size_t k, const float *part) {
    for (uint32_t y = 0; y < out->rows; y++) {
        for (uint32_t x = 0; x < out->cols; x++) {
            const size_t at = y * out->c_line + x * out->c_stride + k;
            const vector sum = load_part(part + (y * out->tile + x) * WIDTH, true, first(WIDTH));
            finish(out->c + at, out->channels - k, sum, out->addend ? out->addend + at : NULL, all(out->lo), all(out->hi));
        }
    }
}

// Tiles that reach out of the image, and channels that do not fill a vector, take a way round.
INLINE void result(const tody_winograd_out *out, const uint32_t edge) {
    const bool inside = out->rows == edge - 2 && out->cols == edge - 2;
    const size_t whole = inside ? out->channels / WIDTH * WIDTH : 0;
    float part[(EDGE - 2) * (EDGE - 2) * WIDTH];
    tody_winograd_out to = *out;
    const result_factors f = keep_result_factors();
    for (size_t k = 0; k < out->channels; k += WIDTH) {
        if (k == whole) {
            to.addend = NULL;
            to.c_line = (edge - 2) * WIDTH;
            to.c_stride = WIDTH;
            to.lo = -__builtin_inff();
            to.hi = __builtin_inff();
        }
        result_of(&to, &f, edge, k, k < whole ? out->c + k : part);
        if (k >= whole) store_inside(out, k, part);
    }
}

static inline void winograd_weights(const tody_winograd_weights *weights) {
    if (weights->tile == 2)
        filters(weights, 4);
    else
        filters(weights, 6);
}

static inline void winograd_in(const tody_winograd_in *in) {
    if (in->tile == 2)
        image(in, 4);
    else
        image(in, 6);
}

static inline void winograd_out(const tody_winograd_out *out) {
    if (out->tile == 2)
        result(out, 4);
    else
        result(out, 6);
}

#endif
