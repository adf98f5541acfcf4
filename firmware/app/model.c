// model.c - open the file in a slot, in place, and give it the board's arena.
// SPDX-License-Identifier: Apache-2.0
#include "core/model.h"

#include "app.h"

// Whether an operator that has a float32 input calls no kernel, or one that builds without float32 have.
static bool needs_no_float_kernel(const tody_op_record *record, const tody_call *call) {
    switch (record->code) {
        case TODY_OP_CAST:
        case TODY_OP_COPY:
        case TODY_OP_CONCAT:
        case TODY_OP_PAD:
        case TODY_OP_GATHER:
        case TODY_OP_ARG_REDUCE:
        case TODY_OP_TOPK: return true;
        case TODY_OP_SOFTMAX: return ((const tody_softmax_params *)call->params)->log == 0;
        default: return false;
    }
}

static bool is_wide(const tody_call *call, uint32_t i) {
    if (!tody_has_in(call, i)) return false;
    const uint8_t dtype = call->records[call->in[i]].dtype;
    return dtype == TODY_F32 || dtype == TODY_S16;
}

// What a build with FLOAT=0 leaves out would be missed in the middle of a run.
static tody_status check_kernels(tody_model *model) {
    if (TODY_FLOAT) return TODY_OK;
    const tody_op_record *record = tody_file_ops(model);
    for (uint32_t i = 0; i < model->op_count; i++, record = tody_record_next(record)) {
        const tody_call call = tody_call_of(model, record);
        model->fault = i;
        if (is_wide(&call, 0) && !needs_no_float_kernel(record, &call)) return TODY_ERR_DTYPE;
    }
    return TODY_OK;
}

static tody_status bind(tody_model *model, const tody_board *board) {
    const size_t arena = (model->need.arena_bytes + TODY_ALIGN - 1) / TODY_ALIGN * TODY_ALIGN;
    if (arena > board->arena_bytes) return TODY_ERR_MEMORY;
    return tody_bind(model, board->arena, arena, board->arena + arena, board->arena_bytes - arena);
}

static tody_status open(const tody_app *app, uint32_t slot, tody_model *model) {
    const uint8_t *file = app->board->memory + tody_store_slot_at(&app->store, slot);
    const tody_setup setup = {.kernels = &app->kernels};
    tody_status status = tody_open(model, file, app->store.journal.now.slots[slot].bytes, &setup);
    if (!status) status = check_kernels(model);
    if (!status) status = bind(model, app->board);
    return status;
}

tody_rc tody_app_load(tody_app *app, uint32_t slot) {
    tody_model model;
    const tody_status status = open(app, slot, &model);
    if (status) return (tody_rc)(TODY_RC_MODEL - (int)status);
    app->model = model;
    app->loaded = true;
    return TODY_RC_OK;
}

void tody_app_start(tody_app *app, const tody_board *board) {
    app->board = board;
    app->kernels = tody_kernels_pick(board->features, NULL);
    tody_store_open(&app->store, board->flash);
    const uint32_t slot = tody_store_start(&app->store);
    tody_app_link(app);
    if (slot == TODY_NO_SLOT || tody_app_load(app, slot) == TODY_RC_OK) return;
    const uint32_t before = tody_store_before(&app->store);  // another firmware may have opened what this one does not
    if (before == TODY_NO_SLOT || !tody_store_sound(&app->store, before)) return;
    if (tody_app_load(app, before) == TODY_RC_OK && tody_store_back(&app->store) != TODY_STORE_OK) app->loaded = false;
}
