// port.h - what the runtime is handed on Linux, macOS and other POSIX systems: CPU features and threads.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_PORT_H
#define TODY_PORT_H

#include <stdint.h>

#include "tody.h"

#ifdef __cplusplus
extern "C" {
#endif

// The tody_cpu_feature bits (core/kernels.h) of this machine that its operating system lets programs use; 0 where unknown.
uint32_t tody_cpu_features(void);

typedef struct tody_pool tody_pool;

// A pool that runs tasks on `threads` threads, the caller's being one of them; so 1 starts none. Returns NULL when threads is 0
// or above 256, or when the system gives no memory or no thread.
tody_pool *tody_pool_create(uint32_t threads);

// The `run` of a tody_parallel whose `pool` is a tody_pool. Any thread may call it. While the pool works for one caller, another
// caller runs its tasks alone in its own thread: `thread` is unique among the tasks of one call, which is what models need, for
// models that run at once do not share scratch memory.
void tody_pool_parallel(void *pool, uint32_t tasks, tody_task task, void *context);

// Stop and free. No call may be in progress; NULL is allowed. In a child after fork(), where the threads do not exist, it only frees.
void tody_pool_destroy(tody_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
