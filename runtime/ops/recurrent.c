// recurrent.c - what lstm, gru and rnn have in common.
// SPDX-License-Identifier: Apache-2.0
#include "recurrent.h"

#include <string.h>

#include "shape.h"

enum { X = 0, W = 1, R = 2, BIAS = 3 };

static uint64_t gate_floats(const tody_recurrent *r) { return (uint64_t)r->steps * r->batch * r->kind.gates * r->hidden; }

static uint64_t extra_floats(const tody_recurrent *r) {
    return (uint64_t)r->batch * ((uint64_t)r->kind.extra * r->hidden + (uint64_t)r->kind.extra_panels * TODY_PANEL);
}

static size_t float_bytes(uint64_t count) { return tody_scratch_bytes(count * sizeof(float)); }

static size_t pointer_bytes(const tody_call *call, const tody_recurrent *r) {
    const size_t inputs = tody_gemm_scratch(call, TODY_F32, 1, r->inputs),
                 state = tody_gemm_scratch(call, TODY_F32, 1, r->hidden);
    return inputs > state ? inputs : state;
}

static tody_recurrent sizes(const tody_call *call, const tody_recurrent_kind *kind) {
    const tody_tensor x = tody_in(call, X), r = tody_in(call, R);
    return (tody_recurrent){.call = call,
                            .kind = *kind,
                            .steps = x.shape[0],
                            .batch = x.shape[1],
                            .inputs = x.shape[2],
                            .hidden = r.shape[3],
                            .directions = r.shape[0],
                            .direction = ((const tody_recurrent_params *)call->params)->direction};
}

tody_recurrent tody_recurrent_make(const tody_call *call, const tody_recurrent_kind *kind) {
    tody_recurrent r = sizes(call, kind);
    uint8_t *at = call->scratch;
    r.pointers = (const void **)(void *)at;
    at += pointer_bytes(call, &r);
    r.gates = (float *)(void *)at;
    at += float_bytes(gate_floats(&r));
    r.zeros = (float *)(void *)at;
    at += float_bytes((uint64_t)r.batch * r.hidden);
    r.extra = (float *)(void *)at;
    return r;
}

size_t tody_recurrent_scratch(const tody_call *call, const tody_recurrent_kind *kind) {
    const tody_recurrent r = sizes(call, kind);
    const size_t state = float_bytes((uint64_t)r.batch * r.hidden);
    return tody_scratch_bytes((uint64_t)pointer_bytes(call, &r) + float_bytes(gate_floats(&r)) + state +
                              float_bytes(extra_floats(&r)));
}

tody_status tody_recurrent_check_bias(const tody_call *call, uint32_t i, uint32_t directions, uint32_t columns) {
    if (!tody_has_in(call, i)) return TODY_OK;
    const tody_tensor bias = tody_in(call, i);
    if (!tody_panels_f32(&bias)) return TODY_ERR_DTYPE;
    const uint32_t shape[2] = {directions, columns};
    return tody_has_shape(&bias, 2, shape) ? TODY_OK : TODY_ERR_SHAPE;
}

tody_status tody_recurrent_check_state(const tody_call *call, bool out, uint32_t i, const tody_recurrent *r) {
    if (out ? !tody_has_out(call, i) : !tody_has_in(call, i)) return TODY_OK;
    const tody_tensor state = out ? tody_out(call, i) : tody_in(call, i);
    if (!tody_plain_f32(&state)) return TODY_ERR_DTYPE;
    const uint32_t shape[3] = {r->directions, r->batch, r->hidden};
    return tody_has_shape(&state, 3, shape) ? TODY_OK : TODY_ERR_SHAPE;
}

