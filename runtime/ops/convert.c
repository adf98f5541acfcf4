// convert.c - elements of any dtype from and to float32.
// SPDX-License-Identifier: Apache-2.0
#include "convert.h"

#include <string.h>

#include "core/kernels.h"
#include "quant.h"

static float float_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

// The bits of a float16 in place of those of a float32 are its value divided by 2^112, subnormal numbers included.
static float from_half(uint16_t h) {
    const uint32_t bits = (h & 0x7FFFu) << 13, sign = (h & 0x8000u) << 16;
    const float magnitude = float_of(bits) * 5.192296858534828e+33f;
    if (bits >= 0x0F800000u) return float_of(sign | 0x7F800000u | bits);
    return sign ? -magnitude : magnitude;
}

// To nearest even. The unit in the last place of 0.5 is the smallest float16, so that adding 0.5 rounds what becomes subnormal.
static uint16_t to_half(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    uint32_t a = bits & 0x7FFFFFFFu;
    if (a > 0x7F800000u) return sign | 0x7E00u;
    if (a >= 0x477FF000u) return sign | 0x7C00u;
    if (a < 0x38800000u) {
        const float rounded = float_of(a) + 0.5f;
        memcpy(&a, &rounded, sizeof a);
        return (uint16_t)(sign | (a - 0x3F000000u));
    }
    a += 0xFFFu + (a >> 13 & 1u);
    return (uint16_t)(sign | ((a - (112u << 23)) >> 13));
}

static void dequantise(const int8_t *q, int32_t zero, float scale, float *f, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) f[i] = (float)(q[i] - zero) * scale;
}

static void dequantise_s16(const int16_t *q, float scale, float *f, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) f[i] = (float)q[i] * scale;
}

void tody_load_f32(const tody_tensor *x, uint32_t at, uint32_t count, float *f) {
    const uint8_t *bytes = (const uint8_t *)x->data + at * tody_dtype_bytes(x->dtype);
    const void *data = bytes;
    if (x->dtype == TODY_S8) {
        dequantise(data, x->zero_point, x->scale_count ? x->scales[0] : 1.0f, f, count);
        return;
    }
    if (tody_is_s16(x->dtype)) {
        dequantise_s16(data, x->scale_count ? x->scales[0] : 1.0f, f, count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        switch (x->dtype) {
            case TODY_F32: f[i] = ((const float *)data)[i]; break;
            case TODY_S8:
            case TODY_S16:  // above
            case TODY_BF16: break;
            case TODY_U8: f[i] = (float)bytes[i]; break;
            case TODY_S32: f[i] = (float)((const int32_t *)data)[i]; break;
            case TODY_BOOL: f[i] = bytes[i] ? 1.0f : 0.0f; break;
            case TODY_S64: f[i] = (float)((const int64_t *)data)[i]; break;
            case TODY_F16: f[i] = from_half(((const uint16_t *)data)[i]); break;
        }
    }
}

// Towards zero, held to [lo, hi]; NaN gives 0. lo and hi + 1 are powers of two, and so exact as float32.
static int64_t hold(float f, int64_t lo, int64_t hi) {
    if (f != f) return 0;
    if (f <= (float)lo) return lo;
    return f >= (float)hi ? hi : (int64_t)f;
}

// NaN is taken as 0.
static void quantise(const tody_tensor *y, const float *f, int8_t *q, uint32_t count) {
    const float scale = y->scales[0];
    const tody_finish_s8 finish = tody_finish_of(NULL, y);
    for (uint32_t i = 0; i < count; i++) {
        const float p = f[i] / scale;
        q[i] = tody_finish(p == p ? p : 0.0f, &finish);
    }
}

static void quantise_s16(const tody_tensor *y, const float *f, int16_t *q, uint32_t count) {
    const float scale = y->scales[0];
    const tody_finish_s8 finish = tody_finish_of(NULL, y);
    for (uint32_t i = 0; i < count; i++) {
        const float p = f[i] / scale;
        q[i] = (int16_t)tody_finish_s32(p == p ? p : 0.0f, &finish);
    }
}

void tody_store_f32(const tody_tensor *y, uint32_t at, uint32_t count, const float *f) {
    uint8_t *bytes = (uint8_t *)y->data + at * tody_dtype_bytes(y->dtype);
    void *data = bytes;
    if (y->scale_count) {
        if (tody_is_s16(y->dtype))
            quantise_s16(y, f, data, count);
        else
            quantise(y, f, data, count);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        switch (y->dtype) {
            case TODY_F32: ((float *)data)[i] = f[i]; break;
            case TODY_S8: ((int8_t *)data)[i] = (int8_t)hold(f[i], INT8_MIN, INT8_MAX); break;
            case TODY_S16: ((int16_t *)data)[i] = (int16_t)hold(f[i], INT16_MIN, INT16_MAX); break;
            case TODY_U8: bytes[i] = (uint8_t)hold(f[i], 0, UINT8_MAX); break;
            case TODY_S32: ((int32_t *)data)[i] = (int32_t)hold(f[i], INT32_MIN, INT32_MAX); break;
            case TODY_BOOL: bytes[i] = f[i] != 0.0f; break;
            case TODY_S64: ((int64_t *)data)[i] = hold(f[i], INT64_MIN, INT64_MAX); break;
            case TODY_F16: ((uint16_t *)data)[i] = to_half(f[i]); break;
            case TODY_BF16: break;
        }
    }
}
