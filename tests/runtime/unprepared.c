// unprepared.c - a model that might be prepared, but is not, runs within the scratch that it said.
// SPDX-License-Identifier: Apache-2.0
//
//     unprepared MODEL.tody    on sixteen make-believe threads; 0 if it opens, runs and writes nothing behind its scratch
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels.h"
#include "posix.h"

enum { MAX_FILE = 1 << 20, FENCE_BYTES = 1 << 20, FENCE = 0x5a, THREADS = 16 };

static _Alignas(64) unsigned char file[MAX_FILE];

static void on_the_last_threads(void *pool, uint32_t tasks, tody_task task, void *context) {
    (void)pool;
    for (uint32_t i = 0; i < tasks; i++) task(context, i, THREADS - 1 - i % THREADS);
}

static int fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    return 1;
}

int main(int argc, char **argv) {
    FILE *in = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!in) return fail("usage: unprepared MODEL.tody");
    const size_t bytes = fread(file, 1, sizeof file, in);
    fclose(in);
    const tody_kernels kernels = tody_kernels_pick(tody_cpu_features(), NULL);
    const tody_parallel parallel = {THREADS, on_the_last_threads, NULL};
    const tody_setup setup = {.kernels = &kernels, .parallel = &parallel, .prepare = true};
    tody_model model;
    if (tody_open(&model, file, bytes, &setup)) return fail("the model does not open");
    const size_t arena_bytes = model.need.arena_bytes, scratch_bytes = model.need.scratch_bytes;
    void *arena = tody_memory_new(arena_bytes);
    unsigned char *scratch = tody_memory_new(scratch_bytes + FENCE_BYTES);
    if (!arena || !scratch) return fail("no memory");
    memset(scratch + scratch_bytes, FENCE, FENCE_BYTES);
    if (tody_bind(&model, arena, arena_bytes, scratch, scratch_bytes)) return fail("the model does not take its memory");
    tody_run(&model);
    for (size_t i = 0; i < FENCE_BYTES; i++) {
        if (scratch[scratch_bytes + i] != FENCE) return fail("the model wrote behind its scratch");
    }
    return 0;
}
