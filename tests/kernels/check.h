// check.h - what the checks of kernel slots share.
// SPDX-License-Identifier: Apache-2.0
#ifndef TODY_TESTS_KERNELS_CHECK_H
#define TODY_TESTS_KERNELS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/kernels.h"

// Half a unit in the last place of 1.0f: the largest relative error of one rounding.
#define ROUNDING 5.9604645e-8

// One slot of a kernel set.
typedef struct slot {
    const char *name;
    size_t at;  // of the function pointer in tody_kernels
    // Compare `set` with portable on shapes and values that follow from `seed`. What went wrong is told by `wrong`.
    bool (*check)(const tody_kernels *set, uint64_t seed);
    // Print one line per fixed shape: `kernels` fills this slot.
    void (*bench)(const tody_kernels *kernels);
} slot;

// End with a NULL name.
extern const slot product_slots[], pointwise_slots[], integer_slots[], line_slots[], wide_slots[], sparse_slots[], half_slots[],
    winograd_slots[], winograd_s8_slots[], strassen_slots[];

// memory.c: repeatable random values.
typedef struct dice {
    uint64_t state;
} dice;
dice random_from(uint64_t seed);
uint32_t random_below(dice *r, uint32_t end);  // 0 .. end - 1
float random_float(dice *r);                   // within [-1, 1]
void random_fill(dice *r, float *x, size_t count);

// host.c: memory that ends at a page nobody may touch. A stray read ends the program, with the case printed.
void memory_start(void);                      // once
void memory_reset(void);                      // before each case: everything is free again
void *memory_take(size_t bytes);              // ends at the fence, except for what alignment to 4 bytes takes
float *memory_floats(dice *r, size_t count);  // the same, filled with random values

// memory.c: the window of a depthwise convolution, more often than not one of those that kernels know.
typedef struct window {
    uint32_t height, width, step;
} window;
window random_window(dice *r);

// What a kernel and its portable twin write: rows of `cols` floats, `stride` apart, with guards before, between and (fence)
// after.
typedef struct output {
    float *got, *want;
    size_t rows, cols, stride;
} output;
output output_take(dice *r, size_t rows, size_t cols, size_t stride);
bool output_same(const output *o, const double *bounds);  // bounds: rows * cols absolute errors; NULL: equal bits
bool output_within_ulps(const output *o, uint32_t ulps);  // NaN equals NaN; below 2.4e-35 all are equal

// Tell the case at hand, for the message of a failure.
void describe(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));  // prints and returns false
void stray(int signal);                                                     // handler for SIGSEGV and SIGBUS

// Seconds per call of run(context), the least of several measurements of a millisecond: others may use this machine too.
double time_of(void (*run)(void *context), void *context);

#endif
