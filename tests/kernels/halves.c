// halves.c - checks of float16 products: every bit equal to a definition that rounds each step by itself, in double.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"

enum { MAX_STEPS = 700, BENCH_DEPTH = 256, SLACK = 4 };

// The nearest float16, to even where two are.
static double rounded(double x) {
    if (x == 0.0 || isnan(x) || isinf(x)) return x;
    const int exponent = ilogb(x) < -14 ? -14 : ilogb(x);
    const double unit = ldexp(1.0, exponent - 10), r = nearbyint(x / unit) * unit;
    return fabs(r) > 65504.0 ? copysign(INFINITY, x) : r;
}

static double value_of(uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double sign = bits >> 15 ? -1.0 : 1.0;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24));
}

static uint16_t *halves_take(size_t count) { return memory_take((count * sizeof(uint16_t) + 3) / 4 * 4); }

// Numbers of all magnitudes that float16 has, and a bit more.
static float random_wide(dice *r, uint32_t spread) {
    return ldexpf(random_float(r), (int)random_below(r, 2 * spread + 1) - (int)spread);
}

static bool check_round(const tody_kernels *set, dice *r) {
    const size_t count = 8 + random_below(r, 30) * 8;
    float *x = memory_floats(r, count);
    uint16_t *y = halves_take(count);
    describe("round %zu", count);
    for (size_t i = 0; i < count; i++) x[i] = random_wide(r, 26);
    x[random_below(r, 8)] = INFINITY;
    x[random_below(r, 8)] = random_below(r, 2) ? 65519.9f : 65520.0f;
    set->f16->round(x, y, count);
    for (size_t i = 0; i < count; i++) {
        if (value_of(y[i]) != rounded((double)x[i]))
            return wrong("element %zu: %.9g becomes %.9g", i, (double)x[i], value_of(y[i]));
    }
    set->f16->round(x, (uint16_t *)(void *)x, count);
    return memcmp(x, y, count * sizeof *y) ? wrong("in place it gives something else") : true;
}

// Column j of row i, by the words of kernels.h.
static float product(const tody_gemm_f32 *g, uint32_t i, uint32_t j) {
    const uint32_t sums = g->rows == 1 ? 4 : 1, most = TODY_F16_FOURS * sums;
    double sum[4] = {0};
    float total = g->bias ? g->bias[j] : 0.0f;
    uint32_t fours = 0;
    for (uint32_t t = 0; t < g->taps; t++) {
        for (uint32_t k = 0; k < g->depth; k++) {
            const double a = rounded((double)g->a[t * g->rows + i][k]);
            double *s = &sum[k % sums];
            *s = rounded(*s + a * value_of(g->w_f16[((size_t)t * g->depth + k) * 16 + j]));
            fours += k % 4 == 3 || k + 1 == g->depth;
            const bool last = t + 1 == g->taps && k + 1 == g->depth;
            if (!last && (fours < most || (k % 4 != 3 && k + 1 < g->depth))) continue;
            for (uint32_t p = 0; p < sums; p++) total = fmaf((float)sum[p], g->scale[j], total);
            memset(sum, 0, sizeof sum);
            fours = 0;
        }
    }
    if (g->addend) total += g->addend[i * g->addend_stride + j];
    return fminf(fmaxf(total, g->lo), g->hi);
}

static const float **rows_take(dice *r, size_t count, size_t length) {
    float *values = memory_floats(r, length * 2);
    const float **a = memory_take((count * sizeof *a + 7) / 8 * 8);
    for (size_t i = 0; i < length * 2; i++) values[i] = random_wide(r, 8);
    for (size_t i = 0; i < count; i++) a[i] = values + random_below(r, (uint32_t)length + 1);
    a[count - 1] = values + length;
    return a;
}

