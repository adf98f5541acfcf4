// golden.c - golden inputs and outputs of a file (docs/format.md, key `golden`).
// SPDX-License-Identifier: Apache-2.0
#include "golden.h"

#include <string.h>

// Sebastiano Vigna, "splitmix64.c", public domain, 2015.
static uint64_t splitmix64(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

// The largest integer that is not above x; x is held inside of int32 first.
static int32_t floor_s32(float x) {
    if (!(x > -2147483648.0f)) return INT32_MIN;
    if (x >= 2147483648.0f) return INT32_MAX;
    const int32_t whole = (int32_t)x;
    return whole - ((float)whole > x);
}

static void store(const tody_tensor *t, uint32_t i, float value) {
    const int32_t whole = floor_s32(value);
    switch (t->dtype) {
        case TODY_F32: ((float *)t->data)[i] = value; break;
        case TODY_S32: ((int32_t *)t->data)[i] = whole; break;
        case TODY_S64: ((int64_t *)t->data)[i] = whole; break;
        case TODY_BOOL: ((uint8_t *)t->data)[i] = whole != 0; break;
        default: ((uint8_t *)t->data)[i] = (uint8_t)whole; break;
    }
}

bool tody_golden_fill(const tody_tensor *t, const tody_generator *g) {
    if (t->dtype == TODY_F16) return false;
    uint64_t state = g->seed;
    const float range = g->high - g->low;
    for (uint32_t i = 0; i < t->count; i++) {
        const float u = (float)(uint32_t)(splitmix64(&state) >> 40) * (1.0f / 16777216.0f);
        const float scaled = u * range;
        store(t, i, g->low + scaled);
    }
    return true;
}

// An element as a real number, of the dtypes that are compared by distance.
static float real(tody_dtype dtype, const uint8_t *at) {
    float value;
    if (dtype == TODY_S8) return (float)(int8_t)*at;
    if (dtype == TODY_U8) return (float)*at;
    memcpy(&value, at, sizeof value);
    return value;
}

static bool is_finite(float x) { return x - x == 0.0f; }
static float larger(float a, float b) { return a > b ? a : b; }
static float absolute(float x) { return x < 0.0f ? -x : x; }

tody_difference tody_golden_compare(const tody_tensor *t, const uint8_t *stored, uint32_t count, uint32_t stride) {
    tody_difference d = {0};
    const size_t size = tody_dtype_bytes(t->dtype);
    const bool by_distance = t->dtype == TODY_F32 || t->dtype == TODY_S8 || t->dtype == TODY_U8;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *got = (const uint8_t *)t->data + (size_t)i * stride * size, *want = stored + (size_t)i * size;
        const bool same = !memcmp(got, want, size);
        if (!by_distance) {
            d.unequal += !same;
            continue;
        }
        const float a = real(t->dtype, got), b = real(t->dtype, want);
        d.unequal += !same;
        if (is_finite(b)) d.peak = larger(d.peak, absolute(b));
        if (is_finite(a) && is_finite(b)) {
            d.largest = larger(d.largest, absolute(a - b));
        } else if (!same) {
            d.largest = 3.402823466e38f;  // infinity or NaN in one of them only
        }
    }
    return d;
}
