// pointwise.c - checks of the slots that go along a row: unary, binary, softmax, transpose, moments.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "core/format.h"

enum { MAX_COUNT = 600, MAX_CHANNELS = 150, ULPS = 4 };

// Lengths around the widths of vectors are as frequent as long ones.
static uint32_t random_count(dice *r) { return 1 + random_below(r, random_below(r, 2) ? 40 : MAX_COUNT); }

// Values of several magnitudes, and the numbers that functions stumble over.
static float *hard_values(dice *r, size_t count) {
    static const float special[] = {NAN,      INFINITY, -INFINITY, 0.0f,  -0.0f,   3.4e38f,
                                    -3.4e38f, 1.0f,     -1.0f,     88.7f, -103.9f, 0.5f};
    static const float scales[] = {0.001f, 1.0f, 10.0f, 1000.0f};
    const float scale = scales[random_below(r, 4)];
    float *x = memory_take(count * sizeof *x);
    for (size_t i = 0; i < count; i++) {
        x[i] = random_below(r, 16) ? scale * random_float(r) : special[random_below(r, sizeof special / sizeof *special)];
    }
    return x;
}

static bool check_unary_fn(const tody_kernels *set, uint64_t seed, uint32_t fn) {
    dice r = random_from(seed);
    const uint32_t count = random_count(&r);
    const bool in_place = random_below(&r, 2);
    const float a = random_float(&r), b = a + 0.5f + 0.25f * random_float(&r);
    describe("fn %u count %u a %g b %g %s", fn, count, (double)a, (double)b, in_place ? "in place" : "");
    memory_reset();
    const float *x = hard_values(&r, count);
    const output o = output_take(&r, 1, count, count);
    if (in_place) memcpy(o.got, x, count * sizeof *x);
    tody_kernels_portable.unary_f32(fn, a, b, x, o.want, count);
    set->unary_f32(fn, a, b, in_place ? o.got : x, o.got, count);
    return output_within_ulps(&o, ULPS);
}

static bool check_unary(const tody_kernels *set, uint64_t seed) {
    for (uint32_t fn = TODY_FN_CLAMP; fn < TODY_FN_NOT; fn++) {
        if (!check_unary_fn(set, seed, fn)) return false;
    }
    return true;
}

// Either operand may be a single value, and the result may overwrite one that is not.
static bool check_binary_fn(const tody_kernels *set, uint64_t seed, uint32_t fn2) {
    dice r = random_from(seed);
    const uint32_t count = random_count(&r), x_step = random_below(&r, 4) > 0, y_step = random_below(&r, 4) > 0;
    const uint32_t overwritten = random_below(&r, 3);  // 1: x, 2: y
    const bool open = random_below(&r, 2);
    const float lo = open ? -INFINITY : -0.5f, hi = open ? INFINITY : 0.75f;
    describe("fn2 %u count %u steps %u %u overwritten %u open %d", fn2, count, x_step, y_step, overwritten, open);
    memory_reset();
    const float *x = hard_values(&r, x_step ? count : 1), *y = hard_values(&r, y_step ? count : 1);
    const output o = output_take(&r, 1, count, count);
    tody_kernels_portable.binary_f32(fn2, x, x_step, y, y_step, o.want, count, lo, hi);
    if (overwritten == 1 && x_step) x = memcpy(o.got, x, count * sizeof *x);
    if (overwritten == 2 && y_step) y = memcpy(o.got, y, count * sizeof *y);
    set->binary_f32(fn2, x, x_step, y, y_step, o.got, count, lo, hi);
    return output_within_ulps(&o, 1);
}

static bool check_binary(const tody_kernels *set, uint64_t seed) {
    for (uint32_t fn2 = 0; fn2 <= TODY_FN2_PRELU; fn2++) {
        if (!check_binary_fn(set, seed, fn2)) return false;
    }
    return true;
}

static bool check_softmax(const tody_kernels *set, uint64_t seed) {
    static const float scales[] = {0.1f, 1.0f, 30.0f};
    static double bounds[MAX_COUNT + 1];
    dice r = random_from(seed);
    const uint32_t count = random_count(&r);
    const float scale = scales[random_below(&r, 3)];
    const bool in_place = random_below(&r, 2);
    describe("count %u scale %g %s", count, (double)scale, in_place ? "in place" : "");
    float *x = memory_floats(&r, count);
    for (uint32_t i = 0; i < count; i++) x[i] *= scale;
    const output o = output_take(&r, 1, count, count);
    if (in_place) memcpy(o.got, x, count * sizeof *x);
    tody_kernels_portable.softmax_f32(x, o.want, count);
    set->softmax_f32(in_place ? o.got : x, o.got, count);
    for (uint32_t i = 0; i < count; i++) bounds[i] = ROUNDING * (16.0 + 2.0 * sqrt(count)) * (double)o.want[i] + 2e-35;
    return output_same(&o, bounds);
}

