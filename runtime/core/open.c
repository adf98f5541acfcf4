// open.c - prove a file sound once, so that running it needs no checks.
// SPDX-License-Identifier: Apache-2.0
//
// Everything that the runtime will rely on is proved here or in the `check` of an operator. Sums and products of file values
// are made in 64 bits: none of them can overflow there. Two things are not proved because no harm comes of them: that tensors
// in the arena do not overlap (results would be wrong, but stay in the arena), and what numbers the weights hold.
#include <string.h>

#include "blocks.h"
#include "model.h"

static tody_status check_versions(const tody_header *h, size_t file_bytes) {
    if (memcmp(h->magic, TODY_MAGIC, 4) != 0) return TODY_ERR_MAGIC;
    if (h->major != TODY_FORMAT_MAJOR || h->minor > TODY_FORMAT_MINOR) return TODY_ERR_VERSION;
    if (h->header_bytes == sizeof *h && h->flags == TODY_CODED) return TODY_ERR_CODED;
    if (h->header_bytes != sizeof *h || h->flags != 0 || h->coded_bytes != 0) return TODY_ERR_HEADER;
    for (size_t i = 0; i < sizeof h->reserved / sizeof *h->reserved; i++) {
        if (h->reserved[i] != 0) return TODY_ERR_HEADER;
    }
    return h->file_bytes > file_bytes ? TODY_ERR_TRUNCATED : TODY_OK;
}

// Whether a section starts at or after `*end`, at a multiple of `align`; moves `*end` to its own end.
static bool section_follows(uint64_t *end, uint32_t at, uint64_t bytes, uint32_t align) {
    if (at < *end || at % align != 0) return false;
    *end = at + bytes;
    return true;
}

static tody_status check_sections(const tody_header *h) {
    uint64_t end = sizeof *h;
    uint64_t io_bytes = 4 * ((uint64_t)h->input_count + h->output_count);
    bool ordered = section_follows(&end, h->tensors_at, (uint64_t)h->tensor_count * sizeof(tody_tensor_record), 4) &&
                   section_follows(&end, h->ops_at, h->ops_bytes, 4) && section_follows(&end, h->io_at, io_bytes, 4) &&
                   section_follows(&end, h->weights_at, h->weights_bytes, TODY_WEIGHT_ALIGN) &&
                   section_follows(&end, h->meta_at, h->meta_bytes, 4);
    return ordered && end <= h->file_bytes ? TODY_OK : TODY_ERR_HEADER;
}

// Checksum of [0, weights_at) with the field that holds it taken as zero.
static uint32_t structure_crc(const tody_header *h) {
    static const uint8_t zero[4] = {0};
    const uint8_t *file = (const uint8_t *)h;
    const size_t at = offsetof(tody_header, structure_crc);
    uint32_t crc = tody_crc32(0, file, at);
    crc = tody_crc32(crc, zero, sizeof zero);
    return tody_crc32(crc, file + at + sizeof zero, h->weights_at - at - sizeof zero);
}

static bool shape_sound(const tody_tensor_record *t) {
    if (t->rank > TODY_MAX_RANK) return false;
    uint64_t count = 1;
    for (uint32_t d = 0; d < TODY_MAX_RANK; d++) {
        if (d >= t->rank ? t->shape[d] != 0 : t->shape[d] == 0) return false;
        if (d < t->rank) count *= t->shape[d];
        if (count > INT32_MAX) return false;
    }
    return true;
}

static bool pack_sound(const tody_tensor_record *t) {
    if (t->pack == TODY_PLAIN) return true;
    if (t->place != TODY_IN_WEIGHTS) return false;
    if (t->pack == TODY_BLOCKS) return t->rank == 4 && t->dtype == TODY_S8 && t->shape[0] == 1;
    if (t->pack != TODY_PANELS) return false;
    if (t->rank == 4) return t->dtype == TODY_F32 || t->dtype == TODY_S8 || t->dtype == TODY_S16;
    return t->rank == 2 && (t->dtype == TODY_F32 || t->dtype == TODY_S32 || t->dtype == TODY_S16 || t->dtype == TODY_BF16);
}

