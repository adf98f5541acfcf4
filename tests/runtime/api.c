// api.c - the C API as a program uses it: open, bind, run, step, clone, threads, and every misuse that it answers.
// SPDX-License-Identifier: Apache-2.0
//
//     api MODEL.tody    the model of api_test.py: a 3x3 convolution of ones with padding, then the largest value of all
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "core/op.h"
#include "tody.h"

enum { MAX_FILE = 1 << 16, MEMORY = 1 << 16, THREADS = 3 };

static _Alignas(64) unsigned char file[MAX_FILE + 64], arena[2][MEMORY], scratch[2][MEMORY], prepared[MEMORY];
static size_t file_bytes;
static unsigned failures, tasks_seen;

static void expect(bool holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "not so: %s\n", what);
    failures++;
}

static void backwards(void *pool, uint32_t tasks, tody_task task, void *context) {
    *(unsigned *)pool += tasks;
    for (uint32_t i = tasks; i-- > 0;) task(context, i, i % THREADS);
}

static void fill(const tody_model *model, float value) {
    const tody_tensor x = tody_input(model, 0);
    for (uint32_t i = 0; i < x.count; i++) ((float *)x.data)[i] = value;
}

static bool near(float x, float y) { return x > y * 0.99999f && x < y * 1.00001f; }

static float result(const tody_model *model) { return *(const float *)tody_output(model, 0).data; }

static tody_model opened(const tody_setup *setup) {
    tody_model model;
    expect(tody_open(&model, file, file_bytes, setup) == TODY_OK, "the model opens");
    expect(model.need.arena_bytes <= MEMORY && model.need.scratch_bytes <= MEMORY, "it is small");
    return model;
}

static void bind(tody_model *model, int place) {
    tody_status status = tody_bind(model, arena[place], model->need.arena_bytes, scratch[place], model->need.scratch_bytes);
    expect(status == TODY_OK, "it takes memory of the size it needs");
}

static void check_texts(void) {
    for (int status = TODY_ERR_ARGUMENT; status <= TODY_OK; status++) {
        expect(strlen(tody_status_text((tody_status)status)) > 10, "every status has a text");
        expect(strcmp(tody_status_text((tody_status)status), tody_status_text((tody_status)99)) != 0, "of its own");
    }
    static const size_t bytes[] = {0, 4, 1, 1, 4, 1, 8, 2, 2, 2, 0};
    for (int dtype = 0; dtype < 11; dtype++) expect(tody_dtype_bytes((tody_dtype)dtype) == bytes[dtype], "bytes of a dtype");
}

static void check_pick(void) {
    const tody_kernels plain = tody_kernels_pick(0, NULL), limited = tody_kernels_pick(~0u, "portable");
    expect(strcmp(plain.name, "portable") == 0 && strcmp(limited.name, "portable") == 0, "without features portable is picked");
    for (const tody_kernels *const *set = tody_kernel_sets; *set; set++) {
        const tody_kernels k = tody_kernels_pick(~0u, (*set)->name);
        expect(strcmp(k.name, (*set)->name) == 0, "a set can be asked for by name");
        expect(k.gemm_f32 && k.dwconv_f32 && k.max_pool_f32 && k.sum_pool_f32 && k.unary_f32 && k.binary_f32 && k.softmax_f32 &&
                   k.blend_f32 && k.transpose_b32 && k.moments_f32 && k.column_moments_f32 && k.norm_f32 &&
                   k.winograd_weights_f32 && k.winograd_in_f32 && k.winograd_out_f32,
               "a picked set has every slot");
        expect(k.gemm_s8 && k.dwconv_s8 && k.binary_s8 && k.lut_s8 && k.sum_s8 && k.max_s8 && k.words_s8 && k.sparse_s8,
               "and every slot of int8");
        expect(k.gemm_s16 && k.dwconv_s16, "and of int16");
        expect(k.gemm_f32_rows >= 3 && k.gemm_f32_rows <= TODY_MAX_ROWS, "tile of a sane size");
        expect(k.gemm_s8_rows >= 1 && k.gemm_s8_rows <= TODY_MAX_ROWS, "tile of int8 of a sane size");
        expect(k.gemm_s16_rows >= 3 && k.gemm_s16_rows <= TODY_MAX_ROWS, "tile of int16 of a sane size");
        expect(k.gemm_f32_panels >= 1 && k.gemm_f32_panels <= TODY_MAX_PANELS, "panels of a sane number");
        expect(k.gemm_s8_panels >= 1 && k.gemm_s8_panels <= TODY_MAX_PANELS, "panels of int8 of a sane number");
        expect(k.gemm_s16_panels >= 1 && k.gemm_s16_panels <= TODY_MAX_PANELS, "panels of int16 of a sane number");
    }
}

static void check_open(const tody_setup *setup) {
    tody_model model;
    static const tody_op *const no_ops[] = {NULL};
    const tody_setup lacking = {.kernels = setup->kernels, .ops = no_ops};
    expect(tody_open(&model, NULL, 0, setup) == TODY_ERR_ARGUMENT, "no file");
    expect(tody_open(&model, file, file_bytes, NULL) == TODY_ERR_ARGUMENT, "no setup");
    expect(tody_open(&model, file, file_bytes, &(tody_setup){0}) == TODY_ERR_ARGUMENT, "no kernels");
    expect(tody_open(&model, file + 4, file_bytes, setup) == TODY_ERR_ALIGN, "a file at an odd address");
    expect(tody_open(&model, file, file_bytes, &lacking) == TODY_ERR_OP && model.fault == 0, "a runtime without operators");
    expect(tody_open(&model, file, file_bytes - 1, setup) == TODY_ERR_TRUNCATED, "a short file");
    expect(tody_open(&model, file, file_bytes + 64, setup) == TODY_OK, "a slot larger than its file");
}