static bool check_transpose(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const bool planes = random_below(&r, 4) == 0;  // of a picture, into pixels
    const size_t rows = planes ? 3 : 1 + random_below(&r, 50), cols = 1 + random_below(&r, 50);
    const size_t x_stride = cols + random_below(&r, 9), y_stride = planes ? 3 : rows + random_below(&r, 9);
    describe("rows %zu cols %zu strides %zu %zu", rows, cols, x_stride, y_stride);
    const float *x = memory_floats(&r, (rows - 1) * x_stride + cols);
    const output o = output_take(&r, cols, rows, y_stride);
    tody_kernels_portable.transpose_b32((const uint32_t *)(const void *)x, x_stride, (uint32_t *)(void *)o.want, y_stride, rows,
                                        cols);
    set->transpose_b32((const uint32_t *)(const void *)x, x_stride, (uint32_t *)(void *)o.got, y_stride, rows, cols);
    return output_same(&o, NULL);
}

static bool check_moments(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const uint32_t count = random_count(&r) + (random_below(&r, 4) ? 0 : 3000);
    const float mean = random_float(&r);
    describe("count %u mean %g", count, (double)mean);
    const float *x = memory_floats(&r, count);
    double magnitudes[2] = {0, 0};
    for (uint32_t i = 0; i < count; i++) {
        const double d = (double)x[i] - (double)mean;
        magnitudes[0] += fabs(d);
        magnitudes[1] += d * d;
    }
    const double factor = ROUNDING * (8.0 + 2.0 * sqrt(count)), bounds[2] = {factor * magnitudes[0], factor * magnitudes[1]};
    const output o = output_take(&r, 1, 2, 2);
    tody_kernels_portable.moments_f32(x, count, mean, o.want);
    set->moments_f32(x, count, mean, o.got);
    return output_same(&o, bounds);
}

// Columns of `rows` rows, of which `gap` values in each are not there.
static bool check_columns(const tody_kernels *set, uint64_t seed) {
    static double bounds[2 * MAX_CHANNELS];
    dice r = random_from(seed);
    const uint32_t channels = 1 + random_below(&r, MAX_CHANNELS), gap = random_below(&r, 20);
    tody_columns_f32 c = {.rows = 1 + random_below(&r, 100), .channels = channels, .stride = channels + gap};
    describe("rows %u channels %u gap %u", c.rows, channels, gap);
    c.x = memory_floats(&r, (c.rows - 1) * c.stride + channels);
    if (random_below(&r, 2)) c.mean = memory_floats(&r, channels);
    for (uint32_t k = 0; k < channels; k++) {
        bounds[k] = bounds[channels + k] = 0;
        for (size_t i = 0; i < c.rows; i++) {
            const double d = (double)c.x[i * c.stride + k] - (c.mean ? (double)c.mean[k] : 0.0);
            bounds[k] += ROUNDING * 20.0 * fabs(d);
            bounds[channels + k] += ROUNDING * 20.0 * d * d;
        }
    }
    const output o = output_take(&r, 2, channels, channels);
    c.sum = o.want;
    c.square = o.want + channels;
    tody_kernels_portable.column_moments_f32(&c);
    c.sum = o.got;
    c.square = o.got + channels;
    set->column_moments_f32(&c);
    return output_same(&o, bounds);
}

// Equal bits: each result is by itself.
static bool check_norm(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    const uint32_t channels = 1 + random_below(&r, MAX_CHANNELS), gap = random_below(&r, 20);
    tody_norm_f32 n = {.rows = 1 + random_below(&r, 8), .channels = channels, .stride = channels + gap, .lo = -INFINITY};
    n.step = random_below(&r, 2);
    n.hi = random_below(&r, 2) ? INFINITY : 0.5f;
    const bool in_place = random_below(&r, 2);
    describe("rows %u channels %u gap %u step %zu %s", n.rows, channels, gap, n.step, in_place ? "in place" : "");
    n.x = memory_floats(&r, (n.rows - 1) * n.stride + channels);
    n.mean = memory_floats(&r, n.step ? channels : 1);
    n.factor = memory_floats(&r, n.step ? channels : 1);
    if (random_below(&r, 2)) n.scale = memory_floats(&r, channels);
    if (random_below(&r, 2)) n.bias = memory_floats(&r, channels);
    const output o = output_take(&r, n.rows, channels, n.stride);
    n.y = o.want;
    if (in_place) n.x = o.want;
    tody_kernels_portable.norm_f32(&n);
    n.y = o.got;
    if (in_place) n.x = o.got;
    set->norm_f32(&n);
    return output_same(&o, NULL);
}

// The fixed shapes of the benchmark: rows of COUNT values.

#define COUNT 4096u
#define SIDE 64u

typedef struct timed {
    const tody_kernels *kernels;
    uint32_t fn;
    const float *x, *y;
    float *z;
} timed;

