// strassen.c - checks of the additions of Strassen's products: all sets give the same bits.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check.h"

enum { UNIT = 16, MOST = 20, QUARTERS = 4 };

// The second row may be the first one.
static bool check_in(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    tody_strassen_in in = {.count = (size_t)UNIT * (1 + random_below(&r, MOST))};
    in.s_stride = in.count + random_below(&r, 20);
    in.a = memory_floats(&r, 2 * in.count);
    in.b = random_below(&r, 4) ? memory_floats(&r, 2 * in.count) : in.a;
    describe("count %zu stride %zu same %d", in.count, in.s_stride, in.a == in.b);
    const output o = output_take(&r, QUARTERS, in.count, in.s_stride);
    in.s = o.want;
    tody_kernels_portable.strassen_in_f32(&in);
    in.s = o.got;
    set->strassen_in_f32(&in);
    return output_same(&o, NULL);
}

// Five rows of a block: x, y, z, w and c, of which z only is read.
static void run_out(const tody_kernels *set, tody_strassen_out out, float *rows, size_t stride, bool below) {
    out.x = rows;
    out.y = rows + stride;
    out.z = rows + 2 * stride;
    out.w = rows + 3 * stride;
    out.c = below ? rows + 4 * stride : NULL;
    set->strassen_out_f32(&out);
}

// Without a row below, with and without addends, of which the one below on the right may be the result.
static bool check_out(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    tody_strassen_out out = {.count = (size_t)UNIT * (1 + random_below(&r, MOST)), .lo = -INFINITY, .hi = INFINITY};
    const bool below = random_below(&r, 4), addend = random_below(&r, 2);
    out.right = out.count + random_below(&r, 20);
    if (random_below(&r, 2)) out.lo = -0.5f, out.hi = 0.75f;
    if (addend) out.addend = memory_floats(&r, out.right + out.count);
    if (addend && below) out.below = memory_floats(&r, out.right + out.count);
    describe("count %zu below %d addend %d lo %g", out.count, below, addend, (double)out.lo);
    const size_t stride = out.count + random_below(&r, 20);
    const output o = output_take(&r, 5, out.count, stride);
    for (size_t row = 0; row < 5; row++) {
        random_fill(&r, o.want + row * stride, out.count);
        memcpy(o.got + row * stride, o.want + row * stride, out.count * sizeof *o.got);
    }
    run_out(&tody_kernels_portable, out, o.want, stride, below);
    run_out(set, out, o.got, stride, below);
    return output_same(&o, NULL);
}

typedef struct timed {
    const tody_kernels *kernels;
    tody_strassen_in in;
    tody_strassen_out out;
} timed;

static void run_in(void *context) {
    const timed *t = context;
    t->kernels->strassen_in_f32(&t->in);
}

static void run_timed_out(void *context) {
    const timed *t = context;
    t->kernels->strassen_out_f32(&t->out);
}

static void bench_in(const tody_kernels *kernels) {
    dice r = random_from(1);
    timed t = {.kernels = kernels, .in = {.count = 256, .s_stride = 256 + UNIT}};
    t.in.a = memory_floats(&r, 512);
    t.in.b = memory_floats(&r, 512);
    t.in.s = memory_floats(&r, QUARTERS * t.in.s_stride);
    printf("  256 of each quarter %.0f ns", time_of(run_in, &t) * 1e9);
}

static void bench_out(const tody_kernels *kernels) {
    dice r = random_from(1);
    timed t = {.kernels = kernels, .out = {.count = 256, .lo = 0, .hi = 6}};
    t.out.x = memory_floats(&r, 256);
    t.out.y = memory_floats(&r, 256);
    t.out.z = memory_floats(&r, 256);
    t.out.w = memory_floats(&r, 256);
    t.out.c = memory_floats(&r, 256);
    printf("  256 of each quarter %.0f ns", time_of(run_timed_out, &t) * 1e9);
}

const slot strassen_slots[] = {
    {"strassen_in", offsetof(tody_kernels, strassen_in_f32), check_in, bench_in},
    {"strassen_out", offsetof(tody_kernels, strassen_out_f32), check_out, bench_out},
    {NULL, 0, NULL, NULL},
};
