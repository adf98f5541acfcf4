// recurrent.h - what lstm, gru and rnn have in common: checks, memory, and the loop over time.
// SPDX-License-Identifier: Apache-2.0
//
// The product of the weights with the inputs of all steps is one matrix product beforehand; a step adds what depends on the
// state.
#ifndef TODY_OPS_RECURRENT_H
#define TODY_OPS_RECURRENT_H

#include "core/kernels.h"
#include "core/op.h"
#include "gemm.h"

// How the operators differ. Inputs 0 to 3 are x, w, r and the bias of w in all of them.
typedef struct tody_recurrent_kind {
    uint32_t gates;          // blocks of `hidden` rows in w and r
    uint32_t initial_state;  // input index of h0
    uint32_t extra;          // floats of scratch per element of the state, beside the gates ..
    uint32_t extra_panels;   // .. and panels of columns per batch row
} tody_recurrent_kind;

typedef struct tody_recurrent {
    const tody_call *call;
    tody_recurrent_kind kind;
    uint32_t steps, batch, inputs, hidden, directions;
    uint32_t direction;     // tody_recurrent_params
    float *gates;           // [steps, batch, gates * hidden] of one direction
    float *zeros;           // [batch, hidden]
    float *extra;           // what the kind asked for
    const void **pointers;  // for products
} tody_recurrent;

// One step of one direction.
typedef struct tody_recurrent_step {
    uint32_t direction, index;  // index counts in the order of computation
    float *gates;               // [batch, gates * hidden]: what the input contributes, bias included
    const float *h;             // [batch, hidden] before ..
    float *y;                   // .. and after
} tody_recurrent_step;

typedef void (*tody_step_run)(const tody_recurrent *r, const tody_recurrent_step *step);

// Sizes from the shapes of x and r; memory from the call's scratch.
tody_recurrent tody_recurrent_make(const tody_call *call, const tody_recurrent_kind *kind);

// Parameters, x, w, r, bias, h0, y and the final state. The operator checks what only it has.
tody_status tody_recurrent_check(const tody_call *call, const tody_recurrent_kind *kind);

// An optional input: panels [directions, columns].
tody_status tody_recurrent_check_bias(const tody_call *call, uint32_t i, uint32_t directions, uint32_t columns);

// Input i, or output i where `out`, is absent or a state [directions, batch, hidden].
tody_status tody_recurrent_check_state(const tody_call *call, bool out, uint32_t i, const tody_recurrent *r);

size_t tody_recurrent_scratch(const tody_call *call, const tody_recurrent_kind *kind);

// gates = h * r + addend, where r has `cols` columns from panel `panel` on; addend may be gates.
typedef struct tody_recurrent_product {
    const float *h;
    uint32_t panel, cols;
    const float *bias, *addend;  // panels from `panel` on, or NULL; [batch, cols], or NULL
    float *y;                    // [batch, cols]
    tody_activation activation;
} tody_recurrent_product;
void tody_recurrent_multiply(const tody_recurrent *r, uint32_t direction, const tody_recurrent_product *product);

// The whole operator.
void tody_recurrent_run(const tody_recurrent *r, tody_step_run step);

#endif
