// posix.h - what a Linux, macOS or Android program hands to the runtime: threads, memory, and what the CPU can do.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_POSIX_H
#define TODY_POSIX_H

#include "tody.h"

#ifdef __cplusplus
extern "C" {
#endif

// A pool of threads - 1 workers; the caller of tody_parallel.run is the last one. Models in several threads may share one pool:
// while it works for one caller, another runs its tasks alone in its own thread, with thread number 0 as if it had no pool.
typedef struct tody_pool tody_pool;

// NULL if there is no memory, the system gives no thread, or threads is 0 or above 256.
tody_pool *tody_pool_new(uint32_t threads);

// No call may be in progress. NULL is allowed.
void tody_pool_free(tody_pool *pool);

// What goes into tody_setup.parallel. Valid while the pool lives.
tody_parallel tody_pool_parallel(tody_pool *pool);

// Zeroed memory aligned to TODY_ALIGN, NULL if there is none. From 2 MiB on it is fresh pages, large ones where the system has
// them: a first run then meets a few page faults instead of one for every 4 KiB.
void *tody_memory_new(size_t bytes);

// `bytes` as it was asked for. NULL is allowed.
void tody_memory_free(void *memory, size_t bytes);

// tody_cpu_feature bits of the CPU and kernel that this runs on.
uint32_t tody_cpu_features(void);

// Multiply-adds per second of one thread in the product of these kernels for float32 or int8 (TODY_F32, TODY_S8), full tiles
// from the first-level cache: what an operator can be compared with. Takes a few hundredths of a second.
double tody_peak(const tody_kernels *kernels, tody_dtype dtype);

#ifdef __cplusplus
}
#endif
#endif