static timed timed_from(const tody_kernels *kernels) {
    dice r = random_from(1);
    memory_reset();
    timed t = {.kernels = kernels, .x = memory_floats(&r, COUNT), .y = memory_floats(&r, COUNT), .z = memory_floats(&r, COUNT)};
    return t;
}

static void run_unary(void *context) {
    const timed *t = context;
    t->kernels->unary_f32(t->fn, 0.5f, 6.0f, t->x, t->z, COUNT);
}

static void run_binary(void *context) {
    const timed *t = context;
    t->kernels->binary_f32(t->fn, t->x, 1, t->y, 1, t->z, COUNT, -INFINITY, INFINITY);
}

static void run_softmax(void *context) {
    const timed *t = context;
    t->kernels->softmax_f32(t->x, t->z, COUNT);
}

static void run_transpose(void *context) {
    const timed *t = context;
    const void *x = t->x;
    void *z = t->z;
    t->kernels->transpose_b32(x, SIDE, z, SIDE, SIDE, SIDE);
}

static void run_planes(void *context) {
    const timed *t = context;
    const void *x = t->x;
    void *z = t->z;
    t->kernels->transpose_b32(x, COUNT / 3, z, 3, 3, COUNT / 3);
}

static void run_moments(void *context) {
    const timed *t = context;
    t->kernels->moments_f32(t->x, COUNT, 0.1f, t->z);
}

// SIDE rows of SIDE channels.
static void run_columns(void *context) {
    const timed *t = context;
    const tody_columns_f32 c = {
        .rows = SIDE, .channels = SIDE, .x = t->x, .stride = SIDE, .mean = t->y, .sum = t->z, .square = t->z + SIDE};
    t->kernels->column_moments_f32(&c);
}

static void run_norm(void *context) {
    const timed *t = context;
    const tody_norm_f32 n = {.rows = SIDE,
                             .channels = SIDE,
                             .x = t->x,
                             .y = t->z,
                             .stride = SIDE,
                             .mean = t->y,
                             .factor = t->y + SIDE,
                             .step = 1,
                             .lo = 0.0f,
                             .hi = INFINITY};
    t->kernels->norm_f32(&n);
}

static double nanoseconds(void (*run)(void *context), timed *t) { return time_of(run, t) * 1e9 / COUNT; }

static void bench_unary(const tody_kernels *kernels) {
    static const struct {
        uint32_t fn;
        const char *name;
    } rows[] = {{TODY_FN_CLAMP, "clamp"},     {TODY_FN_HARD_SWISH, "hard_swish"},
                {TODY_FN_SIGMOID, "sigmoid"}, {TODY_FN_SILU, "silu"},
                {TODY_FN_TANH, "tanh"},       {TODY_FN_GELU, "gelu"}};
    timed t = timed_from(kernels);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        t.fn = rows[i].fn;
        printf("  %s %.3f", rows[i].name, nanoseconds(run_unary, &t));
    }
    printf(" ns/element");
}

static void bench_binary(const tody_kernels *kernels) {
    timed t = timed_from(kernels);
    t.fn = TODY_FN2_ADD;
    printf("  add %.3f", nanoseconds(run_binary, &t));
    t.fn = TODY_FN2_MUL;
    printf("  mul %.3f ns/element", nanoseconds(run_binary, &t));
}

static void bench_row(const tody_kernels *kernels, void (*run)(void *context)) {
    timed t = timed_from(kernels);
    printf("  %.3f ns/element", nanoseconds(run, &t));
}

static void bench_softmax(const tody_kernels *kernels) { bench_row(kernels, run_softmax); }
static void bench_transpose(const tody_kernels *kernels) {
    bench_row(kernels, run_transpose);
    printf(", of three planes");
    bench_row(kernels, run_planes);
}
static void bench_moments(const tody_kernels *kernels) { bench_row(kernels, run_moments); }
static void bench_columns(const tody_kernels *kernels) { bench_row(kernels, run_columns); }
static void bench_norm(const tody_kernels *kernels) { bench_row(kernels, run_norm); }

const slot pointwise_slots[] = {
    {"unary_f32", offsetof(tody_kernels, unary_f32), check_unary, bench_unary},
    {"binary_f32", offsetof(tody_kernels, binary_f32), check_binary, bench_binary},
    {"softmax_f32", offsetof(tody_kernels, softmax_f32), check_softmax, bench_softmax},
    {"transpose_b32", offsetof(tody_kernels, transpose_b32), check_transpose, bench_transpose},
    {"moments_f32", offsetof(tody_kernels, moments_f32), check_moments, bench_moments},
    {"column_moments_f32", offsetof(tody_kernels, column_moments_f32), check_columns, bench_columns},
    {"norm_f32", offsetof(tody_kernels, norm_f32), check_norm, bench_norm},
    {NULL, 0, NULL, NULL},
};
