// host.c - what the checks have of a machine with pages and a clock: fenced memory, and the time.
// SPDX-License-Identifier: Apache-2.0
#define _DEFAULT_SOURCE

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "check.h"

enum { PENS = 24, PEN_BYTES = 1 << 22, FENCE_BYTES = 1 << 16 };

static uint8_t *pens[PENS];
static int taken;

void memory_start(void) {
    for (int i = 0; i < PENS; i++) {
        void *base = mmap(NULL, PEN_BYTES + FENCE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base == MAP_FAILED) abort();
        pens[i] = base;
        if (mprotect(pens[i] + PEN_BYTES, FENCE_BYTES, PROT_NONE)) abort();
    }
}

void memory_reset(void) { taken = 0; }

void *memory_take(size_t bytes) {
    if (taken == PENS || bytes > PEN_BYTES) abort();
    return pens[taken++] + (PEN_BYTES - bytes);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double time_of(void (*run)(void *context), void *context) {
    double least = 1e9;
    int calls = 1;
    for (double t = 0; t < 0.001; calls *= 2) {
        const double start = now();
        for (int i = 0; i < calls; i++) run(context);
        t = now() - start;
    }
    for (size_t i = 0; i < 25; i++) {
        const double start = now();
        for (int c = 0; c < calls; c++) run(context);
        const double time = (now() - start) / calls;
        if (time < least) least = time;
    }
    return least;
}
