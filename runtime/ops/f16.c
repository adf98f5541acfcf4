// f16.c - weights in float16: panel by panel, each column scaled so that sums stay finite (TODY_F16_LARGEST).
// SPDX-License-Identifier: Apache-2.0
#include "f16.h"

enum { STEPS = 32 };  // that are scaled together

typedef struct preparation {
    const tody_kernels *kernels;
    const float *w;
    uint8_t *to;
    size_t steps;  // of a panel
} preparation;

static float float_of_exponent(uint32_t biased) {
    const uint32_t bits = biased << 23;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

void tody_f16_find_largest(const float *x, float *largest, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const float magnitude = __builtin_fabsf(x[i]);
        largest[i] = magnitude > largest[i] ? magnitude : largest[i];
    }
}

void tody_f16_factors(float *largest, float *scale) {
    const uint32_t shift = 122;  // the exponent of TODY_F16_LARGEST, 2^-4, less one, with its bias
    for (uint32_t j = 0; j < TODY_PANEL; j++) {
        uint32_t bits;
        memcpy(&bits, &largest[j], sizeof bits);
        const uint32_t exponent = tody_min_u32(bits >> 23, 248);  // infinities and NaN stay what they are
        largest[j] = float_of_exponent(127 + shift - exponent);
        scale[j] = float_of_exponent(127 - shift + exponent);
    }
}

static size_t panels_of(const tody_tensor *w) { return w->shape[0] * tody_panels_length(w->shape[1]) / TODY_PANEL; }

static size_t steps_of(const tody_tensor *w) { return (size_t)w->shape[2] * w->shape[3]; }

size_t tody_f16_prepared(const tody_tensor *w) {
    return tody_scratch_bytes((uint64_t)panels_of(w) * tody_f16_panel_bytes(steps_of(w)));
}

static void prepare_panel(void *context, uint32_t panel, uint32_t thread) {
    (void)thread;
    const preparation *p = context;
    const float *w = p->w + panel * p->steps * TODY_PANEL;
    float *scale = (float *)(void *)(p->to + panel * tody_f16_panel_bytes(p->steps));
    uint16_t *to = (uint16_t *)(void *)(scale + TODY_PANEL);
    float factor[TODY_PANEL] = {0}, scaled[STEPS * TODY_PANEL];
    for (size_t step = 0; step < p->steps; step++) tody_f16_find_largest(w + step * TODY_PANEL, factor, TODY_PANEL);
    tody_f16_factors(factor, scale);
    for (size_t step = 0; step < p->steps; step += STEPS) {
        const size_t from = step * TODY_PANEL, some = p->steps - step < STEPS ? p->steps - step : STEPS;
        for (size_t i = 0; i < some; i++) {
            const float *x = w + from + i * TODY_PANEL;
            for (size_t j = 0; j < TODY_PANEL; j++) scaled[i * TODY_PANEL + j] = x[j] * factor[j];
        }
        p->kernels->f16->round(scaled, to + from, some * TODY_PANEL);
    }
}

void tody_f16_prepare(const tody_call *call, const tody_tensor *w) {
    preparation p = {call->kernels, w->data, call->prepared, steps_of(w)};
    tody_for(call, (uint32_t)panels_of(w), prepare_panel, &p);
}

void tody_f16_use(const tody_call *call, tody_gemm *gemm) {
    gemm->f16 = true;
    gemm->w = call->prepared + TODY_PANEL * sizeof(float);
    gemm->w_stride_bytes = tody_f16_panel_bytes((size_t)gemm->taps * gemm->depth);
}
