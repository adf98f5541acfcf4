// layer.c - the inputs behind the weights that conv, dwconv, deconv and dense have in common.
// SPDX-License-Identifier: Apache-2.0
#include "layer.h"

#include <string.h>

bool tody_is_weights(const tody_tensor *w, tody_dtype dtype, uint8_t pack) {
    if (w->dtype != dtype || w->pack != pack) return false;
    return dtype == TODY_F32 || w->zero_point == 0;  // scales are in the multipliers
}

bool tody_is_matrix(const tody_tensor *w, tody_dtype dtype) {
    return tody_is_weights(w, dtype, TODY_PANELS) || tody_is_weights(w, dtype, TODY_BLOCKS);
}

// How values for each output channel of w are packed.
static uint8_t channels_pack(const tody_tensor *w) { return w->pack == TODY_PLAIN ? TODY_PLAIN : TODY_PANELS; }

// Whether t has a value for each output channel of w.
static tody_status check_channels(const tody_tensor *t, const tody_tensor *w, tody_dtype dtype) {
    const bool panels = channels_pack(w) == TODY_PANELS;
    if (t->dtype != dtype || t->pack != channels_pack(w)) return TODY_ERR_DTYPE;
    return tody_has_shape(t, panels ? 2 : 1, panels ? w->shape : w->shape + 1) ? TODY_OK : TODY_ERR_SHAPE;
}

static tody_status check_bias(const tody_call *call, const tody_tensor *w) {
    if (!tody_has_in(call, TODY_LAYER_BIAS)) return TODY_OK;
    const tody_tensor bias = tody_in(call, TODY_LAYER_BIAS);
    const tody_dtype integer = tody_is_short_bias(&bias) ? TODY_S16 : TODY_S32;
    return check_channels(&bias, w, w->dtype == TODY_F32 ? TODY_F32 : integer);
}

static bool has_addend(const tody_call *call, uint32_t addends) { return addends && tody_has_in(call, TODY_LAYER_ADDEND); }

static tody_status check_addend(const tody_call *call, uint32_t addends, const tody_tensor *y) {
    if (!has_addend(call, addends)) return TODY_OK;
    const tody_tensor addend = tody_in(call, TODY_LAYER_ADDEND);
    if (!tody_is_real(&addend) || addend.dtype != y->dtype) return TODY_ERR_DTYPE;
    return tody_same_shape(&addend, y) && tody_pitch(&addend) == tody_pitch(y) ? TODY_OK : TODY_ERR_SHAPE;
}

// Whether the multipliers, input `at`, have slopes behind them: twice as many as the weights, input 1, have channels.
static bool has_slopes(const tody_call *call, uint32_t at) {
    const tody_tensor_record *w = &call->records[call->in[1]];
    return call->records[call->in[at]].shape[0] / 2 == w->shape[w->pack == TODY_PLAIN];
}

static tody_status check_rescaling(const tody_call *call, uint32_t addends, const tody_tensor *w) {
    const uint32_t at = TODY_LAYER_ADDEND + addends;
    const bool panels = channels_pack(w) == TODY_PANELS;
    const bool half = tody_has_in(call, at) && call->records[call->in[at]].dtype == TODY_BF16;
    uint32_t shape[2] = {w->shape[panels ? 0 : 1], w->shape[1]};
    const uint32_t count = panels ? shape[0] * shape[1] : shape[0];
    if (tody_has_in(call, at) && has_slopes(call, at)) shape[0] *= 2;
    const tody_status status =
        tody_check_multipliers(call, at, half ? TODY_BF16 : TODY_F32, channels_pack(w), panels ? 2 : 1, shape, count);
    if (status) return status;
    if (has_addend(call, addends)) return tody_check_addend_multipliers(call, at + 1, w->dtype);
    return call->in_count == at + 1 ? TODY_OK : TODY_ERR_OP_RECORD;
}

tody_status tody_check_layer(const tody_call *call, uint32_t addends, const tody_activation *f) {
    const tody_tensor w = tody_in(call, 1), y = tody_out(call, 0);
    tody_status status = check_bias(call, &w);
    if (!status) status = check_addend(call, addends, &y);
    if (status) return status;
    if (w.dtype != TODY_F32) {
        status = check_rescaling(call, addends, &w);
        return status || tody_limits_ok(f, y.dtype) ? status : TODY_ERR_PARAM;
    }
    if (!TODY_FLOAT) return TODY_ERR_DTYPE;
    if (call->in_count > TODY_LAYER_ADDEND + addends) return TODY_ERR_OP_RECORD;
    return tody_activation_ok(f) ? TODY_OK : TODY_ERR_PARAM;
}

// Without the rest of the tensor, which would take stack.
static int32_t zero_of(const tody_call *call, uint32_t i) { return call->records[call->in[i]].zero_point; }

tody_layer_s8 tody_layer_of(const tody_call *call, uint32_t addends, const tody_activation *f) {
    tody_tensor y = tody_out(call, 0);
    tody_layer_s8 layer = {.x_zero = zero_of(call, 0), .finish = tody_finish_of(f, &y)};
    if (y.dtype == TODY_F32) return layer;
    const uint32_t at = TODY_LAYER_ADDEND + addends;
    const tody_tensor_record *m = &call->records[call->in[at]];
    if (has_slopes(call, at)) layer.slopes = (uint32_t)(m->bytes / 2 / tody_dtype_bytes(m->dtype));
    if (has_addend(call, addends)) {
        const tody_tensor multipliers = tody_in(call, at + 1);
        const float *m = multipliers.data;
        layer.addend_zero = zero_of(call, TODY_LAYER_ADDEND);
        layer.addend_scale = m[0];
        layer.rounds = multipliers.count == TODY_ROUNDED_ADDEND;
        if (layer.rounds) {
            layer.inner_scale = m[1];
            y.zero_point = 128 - (int32_t)m[2];
            layer.inner = tody_finish_of(NULL, &y);
        }
    }
    return layer;
}

void tody_fill_zero(const tody_tensor *x, void *pixel, uint32_t channels) {
    memset(pixel, x->dtype == TODY_S8 ? x->zero_point : 0, channels * tody_dtype_bytes(x->dtype));
}
