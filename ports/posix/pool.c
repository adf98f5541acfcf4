// pool.c - a thread pool that hands work over in microseconds.
// SPDX-License-Identifier: Apache-2.0
//
// One job at a time. Its tasks are dealt out in runs of neighbours, one to each thread, the same way in every job: the rows
// that a core reads are mostly those that it wrote itself in the operator before, and lie in its own cache. Who has finished
// helps the others (work stealing: Blumofe and Leiserson, 1999), the caller too: nobody ever waits for a sleeper.
//
// What takes time is that a core asks another for a cache line. So all that a worker needs of a job is in one line, which the
// caller writes and it alone reads, and all that it says is in another one, which the caller reads at the end. Workers spin for
// a moment after each job, since the next operator's usually follows at once; then they sleep. Where there are more threads
// than processors, who spins would keep another from working: there they sleep at once.
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

#define CACHE_LINE 64

// One of the threads; the first is the caller's. Its tasks have tickets, numbered on and on from job to job (modulo 2^32). A
// job is over when all its tasks are done: so who has drawn a ticket finds the job as it was written.
typedef struct worker {
    // Written by who opens a job.
    _Alignas(CACHE_LINE) _Atomic uint64_t offer;  // upper half: where its tickets end; lower: task - ticket
    tody_task task;                               // before `offer`
    void *context;
    struct tody_pool *pool;
    uint32_t index;  // the `thread` of its tasks
    pthread_t handle;
    // Written by the worker, and by who helps it.
    _Alignas(CACHE_LINE) atomic_uint drawn;  // tickets
    atomic_uint done;                        // tasks that it has finished in all jobs, also others'; written by it alone
} worker;

struct tody_pool {
    uint32_t threads;
    int64_t spin_ns;
    pid_t owner;
    atomic_uint sleepers;  // changed under `lock` only
    atomic_bool stop;      // the same
    pthread_mutex_t lock;
    pthread_cond_t wake;
    // Of the caller alone: workers read the above in each job.
    _Alignas(CACHE_LINE) atomic_flag busy;  // a caller has the pool
    uint32_t done;                          // what all threads will have done when the job is over
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

// How many tickets of an offer are left; none or less of an old one.
static int32_t left(uint64_t offer, uint32_t drawn) { return (int32_t)((uint32_t)(offer >> 32) - drawn); }

static bool has_job(worker *self) {
    return left(atomic_load_explicit(&self->offer, memory_order_relaxed),
                atomic_load_explicit(&self->drawn, memory_order_relaxed)) > 0;
}

// One of the tasks that are left of a worker's.
static bool draw(worker *from, uint32_t *task) {
    const uint64_t offer = atomic_load_explicit(&from->offer, memory_order_acquire);
    uint32_t ticket = atomic_load_explicit(&from->drawn, memory_order_relaxed);
    while (left(offer, ticket) > 0) {
        if (atomic_compare_exchange_weak_explicit(&from->drawn, &ticket, ticket + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            *task = ticket + (uint32_t)offer;
            return true;
        }
    }
    return false;
}

// So many tasks more are done.
static void finish(worker *self, uint32_t tasks) {
    const uint32_t done = atomic_load_explicit(&self->done, memory_order_relaxed);
    atomic_store_explicit(&self->done, done + tasks, memory_order_release);
}

// A thread's own tasks, then what the others have not begun. What is done is said before looking there, which takes a while.
static void work(worker *self) {
    tody_pool *pool = self->pool;
    for (uint32_t i = 0; i < pool->threads; i++) {
        worker *from = &pool->workers[(self->index + i) % pool->threads];
        uint32_t done = 0;
        for (uint32_t task; draw(from, &task); done++) from->task(from->context, task, self->index);
        if (done > 0) finish(self, done);
    }
}

static bool spin_for_job(worker *self) {
    for (int64_t end = now_ns() + self->pool->spin_ns; now_ns() < end;) {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (has_job(self)) return true;
            relax();
        }
    }
    return false;
}

// Returns false if there will be no more.
static bool sleep_for_job(worker *self) {
    tody_pool *pool = self->pool;
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (!has_job(self) && !atomic_load(&pool->stop)) pthread_cond_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->lock);
    return !atomic_load(&pool->stop);
}

static void *worker_main(void *argument) {
    worker *self = argument;
    while (spin_for_job(self) || sleep_for_job(self)) work(self);
    return NULL;
}

static void wake_workers(tody_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

// Give these tasks to a worker; tickets for the first `drawn` of them are not to be had.
static void offer(worker *w, uint32_t first, uint32_t end, uint32_t drawn) {
    const uint32_t ticket = (uint32_t)(atomic_load_explicit(&w->offer, memory_order_relaxed) >> 32);
    if (drawn > 0) atomic_store_explicit(&w->drawn, ticket + drawn, memory_order_relaxed);
    atomic_store_explicit(&w->offer, (uint64_t)(ticket + (end - first)) << 32 | (first - ticket), memory_order_release);
}

// The caller's first task is not offered to others: so it need not wait until they see the job.
//
// Who falls asleep at the very moment may miss the job: the others then do its tasks, and the next job wakes it. That is rarer
// and cheaper than a barrier in each job.
static void open_job(tody_pool *pool, uint32_t tasks, tody_task task, void *context) {
    for (uint32_t i = pool->threads, end = tasks; i-- > 0;) {
        worker *w = &pool->workers[i];
        const uint32_t more = tasks % pool->threads, first = tasks / pool->threads * i + (i < more ? i : more);
        w->task = task;
        w->context = context;
        offer(w, first, end, i == 0);
        end = first;
    }
    if (atomic_load_explicit(&pool->sleepers, memory_order_relaxed) > 0) wake_workers(pool);
}

static bool is_over(const tody_pool *pool) {
    uint32_t done = 0;
    for (uint32_t i = 0; i < pool->threads; i++) done += atomic_load_explicit(&pool->workers[i].done, memory_order_acquire);
    return done == pool->done;
}

// Wait for the last tasks. Gives the processor away where there are more threads than processors.
static void close_job(const tody_pool *pool) {
    for (int64_t end = 0; true; end = end ? end : now_ns() + pool->spin_ns) {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (is_over(pool)) return;
            relax();
        }
        if (end && now_ns() > end) sched_yield();
    }
}

static void run(void *handle, uint32_t tasks, tody_task task, void *context) {
    tody_pool *pool = handle;
    const bool alone = tasks < 2 || pool->threads < 2 || atomic_flag_test_and_set_explicit(&pool->busy, memory_order_acquire);
    if (alone) {
        for (uint32_t i = 0; i < tasks; i++) task(context, i, 0);
        return;
    }
    pool->done += tasks;
    open_job(pool, tasks, task, context);
    task(context, 0, 0);
    finish(&pool->workers[0], 1);
    work(&pool->workers[0]);
    close_job(pool);
    atomic_flag_clear_explicit(&pool->busy, memory_order_release);
}

static void stop_workers(tody_pool *pool, uint32_t started) {
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stop, true);
    pthread_mutex_unlock(&pool->lock);
    wake_workers(pool);
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
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (uint32_t i = 0; i < threads; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].index = i;
        if (i > 0 && pthread_create(&pool->workers[i].handle, NULL, worker_main, &pool->workers[i])) {
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
