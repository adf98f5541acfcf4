// run.c - run an opened model, and show its tensors.
// SPDX-License-Identifier: Apache-2.0
#include "kernels.h"
#include "model.h"

static const tody_parallel one_thread = {0};

static const tody_op *find_op(const tody_op *const *ops, uint16_t code) {
    while (*ops && (*ops)->code != code) ops++;
    return *ops;
}

const tody_op *tody_find_op(const tody_model *model, uint16_t code) { return find_op(model->setup.ops, code); }

tody_call tody_call_of(const tody_model *model, const tody_op_record *record) {
    const uint32_t *indices = (const uint32_t *)(const void *)(record + 1);
    return (tody_call){
        .params = indices + record->input_count + record->output_count,
        .in = indices,
        .out = indices + record->input_count,
        .in_count = record->input_count,
        .out_count = record->output_count,
        .records = tody_file_tensors(model),
        .arena = model->arena,
        .weights = model->file + tody_file_header(model)->weights_at,
        .kernels = model->setup.kernels,
        .parallel = model->setup.parallel ? model->setup.parallel : &one_thread,
        .pointer_bytes = model->setup.pointer_bytes ? model->setup.pointer_bytes : (uint32_t)sizeof(void *),
        .scratch = model->scratch,
        .prepare = model->setup.prepare,
        .f16 = TODY_HAS_F16 && model->setup.f16 && model->setup.prepare && model->setup.kernels->f16,
        .ops = model->setup.ops,
    };
}

tody_member tody_member_of(const tody_call *strips, uint32_t i) {
    const tody_op_record *record = (const void *)((const tody_strips_params *)strips->params + 1);
    while (i--) record = tody_record_next(record);
    const uint32_t *indices = (const uint32_t *)(const void *)(record + 1);
    return (tody_member){
        .op = find_op(strips->ops, record->code),
        .params = indices + record->input_count + record->output_count,
        .in = indices,
        .out = indices + record->input_count,
        .in_count = record->input_count,
        .out_count = record->output_count,
    };
}

tody_tensor tody_view(const tody_tensor_record *record, uint8_t *arena, const uint8_t *weights, uint8_t *windows) {
    tody_tensor tensor = {
        .shape = record->shape,
        .rank = record->rank,
        .count = 1,
        .dtype = (tody_dtype)record->dtype,
        .pack = record->pack,
        .scales = record->scale_count ? (const float *)(const void *)(weights + record->scales_at) : NULL,
        .scale_count = record->scale_count,
        .zero_point = record->zero_point,
    };
    for (uint32_t d = 0; d < tensor.rank; d++) tensor.count *= tensor.shape[d];
    tensor.pitch = record->pitch ? record->pitch : tensor.rank ? tensor.shape[tensor.rank - 1] : 1;
    // The one cast away from const: nobody writes to a tensor in the weights, because tody_open refuses those as outputs.
    if (record->place == TODY_IN_WEIGHTS)
        tensor.data = (uint8_t *)(uintptr_t)(weights + record->at);
    else if (record->place == TODY_IN_STRIPS)
        tensor.data = windows ? windows + record->at : NULL;
    else if (arena)
        tensor.data = arena + record->at;
    return tensor;
}

tody_tensor tody_in(const tody_call *call, uint32_t i) {
    return tody_view(&call->records[call->in[i]], call->arena, call->weights, call->windows);
}

tody_tensor tody_out(const tody_call *call, uint32_t i) {
    return tody_view(&call->records[call->out[i]], call->arena, call->weights, call->windows);
}

tody_status tody_bind(tody_model *model, void *arena, size_t arena_bytes, void *scratch, size_t scratch_bytes) {
    if (model->setup.pointer_bytes && model->setup.pointer_bytes != sizeof(void *)) return TODY_ERR_ARGUMENT;
    if (arena_bytes < model->need.arena_bytes || scratch_bytes < model->need.scratch_bytes) return TODY_ERR_MEMORY;
    if ((uintptr_t)arena % TODY_ALIGN || (uintptr_t)scratch % TODY_ALIGN) return TODY_ERR_ALIGN;
    if ((!arena && model->need.arena_bytes) || (!scratch && model->need.scratch_bytes)) return TODY_ERR_ARGUMENT;
    model->arena = arena;
    model->scratch = scratch;
    return TODY_OK;
}

// A record on the way through all of them, and where its prepared memory begins, which lies in their order.
typedef struct place {
    const tody_op_record *record;
    size_t prepared_at;
    uint32_t members;  // records of a chain from here on: they run with it, and have nothing prepared
} place;

static place first_place(const tody_model *model) { return (place){tody_file_ops(model), 0, 0}; }

static void step(const tody_model *model, place *at, void (*act)(const tody_op *op, const tody_call *call)) {
    const tody_op_record *record = at->record;
    at->record = tody_record_next(record);
    if (at->members > 0) {
        at->members--;
        return;
    }
    at->members = tody_chain_length(record);
    const tody_op *op = tody_find_op(model, record->code);
    tody_call call = tody_call_of(model, record);
    if (model->prepared) call.prepared = model->prepared + at->prepared_at;
    at->prepared_at += tody_prepared_bytes(op, &call);
    if (act) act(op, &call);
}

static void run_op(const tody_op *op, const tody_call *call) { op->run(call); }

static void prepare_op(const tody_op *op, const tody_call *call) {
    if (op->prepare) op->prepare(call);
}

tody_status tody_prepare(tody_model *model, void *memory, size_t bytes) {
    if (model->setup.pointer_bytes && model->setup.pointer_bytes != sizeof(void *)) return TODY_ERR_ARGUMENT;
    if (bytes < model->need.prepared_bytes) return TODY_ERR_MEMORY;
    if ((uintptr_t)memory % TODY_ALIGN) return TODY_ERR_ALIGN;
    if (!memory && model->need.prepared_bytes) return TODY_ERR_ARGUMENT;
    if (model->need.prepared_bytes == 0) return TODY_OK;
    model->prepared = memory;
    place at = first_place(model);
    for (uint32_t i = 0; i < model->op_count; i++) step(model, &at, prepare_op);
    return TODY_OK;
}

void tody_run(tody_model *model) {
    place at = first_place(model);
    for (uint32_t i = 0; i < model->op_count; i++) step(model, &at, run_op);
}

static const tody_op_record *record_at(const tody_model *model, uint32_t index) {
    const tody_op_record *record = tody_file_ops(model);
    while (index--) record = tody_record_next(record);
    return record;
}

void tody_step(tody_model *model, uint32_t index) {
    place at = first_place(model);
    for (uint32_t i = 0; i < index; i++) step(model, &at, NULL);
    step(model, &at, run_op);
}

const char *tody_op_name(const tody_model *model, uint32_t index) {
    return tody_find_op(model, record_at(model, index)->code)->name;
}

tody_tensor tody_op_output(const tody_model *model, uint32_t index) {
    tody_call call = tody_call_of(model, record_at(model, index));
    return tody_out(&call, 0);
}

static tody_tensor io_view(const tody_model *model, uint32_t position) {
    const tody_tensor_record *record = &tody_file_tensors(model)[tody_file_io(model)[position]];
    return tody_view(record, model->arena, model->file + tody_file_header(model)->weights_at, NULL);
}

tody_tensor tody_input(const tody_model *model, uint32_t index) { return io_view(model, index); }
tody_tensor tody_output(const tody_model *model, uint32_t index) { return io_view(model, model->input_count + index); }