static void weights_take(dice *r, tody_gemm_f32 *g) {
    const size_t count = (size_t)g->taps * g->depth * 16;
    uint16_t *w = halves_take(count);
    for (size_t i = 0; i < count; i++) w[i] = (uint16_t)(random_below(r, 0x2C01) | random_below(r, 2) << 15);  // up to 2^-4
    float *scale = memory_take(16 * sizeof *scale);
    for (size_t j = 0; j < 16; j++) scale[j] = ldexpf(1.0f, (int)random_below(r, 12) - 6);
    g->w_f16 = w;
    g->scale = scale;
}

static void pack_rows(const tody_kernels *set, tody_gemm_f32 *g) {
    if (g->rows == 1) return;
    uint16_t *packed = halves_take((size_t)g->taps * g->rows * ((g->depth + 3) / 4 * 4) + SLACK);
    const tody_pack_f32 pack = {g->rows, g->taps, g->depth, g->a, {.packed_f16 = packed}};
    set->f16->pack(&pack);
    g->packed_f16 = packed;
}

// The addend is absent, elsewhere, or what the result overwrites.
static bool check_gemm(const tody_kernels *set, uint32_t most_rows, dice *r) {
    tody_gemm_f32 g = {.rows = 1 + random_below(r, most_rows), .cols = 16, .taps = 1, .lo = -INFINITY, .hi = INFINITY};
    if (random_below(r, 2)) g.taps = 1 + random_below(r, 10);
    if (random_below(r, 2)) g.cols = 1 + random_below(r, 16);
    g.depth = 1 + random_below(r, MAX_STEPS / g.taps);
    const uint32_t addend = random_below(r, 3), gap = random_below(r, 20);
    describe("gemm rows %u cols %u taps %u depth %u addend %u gap %u", g.rows, g.cols, g.taps, g.depth, addend, gap);
    if (random_below(r, 2)) g.lo = -1.0f, g.hi = 6.0f;
    g.a = rows_take(r, (size_t)g.taps * g.rows, g.depth);
    weights_take(r, &g);
    if (random_below(r, 2)) g.bias = memory_floats(r, 16);
    g.addend_stride = g.c_stride = g.cols + gap;
    const output o = output_take(r, g.rows, g.cols, g.c_stride);
    if (addend == 1) g.addend = memory_floats(r, (g.rows - 1) * g.addend_stride + g.cols);
    if (addend == 2) g.addend = o.want;
    for (uint32_t i = 0; i < g.rows; i++) {
        for (uint32_t j = 0; j < g.cols; j++) o.want[i * g.c_stride + j] = product(&g, i, j);
    }
    if (addend == 2) g.addend = o.got;
    g.c = o.got;
    pack_rows(set, &g);
    set->f16->gemm(&g);
    return output_same(&o, NULL);
}

static uint32_t rows_beside(const tody_kernels *set) {
    const tody_kernels whole = tody_kernels_pick(set->needs, set->name);
    return whole.gemm_f32_rows;
}

static bool check_f16(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    return check_round(set, &r) && check_gemm(set, rows_beside(set), &r);
}

typedef struct timed {
    const tody_kernels *set;
    tody_gemm_f32 gemm;
} timed;

static void run_gemm(void *context) {
    const timed *t = context;
    t->set->f16->gemm(&t->gemm);
}

static void bench_f16(const tody_kernels *set) {
    dice r = random_from(1);
    timed t = {set, {.rows = rows_beside(set), .cols = 16, .taps = 1, .depth = BENCH_DEPTH, .c_stride = 16}};
    t.gemm.a = rows_take(&r, t.gemm.rows, BENCH_DEPTH);
    weights_take(&r, &t.gemm);
    pack_rows(set, &t.gemm);
    t.gemm.c = memory_floats(&r, 16 * t.gemm.rows);
    t.gemm.lo = -INFINITY;
    t.gemm.hi = INFINITY;
    const double products = 16.0 * t.gemm.rows * BENCH_DEPTH;
    printf("  %ux16x%u %.1f GMAC/s", t.gemm.rows, t.gemm.depth, products / time_of(run_gemm, &t) * 1e-9);
}

const slot half_slots[] = {
    {"f16", offsetof(tody_kernels, f16), check_f16, bench_f16},
    {NULL, 0, NULL, NULL},
};
