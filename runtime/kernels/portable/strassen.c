// strassen.c - the additions of Strassen's products.
// SPDX-License-Identifier: Apache-2.0
#include "portable.h"

enum { WIDTH = 1 };
typedef float vector;

static float all(float x) { return x; }
static float load(const float *x) { return *x; }
static void store(float *y, float x) { *y = x; }
static float add(float x, float y) { return x + y; }
static float sub(float x, float y) { return x - y; }

static float clamp(float x, float lo, float hi) {
    const float above = x < lo ? lo : x;
    return above > hi ? hi : above;
}

// behind the vectors that it is written in
#include "kernels/strassen.h"

void tody_portable_strassen_in_f32(const tody_strassen_in *args) { strassen_in(args); }
void tody_portable_strassen_out_f32(const tody_strassen_out *args) { strassen_out(args); }
