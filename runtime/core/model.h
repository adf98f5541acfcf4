// model.h - how the core reads an opened file; private to core/.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_MODEL_H
#define TODY_MODEL_H

#include "format.h"
#include "op.h"
#include "tody.h"

static inline const tody_header *tody_file_header(const tody_model *model) {
    return (const tody_header *)(const void *)model->file;
}

static inline const tody_tensor_record *tody_file_tensors(const tody_model *model) {
    return (const tody_tensor_record *)(const void *)(model->file + tody_file_header(model)->tensors_at);
}

static inline const tody_op_record *tody_file_ops(const tody_model *model) {
    return (const tody_op_record *)(const void *)(model->file + tody_file_header(model)->ops_at);
}

// Input indices, then output indices.
static inline const uint32_t *tody_file_io(const tody_model *model) {
    return (const uint32_t *)(const void *)(model->file + tody_file_header(model)->io_at);
}

// Bytes of an operator record with its indices and parameters. Fits: counts have 16 bits.
static inline uint32_t tody_record_bytes(const tody_op_record *record) {
    return (uint32_t)sizeof *record + 4u * ((uint32_t)record->input_count + record->output_count) + record->param_bytes;
}

static inline const tody_op_record *tody_record_next(const tody_op_record *record) {
    return (const tody_op_record *)(const void *)((const uint8_t *)record + tody_record_bytes(record));
}

// How many of the records behind this one run with it.
static inline uint32_t tody_chain_length(const tody_op_record *record) {
    if (record->code != TODY_OP_STRIPS) return 0;
    const void *params = (const uint32_t *)(const void *)(record + 1) + record->input_count + record->output_count;
    return ((const tody_strips_params *)params)->count;
}

// The operator of a record, or NULL where this runtime lacks it.
const tody_op *tody_find_op(const tody_model *model, uint16_t code);

// What the operator of a record sees of the model.
tody_call tody_call_of(const tody_model *model, const tody_op_record *record);

// Bytes that the operator of a call keeps in prepared memory: a multiple of TODY_ALIGN, SIZE_MAX if no machine has them.
static inline size_t tody_prepared_bytes(const tody_op *op, const tody_call *call) {
    const size_t bytes = call->prepare && op->prepared ? op->prepared(call) : 0;
    return bytes > SIZE_MAX - TODY_ALIGN ? SIZE_MAX : (bytes + TODY_ALIGN - 1) / TODY_ALIGN * TODY_ALIGN;
}

// A tensor record as its users see it. `windows` are those of the chain that is being run, else NULL.
tody_tensor tody_view(const tody_tensor_record *record, uint8_t *arena, const uint8_t *weights, uint8_t *windows);

// CRC-32 as in zlib; start with crc = 0, continue with the last result.
uint32_t tody_crc32(uint32_t crc, const uint8_t *data, size_t bytes);

#endif
