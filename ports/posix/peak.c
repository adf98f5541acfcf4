// peak.c - what one thread can do at most: products of the kernels themselves, from the first-level cache.
// SPDX-License-Identifier: Apache-2.0
#define _POSIX_C_SOURCE 200809L

#include <time.h>

#include "core/kernels.h"
#include "posix.h"

enum {
    DEPTH = 128,  // rows and panels take 16 to 23 KB together
    CALLS = 500,  // a quarter of a millisecond to ten milliseconds
    TRIES = 30,   // the best one counts: others were disturbed
    VALUES = TODY_MAX_ROWS * DEPTH,
    WEIGHTS = TODY_MAX_PANELS * TODY_PANEL_F32 * DEPTH,
};

// Operands of either product, all zero but aligned as models have them; zeros are zeros when packed, too.
typedef struct operands {
    _Alignas(64) float a[VALUES], w[WEIGHTS], c[TODY_MAX_ROWS * TODY_MAX_PANELS * TODY_PANEL_F32];
    _Alignas(64) float scale[TODY_MAX_PANELS * TODY_PANEL_F32];
    const void *rows[TODY_MAX_ROWS];
} operands;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Rows and weights are in the numbers of the kernel, which ignores what it has no use for.
static void multiply_float(void (*gemm)(const tody_gemm_f32 *args), uint32_t rows, uint32_t panels, operands *o) {
    const uint32_t cols = panels * TODY_PANEL_F32;
    const tody_gemm_f32 args = {.rows = rows,
                                .cols = cols,
                                .taps = 1,
                                .depth = DEPTH,
                                .a = (const float *const *)o->rows,
                                .packed = o->a,
                                .w = o->w,
                                .scale = o->scale,
                                .w_stride = TODY_PANEL_F32 * DEPTH,
                                .next = o->w,
                                .c = o->c,
                                .c_stride = cols,
                                .lo = -1.0f,
                                .hi = 1.0f};
    for (int i = 0; i < CALLS; i++) gemm(&args);
}

static void multiply_s8(const tody_kernels *k, operands *o) {
    const uint32_t cols = k->gemm_s8_panels * TODY_PANEL_F32;
    const tody_gemm_s8 args = {.rows = k->gemm_s8_rows,
                               .cols = cols,
                               .taps = 1,
                               .depth = DEPTH,
                               .a = (const int8_t *const *)o->rows,
                               .packed = (int8_t *)o->a,
                               .packed_stride = sizeof o->a / TODY_MAX_ROWS,
                               .width = k->gemm_s8_rows,
                               .lines = 1,
                               .line_stride = DEPTH,
                               .w = (const int8_t *)o->w,
                               .w_stride = TODY_PANEL_F32 * DEPTH,
                               .scale = o->scale,
                               .scale_stride = TODY_PANEL_F32,
                               .c = (int8_t *)o->c,
                               .c_stride = cols,
                               .layer = {.finish = {-128.0f, 127.0f, 0}}};
    for (int i = 0; i < CALLS; i++) k->gemm_s8(&args);
}

double tody_peak(const tody_kernels *kernels, tody_dtype dtype) {
    operands o = {.rows = {NULL}};
    const bool f16 = TODY_HAS_F16 && dtype == TODY_F16 && kernels->f16;
    const uint32_t rows = dtype == TODY_S8 ? kernels->gemm_s8_rows : kernels->gemm_f32_rows;
    const uint32_t panels = dtype == TODY_S8 ? kernels->gemm_s8_panels : f16 ? 1 : kernels->gemm_f32_panels;
    for (uint32_t i = 0; i < rows; i++) o.rows[i] = (const uint8_t *)o.a + i * (sizeof o.a / TODY_MAX_ROWS);
    double best = 1e30;
    for (int i = 0; i < TRIES; i++) {
        const double start = now();
        if (dtype == TODY_S8)
            multiply_s8(kernels, &o);
        else
            multiply_float(f16 ? kernels->f16->gemm : kernels->gemm_f32, rows, panels, &o);
        const double seconds = now() - start;
        if (seconds < best) best = seconds;
    }
    return (double)(CALLS * rows * panels * TODY_PANEL_F32) * (double)DEPTH / best;
}
