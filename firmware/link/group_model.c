// group_model.c - SMP group 65, second half: the model that runs.
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "core/model.h"
#include "golden.h"
#include "smp.h"

enum { INPUT = 5, RUN = 6, OUTPUT = 7, GOLDEN = 8, PROFILE = 9, NEED = 13, OUTPUT_BYTES = TODY_LINK_BUFFER - 64 };

// The tensor that argument `i` names, 0 where it is absent.
static tody_rc find(tody_link *link, const tody_map *in, bool output, tody_model **model, tody_tensor *tensor) {
    uint32_t index;
    *model = link->app->model(link->app->self);
    if (!*model) return TODY_RC_NO_ENTRY;
    if (!tody_optional_u32(in, "i", 0, &index)) return TODY_RC_INVALID;
    if (index >= (output ? (*model)->output_count : (*model)->input_count)) return TODY_RC_INVALID;
    *tensor = output ? tody_output(*model, index) : tody_input(*model, index);
    return TODY_RC_OK;
}

static uint32_t bytes_of(const tody_tensor *t) { return t->count * (uint32_t)tody_dtype_bytes(t->dtype); }

static tody_rc generate(const tody_map *in, const tody_tensor *tensor) {
    tody_generator g;
    if (!tody_map_uint(in, "seed", &g.seed) || !tody_map_float(in, "low", &g.low) || !tody_map_float(in, "high", &g.high))
        return TODY_RC_INVALID;
    return tody_golden_fill(tensor, &g) ? TODY_RC_OK : TODY_RC_UNSUPPORTED;
}

// Bytes from `off` on, or the numbers of a generator.
static tody_rc input(tody_link *link, const tody_map *in, tody_cbor *out) {
    tody_model *model;
    tody_tensor tensor;
    const uint8_t *data;
    uint32_t at, bytes;
    const tody_rc rc = find(link, in, false, &model, &tensor);
    if (rc != TODY_RC_OK) return rc;
    if (tody_map_has(in, "seed")) return generate(in, &tensor);
    if (!tody_map_u32(in, "off", &at) || !tody_map_bytes(in, "data", &data, &bytes)) return TODY_RC_INVALID;
    if (at > bytes_of(&tensor) || bytes > bytes_of(&tensor) - at) return TODY_RC_INVALID;
    memcpy((uint8_t *)tensor.data + at, data, bytes);
    tody_put_map(out, 1);
    tody_put_key_uint(out, "off", at + bytes);
    return TODY_RC_OK;
}

static tody_rc run(tody_link *link, const tody_map *in, tody_cbor *out) {
    (void)in;
    const tody_link_app *app = link->app;
    tody_model *model = app->model(app->self);
    if (!model) return TODY_RC_NO_ENTRY;
    const uint32_t start = app->time_us(app->self);
    tody_run(model);
    const uint32_t end = app->time_us(app->self);
    tody_put_map(out, 1);
    tody_put_key_uint(out, "us", end - start);
    return TODY_RC_OK;
}

static tody_rc output(tody_link *link, const tody_map *in, tody_cbor *out) {
    tody_model *model;
    tody_tensor tensor;
    uint32_t at, most;
    const tody_rc rc = find(link, in, true, &model, &tensor);
    if (rc != TODY_RC_OK) return rc;
    if (!tody_map_u32(in, "off", &at) || at > bytes_of(&tensor)) return TODY_RC_INVALID;
    if (!tody_optional_u32(in, "most", OUTPUT_BYTES, &most)) return TODY_RC_INVALID;
    if (most > OUTPUT_BYTES) most = OUTPUT_BYTES;
    const uint32_t left = bytes_of(&tensor) - at;
    tody_put_map(out, 3);
    tody_put_key_uint(out, "off", at);
    tody_put_key_uint(out, "n", bytes_of(&tensor));
    tody_put_text(out, "data");
    tody_put_bytes(out, (const uint8_t *)tensor.data + at, left < most ? left : most);
    return TODY_RC_OK;
}

// How far an output is from values that stand in the file from byte `off` on.
static tody_rc golden(tody_link *link, const tody_map *in, tody_cbor *out) {
    tody_model *model;
    tody_tensor t;
    uint32_t at, count, stride;
    const tody_rc rc = find(link, in, true, &model, &t);
    if (rc != TODY_RC_OK) return rc;
    if (!tody_map_u32(in, "off", &at) || !tody_map_u32(in, "n", &count) || !tody_map_u32(in, "stride", &stride))
        return TODY_RC_INVALID;
    const uint64_t bytes = (uint64_t)count * tody_dtype_bytes(t.dtype);
    if (at + bytes > tody_file_header(model)->file_bytes) return TODY_RC_INVALID;
    if (!count || !stride || (uint64_t)(count - 1) * stride >= t.count) return TODY_RC_INVALID;
    const tody_difference d = tody_golden_compare(&t, model->file + at, count, stride);
    tody_put_map(out, 3);
    tody_put_key_uint(out, "bad", d.unequal);
    tody_put_text(out, "diff");
    tody_put_float(out, d.largest);
    tody_put_text(out, "peak");
    tody_put_float(out, d.peak);
    return TODY_RC_OK;
}

// One operator. In their order from 0 on they do what a run does.
static tody_rc profile(tody_link *link, const tody_map *in, tody_cbor *out) {
    const tody_link_app *app = link->app;
    tody_model *model = app->model(app->self);
    uint32_t op;
    if (!model) return TODY_RC_NO_ENTRY;
    if (!tody_map_u32(in, "op", &op) || op >= model->op_count) return TODY_RC_INVALID;
    const uint32_t start = app->time_us(app->self);
    tody_step(model, op);
    const uint32_t end = app->time_us(app->self);
    tody_put_map(out, 3);
    tody_put_key_text(out, "name", tody_op_name(model, op));
    tody_put_key_uint(out, "us", end - start);
    tody_put_key_uint(out, "n", model->op_count);
    return TODY_RC_OK;
}

static tody_rc need(tody_link *link, const tody_map *in, tody_cbor *out) {
    (void)in;
    const tody_model *model = link->app->model(link->app->self);
    if (!model) return TODY_RC_NO_ENTRY;
    tody_put_map(out, 5);
    tody_put_key_uint(out, "arena", model->need.arena_bytes);
    tody_put_key_uint(out, "scratch", model->need.scratch_bytes);
    tody_put_key_uint(out, "in", model->input_count);
    tody_put_key_uint(out, "out", model->output_count);
    tody_put_key_uint(out, "ops", model->op_count);
    return TODY_RC_OK;
}

const tody_command tody_model_commands[] = {
    {TODY_GROUP_TODY, TODY_SMP_WRITE, INPUT, input},
    {TODY_GROUP_TODY, TODY_SMP_WRITE, RUN, run},
    {TODY_GROUP_TODY, TODY_SMP_READ, OUTPUT, output},
    {TODY_GROUP_TODY, TODY_SMP_WRITE, GOLDEN, golden},
    {TODY_GROUP_TODY, TODY_SMP_READ, PROFILE, profile},
    {TODY_GROUP_TODY, TODY_SMP_READ, NEED, need},
    {0},
};
