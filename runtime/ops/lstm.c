// lstm.c - long short-term memory, with peepholes (Gers and Schmidhuber 2000).
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "recurrent.h"
#include "shape.h"

enum { INITIAL_CELL = 5, PEEPHOLE = 6, FINAL_CELL = 2 };
enum { GATE_I = 0, GATE_O = 1, GATE_F = 2, GATE_C = 3, GATES = 4 };  // in this order in w, r and bias; peepholes: i, o, f

static const tody_recurrent_kind kind = {.gates = GATES, .initial_state = 4, .extra = 1};  // extra: the cells

static tody_status lstm_check(const tody_call *call) {
    tody_status status = tody_recurrent_check(call, &kind);
    if (status) return status;
    const tody_tensor r = tody_in(call, 2), x = tody_in(call, 0);
    const tody_recurrent shapes = {.directions = r.shape[0], .batch = x.shape[1], .hidden = r.shape[3]};
    status = tody_recurrent_check_state(call, false, INITIAL_CELL, &shapes);
    if (!status) status = tody_recurrent_check_state(call, true, FINAL_CELL, &shapes);
    if (status || !tody_has_in(call, PEEPHOLE)) return status;
    const tody_tensor peephole = tody_in(call, PEEPHOLE);
    if (!tody_plain_f32(&peephole)) return TODY_ERR_DTYPE;
    const uint32_t shape[2] = {r.shape[0], 3 * r.shape[3]};
    return tody_has_shape(&peephole, 2, shape) ? TODY_OK : TODY_ERR_SHAPE;
}

static size_t lstm_scratch(const tody_call *call) { return tody_recurrent_scratch(call, &kind); }

static void sigmoid(const tody_kernels *k, float *x, uint32_t count) { k->unary_f32(TODY_FN_SIGMOID, 0.0f, 0.0f, x, x, count); }

static void tanh_of(const tody_kernels *k, const float *x, float *y, uint32_t count) {
    k->unary_f32(TODY_FN_TANH, 0.0f, 0.0f, x, y, count);
}

static void add_product(float *y, const float *a, const float *b, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) y[i] += a[i] * b[i];
}

// One batch row: gates [4 * hidden] holds the sums of what inputs and state contribute. i and f look at the old cells, o at the
// new.
static void update(const tody_kernels *k, float *gates, const float *peephole, float *cell, float *y, uint32_t hidden) {
    float *i = gates + GATE_I * hidden, *o = gates + GATE_O * hidden, *f = gates + GATE_F * hidden,
          *c = gates + GATE_C * hidden;
    if (peephole) {
        add_product(i, peephole + GATE_I * hidden, cell, hidden);
        add_product(f, peephole + GATE_F * hidden, cell, hidden);
    }
    sigmoid(k, i, hidden);
    sigmoid(k, f, hidden);
    tanh_of(k, c, c, hidden);
    for (uint32_t n = 0; n < hidden; n++) cell[n] = f[n] * cell[n] + i[n] * c[n];
    if (peephole) add_product(o, peephole + GATE_O * hidden, cell, hidden);
    sigmoid(k, o, hidden);
    tanh_of(k, cell, c, hidden);
    for (uint32_t n = 0; n < hidden; n++) y[n] = o[n] * c[n];
}

static void step(const tody_recurrent *r, const tody_recurrent_step *s) {
    const uint32_t hidden = r->hidden;
    const size_t state = (size_t)r->batch * hidden;
    const float *c0 = tody_in_f32(r->call, INITIAL_CELL), *peephole = tody_in_f32(r->call, PEEPHOLE);
    if (s->index == 0) memcpy(r->extra, c0 ? c0 + s->direction * state : r->zeros, state * sizeof(float));
    const tody_recurrent_product product = {.h = s->h, .cols = GATES * hidden, .addend = s->gates, .y = s->gates};
    tody_recurrent_multiply(r, s->direction, &product);
    for (uint32_t b = 0; b < r->batch; b++) {
        const size_t row = (size_t)b * hidden;
        update(r->call->kernels, s->gates + row * GATES, peephole ? peephole + (size_t)s->direction * 3 * hidden : NULL,
               r->extra + row, s->y + row, hidden);
    }
    if (s->index + 1 == r->steps && tody_has_out(r->call, FINAL_CELL)) {
        memcpy((float *)tody_out(r->call, FINAL_CELL).data + s->direction * state, r->extra, state * sizeof(float));
    }
}

static void lstm_run(const tody_call *call) {
    const tody_recurrent r = tody_recurrent_make(call, &kind);
    tody_recurrent_run(&r, step);
}

const tody_op tody_op_lstm = {
    .name = "lstm",
    .code = TODY_OP_LSTM,
    .param_bytes = sizeof(tody_recurrent_params),
    .min_inputs = 3,
    .max_inputs = 7,
    .min_outputs = 1,
    .max_outputs = 3,
    .required_inputs = 3,
    .check = lstm_check,
    .scratch = lstm_scratch,
    .run = lstm_run,
};