// `to` is a power of two.
static uint64_t round_up(uint64_t value, uint32_t to) { return (value + to - 1) & ~(uint64_t)(to - 1); }

// Whether a tensor is all of its memory, or a slice of the last dimension of one with at most as many elements as a tensor may
// have. Slices are of float32: builds without it have none.
static bool pitch_sound(const tody_tensor_record *t, const tody_header *h) {
    if (t->pitch == 0) return true;
    if (!TODY_FLOAT || t->dtype != TODY_F32 || h->minor < TODY_PITCH_MINOR) return false;
    if (t->place != TODY_IN_ARENA || t->rank < 2) return false;
    const uint32_t length = t->shape[t->rank - 1];
    uint64_t lines = 1;
    for (uint32_t d = 0; d + 1 < t->rank; d++) lines *= t->shape[d];
    return t->pitch > length && lines * t->pitch <= INT32_MAX;
}

// Bytes that a tensor of sound shape and pack takes. Below 2^45: the shape has at most 2^31 elements, panels pad 16 * 4 times.
static uint64_t tensor_bytes(const tody_tensor_record *t) {
    const uint32_t *s = t->shape;
    uint64_t count = 1;
    if (t->pack == TODY_PANELS) {
        count = s[0] * round_up(s[1], TODY_PANEL);
        if (t->rank == 4) count *= s[2] * round_up(s[3], tody_group((tody_dtype)t->dtype));
    } else {
        for (uint32_t d = 0; d < t->rank; d++) count *= d == 1 && t->rows ? t->rows : s[d];
        if (TODY_FLOAT && t->pitch) count = (count / s[t->rank - 1] - 1) * t->pitch + s[t->rank - 1];
    }
    return count * tody_dtype_bytes((tody_dtype)t->dtype);
}

// Whether the blocks from starts[list] on have places that rise, within what chunk `chunk` has.
static bool list_sound(const tody_blocks *b, size_t list, uint32_t chunk) {
    uint32_t left = b->words - chunk * TODY_CHUNK, least = 0;
    if (left > TODY_CHUNK) left = TODY_CHUNK;
    for (uint32_t i = b->starts[list]; i < b->starts[list + 1]; i++) {
        if (b->places[i] < least || b->places[i] >= left) return false;
        least = b->places[i] + 1u;
    }
    return true;
}

// Whether weights that lie inside of the file have the size that their blocks imply, and every block is of a word that is
// there.
static bool blocks_sound(const tody_tensor_record *t, const tody_header *h) {
    const uint32_t cols = t->shape[1];
    const uint64_t words = t->shape[2] * round_up(t->shape[3], TODY_GROUP_S8) / TODY_GROUP_S8;
    const uint64_t lists = round_up(words, TODY_CHUNK) / TODY_CHUNK * cols, fixed = 4 * (cols + lists + 1);
    if (words > INT32_MAX || fixed > t->bytes) return false;
    const uint32_t *data = (const uint32_t *)(const void *)((const uint8_t *)h + h->weights_at + t->at);
    const uint64_t count = data[cols + lists];
    if (fixed + round_up(count, 4) + 4 * count != t->bytes) return false;
    const tody_blocks b = tody_blocks_of(data, cols, (uint32_t)words);
    if (b.starts[0] != 0) return false;
    for (uint32_t list = 0, column = 0, chunk = 0; list < lists; list++) {
        if (b.starts[list + 1] < b.starts[list] || b.starts[list + 1] > count || !list_sound(&b, list, chunk)) return false;
        if (++column < cols) continue;
        column = 0;
        chunk++;
    }
    return true;
}