tody_status tody_recurrent_check(const tody_call *call, const tody_recurrent_kind *kind) {
    const tody_recurrent_params *p = call->params;
    const tody_tensor x = tody_in(call, X), w = tody_in(call, W), r = tody_in(call, R), y = tody_out(call, 0);
    if (p->direction > TODY_BOTH || p->linear_before_reset > (kind->gates == 3)) return TODY_ERR_PARAM;
    if (!tody_plain_f32(&x) || !tody_plain_f32(&y) || !tody_panels_f32(&w) || !tody_panels_f32(&r)) return TODY_ERR_DTYPE;
    if (x.rank != 3 || w.rank != 4 || r.rank != 4) return TODY_ERR_SHAPE;
    const uint32_t directions = p->direction == TODY_BOTH ? 2 : 1, hidden = r.shape[3];
    const uint64_t rows = (uint64_t)kind->gates * hidden;
    if (rows > UINT32_MAX) return TODY_ERR_SHAPE;
    const uint32_t w_shape[4] = {directions, (uint32_t)rows, 1, x.shape[2]},
                   r_shape[4] = {directions, (uint32_t)rows, 1, hidden};
    const uint32_t y_shape[4] = {x.shape[0], directions, x.shape[1], hidden};
    if (!tody_has_shape(&w, 4, w_shape) || !tody_has_shape(&r, 4, r_shape) || !tody_has_shape(&y, 4, y_shape))
        return TODY_ERR_SHAPE;
    const tody_recurrent shapes = sizes(call, kind);
    tody_status status = tody_recurrent_check_bias(call, BIAS, directions, (uint32_t)rows);
    if (!status) status = tody_recurrent_check_state(call, false, kind->initial_state, &shapes);
    return status ? status : tody_recurrent_check_state(call, true, 1, &shapes);
}

void tody_recurrent_multiply(const tody_recurrent *r, uint32_t direction, const tody_recurrent_product *p) {
    const uint32_t rows = r->kind.gates * r->hidden;
    const uint8_t *weights = tody_in(r->call, R).data;
    const tody_matrix state = {p->h, r->hidden * sizeof(float)};
    const tody_gemm gemm = {
        .dtype = TODY_F32,
        .rows = r->batch,
        .cols = p->cols,
        .taps = 1,
        .depth = r->hidden,
        .gather = tody_gather_matrix,
        .source = &state,
        .w = weights + direction * tody_panels_bytes(TODY_F32, rows, 1, r->hidden) +
             p->panel * tody_panel_bytes(TODY_F32, 1, r->hidden),
        .w_stride_bytes = tody_panel_bytes(TODY_F32, 1, r->hidden),
        .bias = p->bias,
        .addend = p->addend,
        .addend_stride = p->cols,
        .c = p->y,
        .c_stride = p->cols,
        .activation = p->activation,
        .pointers = r->pointers,
    };
    tody_gemm_run(r->call, &gemm);
}

// gates = x * w + bias for all steps of a direction
static void multiply_inputs(const tody_recurrent *r, uint32_t direction) {
    const uint32_t rows = r->kind.gates * r->hidden;
    const uint8_t *weights = tody_in(r->call, W).data;
    const float *bias = tody_in_f32(r->call, BIAS);
    const tody_matrix x = {tody_in(r->call, X).data, r->inputs * sizeof(float)};
    const tody_gemm gemm = {
        .dtype = TODY_F32,
        .rows = r->steps * r->batch,
        .cols = rows,
        .taps = 1,
        .depth = r->inputs,
        .gather = tody_gather_matrix,
        .source = &x,
        .w = weights + direction * tody_panels_bytes(TODY_F32, rows, 1, r->inputs),
        .w_stride_bytes = tody_panel_bytes(TODY_F32, 1, r->inputs),
        .bias = bias ? bias + direction * tody_panels_length(rows) : NULL,
        .c = r->gates,
        .c_stride = rows,
        .pointers = r->pointers,
    };
    tody_gemm_run(r->call, &gemm);
}

static void run_direction(const tody_recurrent *r, uint32_t direction, tody_step_run run) {
    const size_t state = (size_t)r->batch * r->hidden;
    const bool backwards = r->direction == TODY_REVERSE || direction == 1;
    const float *h0 = tody_in_f32(r->call, r->kind.initial_state), *h = h0 ? h0 + direction * state : r->zeros;
    float *y = tody_out(r->call, 0).data;
    multiply_inputs(r, direction);
    for (uint32_t i = 0; i < r->steps; i++) {
        const size_t t = backwards ? r->steps - 1 - i : i;
        const tody_recurrent_step step = {direction, i, r->gates + t * state * r->kind.gates, h,
                                          y + (t * r->directions + direction) * state};
        run(r, &step);
        h = step.y;
    }
    if (tody_has_out(r->call, 1)) memmove((float *)tody_out(r->call, 1).data + direction * state, h, state * sizeof *h);
}

void tody_recurrent_run(const tody_recurrent *r, tody_step_run step) {
    memset(r->zeros, 0, (size_t)r->batch * r->hidden * sizeof(float));
    for (uint32_t direction = 0; direction < r->directions; direction++) run_direction(r, direction, step);
}
