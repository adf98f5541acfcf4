// pool.c - a thread pool that hands work over in microseconds.
// SPDX-License-Identifier: Apache-2.0
//
// One job at a time. The caller opens it, works along, closes it, and waits for those inside. A worker that wakes too late
// finds it closed and goes back to waiting, so nobody ever waits for a sleeper. Workers spin for a moment after each job, since
// the next operator's usually follows at once; then they sleep. Where there are more threads than processors, who spins would
// keep another from working: there they sleep at once.
//
// The tasks of a job are dealt out in runs of neighbours, one to each thread, the same way in every job: the rows that a core
// reads are mostly those that it wrote itself in the operator before, and lie in its own cache. Who has finished helps the
// others (work stealing: Blumofe and Leiserson, 1999).
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "posix.h"

enum { MAX_THREADS = 256, SPIN_NS = 50000, SPINS_PER_LOOK = 32 };

#define CLOSED 0x80000000u
#define CACHE_LINE 64

// One of the threads; the first is the caller's.
typedef struct worker {
    _Alignas(CACHE_LINE) atomic_uint next;  // the first of its tasks that nobody has taken; may run past `end`
    uint32_t end;
    struct tody_pool *pool;
    pthread_t handle;
    uint32_t index;  // the `thread` of its tasks
} worker;

struct tody_pool {
    uint32_t threads;
    int64_t spin_ns;
    pid_t owner;
    atomic_flag busy;  // a caller has the pool

    // The job. Written while closed, read by those inside.
    tody_task task;
    void *context;
    atomic_uint generation;  // counts jobs; a change is the signal to look
    atomic_uint sleepers;    // changed under `lock` only

    _Alignas(CACHE_LINE) atomic_uint inside;  // workers inside the job, and CLOSED
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    worker workers[];
};

#if defined(__x86_64__) || defined(__i386__)
static inline void relax(void) { __asm__ volatile("pause"); }
#elif defined(__aarch64__) || (defined(__arm__) && __ARM_ARCH >= 7)
static inline void relax(void) { __asm__ volatile("yield"); }
#else
static inline void relax(void) {}
#endif

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// A thread's own tasks, then what the others have not begun.
static void work(tody_pool *pool, uint32_t thread) {
    for (uint32_t i = 0; i < pool->threads; i++) {
        worker *from = &pool->workers[(thread + i) % pool->threads];
        for (uint32_t task; (task = atomic_fetch_add_explicit(&from->next, 1, memory_order_relaxed)) < from->end;) {
            pool->task(pool->context, task, thread);
        }
    }
}

// Enter the job unless it is closed.
static bool enter(tody_pool *pool) {
    uint32_t inside = atomic_load_explicit(&pool->inside, memory_order_relaxed);
    while (!(inside & CLOSED)) {
        if (atomic_compare_exchange_weak_explicit(&pool->inside, &inside, inside + 1, memory_order_acquire,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

static bool spin_for_job(tody_pool *pool, uint32_t seen) {
    for (int64_t end = now_ns() + pool->spin_ns; now_ns() < end;) {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (atomic_load_explicit(&pool->generation, memory_order_relaxed) != seen) return true;
            relax();
        }
    }
    return false;
}

// No wake-up is lost: here `sleepers` is raised before `generation` is read, in `open_job` it is the other way round, all in
// one sequentially consistent order; so one of the two sees the other.
static void sleep_for_job(tody_pool *pool, uint32_t seen) {
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->generation) == seen) pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *argument) {
    worker *self = argument;
    tody_pool *pool = self->pool;
    uint32_t seen = 0;
    while (true) {
        if (!spin_for_job(pool, seen)) sleep_for_job(pool, seen);
        seen = atomic_load(&pool->generation);
        if (atomic_load(&pool->stop)) return NULL;
        if (!enter(pool)) continue;
        work(pool, self->index);
        atomic_fetch_sub_explicit(&pool->inside, 1, memory_order_release);
    }
}

static void signal_workers(tody_pool *pool) {
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) == 0) return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

static void open_job(tody_pool *pool, uint32_t tasks, tody_task task, void *context) {
    pool->task = task;
    pool->context = context;
    for (uint32_t i = 0, first = 0; i < pool->threads; i++) {
        worker *w = &pool->workers[i];
        atomic_store_explicit(&w->next, first, memory_order_relaxed);
        w->end = first = (uint32_t)((uint64_t)tasks * (i + 1) / pool->threads);
    }
    atomic_store_explicit(&pool->inside, 0, memory_order_release);
    signal_workers(pool);
}

// Wait for those inside to finish their last task. Gives the processor away where there are more threads than processors.
static void close_job(tody_pool *pool) {
    atomic_fetch_or_explicit(&pool->inside, CLOSED, memory_order_relaxed);
    const int64_t end = now_ns() + pool->spin_ns;
    while (atomic_load_explicit(&pool->inside, memory_order_acquire) != CLOSED) {
        relax();
        if (now_ns() > end) sched_yield();
    }
}

static void run(void *handle, uint32_t tasks, tody_task task, void *context) {
    tody_pool *pool = handle;
    const bool alone = tasks < 2 || pool->threads < 2 || atomic_flag_test_and_set_explicit(&pool->busy, memory_order_acquire);
    if (alone) {
        for (uint32_t i = 0; i < tasks; i++) task(context, i, 0);
        return;
    }
    open_job(pool, tasks, task, context);
    work(pool, 0);
    close_job(pool);
    atomic_flag_clear_explicit(&pool->busy, memory_order_release);
}

static void stop_workers(tody_pool *pool, uint32_t started) {
    atomic_store(&pool->stop, true);
    signal_workers(pool);
    for (uint32_t i = 1; i <= started; i++) pthread_join(pool->workers[i].handle, NULL);
}

static void release(tody_pool *pool) {
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

tody_pool *tody_pool_new(uint32_t threads) {
    if (threads == 0 || threads > MAX_THREADS) return NULL;
    const size_t bytes = sizeof(tody_pool) + threads * sizeof(worker);
    tody_pool *pool = aligned_alloc(CACHE_LINE, bytes);
    if (!pool) return NULL;
    memset(pool, 0, bytes);
    pool->threads = threads;
    pool->spin_ns = (long)threads <= sysconf(_SC_NPROCESSORS_ONLN) ? SPIN_NS : 0;
    pool->owner = getpid();
    atomic_flag_clear(&pool->busy);
    atomic_store(&pool->inside, CLOSED);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (uint32_t i = 1; i < threads; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].index = i;
        if (pthread_create(&pool->workers[i].handle, NULL, worker_main, &pool->workers[i])) {
            stop_workers(pool, i - 1);
            release(pool);
            return NULL;
        }
    }
    return pool;
}

// In a child after fork() the threads do not exist.
void tody_pool_free(tody_pool *pool) {
    if (!pool) return;
    if (pool->owner != getpid()) {
        free(pool);
        return;
    }
    stop_workers(pool, pool->threads - 1);
    release(pool);
}

tody_parallel tody_pool_parallel(tody_pool *pool) {
    return (tody_parallel){.threads = pool->threads, .run = run, .pool = pool};
}
