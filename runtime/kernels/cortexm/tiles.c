// tiles.c - products of widened rows and weights, the inner loops: four rows by two columns in registers.
// SPDX-License-Identifier: Apache-2.0
#include "cortexm.h"

#if defined(TODY_HAS_DSP)
#include "tiles.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"  // they are in r0 to r3

// r0: x, r1: w, r2 to r9: sums, r10 and r11: weights of both columns, r12 and lr: values of two rows. Loads stand together,
// because the next one then begins while the last one ends. On the stack: x, w, sums, tiles.
#define BEGIN_TILES             \
    "push {r4-r11, lr}      \n" \
    "push {r0-r3}           \n" \
    "1:                     \n" \
    "ldm r2, {r2-r9}        \n" \
    "ldrd r12, lr, [r0], #8 \n" \
    "2:                     \n"

// The other two rows of a word, then the first two of the next.
#define REST_OF_ROWS             \
    "smlad r2, r12, r10, r2  \n" \
    "smlad r6, r12, r11, r6  \n" \
    "smlad r3, lr, r10, r3   \n" \
    "smlad r7, lr, r11, r7   \n" \
    "ldrd r12, lr, [r0], #8  \n" \
    "smlad r4, r12, r10, r4  \n" \
    "smlad r8, r12, r11, r8  \n" \
    "smlad r5, lr, r10, r5   \n" \
    "smlad r9, lr, r11, r9   \n" \
    "ldrd r12, lr, [r0], #8  \n"

#define END_TILES                \
    "cmp r12, #0x80008000    \n" \
    "bne 2b                  \n" \
    "ldrd r0, r1, [sp]       \n" \
    "ldrd r10, r11, [sp, #8] \n" \
    "stm r10!, {r2-r9}       \n" \
    "adds r1, #8             \n" \
    "mov r2, r10             \n" \
    "subs r11, #1            \n" \
    "str r1, [sp, #4]        \n" \
    "strd r10, r11, [sp, #8] \n" \
    "bne 1b                  \n" \
    "add sp, #16             \n" \
    "pop {r4-r11, pc}        \n"

__attribute__((naked)) void tody_add_tiles_dsp(const int16x2_t *x, const int8_t *w, int32_t *sums, uint32_t tiles) {
    __asm__(BEGIN_TILES
            "ldr r10, [r1]          \n"
            "ldr r11, [r1, #4]      \n"
            "sxtb16 r10, r10        \n"
            "sxtb16 r11, r11        \n"  //
            REST_OF_ROWS
            "ldr r10, [r1], #64     \n"
            "ldr r11, [r1, #-60]    \n"
            "sxtb16 r10, r10, ror #8\n"
            "sxtb16 r11, r11, ror #8\n"  //
            REST_OF_ROWS END_TILES);
}

__attribute__((naked)) void tody_add_thin_tiles_dsp(const int16x2_t *x, const int8_t *w, int32_t *sums, uint32_t tiles) {
    __asm__(BEGIN_TILES
            "ldrsb r11, [r1, #68]        \n"
            "ldrsb r12, [r1, #4]         \n"
            "ldrsb r10, [r1, #64]        \n"
            "pkhbt r11, r12, r11, lsl #16\n"
            "ldrsb r12, [r1], #128       \n"
            "pkhbt r10, r12, r10, lsl #16\n"
            "ldr r12, [r0, #-8]          \n"  // what it held
            REST_OF_ROWS END_TILES);
}

#endif
