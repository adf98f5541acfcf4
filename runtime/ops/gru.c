// gru.c - gated recurrent unit (Cho et al. 2014), with the reset before or after the matrix product.
// SPDX-License-Identifier: Apache-2.0
#include "recurrent.h"
#include "shape.h"

enum { STATE_BIAS = 4 };
enum { GATE_Z = 0, GATE_R = 1, GATE_H = 2, GATES = 3 };

// extra: what the state contributes [batch, 3 * hidden]; the state after the reset; what that contributes, in whole panels
static const tody_recurrent_kind kind = {.gates = GATES, .initial_state = 5, .extra = GATES + 2, .extra_panels = 1};

static tody_status gru_check(const tody_call *call) {
    tody_status status = tody_recurrent_check(call, &kind);
    if (status) return status;
    const tody_tensor r = tody_in(call, 2);
    return tody_recurrent_check_bias(call, STATE_BIAS, r.shape[0], r.shape[1]);
}

static size_t gru_scratch(const tody_call *call) { return tody_recurrent_scratch(call, &kind); }

static void add(const float *a, const float *b, float *y, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) y[i] = a[i] + b[i];
}

// The sums of the gates z and r, and r applied: to the state (into `reset`), or to what the state contributes to gate h.
static void open_gates(const tody_recurrent *r, const tody_recurrent_step *s, float *state, float *reset, bool after) {
    const uint32_t hidden = r->hidden;
    for (uint32_t b = 0; b < r->batch; b++) {
        float *sums = state + (size_t)b * GATES * hidden, *from_h = sums + GATE_H * hidden;
        add(s->gates + (size_t)b * GATES * hidden, sums, sums, GATE_H * hidden);
        r->call->kernels->unary_f32(TODY_FN_SIGMOID, 0.0f, 0.0f, sums, sums, GATE_H * hidden);
        const float *gate_r = sums + GATE_R * hidden, *h = s->h + (size_t)b * hidden;
        for (uint32_t i = 0; i < hidden; i++) {
            if (after) {
                from_h[i] *= gate_r[i];
            } else {
                reset[(size_t)b * hidden + i] = gate_r[i] * h[i];
            }
        }
    }
}

// y = (1 - z) tanh(inputs + state) + z h, one batch row
static void mix(const tody_kernels *k, const float *inputs, float *state, const float *z, const float *h, float *y,
                uint32_t n) {
    add(inputs, state, state, n);
    k->unary_f32(TODY_FN_TANH, 0.0f, 0.0f, state, state, n);
    for (uint32_t i = 0; i < n; i++) y[i] = (1.0f - z[i]) * state[i] + z[i] * h[i];
}

static void step(const tody_recurrent *r, const tody_recurrent_step *s) {
    const tody_recurrent_params *p = r->call->params;
    const uint32_t hidden = r->hidden, rows = GATES * hidden;
    const float *all_bias = tody_in_f32(r->call, STATE_BIAS);
    const float *bias = all_bias ? all_bias + s->direction * tody_panels_length(rows) : NULL;
    float *state = r->extra, *reset = state + (size_t)r->batch * rows, *panels = reset + (size_t)r->batch * hidden;
    const tody_recurrent_product product = {.h = s->h, .cols = rows, .bias = bias, .y = state};
    tody_recurrent_multiply(r, s->direction, &product);
    open_gates(r, s, state, reset, p->linear_before_reset);
    // Gate h alone begins inside of a panel where 2 * hidden is not a multiple of 16: `skip` columns of it belong to gate r.
    const uint32_t panel = GATE_H * hidden / TODY_PANEL, skip = GATE_H * hidden % TODY_PANEL, cols = hidden + skip;
    if (!p->linear_before_reset) {
        const tody_recurrent_product again = {
            .h = reset, .panel = panel, .cols = cols, .bias = bias ? bias + panel * TODY_PANEL : NULL, .y = panels};
        tody_recurrent_multiply(r, s->direction, &again);
    }
    for (uint32_t b = 0; b < r->batch; b++) {
        float *sums = state + (size_t)b * rows;
        float *from_h = p->linear_before_reset ? sums + GATE_H * hidden : panels + (size_t)b * cols + skip;
        mix(r->call->kernels, s->gates + (size_t)b * rows + GATE_H * hidden, from_h, sums + GATE_Z * hidden,
            s->h + (size_t)b * hidden, s->y + (size_t)b * hidden, hidden);
    }
}

static void gru_run(const tody_call *call) {
    const tody_recurrent r = tody_recurrent_make(call, &kind);
    tody_recurrent_run(&r, step);
}

const tody_op tody_op_gru = {
    .name = "gru",
    .code = TODY_OP_GRU,
    .param_bytes = sizeof(tody_recurrent_params),
    .min_inputs = 3,
    .max_inputs = 6,
    .min_outputs = 1,
    .max_outputs = 2,
    .required_inputs = 3,
    .check = gru_check,
    .scratch = gru_scratch,
    .run = gru_run,
};
