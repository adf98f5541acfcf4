// pool_check.c - the thread pool under stress: every task exactly once, unique thread numbers, several callers, sleep and wake.
// SPDX-License-Identifier: Apache-2.0
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "posix.h"

enum { THREADS = 4, MAX_TASKS = 61, JOBS = 3000, CALLERS = 3 };

typedef struct job {
    uint32_t runs[MAX_TASKS];       // plain on purpose: a task that runs twice at once is a data race for the sanitizer
    atomic_uint occupied[THREADS];  // by a task with this thread number
    atomic_uint faults;
} job;

static void task(void *context, uint32_t i, uint32_t thread) {
    job *j = context;
    if (thread >= THREADS || atomic_exchange(&j->occupied[thread], 1)) atomic_fetch_add(&j->faults, 1);
    j->runs[i]++;
    if (thread < THREADS) atomic_store(&j->occupied[thread], 0);
}

static uint32_t run_job(tody_pool *pool, uint32_t tasks) {
    job j;
    memset(&j, 0, sizeof j);
    const tody_parallel parallel = tody_pool_parallel(pool);
    parallel.run(parallel.pool, tasks, task, &j);
    uint32_t faults = atomic_load(&j.faults);
    for (uint32_t i = 0; i < MAX_TASKS; i++) faults += j.runs[i] != (i < tasks);
    return faults;
}

typedef struct caller {
    pthread_t handle;
    tody_pool *pool;
    uint32_t faults;
} caller;

// Every 256th job comes after a pause that is longer than the workers spin, so that they sleep.
static void *caller_main(void *argument) {
    caller *self = argument;
    const struct timespec pause = {.tv_nsec = 300000};
    for (uint32_t n = 0; n < JOBS; n++) {
        if (n % 256 == 0) nanosleep(&pause, NULL);
        self->faults += run_job(self->pool, n % (MAX_TASKS + 1));
    }
    return NULL;
}

static uint32_t check_callers(uint32_t threads, uint32_t count) {
    caller callers[CALLERS] = {{.faults = 0}};
    tody_pool *pool = tody_pool_new(threads);
    if (!pool) return 1;
    for (uint32_t i = 0; i < count; i++) {
        callers[i].pool = pool;
        if (pthread_create(&callers[i].handle, NULL, caller_main, &callers[i])) return 1;
    }
    uint32_t faults = 0;
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(callers[i].handle, NULL);
        faults += callers[i].faults;
    }
    tody_pool_free(pool);
    return faults;
}

int main(void) {
    uint32_t faults = 0;
    for (uint32_t threads = 1; threads <= THREADS; threads++) {
        faults += check_callers(threads, 1) + check_callers(threads, CALLERS);
        for (int i = 0; i < 50; i++) tody_pool_free(tody_pool_new(threads));
    }
    faults += tody_pool_new(0) != NULL;
    tody_pool_free(NULL);
    printf("pool: %u faults\n", faults);
    return faults != 0;
}
