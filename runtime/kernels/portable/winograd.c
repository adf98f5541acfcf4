// winograd.c - the transforms of Winograd's convolution, a channel at a time.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

enum { WIDTH = 1, UNROLL = 1, UNROLL_LINES = 1, BY_TWOS = 0, AHEAD = 0 };
typedef float vector;
typedef bool mask;

static float all(float x) { return x; }
static float add(float x, float y) { return x + y; }
static float sub(float x, float y) { return x - y; }
static float mul(float x, float y) { return x * y; }
static float add_product(float x, float y, float sum) { return sum + x * y; }
static float less_product(float x, float y, float sum) { return sum - x * y; }
static float at_least(float lo, float x) { return x < lo ? lo : x; }
static float at_most(float hi, float x) { return x > hi ? hi : x; }
typedef const float *factors;
static factors keep_factors(const float *x) { return x; }
static float factor(const factors *f, uint32_t i) { return (*f)[i]; }

static bool first(size_t count) { return count > 0; }

static float load(const float *x) { return *x; }
static float load_part(const float *x, bool whole, mask m) { return whole || m ? *x : 0.0f; }
static void store_part(float *y, bool whole, mask m, float v) {
    if (whole || m) *y = v;
}

static float load_next(const float **x, size_t step) {
    const float v = **x;
    *x += step;
    return v;
}
static void store_next(float **y, size_t step, float v) {
    **y = v;
    *y += step;
}

static void finish(float *c, size_t count, float sum, const float *addend, float lo, float hi) {
    if (addend) sum += *addend;
    if (sum < lo) sum = lo;
    if (count) *c = sum > hi ? hi : sum;
}

// behind the vectors that it is written in
#include "kernels/winograd.h"
#include "kernels/winograd_filters.h"

void tody_portable_winograd_weights_f32(const tody_winograd_weights *args) { winograd_weights(args); }
void tody_portable_winograd_in_f32(const tody_winograd_in *args) { winograd_in(args); }
void tody_portable_winograd_out_f32(const tody_winograd_out *args) { winograd_out(args); }
