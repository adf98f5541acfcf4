// winograd.c - checks of the slots of Winograd's way in float32.
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "floats.h"

enum { MAX_RESULTS = TODY_MAX_WINOGRAD_EDGE * TODY_MAX_WINOGRAD_EDGE * 100 };

static double bounds[MAX_RESULTS];  // of the results of one case

// A transform takes a few sums of a few terms each, whose coefficients are below 5, and coefficients that themselves are
// rounded.
static double bound(double magnitudes) { return 100 * bound_of(magnitudes, 36); }

// The tiles that 4 points make, or 6: 2 to 3, or 2 to 5.
static uint32_t random_edge(dice *r) { return random_below(r, 3) ? 6 : 4; }
static uint32_t random_tile(dice *r, uint32_t edge) { return 2 + random_below(r, edge - 2); }

// Where lines or columns share a place, what the last of them has stands there.
static bool check_weights(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    tody_winograd_weights w = {.edge = random_edge(&r), .depth = 1 + random_below(&r, 6)};
    w.taps = w.edge + 1 - random_tile(&r, w.edge);
    const uint32_t length = w.depth * 16, lines = random_below(&r, 4) ? w.edge : 1, columns = random_below(&r, 4) ? w.edge : 1;
    const size_t stride = length + random_below(&r, 20);
    w.u_right = columns > 1 ? stride : 0;
    w.u_down = lines > 1 ? columns * stride : 0;
    describe("edge %u taps %u depth %u lines %u columns %u stride %zu", w.edge, w.taps, w.depth, lines, columns, stride);
    w.w = pointers_take(&r, w.taps * w.taps, length);
    const uint32_t positions = lines * columns;
    const output o = output_take(&r, positions, length, stride);
    for (size_t i = 0; i < positions * length; i++) bounds[i] = bound(1);
    w.u = o.want;
    tody_kernels_portable.winograd_weights_f32(&w);
    w.u = o.got;
    set->winograd_weights_f32(&w);
    return output_same(&o, bounds);
}

// A row among packed ones as a row of its own.
static void unpack_image(const tody_winograd_in *in, const float *packed, size_t stride, float *v) {
    for (size_t p = 0; p < (size_t)in->edge * in->edge; p++) {
        for (size_t k = 0; k < in->channels; k++) v[p * in->v_stride + k] = packed[p * stride + k / 4 * 4 * in->v_step + k % 4];
    }
}

static bool check_in(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    tody_winograd_in in = {.edge = random_edge(&r), .channels = 1 + random_below(&r, 70)};
    const uint32_t edge = in.edge;
    in.v_stride = in.channels + random_below(&r, 20);
    in.v_step = 1;
    const size_t step = set->pack_f32 ? 1 + random_below(&r, set->gemm_f32_rows) : 1;
    describe("edge %u channels %u stride %zu step %zu", edge, in.channels, in.v_stride, step);
    in.a = pointers_take(&r, edge * edge, in.channels);
    const output o = output_take(&r, edge * edge, in.channels, in.v_stride);
    for (size_t i = 0; i < edge * edge * in.channels; i++) bounds[i] = bound(1);
    in.v = o.want;
    tody_kernels_portable.winograd_in_f32(&in);
    in.v = o.got;
    if (step > 1) {
        tody_winograd_in packed = in;
        packed.v_step = in.v_step = step;
        packed.v_stride = (in.channels + 3) / 4 * 4 * step;
        packed.v = memory_floats(&r, edge * edge * packed.v_stride);
        set->winograd_in_f32(&packed);
        unpack_image(&in, packed.v, packed.v_stride, o.got);
    } else {
        set->winograd_in_f32(&in);
    }
    return output_same(&o, bounds);
}

// What no wanted line or column is made from.
static void poison(const tody_winograd_out *out, float *m) {
    const bool needed[2][2] = {{out->top + out->rows == out->tile, out->top == 0},
                               {out->left + out->cols == out->tile, out->left == 0}};
    for (uint32_t y = 0; y < out->edge; y++) {
        for (uint32_t x = 0; x < out->edge; x++) {
            if ((y > 1 || needed[0][y]) && (x > 1 || needed[1][x])) continue;
            for (uint32_t k = 0; k < out->channels; k++) m[(y * out->edge + x) * out->m_stride + k] = NAN;
        }
    }
}

