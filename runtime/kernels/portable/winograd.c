// winograd.c - Winograd's convolution: the weights in double precision, the other transforms a channel at a time.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

#define A TODY_WINOGRAD_A
#define B TODY_WINOGRAD_B

enum { WIDTH = 1, UNROLL = 1, LANES = 16 };
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

// Rows of G: what a filter of three taps is at each point, divided by the product of its distances from the others.
static const double points_2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
static const double near = 1 / (2 * A * A * (A * A - B * B)), far = 1 / (2 * B * B * (B * B - A * A));
static const double points_4[6][3] = {
    {1 / (A * A * B * B), 0, 0}, {near, near *A, near *A *A}, {near, -near *A, near *A *A},
    {far, far *B, far *B *B},    {far, -far *B, far *B *B},   {0, 0, 1},
};

void tody_portable_winograd_weights_f32(uint32_t tile, const float *w, size_t w_stride, float *u, size_t u_stride) {
    const double(*points)[3] = tile == 2 ? points_2 : points_4;
    double half[EDGE][3][LANES];
    for (uint32_t i = 0; i < tile + 2; i++) {
        for (uint32_t x = 0; x < 3; x++) {
            const float *top = w + x * w_stride, *middle = top + 3 * w_stride, *bottom = middle + 3 * w_stride;
            for (uint32_t j = 0; j < LANES; j++)
                half[i][x][j] = points[i][0] * top[j] + points[i][1] * middle[j] + points[i][2] * bottom[j];
        }
    }
    for (uint32_t i = 0; i < tile + 2; i++) {
        for (uint32_t k = 0; k < tile + 2; k++, u += u_stride) {
            const double *left = half[i][0], *middle = half[i][1], *right = half[i][2];
            for (uint32_t j = 0; j < LANES; j++)
                u[j] = (float)(points[k][0] * left[j] + points[k][1] * middle[j] + points[k][2] * right[j]);
        }
    }
}
