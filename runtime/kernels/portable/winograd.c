// winograd.c - Winograd's convolution: the weights in double precision, the other transforms a channel at a time.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

#define A TODY_WINOGRAD_A
#define B TODY_WINOGRAD_B

enum { WIDTH = 1, UNROLL = 1 };
typedef float vector;
typedef bool mask;

static float all(float x) { return x; }
static float add(float x, float y) { return x + y; }
static float sub(float x, float y) { return x - y; }
static float mul(float x, float y) { return x * y; }
static float add_product(float x, float y, float sum) { return x * y + sum; }
static bool first(size_t count) { return count > 0; }

static float load_part(const float *x, bool whole, mask m) { return whole || m ? *x : 0.0f; }
static void store_part(float *y, bool whole, mask m, float v) {
    if (whole || m) *y = v;
}

static void finish(float *c, size_t count, float sum, const float *addend, float lo, float hi) {
    if (addend) sum += *addend;
    if (sum < lo) sum = lo;
    if (count) *c = sum > hi ? hi : sum;
}

// behind the vectors that it is written in
#include "kernels/winograd.h"

void tody_portable_winograd_in_f32(const tody_winograd_in *args) { winograd_in(args); }
void tody_portable_winograd_out_f32(const tody_winograd_out *args) { winograd_out(args); }

// Weights are transformed once, in double precision, so many filters at a time; loops over them are left to the compiler.
enum { LANES = 16 };

typedef double filters[LANES];

// What three taps are at a pair of points of either sign: outer[0] * first + outer[1] * last, plus and minus middle * second.
// These are rows of G: powers of the point, divided by the product of its distances from all others.
typedef struct pair {
    double outer[2], middle;
} pair;

static const double near = 1 / (2 * A * A * (A * A - B * B)), far = 1 / (2 * B * B * (B * B - A * A));
static const pair pair_2 = {{0.5, 0.5}, 0.5};
static const pair pairs_4[2] = {{{near, near *A *A}, near *A}, {{far, far *B *B}, far *B}};
static const double at_zero_4 = 1 / (A * A * B * B);

static void points_of_filter(uint32_t tile, filters taps[3], filters *points) {
    const pair *pairs = tile == 2 ? &pair_2 : pairs_4;
    const double at_zero = tile == 2 ? 1 : at_zero_4;
    for (uint32_t j = 0; j < LANES; j++) {
        points[0][j] = at_zero * taps[0][j];
        points[tile + 1][j] = taps[2][j];
    }
    for (uint32_t p = 0; p < tile / 2; p++) {
        const pair of = pairs[p];
        double *plus = points[1 + 2 * p], *minus = points[2 + 2 * p];
        for (uint32_t j = 0; j < LANES; j++) {
            const double outer = of.outer[0] * taps[0][j] + of.outer[1] * taps[2][j], middle = of.middle * taps[1][j];
            plus[j] = outer + middle;
            minus[j] = outer - middle;
        }
    }
}

void tody_portable_winograd_weights_f32(uint32_t tile, const float *w, size_t w_stride, float *u, size_t u_stride) {
    filters half[3][EDGE], line[3], points[EDGE];
    for (uint32_t x = 0; x < 3; x++) {
        for (uint32_t y = 0; y < 3; y++) {
            const float *tap = w + (3 * y + x) * w_stride;
            for (uint32_t j = 0; j < LANES; j++) line[y][j] = tap[j];
        }
        points_of_filter(tile, line, half[x]);
    }
    for (uint32_t i = 0; i < tile + 2; i++) {
        for (uint32_t x = 0; x < 3; x++) memcpy(line[x], half[x][i], sizeof line[x]);
        points_of_filter(tile, line, points);
        for (uint32_t k = 0; k < tile + 2; k++, u += u_stride) {
            for (uint32_t j = 0; j < LANES; j++) u[j] = (float)points[k][j];
        }
    }
}
