// watch.c - run a model under the sanitizers, each operator with nothing in sight but its own memory.
// SPDX-License-Identifier: Apache-2.0
#include "watch.h"

#include <sanitizer/asan_interface.h>

#include "core/model.h"

static uint64_t count_of(const tody_tensor_record *t) {
    uint64_t count = 1;
    for (uint32_t d = 0; d < t->rank; d++) count *= t->shape[d];
    return count;
}

// Steps per element of the first output, beyond a few.
static uint64_t factor(const tody_call *call, uint16_t code) {
    const uint32_t *x = call->records[call->in[0]].shape;
    switch (code) {
        case TODY_OP_CONV:
        case TODY_OP_DECONV:
        case TODY_OP_DENSE: {
            const uint32_t *w = call->records[call->in[1]].shape;
            return (uint64_t)w[2] * w[3];
        }
        case TODY_OP_DWCONV: return call->records[call->in[1]].shape[0];
        case TODY_OP_MATMUL: return x[call->records[call->in[0]].rank - 1];
        case TODY_OP_POOL: {
            const tody_pool_params *p = call->params;
            return (uint64_t)p->window.kernel[0] * p->window.kernel[1];
        }
        case TODY_OP_TOPK: return count_of(&call->records[call->in[0]]);
        case TODY_OP_RESIZE: return (uint64_t)call->records[call->in[1]].shape[1] * call->records[call->in[3]].shape[1];
        case TODY_OP_LSTM:
        case TODY_OP_GRU:
        case TODY_OP_RNN: return 4 * ((uint64_t)x[2] + call->records[call->in[2]].shape[3]);
        default: return 1;
    }
}

uint64_t watch_cost(const tody_model *model) {
    uint64_t cost = 0;
    const tody_op_record *record = tody_file_ops(model);
    for (uint32_t i = 0; i < model->op_count; i++, record = tody_record_next(record)) {
        const tody_call call = tody_call_of(model, record);
        uint64_t elements = 0;
        for (uint32_t j = 0; j < call.in_count; j++)
            elements += tody_has_in(&call, j) ? count_of(&call.records[call.in[j]]) : 0;
        for (uint32_t j = 0; j < call.out_count; j++)
            elements += tody_has_out(&call, j) ? count_of(&call.records[call.out[j]]) : 0;
        cost += 4 * elements + count_of(&call.records[call.out[0]]) * factor(&call, record->code);
    }
    return cost;
}

static void reveal(const tody_call *call, uint32_t index) {
    if (index == TODY_NONE) return;
    const tody_tensor_record *t = &call->records[index];
    if (t->place == TODY_IN_STRIPS) return;  // in the windows, an output of its chain
    const uint8_t *base = t->place == TODY_IN_ARENA ? call->arena : call->weights;
    __asan_unpoison_memory_region(base + t->at, t->bytes);
    if (t->scale_count) __asan_unpoison_memory_region(call->weights + t->scales_at, 4 * (size_t)t->scale_count);
}

static void reveal_all(const tody_call *call) {
    for (uint32_t j = 0; j < call->in_count; j++) reveal(call, call->in[j]);
    for (uint32_t j = 0; j < call->out_count; j++) reveal(call, call->out[j]);
}

void watch_run(tody_model *model) {
    const tody_header *h = tody_file_header(model);
    const uint8_t *weights = model->file + h->weights_at;
    const tody_op_record *record = tody_file_ops(model);
    for (uint32_t i = 0; i < model->op_count; i++, record = tody_record_next(record)) {
        const tody_call call = tody_call_of(model, record);
        const tody_op *op = tody_find_op(model, record->code);
        __asan_poison_memory_region(model->arena, h->arena_bytes);
        __asan_poison_memory_region(weights, h->weights_bytes);
        __asan_poison_memory_region(model->scratch, model->need.scratch_bytes);
        reveal_all(&call);
        const tody_op_record *member = record;
        for (uint32_t j = 0; j < tody_chain_length(record); j++) {
            member = tody_record_next(member);
            const tody_call its = tody_call_of(model, member);
            reveal_all(&its);
        }
        __asan_unpoison_memory_region(model->scratch, op->scratch ? op->scratch(&call) : 0);
        tody_step(model, i);
    }
    __asan_unpoison_memory_region(model->arena, h->arena_bytes);
    __asan_unpoison_memory_region(weights, h->weights_bytes);
    __asan_unpoison_memory_region(model->scratch, model->need.scratch_bytes);
}