static bool size_sound(const tody_tensor_record *t, const tody_header *h) {
    return t->pack == TODY_BLOCKS ? blocks_sound(t, h) : tensor_bytes(t) == t->bytes;
}

// Output channels of a quantised tensor: those of its panels, else its last dimension.
static uint32_t channels(const tody_tensor_record *t) {
    if (t->pack != TODY_PLAIN) return t->shape[0] * t->shape[1];
    return t->rank ? t->shape[t->rank - 1] : 1;
}

static bool scales_sound(const tody_tensor_record *t, const tody_header *h) {
    if (t->scale_count == 0) return t->scales_at == 0 && t->zero_point == 0;
    if (t->dtype != TODY_S8 && (t->dtype != TODY_S16 || t->zero_point != 0)) return false;
    if (t->zero_point < INT8_MIN || t->zero_point > INT8_MAX) return false;
    if (t->scale_count != 1 && (t->scale_count != channels(t) || t->zero_point != 0)) return false;
    if (t->scales_at % 4 != 0 || t->scales_at + 4 * (uint64_t)t->scale_count > h->weights_bytes) return false;
    const float *scales = (const float *)(const void *)((const uint8_t *)h + h->weights_at + t->scales_at);
    for (uint32_t i = 0; i < t->scale_count; i++) {
        if (!(scales[i] > 0.0f && scales[i] < __builtin_inff())) return false;
    }
    return true;
}

// Whether a tensor in strips is an image of which some rows are kept. Where its window ends is for the check of its chain.
static bool strip_sound(const tody_tensor_record *t) {
    return t->rank == 4 && t->shape[0] == 1 && t->rows > 0 && t->rows <= t->shape[1] && t->at % TODY_ARENA_ALIGN == 0;
}

static bool place_sound(const tody_tensor_record *t, const tody_header *h) {
    if (t->place == TODY_IN_STRIPS) return strip_sound(t);
    if (t->rows != 0 || (t->place != TODY_IN_ARENA && t->place != TODY_IN_WEIGHTS)) return false;
    bool in_arena = t->place == TODY_IN_ARENA;
    const uint32_t aligned = TODY_FLOAT && t->pitch ? (uint32_t)sizeof(float) : TODY_ARENA_ALIGN;
    if (t->at % (in_arena ? aligned : TODY_WEIGHT_ALIGN) != 0) return false;
    return (uint64_t)t->at + t->bytes <= (in_arena ? h->arena_bytes : h->weights_bytes);
}

// Weights of one group and tap, whose quarters are whole panels and a vector deep.
static bool quarters_sound(const tody_tensor_record *t, const tody_header *h) {
    const uint32_t unit = 2 * TODY_PANEL;
    return h->minor >= TODY_QUARTERS_MINOR && t->shape[2] == 1 && t->shape[1] % unit == 0 && t->shape[3] % unit == 0;
}

// The first version that knows such tiles, and 0 if none does. Of nine taps those of 2 and 4 are windows that move by 1.
static uint32_t tile_minor(const tody_tensor_record *t) {
    const uint32_t edge = t->tile & ~(uint32_t)TODY_TILE_FLEETING;
    if (edge < 2 || edge > TODY_MAX_TILE) return 0;
    if (t->shape[2] != 9 || edge % 2) return TODY_PHASES_MINOR;
    return edge == t->tile ? TODY_TILES_MINOR : TODY_FLEETING_MINOR;
}

// Only weights of one group have tiles; that these are squares which fit them is for the operator to prove. Builds without
// float32 never look at them.
static bool tile_sound(const tody_tensor_record *t, const tody_header *h) {
    if (!TODY_FLOAT || t->tile == 0) return true;
    const bool panels = t->dtype == TODY_F32 && t->pack == TODY_PANELS && t->rank == 4 && t->shape[0] == 1;
    if (t->tile == TODY_TILE_QUARTERS) return panels && quarters_sound(t, h);
    return panels && tile_minor(t) != 0 && h->minor >= tile_minor(t);
}

