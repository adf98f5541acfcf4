// rnn.c - the plain recurrent network: h' = tanh(w x + r h + bias).
// SPDX-License-Identifier: Apache-2.0
#include "recurrent.h"

static const tody_recurrent_kind kind = {.gates = 1, .initial_state = 4};

static tody_status rnn_check(const tody_call *call) { return tody_recurrent_check(call, &kind); }

static size_t rnn_scratch(const tody_call *call) { return tody_recurrent_scratch(call, &kind); }

static void step(const tody_recurrent *r, const tody_recurrent_step *s) {
    const tody_recurrent_product product = {
        .h = s->h, .cols = r->hidden, .addend = s->gates, .y = s->y, .activation = {TODY_FN_TANH, 0.0f, 0.0f}};
    tody_recurrent_multiply(r, s->direction, &product);
}

static void rnn_run(const tody_call *call) {
    const tody_recurrent r = tody_recurrent_make(call, &kind);
    tody_recurrent_run(&r, step);
}

const tody_op tody_op_rnn = {
    .name = "rnn",
    .code = TODY_OP_RNN,
    .param_bytes = sizeof(tody_recurrent_params),
    .min_inputs = 3,
    .max_inputs = 5,
    .min_outputs = 1,
    .max_outputs = 2,
    .required_inputs = 3,
    .check = rnn_check,
    .scratch = rnn_scratch,
    .run = rnn_run,
};
