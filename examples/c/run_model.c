// run_model.c - run a model from C: run_model MODEL.tody INPUTS.bin OUTPUTS.bin [THREADS [float16]]
// SPDX-License-Identifier: Apache-2.0
//
// INPUTS.bin holds the input tensors one after the other, as they lie in memory; OUTPUTS.bin will hold the outputs.
// float16: products of float32 in float16 arithmetic, if this CPU has it.
#define _DEFAULT_SOURCE

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/kernels.h"
#include "posix.h"
#include "tody.h"

static int fail(const char *what, const char *why) {
    fprintf(stderr, "run_model: %s: %s\n", what, why);
    return 1;
}

static const void *map_file(const char *path, size_t *bytes) {
    struct stat about;
    const int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &about)) return MAP_FAILED;
    *bytes = (size_t)about.st_size;
    const void *data = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    return data;
}

// aligned_alloc wants a whole number of alignments. NULL, too, for what no pointer reaches.
static void *allocate(size_t bytes) {
    const size_t whole = bytes / TODY_ALIGN * TODY_ALIGN;
    return whole > SIZE_MAX - TODY_ALIGN ? NULL : aligned_alloc(TODY_ALIGN, whole + TODY_ALIGN);
}

// The plain form of a coded file, or NULL.
static const void *unpack(const void *coded, size_t *bytes) {
    static tody_unpack work;
    size_t plain_bytes;
    if (tody_plain_bytes(coded, *bytes, &plain_bytes)) return NULL;
    void *plain = allocate(plain_bytes);
    if (!plain || tody_unpack_file(&work, coded, *bytes, plain, plain_bytes)) return NULL;
    *bytes = plain_bytes;
    return plain;
}

static int read_inputs(const tody_model *model, FILE *file) {
    for (uint32_t i = 0; i < model->input_count; i++) {
        const tody_tensor input = tody_input(model, i);
        if (fread(input.data, tody_dtype_bytes(input.dtype), input.count, file) != input.count) return 1;
    }
    return fgetc(file) != EOF;
}

static int write_outputs(const tody_model *model, FILE *file) {
    for (uint32_t i = 0; i < model->output_count; i++) {
        const tody_tensor output = tody_output(model, i);
        if (fwrite(output.data, tody_dtype_bytes(output.dtype), output.count, file) != output.count) return 1;
    }
    return fclose(file);
}

int main(int count, char **arguments) {
    if (count < 4 || count > 6 || (count == 6 && strcmp(arguments[5], "float16")))
        return fail("usage", "run_model MODEL.tody INPUTS.bin OUTPUTS.bin [THREADS [float16]]");
    size_t bytes;
    const void *data = map_file(arguments[1], &bytes);
    if (data == MAP_FAILED) return fail(arguments[1], "cannot be read");

    tody_pool *pool = tody_pool_new(count > 4 ? (uint32_t)strtoul(arguments[4], NULL, 10) : 1);
    if (!pool) return fail("threads", "the system gives none, or not so many");
    const tody_parallel parallel = tody_pool_parallel(pool);
    const tody_kernels kernels = tody_kernels_pick(tody_cpu_features(), NULL);
    const tody_setup setup = {.kernels = &kernels, .parallel = &parallel, .prepare = true, .f16 = count == 6};

    tody_model model;
    tody_status status = tody_open(&model, data, bytes, &setup);
    if (status == TODY_ERR_CODED) {
        data = unpack(data, &bytes);
        status = data ? tody_open(&model, data, bytes, &setup) : TODY_ERR_BLOCK;
    }
    if (status) return fail(arguments[1], tody_status_text(status));
    void *arena = allocate(model.need.arena_bytes), *scratch = allocate(model.need.scratch_bytes);
    void *prepared = allocate(model.need.prepared_bytes);
    if (!arena || !scratch || !prepared) return fail("memory", "not enough");
    status = tody_bind(&model, arena, model.need.arena_bytes, scratch, model.need.scratch_bytes);
    if (!status) status = tody_prepare(&model, prepared, model.need.prepared_bytes);
    if (status) return fail(arguments[1], tody_status_text(status));

    FILE *input = fopen(arguments[2], "rb"), *output = fopen(arguments[3], "wb");
    if (!input || read_inputs(&model, input)) return fail(arguments[2], "is not as long as the model's inputs");
    tody_run(&model);
    if (!output || write_outputs(&model, output)) return fail(arguments[3], "cannot be written");
    const tody_need need = model.need;
    fprintf(stderr, "kernels %s, %s, arena %zu bytes, scratch %zu bytes, prepared %zu bytes\n", kernels.name,
            setup.f16 && kernels.f16 ? "float16" : "float32", need.arena_bytes, need.scratch_bytes, need.prepared_bytes);
    fclose(input);
    free(arena);
    free(scratch);
    free(prepared);
    tody_pool_free(pool);
    return 0;
}
