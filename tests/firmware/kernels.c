// kernels.c - the int8 kernels of a microcontroller's set against portable, on the chip itself: tests/kernels without pages.
// SPDX-License-Identifier: Apache-2.0
//
// Memory ends at a fence of known bytes here, since a chip has no pages: what is written there is seen, what is read is not.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/check.h"

enum { TRIES = 60, PENS = 24, PEN_BYTES = 1 << 19, ROOM = PENS * PEN_BYTES, FENCE_BYTES = 256, FENCE = 0xA5 };

extern const tody_kernels SET;  // the build says which
const tody_kernels *const tody_kernel_sets[] = {&tody_kernels_portable, &SET, NULL};

static _Alignas(16) uint8_t room[ROOM];
static uint8_t *starts[PENS];  // of what was taken of each pen, which lies between two fences
static uint32_t taken;
static char at_hand[256];

void memory_start(void) {}
void memory_reset(void) { taken = 0; }

static uint8_t *end_of(uint32_t pen) { return room + (pen + 1) * PEN_BYTES - FENCE_BYTES; }

void *memory_take(size_t bytes) {
    if (taken == PENS || bytes > PEN_BYTES - 2 * FENCE_BYTES) abort();
    uint8_t *end = end_of(taken), *start = end - bytes;
    memset(start - FENCE_BYTES, FENCE, FENCE_BYTES);
    memset(end, FENCE, FENCE_BYTES);
    return starts[taken++] = start;
}

static bool fences_whole(void) {
    for (uint32_t pen = 0; pen < taken; pen++) {
        for (uint32_t i = 0; i < FENCE_BYTES; i++) {
            if (starts[pen][(int32_t)i - FENCE_BYTES] != FENCE) return wrong("wrote before memory %u", (unsigned)pen);
            if (end_of(pen)[i] != FENCE) return wrong("wrote %u bytes behind memory %u", (unsigned)i, (unsigned)pen);
        }
    }
    return true;
}

void describe(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(at_hand, sizeof at_hand, format, list);
    va_end(list);
}

bool wrong(const char *format, ...) {
    va_list list;
    va_start(list, format);
    printf("FAIL %s: ", at_hand);
    vprintf(format, list);
    printf("\n");
    va_end(list);
    return false;
}

double time_of(void (*run)(void *context), void *context) {
    (void)run, (void)context;
    abort();  // nobody measures here
}

static bool is_filled(const slot *s) {
    void (*function)(void);
    memcpy(&function, (const char *)&SET + s->at, sizeof function);
    return function != NULL;
}

static int slots, failures;

static void walk(const slot *s) {
    for (; s->name; s++) {
        if (!is_filled(s)) continue;
        slots++;
        for (uint64_t seed = 1; seed <= TRIES; seed++) {
            memory_reset();
            if (!s->check(&SET, seed) || !fences_whole()) failures++;
        }
    }
}

int main(void) {
    walk(integer_slots);
    walk(sparse_slots);
    printf("%s: %d slots, %d failures\n", SET.name, slots, failures);
    return failures != 0;
}
