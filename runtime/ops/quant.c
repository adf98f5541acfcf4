// quant.c - what operators of quantised integers share.
// SPDX-License-Identifier: Apache-2.0
#include "quant.h"

// Of float32, or of the upper half of one: positive numbers rise with their bits.
static bool is_multiplier(uint32_t bits) { return bits >= 0x00800000 && bits < 0x5F800000; }

static bool is_slope(uint32_t bits) { return bits << 1 == 0 || (bits << 1 >= 0x01000000 && bits << 1 < 0x9E000000); }

tody_status tody_check_multipliers(const tody_call *call, uint32_t i, tody_dtype dtype, uint32_t pack, uint32_t rank,
                                   const uint32_t *shape, uint32_t count) {
    if (!tody_has_in(call, i)) return TODY_ERR_OP_RECORD;
    const tody_tensor t = tody_in(call, i);
    if (t.dtype != dtype || t.pack != pack || !tody_is_constant(call, i)) return TODY_ERR_DTYPE;
    if (!tody_has_shape(&t, rank, shape)) return TODY_ERR_SHAPE;
    const uint32_t length = shape[rank - 1], stored = pack ? tody_div_up(length, TODY_PANEL) * TODY_PANEL : length;
    const uint32_t *wide = t.data;
    const uint16_t *upper = t.data;
    for (uint32_t at = 0, row = 0; at < t.count; at += length, row += stored) {
        for (uint32_t n = row; n < row + length; n++) {
            const uint32_t bits = dtype == TODY_BF16 ? (uint32_t)upper[n] << 16 : wide[n];
            if (!(at + n - row < count ? is_multiplier(bits) : is_slope(bits))) return TODY_ERR_PARAM;
        }
    }
    return TODY_OK;
}

tody_status tody_check_last_multipliers(const tody_call *call, uint32_t i, uint32_t count) {
    if (call->in_count != i + 1) return TODY_ERR_OP_RECORD;
    return tody_check_multipliers(call, i, TODY_F32, TODY_PLAIN, 1, &count, count);
}

// One more than the largest integer; the least is the negative of it.
static float reach(tody_dtype dtype) { return dtype == TODY_S16 ? 32768.0f : 128.0f; }

static bool is_within(float f, float reach) { return f >= -reach && f < reach && f == (float)(int32_t)f; }

tody_status tody_check_addend_multipliers(const tody_call *call, uint32_t i, tody_dtype dtype) {
    const tody_status status = tody_check_last_multipliers(call, i, 1);
    if (status != TODY_ERR_SHAPE || dtype != TODY_S8) return status;
    const tody_status rounded = tody_check_last_multipliers(call, i, TODY_ROUNDED_ADDEND);
    if (rounded) return rounded;
    return is_within(((const float *)tody_in(call, i).data)[2], 257.0f) ? TODY_OK : TODY_ERR_PARAM;
}

bool tody_limits_ok(const tody_activation *f, tody_dtype dtype) {
    if (f->fn == TODY_FN_NONE) return true;
    const float most = reach(dtype);
    return f->fn == TODY_FN_CLAMP && is_within(f->a, most) && is_within(f->b, most) && f->a <= f->b;
}

tody_finish_s8 tody_finish_of(const tody_activation *f, const tody_tensor *y) {
    const bool clamps = f && f->fn == TODY_FN_CLAMP;
    const float zero = (float)y->zero_point;
    const float most = reach(y->dtype);
    return (tody_finish_s8){(clamps ? f->a : -most) - zero, (clamps ? f->b : most - 1.0f) - zero, y->zero_point};
}
