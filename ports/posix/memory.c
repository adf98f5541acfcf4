// memory.c - memory for arenas: whole pages that cost nothing until they are used.
// SPDX-License-Identifier: Apache-2.0
#define _DEFAULT_SOURCE

#include <stdlib.h>
#include <sys/mman.h>

#include "posix.h"

// Of the large pages of x86-64 and AArch64. Smaller arenas would waste most of one.
static const size_t large_page = (size_t)2 << 20;

static size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

static size_t alignment(size_t bytes) { return bytes < large_page ? TODY_ALIGN : large_page; }

void *tody_memory_new(size_t bytes) {
    const size_t align = alignment(bytes), whole = round_up(bytes ? bytes : 1, align);
    if (whole < bytes) return NULL;
    if (align == TODY_ALIGN) {
        void *small = NULL;
        if (posix_memalign(&small, align, whole)) return NULL;
        return __builtin_memset(small, 0, whole);
    }
    // One large page more than needed, so that an aligned part can be kept and the rest given back.
    char *base = mmap(NULL, whole + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return NULL;
    const size_t before = round_up((uintptr_t)base, align) - (uintptr_t)base;
    if (before) munmap(base, before);
    munmap(base + before + whole, align - before);
#ifdef MADV_HUGEPAGE
    madvise(base + before, bytes / align * align, MADV_HUGEPAGE);  // the rest would waste most of one
#endif
    return base + before;
}

void tody_memory_free(void *memory, size_t bytes) {
    if (!memory) return;
    if (alignment(bytes) == TODY_ALIGN) {
        free(memory);
    } else {
        munmap(memory, round_up(bytes, large_page));
    }
}