// The guards of the output stand between pixels, not between lines: a line is as long as its pixels.
static bool check_out(const tody_kernels *set, uint64_t seed) {
    dice r = random_from(seed);
    tody_winograd_out out = {.edge = random_edge(&r), .channels = 1 + random_below(&r, 32)};
    out.tile = random_tile(&r, out.edge);
    const uint32_t edge = out.edge, addend = random_below(&r, 3), whole = (out.channels + 15) / 16 * 16;
    out.top = random_below(&r, 2);
    out.left = random_below(&r, 2);
    out.rows = 1 + random_below(&r, out.tile - out.top);
    out.cols = 1 + random_below(&r, out.tile - out.left);
    out.c_stride = out.channels + random_below(&r, 20);
    out.c_line = out.c_stride * out.cols;
    describe("edge %u tile %u top %u left %u rows %u cols %u channels %u addend %u", edge, out.tile, out.top, out.left,
             out.rows, out.cols, out.channels, addend);
    pick_clamp(&r, &out.lo, &out.hi);
    out.m_stride = whole + random_below(&r, 20);
    float *m = memory_floats(&r, (edge * edge - 1) * out.m_stride + whole);
    poison(&out, m);
    out.m = m;
    if (random_below(&r, 2)) out.bias = memory_floats(&r, whole);
    const size_t pixels = (size_t)out.rows * out.cols;
    const output o = output_take(&r, pixels, out.channels, out.c_stride);
    if (addend == 1) out.addend = memory_floats(&r, (pixels - 1) * out.c_stride + out.channels);
    if (addend == 2) out.addend = o.want;
    for (size_t i = 0; i < pixels * out.channels; i++) bounds[i] = bound(1);
    out.c = o.want;
    tody_kernels_portable.winograd_out_f32(&out);
    if (addend == 2) out.addend = o.got;
    out.c = o.got;
    set->winograd_out_f32(&out);
    return output_same(&o, bounds);
}

// The fixed shapes of the benchmark.

typedef struct timed {
    const tody_kernels *kernels;
    tody_winograd_weights weights;
    tody_winograd_in in;
    tody_winograd_out out;
} timed;

static void run_weights(void *context) {
    const timed *t = context;
    t->kernels->winograd_weights_f32(&t->weights);
}

static void bench_weights(const tody_kernels *kernels) {
    for (uint32_t edge = 4; edge <= 6; edge += 2) {
        for (uint32_t taps = 2; taps < edge; taps++) {
            dice r = random_from(taps);
            timed t = {.kernels = kernels, .weights = {.edge = edge, .taps = taps, .depth = 64}};
            memory_reset();
            t.weights.w = pointers_take(&r, taps * taps, 64 * 16);
            t.weights.u_right = 65 * 16;
            t.weights.u_down = edge * t.weights.u_right;
            t.weights.u = memory_floats(&r, 36 * t.weights.u_right);
            printf("  %u of %u 64 x 16 filters %.0f ns", taps, edge, time_of(run_weights, &t) * 1e9);
        }
    }
}

static void run_in(void *context) {
    const timed *t = context;
    t->kernels->winograd_in_f32(&t->in);
}

static void run_out(void *context) {
    const timed *t = context;
    t->kernels->winograd_out_f32(&t->out);
}

static void bench_in(const tody_kernels *kernels) {
    for (uint32_t edge = 4; edge <= 6; edge += 2) {
        dice r = random_from(edge);
        timed t = {.kernels = kernels, .in = {.edge = edge, .channels = 64, .v_stride = 64 * 16 + 16, .v_step = 1}};
        memory_reset();
        t.in.a = pointers_take(&r, 36, 64);
        t.in.v = memory_floats(&r, 36 * t.in.v_stride);
        printf("  edge %u 64 channels %.0f ns", edge, time_of(run_in, &t) * 1e9);
    }
}

static void bench_out(const tody_kernels *kernels) {
    for (uint32_t edge = 4; edge <= 6; edge += 2) {
        for (uint32_t tile = 2; tile < edge; tile++) {
            dice r = random_from(tile);
            const tody_winograd_out out = {.edge = edge, .tile = tile, .rows = tile, .cols = tile, .channels = 32};
            timed t = {.kernels = kernels, .out = out};
            memory_reset();
            t.out.m_stride = 32 * 16 + 16;
            t.out.m = memory_floats(&r, 36 * t.out.m_stride);
            t.out.c_stride = 32;
            t.out.c_line = 32 * tile;
            t.out.c = memory_floats(&r, tile * tile * 32);
            t.out.lo = -INFINITY;
            t.out.hi = INFINITY;
            printf("  tile %u of %u 32 channels %.0f ns", tile, edge, time_of(run_out, &t) * 1e9);
        }
    }
}

const slot winograd_slots[] = {
    {"winograd_weights", offsetof(tody_kernels, winograd_weights_f32), check_weights, bench_weights},
    {"winograd_in", offsetof(tody_kernels, winograd_in_f32), check_in, bench_in},
    {"winograd_out", offsetof(tody_kernels, winograd_out_f32), check_out, bench_out},
    {NULL, 0, NULL, NULL},
};