static bool tensor_sound(const tody_tensor_record *t, const tody_header *h) {
    if (t->reserved != 0) return false;
    if (t->dtype == TODY_S16 && h->minor < TODY_S16_MINOR) return false;
    if (t->dtype == TODY_BF16 && (h->minor < TODY_BF16_MINOR || t->place != TODY_IN_WEIGHTS)) return false;
    return tody_dtype_bytes((tody_dtype)t->dtype) != 0 && shape_sound(t) && pitch_sound(t, h) && pack_sound(t) &&
           place_sound(t, h) && size_sound(t, h) && scales_sound(t, h) && tile_sound(t, h);
}

static tody_status check_tensors(tody_model *model) {
    const tody_header *h = tody_file_header(model);
    for (uint32_t i = 0; i < h->tensor_count; i++) {
        model->fault = i;
        if (!tensor_sound(&tody_file_tensors(model)[i], h)) return TODY_ERR_TENSOR;
    }
    return TODY_OK;
}

static bool lies_in(const tody_model *model, uint32_t index, uint8_t place) {
    return index < tody_file_header(model)->tensor_count && tody_file_tensors(model)[index].place == place;
}

// The caller writes to inputs. An output may be a constant, for him to read only.
static bool io_sound(const tody_model *model, uint32_t position) {
    const uint32_t index = tody_file_io(model)[position];
    const tody_tensor_record *t = &tody_file_tensors(model)[index];
    if (lies_in(model, index, TODY_IN_ARENA)) return t->pitch == 0;
    return position >= model->input_count && lies_in(model, index, TODY_IN_WEIGHTS) && t->pack == TODY_PLAIN &&
           t->dtype != TODY_BF16;
}

static tody_status check_io(tody_model *model) {
    for (uint32_t i = 0; i < model->input_count + model->output_count; i++) {
        model->fault = i;
        if (!io_sound(model, i)) return TODY_ERR_HEADER;
    }
    return TODY_OK;
}

// Whether a tensor is no slice, or an operator is `able` to take one.
static bool pitch_fits(const tody_call *call, uint32_t index, bool able) {
    return !TODY_FLOAT || able || call->records[index].pitch == 0;
}

// `member`: of a chain. Tensors in strips are for those alone.
static bool record_sound(const tody_model *model, const tody_op *op, const tody_op_record *record, bool member) {
    if (record->param_bytes != op->param_bytes) return false;
    if (record->input_count < op->min_inputs || record->input_count > op->max_inputs) return false;
    if (record->output_count < op->min_outputs || record->output_count > op->max_outputs) return false;
    const tody_call call = tody_call_of(model, record);
    for (uint32_t i = 0; i < call.in_count; i++) {
        bool absent = call.in[i] == TODY_NONE && i >= op->required_inputs;
        if (!absent && call.in[i] >= tody_file_header(model)->tensor_count) return false;
        if (!absent && !member && lies_in(model, call.in[i], TODY_IN_STRIPS)) return false;
        const uint32_t bit = i < 15 ? i : 15;  // inputs beyond it are like the last
        if (!absent && !pitch_fits(&call, call.in[i], op->pitched_inputs >> bit & 1)) return false;
    }
    for (uint32_t i = 0; i < call.out_count; i++) {
        bool absent = call.out[i] == TODY_NONE && i > 0;
        bool writable = lies_in(model, call.out[i], TODY_IN_ARENA) || (member && lies_in(model, call.out[i], TODY_IN_STRIPS));
        if (!absent && !writable) return false;
        if (!absent && !pitch_fits(&call, call.out[i], i == 0 && op->pitched_output)) return false;
    }
    return true;
}

