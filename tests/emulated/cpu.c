// cpu.c - the CPU that is emulated: the least that runs the kernel set that EMULATED_CPU names.
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>

#include "core/kernels.h"
#include "posix.h"

// Takes the place of the one of ports/posix.
uint32_t tody_cpu_features(void) {
    const char *name = getenv("EMULATED_CPU");
    for (const tody_kernels *const *set = tody_kernel_sets; name && *set; set++) {
        if (strcmp((*set)->name, name) == 0) return (*set)->needs | TODY_CPU_AVX2;
    }
    fprintf(stderr, "EMULATED_CPU must be one of the kernel sets\n");
    exit(2);
}
