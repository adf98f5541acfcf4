// own_threads.c - run a model on threads of one's own: own_threads MODEL.tody THREADS, inputs all zero
// SPDX-License-Identifier: Apache-2.0
//
// tody asks for a parallel loop and nothing else. This one starts and joins threads for each job, which is simple and slow; a
// program that has a pool already calls that instead.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/kernels.h"
#include "posix.h"
#include "tody.h"

enum { MOST_THREADS = 16 };

typedef struct share {
    pthread_t handle;
    tody_task task;
    void *context;
    uint32_t first, end, thread;
} share;

static void *run_share(void *argument) {
    const share *s = argument;
    for (uint32_t i = s->first; i < s->end; i++) s->task(s->context, i, s->thread);
    return NULL;
}

// tody_parallel.run: task(context, i, thread) once for every i < tasks; `thread` differs among tasks that run at once.
static void run(void *pool, uint32_t tasks, tody_task task, void *context) {
    const uint32_t threads = *(const uint32_t *)pool;
    share shares[MOST_THREADS] = {0};
    uint32_t end = 0;
    for (uint32_t t = 0; t < threads; t++) {
        shares[t] = (share){.task = task, .context = context, .first = end, .thread = t};
        shares[t].end = end = (uint32_t)((uint64_t)tasks * (t + 1) / threads);
        if (t == 0 || !pthread_create(&shares[t].handle, NULL, run_share, &shares[t])) continue;
        fprintf(stderr, "own_threads: the system gives no thread\n");
        exit(1);
    }
    run_share(&shares[0]);
    for (uint32_t t = 1; t < threads; t++) pthread_join(shares[t].handle, NULL);
}

static void *read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) return NULL;
    *bytes = (size_t)ftell(file);
    rewind(file);
    void *data = tody_memory_new(*bytes);
    return data && fread(data, 1, *bytes, file) == *bytes ? data : NULL;
}

int main(int count, char **arguments) {
    uint32_t threads = count == 3 ? (uint32_t)strtoul(arguments[2], NULL, 10) : 0;
    size_t bytes = 0;
    const void *file = threads && threads <= MOST_THREADS ? read_file(arguments[1], &bytes) : NULL;
    if (!file) return fprintf(stderr, "usage: own_threads MODEL.tody THREADS (1 to 16)\n"), 1;
    const tody_kernels kernels = tody_kernels_pick(tody_cpu_features(), NULL);
    const tody_parallel parallel = {.threads = threads, .run = run, .pool = &threads};
    const tody_setup setup = {.kernels = &kernels, .parallel = &parallel};
    tody_model model;
    tody_status status = tody_open(&model, file, bytes, &setup);
    if (!status) {
        void *arena = tody_memory_new(model.need.arena_bytes), *scratch = tody_memory_new(model.need.scratch_bytes);
        status = tody_bind(&model, arena, model.need.arena_bytes, scratch, model.need.scratch_bytes);
    }
    if (status) return fprintf(stderr, "own_threads: %s\n", tody_status_text(status)), 1;
    tody_run(&model);
    const tody_tensor y = tody_output(&model, 0);
    return fwrite(y.data, tody_dtype_bytes(y.dtype), y.count, stdout) == y.count ? 0 : 1;
}
