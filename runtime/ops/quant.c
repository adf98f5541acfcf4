// quant.c - what int8 operators share.
// SPDX-License-Identifier: Apache-2.0
#include "quant.h"

static bool is_multiplier(float m) { return m >= 0x1p-126f && m < 0x1p64f; }

tody_status tody_check_multipliers(const tody_call *call, uint32_t i, uint32_t pack, uint32_t rank, const uint32_t *shape) {
    if (!tody_has_in(call, i)) return TODY_ERR_OP_RECORD;
    const tody_tensor t = tody_in(call, i);
    if (t.dtype != TODY_F32 || t.pack != pack || !tody_is_constant(call, i)) return TODY_ERR_DTYPE;
    if (!tody_has_shape(&t, rank, shape)) return TODY_ERR_SHAPE;
    const uint32_t length = shape[rank - 1], stored = pack ? tody_div_up(length, TODY_PANEL) * TODY_PANEL : length;
    const float *row = t.data;
    for (uint32_t at = 0; at < t.count; at += length, row += stored) {
        for (uint32_t n = 0; n < length; n++) {
            if (!is_multiplier(row[n])) return TODY_ERR_PARAM;
        }
    }
    return TODY_OK;
}

tody_status tody_check_last_multipliers(const tody_call *call, uint32_t i, uint32_t count) {
    if (call->in_count != i + 1) return TODY_ERR_OP_RECORD;
    return tody_check_multipliers(call, i, TODY_PLAIN, 1, &count);
}

static bool is_int8(float f) { return f >= -128.0f && f <= 127.0f && f == (float)(int32_t)f; }

bool tody_limits_ok(const tody_activation *f) {
    if (f->fn == TODY_FN_NONE) return true;
    return f->fn == TODY_FN_CLAMP && is_int8(f->a) && is_int8(f->b) && f->a <= f->b;
}

tody_finish_s8 tody_finish_of(const tody_activation *f, const tody_tensor *y) {
    const bool clamps = f && f->fn == TODY_FN_CLAMP;
    const float zero = (float)y->zero_point;
    return (tody_finish_s8){(clamps ? f->a : -128.0f) - zero, (clamps ? f->b : 127.0f) - zero, y->zero_point};
}