// `member`: of a chain, which says itself what memory it needs.
static tody_status check_call(tody_model *model, const tody_op *op, const tody_op_record *record, bool member) {
    const tody_call call = tody_call_of(model, record);
    tody_status status = op->check(&call);
    if (status || member) return status;
    size_t scratch = op->scratch ? op->scratch(&call) : 0;
    if (scratch > model->need.scratch_bytes) model->need.scratch_bytes = scratch;
    const size_t prepared = tody_prepared_bytes(op, &call), left = SIZE_MAX - model->need.prepared_bytes;
    model->need.prepared_bytes += prepared < left ? prepared : left;
    return TODY_OK;
}

// `members`: how many records of a chain are still to come; moved on. A chain itself is checked when they have been.
static tody_status check_record(tody_model *model, const tody_op_record *record, uint32_t *members) {
    const tody_op *op = tody_find_op(model, record->code);
    const bool member = *members > 0;
    if (!op) return TODY_ERR_OP;
    if (!record_sound(model, op, record, member)) return TODY_ERR_OP_RECORD;
    *members = member ? *members - 1 : tody_chain_length(record);
    if (record->code != TODY_OP_STRIPS) return check_call(model, op, record, member);
    return member ? TODY_ERR_OP_RECORD : TODY_OK;
}

static tody_status check_records(tody_model *model) {
    uint32_t left = tody_file_header(model)->ops_bytes, members = 0;
    const tody_op_record *record = tody_file_ops(model);
    for (uint32_t i = 0; i < model->op_count; i++, record = tody_record_next(record)) {
        model->fault = i;
        if (left < sizeof *record || tody_record_bytes(record) > left || record->param_bytes % 4 != 0)
            return TODY_ERR_OP_RECORD;
        left -= tody_record_bytes(record);
        tody_status status = check_record(model, record, &members);
        if (status) return status;
    }
    return left == 0 && members == 0 ? TODY_OK : TODY_ERR_HEADER;
}

// The chains, of records that are sound.
static tody_status check_chains(tody_model *model) {
    const tody_op_record *record = tody_file_ops(model);
    for (uint32_t i = 0; i < model->op_count; i++, record = tody_record_next(record)) {
        if (record->code != TODY_OP_STRIPS) continue;
        model->fault = i;
        tody_status status = check_call(model, tody_find_op(model, record->code), record, false);
        if (status) return status;
    }
    return TODY_OK;
}

static tody_status check_file(tody_model *model, size_t file_bytes) {
    if (file_bytes < sizeof(tody_header)) return TODY_ERR_TRUNCATED;
    const tody_header *h = tody_file_header(model);
    tody_status status = check_versions(h, file_bytes);
    if (!status) status = check_sections(h);
    if (status) return status;
    if (structure_crc(h) != h->structure_crc) return TODY_ERR_CHECKSUM;
    model->input_count = h->input_count;
    model->output_count = h->output_count;
    model->op_count = h->op_count;
    model->need.arena_bytes = h->arena_bytes;
    status = check_tensors(model);
    if (!status) status = check_io(model);
    if (!status) status = check_records(model);
    if (!status) status = check_chains(model);
    return status;
}

tody_status tody_open(tody_model *model, const void *file, size_t file_bytes, const tody_setup *setup) {
    *model = (tody_model){0};
    if (!file || !setup || !setup->kernels) return TODY_ERR_ARGUMENT;
    if ((uintptr_t)file % TODY_FILE_ALIGN != 0) return TODY_ERR_ALIGN;
    model->file = file;
    model->setup = *setup;
    if (!model->setup.ops) model->setup.ops = tody_ops;
    return check_file(model, file_bytes);
}

tody_status tody_check_weights(const tody_model *model) {
    const tody_header *h = tody_file_header(model);
    bool same = tody_crc32(0, model->file + h->weights_at, h->weights_bytes) == h->weights_crc &&
                tody_crc32(0, model->file + h->meta_at, h->meta_bytes) == h->meta_crc;
    return same ? TODY_OK : TODY_ERR_CHECKSUM;
}