static void check_bind(const tody_setup *setup) {
    tody_model model = opened(setup);
    const tody_need need = model.need;
    expect(tody_input(&model, 0).data == NULL, "no data before bind");
    expect(tody_bind(&model, arena[0], need.arena_bytes - 1, scratch[0], need.scratch_bytes) == TODY_ERR_MEMORY,
           "a small arena");
    expect(tody_bind(&model, arena[0], need.arena_bytes, scratch[0], need.scratch_bytes - 1) == TODY_ERR_MEMORY,
           "little scratch");
    expect(tody_bind(&model, arena[0] + 16, MEMORY, scratch[0], MEMORY) == TODY_ERR_ALIGN, "an arena at an odd address");
    expect(tody_bind(&model, arena[0], MEMORY, scratch[0] + 16, MEMORY) == TODY_ERR_ALIGN, "scratch at an odd address");
    expect(tody_bind(&model, NULL, MEMORY, scratch[0], MEMORY) == TODY_ERR_ARGUMENT, "no arena");
    expect(tody_bind(&model, arena[0], MEMORY, NULL, MEMORY) == TODY_ERR_ARGUMENT, "no scratch");
}

static void check_run(const tody_setup *setup) {
    tody_model model = opened(setup), clone = model;
    bind(&model, 0);
    bind(&clone, 1);
    expect(model.input_count == 1 && model.output_count == 1 && model.op_count == 2, "counts");
    expect(tody_input(&model, 0).rank == 4 && tody_input(&model, 0).count == 75, "the input's shape");
    expect(strcmp(tody_op_name(&model, 0), "conv") == 0 && strcmp(tody_op_name(&model, 1), "pool") == 0, "names");
    fill(&model, 1.0f);
    fill(&clone, 2.0f);
    tody_run(&model);
    tody_run(&clone);
    expect(result(&model) == 27.0f && result(&clone) == 54.0f, "a model and its clone have their own activations");
    tody_step(&model, 0);
    const tody_tensor inner = tody_op_output(&model, 0);
    expect(inner.count == 5 * 5 * 20 && ((const float *)inner.data)[0] == 12.0f, "a corner sees four pixels");
    bind(&model, 1);
    expect(result(&model) == 54.0f, "a model can move to other memory");
}

static void check_prepare(const tody_setup *setup) {
    const tody_setup able = {.kernels = setup->kernels, .prepare = true};
    tody_model plain = opened(setup), model = opened(&able);
    const size_t bytes = model.need.prepared_bytes;
    expect(plain.need.prepared_bytes == 0, "what was not asked for is not made");
    expect(tody_prepare(&plain, NULL, 0) == TODY_OK, "which takes no memory");
    expect(bytes > 0 && bytes < MEMORY, "prepared memory is small");
    expect(tody_prepare(&model, prepared, bytes - 1) == TODY_ERR_MEMORY, "little prepared memory");
    expect(tody_prepare(&model, prepared + 16, MEMORY) == TODY_ERR_ALIGN, "prepared memory at an odd address");
    expect(tody_prepare(&model, NULL, MEMORY) == TODY_ERR_ARGUMENT, "no prepared memory");
    bind(&model, 0);
    fill(&model, 1.0f);
    tody_run(&model);
    expect(result(&model) == 27.0f, "a model may run without what it could prepare");
    memset(prepared, 0x77, MEMORY);
    expect(tody_prepare(&model, prepared, bytes) == TODY_OK, "prepared memory of the size it needs");
    for (size_t i = bytes; i < MEMORY; i++) expect(prepared[i] == 0x77, "prepared memory ends where it says");
    tody_model clone = model;
    bind(&clone, 1);
    fill(&clone, 2.0f);
    tody_run(&model);
    tody_run(&clone);
    expect(near(result(&model), 27.0f) && near(result(&clone), 54.0f), "prepared weights give the same, to clones too");
    tody_step(&model, 1);
    expect(near(result(&model), 27.0f), "and in steps");
}

static void check_threads(const tody_kernels *kernels) {
    const tody_parallel parallel = {THREADS, backwards, &tasks_seen};
    const tody_setup setup = {.kernels = kernels, .parallel = &parallel};
    tody_model model = opened(&setup);
    bind(&model, 0);
    memset(scratch[0] + model.need.scratch_bytes, 0x77, 64);
    fill(&model, 1.0f);
    tody_run(&model);
    expect(result(&model) == 27.0f, "tasks in another order give the same result");
    for (int i = 0; i < 64; i++) expect(scratch[0][model.need.scratch_bytes + (size_t)i] == 0x77, "scratch ends where it says");
}

static void check_weights(const tody_setup *setup) {
    const tody_model model = opened(setup);
    expect(tody_check_weights(&model) == TODY_OK, "whole weights");
    file[file_bytes - 1] ^= 1;
    expect(tody_check_weights(&model) == TODY_ERR_CHECKSUM, "damaged weights");
    file[file_bytes - 1] ^= 1;
}

int main(int argc, char **argv) {
    FILE *in = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!in) return 2;
    file_bytes = fread(file, 1, MAX_FILE, in);
    fclose(in);
    check_texts();
    check_pick();
    for (const tody_kernels *const *set = tody_kernel_sets; *set; set++) {
        if ((*set)->needs) continue;  // whatever this CPU has
        const tody_setup setup = {.kernels = *set};
        check_open(&setup);
        check_bind(&setup);
        check_run(&setup);
        check_prepare(&setup);
        check_threads(*set);
        check_weights(&setup);
    }
    return failures ? 1 : 0;
}
