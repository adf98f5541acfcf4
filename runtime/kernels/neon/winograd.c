// winograd.c - the transforms of Winograd's convolution, four channels at a time.
// SPDX-License-Identifier: Apache-2.0
#include "neon.h"

enum { WIDTH = 4, UNROLL = 6 };
typedef float32x4_t vector;
typedef size_t mask;  // how many elements

static inline vector all(float x) { return vdupq_n_f32(x); }
static inline vector add(vector x, vector y) { return vaddq_f32(x, y); }
static inline vector sub(vector x, vector y) { return vsubq_f32(x, y); }
static inline vector mul(vector x, vector y) { return vmulq_f32(x, y); }
static inline vector add_product(vector x, vector y, vector sum) { return vfmaq_f32(sum, x, y); }
static inline mask first(size_t count) { return count; }

static inline vector load_part(const float *x, bool whole, mask m) {
    if (whole) return vld1q_f32(x);
    float part[WIDTH] = {0};
    for (size_t i = 0; i < m; i++) part[i] = x[i];
    return vld1q_f32(part);
}

static inline void store_part(float *y, bool whole, mask m, vector v) {
    if (whole) {
        vst1q_f32(y, v);
        return;
    }
    float part[WIDTH];
    vst1q_f32(part, v);
    for (size_t i = 0; i < m; i++) y[i] = part[i];
}

// behind the vectors that it is written in
#include "kernels/winograd.h"

void tody_winograd_in_f32_neon(const tody_winograd_in *args) { winograd_in(args); }
void tody_winograd_out_f32_neon(const tody_winograd_out *args) { winograd_out(args); }
