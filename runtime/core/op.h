// op.h - what an operator is, and what it sees of a model.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_OP_H
#define TODY_OP_H

#include "format.h"
#include "tody.h"

#ifndef TODY_FLOAT
#define TODY_FLOAT 1  // 0: a build for models of int8 alone, which its caller holds to be (firmware/app/model.c)
#endif

// Whether to compute in float32, or in int16. Where the answer is always no, compilers leave out the rest.
static inline bool tody_is_f32(tody_dtype dtype) { return TODY_FLOAT && dtype == TODY_F32; }
static inline bool tody_is_s16(tody_dtype dtype) { return TODY_FLOAT && dtype == TODY_S16; }

// One operator about to be checked or run. Operators know shapes and the kernel table; they never see the file or the arena,
// only the tensors that tody_in and tody_out hand them.
typedef struct tody_call {
    const void *params;  // the operator's parameter struct, 4-byte aligned
    const uint32_t *in, *out;
    uint32_t in_count, out_count;
    const tody_tensor_record *records;
    uint8_t *arena;  // NULL while checking
    const uint8_t *weights;
    const tody_kernels *kernels;
    const tody_parallel *parallel;  // never NULL
    uint32_t pointer_bytes;         // of the machine that scratch is counted for
    uint8_t *scratch;               // what `scratch` asked for, aligned to TODY_ALIGN; shared by all threads
    bool prepare;                   // there may be prepared memory: ask for it, and for the scratch to go with it
    bool f16;                       // products in float16, if the kernel set has it and the weights are prepared
    uint8_t *prepared;              // what `prepare` filled, aligned to TODY_ALIGN; NULL: run without
    uint8_t *windows;               // of the chain that is being run: where tensors in strips lie; else NULL
    const tody_op *const *ops;      // of the build, for tody_member_of
} tody_call;

// An operator is a const struct; ops/table.c lists them.
struct tody_op {
    const char *name;
    uint16_t code;                      // tody_code
    uint16_t param_bytes;               // exact
    uint16_t min_inputs, max_inputs;    // counting TODY_NONE ones
    uint16_t min_outputs, max_outputs;  // counting TODY_NONE ones
    uint16_t required_inputs;           // the first so many may not be TODY_NONE; outputs[0] never may
    uint16_t row_inputs;      // bit i: rows of the output want rows of input i, and few of them; 0: not an operator for strips
    uint16_t pitched_inputs;  // bit i: input i may be a slice, with a pitch, if it is float32
    bool pitched_output;      // output 0 may be
    bool slides;  // the parameters begin with a tody_window, under which rows of input 0 lie; else row y wants row y
    tody_status (*check)(const tody_call *call);  // dtypes, shapes, parameter values, contents of constant index tables
    size_t (*scratch)(const tody_call *call);     // bytes for all threads together; NULL: none. Only called after check
    size_t (*prepared)(const tody_call *call);    // bytes, if `call->prepare`; NULL: none. Only called after check
    void (*prepare)(const tody_call *call);       // fill `call->prepared` from constants; NULL as `prepared`
    void (*run)(const tody_call *call);           // after a passed check there is no error path
};

// With row_inputs, an operator may run on some rows of its images as if there were no others (ops/strips.c): it needs no more
// scratch for them than for all, and gives the same bits.

extern const tody_op *const tody_ops[];  // every operator of this build, NULL-terminated: ops/table.c

// An operator of a chain.
typedef struct tody_member {
    const tody_op *op;
    const void *params;
    const uint32_t *in, *out;
    uint32_t in_count, out_count;
} tody_member;

// The i-th operator of the chain that a checked TODY_OP_STRIPS record announces.
tody_member tody_member_of(const tody_call *strips, uint32_t i);

// The i-th input or output, by value. `data` is NULL for an activation while checking; constants have data then too.
tody_tensor tody_in(const tody_call *call, uint32_t i);
tody_tensor tody_out(const tody_call *call, uint32_t i);
static inline bool tody_has_in(const tody_call *call, uint32_t i) { return i < call->in_count && call->in[i] != TODY_NONE; }
static inline bool tody_has_out(const tody_call *call, uint32_t i) { return i < call->out_count && call->out[i] != TODY_NONE; }
static inline bool tody_is_constant(const tody_call *call, uint32_t i) {
    return call->records[call->in[i]].place == TODY_IN_WEIGHTS;
}

static inline uint32_t tody_threads(const tody_call *call) {
    return call->parallel->run && call->parallel->threads > 1 ? call->parallel->threads : 1;
}

// Whether so many equal parts keep all threads busy: no thread waits for more than a fifth of the time.
static inline bool tody_shares_well(const tody_call *call, uint32_t parts) {
    return parts % tody_threads(call) == 0 || parts >= 4 * tody_threads(call);
}

// Run task(context, i, thread) for i < tasks on the threads that were handed in.
static inline void tody_for(const tody_call *call, uint32_t tasks, tody_task task, void *context) {
    if (tasks > 1 && tody_threads(call) > 1) {
        call->parallel->run(call->parallel->pool, tasks, task, context);
        return;
    }
    for (uint32_t i = 0; i < tasks; i++) task(context, i, 0);
}

// Input channels that lie side by side in panels: integers that fill a word of 32 bits.
static inline uint32_t tody_group(tody_dtype dtype) {
    return dtype == TODY_S8 ? TODY_GROUP_S8 : dtype == TODY_S16 ? TODY_GROUP_S16 : 1;
}

#endif
